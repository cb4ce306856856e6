//! What follows the addresses of a header of version 2: any number of values, each with its type (section 2.2 of the
//! PROXY protocol).

/// The type of what is said of the sender's TLS: what the client has shown, whether that was verified, then values
/// again.
const TLS: u8 = 0x20;
/// Octets of that before its values.
const TLS_HEAD: usize = 5;

/// Additional data as it came; of what is broken the beginning counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions(Box<[u8]>);

/// One of the values, by nginx's names (`$proxy_protocol_tlv_NAME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition {
    Value(u8),
    /// Among what is said of the sender's TLS.
    OfTls(u8),
    /// Whether the client's certificate was verified: 0 then.
    Verify,
}

impl Additions {
    pub(super) fn new(octets: &[u8]) -> Additions {
        Additions(octets.into())
    }

    /// The value of a type.
    pub fn get(&self, addition: Addition) -> Option<Vec<u8>> {
        let of_tls = || find(&self.0, TLS).and_then(|tls| tls.split_at_checked(TLS_HEAD));
        match addition {
            Addition::Value(kind) => find(&self.0, kind).map(<[u8]>::to_vec),
            Addition::OfTls(kind) => find(of_tls()?.1, kind).map(<[u8]>::to_vec),
            Addition::Verify => {
                let [_, a, b, c, d] = *of_tls()?.0.first_chunk::<TLS_HEAD>()?;
                Some(u32::from_be_bytes([a, b, c, d]).to_string().into_bytes())
            }
        }
    }
}

impl Addition {
    /// By the name, in lower case: a word, or the type's number (`0xea`).
    pub fn parse(name: &str) -> Option<Addition> {
        let number = |name: &str| {
            let digits = name.strip_prefix("0x").filter(|digits| (1..=2).contains(&digits.len()))?;
            u8::from_str_radix(digits, 16).ok()
        };
        Some(match name {
            "alpn" => Addition::Value(0x01),
            "authority" => Addition::Value(0x02),
            "unique_id" => Addition::Value(0x05),
            "ssl" => Addition::Value(TLS),
            "netns" => Addition::Value(0x30),
            "ssl_verify" => Addition::Verify,
            "ssl_version" => Addition::OfTls(0x21),
            "ssl_cn" => Addition::OfTls(0x22),
            "ssl_cipher" => Addition::OfTls(0x23),
            "ssl_sig_alg" => Addition::OfTls(0x24),
            "ssl_key_alg" => Addition::OfTls(0x25),
            _ => match name.strip_prefix("ssl_") {
                Some(name) => Addition::OfTls(number(name)?),
                None => Addition::Value(number(name)?),
            },
        })
    }
}

fn find(mut rest: &[u8], kind: u8) -> Option<&[u8]> {
    while let Some(([found, high, low], behind)) = rest.split_first_chunk::<3>() {
        let (value, next) = behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *found == kind {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: u8, octets: &[u8]) -> Vec<u8> {
        [&[kind, 0, octets.len() as u8][..], octets].concat()
    }

    #[test]
    fn values_by_name() {
        let of_tls = [&[1, 0, 0, 0, 3][..], &value(0x21, b"TLSv1.3"), &value(0x22, b"ada")].concat();
        let all = [value(0x02, b"a.test"), value(TLS, &of_tls), value(0xea, b"\x01vpce-1")].concat();
        let additions = Additions::new(&all);
        let get = |name: &str| additions.get(Addition::parse(name).expect(name));
        assert_eq!(get("authority").as_deref(), Some(&b"a.test"[..]));
        assert_eq!(get("0x02"), get("authority"));
        assert_eq!(get("0xea").as_deref(), Some(&b"\x01vpce-1"[..]));
        assert_eq!(get("ssl_version").as_deref(), Some(&b"TLSv1.3"[..]));
        assert_eq!(get("ssl_0x22").as_deref(), Some(&b"ada"[..]));
        assert_eq!(get("ssl_verify").as_deref(), Some(&b"3"[..]));
        assert_eq!(get("alpn"), None);
        assert_eq!(get("ssl_cipher"), None);
        for name in ["", "x", "0x", "0x123", "0xg", "ssl_", "ssl_x"] {
            assert_eq!(Addition::parse(name), None, "{name}");
        }
    }

    #[test]
    fn broken_data_ends_what_there_is() {
        let additions = Additions::new(&[&value(1, b"h2")[..], &[2, 0, 9, b'x']].concat());
        assert_eq!(additions.get(Addition::Value(1)).as_deref(), Some(&b"h2"[..]));
        assert_eq!(additions.get(Addition::Value(2)), None);
        assert_eq!(Additions::new(&value(TLS, &[1, 0])).get(Addition::Verify), None);
        assert_eq!(Additions::default().get(Addition::OfTls(0x21)), None);
    }
}

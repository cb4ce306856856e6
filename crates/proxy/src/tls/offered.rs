//! What a client offers in its first message, for logs that ask for it (`$ssl_ciphers`, `$ssl_curves`).

use super::names::{group_name, name};
use rustls::server::ClientHello;
use rustls::{CipherSuite, NamedGroup};

/// Both lists in the client's order, in OpenSSL's words and with colons between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub ciphers: Box<str>,
    pub curves: Box<str>,
}

/// What is in the lists besides, by its number: OpenSSL's names for what nobody agrees on any more.
const OTHERS: &[(u16, &str)] = &[
    (0x000a, "DES-CBC3-SHA"),
    (0x002f, "AES128-SHA"),
    (0x0033, "DHE-RSA-AES128-SHA"),
    (0x0035, "AES256-SHA"),
    (0x0039, "DHE-RSA-AES256-SHA"),
    (0x003c, "AES128-SHA256"),
    (0x003d, "AES256-SHA256"),
    (0x0067, "DHE-RSA-AES128-SHA256"),
    (0x006b, "DHE-RSA-AES256-SHA256"),
    (0x009c, "AES128-GCM-SHA256"),
    (0x009d, "AES256-GCM-SHA384"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0x1305, "TLS_AES_128_CCM_8_SHA256"),
    (0xc009, "ECDHE-ECDSA-AES128-SHA"),
    (0xc00a, "ECDHE-ECDSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xc024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc028, "ECDHE-RSA-AES256-SHA384"),
    (0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
];

impl Offered {
    /// What a first message says.
    pub fn new(hello: &ClientHello<'_>) -> Offered {
        let curves = hello.named_groups().unwrap_or_default().iter().map(|group| curve(*group));
        Offered {
            ciphers: hello.cipher_suites().iter().map(|suite| cipher(*suite)).collect::<Vec<_>>().join(":").into(),
            curves: curves.collect::<Vec<_>>().join(":").into(),
        }
    }
}

/// As nginx: what has no name is a number.
fn cipher(suite: CipherSuite) -> String {
    let number = u16::from(suite);
    let other = || OTHERS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    // rustls' own names are not OpenSSL's.
    let own =
        Some(name(suite)).filter(|name| name.starts_with("TLS_A") || name.starts_with("TLS_C") || name.contains('-'));
    other().or(own).map_or_else(|| format!("0x{number:04x}"), str::to_owned)
}

fn curve(group: NamedGroup) -> String {
    let name = group_name(group);
    if name.is_empty() { format!("0x{:04x}", u16::from(group)) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (number, name) in [
            (0x1301, "TLS_AES_128_GCM_SHA256"),
            (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
            (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
            (0xc013, "ECDHE-RSA-AES128-SHA"),
            (0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
            (0x0a0a, "0x0a0a"),
            (0x0005, "0x0005"),
        ] {
            assert_eq!(cipher(CipherSuite::from(number)), name);
        }
        assert_eq!(curve(NamedGroup::X25519), "X25519");
        assert_eq!(curve(NamedGroup::secp256r1), "prime256v1");
        assert_eq!(curve(NamedGroup::from(0x1a1a)), "0x1a1a");
    }
}

//! What a certificate says, in the forms in which nginx and OpenSSL show it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt::Write;
use x509_parser::der_parser::Oid;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The subject as RFC 2253 writes it (`$ssl_client_s_dn`).
    pub subject: String,
    /// The issuer in the same form.
    pub issuer: String,
    /// Both as OpenSSL wrote them before, `/C=US/CN=ada` (`$ssl_client_s_dn_legacy`).
    pub subject_legacy: String,
    pub issuer_legacy: String,
    pub common_name: Option<String>,
    pub issuer_common_name: Option<String>,
    /// In seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// OpenSSL's name of the kind of its key: `rsaEncryption`, `id-ecPublicKey`; empty for other kinds.
    pub key_type: &'static str,
    /// The alternative names that are text: of hosts, addresses, mailboxes and URIs, in their order.
    pub alternative_names: Vec<String>,
    /// What stands in those alternative names that are distinguished names, in their order.
    pub directory_names: Vec<Attribute>,
    /// The serial number in upper-case hexadecimal digits.
    pub serial: String,
    /// The SHA-1 digest in hexadecimal digits.
    pub fingerprint: String,
}

/// An attribute of a distinguished name, with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its identifier with dots.
    pub oid: String,
    pub value: String,
}

/// The names of attributes that OpenSSL knows, of those that stand in certificates, short and long.
const ATTRIBUTES: &[(Oid<'static>, &str, &str)] = &[
    (oid!(2.5.4.3), "CN", "commonName"),
    (oid!(2.5.4.4), "SN", "surname"),
    (oid!(2.5.4.5), "serialNumber", "serialNumber"),
    (oid!(2.5.4.6), "C", "countryName"),
    (oid!(2.5.4.7), "L", "localityName"),
    (oid!(2.5.4.8), "ST", "stateOrProvinceName"),
    (oid!(2.5.4.9), "street", "streetAddress"),
    (oid!(2.5.4.10), "O", "organizationName"),
    (oid!(2.5.4.11), "OU", "organizationalUnitName"),
    (oid!(2.5.4.12), "title", "title"),
    (oid!(2.5.4.13), "description", "description"),
    (oid!(2.5.4.17), "postalCode", "postalCode"),
    (oid!(2.5.4.42), "GN", "givenName"),
    (oid!(2.5.4.43), "initials", "initials"),
    (oid!(2.5.4.44), "generationQualifier", "generationQualifier"),
    (oid!(2.5.4.46), "dnQualifier", "dnQualifier"),
    (oid!(2.5.4.65), "pseudonym", "pseudonym"),
    (oid!(0.9.2342.19200300.100.1.1), "UID", "userId"),
    (oid!(0.9.2342.19200300.100.1.25), "DC", "domainComponent"),
    (oid!(1.2.840.113549.1.9.1), "emailAddress", "emailAddress"),
];

impl Details {
    /// Looks into a certificate; the error says why it is none.
    pub fn of(der: &[u8]) -> Result<Details, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        let common_name = parsed.subject().iter_common_name().last().and_then(text);
        let key_type = match &parsed.public_key().algorithm.algorithm {
            kind if *kind == oid!(1.2.840.113549.1.1.1) => "rsaEncryption",
            kind if *kind == oid!(1.2.840.10045.2.1) => "id-ecPublicKey",
            _ => "",
        };
        let validity = parsed.validity();
        let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
        Ok(Details {
            subject: distinguished(parsed.subject()),
            issuer: distinguished(parsed.issuer()),
            subject_legacy: legacy(parsed.subject()),
            issuer_legacy: legacy(parsed.issuer()),
            common_name,
            issuer_common_name: parsed.issuer().iter_common_name().last().and_then(text),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            key_type,
            alternative_names: general_names(&parsed).filter_map(alternative_name).collect(),
            directory_names: general_names(&parsed).flat_map(attributes).collect(),
            serial: hexadecimal(parsed.raw_serial()).to_ascii_uppercase(),
            fingerprint: hexadecimal(fingerprint.as_ref()),
        })
    }
}

impl Attribute {
    /// Whether that is its identifier, or OpenSSL's short or long name for it.
    pub fn is(&self, name: &str) -> bool {
        let known = ATTRIBUTES.iter().find(|(_, short, long)| [*short, *long].contains(&name));
        self.oid == name || known.is_some_and(|(oid, ..)| oid.to_id_string() == self.oid)
    }
}

fn general_names<'a>(certificate: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let extensions = certificate.extensions().iter().map(|extension| extension.parsed_extension());
    let names = extensions.filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    names.flatten()
}

fn attributes(name: &GeneralName<'_>) -> Vec<Attribute> {
    let GeneralName::DirectoryName(name) = name else { return Vec::new() };
    let attribute = |attribute: &AttributeTypeAndValue<'_>| {
        Some(Attribute { oid: attribute.attr_type().to_id_string(), value: text(attribute)? })
    };
    name.iter_attributes().filter_map(attribute).collect()
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// A name as RFC 2253 writes it: the last part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (at, attribute) in part.iter().enumerate() {
            match at {
                0 if out.is_empty() => {}
                0 => out.push(','),
                _ => out.push('+'),
            }
            write_attribute(&mut out, attribute);
        }
    }
    out
}

fn write_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let known = ATTRIBUTES.iter().find(|(oid, ..)| oid == attribute.attr_type()).map(|(_, name, _)| *name);
    match (known, text(attribute)) {
        (Some(name), Some(value)) => {
            out.push_str(name);
            out.push('=');
            write_escaped(out, value.as_bytes());
        }
        // As OpenSSL: what it does not know is shown as it stands there.
        _ => {
            let value = attribute.attr_value();
            let header = [value.header.tag().0 as u8, value.data.len() as u8];
            let _ = write!(out, "{}=#{}", attribute.attr_type(), hexadecimal(&header).to_ascii_uppercase());
            out.push_str(&hexadecimal(value.data).to_ascii_uppercase());
        }
    }
}

/// A name as `X509_NAME_oneline` writes it: in its own order, with octets that are not printable as `\xHH`.
fn legacy(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for attribute in name.iter_attributes() {
        let known = ATTRIBUTES.iter().find(|(oid, ..)| oid == attribute.attr_type());
        out.push('/');
        match known {
            Some((_, name, _)) => out.push_str(name),
            None => out.push_str(&attribute.attr_type().to_string()),
        }
        out.push('=');
        for octet in attribute.attr_value().data {
            match octet {
                b' '..=b'~' => out.push(char::from(*octet)),
                _ => {
                    let _ = write!(out, "\\x{octet:02X}");
                }
            }
        }
    }
    out
}

/// RFC 2253, section 2.4, with all that is not ASCII in hexadecimal digits.
fn write_escaped(out: &mut String, value: &[u8]) {
    for (at, &octet) in value.iter().enumerate() {
        let at_end = at + 1 == value.len();
        match octet {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(octet)]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at_end => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "\\{octet:02X}");
            }
        }
    }
}

/// The value of an attribute in UTF-8, where it is text.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let pairs = || value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    match value.header.tag().0 {
        // UTF8String, PrintableString, IA5String, NumericString, VisibleString.
        12 | 18 | 19 | 22 | 26 => std::str::from_utf8(value.data).ok().map(str::to_owned),
        // TeletexString: what stands in it is Latin-1.
        20 => Some(value.data.iter().map(|&octet| char::from(octet)).collect()),
        // BMPString.
        30 => char::decode_utf16(pairs()).collect::<Result<_, _>>().ok(),
        _ => None,
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut out, octet| {
        let _ = write!(out, "{octet:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, SerialNumber};

    #[test]
    fn certificates_are_shown_as_nginx_shows_them() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String("Ähre, Inc.".to_owned()));
        params.distinguished_name.push(DnType::CommonName, "#ada ");
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
        params.serial_number = Some(SerialNumber::from(0x0abc_u64));
        params.subject_alt_names = vec![
            SanType::DnsName("a.test".try_into().unwrap()),
            SanType::Rfc822Name("a@b.test".try_into().unwrap()),
            SanType::URI("spiffe://a".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let details = Details::of(made.der()).unwrap();
        assert_eq!(details.subject, "1.2.3=#0C0178,CN=\\#ada\\ ,O=\\C3\\84hre\\, Inc.,C=US");
        assert_eq!(details.issuer, details.subject);
        assert_eq!(details.subject_legacy, "/C=US/O=\\xC3\\x84hre, Inc./CN=#ada /1.2.3=x");
        assert_eq!(details.issuer_legacy, details.subject_legacy);
        assert_eq!(details.common_name.as_deref(), Some("#ada "));
        assert_eq!(details.alternative_names, ["a.test", "a@b.test", "spiffe://a", "127.0.0.1"]);
        assert_eq!(details.serial, "0ABC");
        assert_eq!(details.fingerprint.len(), 40);
        assert!(Details::of(b"x").is_err());
    }
}

//! `$ssl_*`: how a client's connection is secured, and what its certificate says.

use crate::certificates::{Details, escaped_pem, pem};
use crate::{CertificateDer, Client};
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a variable says of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVariable {
    Alpn,
    Certificate(CertificateVariable),
    Cipher,
    Curve,
    /// Nothing is taken before a handshake is over.
    EarlyData,
    Protocol,
    ServerName,
    SessionReused,
    Verify,
}

/// What a variable says of a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateVariable {
    /// In PEM, with a tab before each line but the first.
    Indented,
    Escaped,
    Fingerprint,
    Issuer,
    IssuerLegacy,
    Pem,
    Serial,
    Subject,
    SubjectLegacy,
    ValidFrom,
    ValidUntil,
    /// Days that it is still valid.
    Remaining,
}

const DAY: i64 = 24 * 3600;

impl TlsVariable {
    pub(super) fn parse(name: &str) -> Option<TlsVariable> {
        use CertificateVariable as Certificate;
        let certificate = match name {
            "ssl_alpn_protocol" => return Some(TlsVariable::Alpn),
            "ssl_cipher" => return Some(TlsVariable::Cipher),
            "ssl_curve" => return Some(TlsVariable::Curve),
            "ssl_early_data" => return Some(TlsVariable::EarlyData),
            "ssl_protocol" => return Some(TlsVariable::Protocol),
            "ssl_preread_server_name" => return Some(TlsVariable::ServerName),
            "ssl_session_reused" => return Some(TlsVariable::SessionReused),
            "ssl_client_verify" => return Some(TlsVariable::Verify),
            "ssl_client_cert" => Certificate::Indented,
            "ssl_client_escaped_cert" => Certificate::Escaped,
            "ssl_client_fingerprint" => Certificate::Fingerprint,
            "ssl_client_i_dn" => Certificate::Issuer,
            "ssl_client_i_dn_legacy" => Certificate::IssuerLegacy,
            "ssl_client_raw_cert" => Certificate::Pem,
            "ssl_client_serial" => Certificate::Serial,
            "ssl_client_s_dn" => Certificate::Subject,
            "ssl_client_s_dn_legacy" => Certificate::SubjectLegacy,
            "ssl_client_v_start" => Certificate::ValidFrom,
            "ssl_client_v_end" => Certificate::ValidUntil,
            "ssl_client_v_remain" => Certificate::Remaining,
            _ => return None,
        };
        Some(TlsVariable::Certificate(certificate))
    }

    pub(super) fn value<'a>(self, client: &'a Client) -> Option<Cow<'a, [u8]>> {
        if self == TlsVariable::ServerName {
            return client.sni.as_deref().map(|name| name.as_bytes().into());
        }
        let tls = client.tls.as_ref()?;
        let word = match self {
            TlsVariable::Alpn => tls.alpn,
            TlsVariable::Cipher => tls.cipher,
            TlsVariable::Curve => tls.group,
            TlsVariable::Protocol => tls.version,
            TlsVariable::SessionReused if tls.resumed => "r",
            TlsVariable::SessionReused => ".",
            TlsVariable::Verify => tls.client_verify,
            TlsVariable::EarlyData | TlsVariable::ServerName => "",
            TlsVariable::Certificate(variable) => {
                let certificate = client.certificate.as_deref()?;
                let details = certificate.details()?;
                return Some(variable.value(certificate.own(), details).into_owned().into_bytes().into());
            }
        };
        (!word.is_empty()).then(|| word.as_bytes().into())
    }
}

impl CertificateVariable {
    fn value<'a>(self, certificate: &CertificateDer<'_>, details: &'a Details) -> Cow<'a, str> {
        match self {
            CertificateVariable::Indented => pem(certificate).trim_end().replace('\n', "\n\t").into(),
            CertificateVariable::Escaped => escaped_pem(certificate).into(),
            CertificateVariable::Fingerprint => (&*details.fingerprint).into(),
            CertificateVariable::Issuer => (&*details.issuer).into(),
            CertificateVariable::IssuerLegacy => (&*details.issuer_legacy).into(),
            CertificateVariable::Pem => pem(certificate).into(),
            CertificateVariable::Serial => (&*details.serial).into(),
            CertificateVariable::Subject => (&*details.subject).into(),
            CertificateVariable::SubjectLegacy => (&*details.subject_legacy).into(),
            CertificateVariable::ValidFrom => moment(details.not_before).into(),
            CertificateVariable::ValidUntil => moment(details.not_after).into(),
            CertificateVariable::Remaining => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let left = details.not_after.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
                (left.max(0) / DAY).to_string().into()
            }
        }
    }
}

/// As OpenSSL prints times: `Jun  2 12:00:00 2026 GMT`.
fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().strftime("%b %e %H:%M:%S %Y GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Variable;
    use crate::{ClientCertificate, Exchange, Tls, testing};
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};
    use std::sync::Arc;

    fn value(name: &str, exchange: &Exchange) -> Option<String> {
        let value = Variable::parse(name).expect(name).value(exchange, &exchange.request.fields);
        value.map(|value| String::from_utf8(value.into_owned()).unwrap())
    }

    #[test]
    fn connections() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        for name in ["ssl_protocol", "ssl_client_verify", "ssl_session_reused", "ssl_client_s_dn"] {
            assert_eq!(value(name, &exchange), None, "{name}");
        }
        let (version, cipher) = ("TLSv1.3", "TLS_AES_128_GCM_SHA256");
        exchange.client.tls =
            Some(Tls { version, cipher, group: "X25519", alpn: "h2", resumed: true, client_verify: "NONE" });
        exchange.client.sni = Some("a.test".into());
        for (name, expected) in [
            ("ssl_protocol", version),
            ("ssl_cipher", cipher),
            ("ssl_curve", "X25519"),
            ("ssl_alpn_protocol", "h2"),
            ("ssl_session_reused", "r"),
            ("ssl_client_verify", "NONE"),
            ("ssl_preread_server_name", "a.test"),
        ] {
            assert_eq!(value(name, &exchange).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("ssl_client_s_dn", &exchange), None);
        assert_eq!(value("ssl_early_data", &exchange), None);
    }

    #[test]
    fn certificates() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::CommonName, "ada/b");
        params.serial_number = Some(SerialNumber::from(0x0abc_u64));
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(2021, 11, 12);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.client.tls =
            Some(Tls { version: "TLSv1.2", cipher: "", group: "", alpn: "", resumed: false, client_verify: "SUCCESS" });
        exchange.client.certificate = ClientCertificate::new(vec![made.der().clone()]).map(Arc::new);
        for (name, expected) in [
            ("ssl_client_s_dn", "CN=ada/b,C=US"),
            ("ssl_client_i_dn_legacy", "/C=US/CN=ada/b"),
            ("ssl_client_serial", "0ABC"),
            ("ssl_client_v_start", "Jan  2 00:00:00 2020 GMT"),
            ("ssl_client_v_end", "Nov 12 00:00:00 2021 GMT"),
            ("ssl_client_v_remain", "0"),
        ] {
            assert_eq!(value(name, &exchange).as_deref(), Some(expected), "{name}");
        }
        let pem = value("ssl_client_raw_cert", &exchange).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\nM") && pem.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(value("ssl_client_cert", &exchange).unwrap().replace("\n\t", "\n") + "\n", pem);
        assert!(value("ssl_client_escaped_cert", &exchange).unwrap().starts_with("-----BEGIN%20CERTIFICATE-----%0AM"));
        assert_eq!(value("ssl_client_fingerprint", &exchange).unwrap().len(), 40);
        assert_eq!(value("ssl_cipher", &exchange), None);
    }
}

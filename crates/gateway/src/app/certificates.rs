//! Certificates of listeners: those in the settings, or self-signed ones that are made once and kept in the prefix.

use super::prefix::write_private;
use crate::settings::Settings;
use base64::Engine;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// An interface that has certificates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Proxy,
    Admin,
    Status,
}

/// Certificates with their keys, best first, as PEM text.
pub type Pairs = Vec<(String, String)>;

/// A certificate with those that lead to its root, and its key.
pub type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificates of an interface.
pub fn pairs(settings: &Settings, interface: Interface) -> Result<Pairs, String> {
    let (prefix, file) = match interface {
        Interface::Proxy => ("", ""),
        Interface::Admin => ("admin_", "admin-"),
        Interface::Status => ("status_", "status-"),
    };
    let given = settings.list(&format!("{prefix}ssl_cert"));
    if given.is_empty() {
        return kept(settings, file).map(|pair| vec![pair]);
    }
    let keys = settings.list(&format!("{prefix}ssl_cert_key"));
    let pair = |(cert, key): (&String, &String)| Ok((read(cert, &format!("{prefix}ssl_cert"))?, read(key, &format!("{prefix}ssl_cert_key"))?));
    given.iter().zip(keys).map(pair).collect()
}

/// The TLS configuration of an interface other than the proxy's.
pub fn server_config(settings: &Settings, interface: Interface) -> Result<Arc<ServerConfig>, String> {
    let keys = pairs(settings, interface)?.iter().map(|(cert, key)| certified(cert, key)).collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Resolver(keys)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Offers the first certificate that suits the client.
#[derive(Debug)]
struct Resolver(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let suits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(suits).or(self.0.first()).cloned()
    }
}

/// The certificates of an interface with their keys, decoded.
pub fn chains(settings: &Settings, interface: Interface) -> Result<Vec<Chain>, String> {
    pairs(settings, interface)?.iter().map(|(cert, key)| decoded(cert, key)).collect()
}

/// Who may vouch for services and other peers (`lua_ssl_trusted_certificate`).
pub fn trusted_roots(settings: &Settings) -> Result<Arc<RootCertStore>, String> {
    const SETTING: &str = "lua_ssl_trusted_certificate";
    let mut roots = RootCertStore::empty();
    for entry in settings.list(SETTING) {
        if entry == "system" {
            // A certificate of the system's that cannot be used is not this node's business.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            continue;
        }
        let text = read(entry, SETTING)?;
        for cert in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let cert = cert.map_err(|e| format!("{SETTING}: {e}"))?;
            roots.add(cert).map_err(|e| format!("{SETTING}: {e}"))?;
        }
    }
    Ok(Arc::new(roots))
}

fn decoded(cert: &str, key: &str) -> Result<Chain, String> {
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| format!("bad certificate: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| format!("bad key: {e}"))?;
    Ok((chain, key))
}

fn certified(cert: &str, key: &str) -> Result<Arc<CertifiedKey>, String> {
    let (chain, key) = decoded(cert, key)?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|e| format!("certificate and key: {e}"))?;
    Ok(Arc::new(key))
}

/// PEM text from a file's name, from itself, or from base64.
fn read(given: &str, setting: &str) -> Result<String, String> {
    if given.starts_with("-----BEGIN") {
        return Ok(given.to_owned());
    }
    if Path::new(given).exists() {
        return std::fs::read_to_string(given).map_err(|e| format!("{setting}: cannot read {given}: {e}"));
    }
    let compact: String = given.split_whitespace().collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.filter(|text| text.contains("-----BEGIN")).ok_or_else(|| format!("{setting}: neither a file nor PEM text nor base64 of it"))
}

/// The self-signed certificate of an interface, made when there is none yet.
fn kept(settings: &Settings, interface: &str) -> Result<(String, String), String> {
    let cert_file = settings.path(format!("ssl/{interface}kong-default-ecdsa.crt"));
    let key_file = settings.path(format!("ssl/{interface}kong-default-ecdsa.key"));
    if let (Ok(cert), Ok(key)) = (std::fs::read_to_string(&cert_file), std::fs::read_to_string(&key_file)) {
        return Ok((cert, key));
    }
    let (cert, key) = self_signed().map_err(|e| format!("cannot make a certificate: {e}"))?;
    for (path, text) in [(&key_file, &key), (&cert_file, &cert)] {
        write_private(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok((cert, key))
}

fn self_signed() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::OrganizationName, "Bascule");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    fn settings(prefix: &Path, variables: &[(&str, String)]) -> Settings {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let file = Some(prefix.join("kong.conf"));
        std::fs::write(prefix.join("kong.conf"), "").unwrap();
        Settings::load(&Sources { file, environment, overrides: vec![("prefix", prefix.display().to_string())] }).unwrap()
    }

    #[test]
    fn self_signed_certificates_are_kept() {
        let prefix = tempfile::tempdir().unwrap();
        let settings = settings(prefix.path(), &[]);
        super::super::prefix::prepare(&settings).unwrap();
        let first = pairs(&settings, Interface::Admin).unwrap();
        assert_eq!(pairs(&settings, Interface::Admin).unwrap(), first);
        assert_ne!(pairs(&settings, Interface::Proxy).unwrap(), first);
        server_config(&settings, Interface::Admin).unwrap();
    }

    #[test]
    fn given_certificates() {
        let prefix = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed().unwrap();
        let file = prefix.path().join("x.key");
        std::fs::write(&file, &key).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&cert);
        let given = settings(prefix.path(), &[("KONG_SSL_CERT", base64), ("KONG_SSL_CERT_KEY", file.display().to_string())]);
        assert_eq!(pairs(&given, Interface::Proxy).unwrap(), [(cert, key)]);
        let wrong = settings(prefix.path(), &[("KONG_SSL_CERT", "x".to_owned()), ("KONG_SSL_CERT_KEY", "y".to_owned())]);
        assert_eq!(pairs(&wrong, Interface::Proxy).unwrap_err(), "ssl_cert: neither a file nor PEM text nor base64 of it");
    }
}

//! Certificates of listeners: those in the settings, or self-signed ones that are made once and kept in the prefix.

use super::prefix::write_private;
use crate::settings::nginx::{self, Scope};
use crate::settings::{Settings, tls};
use base64::Engine;
use proxy::tls::{Chain, ClientVerification, ClientVerificationMode, Identity, Policy};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// An interface that has certificates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Proxy,
    Admin,
    Status,
}

impl Interface {
    const ALL: [Interface; 3] = [Interface::Proxy, Interface::Admin, Interface::Status];

    /// The setting that says where it listens.
    pub fn setting(self) -> &'static str {
        match self {
            Interface::Proxy => "proxy_listen",
            Interface::Admin => "admin_listen",
            Interface::Status => "status_listen",
        }
    }

    /// Where directives for its listeners stand.
    fn scope(self) -> Scope {
        match self {
            Interface::Proxy => nginx::PROXY_SERVER,
            Interface::Admin => nginx::ADMIN,
            Interface::Status => nginx::STATUS,
        }
    }
}

/// Certificates with their keys, best first, as PEM text.
pub type Pairs = Vec<(String, String)>;

/// Sessions of clients of the Admin API and the like; there are few of them.
const OTHER_SESSIONS: usize = 256;

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
    let pair = |(cert, key): (&String, &String)| {
        Ok((read(cert, &format!("{prefix}ssl_cert"))?, read(key, &format!("{prefix}ssl_cert_key"))?))
    };
    given.iter().zip(keys).map(pair).collect()
}

/// Reads every file with certificates, keys and revocation lists that the settings name, as a start does.
pub fn check(settings: &Settings) -> Result<(), String> {
    for interface in Interface::ALL {
        let listeners = match interface {
            Interface::Proxy => &settings.proxy_listen,
            Interface::Admin => &settings.admin_listen,
            Interface::Status => &settings.status_listen,
        };
        if listeners.iter().any(|listener| listener.ssl) {
            client_verification(settings, interface)?;
        }
    }
    service_roots(settings).map(drop)
}

/// TLS for clients of an interface, with the certificates that they must show.
pub fn policy(settings: &Settings, interface: Interface) -> Result<Policy, String> {
    let clients = client_verification(settings, interface)?;
    Ok(Policy { clients, ..tls::policy(settings, interface.scope())? })
}

/// What certificates clients of an interface must show (`ssl_verify_client`).
pub fn client_verification(settings: &Settings, interface: Interface) -> Result<ClientVerification, String> {
    let (injected, scope) = (&settings.injected, interface.scope());
    let mode = match injected.word(scope, "ssl_verify_client") {
        "on" => ClientVerificationMode::On,
        "optional" => ClientVerificationMode::Optional,
        "optional_no_ca" => ClientVerificationMode::OptionalNoCa,
        _ => return Ok(ClientVerification::default()),
    };
    let text = |name: &str| match injected.path(scope, name) {
        None => Ok(String::new()),
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|e| format!("{}: cannot read {}: {e}", injected.key(scope, name), path.display())),
    };
    let authorities = |name: &str| -> Result<Vec<CertificateDer<'static>>, String> {
        let found = CertificateDer::pem_slice_iter(text(name)?.as_bytes()).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|e| format!("{}: {e}", injected.key(scope, name)))?;
        match injected.path(scope, name) {
            Some(path) if found.is_empty() => {
                Err(format!("{}: there is no certificate in {}", injected.key(scope, name), path.display()))
            }
            _ => Ok(found),
        }
    };
    let (announced, others) = (authorities("ssl_client_certificate")?, authorities("ssl_trusted_certificate")?);
    let key = injected.key(scope, "ssl_verify_client");
    if announced.is_empty() && others.is_empty() && mode != ClientVerificationMode::OptionalNoCa {
        return Err(format!("{key}: no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client"));
    }
    let revocations = CertificateRevocationListDer::pem_slice_iter(text("ssl_crl")?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("{}: {e}", injected.key(scope, "ssl_crl")))?;
    if let (Some(path), true) = (injected.path(scope, "ssl_crl"), revocations.is_empty()) {
        let key = injected.key(scope, "ssl_crl");
        return Err(format!("{key}: there is no revocation list in {}", path.display()));
    }
    let depth = injected.number(scope, "ssl_verify_depth").unwrap_or(1);
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    ClientVerification::new(mode, &announced, &others, depth, &revocations).map_err(|e| format!("{key}: {e}"))
}

/// The TLS of an interface other than the proxy's; renewed as a whole by a reload.
#[derive(Clone)]
pub struct Secure(Arc<RwLock<Arc<Terms>>>);

/// What is in force.
struct Terms {
    config: Arc<ServerConfig>,
    clients: ClientVerification,
}

impl Secure {
    pub fn new(settings: &Settings, interface: Interface) -> Result<Secure, String> {
        let identity = Arc::new(Identity::new(chains(settings, interface)?)?);
        let policy = Policy { sessions: OTHER_SESSIONS, ..policy(settings, interface)? };
        let config = policy.server_config(identity).map_err(|e| format!("TLS: {e}"))?;
        let terms = Terms { config: Arc::new(config), clients: policy.clients };
        Ok(Secure(Arc::new(RwLock::new(Arc::new(terms)))))
    }

    /// Takes the certificates that the settings name as they are now.
    pub fn reload_tls(&self, settings: &Settings, interface: Interface) -> Result<(), String> {
        let renewed = Secure::new(settings, interface)?.terms();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl admin::Tls for Secure {
    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.terms().config)
    }

    fn judge(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str> {
        self.terms().clients.judge(shown)
    }
}

/// The certificates of an interface with their keys, decoded.
pub fn chains(settings: &Settings, interface: Interface) -> Result<Vec<Chain>, String> {
    pairs(settings, interface)?.iter().map(|(cert, key)| decoded(cert, key)).collect()
}

/// What is shown to services that have nothing else to be shown (`client_ssl_cert`); without one, what clients are
/// shown.
pub fn client(settings: &Settings) -> Result<Option<Chain>, String> {
    let (cert, key) = (settings.text("client_ssl_cert"), settings.text("client_ssl_cert_key"));
    match settings.flag("client_ssl") {
        false => directed(settings),
        true if cert.is_empty() => kept(settings, "").and_then(|(cert, key)| decoded(&cert, &key)).map(Some),
        true => decoded(&read(cert, "client_ssl_cert")?, &read(key, "client_ssl_cert_key")?).map(Some),
    }
}

/// The same by nginx's directives.
fn directed(settings: &Settings) -> Result<Option<Chain>, String> {
    let file = |name| settings.injected.path(nginx::LOCATION, name);
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    match (file("proxy_ssl_certificate"), file("proxy_ssl_certificate_key")) {
        (Some(cert), Some(key)) => decoded(&read(&cert)?, &read(&key)?).map(Some),
        (Some(_), None) => Err("proxy_ssl_certificate: no proxy_ssl_certificate_key is given".to_owned()),
        _ => Ok(None),
    }
}

/// Who may vouch for peers (`lua_ssl_trusted_certificate`).
pub fn trusted_roots(settings: &Settings) -> Result<Arc<RootCertStore>, String> {
    roots("lua_ssl_trusted_certificate", settings.list("lua_ssl_trusted_certificate"))
}

/// Who may vouch for services (`proxy_ssl_trusted_certificate`), when that is not the same.
pub fn service_roots(settings: &Settings) -> Result<Option<Arc<RootCertStore>>, String> {
    const NAME: &str = "proxy_ssl_trusted_certificate";
    let Some(file) = settings.injected.path(nginx::LOCATION, NAME) else { return Ok(None) };
    let key = settings.injected.key(nginx::LOCATION, NAME);
    roots(key, &[file.to_string_lossy().into_owned()]).map(Some)
}

fn roots(setting: &str, entries: &[String]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for entry in entries {
        if entry == "system" {
            // A certificate of the system's that cannot be used is not this node's business.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            continue;
        }
        let text = read(entry, setting)?;
        for cert in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let cert = cert.map_err(|e| format!("{setting}: {e}"))?;
            roots.add(cert).map_err(|e| format!("{setting}: {e}"))?;
        }
    }
    Ok(Arc::new(roots))
}

fn decoded(cert: &str, key: &str) -> Result<Chain, String> {
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("bad certificate: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| format!("bad key: {e}"))?;
    Ok((chain, key))
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
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .filter(|text| text.contains("-----BEGIN"))
        .ok_or_else(|| format!("{setting}: neither a file nor PEM text nor base64 of it"))
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
        Settings::load(&Sources {
            file,
            environment,
            overrides: vec![("prefix", prefix.display().to_string())],
            ..Sources::default()
        })
        .unwrap()
    }

    #[test]
    fn self_signed_certificates_are_kept() {
        let prefix = tempfile::tempdir().unwrap();
        let settings = settings(prefix.path(), &[]);
        super::super::prefix::prepare(&settings).unwrap();
        let first = pairs(&settings, Interface::Admin).unwrap();
        assert_eq!(pairs(&settings, Interface::Admin).unwrap(), first);
        assert_ne!(pairs(&settings, Interface::Proxy).unwrap(), first);
        Secure::new(&settings, Interface::Admin).unwrap().reload_tls(&settings, Interface::Admin).unwrap();
    }

    #[test]
    fn given_certificates() {
        let prefix = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed().unwrap();
        let file = prefix.path().join("x.key");
        std::fs::write(&file, &key).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&cert);
        let given =
            settings(prefix.path(), &[("KONG_SSL_CERT", base64), ("KONG_SSL_CERT_KEY", file.display().to_string())]);
        assert_eq!(pairs(&given, Interface::Proxy).unwrap(), [(cert, key)]);
        let wrong =
            settings(prefix.path(), &[("KONG_SSL_CERT", "x".to_owned()), ("KONG_SSL_CERT_KEY", "y".to_owned())]);
        assert_eq!(
            pairs(&wrong, Interface::Proxy).unwrap_err(),
            "ssl_cert: neither a file nor PEM text nor base64 of it"
        );
    }
}

//! Certificates of listeners: those in the settings, or self-signed ones that are made once and kept in the prefix.

use super::prefix::write_private;
use crate::settings::nginx::{self, Scope};
use crate::settings::{Listener, Settings, tls};
use base64::Engine;
use model::pem;
use proxy::tls::{Chain, ClientVerification, ClientVerificationMode, Identity, Outbound, Peers, Policy, Services};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::CertificateDer;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// An interface that has certificates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Proxy,
    Admin,
    Status,
    Manager,
}

impl Interface {
    const ALL: [Interface; 4] = [Interface::Proxy, Interface::Admin, Interface::Status, Interface::Manager];

    /// What the names of its settings for certificates begin with.
    fn prefix(self) -> &'static str {
        match self {
            Interface::Proxy => "",
            Interface::Admin => "admin_",
            Interface::Status => "status_",
            Interface::Manager => "admin_gui_",
        }
    }

    /// The setting that says where it listens.
    pub fn setting(self) -> &'static str {
        match self {
            Interface::Proxy => "proxy_listen",
            Interface::Admin => "admin_listen",
            Interface::Status => "status_listen",
            Interface::Manager => "admin_gui_listen",
        }
    }

    /// Where directives for its listeners stand.
    fn scope(self) -> Scope {
        match self {
            Interface::Proxy => nginx::PROXY_SERVER,
            Interface::Admin => nginx::ADMIN,
            Interface::Status => nginx::STATUS,
            Interface::Manager => nginx::MANAGER,
        }
    }
}

/// The keys of self-signed certificates: clients say which they can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    Ecdsa,
}

/// Sessions of clients of the Admin API and the like; there are few of them.
const OTHER_SESSIONS: usize = 256;

/// Reads every certificate, key and revocation list that the settings name, as a start does; what is wrong with them.
pub fn check(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    for interface in Interface::ALL {
        if !listeners(settings, interface).iter().any(|listener| listener.is_secure()) {
            continue;
        }
        let setting = format!("{}ssl_cert", interface.prefix());
        if settings.list(&setting).is_empty() {
            // What is not there yet is made by a start.
            errors.extend(check_kept(settings, interface).err());
        } else {
            let identity = chains(settings, interface).and_then(|chains| {
                Identity::new(chains).map(drop).map_err(|e| format!("{setting}, {setting}_key: {e}"))
            });
            errors.extend(identity.err());
        }
        errors.extend(client_verification(settings, interface).err());
    }
    let client_is_proxy = settings.flag("client_ssl") && settings.text("client_ssl_cert").is_empty();
    if !client_is_proxy || is_kept(settings, Interface::Proxy, Kind::Rsa) {
        errors.extend(client(settings).err());
    }
    errors.extend(trusted_roots(settings).err());
    for directive in ["proxy_ssl_trusted_certificate", "grpc_ssl_trusted_certificate"] {
        errors.extend(directed_roots(settings, directive).err());
    }
    errors
}

/// Makes the self-signed certificates that a start would make.
pub fn prepare(settings: &Settings) -> Result<(), String> {
    for interface in Interface::ALL {
        if listeners(settings, interface).iter().any(|listener| listener.is_secure()) {
            chains(settings, interface)?;
        }
    }
    client(settings).map(drop)
}

fn listeners(settings: &Settings, interface: Interface) -> &[Listener] {
    match interface {
        Interface::Proxy => &settings.proxy_listen,
        Interface::Admin => &settings.admin_listen,
        Interface::Status => &settings.status_listen,
        Interface::Manager => &settings.manager_listen,
    }
}

/// TLS for clients of an interface, with the certificates that they must show.
pub fn policy(settings: &Settings, interface: Interface) -> Result<Policy, String> {
    let clients = client_verification(settings, interface)?;
    Ok(Policy { clients, ..tls::policy(settings, interface.scope())? })
}

/// What certificates clients of an interface must show (`ssl_verify_client`).
pub fn client_verification(settings: &Settings, interface: Interface) -> Result<ClientVerification, String> {
    let (injected, scope) = (&settings.injected, interface.scope());
    let text = |name: &str| match injected.path(scope, name) {
        None => Ok(String::new()),
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|e| format!("{}: cannot read {}: {e}", injected.key(scope, name), path.display())),
    };
    let authorities = |name: &str| -> Result<Vec<CertificateDer<'static>>, String> {
        let found = pem::certificates(&text(name)?).map_err(|e| format!("{}: {e}", injected.key(scope, name)))?;
        match injected.path(scope, name) {
            Some(path) if found.is_empty() => {
                Err(format!("{}: there is no certificate in {}", injected.key(scope, name), path.display()))
            }
            _ => Ok(found),
        }
    };
    // As nginx, which reads the files whether or not clients are verified: what is wrong with them shows at once.
    let (announced, others) = (authorities("ssl_client_certificate")?, authorities("ssl_trusted_certificate")?);
    let revocations =
        pem::revocation_lists(&text("ssl_crl")?).map_err(|e| format!("{}: {e}", injected.key(scope, "ssl_crl")))?;
    if let (Some(path), true) = (injected.path(scope, "ssl_crl"), revocations.is_empty()) {
        let key = injected.key(scope, "ssl_crl");
        return Err(format!("{key}: there is no revocation list in {}", path.display()));
    }
    let mode = match injected.word(scope, "ssl_verify_client") {
        "on" => ClientVerificationMode::On,
        "optional" => ClientVerificationMode::Optional,
        "optional_no_ca" => ClientVerificationMode::OptionalNoCa,
        _ => return Ok(ClientVerification::default()),
    };
    let key = injected.key(scope, "ssl_verify_client");
    if announced.is_empty() && others.is_empty() && mode != ClientVerificationMode::OptionalNoCa {
        return Err(format!("{key}: no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client"));
    }
    let depth = injected.number(scope, "ssl_verify_depth").unwrap_or(1);
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    ClientVerification::new(mode, &announced, &others, depth, &revocations).map_err(|e| format!("{key}: {e}"))
}

/// The TLS of an interface other than the proxy's; renewed as a whole by a reload.
#[derive(Clone)]
pub struct InterfaceTls(Arc<RwLock<Arc<Terms>>>);

/// What is in force.
struct Terms {
    config: Arc<ServerConfig>,
    clients: ClientVerification,
}

impl InterfaceTls {
    pub fn new(settings: &Settings, interface: Interface) -> Result<InterfaceTls, String> {
        let identity = Arc::new(Identity::new(chains(settings, interface)?)?);
        let http2 = listeners(settings, interface).iter().any(|listener| listener.http2);
        let policy = Policy { sessions: OTHER_SESSIONS, http2, ..policy(settings, interface)? };
        let config = policy.server_config(identity).map_err(|e| format!("TLS: {e}"))?;
        let terms = Terms { config: Arc::new(config), clients: policy.clients };
        Ok(InterfaceTls(Arc::new(RwLock::new(Arc::new(terms)))))
    }

    /// Takes the place of what is in force.
    pub fn renew(&self, new: &InterfaceTls) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new.terms();
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl admin::Tls for InterfaceTls {
    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.terms().config)
    }

    fn verify_client(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str> {
        self.terms().clients.verify_client(shown)
    }
}

/// The certificates of an interface with their keys, decoded.
pub fn chains(settings: &Settings, interface: Interface) -> Result<Vec<Chain>, String> {
    let setting = format!("{}ssl_cert", interface.prefix());
    let certs = settings.list(&setting);
    if certs.is_empty() {
        return kept(settings, interface);
    }
    let keys = settings.list(&format!("{setting}_key"));
    certs.iter().zip(keys).map(|(cert, key)| given(&setting, cert, key)).collect()
}

/// What is shown to services that have nothing else to be shown (`client_ssl_cert`); without one, as in Kong, the
/// self-signed certificate of RSA.
pub fn client(settings: &Settings) -> Result<Option<Chain>, String> {
    let (cert, key) = (settings.text("client_ssl_cert"), settings.text("client_ssl_cert_key"));
    match settings.flag("client_ssl") {
        false => directed(settings),
        true if cert.is_empty() => kept_one(settings, Interface::Proxy, Kind::Rsa).map(Some),
        true => given("client_ssl_cert", cert, key).map(Some),
    }
}

/// The same by nginx's directives.
fn directed(settings: &Settings) -> Result<Option<Chain>, String> {
    let file = |name| settings.injected.path(nginx::LOCATION, name).map(|path| path.to_string_lossy().into_owned());
    match (file("proxy_ssl_certificate"), file("proxy_ssl_certificate_key")) {
        (Some(cert), Some(key)) => given("proxy_ssl_certificate", &cert, &key).map(Some),
        (Some(_), None) => Err("proxy_ssl_certificate: no proxy_ssl_certificate_key is given".to_owned()),
        _ => Ok(None),
    }
}

/// Who may vouch for peers (`lua_ssl_trusted_certificate`).
pub fn trusted_roots(settings: &Settings) -> Result<Arc<RootCertStore>, String> {
    roots("lua_ssl_trusted_certificate", settings.list("lua_ssl_trusted_certificate"))
}

/// The way to servers before there is a node: names by the system's resolver.
pub fn network(roots: Arc<RootCertStore>) -> Result<sdk::Network, String> {
    let services = Services { probes: Peers { roots, ..Peers::default() }, ..Services::default() };
    let network = sdk::Network::default();
    network.renew_tls(Outbound::new(services)?.of_plugins());
    Ok(network)
}

/// Who may vouch for services, by a directive of nginx's (`proxy_ssl_trusted_certificate`), when that is not the same.
pub fn directed_roots(settings: &Settings, directive: &str) -> Result<Option<Arc<RootCertStore>>, String> {
    let Some(file) = settings.injected.path(nginx::LOCATION, directive) else { return Ok(None) };
    let key = settings.injected.key(nginx::LOCATION, directive);
    roots(key, &[file.to_string_lossy().into_owned()]).map(Some)
}

/// Who may vouch for others, by files, texts and `system`.
pub fn roots(setting: &str, entries: &[String]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for entry in entries {
        if entry == "system" {
            // A certificate of the system's that cannot be used is not this node's business.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            continue;
        }
        let failed = |why: String| format!("{setting}: failed loading certificate{}: {why}", origin(entry));
        for cert in text(entry).and_then(|pem| certificates(&pem)).map_err(failed)? {
            roots.add(cert).map_err(|e| failed(e.to_string()))?;
        }
    }
    Ok(Arc::new(roots))
}

/// A certificate with its key, as a setting and the one for its key give them. Kong's words for what is wrong.
pub fn given(setting: &str, cert: &str, key: &str) -> Result<Chain, String> {
    let failed =
        |what: &str, setting: &str, text: &str, why| format!("{setting}: failed loading {what}{}: {why}", origin(text));
    let of_cert = |why| failed("certificate", setting, cert, why);
    let of_key = |why| failed("key", &format!("{setting}_key"), key, why);
    let chain = certificates(&text(cert).map_err(of_cert)?).map_err(of_cert)?;
    let key = pem::private_key(&text(key).map_err(of_key)?).map_err(|e| of_key(e.to_owned()))?;
    Ok((chain, key))
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = pem::certificates(text)?;
    if chain.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(chain) }
}

/// PEM text from a file's name, from itself, or from base64.
fn text(given: &str) -> Result<String, String> {
    if given.starts_with("-----BEGIN") {
        return Ok(given.to_owned());
    }
    if is_path(given) {
        return std::fs::read_to_string(given).map_err(|e| e.to_string());
    }
    let compact: String = given.split_whitespace().collect();
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .filter(|text| text.contains("-----BEGIN"))
        .ok_or_else(|| "it is neither a file nor PEM text nor base64 of it".to_owned())
}

/// Whether a text is the name of a file, there or not, rather than what could be in one.
fn is_path(text: &str) -> bool {
    Path::new(text).exists() || (text.len() < 256 && (text.starts_with(['/', '.']) || text.contains('.')))
}

/// Where a text is from, for messages: a key that stands in the settings must not get into a log.
fn origin(text: &str) -> String {
    if is_path(text) { format!(" from {text}") } else { String::new() }
}

impl Kind {
    /// In the order in which Kong lists them; the client's wishes decide.
    const ALL: [Kind; 2] = [Kind::Rsa, Kind::Ecdsa];

    fn key(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Kind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Kind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        }
    }
}

/// The files of the self-signed certificate of an interface and of its key, where Kong has them.
fn kept_files(settings: &Settings, interface: Interface, kind: Kind) -> [PathBuf; 2] {
    let prefix = interface.prefix().replace('_', "-");
    let suffix = match kind {
        Kind::Rsa => "",
        Kind::Ecdsa => "-ecdsa",
    };
    ["crt", "key"].map(|file| settings.path(format!("ssl/{prefix}kong-default{suffix}.{file}")))
}

/// Whether that certificate has been made before.
fn is_kept(settings: &Settings, interface: Interface, kind: Kind) -> bool {
    kept_files(settings, interface, kind).iter().all(|file| file.exists())
}

/// The self-signed certificates of an interface, made where there are none yet.
fn kept(settings: &Settings, interface: Interface) -> Result<Vec<Chain>, String> {
    Kind::ALL.into_iter().map(|kind| kept_one(settings, interface, kind)).collect()
}

fn kept_one(settings: &Settings, interface: Interface, kind: Kind) -> Result<Chain, String> {
    let [cert_file, key_file] = kept_files(settings, interface, kind);
    if !is_kept(settings, interface, kind) {
        let (cert, key) = self_signed(kind).map_err(|e| format!("cannot make a certificate: {e}"))?;
        for (path, text) in [(&key_file, &key), (&cert_file, &cert)] {
            write_private(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
    }
    given(&format!("{}ssl_cert", interface.prefix()), &cert_file.to_string_lossy(), &key_file.to_string_lossy())
}

/// Reads the self-signed certificates of an interface that have been made before.
fn check_kept(settings: &Settings, interface: Interface) -> Result<(), String> {
    for kind in Kind::ALL.into_iter().filter(|kind| is_kept(settings, interface, *kind)) {
        let files = kept_files(settings, interface, kind);
        let chain = kept_one(settings, interface, kind)?;
        Identity::new(vec![chain]).map_err(|e| format!("{}: {e}", files[0].display()))?;
    }
    Ok(())
}

fn self_signed(kind: Kind) -> Result<(String, String), rcgen::Error> {
    let key = kind.key()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::OrganizationName, "Bascule");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
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
        let shown = |interface| chains(&settings, interface).unwrap().into_iter().map(|(cert, _)| cert);
        let shown = |interface| shown(interface).collect::<Vec<_>>();
        let first = shown(Interface::Admin);
        assert_eq!(first.len(), 2);
        for name in ["admin-kong-default", "admin-kong-default-ecdsa"] {
            assert!(settings.path(format!("ssl/{name}.crt")).exists(), "{name}");
            assert!(settings.path(format!("ssl/{name}.key")).exists(), "{name}");
        }
        assert_eq!(shown(Interface::Admin), first);
        assert_ne!(shown(Interface::Proxy), first);
        assert_eq!(check(&settings), Vec::<String>::new());
        let (former, new) = [(); 2].map(|()| InterfaceTls::new(&settings, Interface::Admin).unwrap()).into();
        former.renew(&new);
        assert!(Arc::ptr_eq(&former.terms(), &new.terms()));
        // What a start would stumble over is found before.
        std::fs::write(settings.path("ssl/kong-default.crt"), "none").unwrap();
        assert_eq!(check(&settings).len(), 1, "{:?}", check(&settings));
    }

    #[test]
    fn a_check_makes_nothing() {
        let prefix = tempfile::tempdir().unwrap();
        let settings = settings(prefix.path(), &[]);
        assert_eq!(check(&settings), Vec::<String>::new());
        assert!(!prefix.path().join("ssl").exists());
    }

    #[test]
    fn given_certificates() {
        let prefix = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed(Kind::Ecdsa).unwrap();
        let file = prefix.path().join("x.key");
        std::fs::write(&file, &key).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&cert);
        let given =
            settings(prefix.path(), &[("KONG_SSL_CERT", base64), ("KONG_SSL_CERT_KEY", file.display().to_string())]);
        let chain = chains(&given, Interface::Proxy).unwrap().remove(0);
        assert_eq!(chain.0, certificates(&cert).unwrap());
        assert_eq!(check(&given), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_loaded_is_named_and_keys_are_not_shown() {
        let prefix = tempfile::tempdir().unwrap();
        let (cert, key) = self_signed(Kind::Ecdsa).unwrap();
        let refused = |cert: &str, key: &str| {
            let given = [("KONG_SSL_CERT", cert.to_owned()), ("KONG_SSL_CERT_KEY", key.to_owned())];
            check(&settings(prefix.path(), &given)).join("; ")
        };
        let missing = "/no/such.pem";
        let why = "No such file or directory (os error 2)";
        assert_eq!(refused(missing, &key), format!("ssl_cert: failed loading certificate from {missing}: {why}"));
        assert_eq!(refused(&cert, missing), format!("ssl_cert_key: failed loading key from {missing}: {why}"));
        let secret = refused(&cert, "c2VjcmV0");
        assert_eq!(secret, "ssl_cert_key: failed loading key: it is neither a file nor PEM text nor base64 of it");
        let other = self_signed(Kind::Ecdsa).unwrap().1;
        assert!(refused(&cert, &other).starts_with("ssl_cert, ssl_cert_key: "), "{}", refused(&cert, &other));
    }
}

//! Protocol versions, ciphers and sessions: from profiles and nginx's directives to what rustls can do, and a word
//! about what it cannot.

use super::Settings;
use super::ciphers;
use super::listen::Listener;
use super::load::Loaded;
use super::nginx::{self, Context, Injected, Scope};
use super::value::{Value, size, time};
use proxy::tls::{ClientVerification, Policy, SuiteOrder};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{DEFAULT_KX_GROUPS, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// One of Mozilla's profiles (`ssl_cipher_suite`).
struct Profile {
    name: &'static str,
    protocols: &'static str,
    /// Empty: the ciphers of TLS 1.3.
    ciphers: &'static str,
    own_order: &'static str,
}

const PROFILES: &[Profile] = &[
    Profile { name: "modern", protocols: "TLSv1.3", ciphers: "", own_order: "off" },
    Profile {
        name: "intermediate",
        protocols: "TLSv1.2 TLSv1.3",
        ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                  ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                  DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305",
        own_order: "off",
    },
    Profile {
        name: "old",
        protocols: "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
        ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                  ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                  DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305:\
                  ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:\
                  ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:\
                  DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:\
                  AES256-SHA256:AES128-SHA:AES256-SHA:DES-CBC3-SHA",
        own_order: "on",
    },
    Profile { name: "fips", protocols: "TLSv1.2", ciphers: "TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL", own_order: "on" },
];

/// nginx's own list, for the `custom` profile without `ssl_ciphers`.
const NGINX_CIPHERS: &str = "HIGH:!aNULL:!MD5";
/// As many octets as nginx needs for a session: it says that a megabyte holds about 4000.
const SESSION: u64 = 256;
const MOST_SESSIONS: u64 = 1 << 20;

/// Versions and ciphers, as far as there are such, and words about the rest.
pub struct Offer {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub suites: Vec<SupportedCipherSuite>,
    pub absent: Vec<String>,
}

/// Lets a profile other than `custom` decide over versions and ciphers, whatever else says of them.
pub fn impose(loaded: &mut Loaded) {
    let Some(Value::Text(name)) = loaded.values.get("ssl_cipher_suite") else { return };
    let Some(profile) = PROFILES.iter().find(|p| p.name == name) else { return };
    let text = |text: &str| Value::Text(text.to_owned());
    match profile.ciphers {
        "" => drop(loaded.values.remove("ssl_ciphers")),
        ciphers => drop(loaded.values.insert("ssl_ciphers".to_owned(), text(ciphers))),
    }
    for block in ["http", "stream"] {
        loaded.values.insert(format!("nginx_{block}_ssl_protocols"), text(profile.protocols));
        loaded.values.insert(format!("nginx_{block}_ssl_prefer_server_ciphers"), text(profile.own_order));
    }
}

/// What clients of an interface may use.
pub fn policy(settings: &Settings, scope: Scope) -> Result<Policy, String> {
    let (offer, injected) = (clients(settings, scope)?, &settings.injected);
    let cache = size("ssl_session_cache_size", settings.text("ssl_session_cache_size"))?;
    let lifetime = match injected.word(scope, "ssl_session_timeout") {
        "" => time("ssl_session_timeout", settings.text("ssl_session_timeout"))?,
        _ => injected.time(scope, "ssl_session_timeout").unwrap_or_default(),
    };
    Ok(Policy {
        versions: offer.versions,
        suites: offer.suites,
        groups: groups(settings, scope)?,
        order: order(settings, scope),
        tickets: injected.flag(scope, "ssl_session_tickets").unwrap_or(true),
        lifetime,
        sessions: usize::try_from((cache / SESSION).min(MOST_SESSIONS)).unwrap_or_default(),
        clients: ClientVerification::default(),
        http2: false,
        quic: false,
    })
}

/// Mozilla's profiles leave the order to clients that all suites suit; where nobody says otherwise the cheapest is
/// taken.
fn order(settings: &Settings, scope: Scope) -> SuiteOrder {
    let is_left = ["modern", "intermediate"].contains(&settings.text("ssl_cipher_suite"));
    let said = settings.injected.context(scope, "ssl_prefer_server_ciphers");
    match settings.injected.flag(scope, "ssl_prefer_server_ciphers") {
        Some(true) => SuiteOrder::Server,
        _ if is_left && said.is_none_or(|context| context == Context::Http) => SuiteOrder::Cheapest,
        _ => SuiteOrder::Client,
    }
}

/// Versions and ciphers towards services.
pub fn services(settings: &Settings) -> Result<Offer, String> {
    let list = |name| joined(&settings.injected, nginx::LOCATION, name);
    offer("nginx_proxy_proxy_ssl", &list("proxy_ssl_protocols"), &list("proxy_ssl_ciphers"))
}

/// Versions and ciphers of probes.
pub fn probes(settings: &Settings) -> Result<Offer, String> {
    offer("lua_ssl", &joined(&settings.injected, nginx::PROXY_SERVER, "lua_ssl_protocols"), "")
}

/// Everything that is asked for and not there, for the operator.
pub fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    let profile = settings.text("ssl_cipher_suite");
    let custom = profile == "custom";
    // What the usual profile lists and rustls has not is missed by nobody who did not ask for it.
    let chosen = custom || settings.is_given("ssl_cipher_suite") && profile != "intermediate";
    let injected = &settings.injected;
    let in_block = |scope, name: &str| match injected.context(scope, name) {
        Some(Context::Http) => String::new(),
        _ => joined(injected, scope, name),
    };
    let proxy = [("proxy_listen", &settings.proxy_listen), ("stream_listen", &settings.stream_listen)];
    let (admin, status) = (("admin_listen", &settings.admin_listen), ("status_listen", &settings.status_listen));
    let all = [proxy[0], proxy[1], admin, status];
    let of_all = clients(settings, &[Context::Http]).ok().filter(|_| chosen);
    let mut offers = vec![
        (format!("ssl_cipher_suite = {profile}"), of_all, listeners(&all)),
        ("nginx_proxy_proxy_ssl_*".to_owned(), services(settings).ok(), "services of https, tls and grpcs".to_owned()),
        ("lua_ssl_protocols".to_owned(), probes(settings).ok(), "probes, and servers that plugins ask".to_owned()),
    ];
    let blocks: [(&str, Scope, &[_]); 3] = [
        ("proxy", nginx::PROXY_SERVER, &proxy),
        ("admin", nginx::ADMIN, &[admin]),
        ("status", nginx::STATUS, &[status]),
    ];
    for (block, scope, of_block) in blocks {
        let protocols = in_block(scope, "ssl_protocols");
        offers.push((format!("nginx_{block}_ssl_protocols"), offer("ssl", &protocols, "").ok(), listeners(of_block)));
        let ciphers = in_block(scope, "ssl_ciphers");
        offers.push((format!("nginx_{block}_ssl_ciphers"), offer("ssl", "", &ciphers).ok(), listeners(of_block)));
    }
    for (name, offer, touched) in offers {
        if let Some(Offer { absent, .. }) = offer.filter(|offer| !offer.absent.is_empty()) {
            let absent: Vec<String> = absent.iter().map(|name| explained(name)).collect();
            warnings.push(format!("{name}: not available here, and left out for {touched}: {}", absent.join(", ")));
        }
    }
    let overruled = [
        "ssl_protocols",
        "ssl_ciphers",
        "ssl_prefer_server_ciphers",
        "nginx_http_ssl_protocols",
        "nginx_http_ssl_prefer_server_ciphers",
    ];
    let unheard = overruled.into_iter().filter(|name| !custom && settings.is_given(name));
    warnings.extend(unheard.map(|name| format!("{name} counts only with ssl_cipher_suite = custom")));
    if settings.is_given("ssl_dhparam") {
        warnings.push("ssl_dhparam has no effect: keys are exchanged by elliptic curves only".to_owned());
    }
    warnings
}

/// Those that speak TLS, as settings name them.
fn listeners(settings: &[(&str, &Vec<Listener>)]) -> String {
    let secure = |(setting, list): &(&str, &Vec<Listener>)| {
        let addresses: Vec<String> = list.iter().filter(|l| l.ssl).map(Listener::address).collect();
        (!addresses.is_empty()).then(|| format!("{setting} {}", addresses.join(" ")))
    };
    let secure: Vec<String> = settings.iter().filter_map(secure).collect();
    if secure.is_empty() { "no listener, for none speaks TLS".to_owned() } else { secure.join(", ") }
}

/// What there is not, with what of it there is not where a cipher does not say so.
fn explained(absent: &str) -> String {
    let is_cipher = absent.contains('-') && !absent.contains('+');
    let authenticated = ["GCM", "CCM", "CHACHA20"].iter().any(|mode| absent.contains(mode));
    let exchange = match absent {
        _ if absent.starts_with("ECDHE-") => None,
        _ if absent.starts_with("DHE-") => Some("DHE key exchange"),
        _ => Some("RSA key exchange"),
    };
    let lacking: Vec<&str> = exchange.into_iter().chain((!authenticated).then_some("CBC")).collect();
    if is_cipher && !lacking.is_empty() { format!("{absent} ({})", lacking.join(", ")) } else { absent.to_owned() }
}

fn clients(settings: &Settings, scope: Scope) -> Result<Offer, String> {
    let own = joined(&settings.injected, scope, "ssl_ciphers");
    let ciphers = [&own, settings.text("ssl_ciphers")].into_iter().find(|list| !list.is_empty());
    let protocols = joined(&settings.injected, scope, "ssl_protocols");
    offer("ssl", &protocols, ciphers.unwrap_or(NGINX_CIPHERS))
}

/// Key exchanges by OpenSSL's names for curves; none stand for all.
fn groups(settings: &Settings, scope: Scope) -> Result<Vec<&'static dyn SupportedKxGroup>, String> {
    let list = settings.injected.word(scope, "ssl_ecdh_curve");
    if list.is_empty() && ["modern", "intermediate"].contains(&settings.text("ssl_cipher_suite")) {
        // These profiles have no secp521r1.
        return Ok(DEFAULT_KX_GROUPS.to_vec());
    }
    if list.is_empty() || list == "auto" {
        return Ok(Vec::new());
    }
    let group = |name: &str| -> Option<&'static dyn SupportedKxGroup> {
        match name.to_ascii_lowercase().as_str() {
            "x25519" => Some(kx_group::X25519),
            "prime256v1" | "p-256" | "secp256r1" => Some(kx_group::SECP256R1),
            "secp384r1" | "p-384" => Some(kx_group::SECP384R1),
            "secp521r1" | "p-521" => Some(proxy::tls::SECP521R1),
            "x25519mlkem768" => Some(kx_group::X25519MLKEM768),
            _ => None,
        }
    };
    let groups: Vec<_> = list.split(':').filter_map(group).collect();
    if groups.is_empty() {
        let key = settings.injected.key(scope, "ssl_ecdh_curve");
        return Err(format!("{key}: none of them is available here: '{list}'"));
    }
    Ok(groups)
}

/// The words of a directive as one text; empty when it is not there.
fn joined(injected: &Injected, scope: Scope, name: &str) -> String {
    injected.words(scope, name).unwrap_or_default().join(" ")
}

/// `prefix` is that of the settings, for messages. Empty texts stand for all there are.
fn offer(prefix: &str, protocols: &str, ciphers: &str) -> Result<Offer, String> {
    let (mut versions, mut absent): (Vec<&'static SupportedProtocolVersion>, Vec<String>) = (Vec::new(), Vec::new());
    for protocol in protocols.split_whitespace() {
        match protocol {
            "TLSv1.3" => versions.push(&TLS13),
            "TLSv1.2" => versions.push(&TLS12),
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => absent.push(protocol.to_owned()),
            _ => {
                return Err(format!(
                    "{prefix}_protocols has an invalid value: '{protocol}' (SSLv2, SSLv3, TLSv1, TLSv1.1, TLSv1.2, \
                        TLSv1.3)"
                ));
            }
        }
    }
    match (protocols.trim().is_empty(), versions.is_empty()) {
        (true, _) => versions = vec![&TLS13, &TLS12],
        (false, true) => {
            return Err(format!("{prefix}_protocols: TLSv1.2 and TLSv1.3 are spoken here, got '{protocols}'"));
        }
        _ => {}
    }
    if ciphers.is_empty() {
        return Ok(Offer { versions, suites: Vec::new(), absent });
    }
    let selection = ciphers::select(ciphers);
    if selection.suites.is_empty() && !versions.contains(&&TLS13) {
        return Err(format!("{prefix}_ciphers: none of them is available here: '{ciphers}'"));
    }
    absent.extend(selection.absent);
    let all = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.iter().copied();
    let suites = all.filter(|suite| suite.tls13().is_some()).chain(selection.suites).collect();
    Ok(Offer { versions, suites, absent })
}

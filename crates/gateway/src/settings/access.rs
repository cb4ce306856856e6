//! Who may use the Admin API (`enforce_rbac`, `admin_gui_auth`).

use super::Settings;
use super::login::{self, LoginPlugin};
use admin::{AccessOptions, Complexity, Enforcement, GuiAuth, ProviderKind, SessionOptions};
use hyper::header::HeaderName;
use serde_json::{Map, Value};
use std::time::Duration;

/// Fields of `admin_gui_session_conf` that mean something here; with the older of two names behind.
const SESSION: &[&str] = &[
    "absolute_timeout",
    "cookie_domain",
    "cookie_lifetime",
    "cookie_name",
    "cookie_path",
    "cookie_same_site",
    "cookie_samesite",
    "cookie_secure",
    "rolling_timeout",
    "secret",
];

/// Who may use the Admin API.
pub struct Access {
    pub options: AccessOptions,
    /// The plugin by which administrators log in, if they do so by one.
    pub login: Option<LoginPlugin>,
    /// About what has no effect.
    pub warnings: Vec<String>,
}

/// What the settings say.
pub fn read(settings: &Settings) -> Result<Access, String> {
    let (mut warnings, mut plugin) = (Vec::new(), None);
    let enforcement = settings.text("enforce_rbac");
    let enforcement = Enforcement::parse(enforcement).ok_or_else(|| format!("enforce_rbac: unknown {enforcement}"))?;
    if enforcement.is_on() && settings.dbless() {
        return Err("enforce_rbac: users need a database, and database is off".to_owned());
    }
    let gui = match settings.text("admin_gui_auth") {
        "" => None,
        "basic-auth" => {
            if !settings.text("admin_gui_auth_conf").is_empty() {
                warnings.push("admin_gui_auth_conf: has no effect with basic-auth".to_owned());
            }
            Some(gui(settings, None, &mut warnings)?)
        }
        "ldap-auth-advanced" => Some(by_plugin(settings, ProviderKind::Ldap, &mut plugin, &mut warnings)?),
        "openid-connect" => Some(by_plugin(settings, ProviderKind::OpenidConnect, &mut plugin, &mut warnings)?),
        other => {
            let known = "basic-auth, ldap-auth-advanced or openid-connect";
            return Err(format!("admin_gui_auth = {other} is not available in this version; use {known}"));
        }
    };
    if gui.is_some() && !enforcement.is_on() {
        return Err("admin_gui_auth: enforce_rbac must be on".to_owned());
    }
    let options = AccessOptions {
        enforcement,
        token_header: header(settings, "rbac_auth_header")?,
        gui,
        invitation: settings.seconds("admin_invitation_expiry").unwrap_or_default(),
        gui_url: settings.list("admin_gui_url").first().cloned(),
    };
    Ok(Access { options, login: plugin, warnings })
}

/// Logging in by a plugin, which is told apart.
fn by_plugin(
    settings: &Settings,
    kind: ProviderKind,
    plugin: &mut Option<LoginPlugin>,
    warnings: &mut Vec<String>,
) -> Result<GuiAuth, String> {
    let login = login::options(settings, kind)?;
    warnings.extend(login.warnings);
    *plugin = Some(login.plugin);
    let gui = gui(settings, login.session, warnings)?;
    Ok(GuiAuth { provider: Some(login.provider), ..gui })
}

/// Sessions, and what comes before them. `session` takes the place of `admin_gui_session_conf`.
fn gui(
    settings: &Settings,
    session: Option<Map<String, Value>>,
    warnings: &mut Vec<String>,
) -> Result<GuiAuth, String> {
    let setting = if session.is_some() { "admin_gui_auth_conf" } else { "admin_gui_session_conf" };
    let invalid = |why: &str| format!("{setting}: {why}");
    let conf: Map<String, Value> = match session {
        Some(session) => session,
        None => serde_json::from_str(settings.text("admin_gui_session_conf"))
            .map_err(|_| invalid("must be a JSON object with a 'secret'"))?,
    };
    let text = |name: &str| conf.get(name).and_then(Value::as_str).map(str::to_owned);
    let seconds = |names: [&str; 2]| {
        let seconds = names.iter().find_map(|name| conf.get(*name).and_then(Value::as_u64));
        seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)
    };
    let default = SessionOptions::default();
    let same_site = match text("cookie_same_site").or_else(|| text("cookie_samesite")) {
        None => default.cookie_same_site,
        Some(word) => match ["Strict", "Lax", "None"].into_iter().find(|known| known.eq_ignore_ascii_case(&word)) {
            Some(known) => Some(known.to_owned()),
            None if ["off", "default"].contains(&word.to_ascii_lowercase().as_str()) => None,
            None => return Err(invalid("cookie_same_site must be Strict, Lax, None, Default or off")),
        },
    };
    let session = SessionOptions {
        secret: text("secret").filter(|secret| !secret.is_empty()).ok_or_else(|| invalid("secret is required"))?,
        cookie_name: text("cookie_name").unwrap_or(default.cookie_name),
        cookie_path: text("cookie_path").unwrap_or(default.cookie_path),
        cookie_domain: text("cookie_domain"),
        cookie_secure: conf.get("cookie_secure").and_then(Value::as_bool).unwrap_or(default.cookie_secure),
        cookie_same_site: same_site,
        rolling_timeout: seconds(["rolling_timeout", "cookie_lifetime"]).unwrap_or(default.rolling_timeout),
        absolute_timeout: seconds(["absolute_timeout", "absolute_timeout"]).unwrap_or(default.absolute_timeout),
    };
    let odd = |text: &str| text.bytes().any(|b| !b.is_ascii_graphic() || b";,\"".contains(&b));
    if odd(&session.cookie_name) || session.cookie_name.is_empty() || session.cookie_name.contains('=') {
        return Err(invalid("cookie_name must be a token"));
    }
    if odd(&session.cookie_path) || session.cookie_domain.as_deref().is_some_and(odd) {
        return Err(invalid("cookie_path and cookie_domain must not have blanks, commas or semicolons"));
    }
    let unknown = conf.keys().filter(|name| !SESSION.contains(&name.as_str()) && *name != "storage");
    warnings.extend(unknown.map(|name| format!("admin_gui_session_conf: '{name}' has no effect in this version")));
    if text("storage").is_some_and(|storage| !["cookie", "kong"].contains(&storage.as_str())) {
        warnings.push("admin_gui_session_conf: sessions are always kept in the database".to_owned());
    }
    Ok(GuiAuth {
        user_header: header(settings, "admin_gui_auth_header")?,
        attempts: u32::try_from(settings.count("admin_gui_auth_login_attempts")).unwrap_or(u32::MAX),
        attempts_ttl: settings.seconds("admin_gui_auth_login_attempts_ttl").unwrap_or_default(),
        complexity: Complexity::parse(settings.text("admin_gui_auth_password_complexity"))
            .map_err(|why| format!("admin_gui_auth_password_complexity: {why}"))?,
        session,
        provider: None,
    })
}

fn header(settings: &Settings, setting: &str) -> Result<HeaderName, String> {
    let name = settings.text(setting);
    HeaderName::try_from(name).map_err(|_| format!("{setting} must be the name of a header, got '{name}'"))
}

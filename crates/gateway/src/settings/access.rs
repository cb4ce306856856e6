//! Who may use the Admin API (`enforce_rbac`, `admin_gui_auth`).

use super::Settings;
use admin::{AccessOptions, Complexity, Enforcement, GuiAuth, SessionOptions};
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

/// What the settings say; the warnings are about what has no effect.
pub fn options(settings: &Settings) -> Result<(AccessOptions, Vec<String>), String> {
    let mut warnings = Vec::new();
    let enforcement = settings.text("enforce_rbac");
    let enforcement = Enforcement::parse(enforcement).ok_or_else(|| format!("enforce_rbac: unknown {enforcement}"))?;
    if enforcement.is_on() && settings.dbless() {
        return Err("enforce_rbac: users need a database, and database is off".to_owned());
    }
    let gui = match settings.text("admin_gui_auth") {
        "" => None,
        "basic-auth" => Some(gui(settings, &mut warnings)?),
        other => return Err(format!("admin_gui_auth = {other} is not available in this version; use basic-auth")),
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
    Ok((options, warnings))
}

fn gui(settings: &Settings, warnings: &mut Vec<String>) -> Result<GuiAuth, String> {
    let invalid = |why: &str| format!("admin_gui_session_conf: {why}");
    let conf: Map<String, Value> = serde_json::from_str(settings.text("admin_gui_session_conf"))
        .map_err(|_| invalid("must be a JSON object with a 'secret'"))?;
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
    })
}

fn header(settings: &Settings, setting: &str) -> Result<HeaderName, String> {
    let name = settings.text(setting);
    HeaderName::try_from(name).map_err(|_| format!("{setting} must be the name of a header, got '{name}'"))
}

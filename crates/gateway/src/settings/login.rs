//! Logging in to the manager by an authentication plugin (`admin_gui_auth_conf`): the plugin's own configuration, and
//! what Kong has beside it to find administrators.

use super::Settings;
use admin::{Provider, ProviderKind};
use serde_json::{Map, Value, json};

/// A plugin by which administrators log in, and its configuration.
#[derive(Clone, Debug)]
pub struct LoginPlugin {
    pub name: &'static str,
    pub config: Map<String, Value>,
}

/// What follows from the settings.
pub struct Login {
    pub plugin: LoginPlugin,
    pub provider: Provider,
    /// Sessions, in the words of `admin_gui_session_conf`, where that is not set.
    pub session: Option<Map<String, Value>>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// What a login with an issuer is about here: other values would change nothing, or undo it.
const IMPOSED: &[&str] = &[
    "auth_methods",
    "login_action",
    "login_methods",
    "login_tokens",
    "logout_methods",
    "logout_post_arg",
    "logout_query_arg",
    "logout_revoke",
    "logout_revoke_access_token",
    "logout_revoke_refresh_token",
    "logout_uri_suffix",
    "refresh_tokens",
];
/// Settings of sessions: as the plugin has them, and as the manager does.
const SESSION: &[(&str, &str)] = &[
    ("session_secret", "secret"),
    ("session_cookie_name", "cookie_name"),
    ("session_cookie_path", "cookie_path"),
    ("session_cookie_domain", "cookie_domain"),
    ("session_cookie_secure", "cookie_secure"),
    ("session_cookie_same_site", "cookie_same_site"),
    ("session_rolling_timeout", "rolling_timeout"),
    ("session_absolute_timeout", "absolute_timeout"),
];
/// The plugin's own session, by which it ends that with the issuer.
const COOKIE: &str = "openid_session";

/// What the settings say of a plugin.
pub fn options(settings: &Settings, kind: ProviderKind) -> Result<Login, String> {
    let conf = serde_json::from_str::<Map<String, Value>>(settings.text("admin_gui_auth_conf"));
    let conf = conf.map_err(|_| "must be a JSON object, the configuration of the plugin".to_owned());
    let login = conf.and_then(|conf| match kind {
        ProviderKind::Ldap => ldap(conf),
        ProviderKind::OpenidConnect => openid_connect(settings, conf),
    });
    login.map_err(|why| format!("admin_gui_auth_conf: {why}"))
}

fn ldap(mut conf: Map<String, Value>) -> Result<Login, String> {
    let ignore_case = flag(&mut conf, "by_username_ignore_case", false)?;
    if text(&mut conf, "header_type")?.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("basic")) {
        return Err("header_type must be Basic".to_owned());
    }
    let imposed = json!({ "header_type": "basic", "consumer_optional": true, "consumer_by": ["username"] });
    impose(&mut conf, &imposed)?;
    Ok(Login {
        plugin: LoginPlugin { name: "ldap-auth-advanced", config: conf },
        provider: Provider { kind: ProviderKind::Ldap, ignore_case, ..Provider::default() },
        session: None,
        warnings: Vec::new(),
    })
}

fn openid_connect(settings: &Settings, mut conf: Map<String, Value>) -> Result<Login, String> {
    let ignored = IMPOSED.iter().filter(|field| conf.contains_key(**field));
    let mut warnings: Vec<String> = ignored
        .map(|field| format!("admin_gui_auth_conf: '{field}' has no effect: it is as the manager needs it"))
        .collect();
    let claim = text(&mut conf, "admin_claim")?.unwrap_or_else(|| "email".to_owned());
    let by_custom_id = match text(&mut conf, "admin_by")?.as_deref() {
        None | Some("username") => false,
        Some("custom_id") => true,
        Some(other) => return Err(format!("admin_by must be username or custom_id, got '{other}'")),
    };
    let creates = flag(&mut conf, "admin_auto_create", true)?;
    let with_token = !flag(&mut conf, "admin_auto_create_rbac_token_disabled", false)?;
    let ignore_case = flag(&mut conf, "by_username_ignore_case", false)?;
    let Some(callback) = first(&conf, "redirect_uri") else {
        return Err("redirect_uri is required: where browsers find /auth of the Admin API".to_owned());
    };
    if conf.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err("response_mode must be query".to_owned());
    }
    if conf.remove("session_storage").is_some_and(|storage| storage != "cookie") {
        warnings.push("admin_gui_auth_conf: sessions of administrators are always kept in the database".to_owned());
    }
    let gui = settings.list("admin_gui_url").first();
    let gui_url = first(&conf, "login_redirect_uri").or_else(|| gui.cloned());
    let gui_url = gui_url.ok_or("login_redirect_uri is required: where browsers find the manager")?;
    let usual = json!({
        "scopes": ["openid", "email", "offline_access"],
        "authenticated_groups_claim": ["groups"],
        "logout_redirect_uri": [gui_url],
        "authorization_cookie_secure": callback.starts_with("https:"),
        "session_cookie_secure": callback.starts_with("https:"),
    });
    for (field, value) in usual.as_object().into_iter().flatten() {
        conf.entry(field.clone()).or_insert_with(|| value.clone());
    }
    let session = SESSION.iter().filter_map(|(theirs, ours)| Some(((*ours).to_owned(), conf.get(*theirs)?.clone())));
    let mut session: Map<String, Value> = session.collect();
    let secret = first(&conf, "session_secret").or_else(|| first(&conf, "client_secret"));
    session.insert(
        "secret".to_owned(),
        secret.ok_or("session_secret is required where there is no client_secret")?.into(),
    );
    let path = callback.split_once("://").and_then(|(_, rest)| Some(&rest[rest.find('/')?..]));
    let path = path.and_then(|path| path.split(['?', '#']).next()).unwrap_or("/");
    let same_site = conf.get("session_cookie_same_site").cloned().unwrap_or_else(|| "Strict".into());
    impose(
        &mut conf,
        &json!({
            "auth_methods": ["authorization_code", "session"],
            "login_action": "upstream",
            "login_methods": ["authorization_code"],
            "login_tokens": [],
            "logout_methods": ["GET"],
            "logout_query_arg": admin::PROVIDER_LOGOUT,
            "logout_post_arg": null,
            "logout_uri_suffix": null,
            "logout_revoke": true,
            "logout_revoke_access_token": true,
            "logout_revoke_refresh_token": true,
            "refresh_tokens": true,
            "consumer_claim": null,
            "consumer_optional": true,
            "credential_claim": [claim],
            "session_cookie_name": COOKIE,
            "session_cookie_path": path,
            "session_cookie_same_site": same_site,
        }),
    )?;
    let kind = ProviderKind::OpenidConnect;
    Ok(Login {
        plugin: LoginPlugin { name: "openid-connect", config: conf },
        provider: Provider { kind, ignore_case, by_custom_id, creates, with_token, gui_url },
        session: settings.text("admin_gui_session_conf").is_empty().then_some(session),
        warnings,
    })
}

/// Gives fields their values, whatever they were. Nobody is let in who has not logged in.
fn impose(conf: &mut Map<String, Value>, imposed: &Value) -> Result<(), String> {
    if text(conf, "anonymous")?.is_some_and(|consumer| !consumer.is_empty()) {
        return Err("anonymous: administrators have to log in".to_owned());
    }
    conf.extend(imposed.as_object().into_iter().flatten().map(|(field, value)| (field.clone(), value.clone())));
    Ok(())
}

/// Takes a text out of a configuration.
fn text(conf: &mut Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match conf.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{field} must be a string")),
    }
}

fn flag(conf: &mut Map<String, Value>, field: &str, usual: bool) -> Result<bool, String> {
    match conf.remove(field) {
        None | Some(Value::Null) => Ok(usual),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(format!("{field} must be a boolean")),
    }
}

/// The first of a list of texts, or the only one.
fn first(conf: &Map<String, Value>, field: &str) -> Option<String> {
    let value = conf.get(field)?;
    let first = value.as_array().map_or(Some(value), |list| list.first());
    first.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

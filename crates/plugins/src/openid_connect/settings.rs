//! What a configuration of `openid-connect` says.

use super::client::{self, Client};
use super::exchange::TokenExchange;
use super::issuer::Source;
use super::outbound;
use sdk::entities::Uuid;
use sdk::session::{Attributes, Options, Remember, Sessions};
use sdk::{Config, Env, Proxies, Url};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How callers can show who they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Methods {
    pub session: bool,
    pub bearer: bool,
    pub introspection: bool,
    pub userinfo: bool,
    pub refresh_token: bool,
    pub password: bool,
    pub client_credentials: bool,
    pub authorization_code: bool,
}

/// Where something may stand in a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    pub header: bool,
    pub query: bool,
    pub body: bool,
    pub cookie: bool,
}

/// What follows from a login in a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAction {
    Upstream,
    Redirect,
    Response,
}

/// What a token must have of something, and where it says so.
#[derive(Clone, Debug, Default)]
pub struct Requirement {
    /// One of these lists of words; none: nothing is required.
    pub any_of: Vec<Vec<String>>,
    /// The way to the claim.
    pub claim: Vec<String>,
}

/// Lines that take the values of claims, for the service or for the client.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Ways through the claims, and the lines that have what is there.
    pub claims: Vec<(Vec<String>, String)>,
    pub access_token: Option<String>,
    pub id_token: Option<String>,
    pub refresh_token: Option<String>,
    pub user_info: Option<String>,
    pub introspection: Option<String>,
    pub session_id: Option<String>,
}

pub struct Settings {
    pub source: Source,
    pub issuer_host: String,
    pub issuer_text: String,
    pub methods: Methods,
    pub client: Client,
    /// Its place among the clients of the configuration.
    pub place: usize,
    /// The argument by which requests choose a client.
    pub client_arg: String,
    /// The certificate of the gateway, and whether issuers that are shown it must prove who they are.
    pub certificate: Option<(Uuid, bool)>,
    pub proxies: Proxies,
    pub redirect_uri: Option<String>,
    pub login_redirect_uri: Option<String>,
    pub logout_redirect_uri: Option<String>,
    pub forbidden_redirect_uri: Option<String>,
    pub unauthorized_redirect_uri: Option<String>,
    pub unexpected_redirect_uri: Option<String>,
    pub forbidden_message: String,
    pub unauthorized_message: String,
    pub scopes: String,
    pub audience: Vec<String>,
    pub exchange: Option<TokenExchange>,
    pub issuers_allowed: Vec<String>,
    pub scopes_required: Requirement,
    pub audience_required: Requirement,
    pub groups_required: Requirement,
    pub roles_required: Requirement,
    pub claims_forbidden: Vec<String>,
    pub domains: Vec<String>,
    pub max_age: Option<u64>,
    pub authenticated_groups_claim: Vec<String>,
    pub form_post: bool,
    pub endpoints: Vec<(&'static str, Option<String>)>,
    pub authorization_args: Vec<(String, String)>,
    pub token_args: Vec<(String, String)>,
    pub token_lines: Vec<(String, String)>,
    pub introspection_args: Vec<(String, String)>,
    pub introspection_lines: Vec<(String, String)>,
    pub introspection_hint: String,
    pub introspection_token_param: String,
    pub introspects_jwts: bool,
    pub introspection_check_active: bool,
    pub userinfo_lines: Vec<(String, String)>,
    pub revocation_token_param: String,
    pub bearer_places: Places,
    pub bearer_cookie: Option<String>,
    /// The one line in which tokens are looked for.
    pub bearer_line: Option<String>,
    pub client_credentials_places: Places,
    pub password_places: Places,
    pub refresh_token_places: Places,
    pub refresh_token_param: Option<String>,
    pub refreshes: bool,
    pub upstream: Told,
    pub downstream: Told,
    pub login_action: LoginAction,
    pub login_tokens: Vec<String>,
    pub login_in_query: bool,
    pub logout_query_arg: Option<String>,
    pub logout_post_arg: Option<String>,
    pub logout_uri_suffix: Option<String>,
    pub logout_methods: Vec<String>,
    pub logout_revokes: [bool; 2],
    /// Ways to the consumer's name: the first at whose end there is one counts.
    pub consumer_claims: Vec<Vec<String>>,
    pub consumer_groups_claim: Vec<String>,
    pub consumer_groups_optional: bool,
    pub consumer_by: Vec<String>,
    pub consumer_optional: bool,
    pub credential_claim: Vec<String>,
    pub on_preflight: bool,
    pub leeway: i64,
    pub verify_nonce: bool,
    pub verify_claims: bool,
    pub verify_signature: bool,
    pub unverified: Vec<String>,
    pub hs_signatures: bool,
    pub without_session: Vec<String>,
    pub cache_ttl: Duration,
    pub cache_tokens: bool,
    pub cache_introspection: bool,
    pub cache_user_info: bool,
    pub search_user_info: bool,
    pub hide: bool,
    pub verify_tls: bool,
    pub timeout: Duration,
    pub display_errors: bool,
    pub sessions: Arc<Sessions>,
    pub session_lines: Vec<String>,
    pub session_response_lines: Vec<String>,
    /// What is known of a login that is under way.
    pub logins: Arc<Sessions>,
    pub pkce: bool,
    /// Whether a session ends with a refusal.
    pub forbidden_ends_session: bool,
    pub unauthorized_ends_session: bool,
    pub tells_error: bool,
    /// Fields that change nothing although they are there to.
    pub without_effect: Vec<&'static str>,
}

/// What is not there: a field, and the values with which it changes nothing.
const UNAVAILABLE: &[(&str, &[&str])] = &[
    ("session_storage", &["cookie", "redis"]),
    ("pushed_authorization_request_endpoint", &[]),
    ("token_exchange_endpoint", &[]),
    ("proof_of_possession_mtls", &["off"]),
    ("proof_of_possession_dpop", &["off"]),
    ("cluster_cache_strategy", &["off"]),
    ("response_mode", &["query", "form_post"]),
    ("introspection_accept", &["application/json"]),
    ("userinfo_accept", &["application/json"]),
    ("jwt_session_cookie", &[]),
    ("id_token_param_name", &[]),
    ("pushed_authorization_request_endpoint_auth_method", &[]),
    ("token_endpoint_auth_method", &[]),
    ("introspection_endpoint_auth_method", &[]),
    ("revocation_endpoint_auth_method", &[]),
    ("upstream_access_token_jwk_header", &[]),
    ("upstream_id_token_jwk_header", &[]),
    ("upstream_user_info_jwt_header", &[]),
    ("upstream_introspection_jwt_header", &[]),
    ("downstream_access_token_jwk_header", &[]),
    ("downstream_id_token_jwk_header", &[]),
    ("downstream_user_info_jwt_header", &[]),
    ("downstream_introspection_jwt_header", &[]),
];
/// Flags that ask for what is not there.
const UNAVAILABLE_FLAGS: [&str; 10] = [
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "resolve_distributed_claims",
    "using_pseudo_issuer",
    "session_store_metadata",
    "session_enforce_same_subject",
    "session_hash_storage_key",
    "reverify",
    "verify_parameters",
    "by_username_ignore_case",
];
/// Lists that ask for what is not there.
const UNAVAILABLE_LISTS: [&str; 10] = [
    "authorization_query_args_client",
    "token_headers_client",
    "token_headers_replay",
    "token_headers_grants",
    "token_post_args_client",
    "introspection_headers_client",
    "introspection_post_args_client",
    "introspection_post_args_client_headers",
    "userinfo_headers_client",
    "userinfo_query_args_client",
];
/// What protects nothing, and changes nothing here: a field, and its default.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("response_type", "[\"code\"]"),
    ("preserve_query_args", "false"),
    ("token_headers_prefix", "null"),
    ("userinfo_query_args_names", "null"),
    ("login_methods", "[\"authorization_code\"]"),
    ("cache_ttl_max", "null"),
    ("cache_ttl_min", "null"),
    ("cache_ttl_neg", "null"),
    ("cache_ttl_resurrect", "null"),
    ("http_version", "1.1"),
    ("keepalive", "true"),
];
/// The check that the schema names: what is asked for and is not there is refused, since it may protect something.
pub fn check(config: &Value) -> Result<(), String> {
    let text = |field: &str| config.get(field).and_then(Value::as_str);
    for (field, harmless) in UNAVAILABLE {
        if let Some(value) = text(field).filter(|value| !harmless.contains(value)) {
            return Err(format!("{field}: '{value}' is not available"));
        }
    }
    let flag = |field: &str| config.get(field).and_then(Value::as_bool).unwrap_or(false);
    if let Some(field) = UNAVAILABLE_FLAGS.iter().find(|field| flag(field)) {
        return Err(format!("{field} is not available"));
    }
    let list = |field: &str| config.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(field) = UNAVAILABLE_LISTS.iter().find(|field| !list(field).is_empty()) {
        return Err(format!("{field} is not available"));
    }
    let record = config.as_object().map(Config::new);
    if let Some(record) = &record {
        (0..client::count(record)).try_for_each(|at| Client::read(record, at).map(drop))?;
        outbound::proxies(record)?;
    }
    if let (Some(record), Some(issuer)) = (&record, text("issuer")) {
        TokenExchange::read(record, issuer)?;
    }
    text("issuer").map_or(Ok(()), |issuer| Url::parse(issuer).map(drop).map_err(|why| format!("issuer: {why}")))
}

/// The fields of a configuration that change nothing although they are there to.
fn without_effect(config: &Value) -> Vec<&'static str> {
    let is_set = |(field, usual): &&(&str, &str)| {
        let value = config.get(*field).filter(|value| !value.is_null());
        let usual = serde_json::from_str(usual).unwrap_or(Value::Null);
        value.is_some_and(|value| *value != usual)
    };
    WITHOUT_EFFECT.iter().filter(is_set).map(|(field, _)| *field).collect()
}

impl Settings {
    /// Those for the client in that place.
    pub fn new(
        config: &Config<'_>,
        record: &Value,
        fallback_secret: &str,
        place: usize,
        env: &Env,
    ) -> Result<Settings, String> {
        check(record).map_err(|why| format!("config.{why}"))?;
        let text = |field: &str| config.text(field).map(str::to_owned);
        let nth = |field: &str| client::nth(config, field, place);
        let seconds = |field: &str, usual: u64| config.integer::<u64>(field).unwrap_or(usual);
        let issuer_text = text("issuer").ok_or("config.issuer is missing")?;
        let url = |field: &str, text: &str| Url::parse(text).map_err(|why| format!("config.{field}: {why}"));
        let extra_keys = config.texts("extra_jwks_uris");
        let metadata = discovery_url(&issuer_text)?;
        let methods = Methods::of(&config.texts("auth_methods"));
        let client = Client::read(config, place).map_err(|why| format!("config.{why}"))?;
        if methods.authorization_code && client.id.is_none() && config.texts("auth_methods").len() < 9 {
            return Err("config.client_id is missing".to_owned());
        }
        // Anybody knows the empty one: a secret of a vault that cannot be had, say.
        for (field, secret) in [("client_secret", &client.secret), ("session_secret", &text("session_secret"))] {
            if secret.as_ref().is_some_and(String::is_empty) {
                return Err(format!("config.{field} is empty"));
            }
        }
        // Sessions are those of all clients.
        let secret = text("session_secret").or_else(|| config.texts("client_secret").into_iter().next());
        let secret = secret.unwrap_or_else(|| fallback_secret.to_owned());
        let way = |way: &Value| -> Vec<String> {
            way.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let ways = config.list("consumer_claims").iter().map(way);
        let ways = std::iter::once(config.texts("consumer_claim")).chain(ways);
        let consumer_claims = ways.filter(|way| !way.is_empty()).collect();
        let token_args = pairs(config, "token_post_args_names", "token_post_args_values");
        Ok(Settings {
            issuer_host: metadata.host().to_owned(),
            source: Source {
                metadata: Some(metadata),
                lines: pairs(config, "discovery_headers_names", "discovery_headers_values"),
                keys: text("jwks_endpoint").map(|text| url("jwks_endpoint", &text)).transpose()?,
                extra_keys: extra_keys.iter().map(|text| url("extra_jwks_uris", text)).collect::<Result<_, _>>()?,
                rediscovery_lifetime: Duration::from_secs(seconds("rediscovery_lifetime", 30)),
            },
            exchange: TokenExchange::read(config, &issuer_text).map_err(|why| format!("config.{why}"))?,
            issuer_text,
            methods,
            client,
            place,
            client_arg: text("client_arg").unwrap_or_else(|| "client_id".to_owned()),
            certificate: outbound::certificate(config)?,
            proxies: outbound::proxies(config).map_err(|why| format!("config.{why}"))?,
            redirect_uri: nth("redirect_uri"),
            login_redirect_uri: nth("login_redirect_uri"),
            logout_redirect_uri: nth("logout_redirect_uri"),
            forbidden_redirect_uri: nth("forbidden_redirect_uri"),
            unauthorized_redirect_uri: nth("unauthorized_redirect_uri"),
            unexpected_redirect_uri: nth("unexpected_redirect_uri"),
            forbidden_message: text("forbidden_error_message").unwrap_or_else(|| "Forbidden".to_owned()),
            unauthorized_message: text("unauthorized_error_message").unwrap_or_else(|| "Unauthorized".to_owned()),
            scopes: config.texts("scopes").join(" "),
            audience: config.texts("audience"),
            issuers_allowed: config.texts("issuers_allowed"),
            scopes_required: Requirement::of(config, "scopes"),
            audience_required: Requirement::of(config, "audience"),
            groups_required: Requirement::of(config, "groups"),
            roles_required: Requirement::of(config, "roles"),
            claims_forbidden: config.texts("claims_forbidden"),
            domains: config.texts("domains"),
            max_age: config.integer("max_age"),
            authenticated_groups_claim: config.texts("authenticated_groups_claim"),
            form_post: config.text("response_mode") == Some("form_post"),
            endpoints: ENDPOINTS.iter().map(|name| (*name, text(name))).collect(),
            authorization_args: pairs(config, "authorization_query_args_names", "authorization_query_args_values"),
            token_args,
            token_lines: pairs(config, "token_headers_names", "token_headers_values"),
            introspection_args: pairs(config, "introspection_post_args_names", "introspection_post_args_values"),
            introspection_lines: pairs(config, "introspection_headers_names", "introspection_headers_values"),
            introspection_hint: text("introspection_hint").unwrap_or_else(|| "access_token".to_owned()),
            introspection_token_param: text("introspection_token_param_name").unwrap_or_else(|| "token".to_owned()),
            introspects_jwts: config.flag("introspect_jwt_tokens"),
            introspection_check_active: config.flag("introspection_check_active"),
            userinfo_lines: pairs(config, "userinfo_headers_names", "userinfo_headers_values"),
            revocation_token_param: text("revocation_token_param_name").unwrap_or_else(|| "token".to_owned()),
            bearer_places: Places::of(&config.texts("bearer_token_param_type")),
            bearer_cookie: text("bearer_token_cookie_name"),
            bearer_line: text("bearer_token_header_name"),
            client_credentials_places: Places::of(&config.texts("client_credentials_param_type")),
            password_places: Places::of(&config.texts("password_param_type")),
            refresh_token_places: Places::of(&config.texts("refresh_token_param_type")),
            refresh_token_param: text("refresh_token_param_name"),
            refreshes: config.flag("refresh_tokens"),
            upstream: Told::of(config, "upstream"),
            downstream: Told::of(config, "downstream"),
            login_action: match config.text("login_action") {
                Some("redirect") => LoginAction::Redirect,
                Some("response") => LoginAction::Response,
                _ => LoginAction::Upstream,
            },
            login_tokens: config.texts("login_tokens"),
            login_in_query: config.text("login_redirect_mode") == Some("query"),
            logout_query_arg: text("logout_query_arg"),
            logout_post_arg: text("logout_post_arg"),
            logout_uri_suffix: text("logout_uri_suffix"),
            logout_methods: config.texts("logout_methods"),
            logout_revokes: ["logout_revoke_access_token", "logout_revoke_refresh_token"]
                .map(|field| config.flag("logout_revoke") && config.flag(field)),
            consumer_claims,
            consumer_groups_claim: config.texts("consumer_groups_claim"),
            consumer_groups_optional: config.flag("consumer_groups_optional"),
            consumer_by: config.texts("consumer_by"),
            consumer_optional: config.flag("consumer_optional"),
            credential_claim: config.texts("credential_claim"),
            on_preflight: config.flag("run_on_preflight"),
            leeway: config.integer("leeway").unwrap_or(0),
            verify_nonce: config.flag("verify_nonce"),
            verify_claims: config.flag("verify_claims"),
            verify_signature: config.flag("verify_signature"),
            unverified: config.texts("ignore_signature"),
            hs_signatures: config.flag("enable_hs_signatures"),
            without_session: config.texts("disable_session"),
            cache_ttl: Duration::from_secs(seconds("cache_ttl", 3600)),
            cache_tokens: config.flag("cache_tokens"),
            cache_introspection: config.flag("cache_introspection"),
            cache_user_info: config.flag("cache_user_info"),
            search_user_info: config.flag("search_user_info"),
            hide: config.flag("hide_credentials"),
            verify_tls: config.flag("ssl_verify"),
            timeout: Duration::from_millis(seconds("timeout", 10_000)),
            display_errors: config.flag("display_errors"),
            sessions: Arc::new(Sessions::new(&secret, session_options(config, env)?)),
            session_lines: config.texts("session_request_headers"),
            session_response_lines: config.texts("session_response_headers"),
            logins: Arc::new(Sessions::new(&secret, login_options(config)?)),
            forbidden_ends_session: config.flag("forbidden_destroy_session"),
            unauthorized_ends_session: config.flag("unauthorized_destroy_session"),
            tells_error: config.flag("expose_error_code"),
            without_effect: without_effect(record),
            pkce: record.get("require_proof_key_for_code_exchange").and_then(Value::as_bool) != Some(false),
        })
    }

    /// An endpoint that the configuration names in place of the issuer.
    pub fn endpoint(&self, name: &str) -> Option<&str> {
        self.endpoints.iter().find(|(known, _)| *known == name).and_then(|(_, url)| url.as_deref())
    }
}

const ENDPOINTS: [&str; 9] = [
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "userinfo_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "mtls_token_endpoint",
    "mtls_introspection_endpoint",
    "mtls_revocation_endpoint",
];

impl Methods {
    fn of(names: &[String]) -> Methods {
        let has = |name: &str| names.iter().any(|other| other == name);
        Methods {
            session: has("session"),
            bearer: has("bearer"),
            introspection: has("introspection"),
            userinfo: has("userinfo"),
            refresh_token: has("refresh_token"),
            password: has("password"),
            client_credentials: has("client_credentials"),
            authorization_code: has("authorization_code"),
        }
    }
}

impl Places {
    fn of(names: &[String]) -> Places {
        let has = |name: &str| names.iter().any(|other| other == name);
        Places { header: has("header"), query: has("query"), body: has("body"), cookie: has("cookie") }
    }
}

impl Requirement {
    /// `scopes_required` and `scopes_claim`, say.
    fn of(config: &Config<'_>, what: &str) -> Requirement {
        let words = |entry: &String| entry.split_whitespace().map(str::to_owned).collect();
        let any_of = config.texts(&format!("{what}_required")).iter().map(words).collect();
        Requirement { any_of, claim: config.texts(&format!("{what}_claim")) }
    }
}

impl Told {
    fn of(config: &Config<'_>, side: &str) -> Told {
        let text = |what: &str| config.text(&format!("{side}_{what}_header")).map(str::to_owned);
        let pairs = pairs(config, &format!("{side}_headers_claims"), &format!("{side}_headers_names"));
        let records = config.list(&format!("{side}_headers")).iter().filter_map(Value::as_object).map(Config::new);
        let of_record = |record: Config<'_>| Some((record.texts("path"), record.text("header")?.to_owned()));
        let claims = pairs.into_iter().map(|(claim, name)| (vec![claim], name)).chain(records.filter_map(of_record));
        Told {
            claims: claims.collect(),
            access_token: text("access_token"),
            id_token: text("id_token"),
            refresh_token: text("refresh_token"),
            user_info: text("user_info"),
            introspection: text("introspection"),
            session_id: text("session_id"),
        }
    }
}

/// The values of two lists that belong together.
fn pairs(config: &Config<'_>, first: &str, second: &str) -> Vec<(String, String)> {
    config.texts(first).into_iter().zip(config.texts(second)).collect()
}

/// Where an issuer says what it offers (OpenID Connect Discovery 1.0, section 4).
pub fn discovery_url(issuer: &str) -> Result<Url, String> {
    const WELL_KNOWN: &str = "/.well-known/";
    let url = if issuer.contains(WELL_KNOWN) {
        issuer.to_owned()
    } else {
        format!("{}{WELL_KNOWN}openid-configuration", issuer.trim_end_matches('/'))
    };
    Url::parse(&url).map_err(|why| format!("config.issuer: {why}"))
}

fn session_options(config: &Config<'_>, env: &Env) -> Result<Options, String> {
    let part = |field: &str, usual: &str| config.header_value(field).map(|text| text.unwrap_or(usual).to_owned());
    let seconds = |field: &str, usual: u64| config.integer::<u64>(field).unwrap_or(usual);
    let remember = Remember {
        cookie_name: part("session_remember_cookie_name", "remember")?,
        rolling_timeout: seconds("session_remember_rolling_timeout", 604_800),
        absolute_timeout: seconds("session_remember_absolute_timeout", 2_592_000),
    };
    Ok(Options {
        audience: config.text("session_audience").unwrap_or("default").to_owned(),
        storage: outbound::storage(config, env)?,
        cookie_name: part("session_cookie_name", "session")?,
        attributes: Attributes {
            domain: config.header_value("session_cookie_domain")?.map(str::to_owned),
            path: part("session_cookie_path", "/")?,
            same_site: part("session_cookie_same_site", "Lax")?,
            secure: config.flag("session_cookie_secure"),
            http_only: config.flag("session_cookie_http_only"),
        },
        idling_timeout: seconds("session_idling_timeout", 900),
        rolling_timeout: seconds("session_rolling_timeout", 3600),
        absolute_timeout: seconds("session_absolute_timeout", 86_400),
        stale_ttl: 10,
        remember: config.flag("session_remember").then_some(remember),
        store_metadata: false,
        hash_subject: config.flag("session_hash_subject"),
        bind: config.texts("session_bind"),
    })
}

fn login_options(config: &Config<'_>) -> Result<Options, String> {
    let part = |field: &str, usual: &str| config.header_value(field).map(|text| text.unwrap_or(usual).to_owned());
    let time = config.integer("authorization_rolling_timeout").unwrap_or(600);
    Ok(Options {
        audience: "authorization".to_owned(),
        storage: None,
        cookie_name: part("authorization_cookie_name", "authorization")?,
        attributes: Attributes {
            domain: config.header_value("authorization_cookie_domain")?.map(str::to_owned),
            path: part("authorization_cookie_path", "/")?,
            same_site: part("authorization_cookie_same_site", "Default")?,
            secure: config.flag("authorization_cookie_secure"),
            http_only: config.flag("authorization_cookie_http_only"),
        },
        idling_timeout: 0,
        rolling_timeout: time,
        absolute_timeout: time,
        stale_ttl: 10,
        remember: None,
        store_metadata: false,
        hash_subject: false,
        bind: Vec::new(),
    })
}

//! `oauth2`: an authorization server for the services behind the gateway (RFC 6749), and the check of its tokens.

mod authorize;
mod bearer;
mod client;
mod issue;
mod parameters;
mod refused;
mod tokens;

use client::Application;
use sdk::entities::{self, Uuid};
use sdk::{
    Anonymous, Config, CredentialEntity, CredentialKey, Env, Exchange, Function, Phases, Plugin, PluginKind, Records,
    Step, Tasks,
};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct Oauth2;

const CREDENTIALS: &str = "oauth2_credentials";

struct Instance {
    plugin: Uuid,
    records: Records,
    tasks: Tasks,
    scopes: Option<Vec<String>>,
    needs_scope: bool,
    provision_key: String,
    /// In seconds; 0: tokens are for ever.
    token_expiration: i64,
    refresh_token_ttl: i64,
    reuses_refresh_token: bool,
    grants: Grants,
    hide: bool,
    accepts_terminated_tls: bool,
    is_global: bool,
    header_name: String,
    pkce: Pkce,
    realm: Option<String>,
    anonymous: Anonymous,
}

/// Which grants are enabled.
struct Grants {
    authorization_code: bool,
    implicit: bool,
    client_credentials: bool,
    password: bool,
}

/// Who must prove that it asked for a code (RFC 7636).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pkce {
    Nobody,
    PublicClients,
    Everybody,
}

/// The endpoints of the authorization server, below any path of its service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Token,
    Authorize,
}

impl PluginKind for Oauth2 {
    fn name(&self) -> &'static str {
        "oauth2"
    }

    fn priority(&self) -> i32 {
        1400
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("oauth2_flows", Function::Validator(check_grants)),
            ("oauth2_redirect_uri", Function::Validator(client::check_redirect_uri)),
            ("oauth2_hash_secret", Function::Derive(client::hash_secret)),
        ]
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("oauth2_credentials.json"),
            entity: CREDENTIALS,
            key: CredentialKey::Field("client_id"),
            parse: Some(Application::parse),
        }]
    }

    fn entities(&self) -> &'static [&'static str] {
        &[include_str!("oauth2_authorization_codes.json"), include_str!("oauth2_tokens.json")]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let scopes = config.texts("scopes");
        Ok(Box::new(Instance {
            plugin: plugin.id,
            records: env.records().clone(),
            tasks: env.tasks().clone(),
            scopes: (!scopes.is_empty()).then_some(scopes),
            needs_scope: config.flag("mandatory_scope"),
            provision_key: config.text("provision_key").ok_or("config.provision_key is missing")?.to_owned(),
            token_expiration: config.integer("token_expiration").unwrap_or(7200),
            refresh_token_ttl: config.integer("refresh_token_ttl").unwrap_or(1_209_600),
            reuses_refresh_token: config.flag("reuse_refresh_token"),
            grants: Grants {
                authorization_code: config.flag("enable_authorization_code"),
                implicit: config.flag("enable_implicit_grant"),
                client_credentials: config.flag("enable_client_credentials"),
                password: config.flag("enable_password_grant"),
            },
            hide: config.flag("hide_credentials"),
            accepts_terminated_tls: config.flag("accept_http_if_already_terminated"),
            is_global: config.flag("global_credentials"),
            header_name: config.text("auth_header_name").unwrap_or("authorization").to_owned(),
            pkce: match config.text("pkce") {
                Some("none") => Pkce::Nobody,
                Some("strict") => Pkce::Everybody,
                _ => Pkce::PublicClients,
            },
            realm: config.header_value("realm")?.filter(|realm| !realm.is_empty()).map(str::to_owned),
            anonymous: Anonymous::new(self.name(), &config),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn degraded(&self) -> Option<String> {
        self.records.read_only().map(|why| format!("no token can be issued: {why}"))
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match Endpoint::of(&exchange.path()) {
            Some(endpoint) if exchange.request.method.as_str() != "POST" => {
                Step::Answer(self.refuse_method(exchange, endpoint))
            }
            Some(Endpoint::Token) => Step::Wait(Box::pin(async { Step::Answer(self.issue(exchange).await) })),
            Some(Endpoint::Authorize) => Step::Wait(Box::pin(async { Step::Answer(self.authorize(exchange).await) })),
            None => self.authenticate(exchange),
        }
    }
}

impl Instance {
    /// Whether the client's connection is safe to show secrets on.
    fn is_https(&self, exchange: &Exchange) -> bool {
        let client = &exchange.client;
        client.tls.is_some() || (self.accepts_terminated_tls && client.trusted && client.https)
    }

    /// The service that codes and tokens are for; `None`: for all of those whose tokens are global.
    fn service(&self, exchange: &Exchange) -> Option<Uuid> {
        exchange.service.as_ref().map(|service| service.id).filter(|_| !self.is_global)
    }
}

impl Endpoint {
    fn of(path: &str) -> Option<Endpoint> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.ends_with("/oauth2/token") {
            Some(Endpoint::Token)
        } else if path.ends_with("/oauth2/authorize") {
            Some(Endpoint::Authorize)
        } else {
            None
        }
    }
}

/// The check that the schema names.
fn check_grants(config: &Value) -> Result<(), String> {
    const GRANTS: [&str; 4] =
        ["enable_authorization_code", "enable_implicit_grant", "enable_client_credentials", "enable_password_grant"];
    if GRANTS.iter().any(|grant| config.get(*grant).and_then(Value::as_bool) == Some(true)) {
        return Ok(());
    }
    Err(format!("at least one of these fields must be true: {}", GRANTS.join(", ")))
}

#[cfg(test)]
mod tests;

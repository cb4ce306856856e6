//! Which ways lead to issuers, and to a Redis with sessions.

use super::settings::Settings;
use sdk::entities::Uuid;
use sdk::redis::{Redis, RedisSettings};
use sdk::session::Storage;
use sdk::{Config, Env, HttpClient, HttpOptions, Proxies, Url};
use std::time::Duration;

/// The client for what anybody may ask, and the one for whom a certificate says who asks, where there is one.
pub fn clients(settings: &Settings, env: &Env) -> (HttpClient, Option<HttpClient>) {
    let options = HttpOptions {
        timeout: settings.timeout,
        keepalive: Duration::from_secs(60),
        verify: settings.verify_tls,
        max_content: 256 << 10,
    };
    let client = |options| {
        let client = HttpClient::new(env, options);
        if settings.proxies == Proxies::default() { client } else { client.through(settings.proxies.clone()) }
    };
    let proving = settings
        .certificate
        .map(|(certificate, verify)| client(HttpOptions { verify, ..options }).showing(env.certificate(certificate)));
    (client(options), proving)
}

/// The certificate that shows who the gateway is, and whether those who see it must prove who they are.
pub fn certificate(config: &Config<'_>) -> Result<Option<(Uuid, bool)>, String> {
    let id = config.text("tls_client_auth_cert_id").map(Uuid::parse_str).transpose();
    let id = id.map_err(|error| format!("config.tls_client_auth_cert_id: {error}"))?;
    Ok(id.map(|id| (id, config.flag("tls_client_auth_ssl_verify"))))
}

/// The proxies by which issuers are reached. The error names the field.
pub fn proxies(config: &Config<'_>) -> Result<Proxies, String> {
    let proxy = |field: &str| {
        let url = config.text(field).map(Url::parse).transpose().map_err(|why| format!("{field}: {why}"))?;
        if url.as_ref().is_some_and(Url::is_https) {
            return Err(format!("{field}: proxies are reached without TLS"));
        }
        Ok(url.map(|url| (url.host().to_owned(), url.port())))
    };
    let line = |field: &str| match config.header_value(field) {
        Ok(value) => Ok(value.map(str::to_owned)),
        Err(why) => Err(why.trim_start_matches("config.").to_owned()),
    };
    let exempt = config.text("no_proxy").unwrap_or_default();
    Ok(Proxies {
        http: proxy("http_proxy")?,
        https: proxy("https_proxy")?,
        http_authorization: line("http_proxy_authorization")?,
        https_authorization: line("https_proxy_authorization")?,
        exempt: exempt.split(',').map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()).collect(),
    })
}

/// Where sessions are kept; `None`: in cookies.
pub fn storage(config: &Config<'_>, env: &Env) -> Result<Option<Storage>, String> {
    if config.text("session_storage") != Some("redis") {
        return Ok(None);
    }
    let record = config.section("redis");
    let prefix = record.text("prefix").unwrap_or("sessions").to_owned();
    Ok(Some(Storage::Redis(Redis::new(env, RedisSettings::read(&record)?), prefix)))
}

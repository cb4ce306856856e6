//! `/acme`: orders certificates, has them renewed and shows them.

use super::issue::Issuer;
use sdk::certificates::Details;
use sdk::{AdminAnswer, AdminEndpoint, AdminRequest, Env, Fields, HttpClient, HttpOptions, HttpRequest, Url};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/acme", &["PATCH", "POST"]),
    endpoint("/acme/certificates", &["GET"]),
    endpoint("/acme/certificates/{certificates}", &["GET"]),
];

const fn endpoint(path: &'static str, methods: &'static [&'static str]) -> AdminEndpoint {
    AdminEndpoint { path, methods, on_admin: true, on_status: false, with_instances: true, in_workspaces: false }
}

/// Answers a request to one of them.
pub async fn answer(request: &AdminRequest, env: &Env) -> AdminAnswer {
    let Some(plugin) = request.instances.first() else { return AdminAnswer::not_found() };
    let issuer = match Issuer::new(plugin, env) {
        Ok(issuer) => Arc::new(issuer),
        Err(error) => return failed(&error),
    };
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match (request.method.as_str(), &path[..]) {
        ("POST", ["acme"]) => order(request, &issuer, env).await,
        ("PATCH", ["acme"]) => {
            env.tasks().spawn("renewal of certificates", async move { issuer.renew().await });
            AdminAnswer::json(202, json!({ "message": "Renewal process started successfully" }))
        }
        ("GET", ["acme", "certificates"]) => list(request, &issuer).await,
        ("GET", ["acme", "certificates", host]) => match issuer.load(host).await {
            Ok(Some((chain, _))) => AdminAnswer::json(200, json!({ "data": shown(&chain) })),
            Ok(None) => {
                let message = format!("Certificate for host {host}not found in storage");
                AdminAnswer::json(404, json!({ "message": message }))
            }
            Err(error) => failed(&error),
        },
        _ => AdminAnswer::not_found(),
    }
}

async fn order(request: &AdminRequest, issuer: &Issuer, env: &Env) -> AdminAnswer {
    let refused = |message: &str| AdminAnswer::json(400, json!({ "message": message }));
    let field = |name: &str| request.body.as_ref().and_then(|body| body.get(name));
    let Some(host) = field("host").and_then(Value::as_str).filter(|host| !host.is_empty()) else {
        return refused("host must be provided and containing a single domain");
    };
    if host.contains(':') {
        return refused("port is not allowed in host");
    }
    let test = field("test_http_challenge_flow");
    if test.is_some_and(|test| *test == json!(true) || *test == json!("true")) {
        return match test_flow(issuer, env, host).await {
            Ok(()) => AdminAnswer::json(200, json!({ "message": format!("sanity test for host {host} passed") })),
            Err(why) => refused(&format!("problem found running sanity check for {host}: {why}")),
        };
    }
    match issuer.update(host, None).await {
        Ok(_) => AdminAnswer::json(201, json!({ "message": format!("certificate for host {host} is created") })),
        Err(error) => failed(&format!("failed to update certificate: {error}")),
    }
}

/// Whether requests of an ACME server would come to the plugin.
async fn test_flow(issuer: &Issuer, env: &Env, host: &str) -> Result<(), String> {
    if !issuer.lists(host) {
        return Err("host is not included in plugin config.domains".to_owned());
    }
    let place = format!("http://{host}/.well-known/acme-challenge/");
    let url = Url::parse(&format!("{place}x"))?;
    let request = HttpRequest { method: "GET".to_owned(), url, fields: Fields::new(), content: Default::default() };
    let sent = HttpClient::new(env, HttpOptions::default()).send(request).await;
    let response = sent.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&response.content);
    if text.contains("no Route matched with those values") {
        return Err(format!(
            "{place}* doesn't map to a Route in Kong; please refer to docs on how to create dummy Route \
                            and Service"
        ));
    }
    match text == "Not found\n" {
        true => Ok(()),
        false => Err(format!("unexpected response: \"{text}\", unexpected status code: {}", response.status)),
    }
}

async fn list(request: &AdminRequest, issuer: &Issuer) -> AdminAnswer {
    let invalid_only = request.query.iter().any(|(name, value)| name == "invalid_only" && value != "false");
    let hosts = match issuer.hosts().await {
        Ok(hosts) => hosts,
        Err(error) => return failed(&error),
    };
    let mut data = Vec::new();
    for host in hosts {
        match issuer.load(&host).await {
            Ok(Some((chain, _))) => data.push(shown(&chain)),
            Ok(None) => tracing::warn!("acme: {host} is to be renewed, and has no certificate"),
            Err(error) => return failed(&error),
        }
    }
    data.retain(|certificate| !invalid_only || certificate["valid"] == false);
    AdminAnswer::json(200, json!({ "data": data }))
}

/// What Kong shows of a certificate.
fn shown(chain: &str) -> Value {
    let own = model::pem::certificate(chain).ok().and_then(|own| Details::of(&own).ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    json!({
        "digest": paired(&own.fingerprint.to_ascii_uppercase()),
        "host": own.common_name.or_else(|| own.alternative_names.first().cloned()),
        "issuer_cn": own.issuer_common_name,
        "not_before": date(own.not_before),
        "not_after": date(own.not_after),
        "valid": own.not_before < now && own.not_after > now,
        "serial_number": paired(&own.serial),
        "pubkey_type": own.key_type,
    })
}

/// Hexadecimal digits with a colon between octets.
fn paired(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
    pairs.collect::<Vec<_>>().join(":")
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or(String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn failed(error: &str) -> AdminAnswer {
    AdminAnswer::json(500, json!({ "message": error }))
}

//! What a function is given: the request, in one of four shapes. Strings are octets, as everywhere.

use jiff::{Timestamp, tz::TimeZone};
use sdk::{Args, Config, Content, Exchange, JsonObject, Known, MediaType, json};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// Which shape events have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Query and members of the body, in one object.
    Members,
    /// The parts that are asked for.
    Parts { method: bool, headers: bool, uri: bool, body: bool, base64: bool },
    /// That of AWS' API Gateway.
    Gateway { base64: bool },
    /// The newer one of the same (`awsgateway_compatible_payload_version`).
    NewerGateway { base64: bool },
}

/// A value as JSON text.
type Text = Vec<u8>;

/// Bodies of these types are text.
const TEXTS: [&[u8]; 5] = [b"text/plain", b"text/html", b"application/xml", b"text/xml", b"application/soap+xml"];

impl Shape {
    pub fn new(config: &Config<'_>) -> Shape {
        let base64 = config.flag("base64_encode_body");
        let [method, headers, uri, body] =
            ["method", "headers", "uri", "body"].map(|part| config.flag(&format!("forward_request_{part}")));
        if config.flag("awsgateway_compatible") {
            match config.text("awsgateway_compatible_payload_version") {
                Some("2.0") => Shape::NewerGateway { base64 },
                _ => Shape::Gateway { base64 },
            }
        } else if method || headers || uri || body {
            Shape::Parts { method, headers, uri, body, base64 }
        } else {
            Shape::Members
        }
    }

    /// The event of a request.
    pub fn event(&self, exchange: &Exchange) -> Vec<u8> {
        match *self {
            Shape::Members => members(exchange),
            Shape::Parts { method, headers, uri, body, base64 } => {
                let mut event = JsonObject::default();
                if method {
                    event.set("request_method", &string(exchange.request.method.as_bytes()));
                }
                if headers {
                    event.set("request_headers", &collected(lines(exchange)));
                }
                if uri {
                    event.set("request_uri", &string(exchange.request.target.as_bytes()));
                    event.set("request_uri_args", &collected(arguments(&query(exchange))));
                }
                if body {
                    set_body(&mut event, exchange, base64);
                }
                event.encode()
            }
            Shape::Gateway { base64 } => gateway(exchange, base64),
            Shape::NewerGateway { base64 } => newer_gateway(exchange, base64),
        }
    }
}

fn members(exchange: &Exchange) -> Text {
    let mut event: Vec<(Text, Text)> = merged(arguments(&query(exchange)));
    match Content::of(exchange) {
        Some(Content::Form(args)) => event.extend(merged(arguments(&args))),
        Some(Content::Multipart(form)) => {
            event.extend(merged(form.iter().map(|(name, value)| (name.to_vec(), string(value))).collect()));
        }
        Some(Content::Json(object)) => {
            event.extend(object.iter().map(|(name, value)| (name.into_owned(), value.to_vec())));
        }
        None => {
            match items(exchange) {
                // In Lua it is a table like any other.
                Some(items) if event.is_empty() && !items.is_empty() => return encoded_list(&items),
                Some(items) => event.extend((1..).zip(items).map(|(place, item): (usize, Value)| {
                    (place.to_string().into_bytes(), item.to_string().into_bytes())
                })),
                None => {}
            }
        }
    }
    // Those of the body come last, and of one name the last counts.
    let last = event.into_iter().collect::<HashMap<_, _>>();
    object(last)
}

/// The items of a body that is a list.
fn items(exchange: &Exchange) -> Option<Vec<Value>> {
    let body = exchange.body.bytes()?;
    let kind = exchange.request.fields.known(Known::ContentType).and_then(MediaType::parse)?;
    serde_json::from_slice(body).ok().filter(|_| kind.is_json())
}

fn encoded_list(items: &[Value]) -> Text {
    serde_json::to_vec(items).unwrap_or_default()
}

fn set_body(event: &mut JsonObject, exchange: &Exchange, base64: bool) {
    let body = exchange.body.bytes();
    let args = match Content::of(exchange) {
        Some(Content::Form(args)) => Some(collected(arguments(&args))),
        Some(Content::Json(object)) => Some(object.encode()),
        Some(Content::Multipart(form)) => {
            Some(collected(form.iter().map(|(name, value)| (name.to_vec(), string(value))).collect()))
        }
        None => items(exchange).map(|items| encoded_list(&items)),
    };
    let content_type = exchange.request.fields.known(Known::ContentType).unwrap_or_default();
    match body {
        // It may be anything.
        Some(body) if args.is_none() && base64 && !TEXTS.contains(&content_type) => {
            event.set("request_body_base64", b"true");
            event.set("request_body", &string(encoded(body).as_bytes()));
        }
        Some(body) => event.set("request_body", &string(body)),
        None => {}
    }
    event.set("request_body_args", &args.unwrap_or_else(|| b"{}".to_vec()));
}

fn gateway(exchange: &Exchange, base64: bool) -> Text {
    let request = &exchange.request;
    let (headers, query) = (grouped(lines(exchange)), grouped(arguments(&query(exchange))));
    let path = string(exchange.upstream.path.as_bytes());
    let mut event = JsonObject::default();
    for (name, value) in [
        ("version", string(b"1.0")),
        ("path", path.clone()),
        ("httpMethod", string(request.method.as_bytes())),
        ("headers", first(&headers)),
        ("multiValueHeaders", every(&headers)),
        ("pathParameters", path_parameters(exchange)),
        ("queryStringParameters", first(&query)),
        ("multiValueQueryStringParameters", every(&query)),
        ("body", body(exchange, base64)),
        ("isBase64Encoded", flag(base64)),
        ("requestContext", context(exchange, &path)),
    ] {
        event.set(name, &value);
    }
    event.encode()
}

/// Values of one name are joined by commas, and cookies stand apart.
fn newer_gateway(exchange: &Exchange, base64: bool) -> Text {
    let request = &exchange.request;
    let lines = request.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
    let lines = lines.map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.to_vec())).collect();
    let args = query(exchange);
    let args = args.iter().map(|(name, value)| (name.into_owned(), value.unwrap_or_default().into_owned())).collect();
    let cookies = request.fields.get_all("Cookie").flat_map(|line| line.split(|&octet| octet == b';'));
    let cookies: Vec<Text> = cookies.map(|cookie| string(cookie.trim_ascii())).collect();
    let path = string(exchange.upstream.path.as_bytes());
    let mut event = JsonObject::default();
    for (name, value) in [
        ("version", string(b"2.0")),
        ("routeKey", string(DEFAULT)),
        ("rawPath", path.clone()),
        ("rawQueryString", string(request.query().unwrap_or_default().as_bytes())),
        ("cookies", list(&cookies)),
        ("headers", joined(lines)),
        ("queryStringParameters", joined(args)),
        ("pathParameters", path_parameters(exchange)),
        ("body", body(exchange, base64)),
        ("isBase64Encoded", flag(base64)),
        ("requestContext", newer_context(exchange, &path)),
    ] {
        event.set(name, &value);
    }
    event.encode()
}

/// The route and the stage of an API that has no others.
const DEFAULT: &[u8] = b"$default";

fn newer_context(exchange: &Exchange, path: &[u8]) -> Text {
    let agent = exchange.request.fields.get("User-Agent").unwrap_or_default();
    let (name, prefix) = domain(exchange);
    let http = object([
        (b"method".to_vec(), string(exchange.request.method.as_bytes())),
        (b"path".to_vec(), path.to_vec()),
        (b"protocol".to_vec(), protocol(exchange)),
        (b"sourceIp".to_vec(), string(exchange.client.peer.to_string().as_bytes())),
        (b"userAgent".to_vec(), string(agent)),
    ]);
    object([
        (b"domainName".to_vec(), string(&name)),
        (b"domainPrefix".to_vec(), string(&prefix)),
        (b"http".to_vec(), http),
        (b"requestId".to_vec(), string(exchange.id_str().as_bytes())),
        (b"routeKey".to_vec(), string(DEFAULT)),
        (b"stage".to_vec(), string(DEFAULT)),
        (b"time".to_vec(), string(time(exchange).as_bytes())),
        (b"timeEpoch".to_vec(), exchange.timing.started_unix_ms.to_string().into()),
    ])
}

fn path_parameters(exchange: &Exchange) -> Text {
    let named = exchange.captures.iter().filter(|(name, _)| !name.bytes().all(|b| b.is_ascii_digit()));
    collected(named.map(|(name, value)| (name.clone().into_bytes(), string(value))).collect())
}

fn body(exchange: &Exchange, base64: bool) -> Text {
    let body = exchange.body.bytes().map_or(&b""[..], |body| body);
    if base64 { string(encoded(body).as_bytes()) } else { string(body) }
}

fn flag(flag: bool) -> Text {
    if flag { b"true".to_vec() } else { b"false".to_vec() }
}

/// The name that the request is for, and what stands before its first dot.
fn domain(exchange: &Exchange) -> (Vec<u8>, Vec<u8>) {
    let host = exchange.request.fields.known(Known::Host).unwrap_or_default().to_ascii_lowercase();
    let name = host.split(|&b| b == b':').next().unwrap_or_default();
    let prefix = name.split(|&b| b == b'.').next().unwrap_or_default();
    (name.to_vec(), prefix.to_vec())
}

fn protocol(exchange: &Exchange) -> Text {
    string(format!("HTTP/{}", exchange.request.version.number()).as_bytes())
}

fn time(exchange: &Exchange) -> String {
    let started = i64::try_from(exchange.timing.started_unix_ms).unwrap_or_default();
    let time = Timestamp::from_millisecond(started).unwrap_or_default();
    time.to_zoned_datetime(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S %z").to_string()
}

fn context(exchange: &Exchange, path: &[u8]) -> Text {
    let fields = &exchange.request.fields;
    let (name, prefix) = domain(exchange);
    let mut identity = JsonObject::default();
    identity.set("sourceIp", &string(exchange.client.peer.to_string().as_bytes()));
    if let Some(agent) = fields.get("User-Agent") {
        identity.set("userAgent", &string(agent));
    }
    let mut context = JsonObject::default();
    for (name, value) in [
        ("path", path.to_vec()),
        ("resourcePath", path.to_vec()),
        ("protocol", protocol(exchange)),
        ("httpMethod", string(exchange.request.method.as_bytes())),
        ("domainName", string(&name)),
        ("domainPrefix", string(&prefix)),
        ("identity", identity.encode()),
        ("requestId", string(exchange.id_str().as_bytes())),
        ("requestTime", string(time(exchange).as_bytes())),
        ("requestTimeEpoch", exchange.timing.started_unix_ms.to_string().into()),
    ] {
        context.set(name, &value);
    }
    context.encode()
}

fn query(exchange: &Exchange) -> Args {
    Args::parse(exchange.request.query().unwrap_or_default())
}

fn lines(exchange: &Exchange) -> Vec<(Text, Text)> {
    let fields = exchange.request.fields.iter();
    fields.map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), string(value))).collect()
}

fn arguments(args: &Args) -> Vec<(Text, Text)> {
    let value = |value: Option<Cow<'_, [u8]>>| value.map_or_else(|| b"true".to_vec(), |value| string(&value));
    args.iter().map(|(name, given)| (name.into_owned(), value(given))).collect()
}

/// All values of each name, in the order in which names came first.
fn grouped(all: Vec<(Text, Text)>) -> Vec<(Text, Vec<Text>)> {
    let mut groups: Vec<(Text, Vec<Text>)> = Vec::new();
    let mut known: HashMap<Text, usize> = HashMap::new();
    for (name, value) in all {
        match known.get(&name) {
            Some(at) => groups[*at].1.push(value),
            None => {
                known.insert(name.clone(), groups.len());
                groups.push((name, vec![value]));
            }
        }
    }
    groups
}

/// One value for each name; several are a list.
fn merged(all: Vec<(Text, Text)>) -> Vec<(Text, Text)> {
    grouped(all).into_iter().map(|(name, values)| (name, one_or_list(&values))).collect()
}

fn collected(all: Vec<(Text, Text)>) -> Text {
    object(merged(all))
}

fn first(groups: &[(Text, Vec<Text>)]) -> Text {
    object(groups.iter().map(|(name, values)| (name.clone(), values[0].clone())))
}

/// One text for each name, of octets that are quoted here.
fn joined(all: Vec<(Text, Text)>) -> Text {
    object(grouped(all).into_iter().map(|(name, values)| (name, string(&values.join(&b","[..])))))
}

fn every(groups: &[(Text, Vec<Text>)]) -> Text {
    object(groups.iter().map(|(name, values)| (name.clone(), list(values))))
}

fn object(members: impl IntoIterator<Item = (Text, Text)>) -> Text {
    let mut text = vec![b'{'];
    for (name, value) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        json::quote(&name, &mut text);
        text.push(b':');
        text.extend_from_slice(&value);
    }
    text.push(b'}');
    text
}

fn one_or_list(values: &[Text]) -> Text {
    match values {
        [one] => one.clone(),
        several => list(several),
    }
}

fn list(values: &[Text]) -> Text {
    [b"[", &values.join(&b","[..])[..], b"]"].concat()
}

fn string(octets: &[u8]) -> Text {
    let mut text = Vec::with_capacity(octets.len() + 2);
    json::quote(octets, &mut text);
    text
}

fn encoded(body: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(body)
}

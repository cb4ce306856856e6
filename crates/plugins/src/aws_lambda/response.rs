//! What a client gets of a function's response.

use sdk::{Answer, Bytes, Config, Fields, HttpResponse, Known, decode_base64, field_value};
use serde_json::{Map, Value, json};

/// How responses are read.
#[derive(Clone, Debug)]
pub(super) struct Responses {
    /// They name status, headers and body (`is_proxy_integration`).
    describe: bool,
    unhandled_status: Option<u16>,
    /// Empty lists become empty objects, as older versions of Kong had it (`empty_arrays_mode`).
    empty_lists_are_objects: bool,
}

/// Fields of Lambda's that are about its own connection and content.
const OWN: [Known; 4] = [Known::Connection, Known::KeepAlive, Known::TransferEncoding, Known::ContentLength];

impl Responses {
    pub fn new(config: &Config<'_>) -> Responses {
        Responses {
            describe: config.flag("is_proxy_integration"),
            unhandled_status: config.integer("unhandled_status"),
            empty_lists_are_objects: config.text("empty_arrays_mode") == Some("legacy"),
        }
    }

    /// The answer for the client.
    pub fn answer(&self, response: HttpResponse) -> Answer {
        let HttpResponse { status, mut fields, content } = response;
        for name in OWN {
            fields.remove_known(name);
        }
        if self.describe {
            return match described(&content) {
                Ok(described) => described.answer(fields),
                Err(why) => {
                    tracing::error!("the response of a function is of no use: {why}");
                    let error = format!("could not JSON decode Lambda function response: {why}");
                    Answer::json(502, &json!({ "message": "Bad Gateway", "error": error }))
                }
            };
        }
        let unhandled = fields.get("X-Amz-Function-Error") == Some(b"Unhandled");
        let status = self.unhandled_status.filter(|_| unhandled).unwrap_or(status);
        let is_json = fields.known(Known::ContentType).is_some_and(|kind| {
            let kind = field_value::essence(kind).to_ascii_lowercase();
            kind.starts_with(b"application/") && kind.ends_with(b"json")
        });
        let content = if is_json && self.empty_lists_are_objects { with_objects(content) } else { content };
        answer(status, content, fields)
    }
}

/// A response that a function has described.
struct Described {
    status: u16,
    headers: Vec<(String, Vec<String>)>,
    body: Bytes,
}

impl Described {
    fn answer(self, mut fields: Fields) -> Answer {
        for (name, values) in self.headers {
            fields.remove(&name);
            values.iter().for_each(|value| fields.append(&name, value.as_bytes()));
        }
        answer(self.status, self.body, fields)
    }
}

fn answer(status: u16, content: Bytes, fields: Fields) -> Answer {
    let answer = Answer { fields, ..Answer::new(status, content) };
    let kind = answer.fields.get_str("Content-Type").map(str::to_owned);
    match kind {
        Some(kind) => answer.typed(&kind),
        None => answer,
    }
}

fn described(content: &[u8]) -> Result<Described, String> {
    let response: Value = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    let Value::Object(response) = response else { return Err("proxy response must be json format".to_owned()) };
    let status = match response.get("statusCode") {
        Some(Value::Number(number)) => number.as_f64().map(|number| number as u16),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let status = status.filter(|status| (100..600).contains(status)).ok_or("statusCode validation failed")?;
    let headers = match response.get("headers") {
        None => None,
        Some(Value::Object(headers)) => Some(headers),
        Some(_) => return Err("headers must be a table".to_owned()),
    };
    let body = match response.get("body") {
        None => "",
        Some(Value::String(body)) => body,
        Some(_) => return Err("body must be a string".to_owned()),
    };
    let body = match response.get("isBase64Encoded") {
        None | Some(Value::Bool(false)) => Bytes::copy_from_slice(body.as_bytes()),
        Some(Value::Bool(true)) => decode_base64(body).unwrap_or_default().into(),
        Some(_) => return Err("isBase64Encoded must be a boolean".to_owned()),
    };
    let several = response.get("multiValueHeaders").and_then(Value::as_object);
    let lines = headers.into_iter().chain(several).flat_map(Map::iter);
    // What cannot be a line is not sent.
    let lines = lines.filter(|(name, _)| Fields::is_valid_name(name.as_bytes()) && !is_framing(name));
    Ok(Described { status, headers: lines.map(|(name, value)| (name.clone(), values(value))).collect(), body })
}

/// The lengths and codings of a message are ours to say.
fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn values(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| Fields::is_valid_value(text.as_bytes())),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        single => one(single).into_iter().collect(),
    }
}

/// JSON text with an empty object in place of each empty list.
fn with_objects(content: Bytes) -> Bytes {
    let (mut within, mut escaped, mut opened) = (false, false, None);
    let mut lists = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => (within, opened) = (!within, None),
            _ if within => {}
            b'[' => opened = Some(at),
            b']' => lists.extend(opened.take().map(|start| start..=at)),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => opened = None,
        }
    }
    if lists.is_empty() {
        return content;
    }
    let mut changed = content.to_vec();
    for list in lists.into_iter().rev() {
        changed.splice(list, *b"{}");
    }
    changed.into()
}

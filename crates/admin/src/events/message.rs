//! What an event hook sends: a request with the event as JSON, or as its templates say, signed if it has a secret.

use super::template::{self, Escape};
use crate::access::text;
use crate::node::HookMessage;
use aws_lc_rs::hmac;
use model::Record;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The headers that say who has sent what, which hooks do not set by themselves.
const OWN: &[&str] = &["content-length", "host", "x-kong-signature", "transfer-encoding", "connection"];
const FORM: &str = "application/x-www-form-urlencoded";

/// What a hook sends for an event; the error is why there is nothing to send.
pub fn of(hook: &Record, data: &Value) -> Result<HookMessage, String> {
    let empty = Map::new();
    let config = hook.get("config").and_then(Value::as_object).unwrap_or(&empty);
    let is_custom = text(hook, "handler") == "webhook-custom";
    let flag = |field: &str| config.get(field) == Some(&Value::Bool(true));
    let rendered = |text: &str, format: bool| match format {
        true => template::render(text, data, Escape::Html),
        false => Ok(text.to_owned()),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in config.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = rendered(value.as_str().unwrap_or_default(), is_custom && flag("headers_format"))?;
        if value.bytes().any(|octet| octet.is_ascii_control() && octet != b'\t') {
            return Err(format!("the header {name} would have a line break or another control character"));
        }
        headers.push((name.clone(), value));
    }
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_form = kind.is_some_and(|(_, value)| value.starts_with(FORM));
    let is_typed = kind.is_some();
    let payload = config.get("payload").and_then(Value::as_object);
    let body = config.get("body").and_then(Value::as_str);
    let content = match (is_custom, body, payload) {
        (false, ..) => data.to_string(),
        (true, Some(body), _) => rendered(body, flag("body_format"))?,
        (true, None, Some(payload)) => {
            let mut payload = Value::Object(payload.clone());
            if flag("payload_format") {
                fill(&mut payload, data)?;
            }
            if is_form { form(&payload) } else { payload.to_string() }
        }
        (true, None, None) => String::new(),
    };
    if !is_typed && !content.is_empty() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    if let Some(secret) = config.get("secret").and_then(Value::as_str) {
        headers.push(("X-Kong-Signature".to_owned(), signature(secret, content.as_bytes())));
    }
    let url = text(config, "url");
    let url = if is_custom { template::render(url, data, Escape::Url)? } else { url.to_owned() };
    let method = if is_custom { text(config, "method") } else { "POST" }.to_owned();
    let verify = config.get("ssl_verify") != Some(&Value::Bool(false));
    Ok(HookMessage { hook: text(hook, "id").to_owned(), method, url, headers, content, verify })
}

/// Whether a hook may set a header of that name.
pub fn may_set(header: &str) -> bool {
    let is_name = hyper::header::HeaderName::try_from(header).is_ok();
    is_name && OWN.iter().all(|own| !own.eq_ignore_ascii_case(header))
}

/// As Kong 3.10 has it: the receivers that there are compare with SHA-1.
fn signature(secret: &str, content: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let mut text = String::from("sha1=");
    for octet in hmac::sign(&key, content).as_ref() {
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// Fills the places in all texts of a value.
fn fill(value: &mut Value, data: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => *text = template::render(text, data, Escape::Html)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, data))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|value| fill(value, data))?,
        _ => {}
    }
    Ok(())
}

fn form(payload: &Value) -> String {
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={}", crate::page::escape(name), crate::page::escape(&value))
    };
    payload.as_object().into_iter().flatten().map(pair).collect::<Vec<_>>().join("&")
}

/// What a hook is told when it is tried out.
pub fn ping(hook: &Value) -> Value {
    json!({ "source": "kong:event_hooks", "event": "ping", "event_hooks": hook })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(handler: &str, config: Value) -> Record {
        let hook = json!({ "id": "h", "handler": handler, "config": config });
        hook.as_object().cloned().unwrap()
    }

    #[test]
    fn webhooks_post_the_event_and_sign_it() {
        let hook = hook("webhook", json!({ "url": "http://h.test/", "secret": "s", "headers": { "X-A": "{{ a }}" } }));
        let message = of(&hook, &json!({ "a": 1 })).unwrap();
        assert_eq!(message.method, "POST");
        assert_eq!(message.content, r#"{"a":1}"#);
        assert!(message.verify);
        let lines: Vec<(&str, &str)> = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            lines,
            [
                ("X-A", "{{ a }}"),
                ("Content-Type", "application/json"),
                ("X-Kong-Signature", "sha1=fa90bbb46547f7bc6b4cad1f3b475ba08facfea6"),
            ]
        );
    }

    #[test]
    fn custom_webhooks_are_what_their_templates_say() {
        let config = json!({
            "url": "http://h.test/{{ name }}", "method": "PUT", "ssl_verify": false, "headers_format": true,
            "headers": { "X-A": "{* name *}" }, "payload": { "text": "{{ name }}!", "n": 1 }, "payload_format": true,
        });
        let message = of(&hook("webhook-custom", config.clone()), &json!({ "name": "a b" })).unwrap();
        assert_eq!(message.url, "http://h.test/a%20b");
        assert_eq!(message.method, "PUT");
        assert_eq!(message.content, r#"{"text":"a b!","n":1}"#);
        assert!(!message.verify);
        assert_eq!(message.headers[0].1, "a b");
        assert!(of(&hook("webhook-custom", config.clone()), &json!({ "name": "a\r\nX-B: c" })).is_err());
        let mut of_form = config;
        of_form["headers"] = json!({ "content-type": "application/x-www-form-urlencoded" });
        let message = of(&hook("webhook-custom", of_form), &json!({ "name": "a&b" })).unwrap();
        assert_eq!(message.content, "text=a%26amp%3Bb%21&n=1");
    }
}

//! `/bascule/trace`: sends a request through this node and tells what becomes of it.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::{Drafts, Method};
use crate::node::TracedRequest;
use hyper::Uri;
use model::Record;
use serde_json::Value;

const PATH: &str = "/bascule/trace";

pub fn add(drafts: &mut Drafts) {
    drafts.add(PATH, &[(Method::Post, |call| Box::pin(trace(call)))]);
    // It may hold what a client of the proxy proves itself with.
    drafts.keeps_no_content(PATH);
}

async fn trace(mut call: Call) -> HandlerResult {
    let wanted = match std::mem::take(&mut call.content) {
        Content::Json(record) | Content::Form(record) => record,
        _ => Record::new(),
    };
    let request = request(&wanted).map_err(|why| Answer::message(400, why))?;
    match call.state.node.trace(request).await {
        Ok(course) => Ok(Answer::new(200, course).with_header("cache-control", "no-store")),
        Err((status, why)) => Err(Answer::message(status, why)),
    }
}

/// The request that is described.
fn request(wanted: &Record) -> Result<TracedRequest, String> {
    const KNOWN: [&str; 9] = ["method", "url", "scheme", "host", "path", "headers", "body", "client_ip", "http2"];
    if let Some(unknown) = wanted.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("{unknown}: unknown field"));
    }
    let text = |field: &str| match wanted.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{field}: expected a string")),
    };
    let url = match text("url")? {
        Some(url) => Some(url.parse::<Uri>().map_err(|_| "url: not a URL".to_owned())?),
        None => None,
    };
    let scheme = url.as_ref().and_then(Uri::scheme_str).or(text("scheme")?).unwrap_or("http");
    if !["http", "https"].contains(&scheme) {
        return Err("only http and https can be traced".to_owned());
    }
    let authority = url.as_ref().and_then(Uri::authority).map(|authority| authority.as_str().to_owned());
    let host = text("host")?.map(str::to_owned).or(authority).ok_or("host: required, or a url that has one")?;
    let target = url.as_ref().and_then(Uri::path_and_query).map(|target| target.as_str().to_owned());
    let target = text("path")?.map(str::to_owned).or(target).unwrap_or_else(|| "/".to_owned());
    if !target.starts_with('/') {
        return Err("path: must begin with /".to_owned());
    }
    let http2 = match wanted.get("http2") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(http2)) => *http2,
        // As forms have it.
        Some(Value::String(word)) if word == "true" || word == "false" => word == "true",
        Some(_) => return Err("http2: expected a boolean".to_owned()),
    };
    let client = text("client_ip")?.map(str::parse).transpose().map_err(|_| "client_ip: not an address".to_owned())?;
    Ok(TracedRequest {
        method: text("method")?.unwrap_or("GET").to_owned(),
        tls: scheme == "https",
        http2,
        port: host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
        host,
        target,
        headers: headers(wanted.get("headers"))?,
        body: text("body")?.unwrap_or_default().to_owned(),
        client,
    })
}

/// An object (a value each, or several), or a list of pairs.
fn headers(wanted: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let wrong = || "headers: expected an object of strings, or a list of pairs".to_owned();
    let mut lines = Vec::new();
    let mut add = |name: &str, value: &Value| match value {
        Value::String(value) => {
            lines.push((name.to_owned(), value.clone()));
            Ok(())
        }
        _ => Err(wrong()),
    };
    match wanted {
        None | Some(Value::Null) => {}
        Some(Value::Object(object)) => {
            for (name, value) in object {
                match value {
                    Value::Array(values) => values.iter().try_for_each(|value| add(name, value))?,
                    value => add(name, value)?,
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                match pair.as_array().map(Vec::as_slice) {
                    Some([Value::String(name), value]) => add(name, value)?,
                    _ => return Err(wrong()),
                }
            }
        }
        Some(_) => return Err(wrong()),
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(wanted: Value) -> Result<TracedRequest, String> {
        request(wanted.as_object().unwrap())
    }

    #[test]
    fn a_request_is_given_by_url_or_by_parts() {
        let by_url = of(json!({ "url": "https://a.test:8443/x?y=1", "headers": { "X-A": ["1", "2"] } })).unwrap();
        assert!(by_url.tls);
        assert_eq!(by_url.host, "a.test:8443");
        assert_eq!(by_url.port, Some(8443));
        assert_eq!(by_url.target, "/x?y=1");
        assert_eq!(by_url.headers.len(), 2);
        let by_parts = of(json!({ "host": "a.test", "path": "/x", "method": "POST", "body": "b" })).unwrap();
        assert_eq!(by_parts.method, "POST");
        assert_eq!(by_parts.target, "/x");
        assert!(!by_parts.tls);
        assert!(!by_parts.http2);
        assert!(of(json!({ "host": "a.test", "http2": true })).unwrap().http2);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (wanted, why) in [
            (json!({}), "host: required, or a url that has one"),
            (json!({ "host": "a", "path": "x" }), "path: must begin with /"),
            (json!({ "host": "a", "headers": [1] }), "headers: expected an object of strings, or a list of pairs"),
            (json!({ "host": "a", "client_ip": "b" }), "client_ip: not an address"),
            (json!({ "url": "ftp://a/" }), "only http and https can be traced"),
            (json!({ "host": "a", "http2": 1 }), "http2: expected a boolean"),
            (json!({ "host": "a", "metod": "GET" }), "metod: unknown field"),
        ] {
            assert_eq!(of(wanted).unwrap_err(), why);
        }
    }
}

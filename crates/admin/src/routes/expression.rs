//! `/bascule/expression`: whether an expression holds for a request that is described, and which of its parts do.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::DescribedRequest;
use hyper::Uri;
use serde_json::Value;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/bascule/expression", &[(Method::Post, |call| Box::pin(judge(call)))]);
}

async fn judge(call: Call) -> HandlerResult {
    let text = |field: &str| call.content.field(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let url: Uri = text("url").parse().map_err(|_| Answer::message(400, "url: not a URL"))?;
    let missing = || Answer::message(400, "url: expected a URL with a host");
    let lines = call.content.field("headers").and_then(Value::as_array).into_iter().flatten();
    let line = |line: &Value| Some((line.get(0)?.as_str()?.to_owned(), line.get(1)?.as_str()?.to_owned()));
    let client = match text("client_ip") {
        text if text.is_empty() => None,
        text => Some(text.parse().map_err(|_| Answer::message(400, "client_ip: not an address"))?),
    };
    let https = url.scheme_str() == Some("https");
    let request = DescribedRequest {
        method: Some(text("method")).filter(|method| !method.is_empty()).unwrap_or_else(|| "GET".to_owned()),
        https,
        host: url.authority().ok_or_else(missing)?.as_str().to_owned(),
        port: url.port_u16().unwrap_or(if https { 443 } else { 80 }),
        path: url.path().to_owned(),
        query: url.query().map(str::to_owned),
        headers: lines.filter_map(line).collect(),
        client,
    };
    let judged = call.state.node.judge(&text("expression"), &request).map_err(|why| Answer::message(400, why))?;
    Ok(Answer::new(200, judged))
}

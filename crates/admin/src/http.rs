//! From an HTTP request to an [`Answer`] and back: content types, limits, methods, and the headers that every answer has.

use crate::answer::Answer;
use crate::call::{Call, Query};
use crate::content::{self, BodyError, Content, RequestBody};
use crate::endpoint::{Endpoint, Endpoints, Method};
use crate::{Admin, form};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Version, header};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The two listeners that speak for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Admin,
    Status,
}

/// Answers one request.
pub async fn respond<B>(admin: &Arc<Admin>, face: Face, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let asked = Asked { face, method: head.method.as_str(), path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    let answer = answer(admin, &asked, body.map_err(|error| BodyError(error.to_string())).boxed_unsync()).await.unwrap_or_else(|answer| answer);
    let close = head.version != Version::HTTP_11 || connection_close(&head.headers);
    response(admin, &asked, answer, start.elapsed(), close)
}

/// What of a request's head matters here.
struct Asked<'a> {
    face: Face,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
}

async fn answer(admin: &Arc<Admin>, asked: &Asked<'_>, body: RequestBody) -> Result<Answer, Answer> {
    let endpoints: &Endpoints = match asked.face {
        Face::Admin => &admin.endpoints,
        Face::Status => &admin.status_endpoints,
    };
    let Some((endpoint, parameters)) = endpoints.find(asked.path) else { return plugin(admin, asked, body).await };
    if endpoint.disabled() {
        return Err(Answer::not_found());
    }
    if asked.method == "OPTIONS" {
        return Ok(options(endpoint, asked));
    }
    let method = method(asked.method);
    if method.is_some_and(Method::has_body) {
        content::check_type(asked.headers, asked.path, !body.is_end_stream())?;
    }
    let method = method.filter(|m| endpoint.handler(*m).is_some()).ok_or_else(Answer::method_not_allowed)?;
    let handler = endpoint.handler(method).ok_or_else(Answer::method_not_allowed)?;
    let query = query(asked.query)?;
    let content = if method.has_body() { content::parse(asked.headers, body, admin.options.max_content).await? } else { Content::None };
    let parameters = parameters.into_iter().map(str::to_owned).collect();
    let call = Call { admin: admin.clone(), endpoint: endpoint.clone(), parameters, query, content };
    // a fault in one handler must not take the connection down with it
    AssertUnwindSafe(handler(call)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(method = asked.method, path = asked.path, "admin request handler panicked");
        Err(Answer::unexpected())
    })
}

/// Paths that no schema and no file in `routes` knows may belong to a plugin.
async fn plugin(admin: &Arc<Admin>, asked: &Asked<'_>, body: RequestBody) -> Result<Answer, Answer> {
    let path = asked.path.strip_prefix('/').unwrap_or(asked.path);
    let segments: Vec<String> = path.strip_suffix('/').unwrap_or(path).split('/').map(|s| form::unescape(s.as_bytes())).collect();
    if asked.face == Face::Status || segments.iter().any(String::is_empty) {
        return Err(Answer::not_found());
    }
    let method = if asked.method == "HEAD" { "GET" } else { asked.method };
    let body = match self::method(method) {
        Some(m) if m.has_body() => match content::parse(asked.headers, body, admin.options.max_content).await? {
            Content::Json(record) | Content::Form(record) => Some(record),
            Content::None | Content::Text(_) => None,
        },
        _ => None,
    };
    let query = query(asked.query)?.0.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let request = crate::PluginRequest { method: method.to_owned(), path: segments, query, body };
    let (status, body) = match admin.node.plugin_admin(request) {
        Some(answer) => answer.await,
        None => return Err(Answer::not_found()),
    };
    Ok(if body.is_null() { Answer::empty(status) } else { Answer::new(status, body) })
}

fn method(name: &str) -> Option<Method> {
    Some(match name {
        "GET" | "HEAD" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => return None,
    })
}

fn options(endpoint: &Endpoint, asked: &Asked<'_>) -> Answer {
    let headers = asked.headers.get("access-control-request-headers").and_then(|value| value.to_str().ok()).unwrap_or("Content-Type");
    Answer::empty(204)
        .with_header("allow", &endpoint.allow)
        .with_header("access-control-allow-methods", &endpoint.allow)
        .with_header("access-control-allow-headers", headers)
}

fn query(text: Option<&str>) -> Result<Query, Answer> {
    let pairs = form::parse_pairs(text.unwrap_or_default().as_bytes());
    if pairs.len() > form::MAX_FIELDS {
        return Err(Answer::message(400, form::FormError::TooManyFields.message()));
    }
    Ok(Query(pairs))
}

fn connection_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("close"))
}

fn response(admin: &Admin, asked: &Asked<'_>, answer: Answer, took: Duration, close: bool) -> Response<Full<Bytes>> {
    let content = answer.body.map(|body| Bytes::from(body.to_string()));
    let mut response = Response::new(Full::new(content.clone().unwrap_or_default()));
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if content.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static(if close { "close" } else { "keep-alive" }));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed_origin(admin, asked));
    if asked.face == Face::Admin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if admin.options.latency_header {
        headers.insert(HeaderName::from_static("x-kong-admin-latency"), HeaderValue::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
    }
    if admin.options.server_header
        && let Ok(value) = HeaderValue::from_str(&format!("bascule/{}", admin.options.version))
    {
        headers.insert(header::SERVER, value);
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Any origin may use the Admin API, unless the GUI's are set: then the client's own if it is among them, else the first.
fn allowed_origin(admin: &Admin, asked: &Asked<'_>) -> HeaderValue {
    let own = asked.headers.get(header::ORIGIN);
    match admin.options.origins.first() {
        Some(first) if asked.face == Face::Admin => own
            .filter(|origin| admin.options.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
            .cloned()
            .or_else(|| HeaderValue::from_str(first).ok()),
        _ => own.cloned(),
    }
    .unwrap_or(HeaderValue::from_static("*"))
}

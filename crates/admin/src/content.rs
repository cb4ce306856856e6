//! The content of requests: which types are read, how much of it, and what it becomes.

use crate::answer::Answer;
use crate::form;
use crate::options::Options;
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{self, HeaderMap};
use model::{Catalog, Record, Schema};
use serde_json::Value;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// The content of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Content {
    #[default]
    None,
    Json(Record),
    /// Form fields: nested, but every leaf still a string.
    Form(Record),
    /// YAML, for the endpoints that take it.
    Text(String),
}

impl Content {
    /// The content as input for an entity. `known` is a field that decides how form fields are read (a plugin's
    /// `name`), in case that the content does not have it.
    pub fn into_input(self, catalog: &Catalog, schema: &Schema, known: Option<(&str, &Value)>) -> Record {
        match self {
            Content::None | Content::Text(_) => Record::new(),
            Content::Json(record) => record,
            Content::Form(mut record) => {
                if let Some((name, value)) = known {
                    record.entry(name).or_insert_with(|| value.clone());
                }
                schema.coerce_form(catalog, record)
            }
        }
    }

    /// A field, whatever the form of the content.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Content::Json(record) | Content::Form(record) => record.get(name),
            Content::None | Content::Text(_) => None,
        }
    }
}

/// The content of a request, from a socket or from a test.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a request's content could not be read.
#[derive(Debug)]
pub struct BodyError(pub String);

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BodyError {}

/// A client that takes longer to send a request's content is given up, unless single pauses may be as long.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Content of so many octets is parsed where no other request waits.
const LARGE: usize = 256 << 10;

/// The content types that are read, compared as Kong does: case matters.
pub fn check_type(headers: &HeaderMap, path: &str, has_content: bool) -> Result<(), Answer> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(kind) = types.next() else {
        return if has_content { Err(Answer::message(415, "Unsupported media type")) } else { Ok(()) };
    };
    if types.next().is_some() {
        return Err(Answer::message(400, "Multiple Content-Type headers not allowed"));
    }
    let kind = kind.as_bytes();
    let known = ["application/json", "multipart/form-data", "application/x-www-form-urlencoded"];
    let yaml = ["application/yaml", "text/yaml"];
    let starts = |name: &&str| kind.starts_with(name.as_bytes());
    if known.iter().any(starts) || (path.trim_end_matches('/') == "/config" && yaml.iter().any(starts)) {
        return Ok(());
    }
    Err(Answer::message(415, "Unsupported media type"))
}

/// Parses a request's content as its type says.
pub async fn parse(headers: &HeaderMap, bytes: Bytes) -> Result<Content, Answer> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(Content::None) };
    let not_text = |what: &str| Answer::message(400, format!("{what} is not valid UTF-8"));
    let kind = std::str::from_utf8(kind.as_bytes()).map_err(|_| not_text("Content-Type"))?;
    if kind.starts_with("application/json") {
        return match bytes.len() {
            0..LARGE => json(&bytes),
            _ => spawn_blocking(move || json(&bytes)).await.unwrap_or_else(|_| Err(Answer::unexpected())),
        };
    }
    if kind.starts_with("application/x-www-form-urlencoded") {
        return nest(form::parse_pairs(&bytes).map_err(refuse)?);
    }
    if kind.starts_with("multipart/form-data") {
        return nest(multipart(kind, bytes).await?);
    }
    String::from_utf8(bytes.into()).map(Content::Text).map_err(|_| not_text("Request body"))
}

/// Reads a request's content: of at most `max_content` octets, with pauses of at most `client_body_timeout`.
pub async fn read(body: RequestBody, options: &Options) -> Result<Bytes, Answer> {
    let (limit, pause) = (options.max_content, options.limits.client_body_timeout);
    let mut limited = Limited::new(body, limit);
    let mut content = BytesMut::new();
    // What trickles in does not put the end off.
    let end = Instant::now() + CONTENT_TIMEOUT.max(pause);
    loop {
        match tokio::time::timeout_at(end.min(Instant::now() + pause), limited.frame()).await {
            Err(_) => return Err(Answer::message(408, "Request body was not received in time")),
            Ok(None) => return Ok(content.freeze()),
            Ok(Some(Ok(frame))) => content.extend(frame.into_data().ok()),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                return Err(Answer::message(413, format!("Request body is larger than {limit} bytes")));
            }
            Ok(Some(Err(error))) => return Err(Answer::message(400, format!("Cannot read request body: {error}"))),
        }
    }
}

fn json(bytes: &[u8]) -> Result<Content, Answer> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(record)) => Ok(Content::Json(record)),
        Ok(_) => Err(Answer::message(400, "Cannot parse JSON body: it is not an object")),
        Err(_) => Err(Answer::message(400, "Cannot parse JSON body")),
    }
}

fn nest(pairs: Vec<(String, Option<String>)>) -> Result<Content, Answer> {
    form::nest(pairs).map(Content::Form).map_err(refuse)
}

fn refuse(error: form::FormError) -> Answer {
    Answer::message(400, error.message())
}

/// Nothing at all is a form without fields, as in Kong.
async fn multipart(kind: &str, bytes: Bytes) -> Result<Vec<(String, Option<String>)>, Answer> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |error: multer::Error| Answer::message(400, format!("Cannot parse multipart body: {error}"));
    let boundary = multer::parse_boundary(kind).map_err(invalid)?;
    let stream = futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(bytes)));
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(invalid)? {
        if pairs.len() > form::MAX_FIELDS {
            break;
        }
        let Some(name) = part.name().map(str::to_owned) else { continue };
        let value = part.bytes().await.map_err(invalid)?;
        let value = String::from_utf8(value.into()).map_err(|_| refuse(form::FormError::NotText))?;
        pairs.push((name, Some(value)));
    }
    Ok(pairs)
}

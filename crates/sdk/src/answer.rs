//! Answers that the gateway or a plugin gives in place of the service.

use crate::{Bytes, ErrorFormat, Exchange, Fields, JsonObject, Known, MediaType, Source, Version, field_value};
use serde_json::{Value, json};
use std::borrow::Cow;

const GRPC: &[u8] = b"application/grpc";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// A whole response: status, field lines, content. The gateway adds `Content-Length`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Fields,
    pub body: Bytes,
    /// [`Source::Exit`]; [`Source::Service`] for a stored response of the service, which is passed on as if it came
    /// from there just now.
    pub source: Source,
}

impl Answer {
    /// An answer with that content and no `Content-Type`.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer { status, fields: Fields::new(), body: body.into(), source: Source::Exit }
    }

    /// A JSON answer (`application/json; charset=utf-8`).
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, body.to_string()).with_type(ErrorFormat::Json.content_type())
    }

    /// A JSON answer whose strings may hold octets that are no text, as those of Kong may.
    pub fn json_object(status: u16, object: &JsonObject) -> Answer {
        Answer::new(status, object.encode()).with_type(ErrorFormat::Json.content_type())
    }

    /// `{"message": …}` as `kong.response.exit` sends it; for a gRPC call, the message as its status.
    pub fn message(exchange: &Exchange, status: u16, message: &str) -> Answer {
        if is_grpc(exchange) {
            return grpc(exchange, status, Some(message));
        }
        Answer::json(status, &json!({ "message": message }))
    }

    /// An error in the format that the client accepts, with the request id, as `kong.response.error` makes it;
    /// JSON when the client does not say.
    pub fn error(exchange: &Exchange, status: u16, message: &str) -> Answer {
        if is_grpc(exchange) {
            return grpc(exchange, status, None);
        }
        let mut lines = exchange.request.fields.known_all(Known::Accept).peekable();
        let format = match lines.peek() {
            None => Some(ErrorFormat::Json),
            Some(_) => accepted(lines),
        };
        formatted(exchange, format, status, message)
    }

    /// The answer when something has gone wrong that is nobody else's fault (500).
    pub fn unexpected(exchange: &Exchange) -> Answer {
        Answer { source: Source::Error, ..Answer::error(exchange, 500, &Answer::status_message(500)) }
    }

    /// An error of the proxy itself: as [`Answer::error`], but in the format of the request's content, or else in
    /// `error_default_type`, when the client does not say. Status 494 (a head too large) becomes 400.
    pub fn gateway_error(exchange: &Exchange, status: u16, message: &str) -> Answer {
        let fields = &exchange.request.fields;
        let wanted = fields.known(Known::Accept).or_else(|| fields.known(Known::ContentType));
        let status = if status == 494 { 400 } else { status };
        match wanted {
            Some(value) if value.starts_with(GRPC) => Answer::message(exchange, status, message),
            Some(value) => formatted(exchange, accepted(std::iter::once(value)), status, message),
            None => formatted(exchange, Some(exchange.directory.error_pages().default_format), status, message),
        }
    }

    /// What `kong.response.error` says when the caller gives no message.
    pub fn status_message(status: u16) -> Cow<'static, str> {
        Cow::Borrowed(match status {
            400 => "Bad request",
            401 => "Unauthorized",
            402 => "Payment required",
            403 => "Forbidden",
            404 => "Not found",
            405 => "Method not allowed",
            406 => "Not acceptable",
            407 => "Proxy authentication required",
            408 => "Request timeout",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length required",
            412 => "Precondition failed",
            413 => "Payload too large",
            414 => "URI too long",
            415 => "Unsupported media type",
            416 => "Range not satisfiable",
            417 => "Expectation failed",
            418 => "I'm a teapot",
            421 => "Misdirected request",
            422 => "Unprocessable entity",
            423 => "Locked",
            424 => "Failed dependency",
            425 => "Too early",
            426 => "Upgrade required",
            428 => "Precondition required",
            429 => "Too many requests",
            431 => "Request header fields too large",
            451 => "Unavailable for legal reasons",
            494 => "Request header or cookie too large",
            500 => "An unexpected error occurred",
            501 => "Not implemented",
            502 => "An invalid response was received from the upstream server",
            503 => "The upstream server is currently unavailable",
            504 => "The upstream server is timing out",
            505 => "HTTP version not supported",
            506 => "Variant also negotiates",
            507 => "Insufficient storage",
            508 => "Loop detected",
            510 => "Not extended",
            511 => "Network authentication required",
            _ => return Cow::Owned(format!("The upstream server responded with {status}")),
        })
    }

    /// What the proxy itself says for a status: Kong words fewer of them there.
    pub fn gateway_message(status: u16) -> Cow<'static, str> {
        match status {
            400 | 403 | 404 | 405 | 408 | 411..=414 | 417 | 494 | 500 | 502..=504 => Answer::status_message(status),
            _ => Cow::Owned(format!("The upstream server responded with {status}")),
        }
    }

    /// The answer with that line in place of any of the same name.
    pub fn with(mut self, name: &str, value: &[u8]) -> Answer {
        self.fields.set(name, value);
        self
    }

    /// The answer with that `Content-Type`; some text types get nginx's `charset=UTF-8` when they name no charset.
    pub fn typed(self, content_type: &str) -> Answer {
        let value = content_type.as_bytes();
        let is = |kind: &&str| field_value::essence(value).eq_ignore_ascii_case(kind.as_bytes());
        if MediaType::WITH_CHARSET.iter().any(is) && field_value::without_charset(value) == value {
            return self.with_type(&format!("{content_type}; charset=UTF-8"));
        }
        self.with_type(content_type)
    }

    /// The answer as a gRPC call gets it, where this is one: its status and `message` (or else the usual words) in
    /// header lines, as `kong.response.exit` does it. Content that says itself that it is gRPC stays.
    pub fn for_call(mut self, exchange: &Exchange, message: Option<&[u8]>) -> Answer {
        let is_content = match self.fields.known(Known::ContentType) {
            Some(kind) if kind.starts_with(GRPC) => true,
            None if is_grpc(exchange) => false,
            _ => return self,
        };
        let (code, name) = Answer::grpc_status(self.status);
        if !self.fields.contains(GRPC_STATUS) {
            self.fields.set(GRPC_STATUS, code.as_bytes());
        }
        if is_content {
            if !self.fields.contains(GRPC_MESSAGE) {
                self.fields.set(GRPC_MESSAGE, name.as_bytes());
            }
            return self;
        }
        if message.is_some() || !self.fields.contains(GRPC_MESSAGE) {
            self.fields.set(GRPC_MESSAGE, &percent_encoded(message.unwrap_or(name.as_bytes())));
        }
        self.body = Bytes::new();
        self.fields.set_known(Known::ContentType, GRPC);
        self
    }

    /// Kong's gRPC code and its name for an HTTP status.
    pub fn grpc_status(status: u16) -> (&'static str, &'static str) {
        match status {
            401 => ("16", "Unauthenticated"),
            403 => ("7", "PermissionDenied"),
            404 => ("5", "NotFound"),
            409 => ("6", "AlreadyExists"),
            429 => ("8", "ResourceExhausted"),
            499 => ("1", "Canceled"),
            501 => ("12", "Unimplemented"),
            503 => ("14", "Unavailable"),
            504 => ("4", "DeadlineExceeded"),
            200..=299 => ("0", "OK"),
            400..=499 => ("3", "InvalidArgument"),
            500..=599 => ("13", "Internal"),
            _ => ("2", "Unknown"),
        }
    }

    fn with_type(mut self, content_type: &str) -> Answer {
        self.fields.set_known(Known::ContentType, content_type.as_bytes());
        self
    }
}

fn formatted(exchange: &Exchange, format: Option<ErrorFormat>, status: u16, message: &str) -> Answer {
    match format {
        Some(format) => {
            let body = exchange.directory.error_pages().render(format, message, exchange.id_str());
            Answer::new(status, body).with_type(format.content_type())
        }
        None => Answer::json(status, &json!({ "message": message })),
    }
}

/// Whether the request is a gRPC call (HTTP/2 or later, with gRPC content), whose errors travel in header fields.
fn is_grpc(exchange: &Exchange) -> bool {
    exchange.request.version >= Version::Http2
        && exchange.request.fields.known(Known::ContentType).is_some_and(|value| value.starts_with(GRPC))
}

/// A gRPC response that consists of its status only.
fn grpc(exchange: &Exchange, status: u16, message: Option<&str>) -> Answer {
    Answer::new(status, Bytes::new()).for_call(exchange, message.map(str::as_bytes))
}

/// A message as a field line carries it (gRPC over HTTP/2, "Responses").
fn percent_encoded(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in message {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(byte),
            _ => text.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    text
}

/// The format of the media range with the highest quality, the first among equals; types we do not speak count as
/// JSON. `None`: the client asks for gRPC without speaking it.
fn accepted<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<ErrorFormat> {
    let mut best = 0;
    let mut format = Some(ErrorFormat::Json);
    for range in lines.flat_map(field_value::list) {
        let Some(kind) = media_type(field_value::essence(range)) else { continue };
        let quality = field_value::parameters(range).filter_map(field_value::weight).last().unwrap_or(1000);
        if quality > best {
            best = quality;
            format = kind;
        }
    }
    format
}

/// What a media range asks for; the outer `None` when it is not one, the inner for gRPC.
fn media_type(range: &[u8]) -> Option<Option<ErrorFormat>> {
    let range = std::str::from_utf8(range).ok()?;
    let (kind, subtype) = range.split_once('/')?;
    if ![kind, subtype].iter().all(|part| *part == "*" || (part.len() > 1 && Fields::is_valid_name(part.as_bytes()))) {
        return None;
    }
    let is = |name: &str| range.eq_ignore_ascii_case(name);
    Some(if is("application/grpc") {
        None
    } else if is("text/html") {
        Some(ErrorFormat::Html)
    } else if is("application/xml") {
        Some(ErrorFormat::Xml)
    } else if is("text/plain") || is("text/*") {
        Some(ErrorFormat::Plain)
    } else {
        Some(ErrorFormat::Json)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn exchange(lines: &[(&str, &str)]) -> Exchange {
        testing::exchange("GET", "/a", lines)
    }

    fn kind(answer: &Answer) -> &str {
        answer.fields.get_str("content-type").unwrap_or("")
    }

    #[test]
    fn bodies_are_those_of_kong() {
        let id = testing::ID;
        let body = |accept: &str| {
            let answer = Answer::error(&exchange(&[("Accept", accept)]), 401, "No");
            (kind(&answer).to_owned(), String::from_utf8(answer.body.to_vec()).unwrap())
        };
        let (kind, content) = body("application/json");
        assert_eq!(kind, "application/json; charset=utf-8");
        assert_eq!(content, format!("{{\n  \"message\":\"No\",\n  \"request_id\":\"{id}\"\n}}"));
        let (kind, content) = body("text/plain");
        assert_eq!(kind, "text/plain; charset=utf-8");
        assert_eq!(content, format!("No\nrequest_id: {id}\n"));
        assert!(
            body("text/html")
                .1
                .ends_with(&format!("    <p>No.</p>\n    <p>request_id: {id}</p>\n  </body>\n</html>\n"))
        );
        assert!(
            body("application/xml")
                .1
                .contains(&format!("<error>\n  <message>No</message>\n  <requestid>{id}</requestid>\n</error>\n"))
        );
    }

    #[test]
    fn messages_are_escaped() {
        let answer = Answer::error(&exchange(&[]), 400, "say \"a\\b\"");
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["message"], "say \"a\\b\"");
        let answer = Answer::error(&exchange(&[("Accept", "text/html")]), 400, "<b>");
        assert!(String::from_utf8(answer.body.to_vec()).unwrap().contains("&lt;b&gt;"));
    }

    #[test]
    fn accept_is_negotiated() {
        let format = |accept: &str| accepted(std::iter::once(accept.as_bytes()));
        assert_eq!(format("text/html;q=0.5, application/json;q=0.9"), Some(ErrorFormat::Json));
        assert_eq!(format("text/html;q=0.9, application/json;q=0.5"), Some(ErrorFormat::Html));
        assert_eq!(format("text/*"), Some(ErrorFormat::Plain));
        assert_eq!(format("application/*"), Some(ErrorFormat::Json));
        assert_eq!(format("image/png, text/html"), Some(ErrorFormat::Json));
        assert_eq!(format("text/html;q=0"), Some(ErrorFormat::Json));
        assert_eq!(format("text/html;level=1;q=0.1, text/plain ; q=0.2"), Some(ErrorFormat::Plain));
        assert_eq!(format("garbage, text/plain"), Some(ErrorFormat::Plain));
        assert_eq!(format("application/grpc"), None);
        assert_eq!(format("*/*"), Some(ErrorFormat::Json));
    }

    #[test]
    fn the_proxy_falls_back_to_content_type_and_then_plain_text() {
        let answer = |lines: &[(&str, &str)]| Answer::gateway_error(&exchange(lines), 502, "x");
        assert_eq!(kind(&answer(&[])), "text/plain; charset=utf-8");
        assert_eq!(kind(&answer(&[("Content-Type", "text/html; a=b")])), "text/html; charset=utf-8");
        assert_eq!(kind(&Answer::error(&exchange(&[]), 502, "x")), "application/json; charset=utf-8");
        let grpc = answer(&[("Accept", "application/grpc")]);
        assert_eq!(kind(&grpc), "application/json; charset=utf-8");
        assert_eq!(grpc.body[..], br#"{"message":"x"}"#[..]);
        assert_eq!(Answer::gateway_error(&exchange(&[]), 494, "x").status, 400);
    }

    #[test]
    fn grpc_calls_get_a_grpc_status() {
        let mut exchange = exchange(&[("Content-Type", "application/grpc+proto")]);
        exchange.request.version = Version::Http2;
        let answer = Answer::error(&exchange, 401, "No");
        assert_eq!(answer.fields.get_str("grpc-status"), Some("16"));
        assert_eq!(answer.fields.get_str("grpc-message"), Some("Unauthenticated"));
        let answer = Answer::gateway_error(&exchange, 503, "50% off");
        assert_eq!(answer.fields.get_str("grpc-status"), Some("14"));
        assert_eq!(answer.fields.get_str("grpc-message"), Some("50%25 off"));
        assert!(answer.body.is_empty());
    }

    #[test]
    fn statuses_have_kongs_words() {
        assert_eq!(Answer::status_message(431), "Request header fields too large");
        assert_eq!(Answer::status_message(599), "The upstream server responded with 599");
        assert_eq!(Answer::gateway_message(431), "The upstream server responded with 431");
        assert_eq!(Answer::gateway_message(504), "The upstream server is timing out");
    }
}

//! Heads of HTTP/1.1: requests as the rest of the server knows them, and responses as they are sent.

use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::response;
use hyper::{Request, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use wire::h1::HeadError;
use wire::{RequestHead, Version};

/// What clients send in URLs though it must be escaped there; so must all that is not ASCII.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// A request's head; `None` when it cannot be one.
pub fn request(head: &RequestHead) -> Option<Parts> {
    let version = if head.version == Version::Http10 { hyper::Version::HTTP_10 } else { hyper::Version::HTTP_11 };
    let target = utf8_percent_encode(&head.target, ESCAPED).to_string();
    let request = Request::builder().method(head.method.as_bytes()).uri(target).version(version);
    let request = head.fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.body(()).ok().map(|request| request.into_parts().0)
}

/// The answer to a head that is not understood; `None`: the connection is closed without one.
pub fn refusal(error: HeadError) -> Option<(u16, &'static str)> {
    match error {
        HeadError::Malformed(_) => Some((400, "Bad request")),
        HeadError::TargetTooLong => Some((414, "URI too long")),
        HeadError::TooLarge => Some((400, "Request header or cookie too large")),
        HeadError::UnknownCoding => Some((501, "Not implemented")),
        HeadError::UnknownVersion => Some((505, "HTTP version not supported")),
        HeadError::NoVersion => None,
    }
}

/// How a response's content is delimited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delimited {
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

/// Writes a response's head, with the lines that all have.
pub fn write(head: &response::Parts, delimited: Delimited, date: &str, out: &mut Vec<u8>) {
    let reason = head.status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).as_bytes());
    for (name, value) in &head.headers {
        write_line(name, value.as_bytes(), out);
    }
    match delimited {
        Delimited::Length(length) if may_have_content(head.status) && !head.headers.contains_key(CONTENT_LENGTH) => {
            write_line(&CONTENT_LENGTH, length.to_string().as_bytes(), out);
        }
        Delimited::Chunked => write_line(&TRANSFER_ENCODING, b"chunked", out),
        _ => {}
    }
    write_line(&DATE, date.as_bytes(), out);
    out.extend_from_slice(b"\r\n");
}

/// Whether responses of that status can have content at all.
pub fn may_have_content(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// A field line; each word of its name begins with a capital.
fn write_line(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    let mut begins = true;
    for b in name.as_str().bytes() {
        out.push(if begins { b.to_ascii_uppercase() } else { b });
        begins = b == b'-';
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

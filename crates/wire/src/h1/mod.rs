//! HTTP/1.1 (RFC 9112): heads, chunked content, and the connections to clients and to services.

mod chunked;
mod client;
mod content;
mod head;
mod server;

pub use crate::net::Lingering;
pub(crate) use chunked::may_trail;
pub use chunked::{ChunkedDecoder, Decoded};
pub use client::{ClientConnection, OutgoingRequest, ResponseError};
pub use content::{ContentError, ContentReader, ContentWriter};
pub use head::{HeadError, HeadParser, Limits, content_length, parse_request, parse_response};
pub(crate) use head::{check_host, is_method, push_target};
pub use server::{RequestError, ServerConnection, Traffic, reason_phrase};

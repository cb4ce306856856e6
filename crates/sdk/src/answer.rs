//! Answers that the gateway or a plugin gives in place of the service.

use crate::{Bytes, Exchange, Fields};
use serde_json::Value;

/// A whole response: status, field lines, content.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Fields,
    pub body: Bytes,
}

impl Answer {
    /// A JSON answer (`application/json; charset=utf-8`).
    pub fn json(status: u16, body: &Value) -> Answer {
        let mut fields = Fields::new();
        fields.append("Content-Type", b"application/json; charset=utf-8");
        Answer { status, fields, body: Bytes::from(body.to_string()) }
    }

    /// An error in the format that the client accepts, with the request id, as `kong.response.error` makes it;
    /// JSON when the client does not say.
    pub fn error(exchange: &Exchange, status: u16, message: &str) -> Answer {
        todo!("{} {status} {message}", exchange.id_str())
    }

    /// An error of the proxy itself: as [`Answer::error`], but `text/plain` (`error_default_type`) when the client does not say.
    pub fn gateway_error(exchange: &Exchange, status: u16, message: &str) -> Answer {
        todo!("{} {status} {message}", exchange.id_str())
    }
}

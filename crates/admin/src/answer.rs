//! What an endpoint answers, and how errors become answers: their statuses are in [`model::Error`], where their words
//! are.

use crate::pictures::Pictures;
use model::{Code, Error};
use serde_json::{Value, json};
use std::borrow::Cow;

/// An answer before it becomes an HTTP response.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `None`: no content and no content type.
    pub body: Option<Value>,
    /// What is sent in place of a body.
    pub instead: Option<Box<Instead>>,
    /// Beyond those that every answer has.
    pub headers: Vec<(Cow<'static, str>, String)>,
}

/// What is no value to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Instead {
    /// The text of a large body, which is better not written where other requests wait; JSON, unless a header says
    /// otherwise.
    Text(String),
    /// Events from now on.
    Events(Pictures),
}

/// What handlers return: both sides are answers, so that `?` ends a handler early.
pub type HandlerResult = Result<Answer, Answer>;

impl Answer {
    pub fn new(status: u16, body: Value) -> Answer {
        Answer { body: Some(body), ..Answer::empty(status) }
    }

    pub fn empty(status: u16) -> Answer {
        Answer { status, body: None, instead: None, headers: Vec::new() }
    }

    /// With a body that is text already.
    pub fn written(status: u16, body: String) -> Answer {
        Answer { instead: Some(Box::new(Instead::Text(body))), ..Answer::empty(status) }
    }

    /// With events from now on.
    pub fn events(pictures: Pictures) -> Answer {
        Answer { instead: Some(Box::new(Instead::Events(pictures))), ..Answer::empty(200) }
    }

    pub fn message(status: u16, text: impl Into<String>) -> Answer {
        Answer::new(status, json!({ "message": text.into() }))
    }

    pub fn not_found() -> Answer {
        Answer::message(404, "Not found")
    }

    pub fn method_not_allowed() -> Answer {
        Answer::message(405, "Method not allowed")
    }

    pub fn unexpected() -> Answer {
        Answer::message(500, "An unexpected error occurred")
    }

    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        let status = error.status();
        if error.code == Code::DatabaseUnavailable {
            // The store says it once, not for each request.
            return Answer::message(status, "The database does not answer");
        }
        if error.code == Code::DatabaseFull {
            return Answer::message(status, "The database has no room left");
        }
        if error.code == Code::DatabaseConflict {
            // It is tried again. Where that comes to nothing, the store says so.
            tracing::debug!(error = %error, "admin request has met another transaction");
            return Answer::unexpected();
        }
        if status >= 500 {
            tracing::error!(error = %error, "admin request failed");
            return Answer::unexpected();
        }
        Answer::new(status, error.body())
    }
}

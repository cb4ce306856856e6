//! What an endpoint answers, and how errors become answers: their statuses are in [`model::Error`], where their words
//! are.

use model::Error;
use serde_json::{Value, json};

/// An answer before it becomes an HTTP response.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `None`: no content and no content type.
    pub body: Option<Value>,
    /// The text of a large body, which is better not written where other requests wait; JSON, unless a header says
    /// otherwise.
    pub written: Option<Box<str>>,
    /// Beyond those that every answer has.
    pub headers: Vec<(&'static str, String)>,
}

/// What handlers return: both sides are answers, so that `?` ends a handler early.
pub type HandlerResult = Result<Answer, Answer>;

impl Answer {
    pub fn new(status: u16, body: Value) -> Answer {
        Answer { status, body: Some(body), written: None, headers: Vec::new() }
    }

    pub fn empty(status: u16) -> Answer {
        Answer { status, body: None, written: None, headers: Vec::new() }
    }

    /// With a body that is text already.
    pub fn written(status: u16, body: String) -> Answer {
        Answer { written: Some(body.into()), ..Answer::empty(status) }
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

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        let status = error.status();
        if status >= 500 {
            tracing::error!(error = %error, "admin request failed");
            return Answer::unexpected();
        }
        Answer::new(status, error.body())
    }
}

//! What the authorization server answers, above all when it refuses.

use super::{Endpoint, Instance};
use sdk::{Answer, Exchange, Fields, RecordsError};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Why something is not granted, in the words of RFC 6749 and of Kong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub error: &'static str,
    pub description: Cow<'static, str>,
}

/// Why there is nothing to grant.
pub enum Failure {
    Refused(Refused),
    /// Nobody's fault but ours.
    Store(RecordsError),
    /// Tokens are for a service, and the route has none.
    NoService,
}

impl Refused {
    pub fn new(error: &'static str, description: impl Into<Cow<'static, str>>) -> Refused {
        Refused { error, description: description.into() }
    }

    pub fn invalid_client() -> Refused {
        Refused::new("invalid_client", "Invalid client authentication")
    }

    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Refused {
        Refused::new("invalid_request", description)
    }

    pub fn no_https() -> Refused {
        Refused::new("access_denied", "You must use HTTPS")
    }

    /// As names and values.
    pub fn members(&self) -> Map<String, Value> {
        let member = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        Map::from_iter([member("error", self.error), member("error_description", &self.description)])
    }
}

impl Instance {
    /// A refusal to let a request pass, with its challenge.
    pub fn challenge(&self, status: u16, refused: &Refused, told: bool) -> Answer {
        let mut parts = Vec::new();
        parts.extend(self.realm.as_ref().map(|realm| format!("realm=\"{realm}\"")));
        if told {
            parts.push(format!("error=\"{}\"", refused.error));
            parts.push(format!("error_description=\"{}\"", refused.description));
        }
        let challenge = if parts.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", parts.join(", ")) };
        let answer = Answer::json(status, &Value::Object(refused.members()));
        // A method may be any token, and so is part of no line that it could break.
        if Fields::is_valid_value(challenge.as_bytes()) {
            answer.with("WWW-Authenticate", challenge.as_bytes())
        } else {
            answer
        }
    }

    pub fn refuse_method(&self, exchange: &Exchange, endpoint: Endpoint) -> Answer {
        let name = if endpoint == Endpoint::Token { "token" } else { "authorization" };
        let method = exchange.request.method.as_str();
        let words = format!("The HTTP method {method} is invalid for the {name} endpoint");
        self.challenge(405, &Refused::new("invalid_method", words), true)
    }

    /// What an endpoint answers; nobody may store it.
    pub fn reply(&self, status: u16, members: Map<String, Value>) -> Answer {
        Answer::json(status, &Value::Object(members)).with("Cache-Control", b"no-store").with("Pragma", b"no-cache")
    }

    /// Says that we cannot do it.
    pub fn fail(&self, exchange: &Exchange, failure: &Failure) -> Answer {
        let id = exchange.id_str();
        match failure {
            Failure::Store(error) => tracing::error!(request_id = id, "oauth2: {error}"),
            Failure::NoService => tracing::error!(request_id = id, "oauth2: the route has no service"),
            Failure::Refused(_) => {}
        }
        Answer::json(500, &json!({ "message": "An unexpected error occurred" }))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::Refused(refused)
    }
}

impl From<RecordsError> for Failure {
    fn from(error: RecordsError) -> Failure {
        Failure::Store(error)
    }
}

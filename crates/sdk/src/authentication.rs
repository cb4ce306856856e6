//! What plugins that authenticate callers have in common.

mod told;

use crate::{Answer, Config, Exchange, Fields, Known, SnapshotRef, Step};
use model::entities::{Consumer, Credential, Uuid};

/// The consumer as which callers go on whom a plugin does not recognise (`anonymous`), if there is one.
pub struct Anonymous {
    plugin: &'static str,
    /// An id or a user name.
    consumer: Option<String>,
}

impl Anonymous {
    /// As the configuration of that plugin has it.
    pub fn new(plugin: &'static str, config: &Config<'_>) -> Anonymous {
        let consumer = config.text("anonymous").filter(|name| !name.is_empty());
        Anonymous { plugin, consumer: consumer.map(str::to_owned) }
    }

    /// Whether the plugin has nothing to do: with an anonymous consumer, one of several authentication plugins
    /// suffices.
    pub fn is_settled(&self, exchange: &Exchange) -> bool {
        self.consumer.is_some() && exchange.credential.is_some()
    }

    /// What follows when the caller was not recognised.
    pub fn or_refuse(&self, exchange: &mut Exchange, refuse: impl FnOnce(&Exchange) -> Answer) -> Step<'static> {
        let Some(name) = &self.consumer else { return Step::Answer(refuse(exchange)) };
        let by_id = Uuid::parse_str(name).ok().and_then(|id| exchange.find_consumer(&id));
        match by_id.or_else(|| exchange.find_consumer_by_username(name)) {
            Some(consumer) => {
                exchange.authenticate(Some(consumer), None);
                Step::Next
            }
            None => {
                let message = format!("anonymous consumer {name} is configured but doesn't exist");
                tracing::error!("{}: {message}", self.plugin);
                Step::Answer(Answer::error(exchange, 500, &message))
            }
        }
    }
}

impl Exchange {
    /// Records who the caller is, and tells the service by Kong's `X-Consumer-*` and `X-Credential-Identifier` lines,
    /// in place of what the client may have sent under these names. The identifier is the credential's id, or what
    /// [`Exchange::identify`] sets. A consumer without a credential is an anonymous one.
    pub fn authenticate(
        &mut self,
        consumer: Option<SnapshotRef<Consumer>>,
        credential: Option<SnapshotRef<Credential>>,
    ) {
        told::tell(&mut self.request.fields, consumer.as_deref(), credential.as_ref().map(|c| c.id));
        self.consumer = consumer;
        self.credential = credential;
    }

    /// Records that the caller has shown that credential; false, and nothing is recorded, when its consumer is not
    /// there.
    pub fn authenticate_by(&mut self, credential: SnapshotRef<Credential>) -> bool {
        let consumer = credential.consumer.and_then(|id| self.find_consumer(&id));
        let found = consumer.is_some();
        if found {
            self.authenticate(consumer, Some(credential));
        }
        found
    }

    /// Tells the service another name for the credential than its id, such as a user name.
    pub fn identify(&mut self, identifier: &str) {
        if Fields::is_valid_value(identifier.as_bytes()) {
            self.request.fields.set_known(Known::XCredentialIdentifier, identifier.as_bytes());
        }
    }
}

/// What follows the scheme in the value of an `Authorization` line. As in Kong, the scheme may stand anywhere, and only
/// its first letter may be of either case.
pub fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (first, rest) = scheme.as_bytes().split_first()?;
    let is = |window: &[u8]| window[0].eq_ignore_ascii_case(first) && window[1..] == *rest;
    let at = value.windows(scheme.len()).position(is)?;
    Some(&value[at + scheme.len()..])
}

/// What `WWW-Authenticate` says: the scheme, and the `realm` that the configuration names.
pub fn challenge(scheme: &str, config: &Config<'_>) -> Result<String, String> {
    let realm = config.header_value("realm")?;
    Ok(realm.map_or_else(|| scheme.to_owned(), |realm| format!("{scheme} realm=\"{realm}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Entries};
    use serde_json::{Value, json};

    fn refuse(_: &Exchange) -> Answer {
        Answer::new(401, "")
    }

    fn anonymous(config: Value) -> Anonymous {
        Anonymous::new("a-plugin", &Config::new(config.as_object().unwrap()))
    }

    /// The status of the answer to a caller who was not recognised.
    fn status(anonymous: &Anonymous, exchange: &mut Exchange) -> Option<u16> {
        match anonymous.or_refuse(exchange, refuse) {
            Step::Answer(answer) => Some(answer.status),
            _ => None,
        }
    }

    #[test]
    fn unknown_callers_go_on_as_the_anonymous_consumer() {
        let mut entries = Entries::default();
        let guest = entries.consumer("guest", None);
        let mut exchange = testing::exchange_with("GET", "/", &[], entries.into());
        assert_eq!(status(&anonymous(json!({})), &mut exchange), Some(401));
        assert!(exchange.consumer.is_none());
        for name in ["guest", &guest.id.to_string()] {
            exchange.consumer = None;
            assert_eq!(status(&anonymous(json!({ "anonymous": name })), &mut exchange), None);
            assert_eq!(exchange.consumer.as_ref().map(|consumer| consumer.id), Some(guest.id));
        }
        assert_eq!(exchange.request.fields.get_str("X-Anonymous-Consumer"), Some("true"));
        assert_eq!(status(&anonymous(json!({ "anonymous": "nobody" })), &mut exchange), Some(500));
    }

    #[test]
    fn one_of_several_plugins_suffices_only_with_an_anonymous_consumer() {
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", None);
        let credential = entries.credential("keyauth_credentials", "k", &ada);
        let mut exchange = testing::exchange("GET", "/", &[]);
        assert!(!anonymous(json!({ "anonymous": "guest" })).is_settled(&exchange));
        exchange.authenticate(Some(ada), Some(credential));
        assert!(anonymous(json!({ "anonymous": "guest" })).is_settled(&exchange));
        assert!(!anonymous(json!({})).is_settled(&exchange));
    }

    #[test]
    fn schemes_have_a_small_or_a_capital_letter() {
        assert_eq!(after_scheme(b"Basic abc", "Basic"), Some(&b" abc"[..]));
        assert_eq!(after_scheme(b"x, basicabc", "Basic"), Some(&b"abc"[..]));
        assert_eq!(after_scheme(b"BASIC abc", "Basic"), None);
        assert_eq!(after_scheme(b"Bas", "Basic"), None);
    }

    #[test]
    fn challenges_name_the_realm() {
        let of = |config: Value| challenge("Key", &Config::new(config.as_object().unwrap()));
        assert_eq!(of(json!({})), Ok("Key".to_owned()));
        assert_eq!(of(json!({ "realm": "my-api" })), Ok("Key realm=\"my-api\"".to_owned()));
        assert!(of(json!({ "realm": "a\r\nb" })).is_err());
    }
}

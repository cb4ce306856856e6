//! Tokens and codes: records of `oauth2_tokens` and `oauth2_authorization_codes`.

use super::client::Client;
use super::refused::Failure;
use super::{Instance, Pkce};
use aws_lc_rs::rand;
use sdk::entities::Uuid;
use sdk::{Exchange, Record};
use serde_json::{Map, Value, json};

pub const TOKENS: &str = "oauth2_tokens";
pub const CODES: &str = "oauth2_authorization_codes";

/// How long a code can be used, in seconds.
const CODE_TTL: u64 = 300;

/// What a token is granted for.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Whom the client acts for.
    pub user: Option<String>,
    pub scope: Option<String>,
}

/// What a client gets.
pub struct Grant {
    pub access_token: String,
    pub expires_in: Option<i64>,
    pub refresh_token: Option<String>,
}

/// How a client is to prove that it has asked for a code.
pub struct Challenge(pub String);

impl Terms {
    /// Those of a stored code or token.
    pub fn of(record: &Record) -> Terms {
        let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
        Terms { user: text("authenticated_userid"), scope: text("scope") }
    }
}

impl Grant {
    /// As names and values.
    pub fn members(self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("access_token".to_owned(), self.access_token.into());
        members.insert("token_type".to_owned(), "bearer".into());
        members.extend(self.expires_in.map(|seconds| ("expires_in".to_owned(), seconds.into())));
        members.extend(self.refresh_token.map(|token| ("refresh_token".to_owned(), token.into())));
        members
    }
}

impl Instance {
    /// Makes a token for a client, with another one by which it is renewed.
    pub async fn grant(
        &self,
        exchange: &Exchange,
        client: &Client,
        terms: &Terms,
        is_renewable: bool,
    ) -> Result<Grant, Failure> {
        let ends = self.token_expiration > 0;
        let refresh_token = (is_renewable && ends).then(random_text);
        let mut input = object(json!({
            "service": self.owner(exchange)?,
            "credential": { "id": client.id.to_string() },
            "authenticated_userid": terms.user,
            "scope": terms.scope,
            "expires_in": self.token_expiration,
            "access_token": random_text(),
            "refresh_token": refresh_token
        }));
        input.extend(self.ttl());
        let added = self.records.insert(exchange.workspace(), TOKENS, input).await?;
        Ok(self.granted(&added))
    }

    /// Gives a client another access token in place of the one that it has, with the same one to renew it.
    pub async fn renew(&self, exchange: &Exchange, token: &Record) -> Result<Option<Grant>, Failure> {
        let mut change = object(json!({
            "access_token": random_text(),
            "expires_in": self.token_expiration,
            "created_at": exchange.timing.started_unix_ms / 1000
        }));
        change.extend(self.ttl());
        let changed = self.records.update(exchange.workspace(), TOKENS, id_of(token), change).await?;
        Ok(changed.map(|changed| self.granted(&changed)))
    }

    /// Makes a code by which a client gets a token.
    pub async fn issue_code(
        &self,
        exchange: &Exchange,
        client: &Client,
        terms: &Terms,
        challenge: Option<&Challenge>,
    ) -> Result<String, Failure> {
        let input = json!({
            "service": self.service(exchange).map(reference),
            "credential": reference(client.id),
            "authenticated_userid": terms.user,
            "scope": terms.scope,
            "challenge": challenge.map(|challenge| &challenge.0),
            "challenge_method": challenge.map(|_| "S256"),
            "plugin": reference(self.plugin),
            "code": random_text(),
            "ttl": CODE_TTL
        });
        let added = self.records.insert(exchange.workspace(), CODES, object(input)).await?;
        Ok(text(&added, "code").unwrap_or_default().to_owned())
    }

    /// Whether a client has to prove that it asked for a code.
    pub fn needs_challenge(&self, client: &Client) -> bool {
        match self.pkce {
            Pkce::Nobody => false,
            Pkce::PublicClients => client.application.is_public,
            Pkce::Everybody => true,
        }
    }

    /// The service that a new token is for.
    fn owner(&self, exchange: &Exchange) -> Result<Option<Value>, Failure> {
        match self.service(exchange) {
            None if !self.is_global => Err(Failure::NoService),
            service => Ok(service.map(reference)),
        }
    }

    /// Tokens go with what renews them.
    fn ttl(&self) -> Option<(String, Value)> {
        let ends = self.token_expiration > 0 && self.refresh_token_ttl > 0;
        ends.then(|| ("ttl".to_owned(), self.refresh_token_ttl.into()))
    }

    fn granted(&self, token: &Record) -> Grant {
        Grant {
            access_token: text(token, "access_token").unwrap_or_default().to_owned(),
            expires_in: token.get("expires_in").and_then(Value::as_i64).filter(|_| self.token_expiration > 0),
            refresh_token: text(token, "refresh_token").map(str::to_owned),
        }
    }
}

/// A string field.
pub fn text<'r>(record: &'r Record, field: &str) -> Option<&'r str> {
    record.get(field).and_then(Value::as_str)
}

/// The id that a record refers to.
pub fn id_in(record: &Record, field: &str) -> Option<Uuid> {
    record.get(field)?.get("id")?.as_str()?.parse().ok()
}

pub fn id_of(record: &Record) -> &str {
    text(record, "id").unwrap_or_default()
}

fn reference(id: Uuid) -> Value {
    json!({ "id": id.to_string() })
}

fn object(value: Value) -> Record {
    match value {
        Value::Object(record) => record,
        _ => Record::new(),
    }
}

/// 32 letters and digits that nobody guesses.
fn random_text() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let mut octets = [0; 64];
        rand::fill(&mut octets).expect("the system has randomness");
        // Octets past the largest multiple of 62 would favour some letters.
        let letters = octets.iter().filter(|octet| **octet < 248).map(|octet| ALPHABET[usize::from(octet % 62)]);
        text.extend(letters.take(32 - text.len()).map(char::from));
    }
    text
}

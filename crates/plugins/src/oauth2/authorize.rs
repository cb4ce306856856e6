//! The authorization endpoint: what the operator's own pages ask for when a user has agreed.

use super::Instance;
use super::client::Client;
use super::issue::{no_user, with_state};
use super::parameters::Parameters;
use super::refused::{Failure, Refused};
use super::tokens::{Challenge, Terms};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sdk::{Answer, Args, Exchange, decode_base64url};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is said of a redirect URI that the client does not have.
pub const FOREIGN_URI: &str =
    "Invalid redirect_uri that does not match with any redirect_uri created with the application";

/// What the client is told, as names and values.
struct Told {
    members: Map<String, Value>,
    status: u16,
    /// It comes in the fragment, as an implicit grant does.
    in_fragment: bool,
}

impl Instance {
    /// Answers with the URI that the user's browser is to be sent to.
    pub async fn authorize(&self, exchange: &Exchange) -> Answer {
        let parameters = Parameters::of(exchange);
        let before = if !self.is_https(exchange) {
            Err(Refused::no_https())
        } else if let Err(refused) = self.check_provision_key(&parameters) {
            Err(refused)
        } else {
            parameters.filled("authenticated_userid").map(drop).ok_or_else(no_user)
        };
        if let Err(refused) = before {
            return self.reply(400, with_state(refused.members(), &parameters));
        }
        let client = parameters.text("client_id").and_then(|id| Client::find(exchange, &id));
        let (uri, foreign) = redirect_uri(&parameters, client.as_ref());
        let told = match self.decide(exchange, &parameters, client.as_ref(), foreign).await {
            Ok(told) => told,
            Err(Failure::Refused(refused)) => Told { members: refused.members(), status: 400, in_fragment: false },
            Err(failure) => return self.fail(exchange, &failure),
        };
        let members = with_state(told.members, &parameters);
        match uri {
            Some(uri) => {
                let uri = with_members(&uri, &members, told.in_fragment);
                self.reply(told.status, Map::from_iter([("redirect_uri".to_owned(), uri.into())]))
            }
            None => self.reply(told.status, members),
        }
    }

    /// What the client gets. Of several mistakes the last one is told, as in Kong.
    async fn decide(
        &self,
        exchange: &Exchange,
        parameters: &Parameters,
        client: Option<&Client>,
        foreign: Option<Refused>,
    ) -> Result<Told, Failure> {
        let kind = parameters.text("response_type");
        let by_code = kind.as_deref() == Some("code") && self.grants.authorization_code;
        let implicit = kind.as_deref() == Some("token") && self.grants.implicit;
        let kind = (by_code || implicit)
            .then_some(())
            .ok_or_else(|| Refused::new("unsupported_response_type", "Invalid response_type"));
        let scope = self.scope(parameters);
        let challenge = challenge(parameters);
        let unchallenged = client.filter(|client| matches!(challenge, Ok(None)) && self.needs_challenge(client));
        let unchallenged = unchallenged.map(|client| {
            let kind = if client.application.is_public { "public" } else { "confidential" };
            Refused::invalid_request(format!("code_challenge is required for {kind} clients"))
        });
        let mistakes = [kind.err(), scope.as_ref().err().cloned(), foreign, challenge.as_ref().err().cloned()];
        if let Some(refused) = unchallenged.or_else(|| mistakes.into_iter().rev().flatten().next()) {
            return Err(refused.into());
        }
        let client = client.ok_or_else(Refused::invalid_client)?;
        let terms = Terms { user: parameters.text("authenticated_userid"), scope: scope? };
        let members = if by_code {
            let code = self.issue_code(exchange, client, &terms, challenge?.as_ref()).await?;
            Map::from_iter([("code".to_owned(), code.into())])
        } else {
            self.grant(exchange, client, &terms, false).await?.members()
        };
        Ok(Told { members, status: 200, in_fragment: !by_code })
    }
}

/// Where the browser goes, and what is wrong with what was asked for; nowhere without a client that has URIs.
fn redirect_uri(parameters: &Parameters, client: Option<&Client>) -> (Option<String>, Option<Refused>) {
    let Some(uris) = client.and_then(|client| client.application.redirect_uris.as_ref()) else {
        return (None, Some(Refused::invalid_client()));
    };
    let first = uris.first().cloned();
    if !parameters.has("redirect_uri") {
        let missing = first.is_none().then(|| Refused::invalid_request(FOREIGN_URI));
        return (first, missing);
    }
    match parameters.text("redirect_uri").filter(|uri| uris.contains(uri)) {
        Some(uri) => (Some(uri), None),
        None => (first, Some(Refused::invalid_request(FOREIGN_URI))),
    }
}

/// How the client will prove that it has asked (RFC 7636).
fn challenge(parameters: &Parameters) -> Result<Option<Challenge>, Refused> {
    let method = parameters.text("code_challenge_method");
    let Some(challenge) = parameters.text("code_challenge") else {
        return match method {
            Some(_) => Err(Refused::invalid_request("code_challenge is required when code_method is present")),
            None => Ok(None),
        };
    };
    if method.is_some_and(|method| !method.eq_ignore_ascii_case("S256")) {
        return Err(Refused::invalid_request("code_challenge_method is not supported, must be S256"));
    }
    // In one form, so that it can be compared, whichever alphabet the client has used.
    let plain = challenge.replace('+', "-").replace('/', "_");
    let octets = decode_base64url(plain.trim_end_matches('='));
    Ok(Some(Challenge(octets.map_or(challenge, |octets| URL_SAFE_NO_PAD.encode(octets)))))
}

/// A URI with members among its arguments, or in its fragment; sorted, as Kong does.
fn with_members(uri: &str, members: &Map<String, Value>, in_fragment: bool) -> String {
    let uri = uri.split('#').next().unwrap_or_default();
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    if !in_fragment {
        let args = Args::parse(query);
        all.extend(args.iter().map(|(name, value)| (name.into_owned(), value.unwrap_or_default().into_owned())));
    }
    for (name, value) in members {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        all.insert(name.clone().into_bytes(), value.into_bytes());
    }
    let pair = |(name, value): (&Vec<u8>, &Vec<u8>)| match value.is_empty() {
        true => escape(name),
        false => format!("{}={}", escape(name), escape(value)),
    };
    let pairs = all.iter().map(pair).collect::<Vec<_>>().join("&");
    if in_fragment { format!("{uri}#{pairs}") } else { format!("{base}?{pairs}") }
}

/// As LuaSocket, which leaves letters, digits and `_` as they are: clients may compare what they get.
fn escape(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        if octet.is_ascii_alphanumeric() || octet == b'_' {
            text.push(char::from(octet));
        } else {
            text.push_str(&format!("%{octet:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_join_what_the_uri_has() {
        let members = json!({ "state": "a b", "code": "c" }).as_object().cloned().unwrap();
        assert_eq!(with_members("https://a.test/?x=1", &members, false), "https://a.test/?code=c&state=a%20b&x=1");
        assert_eq!(with_members("https://a.test", &members, false), "https://a.test?code=c&state=a%20b");
        let members = json!({ "state": "a-b.c~/ä_", "empty": "" }).as_object().cloned().unwrap();
        assert_eq!(
            with_members("https://a.test", &members, false),
            "https://a.test?empty&state=a%2db%2ec%7e%2f%c3%a4_"
        );
        let members = json!({ "state": "a b", "code": "c" }).as_object().cloned().unwrap();
        assert_eq!(with_members("https://a.test/?x=1", &members, true), "https://a.test/?x=1#code=c&state=a%20b");
    }
}

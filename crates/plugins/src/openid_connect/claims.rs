//! What tokens say, and what of it is required.

use super::provider::{Failure, now};
use super::settings::{Requirement, Settings};
use sdk::Record;
use serde_json::Value;

/// All that is known of a caller, in the order in which it is looked at.
#[derive(Clone, Debug, Default)]
pub struct Claims(pub Vec<Record>);

impl Claims {
    /// The value at the end of a way.
    pub fn find(&self, way: &[String]) -> Option<&Value> {
        let (first, rest) = way.split_first()?;
        self.0.iter().find_map(|record| {
            let found = rest.iter().try_fold(record.get(first)?, |value, name| value.get(name))?;
            (!found.is_null()).then_some(found)
        })
    }

    /// The value at the end of a way as text.
    pub fn text(&self, way: &[String]) -> Option<String> {
        text(self.find(way)?)
    }

    /// The words at the end of a way.
    pub fn words(&self, way: &[String]) -> Vec<String> {
        self.find(way).map(words).unwrap_or_default()
    }

    /// Whether what is required is there.
    pub fn meet(&self, requirement: &Requirement) -> bool {
        let words = self.words(&requirement.claim);
        let mut lists = requirement.any_of.iter();
        requirement.any_of.is_empty() || lists.any(|list| list.iter().all(|word| words.contains(word)))
    }
}

/// What a token must be, beside signed.
pub struct Expected<'e> {
    /// The issuer's own name for itself.
    pub issuer: Option<&'e str>,
    /// To whom an identity token is given, and the number that it must repeat.
    pub client: Option<&'e str>,
    pub nonce: Option<&'e str>,
    /// Whether it must end.
    pub must_end: bool,
}

/// Whether claims are those of a token that is good here and now (OpenID Connect Core 1.0, section 3.1.3.7).
pub fn check(claims: &Record, expected: &Expected<'_>, settings: &Settings) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::Refused(why.to_owned()));
    if !settings.verify_claims {
        return Ok(());
    }
    let number = |name: &str| seconds(claims, name);
    let (now, leeway) = (now() as i64, settings.leeway);
    if expected.must_end && !claims.contains_key("exp") {
        return refuse("the token has no end");
    }
    check_times(claims, leeway)?;
    if number("iat").is_some_and(|issued| issued - leeway > now) {
        return refuse("the token comes from the future");
    }
    let issuer = claims.get("iss").and_then(Value::as_str);
    let is_good = |issuer: &str| match &settings.issuers_allowed[..] {
        [] => Some(issuer) == expected.issuer,
        allowed => allowed.iter().any(|other| other == issuer),
    };
    if !issuer.is_some_and(is_good) {
        return refuse("the token comes from another issuer");
    }
    if let Some(client) = expected.client {
        let audience = claims.get("aud").map(words).unwrap_or_default();
        let party = claims.get("azp").and_then(Value::as_str);
        if !audience.iter().any(|other| other == client) || party.is_some_and(|party| party != client) {
            return refuse("the token is for somebody else");
        }
    }
    if let Some(nonce) = expected.nonce.filter(|_| settings.verify_nonce)
        && claims.get("nonce").and_then(Value::as_str) != Some(nonce)
    {
        return refuse("the token does not belong to this login");
    }
    if let Some(max_age) = settings.max_age
        && expected.client.is_some()
        && number("auth_time").is_none_or(|since| now - since > max_age as i64 + leeway)
    {
        return refuse("the user has logged in too long ago");
    }
    if !settings.domains.is_empty() {
        let domain = |name: &str| {
            let value = claims.get(name).and_then(Value::as_str)?;
            Some(value.rsplit('@').next().unwrap_or_default().to_owned())
        };
        let domain = domain("hd").or_else(|| domain("email"));
        if !domain.is_some_and(|domain| settings.domains.contains(&domain)) {
            return refuse("the user is of another domain");
        }
    }
    Ok(())
}

/// Whether it is after the beginning and before the end that claims name.
pub fn check_times(claims: &Record, leeway: i64) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::Refused(why.to_owned()));
    let now = now() as i64;
    match seconds(claims, "exp") {
        Some(end) if end.saturating_add(leeway) <= now => return refuse("the token has expired"),
        None if claims.contains_key("exp") => return refuse("the token has no end"),
        _ => {}
    }
    if seconds(claims, "nbf").is_some_and(|begin| begin.saturating_sub(leeway) > now) {
        return refuse("the token is not good yet");
    }
    Ok(())
}

fn seconds(claims: &Record, name: &str) -> Option<i64> {
    claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64)
}

/// A value as text; lists by their words.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(_) => Some(words(value).join(", ")),
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(|item| match item {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .collect(),
        Value::Number(number) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

//! What tokens say, what of it is asked for, and what the service is told.

use super::settings::{Rules, Signing};
use sdk::Record;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a token does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is missing or no good.
    Unauthorized(String),
    /// It is good, but not for this.
    Forbidden(String),
    /// Nobody can tell.
    Trouble(String),
}

/// The value at the end of a way.
pub fn find<'c>(claims: &'c Record, way: &[String]) -> Option<&'c Value> {
    let (first, rest) = way.split_first()?;
    let found = rest.iter().try_fold(claims.get(first)?, |value, name| value.get(name))?;
    (!found.is_null()).then_some(found)
}

/// Whether a token with these claims is good now, and for this.
pub fn check(claims: &Record, rules: &Rules) -> Result<(), Refusal> {
    let time = |way: &[String]| match find(claims, way).map(Value::as_f64) {
        None => Ok(None),
        Some(None) => Err(Refusal::Unauthorized(format!("{} is no number", way.join(".")))),
        Some(seconds) => Ok(seconds),
    };
    if rules.verify_expiry && time(&rules.expiry_claim)?.is_some_and(|end| end + rules.leeway <= now()) {
        return Err(Refusal::Unauthorized("the token has expired".to_owned()));
    }
    if rules.verify_notbefore && time(&rules.notbefore_claim)?.is_some_and(|begin| begin - rules.leeway > now()) {
        return Err(Refusal::Unauthorized("the token is not good yet".to_owned()));
    }
    if let Some(way) = rules.required.iter().find(|way| find(claims, way).is_none()) {
        return Err(Refusal::Unauthorized(format!("there is no claim {}", way.join("."))));
    }
    for allowed in &rules.allowed {
        let found = find(claims, &allowed.claim).map(texts).unwrap_or_default();
        if !found.iter().any(|text| allowed.words.contains(text)) {
            return Err(Refusal::Unauthorized(format!("the {} is not one that is allowed", allowed.what)));
        }
    }
    let words = find(claims, &rules.scopes_claim).map(words).unwrap_or_default();
    let has = |list: &Vec<String>| list.iter().all(|word| words.contains(word));
    if rules.scopes.is_empty() || rules.scopes.iter().any(has) {
        Ok(())
    } else {
        Err(Refusal::Forbidden("the scopes do not suffice".to_owned()))
    }
}

/// The claims of the token that the service gets.
pub fn issued(claims: &Record, signing: &Signing) -> Record {
    let mut issued = claims.clone();
    if let Some(issuer) = &signing.issuer {
        let original = issued.insert("iss".to_owned(), issuer.as_str().into());
        if let Some(original) = original.filter(|original| !original.is_null()) {
            issued.insert("original_iss".to_owned(), original);
        }
    }
    if let Some(end) = issued.get("exp").and_then(Value::as_f64).filter(|_| signing.leeway != 0.0) {
        issued.insert("exp".to_owned(), ((end + signing.leeway) as i64).into());
    }
    for (claim, value) in &signing.add {
        issued.entry(claim.as_str()).or_insert_with(|| value.clone());
    }
    issued.extend(signing.set.iter().cloned());
    issued.retain(|claim, _| !signing.remove.contains(claim));
    issued
}

/// A claim as the name of a consumer.
pub fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Unix seconds.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A text, or those of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(name).collect(),
        other => name(other).into_iter().collect(),
    }
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(list) => list.iter().filter_map(name).collect(),
        other => name(other).into_iter().collect(),
    }
}

//! What fields of an upstream ask of each other, beyond what Kong has.

use crate::Record;
use serde_json::Value;

/// What a way of balancing needs, and what has no effect without something else.
pub fn balancing(upstream: &Record) -> Result<(), String> {
    let is_set = |field: &str| upstream.get(field).is_some_and(|value| !value.is_null());
    let is = |field: &str, value: &str| upstream.get(field).and_then(Value::as_str) == Some(value);
    let sticky = is("algorithm", "sticky-sessions");
    let wrong = [
        (sticky && !is("hash_on", "none"), "sticky-sessions goes by its cookie: hash_on must be none"),
        (is_set("max_pending_requests") && !is_set("max_connections"), "max_pending_requests needs max_connections"),
    ];
    wrong.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_effect_is_refused() {
        let check = |upstream: Value| balancing(upstream.as_object().unwrap());
        assert!(check(json!({ "algorithm": "round-robin", "hash_on": "none" })).is_ok());
        assert!(check(json!({ "algorithm": "sticky-sessions", "hash_on": "none" })).is_ok());
        assert!(check(json!({ "algorithm": "sticky-sessions", "hash_on": "ip" })).is_err());
        assert!(check(json!({ "max_pending_requests": 1 })).is_err());
        assert!(check(json!({ "max_pending_requests": 1, "max_connections": 1 })).is_ok());
    }
}

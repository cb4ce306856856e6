//! What a policy has come to.

use sdk::Fields;
use serde_json::Value;

/// Whether a request goes on, and what is added.
#[derive(Debug)]
pub enum Decision {
    /// It does, with these lines.
    Allow(Fields),
    Refuse {
        status: u16,
        fields: Fields,
        message: Value,
    },
}

impl Decision {
    /// Reads an answer of the agent. Whatever is no decision is an error.
    pub fn read(content: &[u8]) -> Result<Decision, String> {
        let answer: Value = serde_json::from_slice(content).map_err(|_| "the answer is no JSON".to_owned())?;
        let result = answer.get("result").ok_or("the answer has no result: is there such a policy?")?;
        let refuse = |status, fields, message| Ok(Decision::Refuse { status, fields, message });
        match result {
            Value::Bool(true) => Ok(Decision::Allow(Fields::new())),
            Value::Bool(false) => refuse(403, Fields::new(), "unauthorized".into()),
            Value::Object(object) => {
                let allow = object.get("allow").and_then(Value::as_bool).ok_or("result.allow is no boolean")?;
                let fields = fields(object.get("headers"))?;
                if allow {
                    return Ok(Decision::Allow(fields));
                }
                let status = match object.get("status") {
                    None | Some(Value::Null) => 403,
                    Some(status) => status_of(status).ok_or("result.status is no status")?,
                };
                let message = object.get("message").filter(|message| !message.is_null());
                refuse(status, fields, message.cloned().unwrap_or_else(|| "unauthorized".into()))
            }
            _ => Err("result is neither a boolean nor an object".to_owned()),
        }
    }
}

fn status_of(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|status| u16::try_from(status).ok()).filter(|status| (200..600).contains(status))
}

fn fields(headers: Option<&Value>) -> Result<Fields, String> {
    let mut fields = Fields::new();
    let headers = match headers {
        None | Some(Value::Null) => return Ok(fields),
        Some(headers) => headers.as_object().ok_or("result.headers is no object")?,
    };
    for (name, value) in headers {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return Err(format!("result.headers: '{}' is no text", name.escape_debug())),
        };
        if !Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(text.as_bytes()) {
            return Err(format!("result.headers: '{}' cannot be a line", name.escape_debug()));
        }
        // How long a message is says the gateway.
        let framing = ["Content-Length", "Transfer-Encoding", "Connection"];
        if !framing.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            fields.set(name, text.as_bytes());
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(result: Value) -> Result<Decision, String> {
        Decision::read(json!({ "result": result }).to_string().as_bytes())
    }

    #[test]
    fn booleans_and_objects_decide() {
        assert!(matches!(read(json!(true)), Ok(Decision::Allow(fields)) if fields.iter().count() == 0));
        let Ok(Decision::Refuse { status, message, .. }) = read(json!(false)) else { panic!() };
        assert_eq!(status, 403);
        assert_eq!(message, json!("unauthorized"));
        let Ok(Decision::Allow(fields)) = read(json!({ "allow": true, "headers": { "X-A": "1", "X-B": 2 } })) else {
            panic!()
        };
        assert_eq!(fields.get_str("x-b"), Some("2"));
        let refused = json!({ "allow": false, "status": 401, "message": { "why": 1 }, "headers": { "X-A": "1" } });
        let Ok(Decision::Refuse { status, message, fields }) = read(refused) else { panic!() };
        assert_eq!(status, 401);
        assert_eq!(message, json!({ "why": 1 }));
        assert_eq!(fields.get_str("x-a"), Some("1"));
    }

    #[test]
    fn whatever_else_is_no_decision() {
        for result in [
            json!(null),
            json!("true"),
            json!(1),
            json!([true]),
            json!({}),
            json!({ "allow": "true" }),
            json!({ "allow": false, "status": 99 }),
            json!({ "allow": true, "headers": { "X": "a\r\nb" } }),
            json!({ "allow": true, "headers": { "X": ["a"] } }),
            json!({ "allow": true, "headers": "X" }),
        ] {
            assert!(read(result.clone()).is_err(), "{result}");
        }
        assert!(Decision::read(b"{}").is_err());
        assert!(Decision::read(b"true").is_err());
        assert!(Decision::read(b"<html>").is_err());
    }
}

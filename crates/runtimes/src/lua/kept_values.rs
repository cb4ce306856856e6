//! What code keeps in `kong.cache`, as the Admin API shows it and has it go (`/cache`). Workers keep it in shared
//! memory (`code/modules/mlcache.lua`): in front of each text its type, its generation, until when it is good, and for
//! how long.

use super::{generations, natives::shared};
use serde_json::{Number, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const DICTIONARY: &str = "kong_db_cache";

/// What is kept under a key. `None`: nothing that is still good; that there is nothing is a value, too.
pub fn kept_value(key: &str) -> Option<Value> {
    let text = shared::text_in(DICTIONARY, key.as_bytes())?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    read(&text, generations::of(key.as_bytes()), since.as_secs_f64())
}

/// Has one value be loaded anew by all workers of this node.
pub fn forget_value(key: &str) {
    generations::invalidate(key.as_bytes());
}

fn read(text: &[u8], generation: u64, now: f64) -> Option<Value> {
    let mut parts = text.splitn(5, |octet| *octet == b' ');
    let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (kind, of, expires) = (word()?, word()?.parse::<u64>().ok()?, word()?.parse::<f64>().ok()?);
    let (_ttl, value) = (parts.next()?, parts.next()?);
    if of != generation || expires > 0.0 && expires <= now {
        return None;
    }
    let text = || String::from_utf8_lossy(value).into_owned();
    Some(match kind {
        "table" => serde_json::from_slice(value).ok()?,
        "number" => json!(text().parse::<f64>().ok().and_then(whole_or_not)),
        "boolean" => json!(value == b"true"),
        "miss" => Value::Null,
        _ => json!(text()),
    })
}

/// Whole numbers without a fraction, as Lua's JSON has them.
fn whole_or_not(number: f64) -> Option<Number> {
    let whole = number as i64;
    if whole as f64 == number { Some(Number::from(whole)) } else { Number::from_f64(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_workers_have_written_them() {
        let read = |text: &str| read(text.as_bytes(), 7, 100.0);
        assert_eq!(read("string 7 0.000 0.000 two words"), Some(json!("two words")));
        assert_eq!(read("table 7 100.500 5.000 {\"a\":[1]}"), Some(json!({ "a": [1] })));
        assert_eq!(read("number 7 0.000 0.000 5"), Some(json!(5)));
        assert_eq!(read("boolean 7 0.000 0.000 true"), Some(json!(true)));
        assert_eq!(read("miss 7 0.000 0.000 "), Some(Value::Null));
        assert_eq!(read("string 6 0.000 0.000 old"), None);
        assert_eq!(read("string 7 99.000 5.000 over"), None);
        assert_eq!(read("what code has put there itself"), None);
    }
}

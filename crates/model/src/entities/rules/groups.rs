//! What consumer groups have.

use serde_json::Value;

/// Each window has its limit.
pub fn rates(value: &Value) -> Result<(), String> {
    let length = |field: &str| value.get(field).and_then(Value::as_array).map_or(0, Vec::len);
    if length("limit") == length("window_size") {
        Ok(())
    } else {
        Err("You must provide the same number of windows and limits".to_owned())
    }
}

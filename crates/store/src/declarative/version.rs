//! Older versions of the format, brought to the newest.

use model::Record;
use serde_json::Value;

/// What files are written in.
pub const NEWEST: &str = "3.0";

/// Paths of routes said by themselves whether they were regular expressions, before version 3.0.
pub fn upgrade(document: &mut Record) {
    let version = document.get("_format_version").and_then(Value::as_str);
    if !matches!(version, Some("1.1" | "2.1")) {
        return;
    }
    routes(document.get_mut("routes"));
    for service in document.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten() {
        routes(service.get_mut("routes"));
    }
    document.insert("_format_version".to_owned(), NEWEST.into());
}

fn routes(routes: Option<&mut Value>) {
    for route in routes.and_then(Value::as_array_mut).into_iter().flatten() {
        for path in route.get_mut("paths").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::String(path) = path {
                *path = model::declarative::upgraded_path(path);
            }
        }
    }
}

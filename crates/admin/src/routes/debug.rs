//! `/debug`: the log level at run time.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use serde_json::Value;
use std::time::Duration;

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];
/// How long a changed level holds unless the client says otherwise.
const DEFAULT_TIMEOUT: f64 = 60.0;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/debug/node/log-level", &[(Method::Get, |call| Box::pin(read(call)))]);
    for path in ["/debug/node/log-level/{log_level}", "/debug/cluster/log-level/{log_level}"] {
        drafts.add(path, &[(Method::Put, |call| Box::pin(change(call)))]);
    }
}

async fn read(call: Call) -> HandlerResult {
    Ok(Answer::message(200, format!("log level: {}", call.state.node.log_level())))
}

async fn change(call: Call) -> HandlerResult {
    if call.state.options.dbless {
        return Err(Answer::message(405, "cannot change log level when not using a database"));
    }
    let level = call.parameter(0);
    if !LEVELS.contains(&level.as_str()) {
        return Err(Answer::message(400, format!("unknown log level: {level}")));
    }
    let timeout = timeout(&call).unwrap_or(DEFAULT_TIMEOUT).ceil();
    if timeout < 0.0 {
        return Err(Answer::message(400, "timeout must be greater than or equal to 0"));
    }
    if call.state.node.log_level() == level {
        return Ok(Answer::message(200, format!("log level is already {level}")));
    }
    let timeout = Duration::try_from_secs_f64(timeout).map_err(|_| Answer::message(400, "timeout is out of range"))?;
    call.state.node.set_log_level(&level, timeout);
    Ok(Answer::message(200, "log level changed"))
}

/// From the content, else from the query; what is no number does not count.
fn timeout(call: &Call) -> Option<f64> {
    let sent = call.content.field("timeout");
    sent.and_then(Value::as_f64)
        .or_else(|| sent.and_then(Value::as_str).or_else(|| call.query.first("timeout"))?.parse().ok())
}

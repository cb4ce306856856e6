//! `/debug`: the log level at run time.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::Node;
use serde_json::{Value, json};
use std::time::Duration;

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];
/// Where nodes tell each other, as Kong's do.
pub const CHANNEL: &str = "log_level";
/// How long a changed level holds unless the client says otherwise.
const DEFAULT_TIMEOUT: f64 = 60.0;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/debug/node/log-level", &[(Method::Get, |call| Box::pin(read(call)))]);
    drafts.add("/debug/node/log-level/{log_level}", &[(Method::Put, |call| Box::pin(change(call, false)))]);
    drafts.add("/debug/cluster/log-level/{log_level}", &[(Method::Put, |call| Box::pin(change(call, true)))]);
}

async fn read(call: Call) -> HandlerResult {
    Ok(Answer::message(200, format!("log level: {}", call.state.node.log_level())))
}

/// Takes the level that another node has announced.
pub fn hear(node: &dyn Node, data: &str) {
    if let Some((level, timeout)) = announced_level(data) {
        node.set_log_level(level, timeout);
    }
}

async fn change(call: Call, of_cluster: bool) -> HandlerResult {
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
    if of_cluster {
        let announced = json!({ "log_level": number(&level), "timeout": timeout.as_secs() });
        call.store.whole().announce(CHANNEL, announced.to_string()).await?;
    }
    Ok(Answer::message(200, "log level changed"))
}

/// From the content, else from the query; what is no number does not count.
fn timeout(call: &Call) -> Option<f64> {
    let sent = call.content.field("timeout");
    sent.and_then(Value::as_f64)
        .or_else(|| sent.and_then(Value::as_str).or_else(|| call.query.first("timeout"))?.parse().ok())
}

/// The number of a level in nginx: 8 for `debug`, 1 for `emerg`.
fn number(level: &str) -> Option<u64> {
    let place = LEVELS.iter().position(|known| *known == level)?;
    u64::try_from(LEVELS.len() - place).ok()
}

fn announced_level(data: &str) -> Option<(&'static str, Duration)> {
    let announced: Value = serde_json::from_str(data).ok()?;
    let announced_number = announced["log_level"].as_u64()?;
    let level = LEVELS.iter().find(|level| number(level) == Some(announced_number))?;
    let timeout = Duration::try_from_secs_f64(announced["timeout"].as_f64()?).ok()?;
    Some((level, timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_announced_by_their_numbers() {
        let minute = Duration::from_secs(60);
        for (number, level) in [(8, "debug"), (6, "notice"), (1, "emerg")] {
            assert_eq!(super::number(level), Some(number));
            let data = json!({ "log_level": number, "timeout": 60 }).to_string();
            assert_eq!(announced_level(&data), Some((level, minute)));
        }
        for data in [
            "",
            "{}",
            r#"{"log_level":0,"timeout":60}"#,
            r#"{"log_level":9,"timeout":60}"#,
            r#"{"log_level":8,"timeout":-1}"#,
        ] {
            assert_eq!(announced_level(data), None, "{data}");
        }
    }
}

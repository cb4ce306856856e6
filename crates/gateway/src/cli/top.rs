//! `bascule top`: what goes through a node, in the terminal.

use super::admin_api::AdminApi;
use super::sync::{print, run};
use super::{Outcome, Verbosity};
use model::Record;
use serde_json::Value;
use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// Show what goes through a node: requests, latencies, errors, and how its targets are
#[derive(clap::Args)]
pub struct Top {
    /// Print one picture and end
    #[arg(long)]
    once: bool,
    /// Lines of each list
    #[arg(long, value_name = "N", default_value_t = 10)]
    lines: usize,
    #[command(flatten)]
    api: AdminApi,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// The terminal's other screen, without a cursor; and back.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
const END: &str = "\x1b[?25h\x1b[?1049l";
/// To the first line; what remains of each line and of the screen goes.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K\n";
const REST_OF_SCREEN: &str = "\x1b[J";

impl Top {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let draws = !self.once && std::io::stdout().is_terminal();
        run(async {
            let remote = self.api.remote(None, verbosity)?;
            let first = remote.live().await?;
            if !draws {
                print(&shown(&first, self.lines));
                return Ok(ExitCode::SUCCESS);
            }
            print(BEGIN);
            let mut drawn = Ok(first);
            while let Ok(picture) = &drawn {
                let text = shown(picture, self.lines).replace('\n', REST_OF_LINE);
                print(&format!("{HOME}{text}{REST_OF_SCREEN}"));
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => break,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
                drawn = remote.live().await;
            }
            print(END);
            drawn.map(|_| ExitCode::SUCCESS)
        })
    }
}

/// A picture as text.
fn shown(picture: &Record, lines: usize) -> String {
    let picture = Value::Object(picture.clone());
    let at = |path: &str| picture.pointer(path).unwrap_or(&Value::Null);
    let mut text = format!("{} {} · {}\n\n", plain(at("/hostname")), plain(at("/version")), plain(at("/node_id")));
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "requests     {}/s, {} in flight, {} in all, {} errors",
        plain(at("/requests/per_second")),
        plain(at("/requests/in_flight")),
        plain(at("/requests/total")),
        plain(at("/requests/errors"))
    );
    let statuses = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let statuses = statuses.map(|class| format!("{class} {}", plain(at(&format!("/requests/statuses/{class}")))));
    let _ = writeln!(text, "statuses     {}", statuses.join("   "));
    let _ = writeln!(
        text,
        "connections  {} active, {} writing, {} waiting\n",
        plain(at("/connections/active")),
        plain(at("/connections/writing")),
        plain(at("/connections/waiting"))
    );
    row(&mut text, "LATENCY (ms)", &["p50", "p90", "p99", "max"].map(str::to_owned));
    for (name, key) in [("all", "latency"), ("gateway", "kong_latency"), ("services", "upstream_latency")] {
        let parts = ["p50", "p90", "p99", "max"].map(|part| plain(at(&format!("/{key}/{part}"))));
        row(&mut text, name, &parts);
    }
    for (title, key, name) in
        [("SERVICE", "services", "name"), ("ROUTE", "routes", "name"), ("CONSUMER", "consumers", "username")]
    {
        let list = list(at(&format!("/{key}")));
        if !list.is_empty() {
            text.push('\n');
            row(&mut text, title, &["per s", "requests", "errors", "p50", "p99"].map(str::to_owned));
        }
        for record in list.iter().take(lines) {
            let columns = ["per_second", "requests", "errors", "p50", "p99"].map(|column| plain(&record[column]));
            row(&mut text, &label(record, name), &columns);
        }
    }
    for upstream in list(at("/upstreams")).iter().take(lines) {
        let title = format!("{} ({})", label(upstream, "name"), plain(&upstream["algorithm"]));
        text.push('\n');
        row(&mut text, &title, &["per s", "share", "conn.", "failed", "ms", "weight"].map(str::to_owned));
        for target in list(&upstream["targets"]).iter().take(lines) {
            let columns = ["per_second", "share", "connections", "failures", "latency", "weight"];
            let columns = columns.map(|column| match column {
                "share" => target[column].as_f64().map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
                _ => plain(&target[column]),
            });
            let address = target["address"].as_str().filter(|address| Some(*address) != target["target"].as_str());
            let address = address.map(|address| format!(" {address}")).unwrap_or_default();
            let health = match target["health"].as_str() {
                Some("HEALTHY") => "+ ",
                Some("HEALTHCHECKS_OFF") | None => "  ",
                Some(_) => "! ",
            };
            row(&mut text, &format!("{health}{}{address}", plain(&target["target"])), &columns);
        }
    }
    text
}

fn row(text: &mut String, name: &str, columns: &[String]) {
    let name: String = name.chars().take(40).collect();
    let columns: String = columns.iter().map(|column| format!("{column:>11}")).collect();
    let _ = writeln!(text, "{name:<40}{columns}");
}

/// The name of a record, or its id.
fn label(record: &Value, name: &str) -> String {
    record[name].as_str().or(record["id"].as_str()).unwrap_or("-").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Without what could move the cursor.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_picture_is_shown_line_by_line() {
        let picture = json!({
            "hostname": "h", "version": "1", "node_id": "i",
            "requests": { "per_second": 2.5, "in_flight": 1, "total": 7, "errors": 0, "statuses": { "2xx": 7 } },
            "latency": { "p50": 1.5 },
            "services": [{ "id": "s", "name": null, "per_second": 2.5, "requests": 7, "errors": 0, "p50": 1.5 }],
            "upstreams": [{ "id": "u", "name": "up\u{1b}[2J", "algorithm": "latency", "targets": [
                { "target": "a:80", "address": "10.0.0.1:80", "health": "UNHEALTHY", "share": 0.25, "weight": 100 }
            ] }],
        });
        let text = shown(picture.as_object().unwrap(), 10);
        let line = |begins: &str| text.lines().find(|line| line.starts_with(begins)).unwrap_or_default().to_owned();
        assert_eq!(line("requests"), "requests     2.5/s, 1 in flight, 7 in all, 0 errors");
        assert!(line("s ").ends_with("2.5          7          0        1.5          -"), "{text}");
        assert!(line("! a:80 10.0.0.1:80").contains("25 %"), "{text}");
    }
}

//! Plugin servers: their names, and what is said of each.

use super::Settings;
use runtimes::external::PluginServer;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a server is looked for whose commands are not given.
const FOLDER: &str = "/usr/local/bin";
/// How long an event may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What is said of each.
const KEYS: [&str; 4] = ["start_cmd", "query_cmd", "socket", "timeout"];

/// The servers, and what the operator should know.
pub fn read(settings: &Settings) -> Result<(Vec<PluginServer>, Vec<String>), String> {
    let mut warnings = Vec::new();
    let names: Vec<String> = settings.list("pluginserver_names").iter().map(|name| name.to_lowercase()).collect();
    let servers = names.iter().map(|name| one(settings, name, &mut warnings)).collect::<Result<_, _>>()?;
    let known = |key: &str| KEYS.iter().any(|end| names.iter().any(|name| key == key_of(name, end)));
    let unknown = settings
        .loaded
        .given
        .keys()
        .filter(|key| key.starts_with("pluginserver_") && *key != "pluginserver_names" && !known(key.as_str()));
    warnings.extend(unknown.map(|key| format!("the setting '{key}' has no effect: it is about no plugin server")));
    Ok((servers, warnings))
}

fn one(settings: &Settings, name: &str, warnings: &mut Vec<String>) -> Result<PluginServer, String> {
    let given = |end: &str| Some(settings.text(&key_of(name, end)).to_owned()).filter(|text| !text.is_empty());
    let installed = Path::new(FOLDER).join(name);
    let installed = installed.exists().then(|| installed.display().to_string());
    let query_command = given("query_cmd").or_else(|| installed.as_ref().map(|path| format!("{path} -dump")));
    let query_command = query_command.ok_or_else(|| format!("query_command undefined for pluginserver {name}"))?;
    let start_command = given("start_cmd").or(installed);
    if start_command.is_none() {
        warnings.push(format!("start_command undefined for pluginserver {name}; assuming external process management"));
    }
    let socket = given("socket").map_or_else(|| settings.path(format!("{name}.socket")), PathBuf::from);
    let timeout = match given("timeout") {
        None => TIMEOUT,
        Some(text) => {
            let milliseconds = text.parse().ok().filter(|milliseconds| *milliseconds > 0);
            let wrong = || format!("{} must be a number of milliseconds, got '{text}'", key_of(name, "timeout"));
            Duration::from_millis(milliseconds.ok_or_else(wrong)?)
        }
    };
    Ok(PluginServer { name: name.to_owned(), socket, start_command, query_command, timeout })
}

fn key_of(name: &str, end: &str) -> String {
    format!("pluginserver_{}_{end}", name.replace('-', "_"))
}

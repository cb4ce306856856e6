//! What plugins a server has: its query command writes it as JSON.

use super::PluginServer;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A plugin of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub name: String,
    pub priority: i32,
    pub version: String,
    /// In the schema language of `model`.
    pub schema: String,
    pub phases: Vec<String>,
    pub protocol: Protocol,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    MsgPack,
    ProtoBuf,
}

/// How long a command may take, and how much it may write.
const LONGEST: Duration = Duration::from_secs(30);
const MOST: u64 = 4 << 20;
/// What plugins can take part in.
const PHASES: [&str; 6] = ["rewrite", "access", "preread", "response", "log", "certificate"];

/// Runs the query command of a server.
pub fn query(server: &PluginServer) -> Result<Vec<Described>, String> {
    let said = run(&server.query_command).and_then(|text| describe(&text));
    said.map_err(|error| format!("plugin server {}: '{}': {error}", server.name, server.query_command))
}

/// What a command writes; the error has what it says of itself.
fn run(command: &str) -> Result<String, String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot be run: {e}"))?;
    let read = |from: Option<Box<dyn Read + Send>>| {
        let (done, all) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = from.map_or(Ok(0), |from| from.take(MOST + 1).read_to_end(&mut text));
            // Whoever asked may have given up.
            let _ = done.send(read.map(|_| text));
        });
        all
    };
    let output = read(child.stdout.take().map(|from| Box::new(from) as Box<dyn Read + Send>));
    let errors = read(child.stderr.take().map(|from| Box::new(from) as Box<dyn Read + Send>));
    let text = output.recv_timeout(LONGEST);
    if text.is_err()
        && let Some(group) = Pid::from_raw(child.id().cast_signed())
    {
        // It ends, or has ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let text = match text {
        Ok(text) => text.map_err(|e| e.to_string())?,
        Err(_) => return Err(format!("it takes longer than {} seconds", LONGEST.as_secs())),
    };
    if !status.success() {
        let said = errors.recv_timeout(LONGEST).ok().and_then(Result::ok).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        return Err(format!("{status}: {}", said.trim().lines().last().unwrap_or_default()));
    }
    if text.len() as u64 > MOST {
        return Err("it writes too much".to_owned());
    }
    String::from_utf8(text).map_err(|_| "what it writes is not UTF-8".to_owned())
}

/// Reads a list of plugins, or an object with the protocol beside the list.
fn describe(text: &str) -> Result<Vec<Described>, String> {
    let said: Json = serde_json::from_str(text).map_err(|e| format!("what it writes is not JSON: {e}"))?;
    let protocol = match said.get("Protocol").and_then(Json::as_str) {
        None | Some("MsgPack:1") => Protocol::MsgPack,
        Some("ProtoBuf:1") => Protocol::ProtoBuf,
        Some(other) => return Err(format!("unknown protocol {other}")),
    };
    let plugins = said.get("Plugins").unwrap_or(&said).as_array().filter(|plugins| !plugins.is_empty());
    plugins.ok_or("it names no plugin")?.iter().map(|plugin| described(plugin, protocol)).collect()
}

fn described(plugin: &Json, protocol: Protocol) -> Result<Described, String> {
    let name = plugin["Name"].as_str().filter(|name| !name.is_empty()).ok_or("a plugin has no name")?;
    let wrong = |what: &str| format!("plugin {name}: {what}");
    let priority = match &plugin["Priority"] {
        Json::Null => Some(0),
        number => number.as_i64().and_then(|priority| i32::try_from(priority).ok()),
    };
    let phases: Vec<String> =
        plugin["Phases"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    if let Some(unknown) = phases.iter().find(|phase| !PHASES.contains(&phase.as_str())) {
        return Err(wrong(&format!("there is no phase {unknown}")));
    }
    Ok(Described {
        name: name.to_owned(),
        priority: priority.ok_or_else(|| wrong("its priority is not an integer"))?,
        version: plugin["Version"].as_str().unwrap_or("0.0.0").to_owned(),
        schema: schema(&plugin["Schema"]).map_err(|error| wrong(&error))?,
        phases,
        protocol,
    })
}

/// The schema as plugins of ours have it.
fn schema(said: &Json) -> Result<String, String> {
    let mut schema = said.as_object().cloned().ok_or("it has no schema")?;
    schema.remove("name");
    let fields = schema.get_mut("fields").and_then(Json::as_array_mut).ok_or("its schema has no fields")?;
    let config = fields.iter_mut().find_map(|field| field.get_mut("config")).filter(|config| config.is_object());
    let config = config.ok_or("its schema has no field 'config' of type record")?;
    if !config["fields"].is_array() {
        config["fields"] = json!([]);
    }
    config["required"] = json!(true);
    schema.entry("entity_checks").or_insert_with(|| json!([]));
    Ok(Json::Object(schema).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(command: &str) -> PluginServer {
        PluginServer {
            name: "s".to_owned(),
            socket: "/nowhere".into(),
            start_command: None,
            query_command: command.to_owned(),
            timeout: LONGEST,
        }
    }

    const GO: &str = r#"{"Protocol":"ProtoBuf:1","SocketPath":"/a","Plugins":[{"Name":"go-hello","Phases":["access"],
        "Version":"0.2","Priority":1,"Schema":{"name":"go-hello","fields":[{"config":{"type":"record","fields":
        [{"message":{"type":"string"}}]}}]}}]}"#;
    const PYTHON: &str = r#"[{"Name":"py","Phases":["access","log"],"Priority":0,"Version":null,"Schema":
        {"name":"py","fields":[{"config":{"type":"record","fields":[]}}]}}]"#;

    #[test]
    fn both_forms_are_understood() {
        let go = describe(GO).unwrap();
        assert_eq!(go[0].name, "go-hello");
        assert_eq!(go[0].protocol, Protocol::ProtoBuf);
        assert_eq!(go[0].priority, 1);
        assert_eq!(go[0].phases, ["access"]);
        let schema: Json = serde_json::from_str(&go[0].schema).unwrap();
        assert_eq!(schema["fields"][0]["config"]["fields"][0]["message"]["type"], "string");
        let python = describe(PYTHON).unwrap();
        assert_eq!(python[0].protocol, Protocol::MsgPack);
        assert_eq!(python[0].version, "0.0.0");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = |text: &str| describe(text).unwrap_err();
        assert!(error("no").starts_with("what it writes is not JSON"));
        assert_eq!(error("[]"), "it names no plugin");
        assert_eq!(error(r#"{"Protocol":"X","Plugins":[]}"#), "unknown protocol X");
        assert_eq!(error(&PYTHON.replace("access", "dance")), "plugin py: there is no phase dance");
    }

    #[test]
    fn commands_are_run_by_the_shell() {
        let of = |command: &str| query(&server(command));
        assert_eq!(of(&format!("echo '{}' | cat", PYTHON.replace('\n', " "))).unwrap()[0].name, "py");
        assert!(of("echo oops >&2; exit 3").unwrap_err().ends_with("exit status: 3: oops"));
        assert!(of("/nowhere/at/all -dump").is_err());
    }
}

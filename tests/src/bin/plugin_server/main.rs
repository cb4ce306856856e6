//! A plugin server as Kong's development kits make them, in either protocol, that does what requests tell it to: a line
//! `X-Do` of theirs, or of the service's response.
//!
//! `plugin_server PROTOCOL dump` says what it has; `plugin_server PROTOCOL SOCKET` serves, and writes down in
//! `SOCKET.log` what it is told. What has to wait goes on when there is a file `SOCKET.go`.

mod msgpack;
mod protobuf;

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What the plugin asks of the gateway, in one protocol.
pub trait Kong {
    /// Calls a function with texts and numbers; text, a number, or nothing.
    fn call(&mut self, name: &str, arguments: &[Value]) -> io::Result<Value>;

    /// Answers the client: nothing comes back.
    fn exit(&mut self, status: u16, body: &str, headers: &Value) -> io::Result<()>;

    /// Says something that is no message.
    fn garble(&mut self) -> io::Result<()>;
}

/// The instances of this process have numbers of their own.
static STARTED: AtomicI64 = AtomicI64::new(0);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, place] = &arguments[..] else { panic!("PROTOCOL and dump or SOCKET") };
    if place == "dump" {
        return println!("{}", description(protocol));
    }
    println!("serving {protocol}");
    // That of a process that has ended.
    let _ = std::fs::remove_file(place);
    let listener = UnixListener::bind(place).expect("a socket");
    for stream in listener.incoming().flatten() {
        let (place, protocol) = (place.clone(), protocol.clone());
        std::thread::spawn(move || {
            // A gateway that goes away ends the conversation.
            let _ = match protocol.as_str() {
                "msgpack" => msgpack::serve(stream, &place),
                _ => protobuf::serve(stream, &place),
            };
        });
    }
}

fn description(protocol: &str) -> Value {
    let plugin = |name: &str, phases: &[&str], more: &[Value]| {
        let config = json!({ "config": { "type": "record", "fields": [
            { "greeting": { "type": "string", "default": "hello", "len_min": 2 } },
        ] } });
        let fields = [more, &[config]].concat();
        json!({
            "Name": format!("{protocol}-{name}"),
            "Phases": phases,
            "Version": "1.2.3",
            "Priority": 7,
            "Schema": { "name": format!("{protocol}-{name}"), "fields": fields },
        })
    };
    let protocols = json!({ "protocols": {
        "type": "set", "default": ["tcp"], "elements": { "type": "string", "one_of": ["tcp", "tls"] },
    } });
    let plugins = [
        plugin("probe", &["access", "response", "log"], &[]),
        plugin("stream", &["preread"], &[protocols]),
        plugin("handshake", &["certificate"], &[]),
    ];
    match protocol {
        "msgpack" => json!(plugins),
        _ => json!({ "Protocol": "ProtoBuf:1", "SocketPath": "anywhere", "Plugins": plugins }),
    }
}

/// Notes that an instance begins; its number, and what it greets with.
pub fn start(place: &str, config: &str) -> (i64, String) {
    let config: Value = serde_json::from_str(config).expect("JSON");
    let greeting = config["greeting"].as_str().unwrap_or_default().to_owned();
    note(place, &format!("start {greeting}"));
    (STARTED.fetch_add(1, Ordering::SeqCst), greeting)
}

/// Acts on an event; whether it comes to an end by itself.
pub fn act(place: &str, event: &str, greeting: &str, kong: &mut dyn Kong) -> io::Result<bool> {
    if event == "log" {
        let entry = kong.call("kong.log.serialize", &[])?;
        let entry: Value = serde_json::from_str(entry.as_str().unwrap_or_default()).unwrap_or_default();
        let kept = kong.call("kong.ctx.shared.get", &[json!("word")])?;
        if entry["request"]["uri"] == "/late" {
            note(place, "late");
            wait(place);
        }
        note(place, &format!("log {} {} {kept}", entry["response"]["status"], entry["request"]["uri"]));
        return Ok(true);
    }
    if event == "preread" {
        return preread(place, greeting, kong).map(|()| true);
    }
    if event == "certificate" {
        let address = kong.call("kong.client.get_ip", &[])?;
        let name = kong.call("kong.nginx.get_var", &[json!("ssl_server_name")])?;
        note(
            place,
            &format!("certificate {} {}", address.as_str().unwrap_or_default(), name.as_str().unwrap_or_default()),
        );
        if greeting == "refuse" {
            // There is no response yet.
            kong.call("kong.response.set_header", &[json!("X-Early"), json!("1")])?;
        }
        return Ok(true);
    }
    let wanted = if event == "response" { "kong.response.get_header" } else { "kong.request.get_header" };
    let wanted = kong.call(wanted, &[json!("X-Do")])?;
    match wanted.as_str().unwrap_or_default() {
        "exit" => {
            kong.exit(418, "tea", &json!({ "X-Pot": "round" }))?;
            return Ok(false);
        }
        "fail" => drop(kong.call("kong.response.set_status", &[json!(1)])?),
        "unknown" => drop(kong.call("kong.no.such.thing", &[])?),
        "garbage" => kong.garble()?,
        "wait" => {
            note(place, "waiting");
            wait(place);
        }
        "hang" => std::thread::park_timeout(Duration::from_secs(3600)),
        "die" => std::process::exit(3),
        _ => {}
    }
    match event {
        "access" => {
            let host = kong.call("kong.request.get_header", &[json!("Host")])?;
            let body = match wanted.as_str() {
                Some("look away") => Value::Null,
                _ => kong.call("kong.request.get_raw_body", &[])?,
            };
            let greeting = format!("{greeting} {}", host.as_str().unwrap_or_default());
            kong.call("kong.service.request.set_header", &[json!("X-Greeting"), json!(greeting)])?;
            let length = body.as_str().map_or(0, str::len).to_string();
            kong.call("kong.response.set_header", &[json!("X-Content"), json!(length)])?;
            kong.call("kong.ctx.shared.set", &[json!("word"), json!("kept")])?;
        }
        _ => {
            let status = kong.call("kong.service.response.get_status", &[])?;
            let content = kong.call("kong.service.response.get_raw_body", &[])?;
            let length = content.as_str().map_or(0, str::len);
            kong.call("kong.response.set_header", &[json!("X-Seen"), json!(format!("{status} {length}"))])?;
        }
    }
    Ok(true)
}

/// What there is before a stream is relayed: it goes where the greeting says.
fn preread(place: &str, greeting: &str, kong: &mut dyn Kong) -> io::Result<()> {
    let address = kong.call("kong.client.get_ip", &[])?;
    note(place, &format!("preread {}", address.as_str().unwrap_or_default()));
    match greeting {
        "unknown" => drop(kong.call("kong.no.such.thing", &[])?),
        "garbage" => kong.garble()?,
        "hang" => std::thread::park_timeout(Duration::from_secs(3600)),
        "die" => std::process::exit(3),
        port => {
            let port: u16 = port.parse().unwrap_or_default();
            kong.call("kong.service.set_target", &[json!("127.0.0.1"), json!(port)])?;
        }
    }
    Ok(())
}

/// Waits until it may go on.
fn wait(place: &str) {
    let go = format!("{place}.go");
    while !std::path::Path::new(&go).exists() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Writes down what it has been told.
pub fn note(place: &str, line: &str) {
    let mut log = OpenOptions::new().create(true).append(true).open(format!("{place}.log")).expect("a log");
    log.write_all(format!("{line}\n").as_bytes()).expect("a log");
}

/// Says something that no protocol has.
fn garble(stream: &mut UnixStream) -> io::Result<()> {
    stream.write_all(&[0xc1; 64])
}

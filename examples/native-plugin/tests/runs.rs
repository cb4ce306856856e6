//! The program starts, and its plugin does what the page says.

use blackbox::Backend;
use blackbox::http::{get, json};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Ends with the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_plugin_is_there_and_acts() {
    let prefix = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-plugin"));
    command.args(["run", "--attended", "--prefix"]).arg(prefix.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    for (key, value) in [
        ("KONG_PROXY_LISTEN", "127.0.0.1:0"),
        ("KONG_ADMIN_LISTEN", "127.0.0.1:0"),
        ("KONG_ADMIN_GUI_LISTEN", "off"),
        ("KONG_STATUS_LISTEN", "off"),
        ("KONG_NGINX_WORKER_PROCESSES", "1"),
    ] {
        command.env(key, value);
    }
    let mut process = Process(command.spawn().unwrap());
    let mut word = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut word).unwrap();
    assert_eq!(word, "ready\n");
    let places: Value =
        serde_json::from_slice(&std::fs::read(prefix.path().join("pids/bascule.json")).unwrap()).unwrap();
    let place = |name: &str| -> SocketAddr { places[name][0].as_str().unwrap().parse().unwrap() };

    let backend = Backend::start("b");
    let service = json!({ "name": "s", "url": format!("http://{}", backend.address) });
    json(place("admin"), "POST", "/services", &service).expect(201);
    json(place("admin"), "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    let refused = json!({ "name": "server-timing", "config": { "name": "a b" } });
    json(place("admin"), "POST", "/plugins", &refused).expect(400);
    json(place("admin"), "POST", "/plugins", &json!({ "name": "server-timing" })).expect(201);
    let answer = get(place("proxy"), "/").expect(200);
    assert!(answer.header("Server-Timing").is_some_and(|line| line.starts_with("gateway;dur=")));
}

#[test]
fn the_page_shows_this_very_code() {
    let page = include_str!("../../../docs/writing-a-plugin.md");
    assert!(page.contains(include_str!("../src/main.rs")));
}

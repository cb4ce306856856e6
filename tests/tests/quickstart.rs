//! `bascule quickstart`, from its first line to Ctrl-C.

use blackbox::http::get;
use blackbox::{bascule, eventually};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn quickstart() {
    let directory = tempfile::tempdir().unwrap();
    let mut command: Command = bascule();
    command
        .args(["quickstart", "--proxy-port", "0", "--proxy-tls-port", "0", "--admin-port", "0"])
        .args(["--manager-port", "0", "--prefix"])
        .arg(directory.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        output.push(line.unwrap());
        if output.last().unwrap().contains("Ctrl-C") {
            break;
        }
    }
    let text = output.join("\n");
    assert!(text.contains("served by left") && text.contains("served by right"), "{text}");
    let address = |name: &str| {
        let line = output.iter().find(|l| l.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        line.split("http://").nth(1).unwrap().split([',', ' ']).next().unwrap().parse().unwrap()
    };
    let (proxy, admin) = (address("proxy"), address("Admin API"));
    assert!(get(address("manager"), "/").expect(200).text().contains("<base href"), "the manager is there");
    assert_eq!(get(proxy, "/mock/status/418").status, 418);
    assert_eq!(get(admin, "/services/example_service").expect(200).json()["host"], "example_upstream");
    // One service dies: no request fails.
    let victim: i32 = output.iter().find_map(|l| l.trim().strip_prefix("kill ")).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(victim).unwrap(), Signal::TERM).unwrap();
    for _ in 0..6 {
        get(proxy, "/mock/anything").expect(200);
    }
    eventually("only the other one serves", || {
        (0..4).all(|_| get(proxy, "/mock/anything").header("X-Served-By") == Some("right"))
    });
    let node: i32 = std::fs::read_to_string(directory.path().join("pids/bascule.pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(test_kill_process(Pid::from_raw(node).unwrap()).is_err(), "the node has outlived it");
}

//! What the operator is told of directives, by every command alike.

use blackbox::http::get;
use blackbox::{Node, bascule};
use std::path::Path;
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn command(words: &[&str], conf: &Path) -> Output {
    let mut command = bascule();
    command.args(words);
    if words == ["check"] {
        command.arg(conf)
    } else {
        command.arg("--conf").arg(conf)
    };
    command.output().unwrap()
}

#[test]
fn commands_agree() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("kong.conf");
    let prefix = folder.path().join("node");
    let write = |lines: &str| {
        let listen = "proxy_listen = off\nadmin_listen = 127.0.0.1:0\nstatus_listen = off\n";
        std::fs::write(&conf, format!("prefix = {}\n{listen}{lines}\n", prefix.display())).unwrap();
    };
    let warning =
        "Warning: the nginx directive 'nginx_http_sendfile' has no effect here: it tunes nginx's own machinery";
    write("nginx_http_sendfile = on");
    for words in ["check", "start", "reload", "restart"] {
        let output = command(&[words], &conf);
        assert!(output.status.success(), "{words}: {}", said(&output));
        assert!(said(&output).contains(warning), "{words}: {}", said(&output));
    }
    write("nginx_proxy_limit_req = zone=one");
    let refusal = "the nginx directive 'nginx_proxy_limit_req' is not available: use the rate-limiting plugin";
    for words in ["check", "start", "reload", "restart"] {
        let output = command(&[words], &conf);
        assert!(!output.status.success(), "{words}: {}", said(&output));
        assert!(said(&output).contains(refusal), "{words}: {}", said(&output));
    }
    // None of them has disturbed the node that runs.
    let stopped = bascule().args(["stop", "--prefix"]).arg(&prefix).output().unwrap();
    assert!(stopped.status.success(), "{}", said(&stopped));
}

#[test]
fn templates_of_nginx_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["start"][..], &["restart"], &["reload"], &["run"]] {
        let mut command = bascule();
        command.args(words).arg("--prefix").arg(folder.path()).args(["--nginx-conf", "custom.template"]);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{words:?}");
        assert!(said(&output).contains("--nginx-conf: there is no nginx here"), "{words:?}: {}", said(&output));
    }
}

#[test]
fn a_running_node_names_what_has_no_effect() {
    let node = Node::start(&[("nginx_http_proxy_read_timeout", "5s"), ("nginx_upstream_keepalive", "60")]);
    let log = node.log();
    assert!(log.contains("'nginx_http_proxy_read_timeout' has no effect, as in Kong: services have"), "{log}");
    assert!(log.contains("'nginx_upstream_keepalive' has no effect, as in Kong"), "{log}");
    let shown = get(node.admin(), "/").json();
    let directives = &shown["configuration"]["nginx_upstream_directives"];
    assert_eq!(directives[0]["name"], "keepalive");
}

#[test]
fn logs_of_requests() {
    let node = Node::start(&[
        ("nginx_http_log_format", "mine '$request_method $uri $status'; log_format other \"$status\""),
        ("nginx_location_access_log", "mine.log mine"),
        ("nginx_admin_access_log", "off"),
    ]);
    get(node.proxy(), "/a").expect(404);
    get(node.admin(), "/").expect(200);
    let read = |name: &str| std::fs::read_to_string(node.prefix().join(name)).unwrap_or_default();
    blackbox::eventually("a line", || read("mine.log") == "GET /a 404\n");
    assert_eq!(read("logs/access.log"), "");
    assert!(!node.prefix().join("logs/admin_access.log").exists());
}

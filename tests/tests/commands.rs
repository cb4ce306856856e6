//! The command line: start, health, reload, restart, quit, stop, and what they say when they cannot.

use blackbox::http::{Connection, form, get};
use blackbox::{Backend, Node, bascule, eventually};
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

/// Runs a command on a prefix, with free ports.
fn run(prefix: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = bascule();
    command.args(arguments).arg("--prefix").arg(prefix);
    for (key, value) in
        [("KONG_PROXY_LISTEN", "127.0.0.1:0"), ("KONG_ADMIN_LISTEN", "127.0.0.1:0"), ("KONG_STATUS_LISTEN", "off")]
            .iter()
            .chain(settings)
    {
        command.env(key, value);
    }
    command.output().unwrap()
}

#[track_caller]
fn said(output: &Output, success: bool) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), success, "{text}");
    text
}

fn admin(prefix: &Path) -> SocketAddr {
    let addresses: Value = serde_json::from_slice(&std::fs::read(prefix.join("pids/bascule.json")).unwrap()).unwrap();
    addresses["admin"][0].as_str().unwrap().parse().unwrap()
}

#[test]
fn the_life_of_a_node() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path();
    assert!(said(&run(prefix, &["health"], &[]), false).contains("not running"));
    assert_eq!(said(&run(prefix, &["start"], &[]), true), "Bascule started\n");
    // `start` returns when the node is ready: no waiting here.
    form(admin(prefix), "POST", "/services", "name=s&url=http://localhost").expect(201);
    assert!(said(&run(prefix, &["health"], &[]), true).contains("Bascule is healthy at"));
    assert!(said(&run(prefix, &["start"], &[]), false).contains("Bascule is already running in"));
    let first = std::fs::read_to_string(prefix.join("pids/bascule.pid")).unwrap();
    assert_eq!(said(&run(prefix, &["restart"], &[]), true), "Bascule started\n");
    assert_ne!(std::fs::read_to_string(prefix.join("pids/bascule.pid")).unwrap(), first);
    get(admin(prefix), "/services/s").expect(200);
    assert_eq!(said(&run(prefix, &["quit"], &[]), true), "Bascule stopped (gracefully)\n");
    assert_eq!(said(&run(prefix, &["start"], &[]), true), "Bascule started\n");
    assert_eq!(said(&run(prefix, &["stop"], &[]), true), "Bascule stopped\n");
    for command in ["stop", "quit", "reload"] {
        assert!(said(&run(prefix, &[command], &[]), false).contains("Bascule is not running in"), "{command}");
    }
    assert!(said(&run(&prefix.join("no"), &["stop"], &[]), false).contains("no such prefix"));
}

#[test]
fn a_failed_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = said(&run(directory.path(), &["start"], &[("KONG_ADMIN_LISTEN", &address)]), false);
    assert!(text.contains(&format!("Error: admin_listen: cannot listen on {address}: ")), "{text}");
    let nobody = [("KONG_DATABASE", "postgres"), ("KONG_PG_PORT", "1")];
    let text = said(&run(directory.path(), &["start"], &nobody), false);
    assert!(text.contains("Error: [PostgreSQL error] failed to retrieve PostgreSQL server_version_num: "), "{text}");
    let text = said(&run(directory.path(), &["start"], &[("KONG_PLUGINS", "bundled, nope")]), false);
    assert!(text.contains("nope plugin is enabled but not installed"), "{text}");
    assert!(said(&run(directory.path(), &["health"], &[]), false).contains("not running"));
}

#[test]
fn reload_changes_settings_under_way() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let mut connection = Connection::open(node.proxy()).unwrap();
    connection.send("GET", "/", &[], b"").unwrap();
    connection.receive(false).unwrap().expect(200);
    let mut reload = bascule();
    reload.args(["reload", "--prefix"]).arg(node.prefix()).env("KONG_LOG_LEVEL", "debug");
    // It is answered when the settings are in force.
    assert_eq!(said(&reload.output().unwrap(), true), "Bascule reloaded\n");
    assert_eq!(get(node.admin(), "/").json()["configuration"]["log_level"], "debug");
    connection.send("GET", "/", &[], b"").unwrap();
    connection.receive(false).unwrap().expect(200);
}

/// Settings that no node can have, and what is said of them.
const REFUSED: &[(&[(&str, &str)], &str)] = &[
    (&[("plugins", "bundled,unknown")], "on plugin 'unknown': unknown plugin is enabled but not installed"),
    (&[("log_level", "loud")], "log_level has an invalid value: 'loud'"),
    (
        &[("ssl_cert", "/no/such.pem"), ("ssl_cert_key", "/no/such.key")],
        "ssl_cert: failed loading certificate from /no/such.pem: No such file or directory",
    ),
    (
        &[("ssl_cert", "/tmp"), ("ssl_cert_key", "/no/such.key")],
        "ssl_cert: failed loading certificate from /tmp: Is a directory",
    ),
    (
        &[("client_ssl", "on"), ("client_ssl_cert", "/no/such.pem"), ("client_ssl_cert_key", "/no/such.key")],
        "client_ssl_cert: failed loading certificate from /no/such.pem: No such file or directory",
    ),
    (
        &[("lua_ssl_trusted_certificate", "/no/such.pem")],
        "lua_ssl_trusted_certificate: failed loading certificate from /no/such.pem: No such file or directory",
    ),
    // Clients show no certificates; nginx reads the file all the same.
    (&[("nginx_proxy_ssl_crl", "/no/such.crl")], "nginx_proxy_ssl_crl: cannot read /no/such.crl"),
    (&[("error_template_json", "/no/such.json")], "error_template_json: cannot read /no/such.json"),
    (&[("dns_hostsfile", "/no/such")], "dns_hostsfile: file does not exist"),
    (&[("proxy_error_log", "/no/such/error.log")], "proxy_error_log: there is no directory /no/such"),
    (&[("admin_access_log", "nowhere/admin.log")], "admin_access_log: there is no directory "),
    (&[("mem_cache_size", "many")], "mem_cache_size"),
];

#[test]
fn check_start_restart_and_reload_refuse_the_same() {
    let node = Node::start(&[]);
    let kept = || std::fs::read_to_string(node.prefix().join(".kong_env")).unwrap();
    let before = kept();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.conf");
    for (settings, message) in REFUSED {
        let text: String = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let tls = "proxy_listen = 127.0.0.1:0, 127.0.0.1:0 ssl\nadmin_listen = 127.0.0.1:0\nstatus_listen = off\n";
        std::fs::write(&file, format!("{tls}{text}")).unwrap();
        let refused = |arguments: &[&str], prefix: &Path| {
            let mut command = bascule();
            command.args(arguments);
            match arguments {
                ["check"] => command.arg(&file),
                _ => command.arg("--conf").arg(&file).arg("--prefix").arg(prefix),
            };
            let said = said(&command.output().unwrap(), false);
            assert!(said.contains(message), "{arguments:?}: {said}");
        };
        refused(&["check"], directory.path());
        refused(&["start"], directory.path());
        refused(&["run"], directory.path());
        refused(&["reload"], node.prefix());
        refused(&["restart"], node.prefix());
        assert_eq!(kept(), before, "{message}");
    }
    // It serves on with what it had, and takes what is right.
    get(node.proxy(), "/").expect(404);
    let mut reload = bascule();
    reload.args(["reload", "--prefix"]).arg(node.prefix()).env("KONG_LOG_LEVEL", "info");
    assert_eq!(said(&reload.output().unwrap(), true), "Bascule reloaded\n");
    assert_eq!(get(node.admin(), "/").json()["configuration"]["log_level"], "info");
    assert!(!node.prefix().join(".kong_env.reload").exists());
}

#[test]
fn check_refuses_a_prefix_that_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.conf");
    std::fs::write(&file, format!("prefix = {}/node\n", file.display())).unwrap();
    let output = bascule().arg("check").arg(&file).output().unwrap();
    let expected = format!("prefix: {} is not a directory", file.display());
    assert!(said(&output, false).contains(&expected), "{}", said(&output, false));
}

#[test]
fn a_node_whose_files_have_gone_says_so_when_it_is_told_to_reload() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.json");
    std::fs::write(&page, "{}").unwrap();
    let node = Node::start(&[("error_template_json", page.to_str().unwrap())]);
    std::fs::remove_file(&page).unwrap();
    let pid = rustix::process::Pid::from_raw(node.pid().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    eventually("it is logged", || node.log().contains("the new settings are not taken: error_template_json"));
    let reload = bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap();
    let text = said(&reload, false);
    assert!(text.contains("the node refuses the new settings and goes on with the old ones"), "{text}");
    std::fs::write(&page, "{}").unwrap();
    let reload = bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap();
    assert_eq!(said(&reload, true), "Bascule reloaded\n");
}

#[test]
fn a_reload_of_a_node_that_ends_fails() {
    let node = Node::start(&[]);
    let pid = rustix::process::Pid::from_raw(node.pid().try_into().unwrap()).unwrap();
    // It cannot answer, until it is gone.
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let mut reload = bascule();
    reload.args(["reload", "--prefix"]).arg(node.prefix());
    let reload = std::thread::spawn(move || reload.output().unwrap());
    eventually("it is asked", || node.prefix().join(".kong_env.reload").exists());
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let text = said(&reload.join().unwrap(), false);
    assert!(text.contains("ended without taking the new settings"), "{text}");
}

#[test]
fn a_node_can_be_stopped_whatever_its_settings_have_become() {
    let directory = tempfile::tempdir().unwrap();
    said(&run(directory.path(), &["start"], &[]), true);
    assert_eq!(said(&run(directory.path(), &["stop"], &[("KONG_LOG_LEVEL", "loud")]), true), "Bascule stopped\n");
}

#[test]
fn quit_lets_requests_finish() {
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", slow.local_addr().unwrap())).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let mut connection = Connection::open(node.proxy()).unwrap();
    connection.send("GET", "/", &[], b"").unwrap();
    let (mut service, _) = slow.accept().unwrap();
    let proxy = node.proxy();
    let ending = std::thread::spawn(move || node.end(Signal::QUIT));
    eventually("new connections are refused", || std::net::TcpStream::connect(proxy).is_err());
    std::io::Write::write_all(&mut service, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
    let answer = connection.receive(false).unwrap().expect(200);
    assert_eq!(answer.text().as_str(), "done");
    assert_eq!(answer.header("Connection"), Some("close"));
    drop(connection);
    assert!(ending.join().unwrap());
}

/// They end at once, while a request is still under way.
#[test]
fn idle_connections_do_not_delay_the_end() {
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // One worker takes connections in their order: what is asked last is asked of a node that knows them all.
    let mut node = Node::start(&[("nginx_worker_processes", "1")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", slow.local_addr().unwrap())).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/slow").expect(201);
    let mut idle = Connection::open(node.proxy()).unwrap();
    idle.send("GET", "/", &[], b"").unwrap();
    idle.receive(false).unwrap().expect(404);
    let mut silent = Connection::open(node.proxy()).unwrap();
    let mut busy = Connection::open(node.proxy()).unwrap();
    busy.send("GET", "/slow", &[], b"").unwrap();
    let (mut service, _) = slow.accept().unwrap();
    let ending = std::thread::spawn(move || node.end(Signal::TERM));
    assert_eq!(idle.rest().unwrap(), b"");
    assert_eq!(silent.rest().unwrap(), b"");
    std::io::Write::write_all(&mut service, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
    assert_eq!(busy.receive(false).unwrap().expect(200).text(), "done");
    drop(busy);
    assert!(ending.join().unwrap());
}

#[test]
fn unknown_settings_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.conf");
    std::fs::write(&file, "admin_lisen = off\nlog_level = info\n").unwrap();
    let check = bascule().arg("check").arg(&file).env("KONG_NO_SUCH_KEY", "1").output().unwrap();
    let text = said(&check, true);
    assert!(text.contains("unknown setting 'admin_lisen' in the configuration file"), "{text}");
    assert!(text.contains("unknown setting 'KONG_NO_SUCH_KEY' in the environment"), "{text}");
    assert!(text.contains("is valid"), "{text}");
    std::fs::write(&file, "log_level = loud\npg_port = x\n").unwrap();
    let text = said(&bascule().arg("check").arg(&file).output().unwrap(), false);
    assert!(
        text.contains("log_level has an invalid value: 'loud'") && text.contains("pg_port is not a number: 'x'"),
        "{text}"
    );
    let node = Node::start(&[("no_such_key", "1")]);
    node.says("unknown setting 'KONG_NO_SUCH_KEY' in the environment");
    node.says("[warn]");
}

/// A link to the program under the name that Kong's has.
fn kong(directory: &Path) -> std::path::PathBuf {
    let link = directory.join("kong");
    std::os::unix::fs::symlink(blackbox::binary(), &link).unwrap();
    link
}

#[test]
fn under_the_name_of_kong_it_speaks_its_words() {
    let directory = tempfile::tempdir().unwrap();
    let program = kong(directory.path());
    let prefix = directory.path().join("prefix");
    let run = |arguments: &[&str]| {
        let environment: Vec<_> = bascule().get_envs().map(|(key, _)| key.to_owned()).collect();
        let mut command = std::process::Command::new(&program);
        for key in &environment {
            command.env_remove(key);
        }
        command.args(arguments).env("KONG_PREFIX", &prefix).env("KONG_PROXY_LISTEN", "127.0.0.1:0");
        command.env("KONG_ADMIN_LISTEN", "127.0.0.1:0").env("KONG_STATUS_LISTEN", "127.0.0.1:0").output().unwrap()
    };
    assert_eq!(said(&run(&["version"]), true), "3.10.0\n");
    assert!(said(&run(&["version", "-a"]), true).starts_with("Kong: 3.10.0\n"));
    assert!(said(&run(&["health"]), false).contains("no such prefix: "));
    assert_eq!(said(&run(&["start"]), true), "Kong started\n");
    let pid = std::fs::read_to_string(prefix.join("pids/nginx.pid")).unwrap();
    assert_eq!(pid, std::fs::read_to_string(prefix.join("pids/bascule.pid")).unwrap());
    assert_eq!(
        said(&run(&["health"]), true),
        format!("nginx.......running\n\nKong is healthy at {}\n", prefix.display())
    );
    assert!(said(&run(&["start"]), false).contains("Kong is already running in"));
    assert_eq!(said(&run(&["reload"]), true), "Kong reloaded\n");
    assert_eq!(said(&run(&["drain"]), true), "Kong's status successfully changed to 'draining'\n");
    let addresses: Value = serde_json::from_slice(&std::fs::read(prefix.join("pids/bascule.json")).unwrap()).unwrap();
    let status = addresses["status"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(get(status, "/status/ready").expect(503).json()["message"], "draining");
    assert_eq!(said(&run(&["restart"]), true), "Kong started\n");
    assert_eq!(said(&run(&["quit"]), true), "Kong stopped (gracefully)\n");
    assert!(!prefix.join("pids/nginx.pid").exists());
    assert!(said(&run(&["stop"]), false).contains("nginx not running in prefix: "));
}

#[test]
fn under_the_name_of_kong_mistakes_have_its_words() {
    let directory = tempfile::tempdir().unwrap();
    let program = kong(directory.path());
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(&program).args(arguments).env("KONG_PREFIX", directory.path()).output();
        said(&output.unwrap(), false)
    };
    for (arguments, words) in [
        (&["foobar"][..], "No such command: foobar"),
        (&["vault", "put"], "No such command for vault: put"),
        (&["config", "load"], "No such command for config: load"),
        (&["vault", "get"], "Error: the 'get' command needs a <reference> argument \nkong vault get <reference>"),
        (&["hybrid", "gen_cert", "a.crt"], "Error: both cert and key path needs to be provided"),
        (&["config", "parse"], "Error: expected a declarative configuration file; see `kong config --help`"),
        (&["start", "--conf", "foobar.conf"], "Error: no file at: foobar.conf"),
        (&["check", "inexistent.conf"], "[error] no file at: inexistent.conf"),
        (&["quit"], "Error: nginx not running in prefix: "),
        (&["reload"], "Error: nginx not running in prefix: "),
    ] {
        let text = run(arguments);
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn a_node_whose_status_api_has_tls_can_be_drained() {
    let node = Node::start(&[("status_listen", "127.0.0.1:0 ssl")]);
    let drain = || run(node.prefix(), &["drain"], &[]);
    assert_eq!(said(&drain(), true), "Bascule's status successfully changed to 'draining'\n");
    let node = Node::start(&[("status_listen", "off")]);
    let text = said(&run(node.prefix(), &["drain"], &[]), false);
    assert!(text.contains("Error: No status listeners found in configuration."), "{text}");
}

#[test]
fn help_is_printed_where_it_can_be_read() {
    let output = |arguments: &[&str]| bascule().args(arguments).output().unwrap();
    for arguments in [&["--help"][..], &["help"], &["start", "--help"]] {
        let help = output(arguments);
        assert!(help.status.success(), "{arguments:?}");
        assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: bascule"), "{arguments:?}");
    }
    let none = output(&[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stdout).contains("Usage: bascule"));
    let wrong = output(&["start", "--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output(&["completions", "bash"]).stdout).contains("complete -F"));
}

#[test]
fn what_is_done_is_said_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let quiet = run(directory.path(), &["stop"], &[]);
    assert!(said(&quiet, false).contains("Run with --v (verbose) or --vv (debug) for more details"));
    let verbose = run(directory.path(), &["start", "--v"], &[]);
    let (stdout, stderr) = (String::from_utf8_lossy(&verbose.stdout), String::from_utf8_lossy(&verbose.stderr));
    assert_eq!(stdout, "Bascule started\n");
    for text in ["[verbose] prefix in use: ", "[verbose] preparing prefix directory at ", "to be ready"] {
        assert!(stderr.contains(text), "{stderr}");
    }
    assert!(!stderr.contains("[debug]"), "{stderr}");
    let stop = run(directory.path(), &["stop", "--vv"], &[]);
    assert!(said(&stop, true).contains("[verbose] sending SIGTERM to process "));
    let check = run(directory.path(), &["start", "--vv"], &[("KONG_PG_PASSWORD", "s3cret"), ("KONG_LOG_LEVEL", "x")]);
    let text = said(&check, false);
    assert!(!text.contains("s3cret"), "{text}");
    let text = said(&run(directory.path(), &["prepare", "--vv"], &[("KONG_PG_PASSWORD", "s3cret")]), true);
    assert!(text.contains("[debug] KONG_PG_PASSWORD ENV found with \"******\"\n"), "{text}");
    assert!(text.contains("[debug] pg_password = \"******\"\n"), "{text}");
    assert!(text.contains("[debug] database = \"sqlite\"\n"), "{text}");
}

#[test]
fn prepare_makes_what_a_start_needs() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("new");
    said(&run(&prefix, &["prepare"], &[("KONG_ADMIN_LISTEN", "127.0.0.1:0 ssl")]), true);
    for name in ["logs", "pids", "ssl/admin-kong-default-ecdsa.crt", ".kong_env"] {
        assert!(prefix.join(name).exists(), "{name}");
    }
    assert!(said(&run(&prefix, &["health"], &[]), false).contains("not running"));
}

#[test]
fn a_container_logs_to_its_console() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = bascule();
    command.args(["docker-start", "--prefix"]).arg(directory.path());
    let listeners = [("PROXY", "127.0.0.1:0"), ("ADMIN", "127.0.0.1:0"), ("STATUS", "off")];
    for (name, address) in listeners {
        command.env(format!("KONG_{name}_LISTEN"), address);
    }
    let output = std::fs::File::create(directory.path().join("stdout")).unwrap();
    let mut node = command.stdout(output).stderr(std::process::Stdio::null()).spawn().unwrap();
    let announced = directory.path().join("pids/bascule.json");
    eventually("it serves", || std::fs::read(&announced).is_ok_and(|text| text.ends_with(b"}")));
    get(admin(directory.path()), "/").expect(200);
    let logged = || std::fs::read_to_string(directory.path().join("stdout")).unwrap();
    eventually("the request is logged", || logged().contains("GET / HTTP/1.1"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&node), Signal::TERM).unwrap();
    assert!(node.wait().unwrap().success());
}

#[test]
fn references_can_be_looked_up() {
    let get = |reference: &str| {
        let mut command = bascule();
        command.args(["vault", "get", reference]).env("SECRET", "hello").env("PAIR", r#"{"user": "u", "n": 1}"#);
        command.output().unwrap()
    };
    assert_eq!(said(&get("env/secret"), true), "hello\n");
    assert_eq!(said(&get("{vault://env/secret}"), true), "hello\n");
    // As Kong, which takes options anywhere behind the name of the command.
    for arguments in [["vault", "-p", ".", "get", "env/secret"], ["vault", "get", "-p", ".", "env/secret"]] {
        let told = bascule().args(arguments).env("SECRET", "hello").output().unwrap();
        assert_eq!(said(&told, true), "hello\n");
    }
    assert_eq!(said(&get("env/pair/user"), true), "u\n");
    let missing = said(&get("env/none"), false);
    assert!(missing.contains("Error: could not get value from external vault (no value found)"), "{missing}");
    assert!(said(&get("nope/secret"), false).contains("Error: could not find vault (nope)"));
}

#[test]
fn clusters_get_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (directory.path().join("c.crt"), directory.path().join("c.key"));
    let make = || bascule().args(["hybrid", "gen_cert"]).arg(&cert).arg(&key).output().unwrap();
    assert!(said(&make(), true).starts_with("Successfully generated certificate/key pairs"));
    assert!(std::fs::read_to_string(&cert).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(said(&make(), false).contains("already exists.\nWill not overwrite it."));
}

#[test]
fn small_commands() {
    let text = said(&bascule().args(["version", "--all"]).output().unwrap(), true);
    assert!(text.starts_with("Bascule: ") && text.contains("compatible with Kong: 3.10.0"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    for command in ["bootstrap", "up", "finish", "list", "reset"] {
        said(&run(directory.path(), &["migrations", command, "--yes"], &[]), true);
    }
    let settings = said(&bascule().arg("settings").output().unwrap(), true);
    assert!(settings.contains("#database = sqlite"));
    let file = directory.path().join("all.conf");
    let all: String = settings
        .lines()
        .map(|l| l.strip_prefix('#').filter(|l| !l.starts_with([' ', '-'])).unwrap_or(""))
        .flat_map(|l| [l, "\n"])
        .collect();
    std::fs::write(&file, all).unwrap();
    said(&bascule().arg("check").arg(&file).output().unwrap(), true);
    said(&bascule().arg("no-such-command").output().unwrap(), false);
}

#[test]
fn a_reader_that_has_gone_does_not_change_how_a_command_ends() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = bascule().args(["config", "parse", "/nowhere.yml"]).stderr(writer).status().unwrap();
    assert_eq!(ended.code(), Some(1));
}

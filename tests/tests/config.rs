//! `bascule config`: declarative files and the database.

use blackbox::http::{form, get};
use blackbox::{Backend, Node, bascule, eventually};
use std::path::Path;
use std::process::Output;

fn config(prefix: &Path, arguments: &[&str]) -> Output {
    bascule().arg("config").args(arguments).arg("--prefix").arg(prefix).current_dir(prefix).output().unwrap()
}

#[track_caller]
fn said(output: &Output, success: bool) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), success, "{text}");
    text
}

#[test]
fn an_example_to_get_started_with() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path();
    assert_eq!(said(&config(prefix, &["init"]), true), "");
    assert_eq!(said(&config(prefix, &["parse", "kong.yml"]), true), "parse successful\n");
    // What it shows is valid too.
    let text = std::fs::read_to_string(prefix.join("kong.yml")).unwrap();
    let shown = text.replace("\n# ", "\n");
    let (head, entities) = shown.split_once("services:").unwrap();
    let head: String = head.lines().filter(|line| line.starts_with('_')).flat_map(|line| [line, "\n"]).collect();
    let entities = entities.lines().filter(|line| !line.starts_with(char::is_uppercase)).collect::<Vec<_>>().join("\n");
    std::fs::write(prefix.join("all.yml"), format!("{head}services:{entities}\n")).unwrap();
    assert_eq!(said(&config(prefix, &["parse", "all.yml"]), true), "parse successful\n");
    let again = said(&config(prefix, &["init"]), false);
    assert!(again.contains("kong.yml already exists. Will not overwrite it."), "{again}");
}

#[test]
fn files_with_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path();
    assert!(said(&config(prefix, &["parse"]), false).contains("Error: expected a declarative configuration file"));
    std::fs::write(prefix.join("bad.yml"), "_format_version: '3.0'\nservices:\n- name: s\n").unwrap();
    for command in ["parse", "db_import"] {
        let text = said(&config(prefix, &[command, "bad.yml"]), false);
        let words = "Error: Failed parsing:\nin 'services':\n  - in entry 1 of 'services':\n    in 'host': required";
        assert!(text.contains(words), "{text}");
    }
    let text = said(&config(prefix, &["parse", "none.yml"]), false);
    assert!(
        text.contains("Error: Failed parsing:\n") && text.contains("none.yml: No such file or directory"),
        "{text}"
    );
    said(&config(prefix, &["no-such-command"]), false);
    let off = bascule().args(["config", "db_import", "bad.yml"]).env("KONG_DATABASE", "off").output().unwrap();
    assert!(said(&off, false).contains("'bascule config db_import' only works with a database."));
}

#[test]
fn a_running_node_takes_what_is_imported() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/consumers", "username=own").expect(201);
    let text = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}\n  routes:\n  - name: r\n    paths: [/]\n",
        backend.address
    );
    std::fs::write(node.prefix().join("kong.yml"), &text).unwrap();
    let done = "parse successful, beginning import\nimport successful\n";
    assert_eq!(said(&config(node.prefix(), &["db_import", "kong.yml"]), true), done);
    eventually("the node serves it", || get(node.proxy(), "/").status == 200);
    form(node.admin(), "PATCH", "/routes/r", "paths[]=/a").expect(200);
    get(node.proxy(), "/").expect(404);
    get(node.proxy(), "/a").expect(200);
    get(node.admin(), "/consumers/own").expect(200);
}

#[test]
fn a_file_has_one_workspace_and_names_the_others() {
    let node = Node::start(&[]);
    for path in ["/services", "/team/services"] {
        if path.starts_with("/team") {
            form(node.admin(), "POST", "/workspaces", "name=team").expect(201);
        }
        form(node.admin(), "POST", path, &format!("name=s&host={}.test", path.len())).expect(201);
    }
    let told = said(&config(node.prefix(), &["db_export", "default.yml"]), true);
    assert!(told.contains("workspace 'default' only, and not: team"), "{told}");
    let told = said(&config(node.prefix(), &["db_export", "team.yml", "--workspace", "team"]), true);
    assert!(told.contains("workspace 'team' only, and not: default"), "{told}");
    let host = |file: &str| {
        let text = std::fs::read_to_string(node.prefix().join(file)).unwrap();
        text.lines().find_map(|line| line.trim().strip_prefix("host: ").map(str::to_owned)).unwrap()
    };
    assert_eq!((host("default.yml"), host("team.yml")), ("9.test".to_owned(), "14.test".to_owned()));
    let told = said(&config(node.prefix(), &["db_export", "none.yml", "--workspace", "none"]), false);
    assert!(told.contains("there is no workspace 'none'"), "{told}");
}

#[test]
fn what_is_exported_can_be_imported() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", "name=s&host=h.test&tags[]=yes").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/a").expect(201);
    form(node.admin(), "POST", "/plugins", "name=key-auth&config.key_names=k").expect(201);
    assert_eq!(said(&config(node.prefix(), &["db_export", "all.yml"]), true), "");
    let again = said(&config(node.prefix(), &["db_export", "all.yml"]), false);
    assert!(again.contains("all.yml already exists. Will not overwrite it."), "{again}");
    let other = Node::start(&[]);
    let file = node.prefix().join("all.yml");
    said(&config(other.prefix(), &["db_import", file.to_str().unwrap()]), true);
    for path in ["/services/s", "/routes/r"] {
        let timeless = |node: &Node| {
            let mut record = get(node.admin(), path).expect(200).json();
            record["updated_at"].take();
            record
        };
        assert_eq!(timeless(&other), timeless(&node));
    }
    let loaded = Node::start(&[("database", "off"), ("declarative_config", file.to_str().unwrap())]);
    get(loaded.proxy(), "/a").expect(401);
}

#[test]
fn a_file_can_be_imported_before_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("new");
    let file = directory.path().join("kong.json");
    std::fs::write(&file, r#"{"_format_version": "3.0", "services": [{"name": "s", "host": "h.test"}]}"#).unwrap();
    let import = bascule().args(["config", "db_import"]).arg(&file).arg("-p").arg(&prefix).output().unwrap();
    said(&import, true);
    let text = said(
        &bascule().args(["config", "db-export"]).arg(prefix.join("x.yml")).arg("-p").arg(&prefix).output().unwrap(),
        true,
    );
    assert_eq!(text, "");
    assert!(
        std::fs::read_to_string(prefix.join("x.yml")).unwrap().contains("- id: b268827a-8f7f-551f-8769-e6bceb2f3ec6")
    );
}

//! Plugins in Lua that bring migrations along, as Kong runs and records them.

use crate::setup::{database, migrate, node};
use blackbox::http::{form, get, json, request};
use blackbox::{Node, Postgres};
use rustix::process::Signal;
use serde_json::json;
use std::process::Output;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");
const META: &str = "SELECT last_executed || ' ' || array_to_string(executed, ',') || ' ' || \
    array_to_string(COALESCE(pending, '{}'), ',') FROM schema_meta WHERE subsystem = 'registrar'";
const ALL: &str = "000_base_registrar,001_workspaces,002_seats";

fn said_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn settings() -> (Vec<(String, String)>, String) {
    let own = [("plugins", "bundled,registrar"), ("lua_package_path", PATH)];
    let settings = database(Postgres::shared(), &own);
    let name = settings.iter().find(|(name, _)| name == "pg_database").unwrap().1.clone();
    (settings, name)
}

fn use_entries(node: &Node) {
    json(node.admin(), "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
    let entry = json!({ "name": "e", "places": 2, "started": 1_700_000_000.5, "tags": ["t"],
        "consumer": { "id": get(node.admin(), "/consumers/ann").expect(200).json()["id"] } });
    let made = json(node.admin(), "POST", "/registrar_entries", &entry).expect(201).json();
    assert_eq!(made["started"], 1_700_000_000.5);
    let read = get(node.admin(), "/registrar_entries/e").expect(200).json();
    assert_eq!(read, made);
    json(node.admin(), "POST", "/registrar_entries", &entry).expect(409);
}

#[test]
fn plugins_make_their_tables_and_change_them() {
    let (settings, name) = settings();
    let sql = |text: &str| Postgres::shared().sql(&name, text).trim().to_owned();
    let made = migrate(&settings, &["bootstrap"]);
    assert!(made.status.success(), "{}", said_of(&made));
    assert!(said_of(&made).contains("registrar migrated up to: 002_seats (executed)"), "{}", said_of(&made));
    assert_eq!(sql(META), format!("002_seats {ALL}"));
    let kind = "SELECT data_type FROM information_schema.columns WHERE table_name = 'registrar_entries' \
        AND column_name = 'places'";
    assert_eq!(sql(kind), "smallint", "the table is the plugin's");
    let mut node = node(&settings);
    use_entries(&node);
    assert!(node.end(Signal::TERM));

    // As if the plugin had been of the version before.
    sql("UPDATE schema_meta SET last_executed = '001_workspaces', executed = '{000_base_registrar,001_workspaces}' \
        WHERE subsystem = 'registrar'");
    sql("ALTER TABLE registrar_entries DROP COLUMN seats");
    let listed = migrate(&settings, &["list"]);
    assert_eq!(listed.status.code(), Some(5), "{}", said_of(&listed));
    assert!(said_of(&listed).contains("registrar: 002_seats"), "{}", said_of(&listed));
    let refused = node.refusal();
    assert!(refused.contains("New migrations available; run 'bascule migrations up' to proceed"), "{refused}");

    let up = migrate(&settings, &["up"]);
    assert!(said_of(&up).contains("registrar migrated up to: 002_seats (pending)"), "{}", said_of(&up));
    assert_eq!(sql("SELECT places || ' ' || seats FROM registrar_entries"), "2 8");
    let listed = migrate(&settings, &["list"]);
    assert_eq!(listed.status.code(), Some(4), "{}", said_of(&listed));
    let finished = migrate(&settings, &["finish"]);
    assert!(said_of(&finished).contains("registrar migrated up to: 002_seats (executed)"), "{}", said_of(&finished));
    assert_eq!(sql(META), format!("002_seats {ALL}"));
    assert_eq!(sql("SELECT places FROM registrar_entries"), "3");
    node.revive();
    let read = get(node.admin(), "/registrar_entries/e").expect(200).json();
    assert_eq!((&read["places"], &read["seats"]), (&json!(3), &json!(8)));
    request(node.admin(), "DELETE", "/consumers/ann", &[], b"").unwrap().expect(204);
    get(node.admin(), "/registrar_entries/e").expect(404);
}

/// What fails is named, and goes on where it ended.
#[test]
fn a_migration_that_fails_is_named() {
    let (settings, name) = settings();
    let sql = |text: &str| Postgres::shared().sql(&name, text);
    let made = migrate(&settings, &["bootstrap"]);
    assert!(made.status.success(), "{}", said_of(&made));
    sql("UPDATE schema_meta SET last_executed = '001_workspaces', executed = '{000_base_registrar,001_workspaces}' \
        WHERE subsystem = 'registrar'");
    sql("ALTER TABLE registrar_entries RENAME TO elsewhere");
    let failed = migrate(&settings, &["up"]);
    assert!(!failed.status.success());
    let why = "[PostgreSQL error] failed to run migration '002_seats' up: ERROR: relation \"registrar_entries\" does";
    assert!(said_of(&failed).contains(why), "{}", said_of(&failed));
    sql("ALTER TABLE elsewhere RENAME TO registrar_entries");
    for (arguments, what) in [(["up"], "(pending)"), (["finish"], "(executed)")] {
        let done = migrate(&settings, &arguments);
        assert!(done.status.success(), "{}", said_of(&done));
        assert!(said_of(&done).contains(what), "{}", said_of(&done));
    }
}

/// Other databases make the tables by themselves.
#[test]
fn without_postgres_migrations_are_not_needed() {
    let node = Node::start(&[("plugins", "bundled,registrar"), ("lua_package_path", PATH)]);
    use_entries(&node);
    form(node.admin(), "PATCH", "/registrar_entries/e", "seats=3").expect(200);
}

//! The database of a Kong of a former version.

use crate::setup::{bootstrapped, migrate, node};
use blackbox::http::{form, get, request};
use blackbox::{Backend, Postgres};
use rustix::process::Signal;
use serde_json::Value;
use std::process::Output;

/// What Kong 3.4 had in the place of what later ones have, and rows that it wrote.
const VERSIONS: [&str; 3] = [
    include_str!("../../../crates/store/tests/kong/3.9.sql"),
    include_str!("../../../crates/store/tests/kong/3.7.sql"),
    include_str!("../../../crates/store/tests/kong/3.4.sql"),
];
const ROWS: &str = include_str!("../../../crates/store/tests/kong/rows-3.4.sql");

/// A plugin among them.
const LIMITS: &str = "00000000-0000-4000-8000-000000000006";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_database_of_kong_3_4_is_upgraded_and_served() {
    let postgres = Postgres::shared();
    let backend = Backend::start("b");
    let settings = bootstrapped(postgres, &[]);
    let mut node = node(&settings);
    assert!(node.end(Signal::TERM));
    let database = &settings.iter().find(|(name, _)| name == "pg_database").unwrap().1;
    VERSIONS.iter().chain([&ROWS]).for_each(|sql| drop(postgres.sql(database, sql)));
    // Whether this build has it is none of this test's business.
    postgres.sql(database, "DELETE FROM plugins WHERE name = 'acme'");
    let run = |arguments: &[&str]| migrate(&settings, arguments);
    let listed = run(&["list"]);
    assert_eq!(listed.status.code(), Some(5), "{}", said(&listed));
    assert!(said(&listed).contains("migrations up' to proceed"));
    let refused = node.refusal();
    assert!(refused.contains("New migrations available; run 'bascule migrations up' to proceed"), "{refused}");
    let finished = run(&["finish"]);
    assert!(said(&finished).contains("New migrations available"), "{}", said(&finished));

    let up = run(&["up"]);
    assert!(up.status.success(), "{}", said(&up));
    assert!(said(&up).contains("Database has pending migrations; run 'bascule migrations finish' when ready"));
    let listed = run(&["list"]);
    assert_eq!(listed.status.code(), Some(4), "{}", said(&listed));
    node.revive();
    form(node.admin(), "PATCH", "/services/s", &format!("url=http://{}", backend.address)).expect(200);
    let ask = |key: &str| request(node.proxy(), "GET", "/s", &[("apikey", key)], b"").unwrap();
    ask("k").expect(200);
    ask("other").expect(401);
    // The row has the names of both versions. What is changed has those of this one, like all that it writes.
    form(node.admin(), "PATCH", &format!("/plugins/{LIMITS}"), "config.hide_client_headers=true").expect(200);
    let config = postgres.sql(database, &format!("SELECT config FROM plugins WHERE id = '{LIMITS}'"));
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["redis"]["host"], "r.test");
    assert_eq!(config.get("redis_host"), None);

    let finished = run(&["finish"]);
    assert!(finished.status.success(), "{}", said(&finished));
    assert!(said(&finished).contains("rate-limiting migrated up to: 006_350_to_360 (executed)"), "{}", said(&finished));
    assert!(run(&["list"]).status.success());
    assert!(said(&run(&["up"])).contains("Database is already up-to-date"));
    ask("k").expect(200);
    ask("k").expect(200);
    ask("k").expect(429);
    let limits = get(node.admin(), &format!("/plugins/{LIMITS}")).expect(200).json();
    assert_eq!(limits["config"]["redis"]["host"], "r.test");
    assert_eq!(limits["config"]["year"], 3);
}

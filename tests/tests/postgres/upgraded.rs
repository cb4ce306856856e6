//! The database of a Kong of a former version.

use crate::setup::{bootstrapped, database, migrate, migration, node};
use blackbox::http::{form, get, request};
use blackbox::{Backend, Postgres};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

/// What Kong 3.4 had in the place of what later ones have, and rows that it wrote.
const VERSIONS: [&str; 3] = [
    include_str!("../../../crates/store/tests/kong/3.9.sql"),
    include_str!("../../../crates/store/tests/kong/3.7.sql"),
    include_str!("../../../crates/store/tests/kong/3.4.sql"),
];
const ROWS: &str = include_str!("../../../crates/store/tests/kong/rows-3.4.sql");

/// A plugin among them.
const LIMITS: &str = "00000000-0000-4000-8000-000000000006";

fn said_of(output: &Output) -> String {
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
    assert_eq!(listed.status.code(), Some(5), "{}", said_of(&listed));
    assert!(said_of(&listed).contains("migrations up' to proceed"));
    let refused = node.refusal();
    assert!(refused.contains("New migrations available; run 'bascule migrations up' to proceed"), "{refused}");
    let finished = run(&["finish"]);
    assert!(said_of(&finished).contains("New migrations available"), "{}", said_of(&finished));

    let up = run(&["up"]);
    assert!(up.status.success(), "{}", said_of(&up));
    assert!(said_of(&up).contains("Database has pending migrations; run 'bascule migrations finish' when ready"));
    let listed = run(&["list"]);
    assert_eq!(listed.status.code(), Some(4), "{}", said_of(&listed));
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
    assert!(finished.status.success(), "{}", said_of(&finished));
    assert!(
        said_of(&finished).contains("rate-limiting migrated up to: 006_350_to_360 (executed)"),
        "{}",
        said_of(&finished)
    );
    assert!(run(&["list"]).status.success());
    assert!(said_of(&run(&["up"])).contains("Database is already up-to-date"));
    ask("k").expect(200);
    ask("k").expect(200);
    ask("k").expect(429);
    let limits = get(node.admin(), &format!("/plugins/{LIMITS}")).expect(200).json();
    assert_eq!(limits["config"]["redis"]["host"], "r.test");
    assert_eq!(limits["config"]["year"], 3);
}

#[test]
fn tables_are_made_once_by_whoever_is_first() {
    let settings = database(Postgres::shared(), &[]);
    let making: Vec<_> = (0..4)
        .map(|_| migration(&settings, &["bootstrap"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for one in making {
        let done = one.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", said_of(&done));
    }
    form(node(&settings).admin(), "POST", "/services", "name=s&host=h.test").expect(201);
}

/// Killed after another step each time; what is done stays done, and the rest is done by who comes next.
#[test]
fn whoever_makes_the_tables_may_be_killed() {
    let postgres = Postgres::shared();
    for lines in [2, 11, 40, 90] {
        let settings = database(postgres, &[]);
        let name = &settings.iter().find(|(name, _)| name == "pg_database").unwrap().1;
        let mut making = migration(&settings, &["bootstrap"]).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(making.stdout.take().unwrap()).lines();
        assert_eq!(said.take(lines).filter(Result::is_ok).count(), lines);
        making.kill().unwrap();
        making.wait().unwrap();
        // What it held is held for a minute.
        postgres.sql(name, "UPDATE locks SET ttl = CURRENT_TIMESTAMP - INTERVAL '1 second'");
        let run = |arguments: &[&str]| migrate(&settings, arguments);
        for arguments in [["bootstrap"], ["up"], ["finish"]] {
            let done = run(&arguments);
            assert!(done.status.success(), "{arguments:?} after {lines} lines: {}", said_of(&done));
        }
        form(node(&settings).admin(), "POST", "/services", "name=s&host=h.test").expect(201);
    }
}

//! `cargo xtask nightly`: everything that `cargo xtask test` has a sample of, at length. All of it runs in any case.

use crate::oracle::{self, Database};
use crate::shell::Shell;
use crate::{attack, suites, test};
use std::time::Instant;

/// Seconds of each fuzz target and of the attack.
const FUZZ: &str = "600";
const ATTACK: &str = "1800";
const REQUESTS: &str = "300";
/// How many times the rounds of the long-lived tests.
const LONGER: &str = "20";

/// What has failed of it so far.
#[derive(Default)]
struct Parts {
    failed: Vec<String>,
}

pub fn run(shell: &Shell) -> Result<(), String> {
    let lasting = ["soak", "http2", "garbage", "failover", "durability", "postgres", "browser"]
        .into_iter()
        .flat_map(|name| ["--test", name]);
    let soak: Vec<_> = ["test", "--package", "blackbox"].into_iter().chain(lasting).collect();
    let mut parts = Parts::default();
    parts.run("test", || test::run(shell));
    parts.run("soak", || shell.run_with("cargo", &soak, &[("BASCULE_LONGER", LONGER)]));
    parts.run("attack", || attack::run(shell, &["--seconds".to_owned(), ATTACK.to_owned()]));
    parts.run("admin", || suites::admin(shell, REQUESTS).map(drop));
    parts.run("counterparts", || suites::counterparts(shell));
    parts.run("proxy", || suites::proxy(shell));
    if oracle::is_at_hand(shell) {
        parts.run("oracle on Postgres", || oracle::check(shell, Database::Postgres).map(drop));
        parts.run("oracle", || oracle::explore(shell, &[]));
    }
    if shell.succeeds("go", &["version"]) {
        parts.run("h2spec", || shell.run("python3", &["tests/suites/h2spec"]));
        parts.run("pebble", || shell.run("python3", &["tests/suites/pebble"]));
    } else {
        println!("\nno Go at hand for h2spec and pebble");
    }
    if shell.succeeds("python3", &["tests/suites/autobahn", "--check"]) {
        parts.run("Autobahn", || shell.run("python3", &["tests/suites/autobahn"]));
    } else {
        println!("\nno Python 2.7 at hand for Autobahn");
    }
    parts.run("filters", || {
        shell.run("cargo", &["test", "--package", "runtimes", "--features", "wasm-tests", "--lib", "wasm::"])?;
        shell.run("cargo", &["test", "--package", "blackbox", "--features", "wasm", "--test", "wasm"])
    });
    parts.run("plugin servers", || shell.run("python3", &["tests/suites/plugin_servers"]));
    match targets(shell) {
        Ok(targets) => targets.iter().for_each(|target| parts.run(target, || fuzz(shell, target))),
        Err(error) => parts.failed.push(error),
    }
    if parts.failed.is_empty() { Ok(()) } else { Err(format!("nightly:\n  {}", parts.failed.join("\n  "))) }
}

impl Parts {
    /// Runs one, and says how it went; the next one runs in any case.
    fn run(&mut self, name: &str, part: impl FnOnce() -> Result<(), String>) {
        println!("\n== {name}");
        let begin = Instant::now();
        let outcome = part();
        let word = if outcome.is_ok() { "done" } else { "failed" };
        println!("\n== {name}: {word} after {} s", begin.elapsed().as_secs());
        self.failed.extend(outcome.err().map(|error| format!("{name}: {error}")));
    }
}

/// Runs a target where cargo-fuzz is at hand.
fn fuzz(shell: &Shell, target: &str) -> Result<(), String> {
    if !shell.succeeds("cargo", &["+nightly", "fuzz", "--version"]) {
        println!("\nno cargo-fuzz at hand for {target}");
        return Ok(());
    }
    shell.run("cargo", &["+nightly", "fuzz", "run", target, "--", &format!("-max_total_time={FUZZ}")])
}

fn targets(shell: &Shell) -> Result<Vec<String>, String> {
    let folder = shell.root.join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let name = |path: std::path::PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    let mut names: Vec<_> = files.flatten().filter_map(|entry| name(entry.path())).collect();
    names.sort();
    Ok(names)
}

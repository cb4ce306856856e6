//! `cargo xtask nightly`: everything that `cargo xtask test` has a sample of, at length. All of it runs in any case.

use crate::shell::Shell;
use crate::{attack, oracle, suites, test};

/// Seconds of each fuzz target and of the attack.
const FUZZ: &str = "600";
const ATTACK: &str = "1800";
const REQUESTS: &str = "300";
/// How many times the rounds of the long-lived tests.
const LONGER: &str = "20";

pub fn run(shell: &Shell) -> Result<(), String> {
    let lasting =
        ["soak", "garbage", "failover", "durability", "postgres"].into_iter().flat_map(|name| ["--test", name]);
    let soak: Vec<_> = ["test", "--package", "blackbox"].into_iter().chain(lasting).collect();
    let mut failed = Vec::new();
    let mut part = |name: &str, outcome: Result<(), String>| {
        if let Err(error) = outcome {
            failed.push(format!("{name}: {error}"));
        }
    };
    part("test", test::run(shell));
    part("soak", shell.run_with("cargo", &soak, &[("BASCULE_LONGER", LONGER)]));
    part("attack", attack::run(shell, &["--seconds".to_owned(), ATTACK.to_owned()]));
    part("admin", suites::admin(shell, REQUESTS).map(drop));
    part("counterparts", suites::counterparts(shell));
    part("proxy", suites::proxy(shell));
    if oracle::is_at_hand(shell) {
        part("oracle", oracle::explore(shell, &[]));
    }
    if shell.succeeds("go", &["version"]) {
        part("h2spec", shell.run("python3", &["tests/suites/h2spec"]));
    }
    part("plugin servers", shell.run("python3", &["tests/suites/plugin_servers"]));
    for target in targets(shell)? {
        part(&target, fuzz(shell, &target));
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("nightly:\n  {}", failed.join("\n  "))) }
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

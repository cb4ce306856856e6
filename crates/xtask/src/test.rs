//! `cargo xtask test`: formatting, house rules, lints, licences, all tests, and the recorded scenarios.

use crate::oracle::{self, Database};
use crate::shell::Shell;
use crate::{attack, licences, packages, suites, tidy};

/// Debian packages of the programs that tests call.
const PROGRAMS: &[(&str, &str)] = &[
    ("wrk", "wrk"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("redis-server", "redis-server"),
    ("pg_createcluster", "postgresql"),
    ("/usr/sbin/pgbouncer", "pgbouncer"),
    ("curl", "curl"),
    ("cc", "build-essential"),
    ("cmake", "cmake"),
    ("chromium", "chromium"),
    ("/usr/sbin/slapd", "slapd"),
    ("ldapadd", "ldap-utils"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// Seconds of the attack.
const ATTACK: &str = "60";
/// Seconds of requests to the Admin API that its OpenAPI suggests.
const REQUESTS: &str = "45";

/// Runs everything; the last line says how much there was.
pub fn run(shell: &Shell) -> Result<(), String> {
    for (name, package) in PROGRAMS {
        if !packages::program(shell, name, package) {
            return Err(format!("{name} is missing and cannot be installed (package {package})"));
        }
    }
    shell.run("cargo", &["fmt", "--all", "--check"])?;
    tidy::run(shell)?;
    licences::check(shell)?;
    if shell.succeeds("cargo", &["deny", "--version"]) {
        shell.run("cargo", &["deny", "--offline", "check", "bans", "licenses", "sources"])?;
    }
    shell.run("cargo", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
    let shell = &shell.with_what_tests_build();
    let (mut passed, mut failed) = (0, 0);
    let outcome = shell.watch("cargo", &["test", "--workspace", "--no-fail-fast"], &[], |line| {
        if let Some((p, f)) = counts(line) {
            (passed, failed) = (passed + p, failed + f);
        }
    });
    outcome?;
    attack::run(shell, &["--seconds", ATTACK].map(str::to_owned))?;
    suites::admin(shell, REQUESTS)?;
    match oracle::check(shell, Database::Sqlite)? {
        Some(scenarios) => {
            println!("\n{scenarios} recorded scenarios pass");
            passed += scenarios;
        }
        None => println!("\nno recorded scenarios at hand"),
    }
    println!("\ntest result: ok. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    Ok(())
}

/// Passed and failed of a line `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(usize, usize)> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = numbers.split("; ");
    let mut number = |word: &str| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn summaries() {
        assert_eq!(
            counts("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.12s"),
            Some((12, 0))
        );
        assert_eq!(counts("test result: FAILED. 1 passed; 2 failed; 0 ignored"), Some((1, 2)));
        assert_eq!(counts("test a ... ok"), None);
    }
}

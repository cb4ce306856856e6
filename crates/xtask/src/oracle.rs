//! The recorded scenarios of the real Kong, where they are at hand: those listed in `tests/oracle.txt` must pass, on
//! Postgres but for those in `tests/oracle-postgres.txt`.

use crate::packages;
use crate::shell::Shell;
use std::collections::BTreeMap;
use std::path::PathBuf;

const FOLDER: &str = "../shared/oracle";
const LIST: &str = "tests/oracle.txt";
const NOT_ON_POSTGRES: &str = "tests/oracle-postgres.txt";
/// What is played when nothing is named.
const AREAS: &[&str] = &[
    "smoke",
    "admin-services",
    "admin-routes",
    "admin-http",
    "admin-upstreams",
    "admin-targets",
    "admin-consumers",
    "admin-plugins",
    "admin-collections",
    "admin-certificates",
    "admin-keys",
    "admin-tags",
    "admin-schemas",
    "admin-vaults",
    "router",
    "paths",
    "headers",
    "errors",
    "bodies",
    "health",
    "plugin-scopes",
    "plugins/correlation-id",
    "plugins/cors",
    "plugins/datadog",
    "plugins/file-log",
    "plugins/http-log",
    "plugins/ip-restriction",
    "plugins/key-auth",
    "plugins/ldap-auth",
    "plugins/loggly",
    "plugins/mechanics",
    "plugins/oauth2",
    "plugins/rate-limiting",
    "plugins/proxy-cache",
    "plugins/request-termination",
    "plugins/request-transformer",
    "plugins/response-transformer",
    "plugins/session",
    "plugins/statsd",
    "plugins/syslog",
    "plugins/tcp-log",
    "plugins/udp-log",
    "balancer",
    "dns",
    "expressions",
    "protocols",
];

/// Not listed: what is recorded there is that the player gave up after half a minute.
const SLOW: &[&str] = &["protocols/https-service-that-speaks-http"];

/// Where records are kept while scenarios are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Plays the listed scenarios; how many there were. `None`: they are not at hand.
pub fn check(shell: &Shell, database: Database) -> Result<Option<usize>, String> {
    let Some(folder) = folder(shell) else { return Ok(None) };
    let mut names = listed(shell, LIST)?;
    if database == Database::Postgres {
        let not_there = listed(shell, NOT_ON_POSTGRES)?;
        names.retain(|name| !not_there.contains(name));
    }
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let results = play(shell, &folder, &words, database, true)?;
    let missing: Vec<&String> = names.iter().filter(|name| results.get(*name) != Some(&true)).collect();
    if missing.is_empty() {
        Ok(Some(names.len()))
    } else {
        Err(format!("scenarios that passed and no longer do: {missing:?}"))
    }
}

/// Plays scenarios for the developer, or writes the list anew.
pub fn explore(shell: &Shell, arguments: &[String]) -> Result<(), String> {
    let folder = folder(shell).ok_or(format!("there is no {FOLDER}"))?;
    let update = arguments.first().is_some_and(|a| a == "--update");
    let names: Vec<&str> = arguments.iter().skip(usize::from(update)).map(String::as_str).collect();
    let results = play(shell, &folder, if names.is_empty() { AREAS } else { &names }, Database::Sqlite, false)?;
    let passed = results.values().filter(|passed| **passed).count();
    for name in results.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name) {
        println!("fails: {name}");
    }
    println!("{passed} of {} scenarios pass", results.len());
    if update {
        let text = results
            .iter()
            .filter(|(name, passed)| **passed && !SLOW.contains(&name.as_str()))
            .map(|(name, _)| format!("{name}\n"))
            .collect::<String>();
        std::fs::write(shell.root.join(LIST), text).map_err(|e| format!("{LIST}: {e}"))?;
    }
    Ok(())
}

/// Whether there are scenarios.
pub fn is_at_hand(shell: &Shell) -> bool {
    folder(shell).is_some()
}

/// `$BASCULE_ORACLE`, or beside the repository.
fn folder(shell: &Shell) -> Option<PathBuf> {
    let folder = std::env::var_os("BASCULE_ORACLE").map_or_else(|| shell.root.join(FOLDER), PathBuf::from);
    std::fs::canonicalize(folder).ok().filter(|folder| folder.join("run.py").exists())
}

fn listed(shell: &Shell, list: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(shell.root.join(list)).map_err(|e| format!("{list}: {e}"))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// Whether each scenario passes, by name.
fn play(
    shell: &Shell,
    folder: &std::path::Path,
    names: &[&str],
    database: Database,
    quiet: bool,
) -> Result<BTreeMap<String, bool>, String> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    if !packages::python_module(shell, "yaml", "python3-yaml", "pyyaml") {
        return Err("the scenarios need PyYAML (python3-yaml)".to_owned());
    }
    let target = shell.target();
    let binary = match shell.built("bascule") {
        Some(binary) => binary,
        None => {
            shell.run("cargo", &["build", "--quiet", "--package", "gateway"])?;
            target.join("debug/bascule").display().to_string()
        }
    };
    let work = target.join("oracle");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let (results, prefix, runner) = (work.join("results.tsv"), work.join("prefix"), folder.join("run.py"));
    // A file of an earlier run must not pass for this one's.
    let _ = std::fs::remove_file(&results);
    let script = folder.join("targets/bascule.sh");
    let (start, stop) = (format!("bash {} start", script.display()), format!("bash {} stop", script.display()));
    let base = std::env::var("ORACLE_BASE").unwrap_or("17000".to_owned());
    let (runner, results_arg, prefix) =
        (runner.display().to_string(), results.display().to_string(), prefix.display().to_string());
    let (mut words, kept_in) = match database {
        Database::Sqlite => (vec![], "sqlite"),
        Database::Postgres => {
            (vec!["cargo", "run", "--quiet", "--package", "blackbox", "--bin", "with_postgres", "--"], "postgres")
        }
    };
    words.extend(["python3", &runner, "check"]);
    words.extend(names);
    words.extend(["--start", &start, "--stop", &stop, "--tsv", &results_arg, "--base", &base, "--prefix", &prefix]);
    if quiet {
        words.push("-q");
    }
    // It fails when a scenario does; which, the file says.
    let ended = shell.watch(words[0], &words[1..], &[("BASCULE", &binary), ("ORACLE_DB", kept_in)], |_| {});
    let text = std::fs::read_to_string(&results).map_err(|e| format!("no results ({e}): {ended:?}"))?;
    Ok(parse(&text))
}

/// From lines `area/name<TAB>step<TAB>pass|fail…`: a scenario passes when all its steps do.
fn parse(text: &str) -> BTreeMap<String, bool> {
    let mut results = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        let (Some(name), Some(_), Some(result)) = (cells.next(), cells.next(), cells.next()) else { continue };
        *results.entry(name.to_owned()).or_insert(true) &= result == "pass";
    }
    results
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_scenario_passes_when_all_its_steps_do() {
        let results = parse("a/b\t01 GET /\tpass\t\na/b\t02 GET /\tfail\tstatus\na/c\t01 GET /\tpass\t\n");
        assert_eq!(results.into_iter().collect::<Vec<_>>(), [("a/b".to_owned(), false), ("a/c".to_owned(), true)]);
    }
}

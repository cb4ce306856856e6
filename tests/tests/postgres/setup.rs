//! Databases with tables, and nodes on them.

use blackbox::{Node, Postgres, bascule};
use std::process::{Command, Output};

/// The settings of nodes on an empty database of that server.
pub fn database(postgres: &Postgres, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut settings = postgres.database();
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    settings
}

/// What `bascule migrations` does to a database.
pub fn migrate(settings: &[(String, String)], arguments: &[&str]) -> Output {
    migration(settings, arguments).output().expect("the program can be run")
}

/// The command that does it.
pub fn migration(settings: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = bascule();
    command.arg("migrations").args(arguments);
    for (name, value) in settings {
        command.env(format!("KONG_{}", name.to_uppercase()), value);
    }
    command
}

/// A database with tables; the settings of nodes on it.
pub fn bootstrapped(postgres: &Postgres, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = database(postgres, more);
    let done = migrate(&settings, &["bootstrap"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    settings
}

/// A node on it.
pub fn node(settings: &[(String, String)]) -> Node {
    Node::try_start(settings).unwrap_or_else(|error| panic!("{error}"))
}

/// The same settings with others in place of theirs.
pub fn with(settings: &[(String, String)], others: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = settings.iter().filter(|(name, _)| !others.iter().any(|(other, _)| other == name)).cloned();
    kept.chain(others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// Whether the database can be looked at with these settings; else what is said.
pub fn look(settings: &[(String, String)]) -> Result<(), String> {
    looked(migrate(settings, &["list"]))
}

/// The same of a look that was had.
pub fn looked(listed: Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&listed.stderr).into_owned() + &String::from_utf8_lossy(&listed.stdout);
    if listed.status.success() { Ok(()) } else { Err(said) }
}

//! Databases with tables, and nodes on them.

use blackbox::{Node, Postgres, bascule};
use std::process::Output;

/// The settings of nodes on an empty database of that server.
pub fn database(postgres: &Postgres, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut settings = postgres.database();
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    settings
}

/// What `bascule migrations` does to a database.
pub fn migrate(settings: &[(String, String)], arguments: &[&str]) -> Output {
    let mut command = bascule();
    command.arg("migrations").args(arguments);
    for (name, value) in settings {
        command.env(format!("KONG_{}", name.to_uppercase()), value);
    }
    command.output().expect("the program can be run")
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

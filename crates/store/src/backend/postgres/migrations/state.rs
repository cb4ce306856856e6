//! Which migrations a database has seen.

use super::known::KONG;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt;

/// What has become of the migrations that this program knows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Kong's tables are not there at all.
    pub needs_bootstrap: bool,
    pub executed: Vec<Subsystem>,
    /// Those that were begun by `up` and are ended by `finish`.
    pub pending: Vec<Subsystem>,
    /// Older than the last one that was executed, and not executed.
    pub missing: Vec<Subsystem>,
    pub new: Vec<Subsystem>,
}

/// Some migrations of one part.
#[derive(Clone, Debug)]
pub struct Subsystem {
    pub name: String,
    pub migrations: Vec<Migration>,
}

/// A migration's name.
pub type Migration = String;

/// A row of `schema_meta`.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub last_executed: Option<String>,
    pub executed: Vec<String>,
    pub pending: Vec<String>,
}

/// What is not Kong's.
pub const OWN: &str = "bascule";

impl State {
    /// `plugins` are migrations that plugins bring along, `own` those of our own that are still to be run.
    pub(super) fn new(
        recorded: Option<HashMap<String, Recorded>>,
        plugins: &[Subsystem],
        own: Vec<Migration>,
    ) -> State {
        let mut state = State { needs_bootstrap: recorded.is_none(), ..State::default() };
        let recorded = recorded.unwrap_or_default();
        let of_kong = KONG.iter().map(|known| (known.subsystem, known.migrations.to_vec()));
        let of_plugins = plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.names()));
        let mut subsystems: Vec<(&str, Vec<&str>)> = of_kong.chain(of_plugins).collect();
        // As Kong has them: what is no plugin's, then plugins by their names.
        subsystems.sort_by_key(|(name, _)| (*name != "core", *name));
        for (subsystem, migrations) in subsystems {
            let (mut executed, mut pending, mut missing, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let none = Recorded::default();
            let row = recorded.get(subsystem).unwrap_or(&none);
            let last = migrations.iter().position(|name| Some(*name) == row.last_executed.as_deref());
            for (place, name) in migrations.iter().map(|name| (*name).to_owned()).enumerate() {
                let list = if row.executed.contains(&name) {
                    &mut executed
                } else if row.pending.contains(&name) {
                    &mut pending
                } else if last.is_some_and(|last| place <= last) {
                    &mut missing
                } else {
                    &mut new
                };
                list.push(name);
            }
            state.add(subsystem, executed, pending, missing, new);
        }
        let executed = recorded.get(OWN).map(|row| row.executed.clone()).unwrap_or_default();
        state.add(OWN, executed, Vec::new(), Vec::new(), own);
        state
    }

    /// Adds migrations of our own that are still to be run.
    pub(super) fn add_own(&mut self, new: Vec<Migration>) {
        self.add(OWN, Vec::new(), Vec::new(), Vec::new(), new);
    }

    fn add(
        &mut self,
        name: &str,
        executed: Vec<Migration>,
        pending: Vec<Migration>,
        missing: Vec<Migration>,
        new: Vec<Migration>,
    ) {
        let lists = [
            (&mut self.executed, executed),
            (&mut self.pending, pending),
            (&mut self.missing, missing),
            (&mut self.new, new),
        ];
        for (list, migrations) in lists.into_iter().filter(|(_, migrations)| !migrations.is_empty()) {
            list.push(Subsystem { name: name.to_owned(), migrations });
        }
    }

    /// As Kong's `migrations status` shows it.
    pub fn to_json(&self) -> Value {
        let mut shown = Map::from_iter([("needs_bootstrap".to_owned(), json!(self.needs_bootstrap))]);
        let lists = [
            ("executed_migrations", &self.executed),
            ("pending_migrations", &self.pending),
            ("missing_migrations", &self.missing),
            ("new_migrations", &self.new),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            shown.insert(key.to_owned(), list.iter().map(Subsystem::to_json).collect());
        }
        Value::Object(shown)
    }
}

impl Subsystem {
    fn names(&self) -> Vec<&str> {
        self.migrations.iter().map(String::as_str).collect()
    }

    fn to_json(&self) -> Value {
        let namespace = match self.name.as_str() {
            "core" => "kong.db.migrations.core".to_owned(),
            OWN => OWN.to_owned(),
            plugin => format!("kong.plugins.{plugin}.migrations"),
        };
        json!({ "subsystem": self.name, "namespace": namespace, "migrations": self.migrations })
    }
}

/// As Kong lists them: a line for each subsystem, the names flush right.
pub struct Listed<'a>(pub &'a [Subsystem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|subsystem| subsystem.name.len()).max().unwrap_or_default();
        for (place, Subsystem { name, migrations }) in self.0.iter().enumerate() {
            let line = if place == 0 { "" } else { "\n" };
            write!(f, "{line}{name:>width$}: {}", migrations.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(executed: &[&str], pending: &[&str]) -> HashMap<String, Recorded> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let last_executed = executed.last().map(|name| (*name).to_owned());
        let row = Recorded { last_executed, executed: owned(executed), pending: owned(pending) };
        HashMap::from([("acl".to_owned(), row)])
    }

    fn of_acl(list: &[Subsystem]) -> Vec<String> {
        list.iter().find(|s| s.name == "acl").map(|s| s.migrations.clone()).unwrap_or_default()
    }

    #[test]
    fn migrations_are_sorted_by_what_became_of_them() {
        let state =
            State::new(Some(recorded(&["000_base_acl", "003_200_to_210"], &["004_212_to_213"])), &[], Vec::new());
        assert_eq!(of_acl(&state.executed), ["000_base_acl", "003_200_to_210"]);
        assert_eq!(of_acl(&state.pending), ["004_212_to_213"]);
        assert_eq!(of_acl(&state.missing), ["002_130_to_140"]);
        assert!(of_acl(&state.new).is_empty());
        assert!(state.new.iter().any(|subsystem| subsystem.name == "core"));
        assert!(!state.needs_bootstrap);
        assert!(State::new(None, &[], Vec::new()).needs_bootstrap);
    }

    #[test]
    fn lists_are_flush_right() {
        let subsystem = |name: &str| Subsystem { name: name.to_owned(), migrations: vec!["a".into(), "b".into()] };
        let listed = Listed(&[subsystem("core"), subsystem("key-auth")]).to_string();
        assert_eq!(listed, "    core: a, b\nkey-auth: a, b");
    }
}

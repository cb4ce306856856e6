//! What a user's roles let it do: rules about endpoints of workspaces, the closest of which decides.

use model::Record;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// What is done to what an endpoint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Delete,
    Create,
    Update,
    Read,
}

/// Any endpoint, any workspace, any segment of a path.
pub const ANY: &str = "*";

/// All actions, in the order in which Kong shows them.
pub const ACTIONS: [Action; 4] = [Action::Delete, Action::Create, Action::Update, Action::Read];

/// The rules of all roles of a user.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    workspace: String,
    /// The segments of the endpoint's path; `None`: any endpoint.
    path: Option<Vec<String>>,
    actions: Vec<Action>,
    negative: bool,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Action::Delete => "delete",
            Action::Create => "create",
            Action::Update => "update",
            Action::Read => "read",
        }
    }

    pub fn of_name(name: &str) -> Option<Action> {
        ACTIONS.into_iter().find(|action| action.name() == name)
    }

    /// What a request with that method does.
    pub fn of_method(method: &str) -> Option<Action> {
        Some(match method {
            "GET" | "HEAD" => Action::Read,
            "POST" => Action::Create,
            "PUT" | "PATCH" => Action::Update,
            "DELETE" => Action::Delete,
            _ => return None,
        })
    }
}

impl Rules {
    /// Adds a record of `rbac_role_endpoints`.
    pub fn add(&mut self, record: &Record) {
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        let actions = record.get("actions").and_then(Value::as_array).into_iter().flatten();
        self.rules.push(Rule {
            workspace: text("workspace").to_owned(),
            path: (text("endpoint") != ANY).then(|| segments(text("endpoint"))),
            actions: actions.filter_map(|action| Action::of_name(action.as_str()?)).collect(),
            negative: record.get("negative").and_then(Value::as_bool).unwrap_or(false),
        });
    }

    /// Whether the endpoint of that path (its segments decoded) may be used so in the workspace of that name. What is
    /// said of the endpoint goes before what is said of all, and then the workspace before all of them; the first of
    /// these that says anything decides, and nothing is allowed that nobody has said.
    pub fn allow(&self, workspace: &str, path: &[String], action: Action) -> bool {
        for (any_endpoint, of_workspace) in [(false, workspace), (false, ANY), (true, workspace), (true, ANY)] {
            let mut found: Vec<&Rule> = self.rules.iter().filter(|rule| rule.workspace == of_workspace).collect();
            found.retain(|rule| match &rule.path {
                Some(pattern) => !any_endpoint && matches(pattern, path),
                None => any_endpoint,
            });
            // Of several patterns those count that leave the least open.
            let Some(closest) = found.iter().map(|rule| rule.named()).max() else { continue };
            found.retain(|rule| rule.named() == closest);
            let (negative, positive): (Vec<&Rule>, Vec<&Rule>) = found.into_iter().partition(|rule| rule.negative);
            let named = |rules: &[&Rule]| rules.iter().any(|rule| rule.actions.contains(&action));
            return named(&positive) && !named(&negative);
        }
        false
    }

    /// Whether anything is allowed in a workspace, or refused there in particular.
    pub fn speak_of(&self, workspace: &str) -> bool {
        self.rules.iter().any(|rule| rule.workspace == workspace || rule.workspace == ANY)
    }

    /// The rules as `GET …/permissions` shows them: by workspace and endpoint.
    pub fn describe(&self) -> Value {
        let mut workspaces = Map::new();
        let mut rules: Vec<&Rule> = self.rules.iter().collect();
        rules.sort_by_key(|rule| Reverse(rule.negative));
        for rule in rules {
            let endpoints = workspaces.entry(&rule.workspace).or_insert_with(|| json!({}));
            let path = rule.path.as_ref().map_or(ANY.to_owned(), |path| format!("/{}", path.join("/")));
            let shown = &mut endpoints[&path];
            if shown.is_null() || shown["negative"] == json!(rule.negative) {
                let before: Vec<&str> =
                    shown["actions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let all = ACTIONS.into_iter();
                let all = all.filter(|action| rule.actions.contains(action) || before.contains(&action.name()));
                *shown = json!({ "actions": all.map(Action::name).collect::<Vec<_>>(), "negative": rule.negative });
            }
        }
        Value::Object(workspaces)
    }
}

impl Rule {
    /// How many segments of the path it gives by name.
    fn named(&self) -> usize {
        self.path.iter().flatten().filter(|segment| *segment != ANY).count()
    }
}

/// The segments of a path, with or without slashes around it.
pub fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

fn matches(pattern: &[String], path: &[String]) -> bool {
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(wanted, given)| wanted == ANY || wanted == given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[(&str, &str, &[&str], bool)]) -> Rules {
        let mut rules = Rules::default();
        for (workspace, endpoint, actions, negative) in lines {
            let record =
                json!({ "workspace": workspace, "endpoint": endpoint, "actions": actions, "negative": negative });
            rules.add(record.as_object().unwrap());
        }
        rules
    }

    fn allow(rules: &Rules, workspace: &str, path: &str, action: Action) -> bool {
        rules.allow(workspace, &segments(path), action)
    }

    const EVERYTHING: &[&str] = &["delete", "create", "update", "read"];

    #[test]
    fn nothing_is_allowed_that_nobody_has_said() {
        assert!(!allow(&rules(&[]), "default", "/services", Action::Read));
        let one = rules(&[("default", "/services/", &["read"], false)]);
        assert!(allow(&one, "default", "/services", Action::Read));
        assert!(!allow(&one, "default", "/services", Action::Create));
        assert!(!allow(&one, "other", "/services", Action::Read));
        assert!(!allow(&one, "default", "/services/s", Action::Read));
        assert!(!allow(&one, "default", "/", Action::Read));
    }

    #[test]
    fn an_asterisk_stands_for_one_segment() {
        let nested = rules(&[("*", "/services/*/plugins", &["read"], false)]);
        assert!(allow(&nested, "default", "/services/s/plugins", Action::Read));
        assert!(!allow(&nested, "default", "/services/s", Action::Read));
        assert!(!allow(&nested, "default", "/services/s/plugins/p", Action::Read));
    }

    #[test]
    fn the_endpoint_goes_before_the_workspace() {
        let admin = rules(&[("*", "*", EVERYTHING, false), ("*", "/rbac/*", EVERYTHING, true)]);
        assert!(allow(&admin, "default", "/services", Action::Delete));
        assert!(!allow(&admin, "default", "/rbac/users", Action::Read));
        let mixed = rules(&[("*", "*", EVERYTHING, false), ("red", "*", &["read"], false)]);
        assert!(allow(&mixed, "default", "/services", Action::Create));
        assert!(allow(&mixed, "red", "/services", Action::Read));
        assert!(!allow(&mixed, "red", "/services", Action::Create), "the workspace has a rule of its own");
        let exact = rules(&[("red", "*", &["read"], false), ("*", "/services", EVERYTHING, false)]);
        assert!(allow(&exact, "red", "/services", Action::Create));
    }

    #[test]
    fn of_equal_rules_the_negative_one_counts() {
        let both = rules(&[("*", "/services", EVERYTHING, false), ("*", "/services", &["delete"], true)]);
        assert!(allow(&both, "default", "/services", Action::Create));
        assert!(!allow(&both, "default", "/services", Action::Delete));
    }

    #[test]
    fn the_closest_pattern_counts() {
        let patterns = rules(&[("*", "/services/*", &["read"], false), ("*", "/services/secret", EVERYTHING, true)]);
        assert!(allow(&patterns, "default", "/services/s", Action::Read));
        assert!(!allow(&patterns, "default", "/services/secret", Action::Read));
    }

    #[test]
    fn rules_are_shown_by_workspace_and_endpoint() {
        let shown =
            rules(&[("*", "*", &["read"], false), ("*", "*", &["create"], false), ("*", "/a/*", &["read"], true)]);
        assert_eq!(
            shown.describe(),
            json!({ "*": {
                "/a/*": { "actions": ["read"], "negative": true },
                "*": { "actions": ["create", "read"], "negative": false },
            } })
        );
    }
}

//! `docs/plugins/`: a page for each plugin, whose tables are made from its schema, and the list of all pages.
//!
//! What a page says between the lines of [`FACTS`] and [`END`], or [`FIELDS`] and [`END`], is written by
//! `cargo xtask codegen`; the rest is written by hand. The first paragraph is what the list says of the plugin, and
//! blocks of `json` with a `name` are plugins as they are posted to `/plugins`.

use model::Catalog;
use serde_json::Value;
use std::path::{Path, PathBuf};

const FACTS: &str = "<!-- facts: written by `cargo xtask codegen` -->\n";
const FIELDS: &str = "<!-- fields: written by `cargo xtask codegen` from the schema -->\n";
const END: &str = "<!-- end -->\n";

/// Set by `cargo xtask codegen`: write the files in place of comparing them.
const WRITE: &str = "BASCULE_CODEGEN";

/// The entities that plugins are for, as their schemas and as people call them.
const SCOPES: [(&str, &str); 4] =
    [("service", "services"), ("route", "routes"), ("consumer", "consumers"), ("consumer_group", "consumer groups")];

#[test]
fn generated_files_of_plugins_are_up_to_date() {
    let mut list = String::from(
        "# Plugins\n\n<!-- Written by `cargo xtask codegen` from the pages beside this one. Do not edit. -->\n\n\
         | plugin | |\n|---|---|\n",
    );
    let catalog = catalog();
    for (name, plugin) in catalog.plugins() {
        let old = page(name);
        let new = renewed(&old, plugin.priority, &plugin.schema.describe());
        settle(&format!("{name}.md"), &new.unwrap_or_else(|error| panic!("docs/plugins/{name}.md {error}")));
        let summary = summary(&old).unwrap_or_default().replace('\n', " ");
        list.push_str(&format!("| [{name}]({name}.md) | {summary} |\n"));
    }
    settle("README.md", &list);
}

#[test]
fn examples_are_plugins_that_are_accepted() {
    let catalog = catalog();
    for (name, _) in catalog.plugins() {
        let examples = examples(&page(name));
        assert!(!examples.is_empty(), "docs/plugins/{name}.md shows no example");
        for example in examples {
            assert_eq!(example["name"], name, "docs/plugins/{name}.md");
            let Value::Object(record) = example else { unreachable!("an example is an object") };
            let accepted = catalog.entity("plugins").unwrap().process_insert(&catalog, record);
            assert!(accepted.is_ok(), "docs/plugins/{name}.md: {:?}", accepted.err());
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins")
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::core();
    plugins::bundled().iter().chain(runtimes::bundled()).for_each(|kind| sdk::register(*kind, &mut catalog).unwrap());
    catalog
}

fn page(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.md")))
        .unwrap_or_else(|error| panic!("docs/plugins/{name}.md: {error}"))
}

/// Compares with what is there, or writes it.
fn settle(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os(WRITE).is_some() {
        // The other test reads meanwhile.
        let aside = path.with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, &path).unwrap();
    } else {
        let up_to_date = std::fs::read_to_string(&path).is_ok_and(|old| old == text);
        assert!(up_to_date, "docs/plugins/{name} is out of date: run `cargo xtask codegen`");
    }
}

/// `page` with its tables made anew, or what it lacks.
fn renewed(page: &str, priority: i32, description: &Value) -> Result<String, String> {
    let page = replaced(page, FACTS, &facts(priority, description))?;
    let mut rows = String::from("| field of `config` | type | default | |\n|---|---|---|---|\n");
    rows_of(config(description)?, "", &mut rows);
    replaced(&page, FIELDS, &rows)
}

/// What is said of a plugin in one sentence.
fn summary(page: &str) -> Option<&str> {
    page.split("\n\n").nth(1)
}

/// The plugins that a page shows.
fn examples(page: &str) -> Vec<Value> {
    page.split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter_map(|text| serde_json::from_str(text).ok())
        .filter(|value: &Value| value["name"].is_string() && value["config"].is_object())
        .collect()
}

fn replaced(page: &str, begin: &str, text: &str) -> Result<String, String> {
    let missing = || format!("has no lines {begin:?} and {END:?}");
    let (before, rest) = page.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{text}{END}{after}"))
}

fn facts(priority: i32, description: &Value) -> String {
    let fields = named(description);
    let scopes: Vec<&str> = SCOPES
        .iter()
        .filter(|(field, _)| !fields.iter().any(|(name, of)| name == field && of.get("eq").is_some()))
        .map(|(_, name)| *name)
        .collect();
    let protocols = fields
        .iter()
        .find(|(name, _)| *name == "protocols")
        .and_then(|(_, field)| field["elements"]["one_of"].as_array().or(field["default"].as_array()))
        .map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        .unwrap_or_default();
    let scopes =
        if scopes.is_empty() { "all requests".to_owned() } else { format!("all requests, {}", scopes.join(", ")) };
    format!("| priority | protocols | can be set for |\n|---|---|---|\n| {priority} | {protocols} | {scopes} |\n")
}

/// The names and descriptions of a record's fields.
fn named(record: &Value) -> Vec<(&str, &Value)> {
    let fields = ["fields", "optional_fields"].into_iter().filter_map(|list| record[list].as_array()).flatten();
    fields.filter_map(Value::as_object).flatten().map(|(name, field)| (name.as_str(), field)).collect()
}

fn config(description: &Value) -> Result<&Value, String> {
    let config = named(description).into_iter().find(|(name, _)| *name == "config");
    config.map(|(_, field)| field).ok_or_else(|| "has no config".to_owned())
}

/// A row for each field of `record`, and for those of the records within it.
fn rows_of(record: &Value, prefix: &str, rows: &mut String) {
    for (name, field) in named(record) {
        let path = format!("{prefix}{name}");
        let default = match field.get("default") {
            // Made anew by each process.
            Some(_) if field["encrypted"] == true => "at random".to_owned(),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        assert!(field["description"].is_string(), "{path} has no description");
        let cells = [format!("`{path}`"), kind(field), default, notes(field)];
        rows.push_str(&cells.map(|cell| if cell.is_empty() { "| ".to_owned() } else { format!("| {cell} ") }).concat());
        rows.push_str("|\n");
        match field["type"].as_str() {
            Some("record") => rows_of(field, &format!("{path}."), rows),
            Some("array" | "set") => rows_of(&field["elements"], &format!("{path}[]."), rows),
            Some("map") => rows_of(&field["values"], &format!("{path}.*."), rows),
            _ => {}
        }
    }
}

/// What values a field takes, in a few words.
fn kind(field: &Value) -> String {
    if let Some(words) = field["one_of"].as_array() {
        return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(" ");
    }
    match field["type"].as_str().unwrap_or_default() {
        "array" => format!("list of {}", kind(&field["elements"])),
        "set" => format!("set of {}", kind(&field["elements"])),
        "map" => format!("map of {} to {}", kind(&field["keys"]), kind(&field["values"])),
        "foreign" => format!("reference to {}", plain(&field["reference"])),
        other => match field["between"].as_array().map(Vec::as_slice) {
            Some([low, high]) => format!("{other}, {low} to {high}"),
            _ => match &field["gt"] {
                Value::Number(limit) => format!("{other} above {limit}"),
                _ => other.to_owned(),
            },
        },
    }
}

fn notes(field: &Value) -> String {
    let mut notes = Vec::new();
    if let Some(text) = field["description"].as_str() {
        notes.push(text.to_owned());
    }
    if field["required"] == true && field.get("default").is_none() && field["type"] != "record" {
        notes.push("Required.".to_owned());
    }
    if field["referenceable"] == true || field["elements"]["referenceable"] == true {
        notes.push("Can be in a [vault](../vaults.md).".to_owned());
    }
    notes.join(" ").replace('|', "\\|").replace('\n', " ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

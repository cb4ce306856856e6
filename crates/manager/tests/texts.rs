//! All that the pages say is in their tables of texts, and in each language.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A table: each name with the words that values take the place of.
fn table(language: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(ui().join(format!("texts/{language}.js"))).unwrap();
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut present = String::new();
    for line in text.lines() {
        if let Some(name) = name_of(line) {
            assert!(!table.contains_key(name), "{language}: {name} is there twice");
            present = name.to_owned();
            table.insert(present.clone(), BTreeSet::new());
        }
        if let Some(words) = table.get_mut(&present) {
            words.extend(values_in(line));
        }
    }
    table
}

/// The name that a line of a table begins with.
fn name_of(line: &str) -> Option<&str> {
    let entry = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '/']))?;
    match entry.strip_prefix('\'') {
        Some(quoted) => quoted.split_once("':").map(|(name, _)| name),
        None => entry.split_once(':').map(|(name, _)| name),
    }
}

/// What stands in braces.
fn values_in(line: &str) -> impl Iterator<Item = String> {
    line.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
}

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

/// The scripts of the pages, without the tables.
fn scripts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["core", "entities", "forms", "pages", "parts", "shell"] {
        for entry in fs::read_dir(ui().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// The texts in single quotes that code has; comments have none.
fn quoted(script: &str) -> Vec<&str> {
    let code = script.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    code.flat_map(|line| line.split('\'').skip(1).step_by(2)).collect()
}

#[test]
fn languages_have_the_same_texts() {
    let (english, japanese) = (table("en"), table("ja"));
    let names = |table: &BTreeMap<String, BTreeSet<String>>| table.keys().cloned().collect::<BTreeSet<_>>();
    // In English, the labels of fields follow from their names, and what they are for from their schemas.
    let follows = |name: &String| name.starts_with("field.") || name.starts_with("help.");
    let (english_names, japanese_names) = (names(&english), names(&japanese));
    let missing = english_names.symmetric_difference(&japanese_names);
    let missing: Vec<_> = missing.filter(|name| !follows(name) || english.contains_key(*name)).collect();
    assert!(missing.is_empty(), "in one language only: {missing:?}");
    let differing: Vec<_> = english.iter().filter(|(name, words)| japanese.get(*name) != Some(words)).collect();
    assert!(differing.is_empty(), "other values in Japanese: {differing:?}");
}

#[test]
fn texts_that_pages_name_are_there() {
    let english = table("en");
    for (path, script) in scripts() {
        let parts: Vec<&str> = script.split("t('").collect();
        let of_word = |last: char| last.is_ascii_alphanumeric() || "_.$".contains(last);
        for calls in parts.windows(2).filter(|pair| !pair[0].ends_with(of_word)) {
            let name = calls[1].split('\'').next().unwrap_or_default();
            assert!(english.contains_key(name), "{path}: {name}");
        }
    }
}

#[test]
fn pages_say_nothing_by_themselves() {
    let is_sentence = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
        text.starts_with(|first: char| first.is_ascii_uppercase())
            && words.iter().filter(|word| is_word(word)).count() > 1
    };
    for (path, script) in scripts() {
        for text in quoted(&script) {
            assert!(!is_sentence(text), "{path} says by itself: {text}");
        }
    }
}

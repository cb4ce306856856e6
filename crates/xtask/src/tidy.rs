//! The house rules that a machine can check.

use crate::shell::Shell;
use std::path::{Path, PathBuf};

/// Longest source file, in lines; tables of data may be longer.
const MAX_LINES: usize = 600;
const TABLES: &[&str] = &["table.rs"];
/// Longest line, in characters.
const MAX_COLUMNS: usize = 120;
const MAX_MAIN: usize = 120;
const BANNED_MODULES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];
/// What must not be in the program, and why. Tests may.
const BANNED_CODE: &[(&str, &str)] = &[
    (".unwrap()", "handle the error, or say with `expect` which invariant makes it impossible"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("thread::sleep(", "wait for the condition"),
    ("#[ignore", "a test runs or goes"),
];

/// Fails with every breach.
pub fn run(shell: &Shell) -> Result<(), String> {
    let mut breaches = Vec::new();
    let read = |path: &Path| {
        let name = path.strip_prefix(&shell.root).unwrap_or(path).display().to_string();
        std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}")).map(|text| (name, text))
    };
    for folder in ["crates", "fuzz/fuzz_targets", "tests"] {
        for path in files(&shell.root.join(folder), "rs") {
            let (name, text) = read(&path)?;
            breaches.extend(check(&name, &text));
        }
    }
    let pages = ["ARCHITECTURE.md", "CHANGELOG.md", "README.md"].map(|page| shell.root.join(page));
    for path in pages.into_iter().chain(files(&shell.root.join("docs"), "md")) {
        let (name, text) = read(&path)?;
        let exists = |link: &str| path.parent().is_some_and(|folder| folder.join(link).exists());
        breaches.extend(check_page(&name, &text, exists));
    }
    if breaches.is_empty() {
        return Ok(());
    }
    Err(format!("house rules:\n  {}", breaches.join("\n  ")))
}

fn check(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let path = Path::new(name);
    let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
    let lines = text.lines().count();
    if !text.starts_with("//! ") {
        breaches.push(format!("{name}: the first line says what the file is for (`//! …`)"));
    }
    if lines > MAX_LINES && !TABLES.contains(&file) {
        breaches.push(format!("{name}: {lines} lines, at most {MAX_LINES}"));
    }
    if name.ends_with("src/main.rs") && lines > MAX_MAIN {
        breaches.push(format!("{name}: {lines} lines, at most {MAX_MAIN}"));
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.chars().count() > MAX_COLUMNS) {
        breaches.push(format!("{name}:{}: {} columns, at most {MAX_COLUMNS}", number + 1, line.chars().count()));
    }
    let module = if file == "mod.rs" { path.parent().and_then(Path::file_name) } else { path.file_stem() };
    if module.and_then(|m| m.to_str()).is_some_and(|m| BANNED_MODULES.contains(&m)) {
        breaches.push(format!("{name}: a module is named for what it is about"));
    }
    let test = name.starts_with("tests/")
        || name.starts_with("fuzz/")
        || name.contains("/tests/")
        || file == "tests.rs"
        || file == "testing.rs"
        || name.starts_with("crates/xtask/");
    let tests = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(super) mod tests {"];
    let end = tests.iter().filter_map(|tests| text.find(tests)).min().unwrap_or(text.len());
    let program = if test { "" } else { &text[..end] };
    for (number, line) in program.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (code, advice) in BANNED_CODE.iter().filter(|(code, _)| line.contains(code)) {
            breaches.push(format!("{name}:{}: `{code}`: {advice}", number + 1));
        }
    }
    breaches
}

/// `exists` says whether there is a file where a link of the page leads.
fn check_page(name: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if ["<<<<<<< ", "=======", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
            breaches.push(format!("{name}:{}: the mark of a merge", number + 1));
        }
        let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://") && !exists(link)) {
            breaches.push(format!("{name}:{}: `{link}` leads nowhere", number + 1));
        }
    }
    breaches
}

/// All files below a folder with that extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::{check, check_page};

    #[test]
    fn rules() {
        assert_eq!(
            check("crates/x/src/a.rs", "//! A.\nfn f() {}\n#[cfg(test)]\nmod tests {\n x.unwrap() }\n"),
            Vec::<String>::new()
        );
        assert_eq!(check("crates/x/src/utils.rs", "fn f() { x.unwrap() }\n").len(), 3);
        assert_eq!(check("crates/x/src/utils/mod.rs", "//! A.\n").len(), 1);
        assert_eq!(check("crates/x/src/long.rs", &format!("//! A.\n{}", "\n".repeat(600))).len(), 1);
        assert_eq!(check("crates/x/src/wide.rs", &format!("//! A.\n//{}\n", "ü".repeat(118))).len(), 0);
        assert_eq!(check("crates/x/src/wide.rs", &format!("//! A.\n//{}\n", "ü".repeat(119))).len(), 1);
        assert_eq!(check("tests/tests/a.rs", "//! A.\nx.unwrap()\n").len(), 0);
    }

    #[test]
    fn rules_of_pages() {
        let exists = |link: &str| link == "a.md";
        assert_eq!(
            check_page("b.md", "[a](a.md#x) and [b](http://b.test) and [c](#c)\n", exists),
            Vec::<String>::new()
        );
        assert_eq!(check_page("b.md", "[a](c.md)\n<<<<<<< HEAD\n", exists).len(), 2);
    }
}

//! `docs/configuration.md` and `kong.conf.default`, made from the table of settings.
//!
//! `cargo xtask codegen` writes them; a test sees to it that they are up to date.

use super::definition::{Setting, ValueType};
use super::table::SECTIONS;

/// The text of `docs/configuration.md`.
pub fn documentation() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         <!-- Written by `cargo xtask codegen` from the tables in crates/gateway/src/settings/. Do not edit. -->\n\n\
         Every key can stand in a file (`-c FILE`, else `/etc/kong/kong.conf`, else `/etc/kong.conf`) as\n\
         `key = value`, or in the environment as `KONG_KEY` in upper case. The environment goes before the file, the\n\
         file before the default. `#` begins a comment (write `\\#` for the character itself), lists are separated by\n\
         commas, a backslash at the end of a line continues it. `{vault://env/NAME}` stands for the value of an\n\
         environment variable, or of a secret in another [vault](vaults.md). Unknown keys are reported by name and\n\
         ignored.\n\n\
         [kong.conf.default](../kong.conf.default) is a file with all of them to start from. Keys marked ○ are\n\
         accepted, so that files written for Kong can be used as they are, and have no effect in this version.\n",
    );
    for section in SECTIONS {
        out.push_str(&format!(
            "\n## {}\n\n{}\n\n| key | type | default | |\n|---|---|---|---|\n",
            section.title, section.about
        ));
        for setting in section.settings {
            out.push_str(&row(setting));
        }
    }
    out + &super::nginx::documentation()
}

/// The text of `kong.conf.default`.
pub fn default_file() -> String {
    let mut out = String::from(
        "# Settings of Bascule with their defaults, all commented out. Remove the `#` before a line to change it.\n\
         # Written by `cargo xtask codegen` from crates/gateway/src/settings/table.rs. Do not edit.\n",
    );
    for section in SECTIONS {
        out.push_str(&format!("\n#{}\n# {}\n#{}\n", "-".repeat(78), section.title.to_uppercase(), "-".repeat(78)));
        out.push_str(&wrapped(section.about));
        for setting in section.settings {
            let assignment = format!("#{} = {}", setting.name, super::file::escape(setting.default));
            let mark = if setting.inert { " (no effect in this version)" } else { "" };
            out.push_str(&format!(
                "\n{}\n{}",
                assignment.trim_end(),
                wrapped(&format!("{}{mark}", doc(setting).replace('`', "'")))
            ));
        }
    }
    out
}

fn row(setting: &Setting) -> String {
    let name = if setting.inert { format!("○ `{}`", setting.name) } else { format!("`{}`", setting.name) };
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    let kind = match setting.kind {
        ValueType::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" "),
        kind => kind.word().to_owned(),
    };
    format!("| {name} | {kind} | {default} | {} |\n", doc(setting).replace('|', "\\|"))
}

fn doc(setting: &Setting) -> String {
    let deprecated = if setting.deprecated { "Deprecated. " } else { "" };
    let renewed = if setting.renewed { " Renewed by `bascule reload`." } else { "" };
    format!("{deprecated}{}{renewed}", setting.doc)
}

/// Comment lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= 100 {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Set by `cargo xtask codegen`: write the files in place of comparing them.
    const WRITE: &str = "BASCULE_CODEGEN";

    #[test]
    fn generated_files_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (name, text) in [("docs/configuration.md", documentation()), ("kong.conf.default", default_file())] {
            let path = root.join(name);
            if std::env::var_os(WRITE).is_some() {
                std::fs::write(&path, text).unwrap();
            } else {
                assert!(
                    std::fs::read_to_string(&path).is_ok_and(|old| old == text),
                    "{name} is out of date: run `cargo xtask codegen`"
                );
            }
        }
    }
}

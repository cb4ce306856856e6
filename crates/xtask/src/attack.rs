//! `cargo xtask attack`: the bounded fuzz of the real binary (`tests/src/bin/attack`).

use crate::shell::Shell;

/// Runs it with its own arguments (`--seed`, `--seconds`).
pub fn run(shell: &Shell, arguments: &[String]) -> Result<(), String> {
    let mut words = vec!["run", "--quiet", "--package", "blackbox", "--bin", "attack", "--"];
    words.extend(arguments.iter().map(String::as_str));
    shell.run("cargo", &words)
}

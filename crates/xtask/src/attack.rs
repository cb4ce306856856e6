//! `cargo xtask attack`: the bounded fuzz of the real binary (`tests/src/bin/attack`).

use crate::shell::Shell;

/// Runs it with its own arguments (`--seed`, `--seconds`).
pub fn run(shell: &Shell, arguments: &[String]) -> Result<(), String> {
    let arguments = arguments.iter().map(String::as_str);
    if let Some(program) = shell.built("attack") {
        return shell.run(&program, &arguments.collect::<Vec<_>>());
    }
    let words = ["run", "--quiet", "--package", "blackbox", "--bin", "attack", "--"];
    shell.run("cargo", &words.into_iter().chain(arguments).collect::<Vec<_>>())
}

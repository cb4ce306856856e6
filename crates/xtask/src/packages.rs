//! Debian packages that some tests need, installed when they are missing and may be.

use crate::shell::Shell;

/// Makes a program available; whether it is.
pub fn program(shell: &Shell, name: &str, package: &str) -> bool {
    shell.succeeds("sh", &["-c", &format!("command -v {name}")])
        || (install(shell, package) && shell.succeeds("sh", &["-c", &format!("command -v {name}")]))
}

/// Makes a Python module available to `python3`; whether it is.
pub fn python_module(shell: &Shell, module: &str, package: &str, wheel: &str) -> bool {
    let there = || shell.succeeds("python3", &["-c", &format!("import {module}")]);
    there()
        || (install(shell, package) && there())
        || (shell.succeeds("python3", &["-m", "pip", "install", "--quiet", wheel]) && there())
}

fn install(shell: &Shell, package: &str) -> bool {
    println!("installing {package}");
    let apt = format!(
        "export DEBIAN_FRONTEND=noninteractive; sudo=; [ \"$(id -u)\" = 0 ] || sudo='sudo -n'; \
         $sudo apt-get install -qq -y {package} || \
         {{ $sudo apt-get update -qq && $sudo apt-get install -qq -y {package}; }}"
    );
    shell.succeeds("sh", &["-c", &apt])
}

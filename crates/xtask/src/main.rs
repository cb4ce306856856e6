//! The developer's commands: `cargo xtask test | attack | nightly | tidy | codegen | oracle | bench | icount`.

mod attack;
mod licences;
mod nightly;
mod oracle;
mod packages;
mod shell;
mod suites;
mod test;
mod tidy;

use shell::Shell;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  test              every check and test there is, as the continuous integration runs them
  attack [...]      throw at a node what clients, services and administrators can think of (--seed N, --seconds N)
  nightly           the same at length, and the fuzz targets
  tidy              the house rules that a machine can check
  codegen           write docs/configuration.md, docs/plugins/ and kong.conf.default anew
  oracle [NAME...]  play recorded scenarios (all areas by default) and report
  oracle --update   play all and write those that pass to tests/oracle.txt
  bench [...]       compare with nginx, HAProxy and Envoy (bench/run --help)
  icount [...]      count instructions per request beside nginx (bench/icount --help)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let shell = Shell::at_root();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test::run(&shell),
        Some("attack") => attack::run(&shell, &arguments[1..]),
        Some("nightly") => nightly::run(&shell),
        Some("tidy") => tidy::run(&shell),
        Some("codegen") => shell.run_with(
            "cargo",
            &["test", "--quiet", "--package", "gateway", "generated_files"],
            &[("BASCULE_CODEGEN", "1")],
        ),
        Some("oracle") => oracle::explore(&shell, &arguments[1..]),
        Some("bench") => python(&shell, "bench/run", &arguments[1..]),
        Some("icount") => python(&shell, "bench/icount", &arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn python(shell: &Shell, script: &str, arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = std::iter::once(script).chain(arguments.iter().map(String::as_str)).collect();
    shell.run("python3", &words)
}

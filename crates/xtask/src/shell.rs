//! Running other programs at the root of the repository.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs programs and says which.
pub struct Shell {
    pub root: PathBuf,
    /// Where the programs of the workspace are, if they have been built with all tests: these are good enough for what
    /// needs them (`$BASCULE`), where cargo would make others, with the features of one package alone.
    built: Option<PathBuf>,
}

impl Shell {
    /// At the root of the repository, wherever the command was typed.
    pub fn at_root() -> Shell {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Shell { root: here.ancestors().nth(2).unwrap_or(here).to_owned(), built: None }
    }

    /// The same for who has built all tests, or is about to.
    pub fn with_what_tests_build(&self) -> Shell {
        Shell { root: self.root.clone(), built: Some(self.target().join("debug")) }
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }

    /// A program that has been built with all tests.
    pub fn built(&self, program: &str) -> Option<String> {
        self.built.as_ref().map(|folder| folder.join(program).display().to_string())
    }

    /// Runs a program; fails when it does.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        self.run_with(program, arguments, &[])
    }

    /// The same with additional environment variables.
    pub fn run_with(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
        self.announce(program, arguments);
        let status = self.command(program, arguments, variables).status().map_err(|e| format!("{program}: {e}"))?;
        if status.success() { Ok(()) } else { Err(failed(program, arguments)) }
    }

    /// Runs a program, shows what it prints and hands every line to `see`.
    pub fn watch(
        &self,
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        mut see: impl FnMut(&str),
    ) -> Result<(), String> {
        self.announce(program, arguments);
        let mut child = self
            .command(program, arguments, variables)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let stdout = child.stdout.take().ok_or("no output")?;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|e| format!("{program}: {e}"))?;
            println!("{line}");
            see(&line);
        }
        let status = child.wait().map_err(|e| format!("{program}: {e}"))?;
        if status.success() { Ok(()) } else { Err(failed(program, arguments)) }
    }

    /// Whether a program runs without complaint; nothing is shown.
    pub fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.command(program, arguments, &[]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// What a program prints; fails when it does.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let output = self
            .command(program, arguments, &[])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("{program}: {e}"))?;
        if output.status.success() { Ok(output.stdout) } else { Err(failed(program, arguments)) }
    }

    fn command(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().copied()).current_dir(&self.root);
        // Who names a program wants that one tested.
        if let (Some(bascule), None) = (self.built("bascule"), std::env::var_os("BASCULE")) {
            command.env("BASCULE", bascule);
        }
        command
    }

    fn announce(&self, program: &str, arguments: &[&str]) {
        let shown: String = arguments.join(" ").chars().take(120).collect();
        println!("\n$ {program} {shown}");
    }
}

fn failed(program: &str, arguments: &[&str]) -> String {
    let shown: String = arguments.join(" ").chars().take(120).collect();
    format!("failed: {program} {shown}")
}

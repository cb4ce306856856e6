//! The name that this program was called by. A link to it named `kong` speaks Kong's words, so that scripts that look
//! for them go on.

use std::path::Path;

/// Under whose name the program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Bascule,
    Kong,
}

impl Program {
    /// That of this process.
    pub fn current() -> Program {
        let called = std::env::args_os().next().unwrap_or_default();
        if Path::new(&called).file_name().is_some_and(|name| name == "kong") { Program::Kong } else { Program::Bascule }
    }

    /// As it stands in messages.
    pub fn name(self) -> &'static str {
        match self {
            Program::Bascule => "Bascule",
            Program::Kong => "Kong",
        }
    }

    /// As it is called.
    pub fn command(self) -> &'static str {
        match self {
            Program::Bascule => "bascule",
            Program::Kong => "kong",
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

//! Clients and checkers of others against a node (`tests/suites`).

use crate::shell::Shell;

/// The Admin API by its OpenAPI, for so many seconds, and a client of Kong's. Whether what they need can be had.
pub fn admin(shell: &Shell, seconds: &str) -> Result<bool, String> {
    if !shell.succeeds("python3", &["tests/suites/packages.py"]) {
        println!("\nno schemathesis and aio-kong at hand");
        return Ok(false);
    }
    shell.run("python3", &["tests/suites/aio_kong"])?;
    shell.run("python3", &["tests/suites/schemathesis", "--seconds", seconds])?;
    Ok(true)
}

//! Clients and checkers of others against a node (`tests/suites`).

use crate::shell::Shell;

/// The Admin API by its OpenAPI, for so many seconds, and a client of Kong's. Whether what they need can be had.
pub fn admin(shell: &Shell, seconds: &str) -> Result<bool, String> {
    if !shell.succeeds("python3", &["tests/suites/packages.py", "aio-kong", "schemathesis"]) {
        println!("\nno schemathesis and aio-kong at hand");
        return Ok(false);
    }
    shell.run("python3", &["tests/suites/aio_kong"])?;
    shell.run("python3", &["tests/suites/schemathesis", "--seconds", seconds])?;
    Ok(true)
}

/// Tokens, telemetry and logins, by libraries and a provider of others.
pub fn counterparts(shell: &Shell) -> Result<(), String> {
    if !shell.succeeds("python3", &["tests/suites/packages.py", "authlib", "otlp", "pyjwt"]) {
        println!("\nno Authlib, PyJWT and opentelemetry-proto at hand");
        return Ok(());
    }
    shell.run("python3", &["tests/suites/authlib"])?;
    shell.run("python3", &["tests/suites/pyjwt"])?;
    shell.run("python3", &["tests/suites/otlp"])?;
    if shell.succeeds("npm", &["--version"]) {
        shell.run("python3", &["tests/suites/oidc_provider"])?;
    }
    Ok(())
}

/// What is offered in TLS, and what is kept of responses.
pub fn proxy(shell: &Shell) -> Result<(), String> {
    shell.run("python3", &["tests/suites/sslyze"])?;
    if shell.succeeds("npm", &["--version"]) {
        shell.run("python3", &["tests/suites/http_cache"])?;
    }
    Ok(())
}

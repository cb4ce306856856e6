//! Every dependency is under a licence that lets anybody use the program.

use crate::shell::Shell;
use serde_json::Value;

const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

/// Fails with the packages whose licences are not allowed.
pub fn check(shell: &Shell) -> Result<(), String> {
    let metadata = shell.output("cargo", &["metadata", "--format-version", "1", "--locked"])?;
    let metadata: Value = serde_json::from_slice(&metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter(|package| !package["license"].as_str().is_some_and(allowed))
        .map(|package| {
            format!(
                "{} {}: {}",
                package["name"].as_str().unwrap_or("?"),
                package["version"].as_str().unwrap_or("?"),
                package["license"]
            )
        })
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(format!("licences that are not allowed:\n  {}", refused.join("\n  "))) }
}

/// Whether an SPDX expression can be satisfied: of alternatives one, of a conjunction all.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    let satisfied =
        |all: &str| all.split(" AND ").all(|part| part.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim())));
    // Without brackets AND binds closer than OR; with them, as they are used in practice, it is the other way round.
    if expression.contains('(') {
        satisfied(&plain)
    } else {
        plain.split(" OR ").any(|all| all.split(" AND ").all(|l| ALLOWED.contains(&l.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions() {
        for fine in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC)",
            "GPL-3.0 OR MIT",
        ] {
            assert!(allowed(fine), "{fine}");
        }
        for refused in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-2.0", "MPL-2.0", ""] {
            assert!(!allowed(refused), "{refused}");
        }
    }
}

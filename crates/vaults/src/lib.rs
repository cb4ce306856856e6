//! Vaults, where secrets are kept: what `{vault://...}` in settings and records stands for. For the control runtime
//! only.

mod aws;
mod azure;
mod bearer;
mod env;
mod fs;
mod gcp;
mod hcv;
mod http;
mod kind;
mod machine;
mod reference;
mod secrets;
mod source;

pub use kind::{Open, Secret, Surroundings, Vault, VaultKind, bundled, register};
pub use reference::{Reference, shown};
pub use secrets::{Fetched, Secrets};
pub use source::{Lifetimes, Sources};

#[cfg(test)]
mod testing;

//! What the services of AWS ask of their clients: signed requests, and credentials from wherever a machine has them.

mod credentials;
mod instance;
mod provider;
mod security_token;
mod signature;

pub use credentials::Credentials;
pub use provider::{CredentialProvider, CredentialSettings, Environment, domain};
pub use security_token::AssumeRole;
pub use signature::Signer;

#[cfg(test)]
mod tests;

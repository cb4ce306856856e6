//! Signed tokens (JWT, RFC 7519; JWS, RFC 7515), and the keys by which signatures are made and verified.

mod algorithm;
mod der;
mod key;
mod key_set;
mod signing_key;
mod token;

pub use algorithm::Algorithm;
pub use key::{VerificationKey, is_public_key};
pub use key_set::KeySet;
pub use signing_key::{SigningKey, generate_jwk, public_jwk};
pub use token::{Malformed, Token};

#[cfg(test)]
mod tests;

//! Signed tokens (JWT, RFC 7519; JWS, RFC 7515), and the keys by which signatures are verified.

mod algorithm;
mod key;
mod key_set;
mod token;

pub use algorithm::Algorithm;
pub use key::{VerificationKey, is_public_key};
pub use key_set::KeySet;
pub use token::{Malformed, Token};

#[cfg(test)]
mod tests;

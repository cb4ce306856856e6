//! Tokens in the compact serialization.

use super::Algorithm;
use crate::decode_base64url;
use model::Record;
use serde_json::Value;
use std::fmt;

/// A JSON Web Token, taken apart. Nothing in it is true before its signature has been verified
/// ([`super::VerificationKey::verify`]).
#[derive(Debug)]
pub struct Token<'t> {
    pub header: Record,
    pub claims: Record,
    /// What the header names.
    pub algorithm: Algorithm,
    /// Header and claims as they were signed.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

/// What is wrong with the form of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Json,
    Algorithm,
    Claims,
    Signature,
    /// The header names extensions that must be understood (RFC 7515, section 4.1.11). None is.
    Critical,
}

impl Token<'_> {
    /// Takes a token apart.
    pub fn parse(text: &[u8]) -> Result<Token<'_>, Malformed> {
        let mut parts = text.splitn(3, |&b| b == b'.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Malformed::Json);
        };
        let json = |part: &[u8]| serde_json::from_slice::<Value>(&decode_base64url(part)?).ok();
        let (Some(Value::Object(header_fields)), Some(claims_value)) = (json(header), json(claims)) else {
            return Err(Malformed::Json);
        };
        let algorithm = header_fields.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        let algorithm = algorithm.ok_or(Malformed::Algorithm)?;
        let Value::Object(claims_fields) = claims_value else { return Err(Malformed::Claims) };
        let signature = decode_base64url(signature).ok_or(Malformed::Signature)?;
        if header_fields.contains_key("crit") {
            return Err(Malformed::Critical);
        }
        let signed = &text[..header.len() + 1 + claims.len()];
        Ok(Token { header: header_fields, claims: claims_fields, algorithm, signed, signature })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Json => "invalid JSON",
            Malformed::Algorithm => "invalid alg",
            Malformed::Claims => "invalid claims",
            Malformed::Signature => "invalid signature",
            Malformed::Critical => "unsupported crit",
        })
    }
}

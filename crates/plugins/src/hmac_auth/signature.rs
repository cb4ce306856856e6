//! What an `Authorization` line says of a signature, and what was signed.

use aws_lc_rs::hmac;
use regex::bytes::Regex;
use sdk::{RequestHead, decode_base64};
use std::sync::LazyLock;

/// A way to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    /// Of Kong 3.14.
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The content of an `Authorization` line.
pub struct Signature<'a> {
    pub username: &'a [u8],
    /// `None`: one that nobody knows.
    pub algorithm: Option<Algorithm>,
    names: &'a [u8],
    encoded: &'a [u8],
}

impl Algorithm {
    /// The algorithm of that name.
    pub fn parse(name: &[u8]) -> Option<Algorithm> {
        Some(match name {
            b"hmac-sha1" => Algorithm::Sha1,
            b"hmac-sha224" => Algorithm::Sha224,
            b"hmac-sha256" => Algorithm::Sha256,
            b"hmac-sha384" => Algorithm::Sha384,
            b"hmac-sha512" => Algorithm::Sha512,
            _ => return None,
        })
    }

    fn method(self) -> hmac::Algorithm {
        match self {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha224 => hmac::HMAC_SHA224,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha384 => hmac::HMAC_SHA384,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl<'a> Signature<'a> {
    /// The signature in the value of a line, if it has all four parts.
    pub fn parse(value: &'a [u8]) -> Option<Signature<'a>> {
        // As Kong reads it: each part up to the last quote that lets the rest follow.
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let parts = r#"username="(.+)",\s*algorithm="(.+)",\s*headers="(.+)",\s*signature="(.+)""#;
            Regex::new(&format!(r"(?-u)[Hh]mac\s*{parts}")).ok()
        });
        let found = FORM.as_ref()?.captures(value)?;
        let part = |at: usize| found.get(at).map(|part| part.as_bytes());
        Some(Signature {
            username: part(1)?,
            algorithm: Algorithm::parse(part(2)?),
            names: part(3)?,
            encoded: part(4)?,
        })
    }

    /// The names of the lines that are signed, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.names.split(|&b| b == b' ')
    }

    /// Whether that request was signed with that secret.
    pub fn is_of(&self, request: &RequestHead, algorithm: Algorithm, secret: &[u8]) -> bool {
        let Some(tag) = decode_base64(self.encoded) else { return false };
        hmac::verify(&hmac::Key::new(algorithm.method(), secret), &self.signed(request), &tag).is_ok()
    }

    /// What the client has signed: a line for each name, empty when the request has no such line.
    pub fn signed(&self, request: &RequestHead) -> Vec<u8> {
        let lines: Vec<Vec<u8>> = self.names().map(|name| line(name, request)).collect();
        lines.join(&b'\n')
    }
}

fn line(name: &[u8], request: &RequestHead) -> Vec<u8> {
    let method = request.method.as_str();
    match name {
        b"@request-target" => {
            format!("@request-target: {} {}", method.to_ascii_lowercase(), request.target).into_bytes()
        }
        b"request-line" => format!("{method} {} HTTP/{}", request.target, request.version.in_full()).into_bytes(),
        _ => match std::str::from_utf8(name).ok().and_then(|name| request.fields.get(name)) {
            Some(value) => [name, b": ", value].concat(),
            None => [name, b":"].concat(),
        },
    }
}

//! Algorithms by which tokens are signed.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, VerificationAlgorithm};

/// An algorithm of RFC 7518 (section 3.1) or RFC 8037 (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

/// What a signature of an algorithm is verified with.
pub(super) enum Method {
    Hmac(hmac::Algorithm),
    Signature(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    pub(super) const ALL: [Algorithm; 13] = [
        Algorithm::Hs256,
        Algorithm::Hs384,
        Algorithm::Hs512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::EdDsa,
    ];

    /// The algorithm of that name; `none` is none.
    pub fn parse(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// As `alg` has it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// Whether signer and verifier share a secret.
    pub fn is_symmetric(self) -> bool {
        matches!(self.method(), Method::Hmac(_))
    }

    pub(super) fn method(self) -> Method {
        match self {
            Algorithm::Hs256 => Method::Hmac(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Method::Hmac(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Method::Hmac(hmac::HMAC_SHA512),
            Algorithm::Rs256 => Method::Signature(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Method::Signature(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Method::Signature(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Es256 => Method::Signature(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => Method::Signature(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => Method::Signature(&signature::ECDSA_P521_SHA512_FIXED),
            Algorithm::Ps256 => Method::Signature(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Method::Signature(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Method::Signature(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::EdDsa => Method::Signature(&signature::ED25519),
        }
    }
}

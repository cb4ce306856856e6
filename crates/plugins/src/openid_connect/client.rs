//! Who the gateway is to an issuer, and how it shows that.

use super::provider::now;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sdk::entities::Uuid;
use sdk::jose::{Algorithm, SigningKey};
use sdk::{Config, Url};
use serde_json::{Value, json};

/// How a client shows who it is (OpenID Connect Core 1.0, section 9; RFC 8705).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    Basic,
    Post,
    SecretJwt,
    PrivateKeyJwt,
    /// By the certificate of the connection.
    Tls,
    None,
}

/// One of the clients that a configuration names.
pub struct Client {
    pub id: Option<String>,
    pub secret: Option<String>,
    pub auth: Option<ClientAuth>,
    /// By which assertions are signed with the secret.
    algorithm: Option<Algorithm>,
    key: Option<SigningKey>,
}

/// How many clients a configuration names; one that names none is one of them.
pub fn count(config: &Config<'_>) -> usize {
    config.list("client_id").len().max(1)
}

/// What a list has for a client: the first entry, where it has no other.
pub fn nth(config: &Config<'_>, field: &str, at: usize) -> Option<String> {
    let list = config.texts(field);
    list.get(at).or(list.first()).cloned()
}

impl ClientAuth {
    fn parse(name: &str) -> Option<ClientAuth> {
        match name {
            "client_secret_basic" => Some(ClientAuth::Basic),
            "client_secret_post" => Some(ClientAuth::Post),
            "client_secret_jwt" => Some(ClientAuth::SecretJwt),
            "private_key_jwt" => Some(ClientAuth::PrivateKeyJwt),
            "tls_client_auth" | "self_signed_tls_client_auth" => Some(ClientAuth::Tls),
            "none" => Some(ClientAuth::None),
            _ => None,
        }
    }
}

impl Client {
    /// The one in that place of the lists. The error names the field.
    pub fn read(config: &Config<'_>, at: usize) -> Result<Client, String> {
        let auth = nth(config, "client_auth", at);
        let auth =
            auth.map(|name| ClientAuth::parse(&name).ok_or_else(|| format!("client_auth: '{name}' is not available")));
        let auth = auth.transpose()?;
        let named = nth(config, "client_alg", at);
        let named =
            named.map(|name| Algorithm::parse(&name).ok_or_else(|| format!("client_alg: '{name}' is not available")));
        let algorithm = named.transpose()?;
        let jwks = config.list("client_jwk");
        let key = match (auth, jwks.get(at).or(jwks.first())) {
            (Some(ClientAuth::PrivateKeyJwt), Some(jwk)) => Some(signing_key(jwk, algorithm)?),
            (Some(ClientAuth::PrivateKeyJwt), None) => return Err("client_jwk: needed for private_key_jwt".to_owned()),
            _ => None,
        };
        if auth == Some(ClientAuth::SecretJwt) && algorithm.is_some_and(|algorithm| !algorithm.is_symmetric()) {
            return Err("client_alg: client_secret_jwt needs one of HS256, HS384 and HS512".to_owned());
        }
        if auth == Some(ClientAuth::Tls) && !config.is_set("tls_client_auth_cert_id") {
            return Err("tls_client_auth_cert_id: needed for tls_client_auth".to_owned());
        }
        let id = config.texts("client_id").into_iter().nth(at);
        Ok(Client { id, secret: nth(config, "client_secret", at), auth, algorithm, key })
    }

    /// What shows who it is without a secret on the wire (RFC 7523, section 2.2): by its key, else by a secret.
    pub fn assertion(&self, id: &str, secret: &str, audience: &Url) -> Option<String> {
        let claims = json!({
            "iss": id, "sub": id, "aud": audience.uri().to_string(), "jti": Uuid::new_v4().to_string(),
            "iat": now(), "exp": now() + 60
        });
        let claims = claims.as_object()?;
        if let Some(key) = &self.key {
            return key.sign(claims);
        }
        let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) });
        SigningKey::of_jwk(&jwk, self.algorithm.unwrap_or(Algorithm::Hs256))?.sign(claims)
    }
}

/// A private key, for the algorithm that is named, that of the key, or the usual one of its kind.
fn signing_key(jwk: &Value, named: Option<Algorithm>) -> Result<SigningKey, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let usual = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => "RS256",
        (Some("EC"), Some("P-384")) => "ES384",
        (Some("EC"), Some("P-521")) => "ES512",
        (Some("EC"), _) => "ES256",
        (Some("OKP"), _) => "EdDSA",
        _ => "HS256",
    };
    let algorithm = named.or_else(|| Algorithm::parse(text("alg").unwrap_or(usual)));
    let key = algorithm.and_then(|algorithm| SigningKey::of_jwk(jwk, algorithm));
    key.ok_or_else(|| "client_jwk: it is no private key for the algorithm".to_owned())
}

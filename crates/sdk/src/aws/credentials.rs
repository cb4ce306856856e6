//! Credentials, and the forms in which they are handed out.

use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// An access key with its secret, as long as it is valid. Shown without the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    /// Credentials of roles end; those of users do not.
    pub expires: Option<Timestamp>,
}

impl Credentials {
    /// Those of a user.
    pub fn of_user(access_key_id: &str, secret_access_key: &str) -> Credentials {
        Credentials {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: None,
            expires: None,
        }
    }

    /// What containers and machines are told about their role.
    pub(super) fn from_json(text: &[u8]) -> Result<Credentials, String> {
        let answer: Value = serde_json::from_slice(text).map_err(|_| "the credentials are not JSON")?;
        Credentials::read(|name| answer.get(name).and_then(Value::as_str).map(str::to_owned), "Token")
    }

    /// What the Security Token Service answers.
    pub(super) fn from_xml(text: &str) -> Result<Credentials, String> {
        let within = element(text, "Credentials").ok_or("no credentials in the answer")?;
        Credentials::read(|name| element(within, name).map(str::to_owned), "SessionToken")
    }

    fn read(field: impl Fn(&str) -> Option<String>, token: &str) -> Result<Credentials, String> {
        let needed = |name: &str| field(name).ok_or_else(|| format!("no {name} in the credentials"));
        let expires = field("Expiration").map(|time| time.parse());
        Ok(Credentials {
            access_key_id: needed("AccessKeyId")?,
            secret_access_key: needed("SecretAccessKey")?,
            session_token: field(token),
            expires: expires.transpose().map_err(|_| "the Expiration of the credentials is no time")?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The content of the first element of that name. Enough for answers whose values have nothing escaped in them.
pub(super) fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(content, _)| content.trim())
}

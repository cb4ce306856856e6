//! Where credentials come from: as configured, else from the places in which AWS' own clients look, one after the
//! other.

use super::{AssumeRole, Credentials, instance};
use crate::{Env, HttpClient, HttpOptions};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Credentials that are renewed before they end. Clones share them.
#[derive(Clone)]
pub struct CredentialProvider(Arc<Inner>);

/// Which credentials are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialSettings {
    /// In place of what the machine has.
    pub given: Option<Credentials>,
    /// Of the Security Token Service; the environment's, else `us-east-1`.
    pub region: Option<String>,
    /// The role to take with what was found.
    pub role: Option<AssumeRole>,
    /// Metadata of machines without sessions (`v1`).
    pub without_session: bool,
}

/// Variables of the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

struct Inner {
    client: HttpClient,
    environment: Environment,
    settings: CredentialSettings,
    known: Mutex<Option<Credentials>>,
}

/// Credentials that end sooner than this are renewed.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
const DEFAULT_REGION: &str = "us-east-1";

impl CredentialProvider {
    /// Finds credentials as that machine has them.
    pub fn new(env: &Env, environment: Environment, settings: CredentialSettings) -> CredentialProvider {
        let options = HttpOptions { timeout: Duration::from_secs(5), ..HttpOptions::default() };
        let client = HttpClient::new(env, options);
        CredentialProvider(Arc::new(Inner { client, environment, settings, known: Mutex::default() }))
    }

    /// Credentials that are valid for some minutes. Who asks while they are renewed waits for that.
    pub async fn credentials(&self) -> Result<Credentials, String> {
        let mut known = self.0.known.lock().await;
        let fresh = |known: &Credentials| known.expires.is_none_or(|end| end.duration_since(Timestamp::now()) > AHEAD);
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(known.clone());
        }
        let found = self.0.find().await?;
        *known = Some(found.clone());
        Ok(found)
    }
}

impl Inner {
    async fn find(&self) -> Result<Credentials, String> {
        let found = match &self.settings.given {
            Some(given) => given.clone(),
            None => self.of_surroundings().await?,
        };
        match &self.settings.role {
            Some(role) => role.with_credentials(&self.client, self.region(), &found).await,
            None => Ok(found),
        }
    }

    async fn of_surroundings(&self) -> Result<Credentials, String> {
        let Inner { client, environment, .. } = self;
        if let Some(found) = environment.credentials("AWS").or_else(|| environment.credentials("AMAZON")) {
            return Ok(found);
        }
        if let Some(found) = environment.credentials_in_file()? {
            return Ok(found);
        }
        if let Some(found) = instance::of_container(client, environment).await {
            return found;
        }
        if let Some((role, file)) = environment.web_identity() {
            let token = std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?;
            return role.with_token(client, self.region(), token.trim()).await;
        }
        let machine = instance::of_machine(client, environment, !self.settings.without_session);
        machine.await.map_err(|why| format!("no credentials for AWS were found anywhere, and {why}"))
    }

    fn region(&self) -> &str {
        self.settings.region.as_deref().or_else(|| self.environment.region()).unwrap_or(DEFAULT_REGION)
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Environment {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The region that the machine's own clients use.
    pub fn region(&self) -> Option<&str> {
        self.value("AWS_REGION").or_else(|| self.value("AWS_DEFAULT_REGION"))
    }

    /// A variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable that is not empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    fn credentials(&self, prefix: &str) -> Option<Credentials> {
        let value = |name: &str| self.value(&format!("{prefix}_{name}"));
        let user = Credentials::of_user(value("ACCESS_KEY_ID")?, value("SECRET_ACCESS_KEY")?);
        Some(Credentials { session_token: value("SESSION_TOKEN").map(str::to_owned), ..user })
    }

    /// Those of a profile in the file of AWS' command line.
    fn credentials_in_file(&self) -> Result<Option<Credentials>, String> {
        let named = self.value("AWS_SHARED_CREDENTIALS_FILE").map(str::to_owned);
        let usual = || self.value("HOME").map(|home| format!("{home}/.aws/credentials"));
        let Some(file) = named.or_else(usual) else { return Ok(None) };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {file}: {error}")),
        };
        let profile = format!("[{}]", self.value("AWS_PROFILE").unwrap_or("default"));
        let lines = text.lines().map(str::trim).skip_while(|line| *line != profile).skip(1);
        let pairs: BTreeMap<&str, &str> = lines
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let keys = pairs.get("aws_access_key_id").zip(pairs.get("aws_secret_access_key"));
        let token = pairs.get("aws_session_token").map(|token| (*token).to_owned());
        Ok(keys.map(|(id, secret)| Credentials { session_token: token, ..Credentials::of_user(id, secret) }))
    }

    /// The role that the token in a file is for, as clusters of Kubernetes (EKS) tell their containers.
    fn web_identity(&self) -> Option<(AssumeRole, &str)> {
        let role = AssumeRole {
            arn: self.value("AWS_ROLE_ARN")?.to_owned(),
            session_name: self.value("AWS_ROLE_SESSION_NAME").unwrap_or("session@bascule").to_owned(),
            endpoint: self.value("AWS_ENDPOINT_URL_STS").map(str::to_owned),
        };
        Some((role, self.value("AWS_WEB_IDENTITY_TOKEN_FILE")?))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        Environment(variables.into_iter().collect())
    }
}

/// What the names of services end in, there.
pub fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

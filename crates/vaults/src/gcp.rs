//! Google Cloud Secret Manager (`gcp`).

use crate::bearer::{Bearer, Token, fresh};
use crate::http::{Http, escaped};
use crate::{Surroundings, Vault};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sdk::aws::Environment;
use sdk::{BoxFuture, Config, Fields, decode_base64};
use serde_json::{Value, json};

struct SecretManager {
    http: Http,
    endpoint: String,
    project: String,
    account: Account,
    bearer: Bearer,
}

/// Who asks.
pub enum Account {
    /// A service account, by its key.
    Service(Box<ServiceAccount>),
    /// That of the machine or the workload, by the metadata server with that name.
    Machine(String),
}

pub struct ServiceAccount {
    email: String,
    key: KeyPair,
    token_uri: String,
}

const ENDPOINT: &str = "https://secretmanager.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const METADATA: &str = "metadata.google.internal";
/// How long a request for a token is valid, in seconds.
const ASSERTION_SECONDS: i64 = 600;

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    SecretManager::new(config, surroundings, ENDPOINT).map(|vault| Box::new(vault) as Box<dyn Vault>)
}

impl SecretManager {
    fn new(config: Config, surroundings: &Surroundings, endpoint: &str) -> Result<SecretManager, String> {
        Ok(SecretManager {
            http: Http::new(&surroundings.env, true),
            endpoint: endpoint.to_owned(),
            project: config.text("project_id").ok_or("config.project_id: the project is missing")?.to_owned(),
            account: Account::of(&surroundings.environment)?,
            bearer: Bearer::default(),
        })
    }

    async fn secret(&self, name: &str, version: Option<u64>) -> Result<Option<String>, String> {
        let version = version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        let (project, name) = (escaped(&self.project), escaped(name));
        let url = format!("{}/v1/projects/{project}/secrets/{name}/versions/{version}:access", self.endpoint);
        let token = self.token().await?;
        let fields = [("Authorization", format!("Bearer {token}"))].iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = self.http.get(&url, fields).await?;
        match answer.status {
            404 => return Ok(None),
            401 => self.bearer.forget().await,
            _ => {}
        }
        let answer = answer.check("the secret")?;
        let octets = decode_base64(answer.needed(&["payload", "data"])?).ok_or("the secret is not base64")?;
        String::from_utf8(octets).map(Some).map_err(|_| "the secret is no text".to_owned())
    }

    async fn token(&self) -> Result<String, String> {
        let mut known = self.bearer.lock().await;
        if let Some(token) = fresh(&known) {
            return Ok(token);
        }
        let token = self.account.token(&self.http).await?;
        let text = token.text.clone();
        *known = Some(token);
        Ok(text)
    }
}

impl Vault for SecretManager {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(self.secret(resource, version))
    }
}

impl Account {
    /// As the environment has it.
    pub fn of(environment: &Environment) -> Result<Account, String> {
        Ok(match environment.value("GCP_SERVICE_ACCOUNT") {
            Some(text) => Account::Service(Box::new(
                ServiceAccount::parse(text).map_err(|why| format!("GCP_SERVICE_ACCOUNT: {why}"))?,
            )),
            None => Account::Machine(environment.value("GCE_METADATA_HOST").unwrap_or(METADATA).to_owned()),
        })
    }

    /// A token for the interfaces of Google Cloud.
    pub async fn token(&self, http: &Http) -> Result<Token, String> {
        let answer = match self {
            Account::Service(account) => {
                let assertion = account.assertion(Timestamp::now().as_second())?;
                let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
                http.post_form(&account.token_uri, &form).await
            }
            Account::Machine(host) => {
                let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
                http.get(&url, Fields::from_iter([("Metadata-Flavor", "Google")])).await
            }
        };
        let answer = answer.and_then(|answer| answer.check("the token")).map_err(|why| format!("no token: {why}"))?;
        Ok(Token::new(answer.needed(&["access_token"])?, answer.seconds(&["expires_in"])))
    }
}

impl ServiceAccount {
    /// From the file that Google hands out.
    fn parse(text: &str) -> Result<ServiceAccount, String> {
        let file: Value = serde_json::from_str(text).map_err(|_| "not JSON")?;
        let field = |name: &str| file.get(name).and_then(Value::as_str);
        let pem = field("private_key").ok_or("no private_key in it")?;
        let key = model::pem::private_key(pem).map_err(|why| format!("private_key: {why}"))?;
        Ok(ServiceAccount {
            email: field("client_email").ok_or("no client_email in it")?.to_owned(),
            key: KeyPair::from_pkcs8(key.secret_der()).map_err(|_| "private_key: not an RSA key in PKCS #8")?,
            token_uri: field("token_uri").unwrap_or(TOKEN_URI).to_owned(),
        })
    }

    /// A signed request for a token (RFC 7523), made at that time.
    fn assertion(&self, now: i64) -> Result<String, String> {
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        let made = self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature);
        made.map_err(|_| "the key cannot sign")?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reply, surroundings};
    use sdk::jose::{Algorithm, Token as SignedToken, VerificationKey};
    use sdk::testing::Server;
    use std::sync::Arc;

    fn vault(variables: &[(&str, &str)], endpoint: &str) -> Arc<SecretManager> {
        let config = json!({ "project_id": "p" });
        let config = Config::new(config.as_object().unwrap());
        Arc::new(SecretManager::new(config, &surroundings(variables), endpoint).unwrap())
    }

    #[tokio::test]
    async fn a_service_account_signs_for_its_token() {
        let server = Server::start().await;
        let base = format!("http://{}", server.address());
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let account = json!({
            "client_email": "me@p.test",
            "private_key": pair.serialize_pem(),
            "token_uri": format!("{base}/token"),
        });
        let vault = vault(&[("GCP_SERVICE_ACCOUNT", &account.to_string())], &base);
        let asked = tokio::spawn({
            let vault = Arc::clone(&vault);
            async move { vault.fetch("s", None).await }
        });
        let (_, form) = reply(&server, 200, r#"{"access_token": "t", "expires_in": 3599}"#).await;
        let assertion = form.split_once("assertion=").unwrap().1;
        let key = VerificationKey::public(Algorithm::Rs256, &pair.public_key_pem()).unwrap();
        let token = SignedToken::parse(assertion.as_bytes()).unwrap();
        assert!(key.verify(&token));
        assert_eq!(token.claims["iss"], "me@p.test");
        let (head, _) = reply(&server, 200, r#"{"payload": {"data": "c2VjcmV0"}}"#).await;
        assert!(head.starts_with("GET /v1/projects/p/secrets/s/versions/latest:access "), "{head}");
        assert!(head.contains("authorization: Bearer t\r\n"), "{head}");
        assert_eq!(asked.await.unwrap(), Ok(Some("secret".to_owned())));
        let asked = tokio::spawn(async move { vault.fetch("s", Some(3)).await });
        let (head, _) = reply(&server, 404, "{}").await;
        assert!(head.starts_with("GET /v1/projects/p/secrets/s/versions/3:access "), "{head}");
        assert_eq!(asked.await.unwrap(), Ok(None));
    }

    #[tokio::test]
    async fn a_machine_has_a_token() {
        let server = Server::start().await;
        let host = server.address().to_string();
        let vault = vault(&[("GCE_METADATA_HOST", &host)], &format!("http://{host}"));
        let asked = tokio::spawn(async move { vault.fetch("s", None).await });
        let (head, _) = reply(&server, 200, r#"{"access_token": "t", "expires_in": 3599}"#).await;
        assert!(head.contains("metadata-flavor: Google\r\n"), "{head}");
        reply(&server, 403, r#"{"error": "planted"}"#).await;
        assert_eq!(asked.await.unwrap(), Err("the secret: status 403".to_owned()));
    }
}

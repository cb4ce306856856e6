//! Azure Key Vault (`azure`).

use crate::bearer::{Bearer, Token, fresh};
use crate::http::{Http, escaped};
use crate::{Surroundings, Vault};
use sdk::{BoxFuture, Config, Fields};

struct KeyVault {
    http: Http,
    uri: String,
    identity: Identity,
    bearer: Bearer,
}

/// Who asks.
enum Identity {
    /// An application, by its secret.
    Secret { url: String, client: String, secret: String },
    /// An application, by a token that its cluster has put into a file.
    Federated { url: String, client: String, file: String },
    /// That of the machine.
    Managed { host: String, client: Option<String> },
}

const RESOURCE: &str = "https://vault.azure.net";
const SCOPE: &str = "https://vault.azure.net/.default";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const MACHINE: &str = "http://169.254.169.254";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    let Surroundings { env, environment } = surroundings;
    let prefix = config.text("credentials_prefix").unwrap_or("AZURE");
    let variable = |name: &str| environment.value(&format!("{prefix}_{name}")).map(str::to_owned);
    let field = |field: &str, name: &str| config.text(field).map(str::to_owned).or_else(|| variable(name));
    let client = field("client_id", "CLIENT_ID");
    let authority = environment.value("AZURE_AUTHORITY_HOST").unwrap_or(AUTHORITY).trim_end_matches('/');
    let url = field("tenant_id", "TENANT_ID").map(|tenant| format!("{authority}/{tenant}/oauth2/v2.0/token"));
    let identity = match (url, client, variable("CLIENT_SECRET"), variable("FEDERATED_TOKEN_FILE")) {
        (Some(url), Some(client), Some(secret), _) => Identity::Secret { url, client, secret },
        (Some(url), Some(client), None, Some(file)) => Identity::Federated { url, client, file },
        (_, client, ..) => {
            let host = environment.value("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(MACHINE);
            Identity::Managed { host: host.trim_end_matches('/').to_owned(), client }
        }
    };
    let uri = config.text("vault_uri").ok_or("config.vault_uri: the address is missing")?;
    let uri = uri.trim_end_matches('/').to_owned();
    Ok(Box::new(KeyVault { http: Http::new(env, true), uri, identity, bearer: Bearer::default() }))
}

impl Vault for KeyVault {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(self.secret(resource, version))
    }
}

impl KeyVault {
    async fn secret(&self, name: &str, version: Option<u64>) -> Result<Option<String>, String> {
        if version.is_some() {
            return Err("versions have no numbers in an Azure Key Vault".to_owned());
        }
        let token = format!("Bearer {}", self.token().await?);
        let url = format!("{}/secrets/{}?api-version=7.4", self.uri, escaped(name));
        let answer = self.http.get(&url, Fields::from_iter([("Authorization", token.as_str())])).await?;
        match answer.status {
            404 => return Ok(None),
            401 => self.bearer.forget().await,
            _ => {}
        }
        answer.check("the secret")?.needed(&["value"]).map(|value| Some(value.to_owned()))
    }

    async fn token(&self) -> Result<String, String> {
        let mut known = self.bearer.lock().await;
        if let Some(token) = fresh(&known) {
            return Ok(token);
        }
        let answer = self.ask().await.and_then(|answer| answer.check("the token"));
        let answer = answer.map_err(|why| format!("no token: {why}"))?;
        let token = Token::new(answer.needed(&["access_token"])?, answer.seconds(&["expires_in"]));
        let text = token.text.clone();
        *known = Some(token);
        Ok(text)
    }

    async fn ask(&self) -> Result<crate::http::Answer, String> {
        let grant = ("grant_type", "client_credentials");
        match &self.identity {
            Identity::Secret { url, client, secret } => {
                let form = [grant, ("scope", SCOPE), ("client_id", client), ("client_secret", secret)];
                self.http.post_form(url, &form).await
            }
            Identity::Federated { url, client, file } => {
                let token = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
                let form = [
                    grant,
                    ("scope", SCOPE),
                    ("client_id", client),
                    ("client_assertion_type", JWT_BEARER),
                    ("client_assertion", token.trim()),
                ];
                self.http.post_form(url, &form).await
            }
            Identity::Managed { host, client } => {
                let client = client.as_ref().map(|client| format!("&client_id={}", escaped(client)));
                let (client, resource) = (client.unwrap_or_default(), escaped(RESOURCE));
                let path = "metadata/identity/oauth2/token?api-version=2018-02-01";
                let url = format!("{host}/{path}&resource={resource}{client}");
                self.http.get(&url, Fields::from_iter([("Metadata", "true")])).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reply, surroundings};
    use sdk::testing::Server;
    use serde_json::json;

    fn vault(variables: &[(&str, &str)], config: serde_json::Value) -> Box<dyn Vault> {
        open(Config::new(config.as_object().unwrap()), &surroundings(variables)).unwrap()
    }

    #[tokio::test]
    async fn an_application_asks_with_its_secret() {
        let server = Server::start().await;
        let base = format!("http://{}", server.address());
        let config = json!({ "vault_uri": format!("{base}/"), "tenant_id": "t", "client_id": "c" });
        let vault = vault(&[("AZURE_CLIENT_SECRET", "planted"), ("AZURE_AUTHORITY_HOST", &base)], config);
        let asked = tokio::spawn(async move { vault.fetch("s", None).await });
        let (head, form) = reply(&server, 200, r#"{"access_token": "token", "expires_in": 3599}"#).await;
        assert!(head.starts_with("POST /t/oauth2/v2.0/token "), "{head}");
        assert!(form.ends_with("&client_id=c&client_secret=planted"), "{form}");
        let (head, _) = reply(&server, 200, r#"{"value": "secret"}"#).await;
        assert!(head.starts_with("GET /secrets/s?api-version=7.4 "), "{head}");
        assert!(head.contains("authorization: Bearer token\r\n"), "{head}");
        assert_eq!(asked.await.unwrap(), Ok(Some("secret".to_owned())));
    }

    #[tokio::test]
    async fn a_machine_asks_with_its_own_identity() {
        let server = Server::start().await;
        let base = format!("http://{}", server.address());
        let vault =
            vault(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &base)], json!({ "vault_uri": base, "client_id": "c" }));
        let asked = tokio::spawn(async move { vault.fetch("s", None).await });
        let (head, _) = reply(&server, 400, r#"{"error": "planted"}"#).await;
        assert!(head.starts_with("GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource="), "{head}");
        assert!(head.contains("&client_id=c ") && head.contains("metadata: true\r\n"), "{head}");
        assert_eq!(asked.await.unwrap(), Err("no token: the token: status 400".to_owned()));
    }
}

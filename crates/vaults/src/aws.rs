//! AWS Secrets Manager (`aws`).

use crate::http::Http;
use crate::{Surroundings, Vault};
use sdk::aws::{AssumeRole, CredentialProvider, CredentialSettings, Signer};
use sdk::{BoxFuture, Config, HttpRequest, Url, decode_base64};
use serde_json::json;

struct SecretsManager {
    http: Http,
    url: Url,
    signer: Signer,
    credentials: CredentialProvider,
}

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    let Surroundings { env, environment } = surroundings;
    let region = config.text("region").or_else(|| environment.region());
    let region = region.ok_or("config.region: the region is missing, and AWS_REGION is not set")?;
    let endpoint = config.text("endpoint_url").map(str::to_owned);
    let domain = sdk::aws::domain(region);
    let url = Url::parse(&endpoint.unwrap_or_else(|| format!("https://secretsmanager.{region}.{domain}/")))?;
    let text = |field: &str| config.text(field).map(str::to_owned);
    let role = text("assume_role_arn").map(|arn| AssumeRole {
        arn,
        session_name: text("role_session_name").unwrap_or_default(),
        endpoint: text("sts_endpoint_url"),
    });
    let settings = CredentialSettings { region: Some(region.to_owned()), role, ..CredentialSettings::default() };
    Ok(Box::new(SecretsManager {
        http: Http::new(env, true),
        url,
        signer: Signer { region: region.to_owned(), service: "secretsmanager".to_owned() },
        credentials: CredentialProvider::new(env, environment.clone(), settings),
    }))
}

impl Vault for SecretsManager {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(self.secret(resource, version))
    }
}

impl SecretsManager {
    async fn secret(&self, name: &str, version: Option<u64>) -> Result<Option<String>, String> {
        let stage = match version {
            None | Some(1) => "AWSCURRENT",
            Some(2) => "AWSPREVIOUS",
            Some(_) => return Err("there are versions 1 (the current one) and 2 (the one before)".to_owned()),
        };
        let lines = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", "secretsmanager.GetSecretValue")];
        let mut request = HttpRequest {
            method: "POST".to_owned(),
            url: self.url.clone(),
            fields: lines.into_iter().collect(),
            content: json!({ "SecretId": name, "VersionStage": stage }).to_string().into(),
        };
        let credentials = self.credentials.credentials().await?;
        self.signer.sign(&mut request, &credentials, jiff::Timestamp::now());
        let answer = self.http.request(request).await?;
        if answer.status != 200 {
            let kind = answer.text(&["__type"]).unwrap_or_default();
            let kind = kind.rsplit('#').next().unwrap_or_default();
            return match kind {
                "ResourceNotFoundException" => Ok(None),
                kind => Err(format!("status {} {kind}", answer.status)),
            };
        }
        if let Some(text) = answer.text(&["SecretString"]) {
            return Ok(Some(text.to_owned()));
        }
        let octets = answer.text(&["SecretBinary"]).and_then(decode_base64).ok_or("no SecretString in the answer")?;
        String::from_utf8(octets).map(Some).map_err(|_| "the secret is no text".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{completed, reply, surroundings};
    use sdk::testing::Server;
    use std::sync::Arc;

    #[tokio::test]
    async fn versions_are_stages() {
        let server = Server::start().await;
        let config = json!({ "region": "eu-west-1", "endpoint_url": format!("http://{}/", server.address()) });
        let variables = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "planted")];
        let vault = open(Config::new(&completed("aws", config)), &surroundings(&variables)).unwrap();
        let vault: Arc<dyn Vault> = vault.into();
        let fetch = |version| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move { vault.fetch("my/secret", version).await })
        };
        let asked = fetch(None);
        let (head, content) = reply(&server, 200, r#"{"SecretString": "s"}"#).await;
        assert!(head.contains("x-amz-target: secretsmanager.GetSecretValue\r\n"), "{head}");
        assert!(head.contains("/eu-west-1/secretsmanager/aws4_request, "), "{head}");
        assert_eq!(content, r#"{"SecretId":"my/secret","VersionStage":"AWSCURRENT"}"#);
        assert_eq!(asked.await.unwrap(), Ok(Some("s".to_owned())));
        let asked = fetch(Some(2));
        let (_, content) = reply(&server, 200, r#"{"SecretBinary": "cw=="}"#).await;
        assert!(content.contains("AWSPREVIOUS"), "{content}");
        assert_eq!(asked.await.unwrap(), Ok(Some("s".to_owned())));
        let asked = fetch(None);
        reply(&server, 400, r#"{"__type": "x#ResourceNotFoundException"}"#).await;
        assert_eq!(asked.await.unwrap(), Ok(None));
        let asked = fetch(None);
        reply(&server, 400, r#"{"__type": "AccessDeniedException", "Message": "planted"}"#).await;
        assert_eq!(asked.await.unwrap(), Err("status 400 AccessDeniedException".to_owned()));
    }
}

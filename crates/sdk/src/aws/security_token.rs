//! The Security Token Service: credentials of a role for whoever may take it.

use super::credentials::element;
use super::{Credentials, Signer};
use crate::{Bytes, HttpClient, HttpRequest, Url};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A role to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    pub arn: String,
    pub session_name: String,
    /// In place of the region's own one.
    pub endpoint: Option<String>,
}

impl AssumeRole {
    /// Takes the role with other credentials.
    pub(super) async fn with_credentials(
        &self,
        client: &HttpClient,
        region: &str,
        credentials: &Credentials,
    ) -> Result<Credentials, String> {
        let mut request = self.request(region, "AssumeRole", &[])?;
        let signer = Signer { region: region.to_owned(), service: "sts".to_owned() };
        signer.sign(&mut request, credentials, Timestamp::now());
        self.take(client, request).await
    }

    /// Takes the role with a token that somebody else has issued, such as a cluster of Kubernetes.
    pub(super) async fn with_token(
        &self,
        client: &HttpClient,
        region: &str,
        token: &str,
    ) -> Result<Credentials, String> {
        let request = self.request(region, "AssumeRoleWithWebIdentity", &[("WebIdentityToken", token)])?;
        self.take(client, request).await
    }

    fn request(&self, region: &str, action: &str, more: &[(&str, &str)]) -> Result<HttpRequest, String> {
        let usual = || format!("https://sts.{region}.{}", super::provider::domain(region));
        let url = Url::parse(&self.endpoint.clone().unwrap_or_else(usual))?;
        let form = [
            ("Action", action),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", &self.session_name),
        ];
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let content = form.iter().chain(more).map(pair).collect::<Vec<_>>().join("&");
        Ok(HttpRequest {
            method: "POST".to_owned(),
            url,
            fields: [("Content-Type", "application/x-www-form-urlencoded")].into_iter().collect(),
            content: Bytes::from(content),
        })
    }

    async fn take(&self, client: &HttpClient, request: HttpRequest) -> Result<Credentials, String> {
        let failed = |why: String| format!("cannot take the role: {why}");
        let response = client.send(request).await.map_err(|error| failed(error.to_string()))?;
        let answer = String::from_utf8_lossy(&response.content);
        if response.status != 200 {
            let code = element(&answer, "Code").unwrap_or_default();
            return Err(failed(format!("status {} {code}", response.status)));
        }
        Credentials::from_xml(&answer).map_err(failed)
    }
}

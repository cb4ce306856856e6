//! What the gateway asks of an issuer: tokens, what a token is worth, whose it is.

use super::client::ClientAuth;
use super::issuer::{Issuer, Metadata};
use super::settings::Settings;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk::{Fields, HttpClient, HttpRequest, HttpResponse, Record, Url};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use url::form_urlencoded::Serializer;

/// An issuer, as one configuration has it.
pub struct Provider {
    pub settings: Arc<Settings>,
    pub client: HttpClient,
    /// The one whose certificate says who asks.
    pub proving: Option<HttpClient>,
    pub issuer: Arc<Issuer>,
}

/// Why there is nothing.
#[derive(Debug)]
pub enum Failure {
    /// The caller has shown something that is not good.
    Refused(String),
    /// It cannot be found out.
    Trouble(String),
}

/// What an issuer gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    pub access: Option<String>,
    pub id: Option<String>,
    pub refresh: Option<String>,
    /// When the access token ends, in Unix seconds.
    pub ends: Option<u64>,
}

/// Who the gateway is to the issuer.
pub struct Credentials<'c> {
    pub id: &'c str,
    pub secret: Option<&'c str>,
}

/// Arguments of a form.
type Form = Vec<(String, String)>;

impl Provider {
    /// Gets tokens by a grant, in the gateway's own name or in that of a client that has shown who it is.
    pub async fn grant(&self, grant: &[(&str, &str)], who: Option<Credentials<'_>>) -> Result<Tokens, Failure> {
        let settings = &self.settings;
        let form = grant.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let form: Form = form.chain(settings.token_args.iter().cloned()).collect();
        let (status, answer) = self.post("token_endpoint", form, &settings.token_lines, who).await?;
        if status != 200 {
            let error = answer.get("error").and_then(Value::as_str).unwrap_or("the issuer refuses");
            return Err(Failure::Refused(error.to_owned()));
        }
        Ok(Tokens::of(&answer))
    }

    /// Asks what a token is worth (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Result<Record, Failure> {
        let settings = &self.settings;
        let mut form: Form = vec![
            (settings.introspection_token_param.clone(), token.to_owned()),
            ("token_type_hint".to_owned(), settings.introspection_hint.clone()),
        ];
        form.extend(settings.introspection_args.iter().cloned());
        let (status, answer) = self.post("introspection_endpoint", form, &settings.introspection_lines, None).await?;
        if status != 200 {
            return Err(Failure::Trouble(format!("introspection was answered {status}")));
        }
        let active = answer.get("active") == Some(&Value::Bool(true));
        if settings.introspection_check_active && !active {
            return Err(Failure::Refused("the token is not active".to_owned()));
        }
        Ok(answer)
    }

    /// Asks whose a token is (OpenID Connect Core 1.0, section 5.3).
    pub async fn user_info(&self, token: &str) -> Result<Record, Failure> {
        let url = self.endpoint("userinfo_endpoint").await?;
        let mut fields: Fields = [("Accept", "application/json")].into_iter().collect();
        fields.set("Authorization", format!("Bearer {token}").as_bytes());
        set_all(&mut fields, &self.settings.userinfo_lines);
        let request = HttpRequest { method: "GET".to_owned(), url, fields, content: sdk::Bytes::new() };
        let response = self.client.send(request).await.map_err(trouble)?;
        match response.status {
            200 => object(&response),
            401 | 403 => Err(Failure::Refused("the issuer does not know the token".to_owned())),
            status => Err(Failure::Trouble(format!("the user info endpoint answered {status}"))),
        }
    }

    /// Ends a token (RFC 7009), where the issuer offers that.
    pub async fn revoke(&self, token: &str, hint: &str) -> Result<(), Failure> {
        let form = vec![
            (self.settings.revocation_token_param.clone(), token.to_owned()),
            ("token_type_hint".to_owned(), hint.to_owned()),
        ];
        self.post("revocation_endpoint", form, &[], None).await.map(drop)
    }

    /// The metadata of the issuer.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, Failure> {
        self.issuer.metadata(&self.client).await.map_err(Failure::Trouble)
    }

    /// Whether there is an endpoint of that name.
    pub async fn has(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.settings.endpoint(name).is_some() || self.metadata().await?.text(name).is_some())
    }

    /// An endpoint, by the configuration or else by the issuer.
    pub async fn endpoint(&self, name: &str) -> Result<Url, Failure> {
        let found = match self.settings.endpoint(name) {
            Some(url) => Some(url.to_owned()),
            None => self.metadata().await?.text(name).map(str::to_owned),
        };
        let found = found.ok_or_else(|| Failure::Trouble(format!("the issuer has no {name}")))?;
        Url::parse(&found).map_err(|why| Failure::Trouble(format!("{name}: {why}")))
    }

    /// The endpoint for those who show a certificate (RFC 8705, section 5).
    async fn proving_endpoint(&self, name: &str) -> Result<Url, Failure> {
        if let Some(url) = self.settings.endpoint(&format!("mtls_{name}")) {
            return Url::parse(url).map_err(|why| Failure::Trouble(format!("mtls_{name}: {why}")));
        }
        if self.settings.endpoint(name).is_none()
            && let Some(url) = self.metadata().await?.alias(name)
        {
            return Url::parse(url).map_err(|why| Failure::Trouble(format!("{name}: {why}")));
        }
        self.endpoint(name).await
    }

    async fn post(
        &self,
        endpoint: &str,
        mut form: Form,
        lines: &[(String, String)],
        who: Option<Credentials<'_>>,
    ) -> Result<(u16, Record), Failure> {
        let proving = self.proving.as_ref().filter(|_| self.settings.client.auth == Some(ClientAuth::Tls));
        let url = match proving {
            Some(_) => self.proving_endpoint(endpoint).await?,
            None => self.endpoint(endpoint).await?,
        };
        let mut fields: Fields =
            [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")]
                .into_iter()
                .collect();
        self.authenticate(&url, &mut fields, &mut form, who).await?;
        set_all(&mut fields, lines);
        let content = Serializer::new(String::new()).extend_pairs(&form).finish();
        let request = HttpRequest { method: "POST".to_owned(), url, fields, content: content.into() };
        let response = proving.unwrap_or(&self.client).send(request).await.map_err(trouble)?;
        // A revocation has no content.
        let answer = if response.content.is_empty() { Record::new() } else { object(&response)? };
        match response.status {
            status @ (200 | 400 | 401 | 403) => Ok((status, answer)),
            status => Err(Failure::Trouble(format!("{endpoint} answered {status}"))),
        }
    }

    /// Shows who asks.
    async fn authenticate(
        &self,
        url: &Url,
        fields: &mut Fields,
        form: &mut Form,
        who: Option<Credentials<'_>>,
    ) -> Result<(), Failure> {
        let settings = &self.settings;
        let own = settings.client.id.as_deref();
        let own = own.map(|id| Credentials { id, secret: settings.client.secret.as_deref() });
        // A caller shows itself by what it has shown here.
        let is_caller = who.is_some();
        let Some(who) = who.or(own) else { return Ok(()) };
        let by_secret = [ClientAuth::Basic, ClientAuth::Post, ClientAuth::SecretJwt];
        let method = settings.client.auth.filter(|method| !is_caller || by_secret.contains(method));
        let method = match (method, who.secret) {
            (Some(method), _) => method,
            (None, None) => ClientAuth::None,
            (None, Some(_)) => {
                let metadata = self.metadata().await?;
                let supports = |name| metadata.supports("token_endpoint_auth_methods_supported", name);
                let post_only = !supports("client_secret_basic") && supports("client_secret_post");
                if post_only { ClientAuth::Post } else { ClientAuth::Basic }
            }
        };
        let secret = who.secret.unwrap_or_default();
        match method {
            ClientAuth::Basic => {
                let escape = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = STANDARD.encode(format!("{}:{}", escape(who.id), escape(secret)));
                fields.set("Authorization", format!("Basic {pair}").as_bytes());
            }
            ClientAuth::Post => {
                form.push(("client_id".to_owned(), who.id.to_owned()));
                form.push(("client_secret".to_owned(), secret.to_owned()));
            }
            ClientAuth::SecretJwt | ClientAuth::PrivateKeyJwt => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_id".to_owned(), who.id.to_owned()));
                form.push(("client_assertion_type".to_owned(), kind.to_owned()));
                let assertion = settings.client.assertion(who.id, secret, url);
                let assertion =
                    assertion.ok_or_else(|| Failure::Trouble("an assertion cannot be signed".to_owned()))?;
                form.push(("client_assertion".to_owned(), assertion));
            }
            ClientAuth::Tls | ClientAuth::None => form.push(("client_id".to_owned(), who.id.to_owned())),
        }
        Ok(())
    }
}

impl Tokens {
    /// Those of an issuer's answer.
    fn of(answer: &Record) -> Tokens {
        let text = |field: &str| answer.get(field).and_then(Value::as_str).map(str::to_owned);
        let seconds = answer.get("expires_in").and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        });
        let ends = seconds.map(|seconds: u64| now().saturating_add(seconds));
        Tokens { access: text("access_token"), id: text("id_token"), refresh: text("refresh_token"), ends }
    }

    /// As a session keeps them.
    pub fn to_value(&self) -> Value {
        json!({ "access_token": self.access, "id_token": self.id, "refresh_token": self.refresh, "ends": self.ends })
    }

    pub fn from_value(value: &Value) -> Tokens {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let ends = value.get("ends").and_then(Value::as_u64);
        Tokens { access: text("access_token"), id: text("id_token"), refresh: text("refresh_token"), ends }
    }

    pub fn are_over(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= now())
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn set_all(fields: &mut Fields, lines: &[(String, String)]) {
    for (name, value) in lines {
        if Fields::is_valid_name(name.as_bytes()) && Fields::is_valid_value(value.as_bytes()) {
            fields.set(name, value.as_bytes());
        }
    }
}

fn object(response: &HttpResponse) -> Result<Record, Failure> {
    match serde_json::from_slice(&response.content) {
        Ok(Value::Object(record)) => Ok(record),
        _ => Err(Failure::Trouble("the issuer's answer is no JSON object".to_owned())),
    }
}

fn trouble(error: sdk::HttpError) -> Failure {
    Failure::Trouble(error.to_string())
}

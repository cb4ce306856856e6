//! What is said to an ACME server (RFC 8555) to get a certificate for a name.

use super::key::{AccountKey, base64url};
use super::storage::{Storage, challenge_key};
use sdk::{Bytes, Fields, HttpClient, HttpRequest, HttpResponse, Url};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// A conversation with a server, as the holder of an account.
pub struct Client<'a> {
    http: &'a HttpClient,
    key: &'a AccountKey,
    directory: Value,
    nonce: Option<String>,
    account: Option<String>,
}

/// How long a challenge is answered.
const CHALLENGE: Duration = Duration::from_secs(3600);
/// A link by which another chain of a certificate is found.
const ALTERNATE: &str = "rel=\"alternate\"";
/// How many other chains are looked at.
const CHAINS: usize = 4;
/// Between two looks at something that is not ready.
const PAUSE: Duration = Duration::from_secs(1);
/// How many nonces are tried: servers that are busy, or several behind one name, may not know those that they gave.
const NONCES: usize = 8;
/// How often something is looked at.
const LOOKS: usize = 60;

impl<'a> Client<'a> {
    /// Asks the server where its resources are.
    pub async fn new(http: &'a HttpClient, key: &'a AccountKey, directory: &str) -> Result<Client<'a>, String> {
        let response = send(http, "GET", directory, Bytes::new()).await?;
        if response.status != 200 {
            return Err(format!("{directory}: the server answers {}", response.status));
        }
        let directory = json_of(&response)?;
        Ok(Client { http, key, directory, nonce: None, account: None })
    }

    /// Makes the account, or finds the one of this key.
    pub async fn account(&mut self, email: &str, binding: Option<(&str, &str)>) -> Result<(), String> {
        let url = self.place("newAccount")?;
        let mut payload = json!({ "termsOfServiceAgreed": true, "contact": [format!("mailto:{email}")] });
        if let Some((kid, secret)) = binding {
            payload["externalAccountBinding"] = self.key.bind(kid, secret, &url)?;
        }
        let response = self.post(&url, &payload.to_string()).await?;
        self.account = Some(location(&response)?);
        Ok(())
    }

    /// Orders a certificate for a name. What is to be answered for challenges goes into `storage` before the server
    /// asks.
    pub async fn order(
        &mut self,
        host: &str,
        request: &[u8],
        preferred_chain: Option<&str>,
        storage: &Storage,
    ) -> Result<String, String> {
        let kind = if host.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        let payload = json!({ "identifiers": [{ "type": kind, "value": host }] });
        let response = self.post(&self.place("newOrder")?, &payload.to_string()).await?;
        let (order_url, order) = (location(&response)?, json_of(&response)?);
        let authorizations = order["authorizations"].as_array().ok_or("the order has no authorizations")?;
        for authorization in authorizations {
            self.authorize(authorization.as_str().unwrap_or_default(), storage).await?;
        }
        let finalize = order["finalize"].as_str().ok_or("the order cannot be finalized")?;
        self.post(finalize, &json!({ "csr": base64url(request) }).to_string()).await?;
        let order = self.settled(&order_url).await?;
        let url = order["certificate"].as_str().ok_or("the order has no certificate")?;
        self.certificate(url, preferred_chain).await
    }

    /// Proves that a name is ours.
    async fn authorize(&mut self, url: &str, storage: &Storage) -> Result<(), String> {
        let authorization = json_of(&self.post(url, "").await?)?;
        if authorization["status"] == "valid" {
            return Ok(());
        }
        let challenges = authorization["challenges"].as_array().map_or(&[][..], Vec::as_slice);
        let challenge = challenges.iter().find(|challenge| challenge["type"] == "http-01");
        let challenge = challenge.ok_or("the server offers no challenge by HTTP")?;
        let (Some(token), Some(place)) = (challenge["token"].as_str(), challenge["url"].as_str()) else {
            return Err("the challenge is incomplete".to_owned());
        };
        if !token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)) {
            return Err("the token of the challenge is not one".to_owned());
        }
        let answer = format!("{token}.{}", self.key.thumbprint());
        storage.put(&challenge_key(token), &answer, Some(CHALLENGE)).await?;
        self.post(place, "{}").await?;
        self.settled(url).await.map(drop)
    }

    /// What has become of an order or an authorization, once that is decided.
    async fn settled(&mut self, url: &str) -> Result<Value, String> {
        for _ in 0..LOOKS {
            let state = json_of(&self.post(url, "").await?)?;
            match state["status"].as_str() {
                Some("valid") => return Ok(state),
                Some("pending" | "ready" | "processing") => sleep(PAUSE).await,
                other => {
                    let why = state["challenges"].as_array().into_iter().flatten().find_map(|c| problem(&c["error"]));
                    let why = why.or_else(|| problem(&state["error"])).unwrap_or_default();
                    return Err(format!("{}: {why}", other.unwrap_or("no status")));
                }
            }
        }
        Err("the server does not come to a decision".to_owned())
    }

    /// The chain, in PEM; of several, that whose last certificate is issued by the one that is preferred.
    async fn certificate(&mut self, url: &str, preferred: Option<&str>) -> Result<String, String> {
        let response = self.post(url, "").await?;
        let usual = text_of(&response)?;
        let Some(preferred) = preferred else { return Ok(usual) };
        let links = response.fields.get_all("Link").filter_map(|line| std::str::from_utf8(line).ok());
        let others: Vec<String> = links.filter_map(alternate).take(CHAINS).collect();
        if is_issued_by(&usual, preferred) {
            return Ok(usual);
        }
        for url in others {
            let chain = text_of(&self.post(&url, "").await?)?;
            if is_issued_by(&chain, preferred) {
                return Ok(chain);
            }
        }
        tracing::warn!("acme: the server has no chain of the preferred one");
        Ok(usual)
    }

    /// Sends a signed request; again where the server wants another nonce.
    async fn post(&mut self, url: &str, payload: &str) -> Result<HttpResponse, String> {
        let mut last = String::new();
        for _ in 0..NONCES {
            let nonce = match self.nonce.take() {
                Some(nonce) => nonce,
                None => {
                    let response = send(self.http, "HEAD", &self.place("newNonce")?, Bytes::new()).await?;
                    nonce_of(&response).ok_or("the server gives no nonce")?
                }
            };
            let mut header = json!({ "nonce": nonce, "url": url });
            match &self.account {
                Some(account) => header["kid"] = account.as_str().into(),
                None => header["jwk"] = self.key.public(),
            }
            let signed = self.key.sign(header, payload)?;
            let response = send(self.http, "POST", url, signed.to_string().into()).await?;
            self.nonce = nonce_of(&response);
            if (200..300).contains(&response.status) {
                return Ok(response);
            }
            let answer: Value = serde_json::from_slice(&response.content).unwrap_or_default();
            last = problem(&answer).unwrap_or_else(|| format!("the server answers {}", response.status));
            if answer["type"].as_str().is_none_or(|kind| !kind.ends_with(":badNonce")) {
                break;
            }
        }
        Err(last)
    }

    fn place(&self, resource: &str) -> Result<String, String> {
        self.directory[resource].as_str().map(str::to_owned).ok_or_else(|| format!("the server has no {resource}"))
    }
}

async fn send(http: &HttpClient, method: &str, url: &str, content: Bytes) -> Result<HttpResponse, String> {
    let url = Url::parse(url)?;
    let place = url.to_string();
    let fields: Fields = [("Content-Type", "application/jose+json"), ("User-Agent", "bascule")].into_iter().collect();
    let request = HttpRequest { method: method.to_owned(), url, fields, content };
    http.send(request).await.map_err(|error| format!("{place}: {error}"))
}

fn json_of(response: &HttpResponse) -> Result<Value, String> {
    serde_json::from_slice(&response.content).map_err(|_| "the server's answer is not JSON".to_owned())
}

fn text_of(response: &HttpResponse) -> Result<String, String> {
    String::from_utf8(response.content.to_vec()).map_err(|_| "the server's answer is not text".to_owned())
}

fn location(response: &HttpResponse) -> Result<String, String> {
    response.fields.get_str("Location").map(str::to_owned).ok_or_else(|| "the server names no place".to_owned())
}

fn nonce_of(response: &HttpResponse) -> Option<String> {
    response.fields.get_str("Replay-Nonce").map(str::to_owned)
}

/// What an error document (RFC 7807) says.
fn problem(document: &Value) -> Option<String> {
    let kind = document["type"].as_str()?;
    Some(format!("{} ({kind})", document["detail"].as_str().unwrap_or_default()))
}

/// The place in a `Link` line that leads to another chain.
fn alternate(line: &str) -> Option<String> {
    let (place, rest) = line.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains(ALTERNATE).then(|| place.to_owned())
}

fn is_issued_by(chain: &str, name: &str) -> bool {
    let chain = model::pem::certificates(chain).unwrap_or_default();
    let details = chain.last().and_then(|certificate| sdk::certificates::Details::of(certificate).ok());
    details.is_some_and(|details| details.issuer_common_name.as_deref() == Some(name))
}

//! Credentials that machines and containers are given for the role that they have.

use super::Credentials;
use super::provider::Environment;
use crate::{Bytes, Fields, HttpClient, HttpRequest, Url};

/// Where tasks of ECS ask.
const CONTAINER: &str = "http://169.254.170.2";
/// Where machines ask.
const MACHINE: &str = "http://169.254.169.254";
/// How long a session with the machine's metadata lasts; one is begun for each look-up.
const SESSION_SECONDS: &[u8] = b"60";

/// Those of a container (ECS, or EKS with Pod Identity); `None` outside of one.
pub(super) async fn of_container(
    client: &HttpClient,
    environment: &Environment,
) -> Option<Result<Credentials, String>> {
    let relative = environment.value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
    let url = relative.or_else(|| environment.value("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned))?;
    Some(ask_container(client, environment, &url).await.map_err(|why| format!("the container's credentials: {why}")))
}

async fn ask_container(client: &HttpClient, environment: &Environment, url: &str) -> Result<Credentials, String> {
    let token = match environment.value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?),
        None => environment.value("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
    };
    let fields = token.iter().map(|token| ("Authorization", token.trim())).collect();
    Credentials::from_json(&ask(client, "GET", url, fields).await?)
}

/// Those of the machine (EC2). A session comes first, unless the machine knows none of the kind.
pub(super) async fn of_machine(
    client: &HttpClient,
    environment: &Environment,
    with_session: bool,
) -> Result<Credentials, String> {
    let base = environment.value("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(MACHINE).trim_end_matches('/');
    let session = match with_session {
        true => {
            let asked = [("X-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS)].into_iter().collect();
            let token = ask(client, "PUT", &format!("{base}/latest/api/token"), asked).await;
            Some(token.map_err(|why| format!("the machine's credentials: {why}"))?)
        }
        false => None,
    };
    let fields: Fields = session.iter().map(|token| ("X-aws-ec2-metadata-token", &token[..])).collect();
    let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
    let named = ask(client, "GET", &roles, fields.clone()).await?;
    let role = String::from_utf8_lossy(&named);
    let role = role.lines().next().filter(|role| !role.is_empty()).ok_or("the machine has no role")?;
    Credentials::from_json(&ask(client, "GET", &format!("{roles}{role}"), fields).await?)
}

async fn ask(client: &HttpClient, method: &str, url: &str, fields: Fields) -> Result<Bytes, String> {
    let request = HttpRequest { method: method.to_owned(), url: Url::parse(url)?, fields, content: Bytes::new() };
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    if response.status == 200 { Ok(response.content) } else { Err(format!("status {}", response.status)) }
}

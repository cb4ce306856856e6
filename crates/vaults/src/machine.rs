//! Logins of HashiCorp Vault with what a cloud says of the machine: AWS, Azure and Google Cloud.

use crate::Surroundings;
use crate::gcp::Account;
use crate::http::{Http, escaped};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use sdk::aws::{AssumeRole, CredentialProvider, CredentialSettings, Credentials, Signer};
use sdk::{Config, Fields, HttpRequest, Url};
use serde_json::{Map, Value, json};

/// What a machine logs in with.
pub struct Machine {
    role: String,
    /// Below `/v1`.
    path: String,
    proof: Proof,
}

enum Proof {
    /// Who this is to AWS: a signed question about that, which the vault puts in our place.
    Caller { url: Url, signer: Signer, credentials: CredentialProvider },
    /// The identity document of a machine of AWS.
    Document { metadata: String, nonce: String },
    /// The token of a machine of Azure.
    ManagedIdentity { metadata: String },
    /// The token of a machine of Google Cloud.
    Instance { metadata: String },
    /// A text that Google Cloud signs for a service account, for whoever may have it do so.
    Signed { iam: String, http: Http, account: Account, name: String, seconds: i64 },
}

const CALLER: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const MACHINE: &str = "http://169.254.169.254";
const GOOGLE: &str = "metadata.google.internal";
const IAM: &str = "https://iamcredentials.googleapis.com";
const AZURE_RESOURCE: &str = "https://management.azure.com/";

impl Machine {
    /// By the name of the method; `None` for a method of another kind.
    pub fn new(method: &str, config: Config, surroundings: &Surroundings) -> Result<Option<Machine>, String> {
        let environment = &surroundings.environment;
        let needed = |field: &str| {
            config.text(field).map(str::to_owned).ok_or_else(|| format!("config.{field}: this way to log in needs it"))
        };
        let metadata = |variable: &str| environment.value(variable).unwrap_or(MACHINE).trim_end_matches('/').to_owned();
        let (cloud, proof) = match method {
            "aws_iam" => ("aws", Proof::caller(config, surroundings, needed("aws_auth_region")?)?),
            "aws_ec2" => {
                let metadata = metadata("AWS_EC2_METADATA_SERVICE_ENDPOINT");
                ("aws", Proof::Document { metadata, nonce: needed("aws_auth_nonce")? })
            }
            "azure" => {
                let metadata = metadata("AZURE_POD_IDENTITY_AUTHORITY_HOST");
                ("azure", Proof::ManagedIdentity { metadata })
            }
            "gcp_gce" => {
                let host = environment.value("GCE_METADATA_HOST").unwrap_or(GOOGLE);
                ("gcp", Proof::Instance { metadata: format!("http://{host}") })
            }
            "gcp_iam" => {
                let seconds = config.integer("gcp_jwt_exp").ok_or("config.gcp_jwt_exp: this way to log in needs it")?;
                let (iam, http) = (IAM.to_owned(), Http::new(&surroundings.env, true));
                let (account, name) = (Account::of(environment)?, needed("gcp_service_account")?);
                ("gcp", Proof::Signed { iam, http, account, name, seconds })
            }
            _ => return Ok(None),
        };
        let path = needed(&format!("{cloud}_login_path"))?;
        let path = path.trim_matches('/').trim_start_matches("v1/").to_owned();
        Ok(Some(Machine { role: needed(&format!("{cloud}_auth_role"))?, path, proof }))
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the vault is sent.
    pub async fn content(&self, http: &Http) -> Result<Value, String> {
        let role = &self.role;
        match &self.proof {
            Proof::Caller { url, signer, credentials } => {
                Ok(signed(role, url, signer, &credentials.credentials().await?))
            }
            Proof::Document { metadata, nonce } => {
                let lifetime = Fields::from_iter([("X-aws-ec2-metadata-token-ttl-seconds", "60")]);
                let session = http.text("PUT", &format!("{metadata}/latest/api/token"), lifetime).await?;
                let session = Fields::from_iter([("X-aws-ec2-metadata-token", session)]);
                let url = format!("{metadata}/latest/dynamic/instance-identity/pkcs7");
                let document = http.text("GET", &url, session).await?.replace(['\r', '\n'], "");
                Ok(json!({ "role": role, "pkcs7": document, "nonce": nonce }))
            }
            Proof::ManagedIdentity { metadata } => {
                let asked = || Fields::from_iter([("Metadata", "true")]);
                let resource = escaped(AZURE_RESOURCE);
                let url =
                    format!("{metadata}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}");
                let token = http.get(&url, asked()).await?.check("the machine's token")?;
                let url = format!("{metadata}/metadata/instance?api-version=2021-02-01");
                let machine = http.get(&url, asked()).await?.check("what the machine is")?;
                let field = |name: &str| machine.text(&["compute", name]).unwrap_or_default();
                Ok(json!({
                    "role": role,
                    "jwt": token.needed(&["access_token"])?,
                    "subscription_id": field("subscriptionId"),
                    "resource_group_name": field("resourceGroupName"),
                    "vm_name": field("name"),
                    "vmss_name": field("vmScaleSetName"),
                }))
            }
            Proof::Instance { metadata } => {
                let audience = escaped(&format!("http://vault/{role}"));
                let path = "computeMetadata/v1/instance/service-accounts/default/identity";
                let url = format!("{metadata}/{path}?audience={audience}&format=full");
                let token = http.text("GET", &url, Fields::from_iter([("Metadata-Flavor", "Google")])).await?;
                Ok(json!({ "role": role, "jwt": token.trim() }))
            }
            Proof::Signed { iam, http, account, name, seconds } => {
                let end = Timestamp::now().as_second() + seconds;
                let claims = json!({ "sub": name, "aud": format!("vault/{role}"), "exp": end });
                let url = format!("{iam}/v1/projects/-/serviceAccounts/{}:signJwt", escaped(name));
                let token = account.token(http).await?.text;
                let fields = Fields::from_iter([("Authorization", format!("Bearer {token}"))]);
                let content = json!({ "payload": claims.to_string() });
                let answer = http.post(&url, fields, &content).await?.check("the signature")?;
                Ok(json!({ "role": role, "jwt": answer.needed(&["signedJwt"])? }))
            }
        }
    }
}

impl Proof {
    fn caller(config: Config, surroundings: &Surroundings, region: String) -> Result<Proof, String> {
        let text = |field: &str| config.text(field).map(str::to_owned);
        let given = text("aws_access_key_id").zip(text("aws_secret_access_key"));
        let role = text("aws_assume_role_arn").map(|arn| AssumeRole {
            arn,
            session_name: text("aws_role_session_name").unwrap_or_default(),
            endpoint: text("aws_sts_endpoint_url"),
        });
        let settings = CredentialSettings {
            given: given.map(|(id, secret)| Credentials::of_user(&id, &secret)),
            region: Some(region.clone()),
            role,
            ..CredentialSettings::default()
        };
        let usual = || format!("https://sts.{region}.{}/", sdk::aws::domain(&region));
        let url = Url::parse(&text("aws_sts_endpoint_url").unwrap_or_else(usual))?;
        let credentials = CredentialProvider::new(&surroundings.env, surroundings.environment.clone(), settings);
        Ok(Proof::Caller { url, signer: Signer { region, service: "sts".to_owned() }, credentials })
    }
}

/// A question to AWS who we are, for the vault to ask.
fn signed(role: &str, url: &Url, signer: &Signer, credentials: &Credentials) -> Value {
    let kind = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    let mut request = HttpRequest {
        method: "POST".to_owned(),
        url: url.clone(),
        fields: Fields::from_iter([kind]),
        content: CALLER.into(),
    };
    signer.sign(&mut request, credentials, Timestamp::now());
    let host = url.uri().authority().map_or("", |authority| authority.as_str());
    let mut lines = Map::from_iter([("Host".to_owned(), json!([host]))]);
    lines.extend(request.fields.iter().map(|(name, value)| (name.to_owned(), json!([String::from_utf8_lossy(value)]))));
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    json!({
        "role": role,
        "iam_http_request_method": "POST",
        "iam_request_url": encoded(&url.uri().to_string()),
        "iam_request_body": encoded(CALLER),
        "iam_request_headers": encoded(&Value::Object(lines).to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, Http, Machine, Proof};
    use crate::testing::{completed, reply, surroundings};
    use crate::{Vault, hcv};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sdk::Config;
    use sdk::testing::Server;
    use serde_json::{Value, json};
    use tokio::task::JoinHandle;

    /// A look-up in a vault at the server, with what the environment says of the machine.
    fn ask(server: &Server, variables: &[(&str, &str)], config: Value) -> JoinHandle<Result<Option<String>, String>> {
        let mut config = completed("hcv", config);
        config.insert("port".to_owned(), server.address().port().into());
        let vault: Box<dyn Vault> = hcv::open(Config::new(&config), &surroundings(variables)).unwrap();
        tokio::spawn(async move { vault.fetch("app", None).await })
    }

    /// Takes the login, whose path must be that, and answers the look-up; what the vault was sent.
    async fn login(server: &Server, path: &str) -> Value {
        let (head, content) = reply(server, 200, r#"{"auth": {"client_token": "t", "lease_duration": 60}}"#).await;
        assert!(head.starts_with(&format!("POST /v1/{path} ")), "{head}");
        let (head, _) = reply(server, 200, r#"{"data": {}}"#).await;
        assert!(head.contains("x-vault-token: t\r\n"), "{head}");
        serde_json::from_str(&content).unwrap()
    }

    #[tokio::test]
    async fn a_role_of_aws() {
        let server = Server::start().await;
        let config = json!({
            "auth_method": "aws_iam", "aws_auth_role": "r", "aws_auth_region": "eu-west-1",
            "aws_access_key_id": "id", "aws_secret_access_key": "planted", "aws_login_path": "/v1/auth/other/login",
        });
        let asked = ask(&server, &[], config);
        let sent = login(&server, "auth/other/login").await;
        let decoded = |field: &str| {
            let octets = BASE64_STANDARD.decode(sent[field].as_str().unwrap()).unwrap();
            String::from_utf8(octets).unwrap()
        };
        assert_eq!(sent["role"], "r");
        assert_eq!(decoded("iam_request_url"), "https://sts.eu-west-1.amazonaws.com/");
        assert_eq!(decoded("iam_request_body"), super::CALLER);
        let lines: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap();
        assert_eq!(lines["Host"][0], "sts.eu-west-1.amazonaws.com");
        let authorization = lines["Authorization"][0].as_str().unwrap();
        assert!(authorization.contains("/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date"));
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn a_machine_of_aws() {
        let server = Server::start().await;
        let base = format!("http://{}", server.address());
        let config = json!({ "auth_method": "aws_ec2", "aws_auth_role": "r", "aws_auth_nonce": "n" });
        let asked = ask(&server, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &base)], config);
        let (head, _) = reply(&server, 200, "session").await;
        assert!(head.starts_with("PUT /latest/api/token "), "{head}");
        let (head, _) = reply(&server, 200, "MIA\nMIB\n").await;
        assert!(head.contains("x-aws-ec2-metadata-token: session\r\n"), "{head}");
        let sent = login(&server, "auth/aws/login").await;
        assert_eq!(sent, json!({ "role": "r", "pkcs7": "MIAMIB", "nonce": "n" }));
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn a_machine_of_azure() {
        let server = Server::start().await;
        let base = format!("http://{}", server.address());
        let config = json!({ "auth_method": "azure", "azure_auth_role": "r" });
        let asked = ask(&server, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &base)], config);
        let (head, _) = reply(&server, 200, r#"{"access_token": "j"}"#).await;
        assert!(head.contains("resource=https%3A%2F%2Fmanagement.azure.com%2F "), "{head}");
        let machine = r#"{"compute": {"subscriptionId": "s", "resourceGroupName": "g", "name": "v"}}"#;
        reply(&server, 200, machine).await;
        let sent = login(&server, "auth/azure/login").await;
        assert_eq!(sent["jwt"], "j");
        assert_eq!(sent["subscription_id"], "s");
        assert_eq!(sent["resource_group_name"], "g");
        assert_eq!(sent["vm_name"], "v");
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn a_machine_of_google() {
        let server = Server::start().await;
        let host = server.address().to_string();
        let config = json!({ "auth_method": "gcp_gce", "gcp_auth_role": "r" });
        let asked = ask(&server, &[("GCE_METADATA_HOST", &host)], config);
        let (head, _) = reply(&server, 200, "a.b.c").await;
        assert!(head.contains("/identity?audience=http%3A%2F%2Fvault%2Fr&format=full "), "{head}");
        let sent = login(&server, "auth/gcp/login").await;
        assert_eq!(sent, json!({ "role": "r", "jwt": "a.b.c" }));
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn google_signs_for_a_service_account() {
        let server = Server::start().await;
        let (host, surroundings) = (server.address().to_string(), surroundings(&[]));
        let proof = Proof::Signed {
            iam: format!("http://{host}"),
            http: Http::new(&surroundings.env, true),
            account: Account::Machine(host),
            name: "me@p.test".to_owned(),
            seconds: 900,
        };
        let machine = Machine { role: "r".to_owned(), path: "auth/gcp/login".to_owned(), proof };
        let unused = Http::new(&surroundings.env, false);
        let content = tokio::spawn(async move { machine.content(&unused).await });
        reply(&server, 200, r#"{"access_token": "t"}"#).await;
        let (head, asked) = reply(&server, 200, r#"{"signedJwt": "a.b.c"}"#).await;
        assert!(head.starts_with("POST /v1/projects/-/serviceAccounts/me%40p.test:signJwt "), "{head}");
        assert!(head.contains("authorization: Bearer t\r\n"), "{head}");
        let asked: Value = serde_json::from_str(&asked).unwrap();
        let claims: Value = serde_json::from_str(asked["payload"].as_str().unwrap()).unwrap();
        assert_eq!(claims["sub"], "me@p.test");
        assert_eq!(claims["aud"], "vault/r");
        let left = claims["exp"].as_i64().unwrap() - jiff::Timestamp::now().as_second();
        assert!((840..=900).contains(&left), "{left}");
        assert_eq!(content.await.unwrap(), Ok(json!({ "role": "r", "jwt": "a.b.c" })));
    }
}

//! HashiCorp Vault (`hcv`): its key/value secrets engine, versions 1 and 2.

use crate::bearer::{Bearer, Token, fresh};
use crate::http::{Answer, Http, escaped_path};
use crate::machine::Machine;
use crate::{Surroundings, Vault};
use sdk::{BoxFuture, Config, Fields, OwnCertificate};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

struct HashiCorp {
    http: Http,
    /// `http://host:port/v1`.
    base: String,
    mount: String,
    versioned: bool,
    namespace: Option<String>,
    login: Login,
    bearer: Bearer,
}

/// What a token is got for.
enum Login {
    /// It is given.
    Token(String),
    Kubernetes {
        path: String,
        role: String,
        file: String,
    },
    AppRole {
        path: String,
        role: String,
        secret: SecretId,
    },
    /// The token of an OAuth 2.0 server, for its own credentials.
    Jwt {
        role: String,
        endpoint: String,
        form: Vec<(&'static str, String)>,
    },
    /// The certificate that the server is shown.
    Certificate {
        role: Option<String>,
    },
    /// What a cloud says of this machine.
    Machine(Box<Machine>),
}

/// The secret of a role.
struct SecretId {
    given: Given,
    /// `given` is a token that the secret is unwrapped with; that works once.
    wrapped: bool,
    unwrapped: OnceCell<String>,
}

enum Given {
    Text(String),
    File(String),
}

const KUBERNETES_TOKEN: &str = "/run/secrets/kubernetes.io/serviceaccount/token";

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    let text = |field: &str| config.text(field).unwrap_or_default().to_owned();
    let host = text("host");
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let port = config.integer::<u16>("port").unwrap_or(8200);
    let http = Http::new(&surroundings.env, config.flag("ssl_verify"));
    let http = if config.text("auth_method") == Some("cert") { http.showing(certificate(config)?) } else { http };
    Ok(Box::new(HashiCorp {
        http,
        base: format!("{}://{host}:{port}/v1", text("protocol")),
        mount: path(&text("mount")),
        versioned: config.text("kv") == Some("v2"),
        namespace: config.text("namespace").map(str::to_owned),
        login: Login::new(config, surroundings)?,
        bearer: Bearer::default(),
    }))
}

impl Vault for HashiCorp {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(self.secret(resource, version))
    }
}

impl HashiCorp {
    async fn secret(&self, name: &str, version: Option<u64>) -> Result<Option<String>, String> {
        let (base, mount, name) = (&self.base, &self.mount, escaped_path(name));
        let url = match (self.versioned, version) {
            (true, Some(version)) => format!("{base}/{mount}/data/{name}?version={version}"),
            (true, None) => format!("{base}/{mount}/data/{name}"),
            (false, Some(_)) => return Err("there are no versions in this secrets engine (kv v1)".to_owned()),
            (false, None) => format!("{base}/{mount}/{name}"),
        };
        let mut answer = self.http.get(&url, self.fields(&self.token().await?)).await?;
        if answer.status == 403 && !matches!(self.login, Login::Token(_)) {
            // The token may have been revoked.
            self.bearer.forget().await;
            answer = self.http.get(&url, self.fields(&self.token().await?)).await?;
        }
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = answer.check("the secret")?;
        let way: &[&str] = if self.versioned { &["data", "data"] } else { &["data"] };
        let data = way.iter().try_fold(&answer.content, |value, name| value.get(name));
        let data = data.filter(|data| data.is_object()).ok_or("no data in the answer; is `kv` right?")?;
        Ok(Some(data.to_string()))
    }

    async fn token(&self) -> Result<String, String> {
        let mut known = self.bearer.lock().await;
        if let Some(token) = fresh(&known) {
            return Ok(token);
        }
        let token = self.log_in().await.map_err(|why| format!("cannot log in: {why}"))?;
        let text = token.text.clone();
        *known = Some(token);
        Ok(text)
    }

    async fn log_in(&self) -> Result<Token, String> {
        let of_method = |path: &str| format!("auth/{path}/login");
        let (path, content) = match &self.login {
            Login::Token(token) => return Ok(Token::new(token, None)),
            Login::Kubernetes { path, role, file } => (of_method(path), json!({ "role": role, "jwt": read(file)? })),
            Login::AppRole { path, role, secret } => {
                (of_method(path), json!({ "role_id": role, "secret_id": self.secret_id(secret).await? }))
            }
            Login::Jwt { role, endpoint, form } => {
                let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = self.http.post_form(endpoint, &form).await?.check("the token endpoint")?;
                (of_method("jwt"), json!({ "role": role, "jwt": answer.needed(&["access_token"])? }))
            }
            Login::Certificate { role } => {
                (of_method("cert"), role.as_ref().map_or_else(|| json!({}), |role| json!({ "name": role })))
            }
            Login::Machine(machine) => (machine.path().to_owned(), machine.content(&self.http).await?),
        };
        let answer = self.post(&path, self.fields(""), &content).await?;
        Ok(Token::new(answer.needed(&["auth", "client_token"])?, answer.seconds(&["auth", "lease_duration"])))
    }

    async fn secret_id(&self, secret: &SecretId) -> Result<String, String> {
        let given = match &secret.given {
            Given::Text(text) => text.clone(),
            Given::File(file) => read(file)?,
        };
        if !secret.wrapped {
            return Ok(given);
        }
        let unwrap = async {
            let answer = self.post("sys/wrapping/unwrap", self.fields(&given), &json!({})).await?;
            answer.needed(&["data", "secret_id"]).map(str::to_owned)
        };
        secret.unwrapped.get_or_try_init(|| unwrap).await.cloned()
    }

    async fn post(&self, path: &str, fields: Fields, content: &Value) -> Result<Answer, String> {
        self.http.post(&format!("{}/{path}", self.base), fields, content).await?.check(path)
    }

    fn fields(&self, token: &str) -> Fields {
        let mut fields = Fields::from_iter([("X-Vault-Request", "true")]);
        if !token.is_empty() {
            fields.set("X-Vault-Token", token.as_bytes());
        }
        if let Some(namespace) = &self.namespace {
            fields.set("X-Vault-Namespace", namespace.as_bytes());
        }
        fields
    }
}

impl Login {
    fn new(config: Config, surroundings: &Surroundings) -> Result<Login, String> {
        if let Some(machine) = Machine::new(config.text("auth_method").unwrap_or_default(), config, surroundings)? {
            return Ok(Login::Machine(Box::new(machine)));
        }
        let text = |field: &str| config.text(field).unwrap_or_default().to_owned();
        let needed = |field: &str| needed(config, field).map(str::to_owned);
        match config.text("auth_method") {
            Some("kubernetes") => Ok(Login::Kubernetes {
                path: path(&text("kube_auth_path")),
                role: needed("kube_role")?,
                file: config.text("kube_api_token_file").unwrap_or(KUBERNETES_TOKEN).to_owned(),
            }),
            Some("approle") => {
                let file = config.text("approle_secret_id_file").map(|file| Given::File(file.to_owned()));
                let given = file.map_or_else(|| needed("approle_secret_id").map(Given::Text), Ok)?;
                let wrapped = config.flag("approle_response_wrapping");
                Ok(Login::AppRole {
                    path: path(&text("approle_auth_path")),
                    role: needed("approle_role_id")?,
                    secret: SecretId { given, wrapped, unwrapped: OnceCell::new() },
                })
            }
            Some("jwt") => {
                let mut form = vec![
                    ("grant_type", "client_credentials".to_owned()),
                    ("client_id", needed("oauth2_client_id")?),
                    ("client_secret", needed("oauth2_client_secret")?),
                ];
                let audiences = text("oauth2_audiences");
                let audiences = audiences.split(',').map(str::trim).filter(|audience| !audience.is_empty());
                form.extend(audiences.map(|audience| ("audience", audience.to_owned())));
                Ok(Login::Jwt { role: text("oauth2_role_name"), endpoint: needed("oauth2_token_endpoint")?, form })
            }
            Some("cert") => Ok(Login::Certificate { role: config.text("cert_auth_role_name").map(str::to_owned) }),
            _ => needed("token").map(Login::Token),
        }
    }
}

fn needed<'a>(config: Config<'a>, field: &str) -> Result<&'a str, String> {
    config.text(field).ok_or_else(|| format!("config.{field}: this way to log in needs it"))
}

/// The certificate to log in with: texts, or files with them.
fn certificate(config: Config) -> Result<OwnCertificate, String> {
    let text = |field: &str| {
        let given = needed(config, field)?;
        if given.starts_with("-----BEGIN") { Ok(given.to_owned()) } else { read(given) }
    };
    let (chain, key) = (text("cert_auth_cert")?, text("cert_auth_cert_key")?);
    OwnCertificate::parse(&chain, &key).map_err(|why| format!("config.cert_auth_cert, cert_auth_cert_key: {why}"))
}

/// A path of the vault's, however it was given.
fn path(text: &str) -> String {
    escaped_path(text.trim_matches('/'))
}

fn read(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{completed, reply, surroundings};
    use sdk::testing::Server;
    use std::sync::Arc;

    /// With the server's address and a configuration beside it.
    fn vault(server: &Server, config: Value) -> Arc<dyn Vault> {
        let mut config = completed("hcv", config);
        config.insert("port".to_owned(), server.address().port().into());
        open(Config::new(&config), &surroundings(&[])).unwrap().into()
    }

    async fn fetch(vault: &Arc<dyn Vault>, version: Option<u64>) -> Result<Option<String>, String> {
        vault.fetch("my app/db", version).await
    }

    #[tokio::test]
    async fn both_versions_of_the_engine() {
        let server = Server::start().await;
        let one = vault(&server, json!({ "token": "t", "namespace": "n" }));
        let asked = tokio::spawn(async move { fetch(&one, None).await });
        let (head, _) = reply(&server, 200, r#"{"data": {"user": "u"}}"#).await;
        assert!(head.starts_with("GET /v1/secret/my%20app/db HTTP"), "{head}");
        assert!(head.contains("x-vault-token: t\r\n") && head.contains("x-vault-namespace: n\r\n"), "{head}");
        assert_eq!(asked.await.unwrap().unwrap().unwrap(), r#"{"user":"u"}"#);
        let two = vault(&server, json!({ "token": "t", "kv": "v2", "mount": "/kv/" }));
        let asked = tokio::spawn({
            let two = Arc::clone(&two);
            async move { fetch(&two, Some(3)).await }
        });
        let (head, _) = reply(&server, 200, r#"{"data": {"data": {"user": "u"}, "metadata": {}}}"#).await;
        assert!(head.starts_with("GET /v1/kv/data/my%20app/db?version=3 HTTP"), "{head}");
        assert_eq!(asked.await.unwrap().unwrap().unwrap(), r#"{"user":"u"}"#);
        for (status, content, expected) in [
            (404, r#"{"errors": []}"#, Ok(None)),
            (403, r#"{"errors": ["planted"]}"#, Err("the secret: status 403".to_owned())),
            (200, r#"{"data": {}}"#, Err("no data in the answer; is `kv` right?".to_owned())),
        ] {
            let asked = tokio::spawn({
                let two = Arc::clone(&two);
                async move { fetch(&two, None).await }
            });
            reply(&server, status, content).await;
            assert_eq!(asked.await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_pod_logs_in_again_when_its_token_is_not_taken_any_more() {
        let server = Server::start().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "of the pod\n").unwrap();
        let config = json!({ "auth_method": "kubernetes", "kube_role": "r", "kube_api_token_file": file.path() });
        let vault = vault(&server, config);
        let asked = tokio::spawn(async move { fetch(&vault, None).await });
        let (head, content) = reply(&server, 200, r#"{"auth": {"client_token": "a", "lease_duration": 60}}"#).await;
        assert!(head.starts_with("POST /v1/auth/kubernetes/login "), "{head}");
        assert_eq!(content, r#"{"role":"r","jwt":"of the pod"}"#);
        reply(&server, 403, "{}").await;
        reply(&server, 200, r#"{"auth": {"client_token": "b", "lease_duration": 60}}"#).await;
        let (head, _) = reply(&server, 200, r#"{"data": {}}"#).await;
        assert!(head.contains("x-vault-token: b\r\n"), "{head}");
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn a_role_with_a_wrapped_secret() {
        let server = Server::start().await;
        let vault = vault(
            &server,
            json!({
                "auth_method": "approle",
                "approle_role_id": "r",
                "approle_secret_id": "wrapping",
                "approle_response_wrapping": true,
            }),
        );
        let asked = tokio::spawn(async move { fetch(&vault, None).await });
        let (head, _) = reply(&server, 200, r#"{"data": {"secret_id": "s"}}"#).await;
        assert!(head.starts_with("POST /v1/sys/wrapping/unwrap "), "{head}");
        assert!(head.contains("x-vault-token: wrapping\r\n"), "{head}");
        let (_, content) = reply(&server, 200, r#"{"auth": {"client_token": "a", "lease_duration": 0}}"#).await;
        assert_eq!(content, r#"{"role_id":"r","secret_id":"s"}"#);
        reply(&server, 200, r#"{"data": {}}"#).await;
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
    }

    #[tokio::test]
    async fn a_certificate_from_files_or_as_text() {
        let server = Server::start().await;
        let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, &cert).unwrap();
        let vault = vault(
            &server,
            json!({
                "auth_method": "cert",
                "cert_auth_cert": file.path(),
                "cert_auth_cert_key": key,
                "cert_auth_role_name": "r",
            }),
        );
        let asked = tokio::spawn(async move { fetch(&vault, None).await });
        let (head, content) = reply(&server, 200, r#"{"auth": {"client_token": "a", "lease_duration": 60}}"#).await;
        assert!(head.starts_with("POST /v1/auth/cert/login "), "{head}");
        assert_eq!(content, r#"{"name":"r"}"#);
        reply(&server, 200, r#"{"data": {}}"#).await;
        assert_eq!(asked.await.unwrap(), Ok(Some("{}".to_owned())));
        let config = json!({ "auth_method": "cert", "cert_auth_cert": cert, "cert_auth_cert_key": "/no/such" });
        let config = completed("hcv", config);
        let refused = open(Config::new(&config), &surroundings(&[])).err().unwrap();
        assert!(refused.starts_with("cannot read /no/such: "), "{refused}");
    }

    #[tokio::test]
    async fn a_token_of_an_oauth_server() {
        let server = Server::start().await;
        let vault = vault(
            &server,
            json!({
                "auth_method": "jwt",
                "oauth2_role_name": "r",
                "oauth2_token_endpoint": format!("http://{}/token", server.address()),
                "oauth2_client_id": "c",
                "oauth2_client_secret": "s",
                "oauth2_audiences": "one, two",
            }),
        );
        let asked = tokio::spawn(async move { fetch(&vault, None).await });
        let (_, form) = reply(&server, 200, r#"{"access_token": "j"}"#).await;
        assert_eq!(form, "grant_type=client_credentials&client_id=c&client_secret=s&audience=one&audience=two");
        let (head, content) = reply(&server, 500, "{}").await;
        assert!(head.starts_with("POST /v1/auth/jwt/login "), "{head}");
        assert_eq!(content, r#"{"role":"r","jwt":"j"}"#);
        assert_eq!(asked.await.unwrap(), Err("cannot log in: auth/jwt/login: status 500".to_owned()));
    }
}

//! The rules of `oauth2`, without sockets.

use super::*;
use sdk::testing::{self, Entries, Kept};
use sdk::{Answer, Args, Directory, RecordStore, SnapshotRef};
use serde_json::json;

const VERIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Its SHA-256.
const CHALLENGE: &str = "ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA";

/// A service with the plugin, and a consumer with the applications `app` and `phone`.
struct Server {
    kept: Kept,
    directory: Directory,
    plugin: Box<dyn Plugin>,
    service: SnapshotRef<entities::Service>,
}

fn object(value: Value) -> sdk::Record {
    value.as_object().cloned().unwrap()
}

fn service() -> SnapshotRef<entities::Service> {
    let record = json!({ "id": Uuid::new_v4().to_string(), "host": "h.test", "protocol": "http", "port": 80 });
    SnapshotRef::from(entities::Service::from_record(&object(record)).unwrap())
}

impl Server {
    fn start(changes: Value) -> Server {
        let mut config = object(json!({
            "scopes": ["email", "profile"], "mandatory_scope": false, "provision_key": "prov",
            "token_expiration": 7200, "enable_authorization_code": true, "enable_implicit_grant": true,
            "enable_client_credentials": true, "enable_password_grant": true, "hide_credentials": true,
            "accept_http_if_already_terminated": true, "anonymous": null, "global_credentials": false,
            "auth_header_name": "authorization", "refresh_token_ttl": 1_209_600, "reuse_refresh_token": false,
            "pkce": "lax", "realm": null
        }));
        config.extend(object(changes));
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", None);
        entries.consumer("guest", None);
        let kept = Kept::default();
        for (client_id, kind) in [("app", "confidential"), ("phone", "public")] {
            let uris = ["https://app.test/cb"];
            let fields = json!({ "client_secret": "sec", "client_type": kind, "redirect_uris": uris });
            let credential = entries.credential_of(&Oauth2.credentials()[0], client_id, &ada, fields);
            let record = object(json!({ "id": credential.id.to_string(), "client_id": client_id }));
            drop(kept.insert(entities::DEFAULT_WORKSPACE, CREDENTIALS, record));
        }
        let env = Env::default().with_records(testing::records(kept.clone()));
        let plugin = testing::configure(&Oauth2, Value::Object(config), &env);
        Server { kept, directory: entries.into(), plugin, service: service() }
    }

    async fn ask(&self, mut exchange: Exchange) -> (Exchange, Option<Answer>) {
        exchange.service = Some(self.service.clone());
        let answer = testing::access_waiting(&*self.plugin, &mut exchange).await;
        (exchange, answer)
    }

    /// A form to an endpoint: the status of the answer, and what it says.
    async fn form(&self, path: &str, form: &str) -> (u16, Value) {
        let lines = [("Content-Type", "application/x-www-form-urlencoded")];
        let mut exchange = testing::exchange_with("POST", path, &lines, self.directory.clone());
        (exchange.client.trusted, exchange.client.https) = (true, true);
        exchange.body = form.to_owned().into();
        let answer = self.ask(exchange).await.1.unwrap();
        assert_eq!(answer.fields.get_str("Cache-Control"), Some("no-store"));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    async fn token(&self, form: &str) -> (u16, Value) {
        self.form("/r/oauth2/token", form).await
    }

    /// The arguments of the URI that the browser is sent to.
    async fn authorize(&self, form: &str) -> Args {
        let base = "provision_key=prov&authenticated_userid=u1";
        let (_, body) = self.form("/r/oauth2/authorize/", &format!("{base}&{form}")).await;
        let uri = body["redirect_uri"].as_str().unwrap();
        Args::parse(uri.split(['?', '#']).next_back().unwrap())
    }

    /// A request to the service with a token, and the answer, if it goes no further.
    async fn call(&self, token: &Value) -> (Exchange, Option<Answer>) {
        let line = format!("bearer {}", token.as_str().unwrap());
        let lines = [("Authorization", line.as_str()), ("X-Authenticated-UserId", "fake")];
        self.ask(testing::exchange_with("GET", "/r", &lines, self.directory.clone())).await
    }
}

fn argument(args: &Args, name: &str) -> String {
    let value = args.get_all(name).next().flatten().unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8(value.into_owned()).unwrap()
}

fn refused(description: &str) -> (u16, Value) {
    (400, json!({ "error": "invalid_request", "error_description": description }))
}

const CLIENT: &str = "grant_type=client_credentials&client_id=app&client_secret=sec";

#[tokio::test]
async fn a_client_acts_for_itself() {
    let server = Server::start(json!({}));
    let (status, granted) = server.token(&format!("{CLIENT}&scope=email&state=s")).await;
    assert_eq!(status, 200);
    assert_eq!(granted["expires_in"], 7200);
    assert_eq!(granted["state"], "s");
    assert!(granted.get("refresh_token").is_none());
    let (exchange, answer) = server.call(&granted["access_token"]).await;
    assert!(answer.is_none());
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Authenticated-Scope"), Some("email"));
    assert_eq!(fields.get_str("X-Authenticated-UserId"), None);
    assert_eq!(fields.get_str("X-Credential-Identifier"), Some("app"));
    assert_eq!(fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(fields.get_str("Authorization"), None);
}

#[tokio::test]
async fn secrets_must_be_right() {
    let server = Server::start(json!({}));
    let invalid = json!({ "error": "invalid_client", "error_description": "Invalid client authentication" });
    for form in ["client_id=app&client_secret=no", "client_id=app", "client_id=who&client_secret=sec", ""] {
        let (status, body) = server.token(&format!("grant_type=client_credentials&{form}")).await;
        assert_eq!(status, 400, "{form}");
        assert_eq!(body, invalid, "{form}");
    }
}

#[tokio::test]
async fn a_code_is_used_once() {
    let server = Server::start(json!({}));
    let args = server.authorize("client_id=app&response_type=code&scope=email&state=st").await;
    assert_eq!(argument(&args, "state"), "st");
    let form =
        format!("grant_type=authorization_code&client_id=app&client_secret=sec&code={}", argument(&args, "code"));
    let (first, second) = tokio::join!(server.token(&form), server.token(&form));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let granted = if first.0 == 200 { first.1 } else { second.1 };
    let (exchange, _) = server.call(&granted["access_token"]).await;
    assert_eq!(exchange.request.fields.get_str("X-Authenticated-UserId"), Some("u1"));
    assert!(server.kept.all("oauth2_authorization_codes").is_empty());
}

#[tokio::test]
async fn public_clients_prove_that_they_asked() {
    let server = Server::start(json!({}));
    let args = server.authorize("client_id=phone&response_type=code").await;
    assert_eq!(argument(&args, "error_description"), "code_challenge is required for public clients");
    let asked = format!("client_id=phone&response_type=code&code_challenge={CHALLENGE}&code_challenge_method=s256");
    let code = argument(&server.authorize(&asked).await, "code");
    let form = format!("grant_type=authorization_code&client_id=phone&code={code}");
    // Other clients write the same in the other alphabet.
    let other = CHALLENGE.replace('-', "+").replace('_', "/");
    let asked = asked.replace(CHALLENGE, &format!("{}%3D", other.replace('+', "%2B").replace('/', "%2F")));
    let second = argument(&server.authorize(&asked).await, "code");
    let second = format!("grant_type=authorization_code&client_id=phone&code={second}&code_verifier={VERIFIER}");
    assert_eq!(server.token(&second).await.0, 200);
    let missing = "code_verifier is required for PKCE authorization requests";
    assert_eq!(server.token(&form).await, refused(missing));
    let other = "b".repeat(43);
    assert_eq!(server.token(&format!("{form}&code_verifier={other}")).await.1["error"], "invalid_grant");
    assert_eq!(server.token(&format!("{form}&code_verifier={VERIFIER}")).await.0, 200);
}

#[tokio::test]
async fn an_implicit_grant_comes_in_the_fragment() {
    let server = Server::start(json!({}));
    let args = server.authorize("client_id=app&response_type=token").await;
    let token = argument(&args, "access_token");
    assert_eq!(argument(&args, "expires_in"), "7200");
    assert!(server.call(&token.into()).await.1.is_none());
}

#[tokio::test]
async fn tokens_are_renewed_once() {
    let server = Server::start(json!({}));
    let form = "grant_type=password&client_id=app&client_secret=sec&provision_key=prov&authenticated_userid=u9";
    let (_, granted) = server.token(form).await;
    let renew = |client: &str| {
        let token = granted["refresh_token"].as_str().unwrap();
        format!("grant_type=refresh_token&{client}&refresh_token={token}")
    };
    assert_eq!(server.token(&renew("client_id=phone")).await.1["error"], "invalid_client");
    let renewal = renew("client_id=app&client_secret=sec");
    let (status, renewed) = server.token(&renewal).await;
    assert_eq!(status, 200);
    assert_ne!(renewed["refresh_token"], granted["refresh_token"]);
    assert_eq!(server.token(&renewal).await, refused("Invalid refresh_token"));
    assert_eq!(server.call(&granted["access_token"]).await.1.unwrap().status, 401);
    assert!(server.call(&renewed["access_token"]).await.1.is_none());
}

#[tokio::test]
async fn refresh_tokens_may_be_kept() {
    let server = Server::start(json!({ "reuse_refresh_token": true }));
    let form = "grant_type=password&client_id=app&client_secret=sec&provision_key=prov&authenticated_userid=u9";
    let (_, granted) = server.token(form).await;
    let token = granted["refresh_token"].as_str().unwrap();
    let renewal = format!("grant_type=refresh_token&client_id=app&client_secret=sec&refresh_token={token}");
    let (status, renewed) = server.token(&renewal).await;
    assert_eq!(status, 200);
    assert_eq!(renewed["refresh_token"], granted["refresh_token"]);
    assert_ne!(renewed["access_token"], granted["access_token"]);
}

#[tokio::test]
async fn tokens_end_and_belong_to_a_service() {
    let server = Server::start(json!({ "token_expiration": 1 }));
    let (_, granted) = server.token(CLIENT).await;
    let line = format!("bearer {}", granted["access_token"].as_str().unwrap());
    let mut late = testing::exchange_with("GET", "/r", &[("Authorization", &line)], server.directory.clone());
    late.timing.started_unix_ms += 10_000;
    let created = server.kept.all("oauth2_tokens").pop().unwrap();
    let change = object(json!({ "created_at": late.timing.started_unix_ms / 1000 - 10 }));
    drop(server.kept.update(entities::DEFAULT_WORKSPACE, "oauth2_tokens", created["id"].as_str().unwrap(), change));
    assert_eq!(server.ask(late).await.1.unwrap().status, 401);
    let (_, granted) = Server::start(json!({})).token(CLIENT).await;
    assert_eq!(server.call(&granted["access_token"]).await.1.unwrap().status, 401);
    let mut other = Server::start(json!({}));
    let (_, granted) = other.token(CLIENT).await;
    other.service = service();
    assert_eq!(other.call(&granted["access_token"]).await.1.unwrap().status, 401);
}

#[tokio::test]
async fn callers_without_a_token() {
    let server = Server::start(json!({ "realm": "api" }));
    let (_, answer) = server.ask(testing::exchange_with("GET", "/r", &[], server.directory.clone())).await;
    assert_eq!(answer.unwrap().fields.get_str("WWW-Authenticate"), Some("Bearer realm=\"api\""));
    let guests = Server::start(json!({ "anonymous": "guest" }));
    let (exchange, answer) = guests.call(&json!("nope")).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Anonymous-Consumer"), Some("true"));
    assert_eq!(exchange.request.fields.get_str("X-Authenticated-UserId"), None);
    let unavailable = testing::configure(&Oauth2, json!({ "provision_key": "p" }), &Env::default());
    let mut exchange = testing::exchange("GET", "/?access_token=t", &[]);
    let answer = testing::access_waiting(&*unavailable, &mut exchange).await;
    assert_eq!(answer.unwrap().status, 500, "without a store nobody is let in");
}

#[tokio::test]
async fn secrets_travel_on_https_only() {
    let server = Server::start(json!({ "accept_http_if_already_terminated": false }));
    let (status, body) = server.token(CLIENT).await;
    assert_eq!(status, 400);
    assert_eq!(body["error_description"], "You must use HTTPS");
    let get = testing::exchange_with("GET", "/oauth2/token", &[], server.directory.clone());
    assert_eq!(server.ask(get).await.1.unwrap().status, 405);
}

//! The rules of `session`, without sockets.

use super::*;
use sdk::testing::{self, Entries, Kept};

fn configure(changes: Value, env: &Env) -> Box<dyn Plugin> {
    let mut config = json!({
        "secret": "s", "storage": "cookie", "audience": "default", "idling_timeout": 900, "rolling_timeout": 3600,
        "absolute_timeout": 86_400, "stale_ttl": 10, "cookie_name": "session", "cookie_path": "/",
        "cookie_domain": null, "cookie_same_site": "Strict", "cookie_http_only": true, "cookie_secure": false,
        "remember": false, "remember_cookie_name": "remember", "remember_rolling_timeout": 604_800,
        "remember_absolute_timeout": 2_592_000, "response_headers": null, "request_headers": null,
        "read_body_for_logout": false, "logout_methods": ["POST", "DELETE"], "logout_query_arg": "session_logout",
        "logout_post_arg": "session_logout", "hash_subject": false, "store_metadata": false
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&SessionPlugin, config, env)
}

/// The consumer `ada` with a key, for several requests.
struct Known {
    directory: sdk::Directory,
    consumer: SnapshotRef<entities::Consumer>,
    credential: SnapshotRef<entities::Credential>,
}

impl Known {
    fn new() -> Known {
        let mut entries = Entries::default();
        let consumer = entries.consumer("ada", None);
        let credential = entries.credential("keyauth_credentials", "k", &consumer);
        Known { directory: entries.into(), consumer, credential }
    }

    /// A request that another plugin has recognised; the cookie that its response sets.
    fn login(&self, plugin: &dyn Plugin) -> Option<String> {
        testing::ready(self.login_waiting(plugin))
    }

    async fn login_waiting(&self, plugin: &dyn Plugin) -> Option<String> {
        let mut exchange = testing::exchange_with("GET", "/", &[], self.directory.clone());
        assert!(testing::access(plugin, &mut exchange).is_none());
        exchange.authenticate(Some(self.consumer.clone()), Some(self.credential.clone()));
        exchange.authenticated_groups = Some(vec!["staff".to_owned()]);
        testing::respond_waiting(plugin, &mut exchange, 200, &[], &[]).await.unwrap();
        let line = exchange.response.fields.get_str("Set-Cookie")?;
        line.split(';').next().map(str::to_owned)
    }

    fn request(&self, method: &str, target: &str, cookie: &str) -> Exchange {
        testing::exchange_with(method, target, &[("Cookie", cookie)], self.directory.clone())
    }
}

#[test]
fn a_bound_session_is_of_no_use_elsewhere() {
    let plugin = configure(json!({ "bind": ["ip"] }), &Env::default());
    let known = Known::new();
    let cookie = known.login(&*plugin).unwrap();
    for (ip, is_known) in [("127.0.0.1", true), ("10.1.1.1", false)] {
        let mut exchange = known.request("GET", "/", &cookie);
        exchange.client.ip = ip.parse().unwrap();
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        assert_eq!(exchange.consumer.is_some(), is_known, "{ip}");
    }
}

#[test]
fn the_cookie_is_enough() {
    let plugin = configure(json!({ "request_headers": ["subject"] }), &Env::default());
    let known = Known::new();
    let cookie = known.login(&*plugin).unwrap();
    let mut exchange = known.request("GET", "/", &cookie);
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    assert_eq!(exchange.consumer.as_ref().map(|consumer| consumer.id), Some(known.consumer.id));
    assert_eq!(exchange.credential.as_ref().map(|credential| credential.id), Some(known.credential.id));
    assert_eq!(exchange.authenticated_groups, Some(vec!["staff".to_owned()]));
    assert_eq!(exchange.request.fields.get_str("Session-Subject"), Some("ada"));
    assert_eq!(exchange.request.fields.get_str("X-Authenticated-Groups"), Some("staff"));
    testing::respond(&*plugin, &mut exchange, 200, &[("Set-Cookie", "own=1")], &[]);
    assert_eq!(exchange.response.fields.get_str("Set-Cookie"), Some("own=1"));
}

#[test]
fn anonymous_callers_get_no_session() {
    let plugin = configure(json!({}), &Env::default());
    let known = Known::new();
    let mut exchange = testing::exchange_with("GET", "/", &[], known.directory.clone());
    exchange.authenticate(Some(known.consumer.clone()), None);
    testing::respond(&*plugin, &mut exchange, 200, &[], &[]);
    assert_eq!(exchange.response.fields.get_str("Set-Cookie"), None);
}

#[test]
fn a_session_without_its_consumer_is_over() {
    let plugin = configure(json!({}), &Env::default());
    let cookie = Known::new().login(&*plugin).unwrap();
    let mut exchange = Known::new().request("GET", "/", &cookie);
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    assert!(exchange.consumer.is_none());
    testing::respond(&*plugin, &mut exchange, 401, &[], &[]);
    assert!(exchange.response.fields.get_str("Set-Cookie").unwrap().contains("Max-Age=0"));
}

#[test]
fn requests_may_end_it() {
    let plugin = configure(json!({ "read_body_for_logout": true }), &Env::default());
    let known = Known::new();
    let cookie = known.login(&*plugin).unwrap();
    let form = |method: &str, target: &str, body: &str| {
        let mut exchange = known.request(method, target, &cookie);
        exchange.request.fields.set("Content-Type", b"application/x-www-form-urlencoded");
        exchange.body = body.to_owned().into();
        testing::access(&*plugin, &mut exchange).map(|answer| answer.status)
    };
    assert_eq!(form("GET", "/?session_logout=1", ""), None);
    assert_eq!(form("POST", "/", "other=1"), None);
    assert_eq!(form("POST", "/", "session_logout=1"), Some(200));
    assert_eq!(form("DELETE", "/?session_logout", ""), Some(200));
}

#[tokio::test]
async fn sessions_may_be_kept_in_the_store() {
    let kept = Kept::default();
    let env = Env::default().with_records(testing::records(kept.clone()));
    let plugin = configure(json!({ "storage": "kong" }), &env);
    let known = Known::new();
    let cookie = known.login_waiting(&*plugin).await.unwrap();
    assert_eq!(kept.all("sessions").len(), 1, "it is there before the cookie is");
    let mut exchange = known.request("GET", "/", &cookie);
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    assert!(exchange.consumer.is_some());
    let mut exchange = known.request("POST", "/?session_logout=1", &cookie);
    assert_eq!(testing::access_waiting(&*plugin, &mut exchange).await.map(|answer| answer.status), Some(200));
    assert!(kept.all("sessions").is_empty());
    let mut exchange = known.request("GET", "/", &cookie);
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    assert!(exchange.consumer.is_none());
}

#[tokio::test]
async fn a_store_that_fails_keeps_no_response_back() {
    let plugin = configure(json!({ "storage": "kong" }), &Env::default());
    let known = Known::new();
    let cookie = known.login_waiting(&*plugin).await.unwrap();
    let mut exchange = known.request("GET", "/", &cookie);
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    assert!(exchange.consumer.is_none());
}

#[test]
fn without_a_secret_there_is_no_session() {
    let record = json!({ "id": entities::Uuid::nil().to_string(), "name": "session", "config": { "secret": null } });
    let plugin = entities::Plugin::from_record(record.as_object().unwrap()).unwrap();
    assert!(SessionPlugin.configure(&plugin, &Env::default()).is_err());
}

#[test]
fn former_names_of_settings_are_understood() {
    assert_eq!(same_site(&json!("off")), renamed("cookie_same_site", &json!("Lax")));
    assert_eq!(same_site(&json!("None")), renamed("cookie_same_site", &json!("None")));
    assert_eq!(idling_timeout(&Value::Null), renamed("idling_timeout", &json!(0)));
}

#[test]
fn the_secret_is_another_one_in_each_process() {
    assert!(!SessionPlugin.schema().contains("{secret}"));
    assert_ne!(random_secret(), random_secret());
}

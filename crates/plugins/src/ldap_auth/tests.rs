//! The rules of `ldap-auth`, against a server that a test plays.

use super::*;
use sdk::testing::{self, Entries};
use serde_json::json;

/// `ada:secret`
const ADA: &str = "YWRhOnNlY3JldA==";
const SUCCESS: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
const INVALID: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
const BUSY: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x33\x04\x00\x04\x00";

fn configure(port: u16, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "ldap_host": "127.0.0.1", "ldap_port": port, "ldaps": false, "start_tls": false, "verify_ldap_host": false,
        "base_dn": "dc=test", "attribute": "uid", "cache_ttl": 60, "hide_credentials": true, "timeout": 10_000,
        "keepalive": 60_000, "anonymous": null, "header_type": "ldap", "realm": null
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&LdapAuth, config, &Env::default())
}

fn request(lines: &[(&str, &str)]) -> Exchange {
    let mut entries = Entries::default();
    entries.consumer("guest", None);
    testing::exchange_with("GET", "/", lines, entries.into())
}

#[tokio::test]
async fn the_server_is_asked_once() {
    let server = testing::Server::start().await;
    let plugin = configure(server.address().port(), json!({}));
    let line = format!("LDAP {ADA}");
    let mut exchange = request(&[("Authorization", &line)]);
    let asked = async {
        let mut peer = server.accept().await;
        peer.read_until("uid=ada,dc=test").await;
        peer.send(SUCCESS).await;
        peer
    };
    let (refused, peer) = tokio::join!(testing::access_waiting(&*plugin, &mut exchange), asked);
    drop(peer);
    assert!(refused.is_none());
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Credential-Identifier"), Some("ada"));
    assert_eq!(fields.get_str("X-Anonymous-Consumer"), None);
    assert_eq!(fields.get_str("Authorization"), None);
    assert!(exchange.consumer.is_none());
    let mut again = request(&[("Proxy-Authorization", &line)]);
    assert!(testing::access_waiting(&*plugin, &mut again).await.is_none());
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_trouble_is_an_error() {
    let server = testing::Server::start().await;
    let line = format!("ldap {ADA}");
    for (octets, status, kept) in [(INVALID, 401, Some(401)), (BUSY, 500, None)] {
        let plugin = configure(server.address().port(), json!({ "base_dn": format!("dc=t{status}") }));
        let mut exchange = request(&[("Authorization", &line)]);
        let asked = async {
            let mut peer = server.accept().await;
            peer.read_until(&format!("uid=ada,dc=t{status}")).await;
            peer.send(octets).await;
        };
        let (refused, ()) = tokio::join!(testing::access_waiting(&*plugin, &mut exchange), asked);
        assert_eq!(refused.unwrap().status, status);
        if kept.is_some() {
            let again = testing::access_waiting(&*plugin, &mut request(&[("Authorization", &line)])).await;
            assert_eq!(again.map(|answer| answer.status), kept);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_lets_nobody_in() {
    let plugin = configure(1, json!({ "anonymous": "guest" }));
    let mut exchange = request(&[("Authorization", &format!("ldap {ADA}"))]);
    assert_eq!(testing::access_waiting(&*plugin, &mut exchange).await.unwrap().status, 500);
}

#[test]
fn callers_without_a_password() {
    let plugin = configure(1, json!({ "realm": "dir" }));
    for line in ["ldap YWRhOg==", "ldap %%", "Bearer YWRhOmE=", "ldapYWRhOmE=", "ldap YWRh"] {
        let answer = testing::access(&*plugin, &mut request(&[("Authorization", line)])).unwrap();
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.fields.get_str("WWW-Authenticate"), Some("LDAP realm=\"dir\""));
    }
    let guests = configure(1, json!({ "anonymous": "guest" }));
    let mut exchange = request(&[]);
    assert!(testing::access(&*guests, &mut exchange).is_none());
    assert_eq!(exchange.request.fields.get_str("X-Anonymous-Consumer"), Some("true"));
}

#[test]
fn names_stay_within_their_place() {
    assert_eq!(escaped("ada"), "ada");
    assert_eq!(escaped("ada,ou=admins"), "ada\\,ou\\=admins");
    assert_eq!(escaped(" #a "), "\\ #a\\ ");
    assert_eq!(escaped("é\0"), "é\\00");
}

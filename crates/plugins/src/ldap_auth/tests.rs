//! The rules of `ldap-auth`, against a server that a test plays.

use super::*;
use sdk::testing::{self, Entries};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, content.len() as u8], content].concat()
}

/// A message of an LDAP server.
fn message(operation: u8, content: &[u8]) -> Vec<u8> {
    element(0x30, &[element(2, &[1]), element(operation, content)].concat())
}

/// Waits for a question about something.
async fn hear(stream: &mut TcpStream, about: &[u8]) {
    let mut heard = Vec::new();
    while !heard.windows(about.len()).any(|window| window == about) {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
    }
}

fn advanced(port: u16, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "ldap_host": "127.0.0.1", "ldap_port": port, "ldaps": false, "start_tls": false, "verify_ldap_host": false,
        "bind_dn": "cn=gw", "ldap_password": "own", "base_dn": "dc=t", "attribute": "uid", "cache_ttl": 60,
        "hide_credentials": false, "timeout": 10_000, "keepalive": 60_000, "anonymous": "", "header_type": "ldap",
        "consumer_optional": true, "consumer_by": ["username"], "group_member_attribute": "memberOf",
        "group_name_attribute": "cn", "groups_required": ["staff"]
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&LdapAuthAdvanced, config, &Env::default())
}

/// The status of the answer to `ada:secret`, whose entry a searcher finds.
async fn look_up(changes: Value) -> (Exchange, Option<u16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plugin = advanced(listener.local_addr().unwrap().port(), changes);
    let mut exchange = request(&[("Authorization", &format!("ldap {ADA}"))]);
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        hear(&mut stream, b"cn=gw").await;
        stream.write_all(SUCCESS).await.unwrap();
        hear(&mut stream, b"memberOf").await;
        let groups = element(0x31, &element(4, b"cn=staff, DC=T"));
        let attribute = element(0x30, &[element(4, b"memberOf"), groups].concat());
        let entry = [element(4, b"cn=ada"), element(0x30, &attribute)].concat();
        stream.write_all(&message(0x64, &entry)).await.unwrap();
        stream.write_all(&message(0x65, b"\x0a\x01\x00\x04\x00\x04\x00")).await.unwrap();
        hear(&mut stream, b"cn=ada").await;
        stream.write_all(SUCCESS).await.unwrap();
        stream
    };
    let (answer, stream) = tokio::join!(testing::access_waiting(&*plugin, &mut exchange), answering);
    drop(stream);
    (exchange, answer.map(|answer| answer.status))
}

#[tokio::test]
async fn entries_say_who_a_caller_is() {
    let (exchange, status) = look_up(json!({})).await;
    assert_eq!(status, None);
    assert_eq!(exchange.authenticated_groups, Some(vec!["staff".to_owned()]));
    assert_eq!(exchange.request.fields.get_str("X-Authenticated-Groups"), Some("staff"));
    assert_eq!(look_up(json!({ "groups_required": ["staff admins", "root"] })).await.1, Some(403));
    assert_eq!(look_up(json!({ "consumer_optional": false })).await.1, Some(401), "ada is no consumer");
    assert_eq!(look_up(json!({ "group_base_dn": "ou=groups" })).await.1, Some(403));
}

#[test]
fn what_advanced_configurations_cannot_have() {
    assert_eq!(check(&json!({ "bind_dn": "cn=gw", "ldap_password": "p" })), Ok(()));
    for config in [
        json!({ "bind_dn": "cn=gw" }),
        json!({ "ldaps": true, "start_tls": true }),
        json!({ "log_search_results": true }),
    ] {
        assert!(check(&config).is_err(), "{config}");
    }
}

//! What a client says of a connection, or behind its content, changes nothing that the gateway and plugins say.

use crate::setup::{Configuration, STREAMED, Setup, USUAL, without_nginx};
use blackbox::{Request, http};

const NAMED: &str = "close, X-Consumer-ID, x-consumer-username, X-Credential-Identifier, X-Anonymous-Consumer, \
                     X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Path, \
                     X-Forwarded-Prefix, X-Real-IP, X-Kong-Request-Id, Host, Content-Length, \
                     X-Correlation, X-Added, Via";

/// What reaches the service, with what is in the way of `headers` that the gateway sets.
fn sent(case: &Setup, headers: &[(&str, &str)]) -> Request {
    let mut all = vec![("Content-Length", "2"), ("Content-Type", "text/plain")];
    all.extend(headers);
    let mut client = case.send("POST", "/trust", &all);
    client.send_raw(b"ok").unwrap();
    let (mut service, request) = case.service().asked();
    service.answer("").unwrap();
    client.receive(false).unwrap().expect(200);
    request
}

fn set_by_the_gateway(request: &Request) {
    for name in ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Host"] {
        assert!(request.header(name).is_some(), "{name} is missing: {request:?}");
    }
    assert_eq!(request.body, b"ok");
    assert_eq!(request.header("Content-Type"), Some("text/plain"));
}

#[test]
fn connection_names_what_the_gateway_sets() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let request = sent(case, &[("Connection", NAMED), ("X-Private", "1")]);
            set_by_the_gateway(&request);
            // What is named and the client's own does not go further.
            let request = sent(case, &[("Connection", "x-private"), ("X-Private", "1")]);
            assert_eq!(request.header("X-Private"), None);
        });
    }
}

#[test]
fn connection_names_what_plugins_set() {
    const PLUGINS: &[&str] = &[
        "name=key-auth",
        "name=correlation-id&config.header_name=x-correlation&config.generator=uuid",
        "name=request-transformer&config.add.headers=x-added:yes",
    ];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let admin = case.node().admin();
        http::form(admin, "POST", "/consumers", "username=ada&custom_id=7").expect(201);
        http::form(admin, "POST", "/consumers/ada/key-auth", "key=secret").expect(201);
        let request = sent(case, &[("Connection", NAMED), ("apikey", "secret")]);
        set_by_the_gateway(&request);
        assert_eq!(request.header("X-Consumer-Username"), Some("ada"));
        assert_eq!(request.header("X-Consumer-Custom-ID"), Some("7"));
        for name in ["X-Consumer-ID", "X-Credential-Identifier", "X-Correlation", "X-Added"] {
            assert!(request.header(name).is_some(), "{name} is missing: {request:?}");
        }
    });
}

#[test]
fn connection_names_the_sign_of_the_anonymous() {
    without_nginx(&USUAL, |case| {
        let admin = case.node().admin();
        http::form(admin, "POST", "/consumers", "username=nobody").expect(201);
        http::form(admin, "POST", "/plugins", "name=key-auth&config.anonymous=nobody").expect(201);
        let request = sent(case, &[("Connection", NAMED), ("X-Consumer-Username", "root")]);
        assert_eq!(request.header("X-Anonymous-Consumer"), Some("true"));
        assert_eq!(request.header("X-Consumer-Username"), Some("nobody"));
    });
}

/// A service that reads trailers as if they were lines of the head takes them for ours.
#[test]
fn trailers_do_not_say_who_the_client_is() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let mut client = case.send("POST", "/trailers", &[("Transfer-Encoding", "chunked"), ("TE", "trailers")]);
            client
                .send_raw(
                    b"2\r\nok\r\n0\r\nX-Consumer-ID: root\r\nX-Consumer-Username: root\r\nX-Anonymous-Consumer: no\r\n\
                      X-Credential-Identifier: root\r\nX-Real-IP: 127.0.0.9\r\nX-Forwarded-For: 127.0.0.9\r\n\
                      X-Forwarded-Proto: https\r\nX-Kong-Request-Id: 1\r\nHost: other\r\nContent-Length: 9\r\n\
                      Authorization: Basic eDp5\r\nX-Digest: abc\r\n\r\n",
                )
                .unwrap();
            let (mut service, request) = case.service().asked();
            service.answer("").unwrap();
            client.receive(false).unwrap().expect(200);
            assert_eq!(request.body, b"ok");
            for (name, value) in &request.trailers {
                assert!(name.eq_ignore_ascii_case("x-digest"), "{name}: {value} reaches the service");
            }
        });
    }
}

/// Lines whose names differ from ours in `_` only, which many services read as the same.
#[test]
fn underscores_do_not_say_who_the_client_is() {
    const PLUGINS: &[&str] = &["name=key-auth"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let admin = case.node().admin();
        http::form(admin, "POST", "/consumers", "username=ada").expect(201);
        http::form(admin, "POST", "/consumers/ada/key-auth", "key=secret").expect(201);
        let request = sent(case, &[("apikey", "secret"), ("X-Consumer-Username", "root")]);
        let named: Vec<_> =
            request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("x-consumer-username")).collect();
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0].1, "ada");
    });
}

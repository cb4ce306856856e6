//! Functions and modules of OpenResty.

use super::super::load;
use super::paths;
use sdk::session::{Attributes, Options, Origin, Sessions};
use sdk::{Answer, Bytes, Env, Source, testing};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

/// What comes of a request with these lines and that content.
async fn answered(query: &str, lines: &[(&str, &str)], content: &'static str) -> Answer {
    let plugin = testing::configure(load(&["openresty"], &paths()).unwrap()[0], json!({}), &Env::default());
    let mut exchange = testing::exchange("POST", &format!("/?do={query}"), lines);
    exchange.body = Bytes::from(content).into();
    let mut answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
    // The gateway adds what was set before there was a response.
    exchange.reply.iter().for_each(|(name, value)| answer.fields.append(name, value));
    answer
}

pub(super) async fn outcome(query: &str) -> Value {
    serde_json::from_slice(&answered(query, &[], "").await.body).unwrap()
}

#[tokio::test]
async fn redirections_have_the_page_of_nginx() {
    let plugin = testing::configure(load(&["openresty"], &paths()).unwrap()[0], json!({}), &Env::default());
    let mut exchange = testing::exchange("GET", "/?do=redirect", &[]);
    let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    assert_eq!(answer.status, 308);
    assert_eq!(answer.fields.get_str("Content-Type"), Some("text/html; charset=UTF-8"));
    assert!(answer.body.starts_with(b"<html>\r\n<head><title>308 Permanent Redirect</title></head>\r\n"));
    assert_eq!(exchange.reply.get_str("Location"), Some("/there"));
}

#[tokio::test]
async fn what_is_said_to_be_proxied_is_the_services() {
    assert_eq!(answered("kept", &[], "").await.source, Source::Service);
    assert_eq!(answered("form", &[("Content-Type", "application/json")], "{}").await.source, Source::Exit);
}

#[tokio::test]
async fn sockets_in_the_file_system_are_sockets() {
    let path = std::env::temp_dir().join(format!("bascule-lua-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let echo = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut space = [0; 6];
        stream.read_exact(&mut space).await.unwrap();
        stream.write_all(&space).await.unwrap();
        stream
    };
    let query = format!("unix_socket&path={}", path.display());
    let (answer, _stream) = tokio::join!(outcome(&query), echo);
    std::fs::remove_file(&path).unwrap();
    let absent = "no such file or directory";
    assert_eq!(answer, json!({ "absent": absent, "sent": 6, "line": "hello", "kept": 1, "reused": 1 }));
}

#[tokio::test]
async fn sockets_have_options() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let query = format!("socket_options&port={}", listener.local_addr().unwrap().port());
    let answer = outcome(&query).await;
    assert_eq!(listener.accept().await.unwrap().1.ip().to_string(), "127.0.0.7");
    assert_eq!(answer["early"], false);
    assert_eq!(answer["why"], "socket is never created nor connected");
    assert_eq!(answer["set"], true);
    assert_eq!(answer["keepalive"], 1);
    assert_eq!(answer["other"], "unsupported option other");
    assert_eq!(answer["none"], "missing the \"value\" argument");
    assert_eq!(answer["address"], "bad address");
    assert_eq!(answer["half"], "client certificate must be supplied with corresponding private key");
}

#[tokio::test]
async fn content_is_read_as_from_a_socket_and_made_of_pieces() {
    let answer = answered("request_content", &[], "a:12345--bline\r\nlast").await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["first"], "a:");
    assert_eq!(answer["piece"], "123");
    assert_eq!(answer["rest"], "45");
    assert_eq!(answer["line"], "line");
    assert_eq!(answer["last"], "last");
    assert_eq!(answer["err"], "closed");
    assert_eq!(answer["raw"], true);
    assert_eq!(answer["early"], false);
    assert_eq!(answer["why"], "request_body not initialized");
    assert_eq!(answer["now"], "new content");
}

#[tokio::test]
async fn what_wants_locations_says_that_there_are_none() {
    let answer = outcome("without_locations").await;
    for (name, part) in [("exec", "no locations"), ("capture", "no locations"), ("multi", "no locations")] {
        assert!(answer[name].as_str().unwrap().contains(part), "{name}: {answer}");
    }
    assert!(answer["jump"].as_str().unwrap().contains("API disabled in the context of access_by_lua*"), "{answer}");
    assert!(answer["empty"].as_str().unwrap().contains("attempt to use zero-length uri"), "{answer}");
}

/// The cookies that a client sends back.
fn cookies(answer: &Answer) -> String {
    let lines = answer.fields.get_all("Set-Cookie").map(|line| String::from_utf8_lossy(line).into_owned());
    let pairs = lines.map(|line| line.split(';').next().unwrap_or_default().to_owned());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn sessions_are_kept() {
    for way in ["session", "session&size=6000", "session&remember=1", "session&storage=shm"] {
        let first = answered(way, &[], "").await;
        assert_eq!(first.fields.get_str("Session-Subject"), Some("ann"), "{way}");
        let shown = cookies(&first);
        let first: Value = serde_json::from_slice(&first.body).unwrap();
        assert_eq!(first["exists"], false, "{way}");
        assert_eq!(first["err"], "missing session cookie", "{way}");
        assert_eq!(first["count"], 1, "{way}");
        let second = answered(way, &[("Cookie", &shown)], "").await;
        let second: Value = serde_json::from_slice(&second.body).unwrap();
        assert_eq!(second["exists"], true, "{way}: {second}");
        assert_eq!(second["count"], 2, "{way}");
        assert_eq!(second["id"], 43, "{way}");
        // The first octet says of what kind a cookie is.
        let kind = shown.find("session=").unwrap() + "session=".len();
        let forged = format!("{}B{}", &shown[..kind], &shown[kind + 1..]);
        let forged = answered(&way.replace("&remember=1", ""), &[("Cookie", &forged)], "").await;
        let forged: Value = serde_json::from_slice(&forged.body).unwrap();
        assert_eq!(forged["exists"], false, "{way}");
        let end = way.replace("session", "session_end");
        let ended = answered(&end, &[("Cookie", &shown)], "").await;
        assert!(cookies(&ended).is_empty(), "{way}");
        let ended: Value = serde_json::from_slice(&ended.body).unwrap();
        assert_eq!(ended["ended"], true, "{way}");
    }
}

#[tokio::test]
async fn bundled_plugins_read_the_same_sessions() {
    for way in ["session", "session&size=6000"] {
        let shown = cookies(&answered(way, &[], "").await);
        let attributes = Attributes {
            domain: None,
            path: "/".to_owned(),
            same_site: "Lax".to_owned(),
            secure: false,
            http_only: true,
        };
        let options = Options {
            audience: "default".to_owned(),
            storage: None,
            cookie_name: "session".to_owned(),
            attributes,
            idling_timeout: 900,
            rolling_timeout: 3600,
            absolute_timeout: 86_400,
            stale_ttl: 10,
            remember: None,
            store_metadata: false,
            hash_subject: false,
            bind: vec!["scheme".to_owned()],
        };
        let sessions = Arc::new(Sessions::new("secret", options));
        let exchange = testing::exchange("GET", "/", &[("Cookie", &shown)]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let session = sessions.open(&exchange.request.fields, Origin::of(&exchange), now).await;
        assert!(session.is_open(), "{way}");
        assert_eq!(session.data()["count"], 1, "{way}");
    }
}

#[tokio::test]
async fn a_browser_that_was_closed_is_remembered() {
    let first = answered("session&remember=1", &[], "").await;
    let shown = cookies(&first);
    let remembered = shown.split("; ").find(|pair| pair.starts_with("remember=")).unwrap();
    let second = answered("session&remember=1", &[("Cookie", remembered)], "").await;
    let second: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(second["count"], 2);
}

#[tokio::test]
async fn audiences_share_a_cookie() {
    let first = answered("session&audience=one", &[], "").await;
    let second = answered("session&audience=two", &[("Cookie", &cookies(&first))], "").await;
    let both = cookies(&second);
    let second: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(second["exists"], false);
    assert_eq!(second["count"], 1);
    for audience in ["one", "two"] {
        let again = answered(&format!("session&audience={audience}"), &[("Cookie", &both)], "").await;
        let again: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(again["count"], 2, "{audience}");
    }
}

#[tokio::test]
async fn certificates_are_asked_for_and_issued() {
    let answer = outcome("issuance").await;
    assert_eq!(answer["requested"], "C=AT/CN=example.test");
    assert_eq!(answer["names"], "DNS:example.test, IP Address:127.0.0.1");
    assert_eq!(answer["serial"], "FF01");
    assert_eq!(answer["common"], "example.test");
    assert_eq!(answer["pathlen"], 1);
    assert_eq!(answer["hash"], "sha256");
    for what in ["proved", "der", "verified", "ca", "host", "ip", "own", "critical", "trusted"] {
        assert_eq!(answer[what], true, "{what}: {answer}");
    }
    assert_eq!(answer["other"], false);
    assert_eq!(answer["stranger"], false);
}

#[tokio::test]
async fn lists_of_revoked_certificates_are_read() {
    let answer = answered("revocations", &[], CRL).await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({ "issuer": "C=AT/CN=Example CA", "count": 1, "found": "2A", "none": true, "later": true });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn name_servers_are_asked() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let answering = async {
        let mut space = [0; 512];
        let (count, client) = server.recv_from(&mut space).await.unwrap();
        let mut answer = space[..count].to_vec();
        // An answer with one record of the name that was asked for.
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 16]);
        answer.extend_from_slice(&[0, 1, 0, 2, 0x1f, 0x90, 7]);
        answer.extend_from_slice(b"service\xc0\x0c");
        server.send_to(&answer, client).await.unwrap();
    };
    let query = format!("dns&port={}", server.local_addr().unwrap().port());
    let (answer, ()) = tokio::join!(outcome(&query), answering);
    let expected = json!([{ "name": "example.test", "type": 33, "class": 1, "ttl": 60, "section": 1, "priority": 1,
        "weight": 2, "port": 8080, "target": "service.example.test" }]);
    assert_eq!(answer["answers"], expected, "{answer}");
    assert_eq!(answer["ip"], "127.0.0.1");
    assert_eq!(answer["port"], 80);
    assert_eq!(answer["found"], "127.0.0.1");
    assert_eq!(answer["arpa"], "4.3.2.1.in-addr.arpa");
}

#[tokio::test]
async fn limits_are_those_of_openresty() {
    let answer = outcome("limits&key=a").await;
    assert_eq!(answer["counts"], json!([1, 0, "rejected"]));
    assert_eq!(answer["requests"], json!([0, true, "rejected"]));
    assert_eq!(answer["connections"], json!([0, 0.5, "rejected"]));
    assert_eq!(answer["both"], 0);
    assert_eq!(answer["none"], "shared dict not found");
}

#[tokio::test]
async fn memcached_keeps_values() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let said = [
            ("set a%20b 0 60 5\r\nvalue\r\n", "STORED\r\n"),
            ("get a%20b\r\n", "VALUE a%20b 0 5\r\nvalue\r\nEND\r\n"),
            ("get none\r\n", "END\r\n"),
            ("incr n 2\r\n", "7\r\n"),
        ];
        for (asked, answer) in said {
            let mut space = vec![0; asked.len()];
            stream.read_exact(&mut space).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&space), asked);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let query = format!("memcached&port={}", listener.local_addr().unwrap().port());
    let (answer, ()) = tokio::join!(outcome(&query), serving);
    assert_eq!(answer, json!({ "set": 1, "value": "value", "flags": "0", "none": true, "count": 7 }));
}

#[tokio::test]
async fn forms_are_read_piece_by_piece() {
    let lines = [("Content-Type", "multipart/form-data; boundary=xx")];
    let content = "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n123456\r\n--xx\r\n\
        Content-Disposition: form-data; name=\"b\"\r\n\r\n1234\r\n--xx--\r\n";
    let answer = answered("upload", &lines, content).await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let header = "header Content-Disposition";
    let expected = [header, "body 1234", "body 56", "part_end", header, "body 1234", "part_end", "eof"];
    assert_eq!(answer["out"], json!(expected));
}

#[tokio::test]
async fn cookies_and_addresses_are_read() {
    let answer = answered("cookie", &[("Cookie", "a=1; b=\"two\"")], "").await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["a"], "1");
    assert_eq!(answer["b"], "two");
    assert_eq!(answer["c"], Value::Null);
    assert_eq!(answer["set"], "new=1; Path=/; SameSite=Lax; HttpOnly");
    let url = json!({ "scheme": "https", "user": "me", "password": "secret", "host": "example.test", "port": 8443,
        "path": "/a?b" });
    assert_eq!(answer["url"], url);
}

#[tokio::test]
async fn addresses_are_those_of_browsers() {
    let answer = outcome("ada").await;
    for (what, expected) in [
        ("href", "https://me:secret@example.test/b?c=d&e#f"),
        ("host", "example.test"),
        ("path", "/b"),
        ("moved", "https://example.test/new%20path?x=1&y"),
        ("origin", "https://example.test"),
        ("first", "d"),
        ("removed", "http://a/?c=2"),
        ("none", "invalid url"),
        ("relative", "http://a/c"),
        ("search", "b=2"),
        ("set", "a=x+y&b=2"),
        ("sorted", "a=2&b=1"),
    ] {
        assert_eq!(answer[what], expected, "{what}");
    }
    assert_eq!(answer["port"], false);
    assert_eq!(answer["size"], 2);
    assert_eq!(answer["can"], true);
}

#[tokio::test]
async fn paths_are_those_of_kong() {
    let answer = outcome("paths").await;
    let expected = ["/a//b", "//", "/b", "/", "/a", "/b", "/c", "/%99%AF", "/a/b/", "/a%2Fb%2Fc", "/b", "a", "/a/"];
    assert_eq!(answer["out"], json!(expected.map(|path| path.replace("%2F", "%252F"))));
    assert_eq!(answer["merged"], json!(["/a/b", "/", "/a/"]));
    assert_eq!(answer["tokens"], "kong/3.10.0");
    assert_eq!(answer["broken"], false);
    assert_eq!(answer["absent"], false);
}

#[tokio::test]
async fn forms_may_have_bare_line_ends() {
    let lines = [("Content-Type", "multipart/form-data; boundary=xx")];
    let content = "--xx\nContent-Disposition: form-data; name=\"a\"\n\none\ntwo\n--xx--\n";
    let answer = answered("form", &lines, content).await;
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), json!({ "a": "one\ntwo" }));
}

#[tokio::test]
async fn small_libraries_are_there() {
    let answer = outcome("libraries").await;
    let expected = json!({ "later": true, "same": true, "text": "1.2", "set": [true, false, false], "none": true,
        "semver": true, "count": 3, "line": "text/html", "written": "text/html", "query": "b c",
        "encoded": "a=b%20c&d", "trimmed": "a b", "error": "x" });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn keys_keep_secrets() {
    let answer = answered("secrecy", &[], RSA).await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["ways"], json!(["secret", "secret", "secret"]));
    assert_eq!(answer["none"], "pkey:derive: the keys are of different curves");
    for what in ["forged", "common", "rsa", "ec", "ed"] {
        assert_eq!(answer[what], true, "{what}: {answer}");
    }
}

/// Of an authority of its own, with one certificate.
const CRL: &str = "\
-----BEGIN X509 CRL-----
MIHRMHkCAQEwCgYIKoZIzj0EAwIwIjELMAkGA1UEBhMCQVQxEzARBgNVBAMMCkV4
YW1wbGUgQ0EXDTI2MTEyNjIwNDExNloYDzIxMjYxMTAyMjA0MTE2WjAUMBICASoX
DTI2MTEyNjIwNDEwMFqgDjAMMAoGA1UdFAQDAgEBMAoGCCqGSM49BAMCA0gAMEUC
IQCZ46IGS5kA6e/mim/iLlNOgvyiqi6+djYEGyJgTmM1mgIgC5TNkRJVbsLMDuvI
Z0S6Ww4E/qEyTT0d0F6vex9cVgQ=
-----END X509 CRL-----
";

/// Of no use but here: making one takes long on a busy machine.
const RSA: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDzDDSwC0ej2kee
HQyXZsNzK2j/Ty8RnTNPUtkLbjYap4jUOX+X9mX73/aehmWOB/0pxtT5CpvKJ+K8
XR0S5wP1jG+PLRKoTEQ48pjo8jyzRdTYxVOv6OOQMgXht/5we8Ee/gal4RmPux6R
Ud6SllbUPh3KrHBqwG5gk8PsxkH5SVdaJKmoWy42Y+jt853Heef3qcAbooEpQooC
aBCsiKB9AUaBz7Pgln7Cr6tyBpTboVkt7nz180apC4fcX/YFNbMvvaxdD+jeIk5N
5r5pvwMM/tkHcsLcUaLbqybzQ5WPsKAa3iYJcBwkgfEZr9QvE7VXxqvHlnx5QmWH
PY36IAV5AgMBAAECggEABqv0Gk0E92t7gcycVt+cR+IOLMv4p8wf53KHwLeSxqKI
sAKwDPTXkdVxCKL50K9JdMcfe4KeCiuUHsWTkbxDsI7dVRnQpEwLp2CJcAOORQGK
uTSZen+zF3c4EB0j3+SVxYsFlbIbKIXjbevIZ0+3LHZUDQc0wslrfj0wKKS8lOIv
0NEEmW8rcMnP78P77DIZcp0RbwjtAHsMbsuh8qg60TmAyzAL/eT/mk33R5tc8/qC
O5v88j2FD5iK44JOaQBKSXfFsFu+gt4eRJ11hBT8YXqT9rRXz5TF7Va5ZQv58EPq
i48ZxW6EEDn6IT404yW49TnEisdn1dtnzQjahZZRMQKBgQD6zQ7JX9UYcWqko4JG
lBKEu8N+I7GvlCXa1LartMAul97oTCnkWben1+nMgtWOrAWx9jFZY/xFV5vc3qI4
Zk946NKrL1ikgvvq8bmP8p5O5ukp7/JfS+rr5yOKw/gO2TggYGxvFwHulke/QBwK
7iPQqJlaMXIpCUIVJ2M5WBARjQKBgQD4FgDBn8mNvEHhKriJH3qBujCIQC236RAI
I5SLNKmj66JvwbHhdxOQAgeH6CCUcEoVoHDtv29ZYtp3nPLUoTgCh4Or6+k7ux0e
hjG3bKsY1PqVb/giHcP98pZOGAwP21jvXf+vL90aPUCMLg5uakKOLCgWK0f0xRAo
d6qUmxzKnQKBgQDrjBE6Ie4yYbrF2+crwD/QN8R4QK/N9jbDWooho8XnPK2WwImL
tJNfaNJlR++oanmC1XUtvlEdExYIj3QNwlEbfpb1PadkArz0wIgF4Ni7w/TydS/O
Pq/pVRE1b64Wy/4Bsm3Eu/gNi0jhHyX3QgeTHfXBFrVgQxi0Y2S2Y7XbtQKBgGNl
3XO2o7jIHtUqmrlGBX2Irf1JSYgQNz4rk06bEQT+WhzQzIZ7gTkHtyC63qLawrQb
jmOTefekZcfa+Gg9GAXbaeQuJ0qpU6dxOOY3Ae53Ftdc/1wb9PUAhzxO4jZQOjfd
v53fXYUv2XbQ1TNkG7p+8qi/OptVgX3VRGE6LLT5AoGANn9pyF1SlqA8yAkH1H9f
ymzBlFe6ysnczu6sQXIOM+UwXO+mQZdiuaE6/mjd1uBprfN8qxelDWkDIn3o12IT
xdLfEtxw7+A/iWpKdpeKlumwvV3ezTMGwpH9gNGcWbGj8BMwiID9OMQriMP3lEB4
QsVEpsOzvxClzcvrjUTm1RQ=
-----END PRIVATE KEY-----
";

#[tokio::test]
async fn who_yields_lets_others_go_on() {
    let expected = json!({
        "order": "a1 b1", "count": 4, "main": 1, "done": "ab", "own": 2, "last": "x", "spawned": false,
    });
    assert_eq!(outcome("yields").await, expected);
}

#[tokio::test]
async fn arguments_are_judged_as_openresty_does() {
    let expected = json!({
        "added": 7, "ttl": false, "time": false, "list": [null, "bad value type"], "freed": 1,
        "nth": [null, null, "nth out of bound"], "template": "failed to compile the replacement template", "by": false,
        "redirect": false,
    });
    assert_eq!(outcome("strict").await, expected);
}

#[tokio::test]
async fn json_is_as_lua_cjson_has_it() {
    let expected = json!({
        "raw": "x\ty", "latin": 4, "depth": "Found too many nested data structures (3)", "deep": true,
        "sparse": "{\"1\":1,\"100\":1}", "refused": "Cannot serialise table: excessively sparse array", "null": "null",
        "precision": "0.333", "was": 14, "none": false, "excess": "Cannot serialise, excessive depth (2)",
    });
    assert_eq!(outcome("json").await, expected);
}

#[tokio::test]
async fn content_of_any_octets_is_json() {
    let lines = [("content-type", "application/json")];
    let answer = answered("content", &lines, "{\"a\":\"x\ty\"}").await;
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), json!({ "kind": "table", "a": "x\ty" }));
}

/// A server that answers so many things that are said to it, one after the other.
pub(super) async fn saying(answers: &'static [&'static str]) -> (u16, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut space = [0; 4096];
        for answer in answers {
            assert!(stream.read(&mut space).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // Until the client has done with it.
        while stream.read(&mut space).await.is_ok_and(|read| read > 0) {}
    };
    (port, serve)
}

#[tokio::test]
async fn clients_of_redis_and_http_keep_their_promises() {
    let (redis, of_redis) =
        saying(&["*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n", "*3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n"])
            .await;
    let (http, of_http) =
        saying(&["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"])
            .await;
    let query = format!("clients&port={redis}&http={http}");
    let answer = tokio::select! {
        answer = outcome(&query) => answer,
        _ = async { tokio::join!(of_redis, of_http) } => panic!("servers end first"),
    };
    let expected = json!({
        "early": "not subscribed", "answer": 1, "kept": "subscribed state", "later": 1, "bodies": ["one", "two"],
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn callers_of_caches_tell_others_and_control_characters_are_escaped() {
    let expected = json!({
        "heard": ["mlcache:invalidations:told=a", "mlcache:invalidations:told=a", "poll", "mlcache:purge:told="],
        "level": 2, "c": "a%0D%0Ab%01", "d": "a%0Ab", "e": "a%7Fb", "wrong": false,
    });
    assert_eq!(outcome("told").await, expected);
}

#[tokio::test]
async fn who_declines_lets_the_request_go_on() {
    let plugin = testing::configure(load(&["openresty"], &paths()).unwrap()[0], json!({}), &Env::default());
    let mut exchange = testing::exchange("GET", "/?do=declined", &[]);
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
}

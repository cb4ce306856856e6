//! The pages of the manager: what is served, and what nobody gets from them.

use blackbox::Node;
use blackbox::http::{Connection, Response, get, request};
use blackbox::tls::{Client, Offer};
use std::net::SocketAddr;

const GUI: (&str, &str) = ("admin_gui_listen", "127.0.0.1:0");

/// A file of the pages, by what the first page says.
fn asset(manager: SocketAddr, name: &str) -> String {
    let page = get(manager, "/").expect(200).text();
    let (_, rest) = page.split_once("href=\"assets/").unwrap();
    format!("/assets/{}/{name}", rest.split('/').next().unwrap())
}

fn raw(address: SocketAddr, head: &str) -> Response {
    let mut connection = Connection::open(address).unwrap();
    connection.send_raw(head.as_bytes()).unwrap();
    connection.receive(false).unwrap()
}

#[test]
fn pages_know_where_the_admin_api_is() {
    let node = Node::start(&[GUI, ("admin_gui_url", "http://gui.test:8002"), ("enforce_rbac", "on")]);
    let config = get(node.manager(), "/kconfig.js").expect(200);
    assert_eq!(config.header("content-type"), Some("text/javascript; charset=utf-8"));
    let text = config.text();
    assert!(text.starts_with("window.K_CONFIG = {"), "{text}");
    for line in [
        "'ADMIN_GUI_URL': 'http://gui.test:8002'",
        "'ADMIN_GUI_PATH': '/'",
        &format!("'ADMIN_API_PORT': '{}'", node.admin().port()),
        "'RBAC_ENFORCED': 'true'",
        "'ADMIN_GUI_AUTH': ''",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn pages_are_guarded_and_kept() {
    let node = Node::start(&[GUI, ("admin_gui_csp_header", "on")]);
    let page = get(node.manager(), "/default/services").expect(200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let api = format!("connect-src 'self' http://127.0.0.1:{}", node.admin().port());
    assert!(policy.ends_with(&api), "{policy}");
    let style = asset(node.manager(), "style.css");
    let gzip = ("Accept-Encoding", "gzip");
    let sent = request(node.manager(), "GET", &style, &[gzip], b"").unwrap().expect(200);
    assert_eq!(sent.header("content-encoding"), Some("gzip"));
    let tag = ("If-None-Match", sent.header("etag").unwrap());
    request(node.manager(), "GET", &style, &[gzip, tag], b"").unwrap().expect(304);
}

#[test]
fn nothing_but_pages_is_there() {
    let node = Node::start(&[GUI]);
    let inside = asset(node.manager(), "");
    for path in
        ["../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/x", "..\\x", "style.css/..", "x\u{0}"]
    {
        let head = format!("GET {inside}{path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let status = raw(node.manager(), &head).status;
        assert!(status == 404 || status == 400, "{path}: {status}");
    }
    for path in ["/../../etc/passwd", "/services", "/%00", "//evil.test/"] {
        let page = raw(node.manager(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).expect(200);
        assert!(page.text().contains("<base href=\"/\">"), "{path}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        let refused = request(node.manager(), method, "/services", &[], b"").unwrap().expect(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{method}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{method}");
    }
    let large = "x".repeat(40_000);
    let refused = raw(node.manager(), &format!("GET / HTTP/1.1\r\nHost: x\r\nX: {large}\r\n\r\n"));
    assert!([400, 431].contains(&refused.status), "{}", refused.status);
    get(node.manager(), "/").expect(200);
}

#[test]
fn pages_below_a_path() {
    let node = Node::start(&[GUI, ("admin_gui_path", "/manager")]);
    assert_eq!(get(node.manager(), "/").expect(302).header("location"), Some("/manager/"));
    assert!(get(node.manager(), "/manager/default/routes").expect(200).text().contains("<base href=\"/manager/\">"));
    get(node.manager(), "/elsewhere").expect(404);
}

#[test]
fn pages_over_tls() {
    let node =
        Node::start(&[("admin_gui_listen", "127.0.0.1:0 ssl"), ("admin_listen", "127.0.0.1:0, 127.0.0.1:0 ssl")]);
    let secured = Client::new(&Offer::default()).get(node.manager(), Some("localhost"), "/kconfig.js").unwrap();
    let text = secured.response.expect(200).text();
    assert!(text.contains(&format!("'ADMIN_API_SSL_PORT': '{}'", node.admin_tls().port())), "{text}");
}

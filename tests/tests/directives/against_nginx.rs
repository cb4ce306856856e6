//! The same directives given to nginx and to a node: what clients see must be the same.

use super::node_before;
use blackbox::http::{Response, request};
use blackbox::{Nginx, Scripted};
use flate2::read::GzDecoder;
use std::io::Read;
use std::net::SocketAddr;

/// Settings of a node (`kong.conf` names), and the same in nginx's words.
struct Case {
    settings: &'static [(&'static str, &'static str)],
    http: &'static str,
    server: &'static str,
}

/// Lines of answers that directives change.
const LINES: &[&str] = &[
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "Transfer-Encoding",
    "Accept-Ranges",
    "ETag",
    "Vary",
    "Connection",
    "Keep-Alive",
    "X-A",
    "X-B",
    "X-Powered-By",
];

/// What is asked: path, method and lines.
const REQUESTS: &[(&str, &str, &[(&str, &str)])] = &[
    ("GET", "/", &[]),
    ("GET", "/?a=b", &[("Accept-Encoding", "gzip")]),
    ("GET", "/", &[("Accept-Encoding", "gzip;q=0, deflate")]),
    ("GET", "/", &[("Accept-Encoding", "gzip"), ("Via", "1.1 front")]),
    ("GET", "/", &[("Accept-Encoding", "gzip"), ("Via", "1.1 front"), ("Authorization", "x")]),
    ("GET", "/", &[("Accept-Encoding", "gzip"), ("User-Agent", "Mozilla/4.0 (compatible; MSIE 6.0)")]),
    ("HEAD", "/", &[("Accept-Encoding", "gzip")]),
    ("GET", "/", &[("Connection", "close")]),
];

/// Type, status and further lines of what a service answers.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("text/html", "200 OK", "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nX-Powered-By: x\r\n"),
    ("text/plain", "200 OK", "ETag: W/\"a\"\r\nCache-Control: no-store\r\n"),
    ("text/html; charset=latin1", "404 Not Found", ""),
    ("application/json", "201 Created", "ETag: bare\r\n"),
    ("application/json", "200 OK", "Content-Encoding: br\r\n"),
    ("text/css", "500 Internal Server Error", "X-Powered-By: x\r\n"),
    ("text/html; level=1", "200 OK", "Vary: Origin\r\n"),
    ("text/html", "302 Found", "Location: /x\r\n"),
];

const CASES: &[Case] = &[
    Case {
        settings: &[("nginx_http_gzip", "on"), ("nginx_http_add_header", "X-A 1")],
        http: "gzip on; add_header X-A 1;",
        server: "",
    },
    Case {
        settings: &[
            ("nginx_http_gzip", "on"),
            ("nginx_http_gzip_types", "text/plain application/json"),
            ("nginx_proxy_gzip_vary", "on"),
            ("nginx_http_gzip_proxied", "no-store auth"),
            ("nginx_http_gzip_min_length", "100"),
            ("nginx_http_gzip_comp_level", "6"),
            ("nginx_http_gzip_disable", "msie6"),
            ("nginx_http_add_header", "X-A outer"),
            ("nginx_proxy_add_header", "X-B \"$status $arg_a $request_method\" always"),
            ("nginx_http_keepalive_timeout", "30s 20s"),
        ],
        http: "gzip on; gzip_types text/plain application/json; gzip_proxied no-store auth; gzip_min_length 100; \
               gzip_comp_level 6; gzip_disable msie6; add_header X-A outer; keepalive_timeout 30s 20s;",
        server: "gzip_vary on; add_header X-B \"$status $arg_a $request_method\" always;",
    },
    Case {
        settings: &[
            ("nginx_http_gzip", "on"),
            ("nginx_http_gzip_types", "*"),
            ("nginx_http_gzip_proxied", "any"),
            ("nginx_proxy_charset", "koi8-r"),
            ("nginx_http_charset_types", "application/json"),
            ("nginx_http_proxy_hide_header", "x-powered-by"),
            ("nginx_http_keepalive_requests", "1"),
        ],
        http: "gzip on; gzip_types *; gzip_proxied any; charset_types application/json; \
               proxy_hide_header x-powered-by; keepalive_requests 1;",
        server: "charset koi8-r;",
    },
];

#[test]
fn clients_see_the_same() {
    for (kind, status, lines) in ANSWERS {
        let content = "all the same ".repeat(40);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{lines}Content-Length: {}\r\n\r\n", content.len());
        let service = Scripted::start(head + &content);
        for (number, case) in CASES.iter().enumerate() {
            let nginx = nginx(&service, case);
            let node = node_before(&service, case.settings);
            for (method, path, lines) in REQUESTS {
                let [expected, got] = [nginx.address, node.proxy()].map(|address| seen(address, method, path, lines));
                assert_eq!(got, expected, "case {number}, {method} {path} {lines:?}: {kind}, {status}");
            }
        }
    }
}

fn nginx(service: &Scripted, case: &Case) -> Nginx {
    Nginx::start(|folder, address| {
        format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; server_tokens off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
             fastcgi_temp_path {folder}/f; scgi_temp_path {folder}/s; uwsgi_temp_path {folder}/u;\n\
             {} {}\n\
             server {{ listen {address}; {}\n\
             location / {{ proxy_http_version 1.1; proxy_pass http://{}; }} }} }}",
            if case.server.contains("charset") { "" } else { "charset UTF-8;" },
            case.http,
            case.server,
            service.address
        )
    })
}

/// Status, the lines that matter, and the content without its coding.
fn seen(address: SocketAddr, method: &str, path: &str, lines: &[(&str, &str)]) -> (u16, Vec<String>, String) {
    let answer = request(address, method, path, lines, b"").unwrap();
    let named = |(name, value): &(String, String)| {
        let known = LINES.iter().find(|known| known.eq_ignore_ascii_case(name))?;
        Some(format!("{known}: {value}"))
    };
    let mut shown: Vec<String> = answer.headers.iter().filter_map(named).collect();
    shown.sort();
    (answer.status, shown, content(&answer))
}

fn content(answer: &Response) -> String {
    let mut content = Vec::new();
    if answer.header("Content-Encoding") == Some("gzip") && !answer.body.is_empty() {
        GzDecoder::new(&answer.body[..]).read_to_end(&mut content).unwrap();
    } else {
        content.clone_from(&answer.body);
    }
    String::from_utf8(content).unwrap()
}

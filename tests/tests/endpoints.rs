//! Every path of Kong's Admin API and Status API: what it can do, and what it says to what it cannot.

use blackbox::Node;
use blackbox::http::{form, get, request};
use serde_json::Value;
use std::collections::HashSet;
use std::net::SocketAddr;

const COLLECTION: &str = "GET, HEAD, OPTIONS, POST";
const COLLECTION_OR_DELETE: &str = "DELETE, GET, HEAD, OPTIONS, POST";
const RECORD: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT";
const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "OPTIONS, POST";
const SET: &str = "OPTIONS, PUT";
const READ_OR_DELETE: &str = "DELETE, GET, HEAD, OPTIONS";
const DELETE: &str = "DELETE, OPTIONS";
/// A name that `/endpoints` lists and nothing answers by.
const NAME_ONLY: &str = "";

/// What `Allow` says, and the paths of which it does.
const CORE: &[(&str, &[&str])] = &[
    (
        READ,
        &[
            "/",
            "/clustering/data-planes",
            "/clustering/status",
            "/debug/node/log-level",
            "/endpoints",
            "/openapi.json",
            "/partials/{partials}/links",
            "/plugins/enabled",
            "/plugins/schema/{name}",
            "/routes/{routes}/filters/all",
            "/routes/{routes}/filters/disabled",
            "/routes/{routes}/filters/enabled",
            "/schemas/filters/{name}",
            "/schemas/partials/{name}",
            "/schemas/plugins/{name}",
            "/schemas/vaults/{name}",
            "/schemas/{name}",
            "/status",
            "/status/dns",
            "/timers",
            "/upstreams/{upstreams}/health",
            "/upstreams/{upstreams}/targets/all",
        ],
    ),
    (
        WRITE,
        &[
            "/schemas/partials/validate",
            "/schemas/plugins/validate",
            "/schemas/vaults/validate",
            "/schemas/{db_entity_name}/validate",
        ],
    ),
    (
        SET,
        &[
            "/debug/cluster/log-level/{log_level}",
            "/debug/node/log-level/{log_level}",
            "/upstreams/{upstreams}/targets/{targets}/healthy",
            "/upstreams/{upstreams}/targets/{targets}/unhealthy",
            "/upstreams/{upstreams}/targets/{targets}/{address}/healthy",
            "/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy",
        ],
    ),
    (DELETE, &["/cache"]),
    (
        READ_OR_DELETE,
        &[
            "/cache/{key}",
            "/consumer_groups/{consumer_groups}/consumers/{consumers}",
            "/consumers/{consumers}/consumer_groups/{consumer_groups}",
        ],
    ),
    (COLLECTION_OR_DELETE, &["/consumer_groups/{consumer_groups}/consumers", "/consumers/{consumers}/consumer_groups"]),
    (NAME_ONLY, &["/snis/{snis}/certificate", "/targets", "/targets/{targets}", "/targets/{targets}/upstream"]),
    (
        COLLECTION,
        &[
            "/ca_certificates",
            "/certificates",
            "/certificates/{certificates}/services",
            "/certificates/{certificates}/snis",
            "/certificates/{certificates}/upstreams",
            "/config",
            "/consumer_groups",
            "/consumer_groups/{consumer_groups}/plugins",
            "/consumers",
            "/consumers/{consumers}/plugins",
            "/filter-chains",
            "/key-sets",
            "/key-sets/{key_sets}/keys",
            "/keys",
            "/partials",
            "/plugins",
            "/routes",
            "/routes/{routes}/filter-chains",
            "/routes/{routes}/plugins",
            "/services",
            "/services/{services}/filter-chains",
            "/services/{services}/plugins",
            "/services/{services}/routes",
            "/snis",
            "/tags",
            "/upstreams",
            "/upstreams/{upstreams}/targets",
            "/vaults",
        ],
    ),
    (
        RECORD,
        &[
            "/ca_certificates/{ca_certificates}",
            "/certificates/{certificates}",
            "/certificates/{certificates}/services/{services}",
            "/certificates/{certificates}/snis/{snis}",
            "/certificates/{certificates}/upstreams/{upstreams}",
            "/consumer_groups/{consumer_groups}",
            "/consumer_groups/{consumer_groups}/plugins/{plugins}",
            "/consumers/{consumers}",
            "/consumers/{consumers}/plugins/{plugins}",
            "/filter-chains/{filter_chains}",
            "/filter-chains/{filter_chains}/route",
            "/filter-chains/{filter_chains}/service",
            "/key-sets/{key_sets}",
            "/key-sets/{key_sets}/keys/{keys}",
            "/keys/{keys}",
            "/keys/{keys}/set",
            "/partials/{partials}",
            "/plugins/{plugins}",
            "/plugins/{plugins}/consumer",
            "/plugins/{plugins}/consumer_group",
            "/plugins/{plugins}/route",
            "/plugins/{plugins}/service",
            "/routes/{routes}",
            "/routes/{routes}/filter-chains/{filter_chains}",
            "/routes/{routes}/plugins/{plugins}",
            "/routes/{routes}/service",
            "/services/{services}",
            "/services/{services}/client_certificate",
            "/services/{services}/filter-chains/{filter_chains}",
            "/services/{services}/plugins/{plugins}",
            "/services/{services}/routes/{routes}",
            "/snis/{snis}",
            "/tags/{tags}",
            "/upstreams/{upstreams}",
            "/upstreams/{upstreams}/client_certificate",
            "/upstreams/{upstreams}/targets/{targets}",
            "/vaults/{vaults}",
        ],
    ),
];

/// Credentials of plugins: path of the collection, entity, and path under a consumer.
const CREDENTIALS: &[(&str, &str, &str, &str)] = &[
    ("acl", "/acls", "acls", "acls"),
    ("basic-auth", "/basic-auths", "basicauth_credentials", "basic-auth"),
    ("hmac-auth", "/hmac-auths", "hmacauth_credentials", "hmac-auth"),
    ("jwt", "/jwts", "jwt_secrets", "jwt"),
    ("key-auth", "/key-auths", "keyauth_credentials", "key-auth"),
    ("oauth2", "/oauth2", "oauth2_credentials", "oauth2"),
];

/// All paths with what `Allow` says, for the plugins of a node.
fn expected(plugins: &HashSet<String>) -> Vec<(String, &'static str)> {
    let core = CORE.iter().flat_map(|(allow, paths)| paths.iter().map(|path| ((*path).to_owned(), *allow)));
    let credentials = CREDENTIALS.iter().filter(|(plugin, ..)| plugins.contains(*plugin));
    let credentials = credentials.flat_map(|(_, path, entity, nested)| {
        [
            ((*path).to_owned(), COLLECTION),
            (format!("{path}/{{{entity}}}"), RECORD),
            (format!("{path}/{{{entity}}}/consumer"), RECORD),
            (format!("/consumers/{{consumers}}/{nested}"), COLLECTION),
            (format!("/consumers/{{consumers}}/{nested}/{{{entity}}}"), RECORD),
        ]
    });
    core.chain(credentials).collect()
}

/// A path with something in place of its parameters that is known where a schema is asked for, and nothing else is.
fn filled(path: &str) -> String {
    let known = [
        ("/schemas/plugins/{name}", "/schemas/plugins/key-auth"),
        ("/schemas/partials/{name}", "/schemas/partials/redis-ce"),
        ("/plugins/schema/{name}", "/plugins/schema/key-auth"),
        ("/schemas/vaults/{name}", "/schemas/vaults/env"),
        ("{name}", "services"),
        ("{db_entity_name}", "services"),
        ("{log_level}", "notice"),
    ];
    let mut path = known.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    while let (Some(begin), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(begin..=end, "00000000-0000-4000-8000-000000000000");
    }
    path
}

fn call(address: SocketAddr, method: &str, path: &str) -> blackbox::http::Response {
    request(address, method, path, &[], b"").unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

#[test]
fn every_path_has_its_methods() {
    let node = Node::start(&[]);
    let enabled = get(node.admin(), "/plugins/enabled").json();
    let plugins = enabled["enabled_plugins"].as_array().unwrap().iter().filter_map(Value::as_str);
    let plugins: HashSet<String> = plugins.map(str::to_owned).collect();
    for (path, allow) in expected(&plugins) {
        let path = filled(&path);
        let options = call(node.admin(), "OPTIONS", &path);
        let unknown = call(node.admin(), "FOO", &path);
        if allow == NAME_ONLY {
            assert_eq!(options.status, 404, "{path}");
            assert_eq!(unknown.status, 404, "{path}");
            continue;
        }
        assert_eq!(options.status, 204, "{path}");
        assert_eq!(options.header("Allow"), Some(allow), "{path}");
        assert_eq!(options.header("Access-Control-Allow-Methods"), Some(allow), "{path}");
        assert_eq!(unknown.status, 405, "{path}");
        assert_eq!(unknown.header("Allow"), Some(allow), "{path}");
        assert_eq!(unknown.json()["message"], "Method not allowed", "{path}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !allow.contains(method) {
                assert_eq!(call(node.admin(), method, &path).status, 405, "{method} {path}");
            }
        }
    }
}

#[test]
fn heads_are_those_of_what_is_read() {
    let node = Node::start(&[]);
    for (path, allow) in expected(&HashSet::new()) {
        let path = filled(&path);
        if !allow.contains("GET") {
            continue;
        }
        let (head, read) = (call(node.admin(), "HEAD", &path), call(node.admin(), "GET", &path));
        assert_eq!(head.status, read.status, "{path}");
        assert_eq!(head.body, b"", "{path}");
        assert!(read.status < 500 || path == "/status/dns", "{path}: {}", read.text());
        assert!(read.json().is_object(), "{path}: {}", read.text());
        assert_eq!(read.header("Content-Type"), Some("application/json; charset=utf-8"), "{path}");
    }
}

#[test]
fn content_of_other_types_is_not_read() {
    let node = Node::start(&[]);
    for (path, allow) in expected(&HashSet::new()) {
        let path = filled(&path);
        for method in ["POST", "PUT", "PATCH"] {
            let headers = [("Content-Type", "text/plain")];
            let refused = request(node.admin(), method, &path, &headers, b"x").unwrap();
            let status = if allow == NAME_ONLY { 404 } else { 415 };
            assert_eq!(refused.status, status, "{method} {path}");
        }
    }
}

#[test]
fn every_path_is_listed() {
    let node = Node::start(&[]);
    let listed = get(node.admin(), "/endpoints").json();
    let listed: HashSet<&str> = listed["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for (path, _) in expected(&HashSet::from(["key-auth".to_owned()])) {
        assert!(listed.contains(path.as_str()), "{path}");
    }
}

#[test]
fn the_status_api_has_little() {
    let node = Node::start(&[("new_dns_client", "on"), ("dns_resolver", "127.0.0.1:1")]);
    let status = node.status();
    for (path, allow) in [("/status", READ), ("/status/dns", READ), ("/status/ready", COLLECTION)] {
        get(status, path).expect(200);
        assert_eq!(call(status, "OPTIONS", path).header("Allow"), Some(allow), "{path}");
        assert_eq!(call(status, "DELETE", path).status, 405, "{path}");
    }
    for path in ["/", "/services", "/endpoints", "/upstreams/u/health"] {
        assert_eq!(get(status, path).status, 404, "{path}");
    }
    assert_eq!(get(node.admin(), "/status/ready").status, 404);
    let counted = get(status, "/status/dns").json();
    assert_eq!(counted["worker"]["id"], 0);
    assert!(counted["stats"].is_object());
    form(status, "POST", "/status/ready", "status=nonsense").expect(400);
    get(status, "/status/ready").expect(200);
    form(status, "POST", "/status/ready", "status=draining").expect(204);
    assert_eq!(get(status, "/status/ready").expect(503).json()["message"], "draining");
}

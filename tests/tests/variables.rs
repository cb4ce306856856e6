//! nginx's variables and Kong's own, in lines of the log and of heads.

use blackbox::http::{Connection, form, json};
use blackbox::tls::{Client, Offer, Pair};
use blackbox::{Node, Scripted, eventually};
use rustls::version::TLS13;
use serde_json::{Value, json};

/// A node with these settings and a route `/` to a service.
fn node_before(service: &Scripted, settings: &[(&str, &str)]) -> Node {
    let node = Node::start(settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}/base", service.address)).expect(201);
    json(node.admin(), "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    node
}

/// What is said in the lines of a log of JSON, once there are so many.
fn noted(node: &Node, count: usize) -> Vec<Value> {
    let path = node.prefix().join("logs/own.log");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the lines", || lines().lines().count() >= count);
    lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn services_learn_what_clients_have_shown() {
    let service = Scripted::answering("text/plain", b"ok");
    let root = Pair::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    std::fs::write(&ca, &root.chain).unwrap();
    let lines = "X-Verify $ssl_client_verify; proxy_set_header X-DN $ssl_client_s_dn; \
                 proxy_set_header X-Cert $ssl_client_escaped_cert; proxy_set_header X-Tls $ssl_protocol; \
                 proxy_set_header X-Hops $proxy_add_x_forwarded_for; proxy_set_header X-Uri $upstream_uri; \
                 proxy_set_header X-Told $upstream_x_forwarded_host; proxy_set_header X-Content $request_body";
    let node = node_before(
        &service,
        &[
            ("nginx_proxy_ssl_verify_client", "optional"),
            ("nginx_proxy_ssl_client_certificate", ca.to_str().unwrap()),
            ("nginx_location_proxy_set_header", lines),
            ("nginx_proxy_add_header", "X-Suite $ssl_cipher always"),
        ],
    );
    let known = root.issue(&["ada"]);
    let client = Client::new(&Offer { certificate: Some(&known), versions: &[&TLS13], ..Offer::default() });
    let mut connection = client.open(node.proxy_tls(), Some("a.test")).unwrap();
    let sent = [("X-Forwarded-For", "192.0.2.7"), ("X-DN", "CN=forged"), ("Content-Type", "text/plain")];
    connection.send("POST", "/x?y=1", &sent, b"a=1&b=2").unwrap();
    let answer = connection.receive(false).unwrap().expect(200);
    assert!(answer.header("X-Suite").is_some_and(|suite| suite.starts_with("TLS_")), "{answer:?}");
    let seen = service.last();
    assert_eq!(seen.header("X-Verify"), Some("SUCCESS"));
    assert_eq!(seen.header("X-DN"), Some("CN=ada"));
    assert!(seen.header("X-Cert").is_some_and(|cert| cert.starts_with("-----BEGIN%20CERTIFICATE-----%0AM")));
    assert_eq!(seen.header("X-Tls"), Some("TLSv1.3"));
    assert_eq!(seen.header("X-Hops"), Some("192.0.2.7, 127.0.0.1"));
    assert_eq!(seen.header("X-Uri"), Some("/base/x?y=1"));
    assert_eq!(seen.header("X-Told"), seen.header("X-Forwarded-Host"));
    assert_eq!(seen.header("X-Content"), Some("a=1&b=2"));

    // Nobody says it in the gateway's place.
    let answer = blackbox::http::request(node.proxy(), "GET", "/", &[("X-DN", "CN=forged")], b"").unwrap().expect(200);
    assert_eq!(answer.header("X-Suite"), None);
    for name in ["X-DN", "X-Verify", "X-Cert", "X-Tls", "X-Content"] {
        assert_eq!(service.last().header(name), None, "{name}");
    }
}

#[test]
fn the_log_tells_of_connections_and_services() {
    let content = vec![b'x'; 3000];
    let service = Scripted::answering("text/plain", &content);
    let format = concat!(
        r#"own escape=json '{"tls":"$ssl_protocol $ssl_alpn_protocol $ssl_session_reused","group":"$ssl_curve","#,
        r#""connect":"$upstream_connect_time","head":"$upstream_header_time","sent":"$upstream_bytes_sent","#,
        r#""received":"$upstream_bytes_received","length":"$upstream_response_length","done":"$request_completion","#,
        r#""host":"$upstream_host","scheme":"$upstream_scheme","mode":"$kong_proxy_mode","age":"$connection_time","#,
        r#""content":"$request_body","ratio":"$gzip_ratio","http2":"$http2","cache":"$upstream_cache_status"}'"#,
    );
    let settings = [
        ("nginx_http_log_format", format),
        ("proxy_access_log", "logs/own.log own"),
        ("nginx_proxy_gzip", "on"),
        ("nginx_proxy_gzip_types", "*"),
    ];
    let node = node_before(&service, &settings);
    let client = Client::new(&Offer { alpn: &["http/1.1"], ..Offer::default() });
    let mut connection = client.open(node.proxy_tls(), None).unwrap();
    for compressed in [false, true] {
        let lines: &[_] = if compressed { &[("Accept-Encoding", "gzip")] } else { &[] };
        connection.send("POST", "/", lines, b"secret").unwrap();
        connection.receive(false).unwrap().expect(200);
    }
    let lines = noted(&node, 2);
    for line in &lines {
        assert_eq!(line["tls"], "TLSv1.3 http/1.1 .");
        assert!(!line["group"].as_str().unwrap().is_empty());
        assert_eq!(line["length"], "3000");
        assert_eq!(line["done"], "OK");
        assert_eq!(line["host"], service.address.to_string());
        assert_eq!(line["scheme"], "http");
        assert_eq!(line["mode"], "http");
        assert_eq!(line["content"], "secret");
        assert_eq!(line["http2"], "");
        assert_eq!(line["cache"], "");
        for name in ["connect", "head", "age"] {
            let time = line[name].as_str().unwrap();
            assert!(time.split_once('.').is_some_and(|(_, millis)| millis.len() == 3), "{name}: {time}");
        }
        let number = |name: &str| line[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(number("received") > 3000, "{line}");
        assert!((100..1000).contains(&number("sent")), "{line}");
    }
    assert_eq!(lines[0]["ratio"], "");
    assert!(lines[1]["ratio"].as_str().unwrap().parse::<f64>().unwrap() > 10.0, "{}", lines[1]);
}

#[test]
fn the_log_tells_of_tries_that_failed() {
    let service = Scripted::answering("text/plain", b"ok");
    let format = concat!(
        r#"own escape=json '{"status":"$upstream_status","connect":"$upstream_connect_time","#,
        r#""head":"$upstream_header_time","done":"$request_completion"}'"#,
    );
    let node = node_before(&service, &[("nginx_http_log_format", format), ("proxy_access_log", "logs/own.log own")]);
    json(node.admin(), "PATCH", "/services/s", &json!({ "port": 1, "retries": 0 })).expect(200);
    let mut connection = Connection::open(node.proxy()).unwrap();
    connection.send("GET", "/", &[], b"").unwrap();
    connection.receive(false).unwrap().expect(502);
    let line = noted(&node, 1).remove(0);
    assert_eq!(line["status"], "502");
    assert_eq!(line["connect"], "-");
    assert_eq!(line["head"], "-");
    assert_eq!(line["done"], "OK");
}

#[test]
fn the_log_tells_what_clients_offer_and_balancers_say() {
    let service = Scripted::answering("text/plain", b"ok");
    let format = concat!(
        r#"own escape=json '{"ciphers":"$ssl_ciphers","curves":"$ssl_curves","rate":"$limit_rate","#,
        r#""authority":"$proxy_protocol_tlv_authority","endpoint":"$proxy_protocol_tlv_0xea","#,
        r#""version":"$proxy_protocol_tlv_ssl_version","rtt":"$tcpinfo_rtt"}'"#,
    );
    let settings = [
        ("proxy_listen", "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 ssl"),
        ("nginx_http_log_format", format),
        ("proxy_access_log", "logs/own.log own"),
        ("nginx_proxy_limit_rate", "1m"),
        ("nginx_proxy_add_header", "X-Rtt $tcpinfo_rtt"),
    ];
    let node = node_before(&service, &settings);
    node.says("'$tcpinfo_rtt' of 'own' has no value here: ");
    node.says("nginx_proxy_add_header: the variable '$tcpinfo_rtt' has no value here: ");
    let answer = Client::new(&Offer { versions: &[&TLS13], ..Offer::default() }).get(node.proxy_tls(), None, "/");
    let answer = answer.unwrap().response.expect(200);
    assert_eq!(answer.header("X-Rtt"), None);
    let line = noted(&node, 1).remove(0);
    let ciphers = line["ciphers"].as_str().unwrap();
    assert!(ciphers.split(':').any(|name| name == "TLS_AES_128_GCM_SHA256"), "{ciphers}");
    let curves = line["curves"].as_str().unwrap();
    assert!(curves.split(':').any(|name| name == "X25519"), "{curves}");
    assert_eq!(line["rate"], "1048576");
    assert_eq!(line["rtt"], "");

    let of_tls = [&[1, 0, 0, 0, 0, 0x21, 0, 7][..], b"TLSv1.3"].concat();
    let value = |kind: u8, octets: &[u8]| [&[kind, 0, octets.len() as u8][..], octets].concat();
    let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
    let behind = [value(2, b"a.test"), value(0xea, b"vpce-1"), value(0x20, &of_tls)].concat();
    let length = (addresses.len() + behind.len()) as u8;
    let mut connection = Connection::open(node.proxy()).unwrap();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    connection.send_raw(&[&signature[..], &[0x21, 0x11, 0, length], &addresses, &behind].concat()).unwrap();
    connection.send("GET", "/", &[], b"").unwrap();
    connection.receive(false).unwrap().expect(200);
    let line = noted(&node, 2).remove(1);
    assert_eq!(line["authority"], "a.test");
    assert_eq!(line["endpoint"], "vpce-1");
    assert_eq!(line["version"], "TLSv1.3");
    assert_eq!(line["ciphers"], "");
}

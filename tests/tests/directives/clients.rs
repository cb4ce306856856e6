//! `ssl_verify_client` and what belongs to it, on the proxy, the Admin and the Status API.

use blackbox::http::{Response, get};
use blackbox::tls::{Client, Offer, Pair};
use blackbox::{Node, bascule, eventually};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::version::{TLS12, TLS13};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

const NONE_SENT: &str = "No required SSL certificate was sent";
const NOT_VERIFIED: &str = "The SSL certificate error";

/// A node with TLS on all three interfaces and these settings.
fn secure_node(settings: &[(&str, &str)]) -> Node {
    let mut all = vec![("admin_listen", "127.0.0.1:0, 127.0.0.1:0 ssl"), ("status_listen", "127.0.0.1:0 ssl")];
    all.extend(settings);
    Node::start(&all)
}

fn ask(address: SocketAddr, certificate: Option<&Pair>) -> Response {
    let client = Client::new(&Offer { certificate, ..Offer::default() });
    client.get(address, None, "/").unwrap().response
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_admin_api_of_the_helm_chart() {
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca", &root.chain);
    let node = secure_node(&[("nginx_admin_ssl_verify_client", "on"), ("nginx_admin_ssl_client_certificate", &ca)]);
    let none = ask(node.admin_tls(), None).expect(400);
    assert_eq!(none.json()["message"], NONE_SENT);
    assert_eq!(none.header("Connection"), Some("close"));
    let unknown = ask(node.admin_tls(), Some(&other.issue(&["client"]))).expect(400);
    assert_eq!(unknown.json()["message"], NOT_VERIFIED);
    assert_eq!(ask(node.admin_tls(), Some(&root.issue(&["client"]))).expect(200).json()["version"], "3.10.0");
    // Other interfaces, and addresses without TLS, ask nobody.
    ask(node.status(), None).expect(404);
    ask(node.proxy_tls(), None).expect(404);
    get(node.admin(), "/").expect(200);
}

#[test]
fn all_interfaces_and_versions() {
    let root = Pair::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca", &root.chain);
    let node = secure_node(&[("nginx_http_ssl_verify_client", "on"), ("nginx_http_ssl_client_certificate", &ca)]);
    let (good, bad) = (root.issue(&["client"]), Pair::authority("other").issue(&["client"]));
    for address in [node.proxy_tls(), node.admin_tls(), node.status()] {
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let status = |certificate, expected: &str| {
                let client = Client::new(&Offer { versions, certificate, ..Offer::default() });
                // The second connection resumes the session of the first.
                [(); 2].map(|()| {
                    let answer = client.get(address, None, "/").unwrap();
                    assert!(answer.response.text().contains(expected), "{}", answer.response.text());
                    (answer.response.status, answer.resumed)
                })
            };
            assert_eq!(status(None, NONE_SENT), [(400, false), (400, true)]);
            assert_eq!(status(Some(&bad), NOT_VERIFIED), [(400, false), (400, true)]);
            let [(first, _), (second, resumed)] = status(Some(&good), "");
            assert_ne!(first, 400);
            assert_eq!(second, first);
            assert!(resumed);
        }
    }
}

#[test]
fn a_refused_client_is_asked_for_nothing_more() {
    let root = Pair::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca", &root.chain);
    let node = secure_node(&[("nginx_http_ssl_verify_client", "on"), ("nginx_http_ssl_client_certificate", &ca)]);
    for address in [node.proxy_tls(), node.admin_tls(), node.status()] {
        let mut connection = Client::new(&Offer::default()).open(address, None).unwrap();
        connection.send("GET", "/", &[], b"").unwrap();
        assert_eq!(connection.receive(false).unwrap().expect(400).header("Connection"), Some("close"));
        let again = connection.send("GET", "/", &[], b"").and_then(|()| connection.receive(false));
        assert!(again.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock), "{address}");
    }
}

#[test]
fn modes_depth_and_further_authorities() {
    let root = Pair::authority("root");
    let between = root.lesser("between").lesser("lower");
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca", &root.chain);
    let node = secure_node(&[
        ("nginx_proxy_ssl_verify_client", "optional"),
        ("nginx_proxy_ssl_trusted_certificate", &ca),
        ("nginx_proxy_ssl_verify_depth", "2"),
        ("nginx_admin_ssl_verify_client", "on"),
        ("nginx_admin_ssl_client_certificate", &ca),
        ("nginx_status_ssl_verify_client", "optional_no_ca"),
    ]);
    let (far, unknown) = (between.issue(&["far"]), Pair::authority("other").issue(&["unknown"]));
    let statuses = |address| [None, Some(&far), Some(&unknown)].map(|certificate| ask(address, certificate).status);
    assert_eq!(statuses(node.proxy_tls()), [404, 404, 400]);
    assert_eq!(statuses(node.admin_tls()), [400, 400, 400]);
    assert_eq!(statuses(node.status()), [404, 404, 404]);
}

#[test]
fn revocation_lists_are_renewed_by_a_reload() {
    let root = Pair::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let list = |serials: &[SerialNumber]| {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: serial.clone(),
                    revocation_time: rcgen::date_time_ymd(2021, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&root.issuer()).unwrap().pem().unwrap()
    };
    let (ca, crl) = (write(folder.path(), "ca", &root.chain), write(folder.path(), "crl", &list(&[])));
    let node = secure_node(&[
        ("nginx_http_ssl_verify_client", "on"),
        ("nginx_http_ssl_client_certificate", &ca),
        ("nginx_http_ssl_crl", &crl),
    ]);
    let client = root.issue(&["client"]);
    let addresses = [node.proxy_tls(), node.admin_tls(), node.status()];
    let refused = || addresses.map(|address| ask(address, Some(&client)).status == 400);
    assert_eq!(refused(), [false; 3]);
    write(folder.path(), "crl", &list(&[client.serial()]));
    let reload = |expected: bool| {
        let output = bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap();
        assert_eq!(output.status.success(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    };
    reload(true);
    eventually("the new list", || refused() == [true; 3]);
    write(folder.path(), "crl", &list(&[]));
    reload(true);
    eventually("the newest list", || refused() == [false; 3]);
}

#[test]
fn what_cannot_verify_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = write(folder.path(), "empty", "");
    let missing = folder.path().join("missing").display().to_string();
    let conf = folder.path().join("kong.conf");
    for (setting, value, word) in [
        ("nginx_admin_ssl_client_certificate", &missing, "nginx_admin_ssl_client_certificate: cannot read"),
        (
            "nginx_admin_ssl_client_certificate",
            &empty,
            "nginx_admin_ssl_client_certificate: there is no certificate in",
        ),
        (
            "nginx_http_ssl_session_tickets",
            &"on".to_owned(),
            "nginx_admin_ssl_verify_client: no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client",
        ),
    ] {
        let text = format!(
            "prefix = {}\nadmin_listen = 127.0.0.1:0 ssl\nproxy_listen = off\nstatus_listen = off\n\
             nginx_admin_ssl_verify_client = on\n{setting} = {value}\n",
            folder.path().join("node").display()
        );
        std::fs::write(&conf, text).unwrap();
        for command in ["check", "start", "restart"] {
            let mut command = match command {
                "check" => {
                    let mut check = bascule();
                    check.arg("check").arg(&conf);
                    check
                }
                other => {
                    let mut other_command = bascule();
                    other_command.arg(other).arg("--conf").arg(&conf);
                    other_command
                }
            };
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains(word), "{command:?}: {said}");
        }
    }
}

//! One probe: connect, and for http ask for a path and read the status line, for gRPC ask the service how it is.

use super::tls::ProbeTls;
use super::{Outcome, grpc};
use crate::listener::Descriptors;
use model::entities::{ActiveChecks, CheckKind, Upstream, Uuid};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use wire::Fields;
use wire::net::{LogLimiter, is_local_fault};

/// Probes that were not even sent.
static FAILED: LogLimiter = LogLimiter::new();

/// Those to targets whose TLS, certificates among it, is not as it should be.
static INSECURE: LogLimiter = LogLimiter::new();

/// Status lines are not longer than that.
const MAX_STATUS_LINE: usize = 1024;

/// How an upstream is probed; made once for a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub checks: ActiveChecks,
    host_header: Option<String>,
    client_certificate: Option<Uuid>,
}

impl Probe {
    pub fn new(upstream: &Upstream) -> Probe {
        let checks = upstream.healthchecks.active.clone();
        Probe { checks, host_header: upstream.host_header.clone(), client_certificate: upstream.client_certificate }
    }

    /// Probes an address of a target of that name.
    pub async fn run(&self, address: SocketAddr, host: &str, tls: &ProbeTls) -> Outcome {
        let patience = self.checks.timeout.max(Duration::from_millis(1));
        match timeout(patience, self.attempt(address, host, tls)).await {
            Err(_) => Outcome::Timeout,
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Outcome::Timeout,
            Ok(Err(error)) if is_local_fault(&error) => {
                FAILED.note(|n| tracing::error!("no connections for probes ({n} times): {error}"));
                Outcome::LocalFault
            }
            Ok(Err(error)) if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()) => {
                let sni = self.checks.https_sni.as_deref().or(self.host_header.as_deref()).unwrap_or(host);
                INSECURE
                    .note(|n| tracing::error!(%address, sni, "no TLS with targets for probes ({n} times): {error}"));
                Outcome::TlsFailure
            }
            Ok(Err(error)) => {
                tracing::debug!(%address, host, %error, "probe failed");
                Outcome::TcpFailure
            }
        }
    }

    async fn attempt(&self, address: SocketAddr, host: &str, tls: &ProbeTls) -> io::Result<Outcome> {
        let mut stream = Descriptors::of_process().service_socket(address)?.connect(address).await?;
        let host = self.host_header.as_deref().unwrap_or(host);
        match self.checks.kind {
            CheckKind::Tcp => Ok(Outcome::Connected),
            CheckKind::Grpc => grpc::check(stream, host, false, &self.checks.headers).await,
            CheckKind::Http => self.ask(&mut stream, host).await,
            CheckKind::Https | CheckKind::Grpcs => {
                let name = self.checks.https_sni.as_deref().unwrap_or(host);
                let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
                let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
                let is_grpc = self.checks.kind == CheckKind::Grpcs;
                let connector = tls.connector(self.checks.https_verify_certificate, self.client_certificate, is_grpc);
                let connector = match connector {
                    Ok(connector) => connector,
                    // What is missing is missing here.
                    Err(error) => {
                        FAILED.note(|n| tracing::error!("no connections for probes ({n} times): {error}"));
                        return Ok(Outcome::LocalFault);
                    }
                };
                let mut stream = connector.connect(name, stream).await?;
                if is_grpc {
                    return grpc::check(stream, host, true, &self.checks.headers).await;
                }
                self.ask(&mut stream, host).await
            }
        }
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut S, host: &str) -> io::Result<Outcome> {
        stream.write_all(&self.request(host)).await?;
        stream.flush().await?;
        let mut line = Vec::with_capacity(128);
        while !line.contains(&b'\n') && line.len() < MAX_STATUS_LINE {
            let mut chunk = [0; 256];
            match stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => line.extend_from_slice(&chunk[..length]),
            }
        }
        Ok(Outcome::Status(status(&line).unwrap_or(0)))
    }

    /// HTTP/1.0, so that the server closes; `Host` without port, as Kong's probes have it.
    fn request(&self, host: &str) -> Vec<u8> {
        let path = if is_clean(&self.checks.http_path) { &self.checks.http_path } else { "/" };
        let mut request = format!("GET {path} HTTP/1.0\r\n").into_bytes();
        let mut own_host = false;
        for (name, values) in self.checks.headers.iter().filter(|(name, _)| Fields::is_valid_name(name.as_bytes())) {
            own_host |= name.eq_ignore_ascii_case("host");
            for value in values.iter().filter(|value| Fields::is_valid_value(value.as_bytes())) {
                request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        if !own_host {
            request.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// Whether it can stand in a request line.
fn is_clean(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b > b' ' && b != 0x7f)
}

/// The status of `HTTP/x.y NNN ...`.
fn status(line: &[u8]) -> Option<u16> {
    let line = line.split(|b| *b == b'\n').next()?;
    let rest = line.strip_prefix(b"HTTP/")?;
    let (version, rest) = rest.split_at_checked(3)?;
    let [major, b'.', minor] = version else { return None };
    let (code, end) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let digits = major.is_ascii_digit() && minor.is_ascii_digit() && code.iter().all(u8::is_ascii_digit);
    let ends = end.first().is_none_or(|b| matches!(b, b' ' | b'\r'));
    (digits && ends).then(|| code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Record;
    use model::entities::Upstream;
    use tokio::net::TcpListener;

    fn probing(active: serde_json::Value, host_header: Option<&str>) -> Probe {
        let record = serde_json::json!({
            "id": uuid::Uuid::nil().to_string(), "name": "u",
            "host_header": host_header, "healthchecks": { "active": active }
        });
        let record: Record = record.as_object().unwrap().clone();
        Probe::new(&Upstream::from_record(&record).unwrap())
    }

    /// Answers one connection and gives back what it was asked.
    async fn server(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                asked.push(byte[0]);
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address, task)
    }

    #[tokio::test]
    async fn an_http_probe_asks_for_the_path_and_reads_the_status() {
        let probe = probing(
            serde_json::json!({ "http_path": "/health", "headers": { "x-a": ["1", "2"], "bad name": ["x"] } }),
            None,
        );
        let (address, asked) = server(b"HTTP/1.1 503 Sorry\r\n\r\n").await;
        assert_eq!(probe.run(address, "name.test", &ProbeTls::default()).await, Outcome::Status(503));
        assert_eq!(asked.await.unwrap(), "GET /health HTTP/1.0\r\nx-a: 1\r\nx-a: 2\r\nHost: name.test\r\n\r\n");
        let (address, asked) = server(b"SSH-2.0\r\n").await;
        let probe = probing(serde_json::json!({}), Some("other.test"));
        assert_eq!(probe.run(address, "name.test", &ProbeTls::default()).await, Outcome::Status(0));
        assert!(asked.await.unwrap().contains("Host: other.test\r\n"));
    }

    #[tokio::test]
    async fn refusals_closings_and_silence_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let probe = probing(serde_json::json!({ "timeout": 0.05 }), None);
        assert_eq!(probe.run(address, "h", &ProbeTls::default()).await, Outcome::Timeout);
        drop(listener);
        assert_eq!(probe.run(address, "h", &ProbeTls::default()).await, Outcome::TcpFailure);
        let probe = probing(serde_json::json!({}), None);
        let (address, _) = server(b"").await;
        assert_eq!(probe.run(address, "h", &ProbeTls::default()).await, Outcome::TcpFailure);
        let (address, _) = server(b"").await;
        let probe = probing(serde_json::json!({ "type": "tcp" }), None);
        assert_eq!(probe.run(address, "h", &ProbeTls::default()).await, Outcome::Connected);
    }

    /// With this authority, or none.
    fn secured(authority: Option<rustls::pki_types::CertificateDer<'static>>) -> ProbeTls {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(authority);
        let settings = crate::tls::Services {
            probes: crate::tls::Peers { roots: std::sync::Arc::new(roots), ..Default::default() },
            ..Default::default()
        };
        let tls = ProbeTls::default();
        tls.secure(crate::tls::Outbound::new(settings).unwrap(), crate::tls::Certificates::new(None));
        tls
    }

    #[tokio::test]
    async fn a_tls_probe_needs_tls() {
        let (address, _) = server(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let probe =
            probing(serde_json::json!({ "type": "https", "https_verify_certificate": false, "timeout": 0.2 }), None);
        let seen = probe.run(address, "127.0.0.1", &secured(None)).await;
        assert!(matches!(seen, Outcome::TlsFailure | Outcome::Timeout), "{seen:?}");
    }

    /// Speaks TLS with a certificate of its own for `name.test`; gives its address and the certificate.
    async fn tls_server() -> (SocketAddr, rustls::pki_types::CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["name.test".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let certificate = made.cert.der().clone();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        (address, certificate)
    }

    #[tokio::test]
    async fn certificates_are_verified_unless_that_is_switched_off() {
        let (address, certificate) = tls_server().await;
        let (system, own) = (secured(None), secured(Some(certificate)));
        let verifying = probing(serde_json::json!({ "type": "https" }), None);
        assert_eq!(verifying.run(address, "name.test", &system).await, Outcome::TlsFailure, "nobody vouches for it");
        assert_eq!(verifying.run(address, "other.test", &own).await, Outcome::TlsFailure, "it is for another name");
        assert_eq!(verifying.run(address, "name.test", &own).await, Outcome::Status(204));
        let named = probing(serde_json::json!({ "type": "https", "https_sni": "name.test" }), None);
        assert_eq!(named.run(address, "127.0.0.1", &own).await, Outcome::Status(204));
        let unverified = probing(serde_json::json!({ "type": "https", "https_verify_certificate": false }), None);
        assert_eq!(unverified.run(address, "127.0.0.1", &system).await, Outcome::Status(204));
    }

    #[test]
    fn status_lines_are_read_strictly() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 404\n", Some(404)),
            ("HTTP/1.1 20\r\n", None),
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/1.1  200 OK\r\n", None),
            ("http/1.1 200 OK\r\n", None),
            ("HTTP/11 200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), expected, "{line:?}");
        }
    }
}

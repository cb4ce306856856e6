//! The Admin API on sockets: TLS, deadlines, and the end. Time is the test's own: it passes when all else waits.

use super::Api;
use admin::{Admin, Connections, Interface, Listener, Options};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const GET: &[u8] = b"GET /services HTTP/1.1\r\nHost: a\r\n\r\n";
pub const GET_AND_CLOSE: &[u8] = b"GET /services HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &[u8] =
    b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
const WRITE: &[u8] = b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
    Content-Length: 17\r\n\r\nurl=http://a.test";
const EMPTY: &str = "{\"data\":[],\"next\":null}";

/// A server on a socket until it is told to stop.
pub struct Serving {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<()>,
}

async fn serving(admin: &Arc<Admin>, tls: Option<Arc<ServerConfig>>) -> Serving {
    serving_with(admin, tls, false).await
}

/// The same; `http2`: clients without TLS may begin with it.
pub async fn serving_with(admin: &Arc<Admin>, tls: Option<Arc<ServerConfig>>, http2: bool) -> Serving {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let tls = tls.map(|tls| Arc::new(tls) as Arc<dyn admin::Tls>);
    let listener = Listener { socket: socket.into(), tls, proxy_protocol: false, http2 };
    let shutdown = async move { drop(stopped.await) };
    let connections = Arc::new(Connections::new(64));
    let server = admin::serve(Arc::clone(admin), Interface::Admin, listener, connections, shutdown);
    Serving { address, stop, server: tokio::spawn(server) }
}

/// Both sides of TLS for `localhost`, with these protocols.
pub fn tls(protocols: &[&[u8]]) -> (Arc<ServerConfig>, TlsConnector) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    (server.alpn_protocols, client.alpn_protocols) = (protocols.clone(), protocols);
    (Arc::new(server), Arc::new(client).into())
}

/// A connection by TLS.
pub async fn connect_tls(client: &TlsConnector, serving: &Serving) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(serving.address).await.unwrap();
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

/// What comes until the other side ends, or resets the connection.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut octets = Vec::new();
    let _ = stream.read_to_end(&mut octets).await;
    String::from_utf8(octets).unwrap()
}

/// Sends this at once, then an octet every ten seconds, and reads until the end: what came, and after how many seconds.
async fn trickle(stream: impl AsyncRead + AsyncWrite + Send + 'static, begin: &[u8]) -> (String, u64) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let began = Instant::now();
    writer.write_all(begin).await.unwrap();
    let trickling = tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(10)).await;
            if writer.write_all(b"A").await.is_err() {
                pending::<()>().await;
            }
        }
    });
    let came = rest(&mut reader).await;
    trickling.abort();
    (came, began.elapsed().as_secs())
}

#[tokio::test]
async fn over_a_socket_until_shutdown() {
    let api = Api::new(Options::default());
    let Serving { address, stop, server } = serving(&api.admin, None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("X-Kong-Admin-Latency: "), "{text}");
    assert!(text.ends_with(EMPTY), "{text}");
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn over_tls() {
    let (server, client) = tls(&[]);
    let api = Api::new(Options::default());
    let serving = serving(&api.admin, Some(server)).await;
    let mut stream = connect_tls(&client, &serving).await;
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with(EMPTY), "the end is told: {text}");
}

#[tokio::test(start_paused = true)]
async fn what_trickles_in_puts_no_deadline_off() {
    let api = Api::new(Options::default());
    let (server, client) = tls(&[]);
    let (plain, secure) = (serving(&api.admin, None).await, serving(&api.admin, Some(server)).await);
    let (plain, secure) = (&plain.address, &secure.address);
    for begin in [&b"GET /services HTTP/1.1\r\nX: "[..], b""] {
        let stream = TcpStream::connect(plain).await.unwrap();
        let (came, after) = trickle(stream, begin).await;
        assert_eq!(came, "", "{begin:?}");
        assert_eq!(after, 60, "{begin:?}");
    }
    let (came, after) = trickle(TcpStream::connect(plain).await.unwrap(), POST).await;
    assert!(came.starts_with("HTTP/1.1 408 "), "{came}");
    assert!(came.contains("Connection: close\r\n"), "{came}");
    assert!((60..=90).contains(&after), "{after}");
    let hello = [22, 3, 1, 64, 0, 1, 0, 63, 252];
    assert_eq!(trickle(TcpStream::connect(secure).await.unwrap(), &hello).await.1, 60);
    let stream = TcpStream::connect(secure).await.unwrap();
    let stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (came, after) = trickle(stream, b"GET /services HTTP/1.1\r\nX: ").await;
    assert_eq!(came, "");
    assert_eq!(after, 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let api = Api::new(Options::default());
    let (server, client) = tls(&[]);
    let (plain, secure) = (serving(&api.admin, None).await, serving(&api.admin, Some(server)).await);
    let (plain, secure) = (&plain.address, &secure.address);
    // Its answer is too large for what the system takes for a client that does not read.
    let many = b"GET /schemas/services HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3000);
    for address in [plain, secure] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream: Box<dyn Transport> = if address == secure {
            Box::new(client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap())
        } else {
            Box::new(stream)
        };
        let began = Instant::now();
        stream.write_all(&many).await.unwrap();
        // The test's time passes once the server has nothing to do but to wait.
        sleep(Duration::from_secs(59)).await;
        let early = began.elapsed();
        sleep(Duration::from_secs(10)).await;
        let came = rest(&mut stream).await;
        assert!(came.matches("HTTP/1.1 200 OK").count() < 3000);
        assert_eq!(early.as_secs(), 59);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_more_is_answered() {
    let api = Api::new(Options::default());
    *api.node.compiles.lock().unwrap() = Duration::from_secs(1);
    let (server, client) = tls(&[]);
    let (plain, secure) = (serving(&api.admin, None).await, serving(&api.admin, Some(server)).await);
    for writes in [1, 3] {
        let mut stream = TcpStream::connect(plain.address).await.unwrap();
        stream.write_all(&WRITE.repeat(writes)).await.unwrap();
        stream.shutdown().await.unwrap();
        let came = rest(&mut stream).await;
        assert_eq!(came.matches("HTTP/1.1 201 Created\r\n").count(), writes, "{came}");
    }
    for close_notify in [true, false] {
        let mut stream = connect_tls(&client, &secure).await;
        stream.write_all(WRITE).await.unwrap();
        if close_notify {
            stream.shutdown().await.unwrap();
        } else {
            stream.get_mut().0.shutdown().await.unwrap();
        }
        let came = rest(&mut stream).await;
        assert!(came.starts_with("HTTP/1.1 201 Created\r\n"), "close_notify: {close_notify}: {came}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_comes_to_its_end_though_the_client_has_gone() {
    let api = Api::new(Options::default());
    *api.node.compiles.lock().unwrap() = Duration::from_secs(1);
    let serving = serving(&api.admin, None).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    let mut revisions = api.store.watch();
    stream.write_all(WRITE).await.unwrap();
    revisions.changed().await.unwrap();
    // It goes with RST.
    stream.set_zero_linger().unwrap();
    drop(stream);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*api.node.applied.lock().unwrap(), *revisions.borrow());
}

#[tokio::test(start_paused = true)]
async fn idle_connections_do_not_hold_up_the_end() {
    let api = Api::new(Options::default());
    let Serving { address, stop, server } = serving(&api.admin, None).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    used.write_all(GET).await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(used.read(&mut answer).await.unwrap() > 0);
    let _unused = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    stop.send(()).unwrap();
    server.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 0, "nothing is waited for");
    assert_eq!(rest(&mut used).await, "");
}

#[tokio::test]
async fn what_no_url_has_is_answered_as_anything_else() {
    const NO_NAME: &str = "{\"code\":10,\"name\":\"invalid unique name\",\"message\":\"invalid value '<a>': the only \
        accepted ascii characters are alphanumerics or ., -, _, and ~\"}";
    let api = Api::new(Options::default());
    let serving = serving(&api.admin, None).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    for (target, status, content) in [
        (&b"/services/\xff"[..], "400 Bad Request", r#"{"message":"Path is not valid UTF-8"}"#),
        (b"/services/%ff", "400 Bad Request", r#"{"message":"Path is not valid UTF-8"}"#),
        (b"/services?size=\xff", "400 Bad Request", r#"{"message":"Arguments are not valid UTF-8"}"#),
        (b"/services/<a>", "400 Bad Request", NO_NAME),
        ("/services/ä".as_bytes(), "404 Not Found", r#"{"message":"Not found"}"#),
        (b"/services?tags=<a\"b>\\^`{|}", "200 OK", EMPTY),
        (b"/services#fragment", "200 OK", EMPTY),
        (b"http://b.test/services", "200 OK", EMPTY),
        (b"/\xff", "404 Not Found", r#"{"message":"Not found"}"#),
    ] {
        stream.write_all(&[b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await.unwrap();
        let shown = String::from_utf8_lossy(target);
        assert_eq!(next(&mut stream).await, (format!("HTTP/1.1 {status}"), content.to_owned()), "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let api = Api::new(Options::default());
    let serving = serving(&api.admin, None).await;
    let long = [b"GET /", &[b'a'; 9000][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    for (octets, status, message) in [
        (&b"GET /services HTTP/1.1\r\nHost : a\r\n\r\n"[..], "400 Bad Request", "Bad request"),
        (b"GET /services HTTP/1.1\r\n\r\n", "400 Bad Request", "Bad request"),
        (b"GET /ser\0vices HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request", "Bad request"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400 Bad Request",
            "Bad request",
        ),
        (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported", "HTTP version not supported"),
        (&long, "414 URI Too Long", "URI too long"),
    ] {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(octets).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{{\"message\":\"{message}\"}}")), "{answer}");
    }
}

#[tokio::test]
async fn requests_may_come_octet_by_octet_and_at_once() {
    let api = Api::new(Options::default());
    let serving = serving(&api.admin, None).await;
    let chunked = b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Transfer-Encoding: chunked\r\n\r\n8;x=y\r\nurl=http\r\n9\r\n://a.test\r\n0\r\nTrailer: t\r\n\r\n";
    let both = [chunked, GET].concat();
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(&both).await.unwrap();
    assert_eq!(next(&mut stream).await.0, "HTTP/1.1 201 Created");
    assert_eq!(next(&mut stream).await.0, "HTTP/1.1 200 OK");
    for octet in both {
        stream.write_all(&[octet]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(next(&mut stream).await.0, "HTTP/1.1 201 Created");
    assert_eq!(next(&mut stream).await.0, "HTTP/1.1 200 OK");
    stream.write_all(b"HEAD /services HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
    let head = rest(&mut stream).await;
    assert!(head.ends_with("\r\n\r\n"), "no content: {head}");
}

#[tokio::test]
async fn who_waits_to_be_told_is_told() {
    let api = Api::new(Options::default());
    let serving = serving(&api.admin, None).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    let head = b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 17\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut word = [0; 25];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"url=http://a.test").await.unwrap();
    assert_eq!(next(&mut stream).await.0, "HTTP/1.1 201 Created");
    // Whose request is refused anyway is not.
    stream.write_all(&String::from_utf8_lossy(head).replace("/services", "/nothing").into_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

/// The status line and the content of the next response, whose length is told.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut content = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut content).await.unwrap();
    (head.lines().next().unwrap().to_owned(), String::from_utf8(content).unwrap())
}

trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

//! The Admin API over HTTP/2. Time is the test's own where it is said: it passes when all else waits.

use super::Api;
use super::sockets::{GET_AND_CLOSE, Serving, connect_tls, rest, serving_with, tls};
use admin::Options;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use hyper::{Request, Response};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A client's connection.
struct Client {
    requests: SendRequest<Bytes>,
    /// Ends when the connection does.
    over: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn begin(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Client { requests, over: tokio::spawn(connection) }
    }

    async fn connect(serving: &Serving) -> Client {
        Client::begin(TcpStream::connect(serving.address).await.unwrap()).await
    }

    async fn ask(&self, method: &str, path: &str, content: &str) -> (Response<()>, String) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, mut sending) = requests.send_request(request(method, path), content.is_empty()).unwrap();
        if !content.is_empty() {
            sending.send_data(Bytes::from(content.to_owned()), true).unwrap();
        }
        let (head, content) = response.await.unwrap().into_parts();
        (Response::from_parts(head, ()), whole(content).await)
    }
}

fn request(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://a.test{path}"));
    request.header("content-type", "application/json").body(()).unwrap()
}

async fn whole(mut content: RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece.unwrap();
        content.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

async fn asked_and_answered(client: &Client) {
    let (created, _) = client.ask("POST", "/services", r#"{"name":"s","host":"s.test"}"#).await;
    assert_eq!(created.status(), 201);
    assert_eq!(header(&created, "connection"), None);
    assert!(header(&created, "date").is_some());
    let (got, content) = client.ask("GET", "/services/s", "").await;
    assert!(content.contains(r#""host":"s.test""#), "{content}");
    assert_eq!(header(&got, "content-length"), Some(content.len().to_string().as_str()));
    let (head, nothing) = client.ask("HEAD", "/services/s", "").await;
    assert_eq!(nothing, "");
    assert_eq!(header(&head, "content-length"), Some(content.len().to_string().as_str()));
    let (deleted, _) = client.ask("DELETE", "/services/s", "").await;
    assert_eq!(deleted.status(), 204);
    assert_eq!(header(&deleted, "content-length"), None);
}

#[tokio::test]
async fn without_tls_by_its_first_octets() {
    let api = Api::new(Options::default());
    let serving = serving_with(&api.admin, None, true).await;
    asked_and_answered(&Client::connect(&serving).await).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    for other in ["P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(other.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let came = rest(&mut stream).await;
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 505 "), "{other}: {came}");
    }
}

#[tokio::test]
async fn with_tls_by_alpn() {
    let api = Api::new(Options::default());
    let (server, client) = tls(&[b"h2", b"http/1.1"]);
    let serving = serving_with(&api.admin, Some(server), false).await;
    asked_and_answered(&Client::begin(connect_tls(&client, &serving).await).await).await;
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_wait_for_each_other() {
    let api = Api::new(Options::default());
    let serving = serving_with(&api.admin, None, true).await;
    let client = Client::connect(&serving).await;
    *api.node.compiles.lock().unwrap() = Duration::from_secs(5);
    let began = Instant::now();
    let names: Vec<String> = (0..20).map(|n| format!(r#"{{"name":"s{n}","host":"a"}}"#)).collect();
    let asked = names.iter().map(|content| client.ask("POST", "/services", content));
    for (created, _) in futures_util::future::join_all(asked).await {
        assert_eq!(created.status(), 201);
    }
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn every_wait_for_a_client_ends() {
    let api = Api::new(Options::default());
    let serving = serving_with(&api.admin, None, true).await;
    // It says nothing after the preface.
    let mut silent = TcpStream::connect(serving.address).await.unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let _ = silent.read_to_end(&mut Vec::new()).await;
    assert!((60..=150).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // It asks for nothing more.
    let idle = Client::connect(&serving).await;
    idle.ask("GET", "/services", "").await;
    let began = Instant::now();
    let _ = idle.over.await.unwrap();
    assert!((75..=80).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // It does not send what it has announced.
    let Client { requests, over: _over } = Client::connect(&serving).await;
    let mut requests = requests.ready().await.unwrap();
    let (response, _sending) = requests.send_request(request("POST", "/services"), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 408);
    // It makes no room for a response.
    let began = Instant::now();
    let (response, _) = requests.send_request(request("GET", "/openapi.json"), true).unwrap();
    let mut content = response.await.unwrap().into_body();
    let ended = loop {
        if let Err(error) = content.data().await.expect("it is not whole") {
            break error;
        }
    };
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_write_comes_to_its_end_though_the_client_has_gone() {
    let api = Api::new(Options::default());
    *api.node.compiles.lock().unwrap() = Duration::from_secs(1);
    let serving = serving_with(&api.admin, None, true).await;
    let Client { requests, over } = Client::connect(&serving).await;
    let mut revisions = api.store.watch();
    let mut requests = requests.ready().await.unwrap();
    let (_response, mut sending) = requests.send_request(request("POST", "/services"), false).unwrap();
    sending.send_data(Bytes::from_static(br#"{"host":"a.test"}"#), true).unwrap();
    revisions.changed().await.unwrap();
    over.abort();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*api.node.applied.lock().unwrap(), *revisions.borrow());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_requests_only() {
    let api = Api::new(Options::default());
    *api.node.compiles.lock().unwrap() = Duration::from_secs(3);
    let serving = serving_with(&api.admin, None, true).await;
    let (idle, busy) = (Client::connect(&serving).await, Client::connect(&serving).await);
    idle.ask("GET", "/services", "").await;
    let mut revisions = api.store.watch();
    let asked = tokio::spawn(async move { busy.ask("POST", "/services", r#"{"host":"a.test"}"#).await.0.status() });
    revisions.changed().await.unwrap();
    let began = Instant::now();
    serving.stop.send(()).unwrap();
    assert_eq!(asked.await.unwrap(), 201);
    serving.server.await.unwrap();
    assert!(began.elapsed().as_secs() <= 8, "{:?}", began.elapsed());
    assert!(idle.over.await.unwrap().is_ok(), "it was told");
}

#[tokio::test]
async fn who_opens_and_resets_is_cut_off() {
    let api = Api::new(Options::default());
    let serving = serving_with(&api.admin, None, true).await;
    let Client { requests, over } = Client::connect(&serving).await;
    let mut requests = requests.ready().await.unwrap();
    // More at once than the node looks at: the connection moves when this task waits.
    for _ in 0..90 {
        let (_, mut sending) = requests.send_request(request("POST", "/services"), false).unwrap();
        sending.send_reset(Reason::CANCEL);
    }
    assert!(over.await.unwrap().is_err());
    let another = Client::connect(&serving).await;
    assert_eq!(another.ask("GET", "/services", "").await.0.status(), 200);
}

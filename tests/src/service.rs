//! A service that the test drives itself, connection by connection and octet by octet.

use crate::PATIENCE;
use crate::http::Connection;
use crate::socket::Wire;
use crate::tls::{self, Pair};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Its connections wait to be taken in the order in which they came.
pub struct Service {
    pub address: SocketAddr,
    pub tls: bool,
    incoming: Mutex<Receiver<Connection<Wire>>>,
}

/// A request as a service sees it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// In order, as written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Lines behind chunked content.
    pub trailers: Vec<(String, String)>,
}

impl Service {
    /// One on a free port. It ends with the test.
    pub fn start() -> Service {
        Service::listen(None)
    }

    /// One that speaks TLS.
    pub fn start_tls(pair: &Pair) -> Service {
        Service::listen(Some(tls::server_config(pair)))
    }

    /// The next connection, once it has come.
    #[track_caller]
    pub fn accept(&self) -> Connection<Wire> {
        self.accept_within(PATIENCE).expect("the service is asked")
    }

    /// The next connection, if it comes within so long.
    pub fn accept_within(&self, longest: Duration) -> Option<Connection<Wire>> {
        self.incoming.lock().expect("no panic under the lock").recv_timeout(longest).ok()
    }

    /// The next connection and the whole request on it.
    #[track_caller]
    pub fn asked(&self) -> (Connection<Wire>, Request) {
        let mut connection = self.accept();
        let request = connection.request().expect("a request");
        (connection, request)
    }

    fn listen(config: Option<Arc<rustls::ServerConfig>>) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, incoming) = mpsc::channel();
        let tls = config.is_some();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, sender) = (config.clone(), sender.clone());
                let hand_over = move || {
                    let Ok(wire) = wire(stream, config) else { return };
                    let mut connection = Connection::over(wire, &address.to_string());
                    // The test is over when nobody takes it.
                    if connection.waits(PATIENCE).is_ok() {
                        let _ = sender.send(connection);
                    }
                };
                if tls {
                    std::thread::spawn(hand_over);
                } else {
                    hand_over();
                }
            }
        });
        Service { address, tls, incoming: Mutex::new(incoming) }
    }
}

impl Request {
    /// The value of the first line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

impl<S: Read + io::Write> Connection<S> {
    /// The head of the next request.
    pub fn request_head(&mut self) -> io::Result<Request> {
        let line = self.line()?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = self.field_lines()?;
        Ok(Request { method, target, headers, ..Request::default() })
    }

    /// The next request with its content.
    pub fn request(&mut self) -> io::Result<Request> {
        let mut request = self.request_head()?;
        match (request.header("Transfer-Encoding"), request.header("Content-Length")) {
            (Some(_), None) => (request.body, request.trailers) = self.chunked()?,
            (None, Some(length)) => {
                let length = length.parse().map_err(io::Error::other)?;
                request.body = self.take(length)?;
            }
            (None, None) => {}
            both => return Err(io::Error::other(format!("unclear framing: {both:?}"))),
        }
        Ok(request)
    }

    /// Answers with 200 and this content.
    pub fn answer(&mut self, body: &str) -> io::Result<()> {
        self.send_raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }
}

fn wire(stream: TcpStream, config: Option<Arc<rustls::ServerConfig>>) -> io::Result<Wire> {
    stream.set_nodelay(true)?;
    Ok(match config {
        None => Box::new(stream),
        Some(config) => {
            let mut tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            let mut stream = stream;
            stream.set_read_timeout(Some(PATIENCE))?;
            // The handshake does not wait for the test.
            tls.complete_io(&mut stream)?;
            Box::new(rustls::StreamOwned::new(tls, stream))
        }
    })
}

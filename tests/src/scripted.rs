//! A service that answers as it is told and keeps the requests that it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A service with the same answer for every request. It ends with the test.
pub struct Scripted {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request line.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where it came from.
    pub peer: SocketAddr,
}

impl Scripted {
    /// Answers every request with these octets; content of requests needs a `Content-Length`.
    pub fn start(answer: impl Into<Vec<u8>>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (answer, requests) = (Arc::new(answer.into()), Arc::<Mutex<Vec<Seen>>>::default());
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                // A client that goes away ends the conversation.
                std::thread::spawn(move || converse(stream, &answer, &seen));
            }
        });
        Scripted { address, requests }
    }

    /// With status 200, this type and content.
    pub fn answering(content_type: &str, content: &[u8]) -> Scripted {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", content.len());
        Scripted::start([head.as_bytes(), content].concat())
    }

    /// Everything it was asked so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.requests.lock().expect("no panic under the lock").clone()
    }

    /// What it was asked last.
    pub fn last(&self) -> Seen {
        self.requests().pop().expect("a request")
    }
}

impl Seen {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn converse(stream: TcpStream, answer: &[u8], seen: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    let peer = stream.peer_addr()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut request = Seen { line: line.trim_end().to_owned(), headers: Vec::new(), body: Vec::new(), peer };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(&mut request.body)?;
        seen.lock().expect("no panic under the lock").push(request);
        reader.get_mut().write_all(answer)?;
    }
}

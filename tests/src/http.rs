//! A plain HTTP/1.1 client that shows what is on the wire and forgives nothing.

use crate::PATIENCE;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    /// In order, as written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A connection that can be used for several requests.
pub struct Connection<S: Read + Write = TcpStream> {
    stream: BufReader<S>,
    /// For `Host`.
    authority: String,
}

/// One request on a connection of its own.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut connection = Connection::open(address)?;
    connection.send(method, path, headers, body)?;
    connection.receive(method == "HEAD")
}

/// A GET that must be answered.
pub fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, &[], b"").unwrap_or_else(|e| panic!("GET {path}: {e}"))
}

/// A request with a form as `curl --data` sends it, that must be answered.
pub fn form(address: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    request(address, method, path, &headers, body.as_bytes()).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

/// A request with a JSON body, that must be answered.
pub fn json(address: SocketAddr, method: &str, path: &str, body: &Value) -> Response {
    let headers = [("Content-Type", "application/json")];
    request(address, method, path, &headers, body.to_string().as_bytes())
        .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

impl Response {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// This answer, which must have that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(stream, &address.to_string()))
    }

    /// Sends nothing more.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over something that is connected already.
    pub fn over(stream: S, authority: &str) -> Connection<S> {
        Connection { stream: BufReader::new(stream), authority: authority.to_owned() }
    }

    /// What it goes over.
    pub fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// What it goes over, for writing; what has been read ahead stays here.
    pub fn stream_mut(&mut self) -> &mut S {
        self.stream.get_mut()
    }

    /// Sends a request with `Host` and, when there is a body, `Content-Length`.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", self.authority));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send_raw(&[head.as_bytes(), body].concat())
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// What there is next, as [`Read::read`].
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }

    /// The next final response; `bodiless` when it answers HEAD.
    pub fn receive(&mut self, bodiless: bool) -> io::Result<Response> {
        loop {
            let mut response = self.head()?;
            if response.status >= 200 {
                if !bodiless && response.status != 204 && response.status != 304 {
                    response.body = self.body(&response)?;
                }
                return Ok(response);
            }
        }
    }

    /// Exactly that many bytes.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The head of an answer, interim or final.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        self.head()
    }

    /// What comes until the peer closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    fn head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let mut words = line.splitn(3, ' ');
        let status = match (words.next(), words.next().and_then(|s| s.parse().ok())) {
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) => status,
            _ => return Err(bad(format!("no status line: {line:?}"))),
        };
        let reason = words.next().unwrap_or_default().to_owned();
        Ok(Response { status, reason, headers: self.field_lines()?, ..Response::default() })
    }

    /// Field lines up to the empty line.
    pub(crate) fn field_lines(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(lines);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("no header: {line:?}")))?;
            lines.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Chunked content and the lines behind it.
    #[expect(clippy::type_complexity, reason = "content, and lines as everywhere")]
    pub(crate) fn chunked(&mut self) -> io::Result<(Vec<u8>, Vec<(String, String)>)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| bad(format!("no chunk size: {line:?}")))?;
            if size == 0 {
                return Ok((body, self.field_lines()?));
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..])?;
            if !self.line()?.is_empty() {
                return Err(bad("no line break after a chunk".to_owned()));
            }
        }
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        match (response.header("Transfer-Encoding"), response.header("Content-Length")) {
            (Some("chunked"), None) => body = self.chunked()?.0,
            (None, Some(length)) => {
                body.resize(length.parse().map_err(|_| bad(format!("Content-Length: {length}")))?, 0);
                self.stream.read_exact(&mut body)?;
            }
            (None, None) => {
                self.stream.read_to_end(&mut body)?;
            }
            both => return Err(bad(format!("unclear framing: {both:?}"))),
        }
        Ok(body)
    }

    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed"));
        }
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| bad(format!("no whole line: {line:?}")))
    }
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

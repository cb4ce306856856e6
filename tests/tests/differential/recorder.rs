//! A service that takes nothing for granted: it notes each request that reaches it, and everything in it that two
//! readers could understand differently.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as the service saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub host: String,
    pub body: Vec<u8>,
}

/// The service; it runs until the test's process ends.
pub struct Recorder {
    pub address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    seen: Vec<Seen>,
    doubts: Vec<String>,
}

impl Recorder {
    /// Starts one on a free port.
    pub fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Recorder { address: listener.local_addr().unwrap(), notes: Arc::default() };
        let notes = Arc::clone(&recorder.notes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || converse(stream, &notes));
            }
        });
        recorder
    }

    /// The requests since the last call, and what was doubtful about them.
    pub fn take(&self) -> (Vec<Seen>, Vec<String>) {
        let mut notes = self.notes.lock().unwrap();
        (std::mem::take(&mut notes.seen), std::mem::take(&mut notes.doubts))
    }
}

/// Reads requests and answers each; a request that never becomes whole is none.
fn converse(mut stream: TcpStream, notes: &Mutex<Notes>) {
    let mut input = Input { stream: stream.try_clone().unwrap(), held: Vec::new() };
    while let Some((seen, doubts)) = request(&mut input) {
        let answer: &[u8] = if seen.method == "HEAD" { b"" } else { b"ok" };
        {
            let mut notes = notes.lock().unwrap();
            notes.doubts.extend(doubts.iter().map(|doubt| format!("{doubt} in {seen:?}")));
            notes.seen.push(seen);
        }
        if stream.write_all(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", answer].concat()).is_err()
            || !doubts.is_empty()
        {
            return;
        }
    }
}

fn request(input: &mut Input) -> Option<(Seen, Vec<&'static str>)> {
    let (mut seen, mut doubts) = (Seen::default(), Vec::new());
    let first = input.line(&mut doubts)?;
    let words: Vec<&[u8]> = first.split(|b| *b == b' ').collect();
    match words[..] {
        [method, target, b"HTTP/1.1" | b"HTTP/1.0"] if !method.is_empty() && !target.is_empty() => {
            (seen.method, seen.target) = (text(method), text(target));
            if !method.iter().all(|&b| is_token(b)) || target.iter().any(|b| b.is_ascii_control()) {
                doubts.push("an odd request line");
            }
        }
        _ => doubts.push("no request line"),
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    loop {
        let line = input.line(&mut doubts)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|b| *b == b':').unwrap_or(0);
        let (name, value) = (&line[..colon], line[(colon + 1).min(line.len())..].trim_ascii());
        if colon == 0 || !name.iter().all(|&b| is_token(b)) {
            doubts.push("no field name");
        }
        if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            doubts.push("a control character in a field value");
        }
        match text(name).to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.to_vec()),
            "transfer-encoding" => codings.push(value.to_vec()),
            "host" => {
                hosts += 1;
                seen.host = text(value);
            }
            "upgrade" if !value.eq_ignore_ascii_case(b"websocket") => doubts.push("an offer to change the protocol"),
            _ => {}
        }
    }
    if hosts > 1 {
        doubts.push("several hosts");
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => {}
        ([length], []) => {
            let digits = std::str::from_utf8(length).ok().filter(|l| l.bytes().all(|b| b.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(length) => seen.body = input.take(length)?,
                None => doubts.push("no length"),
            }
        }
        ([], [coding]) if coding == b"chunked" => seen.body = chunks(input, &mut doubts)?,
        _ => doubts.push("unclear framing"),
    }
    Some((seen, doubts))
}

fn chunks(input: &mut Input, doubts: &mut Vec<&'static str>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = input.line(doubts)?;
        let digits =
            std::str::from_utf8(&line).ok().filter(|l| l.len() <= 8 && l.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(size) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
            doubts.push("no plain chunk size");
            return Some(body);
        };
        if size == 0 {
            break;
        }
        body.extend(input.take(size)?);
        if !input.line(doubts)?.is_empty() {
            doubts.push("a chunk that does not end where it should");
        }
    }
    loop {
        let line = input.line(doubts)?;
        if line.is_empty() {
            return Some(body);
        }
        let name = text(line.split(|b| *b == b':').next().unwrap_or_default()).to_ascii_lowercase();
        if name.is_empty()
            || !name.bytes().all(is_token)
            || ["host", "content-length", "transfer-encoding"].contains(&name.as_str())
        {
            doubts.push("a trailer that means framing");
        }
    }
}

/// What a connection brings.
struct Input {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Input {
    /// The next line without its end, which must be CRLF.
    fn line(&mut self, doubts: &mut Vec<&'static str>) -> Option<Vec<u8>> {
        let newline = loop {
            match self.held.iter().position(|b| *b == b'\n') {
                Some(newline) => break newline,
                None => self.fill()?,
            }
        };
        let mut line: Vec<u8> = self.held.drain(..=newline).collect();
        line.pop();
        if line.pop_if(|b| *b == b'\r').is_none() {
            doubts.push("a line without CR");
        }
        Some(line)
    }

    fn take(&mut self, octets: usize) -> Option<Vec<u8>> {
        while self.held.len() < octets {
            self.fill()?;
        }
        Some(self.held.drain(..octets).collect())
    }

    fn fill(&mut self) -> Option<()> {
        let mut octets = [0; 16384];
        let n = self.stream.read(&mut octets).ok().filter(|n| *n > 0)?;
        self.held.extend_from_slice(&octets[..n]);
        Some(())
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

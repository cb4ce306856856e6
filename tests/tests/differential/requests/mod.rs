//! Requests, well-formed and not, each followed by an ordinary one.

mod framing;
mod heads;
mod sequences;
mod smuggling;

/// Bytes that are sent to every peer.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The ordinary request that is sent behind every case: whether it is answered shows whether the connection was kept
/// and where the case's requests ended.
pub const SENTINEL: &[u8] = b"GET /sentinel HTTP/1.1\r\nHost: sentinel.test\r\nConnection: close\r\n\r\n";

/// All cases.
pub fn all() -> Vec<Case> {
    let mut table = Table(Vec::new());
    framing::add(&mut table);
    heads::add(&mut table);
    sequences::add(&mut table);
    smuggling::add(&mut table);
    table.0
}

const HELLO: &str = "hello";
const CHUNKED_HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

struct Table(Vec<Case>);

impl Table {
    fn raw(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.0.push(Case { name: name.into(), bytes: bytes.as_ref().to_vec() });
    }

    /// A GET with these lines behind `Host`, each with its end.
    fn get(&mut self, name: impl Into<String>, lines: &str) {
        self.raw(name, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
    }

    /// A POST with these lines and this content.
    fn post(&mut self, name: impl Into<String>, lines: &str, content: &str) {
        self.raw(name, format!("POST / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n{content}"));
    }

    /// A chunked POST with this content.
    fn chunked(&mut self, name: impl Into<String>, content: &str) {
        self.post(name, "Transfer-Encoding: chunked\r\n", content);
    }
}

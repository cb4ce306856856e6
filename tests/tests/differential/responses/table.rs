//! Answers, well-formed and not.

/// What is asked, what the service answers, and what it does then.
pub struct Case {
    pub name: String,
    pub request: String,
    pub answer: Vec<u8>,
    pub close: bool,
    /// Sent unasked, when the client has its answer.
    pub later: Option<&'static [u8]>,
}

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.test\r\n\r\n";
const HEAD: &str = "HEAD /case HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OLD: &str = "GET /case HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
const TRAILERS: &str = "GET /case HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n";
const SOCKET: &str = "GET /case HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// All cases.
pub fn all() -> Vec<Case> {
    let mut table = Table(Vec::new());
    start_lines(&mut table);
    lengths(&mut table);
    codings(&mut table);
    chunks(&mut table);
    fields(&mut table);
    interim(&mut table);
    bodiless(&mut table);
    connections(&mut table);
    table.0
}

struct Table(Vec<Case>);

impl Table {
    fn add(&mut self, name: impl Into<String>, request: &str, answer: impl AsRef<[u8]>, close: bool) {
        self.0.push(Case {
            name: name.into(),
            request: request.to_owned(),
            answer: answer.as_ref().to_vec(),
            close,
            later: None,
        });
    }

    /// The service then waits for another request.
    fn open(&mut self, name: impl Into<String>, answer: impl AsRef<[u8]>) {
        self.add(name, GET, answer, false);
    }

    /// The service then closes the connection.
    fn closed(&mut self, name: impl Into<String>, answer: impl AsRef<[u8]>) {
        self.add(name, GET, answer, true);
    }
}

fn start_lines(t: &mut Table) {
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 299 Odd",
        "HTTP/1.1 418 \u{e4}",
        "HTTP/1.1 600 Beyond",
        "HTTP/1.1 999 Last",
    ] {
        t.open(format!("status line {line:?}"), format!("{line}\r\nContent-Length: 5\r\n\r\nhello"));
    }
    for line in [
        "HTTP/1.1 099 Low",
        "HTTP/1.1 000 None",
        "HTTP/1.1 20 Short",
        "HTTP/1.1 2000 Long",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/11 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\x07K",
        "hello",
    ] {
        t.closed(format!("status line {line:?}, closed"), format!("{line}\r\nContent-Length: 5\r\n\r\nhello"));
    }
    t.closed("nothing", "");
    t.closed("half a status line", "HTTP/1.1 20");
    t.closed("half a head", "HTTP/1.1 200 OK\r\nContent-Le");
    t.closed("status line ends with LF", "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello");
    t.closed("fields end with LF", "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\nhello");
    t.closed("LF everywhere", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
    t.closed("a long reason", format!("HTTP/1.1 200 {}\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(2000)));
}

fn lengths(t: &mut Table) {
    for value in ["5", "05", " 5 ", "0"] {
        t.open(
            format!("length {value:?}"),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n{}", if value == "0" { "" } else { "hello" }),
        );
    }
    for value in
        ["", "+5", "-5", "5,5", "5, 5", "5;", "0x5", "5 5", "x", "18446744073709551621", "99999999999999999999999"]
    {
        t.closed(
            format!("length {value:?}, closed"),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nhello"),
        );
    }
    for (name, lines) in [
        ("twice, the same", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("twice, different", "Content-Length: 5\r\nContent-Length: 3\r\n"),
        ("twice, in other letters", "Content-Length: 5\r\ncontent-length: 3\r\n"),
        ("named by Connection", "Content-Length: 5\r\nConnection: Content-Length\r\n"),
    ] {
        t.closed(format!("length {name}"), format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"));
    }
    t.closed("length beyond the end", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    t.closed("length, and nothing at all", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    t.open("length, and more", format!("{GOOD}garbage"));
    t.open("length, and an empty line more", format!("{GOOD}\r\n"));
    t.open("length, and another answer", format!("{GOOD}{GOOD}"));
    t.open("length 0, and content", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello");
    t.closed("no length", "HTTP/1.1 200 OK\r\n\r\nhello");
    t.closed("no length and no content", "HTTP/1.1 200 OK\r\n\r\n");
    t.closed("no length, with keep-alive", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello");
    t.add("no length, for HTTP/1.0", OLD, "HTTP/1.1 200 OK\r\n\r\nhello", true);
    t.add("length, for HTTP/1.0", OLD, GOOD, false);
    t.add("length beyond the end, for HTTP/1.0", OLD, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true);
}

fn codings(t: &mut Table) {
    const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
    for value in ["chunked", "Chunked", " chunked "] {
        t.open(format!("coding {value:?}"), format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}\r\n\r\n{CHUNKS}"));
    }
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "xchunked",
        "chunked;q=1",
        "\tchunked",
        "cow",
    ] {
        t.closed(
            format!("coding {value:?}, closed"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}\r\n\r\n{CHUNKS}"),
        );
    }
    for (name, lines) in [
        ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("twice, another last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("behind a length", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("before a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("with a length of the whole", "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n"),
        ("unknown, with a length", "Content-Length: 15\r\nTransfer-Encoding: gzip\r\n"),
        ("hidden by a space, with a length", "Content-Length: 15\r\nTransfer-Encoding : chunked\r\n"),
        ("named by Connection", "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n"),
    ] {
        t.closed(format!("coding {name}"), format!("HTTP/1.1 200 OK\r\n{lines}\r\n{CHUNKS}"));
    }
    t.closed("coding in HTTP/1.0", format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"));
    t.add("coding for HTTP/1.0", OLD, format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"), false);
}

fn chunks(t: &mut Table) {
    for (name, content) in [
        ("in capital letters", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("of padded sizes", "5  \r\nhello\r\n0\r\n\r\n"),
        ("of sizes with zeros", "0005\r\nhello\r\n0000\r\n\r\n"),
        ("with extensions", "5;x=y\r\nhello\r\n0;z\r\n\r\n"),
        ("with a trailer", "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    ] {
        t.open(format!("chunks {name}"), format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}"));
    }
    for (name, content) in [
        ("with a bad size", "5\r\nhello\r\nx\r\n\r\n"),
        ("with a huge size", "5\r\nhello\r\nfffffffffffffffff\r\n\r\n"),
        ("with a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("longer than their size", "4\r\nhello\r\n0\r\n\r\n"),
        ("cut in a size", "5\r\nhello\r\n1"),
        ("cut in the data", "5\r\nhel"),
        ("cut behind the data", "5\r\nhello"),
        ("without a last one", "5\r\nhello\r\n"),
        ("without an end", "5\r\nhello\r\n0\r\n"),
        ("cut in a trailer", "5\r\nhello\r\n0\r\nX-T: 1\r\n"),
        ("ending with LF", "5\nhello\n0\n\n"),
        ("with a bad trailer", "5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
        ("none", ""),
    ] {
        t.closed(
            format!("chunks {name}, closed"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}"),
        );
    }
    t.open("chunks, and more", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\ngarbage");
    t.open(
        "chunks, and another answer",
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{GOOD}"),
    );
    t.add(
        "chunks with a trailer, wanted",
        TRAILERS,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        false,
    );
    t.add("chunks cut, for HTTP/1.0", OLD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", true);
}

fn fields(t: &mut Table) {
    for (name, lines) in [
        ("folded", "X: y\r\n z\r\n"),
        ("without colon", "nonsense\r\n"),
        ("with a space before the colon", "X : y\r\n"),
        ("with an empty name", ": y\r\n"),
        ("with a space in the name", "X Y: z\r\n"),
        ("with NUL", "X: a\0b\r\n"),
        ("with a bell", "X: a\x07b\r\n"),
        ("with a bare CR", "X: a\rb\r\n"),
        ("with UTF-8", "X: \u{e4}\r\n"),
        ("with UTF-8 in the name", "X\u{e4}: y\r\n"),
        ("with brackets in the name", "X(Y): z\r\n"),
    ] {
        t.closed(format!("field {name}"), format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 5\r\n\r\nhello"));
    }
    t.open("many fields", format!("HTTP/1.1 200 OK\r\n{}Content-Length: 5\r\n\r\nhello", "X: y\r\n".repeat(200)));
    t.closed(
        "a field of 3 KB",
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 5\r\n\r\nhello", "y".repeat(3000)),
    );
    t.closed(
        "a field of 40 KB",
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 5\r\n\r\nhello", "y".repeat(40_000)),
    );
    t.closed(
        "fields of 100 KB",
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 5\r\n\r\nhello",
            format!("X: {}\r\n", "y".repeat(1000)).repeat(100)
        ),
    );
}

fn interim(t: &mut Table) {
    // nginx takes the first for the whole answer and would wait for the end.
    t.closed("100, then the answer", format!("HTTP/1.1 100 Continue\r\n\r\n{GOOD}"));
    t.closed("103, then the answer", format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{GOOD}"));
    t.add("103, for HTTP/1.0", OLD, format!("HTTP/1.1 103 Early Hints\r\n\r\n{GOOD}"), true);
    t.closed("102 thrice, then the answer", format!("{}{GOOD}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(3)));
    t.closed("100 with a length", format!("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n{GOOD}"));
    t.closed("100 and the end", "HTTP/1.1 100 Continue\r\n\r\n");
    t.closed("101 unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello");
    t.add(
        "101 for an upgrade",
        SOCKET,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        true,
    );
    t.add("200 for an upgrade", SOCKET, GOOD, false);
}

fn bodiless(t: &mut Table) {
    for status in ["204 No Content", "304 Not Modified"] {
        t.open(status, format!("HTTP/1.1 {status}\r\n\r\n"));
        t.open(format!("{status} with length 0"), format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        t.open(format!("{status} with a length"), format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"));
        t.open(format!("{status} with content"), format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello"));
        t.open(format!("{status} with a coding"), format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n"));
        t.open(
            format!("{status} with chunks"),
            format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        );
    }
    t.open("205 with length 0", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
    t.add("HEAD", HEAD, "HTTP/1.1 200 OK\r\n\r\n", false);
    t.add("HEAD with a length", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false);
    t.add("HEAD with a coding", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
    t.add("HEAD with content", HEAD, GOOD, false);
    t.add("HEAD with 404 and content", HEAD, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", false);
    t.add("HEAD with a bad length", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", true);
    t.open(
        "an error with content",
        "HTTP/1.1 500 Internal Server Error\r\nX-Rough: 1\r\nContent-Length: 5\r\n\r\nhello",
    );
}

fn connections(t: &mut Table) {
    for value in ["close", "Close", "keep-alive, close", "x, close", "keep-alive", "x"] {
        t.open(
            format!("connection {value:?}"),
            format!("HTTP/1.1 200 OK\r\nConnection: {value}\r\nContent-Length: 5\r\n\r\nhello"),
        );
    }
    t.open(
        "connection in two lines",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    );
    t.open("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    t.open("HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
    t.closed("closed behind the answer", GOOD);
    for (name, later) in [
        ("an answer", &b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"[..]),
        ("an octet", b"x"),
        ("an empty line", b"\r\n"),
    ] {
        t.open(format!("{name} unasked"), GOOD);
        t.0.last_mut().unwrap().later = Some(later);
    }
}

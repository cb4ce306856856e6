//! Where content ends: lengths, codings, chunks, trailers.

use super::{CHUNKED_HELLO, HELLO, Table};

/// Adds them to the table.
pub fn add(t: &mut Table) {
    lengths(t);
    codings(t);
    lengths_and_codings(t);
    chunks(t);
    trailers(t);
}

fn lengths(t: &mut Table) {
    for value in [
        "5",
        "0",
        "05",
        "0000000000000000000005",
        "+5",
        "-5",
        "-0",
        " 5",
        "5 ",
        "\t5",
        "5\t",
        "\x0b5",
        "5\x0c",
        "5,5",
        "5, 5",
        "5,6",
        ",5",
        "5,",
        "5;",
        "0x5",
        "5.0",
        "5e0",
        "",
        " ",
        "5 5",
        "five",
        "\"5\"",
        "5\u{665}",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999",
    ] {
        t.post(format!("length {value:?}"), &format!("Content-Length: {value}\r\n"), HELLO);
    }
    t.post("length twice, the same", "Content-Length: 5\r\nContent-Length: 5\r\n", HELLO);
    t.post("length twice, different", "Content-Length: 5\r\nContent-Length: 0\r\n", HELLO);
    t.post("length twice, the second bad", "Content-Length: 5\r\nContent-Length: x\r\n", HELLO);
    t.post("length twice, in other letters", "Content-Length: 5\r\ncontent-LENGTH: 0\r\n", HELLO);
    t.post("length with an underscore", "Content_Length: 5\r\n", "");
    t.post("length and one with an underscore", "Content-Length: 5\r\nContent_Length: 0\r\n", HELLO);
    t.post("length too short", "Content-Length: 3\r\n", HELLO);
    t.post("length beyond the end", "Content-Length: 5000\r\n", HELLO);
    t.post("no length", "", "");
    t.raw("GET with content", "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
    t.get("GET with length 0", "Content-Length: 0\r\n");
    t.raw("HEAD with length 0", "HEAD / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    t.raw(
        "HTTP/1.0 with length",
        "POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    );
    t.raw("HTTP/1.0 without length", "POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
}

fn codings(t: &mut Table) {
    for value in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "chunked ",
        "\tchunked",
        "chunked\t",
        "\x0bchunked",
        "chunked\x0c",
        "xchunked",
        "chunked, chunked",
        "chunked,chunked",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "gzip, chunked",
        "gzip",
        "deflate",
        "chunked, gzip",
        "",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ", chunked",
        "cow",
        "chunked x",
        "chun ked",
        "chunked\u{a0}",
    ] {
        t.post(format!("coding {value:?}"), &format!("Transfer-Encoding: {value}\r\n"), CHUNKED_HELLO);
    }
    for (name, lines) in [
        ("twice, the same", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("twice, identity first", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("twice, identity last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("twice, gzip first", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("twice, nonsense last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n"),
        ("in other letters", "tRANSFER-eNCODING: chunked\r\n"),
        ("with an underscore", "Transfer_Encoding: chunked\r\n"),
        ("and one with an underscore", "Transfer-Encoding: chunked\r\nTransfer_Encoding: identity\r\n"),
        ("with a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("with a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("with a space before the name", " Transfer-Encoding: chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
        ("behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n"),
        ("behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n"),
        ("behind a NUL", "X: y\0Transfer-Encoding: chunked\r\n"),
    ] {
        t.post(format!("coding {name}"), lines, CHUNKED_HELLO);
    }
    t.raw(
        "GET with chunks",
        format!("GET / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED_HELLO}"),
    );
    t.raw(
        "HTTP/1.0 with chunks",
        format!(
            "POST / HTTP/1.0\r\nHost: a.test\r\nConnection: \
        keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED_HELLO}"
        ),
    );
}

fn lengths_and_codings(t: &mut Table) {
    for (name, lines) in [
        ("length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ("length of the whole", "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n"),
        ("length bad", "Content-Length: x\r\nTransfer-Encoding: chunked\r\n"),
        ("coding identity", "Content-Length: 15\r\nTransfer-Encoding: identity\r\n"),
        ("coding unknown", "Content-Length: 15\r\nTransfer-Encoding: cow\r\n"),
        ("coding empty", "Content-Length: 15\r\nTransfer-Encoding:\r\n"),
        ("coding hidden by a space", "Content-Length: 15\r\nTransfer-Encoding : chunked\r\n"),
        ("coding hidden by folding", "Content-Length: 15\r\nX: y\r\n Transfer-Encoding: chunked\r\n"),
        ("coding hidden by an underscore", "Content-Length: 15\r\nTransfer_Encoding: chunked\r\n"),
        ("length hidden by an underscore", "Content_Length: 15\r\nTransfer-Encoding: chunked\r\n"),
        (
            "dropped by Connection",
            "Content-Length: 15\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
        ),
    ] {
        t.post(format!("length and coding, {name}"), lines, CHUNKED_HELLO);
    }
    t.raw(
        "length and coding in HTTP/1.0",
        format!(
            "POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: \
            15\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED_HELLO}"
        ),
    );
}

fn chunks(t: &mut Table) {
    for size in [
        "5",
        "05",
        "0000005",
        "0000000000000005",
        "00000000000000005",
        "000000000000000000000000000000005",
        " 5",
        "5 ",
        "5\t",
        "\t5",
        "5  ",
        "+5",
        "-5",
        "0x5",
        "5h",
        "h5",
        "",
        "5;",
        "5;x",
        "5; x",
        "5 ;x",
        "5 ; x=y",
        "5;x=y",
        "5;x=\"y;z\"",
        "5;x=\"y",
        "5,x",
        "5 x",
        "5;x\0y",
        "5;x\x7fy",
        "5;x\ny",
        "5;x\ry",
        "5\r",
        "5;\r",
        "5.0",
        "10000000000000005",
        "fffffffffffffffb",
        "ffffffffffffffff",
        "7fffffffffffffff",
    ] {
        t.chunked(format!("chunk size {size:?}"), &format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
    for (name, content) in [
        ("hexadecimal, small", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("hexadecimal, capital", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("several", "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n"),
        ("none", "0\r\n\r\n"),
        ("size line ends with LF", "5\nhello\r\n0\r\n\r\n"),
        ("data ends with LF", "5\r\nhello\n0\r\n\r\n"),
        ("data ends with CR", "5\r\nhello\r0\r\n\r\n"),
        ("data without end", "5\r\nhello0\r\n\r\n"),
        ("data too long", "4\r\nhello\r\n0\r\n\r\n"),
        ("data too short", "6\r\nhello\r\n0\r\n\r\n"),
        ("data followed by two ends", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        ("last chunk 00", "5\r\nhello\r\n00\r\n\r\n"),
        ("last chunk with extension", "5\r\nhello\r\n0;x=y\r\n\r\n"),
        ("last chunk -0", "5\r\nhello\r\n-0\r\n\r\n"),
        ("last chunk ends with LF", "5\r\nhello\r\n0\n\r\n"),
        ("end with LF", "5\r\nhello\r\n0\r\n\n"),
        ("end missing", "5\r\nhello\r\n0\r\n"),
        ("last chunk missing", "5\r\nhello\r\n"),
        ("space before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("line before", "\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("a request inside", "2b\r\nGET /inside HTTP/1.1\r\nHost: inside.test\r\n\r\n\r\n0\r\n\r\n"),
    ] {
        t.chunked(format!("chunks, {name}"), content);
    }
    for length in [200, 300, 5000, 20_000] {
        t.chunked(format!("chunk extension of {length}"), &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(length)));
    }
    t.chunked("a thousand chunks", &format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(1000)));
    t.chunked(
        "a thousand chunks with extensions",
        &format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "e".repeat(100)).repeat(1000)),
    );
}

fn trailers(t: &mut Table) {
    for (name, lines) in [
        ("one", "X-T: 1\r\n"),
        ("length", "Content-Length: 3\r\n"),
        ("coding", "Transfer-Encoding: chunked\r\n"),
        ("host", "Host: b.test\r\n"),
        ("without colon", "nonsense\r\n"),
        ("with a space before the colon", "X : 1\r\n"),
        ("folded", "X: 1\r\n y\r\n"),
        ("ending with LF", "X: 1\n"),
        ("with NUL", "X: \0\r\n"),
        ("with an empty name", ": 1\r\n"),
        ("like a request", "GET /trailer HTTP/1.1\r\nHost: trailer.test\r\n"),
    ] {
        t.chunked(format!("trailer {name}"), &format!("5\r\nhello\r\n0\r\n{lines}\r\n"));
    }
    t.chunked("trailers, many", &format!("5\r\nhello\r\n0\r\n{}\r\n", "X: 1\r\n".repeat(100)));
    t.chunked("trailers, large", &format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "x".repeat(10_000)));
}

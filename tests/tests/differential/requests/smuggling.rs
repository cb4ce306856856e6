//! Requests inside of requests: what has been found to make two readers disagree about where one ends.

use super::{CHUNKED_HELLO, HELLO, Table};

/// What must never be taken for a request of its own.
const INSIDE: &str = "GET /inside HTTP/1.1\r\nHost: inside.test\r\n\r\n";

/// Adds them to the table.
pub fn add(t: &mut Table) {
    hidden_lines(t);
    hidden_chunks(t);
    unusual_methods(t);
    expectations(t);
    ends(t);
}

fn hidden_lines(t: &mut Table) {
    for (name, lines) in [
        ("hidden by a space behind another", "Content-Length: 5\r\nContent-Length : 0\r\n"),
        ("with NUL in the name", "Content-Length\0: 5\r\n"),
        ("with NUL before the name", "\0Content-Length: 0\r\nContent-Length: 5\r\n"),
        ("folded", "Content-Length:\r\n 5\r\n"),
        ("behind a folded line", "X: y\r\n\tContent-Length: 0\r\nContent-Length: 5\r\n"),
        ("behind a bare CR", "X: y\rContent-Length: 0\r\nContent-Length: 5\r\n"),
        ("with an underscore", "Content-Length: 0_5\r\n"),
        ("in an octal way", "Content-Length: 0o5\r\n"),
    ] {
        t.post(format!("smuggled: length {name}"), lines, HELLO);
    }
    for (name, lines) in [
        ("behind CR and LF turned round", "X: y\n\rTransfer-Encoding: chunked\r\n"),
        ("with CR before the name", "X: y\r\n\rTransfer-Encoding: chunked\r\n"),
        ("with NUL", "Transfer-Encoding: \0chunked\r\n"),
        ("with NUL behind", "Transfer-Encoding: chunked\0\r\n"),
        ("with a control character behind", "Transfer-Encoding: chunked\x01\r\n"),
        ("with NUL in the name", "Transfer-Encoding\0: chunked\r\n"),
        ("behind an empty list", "Transfer-Encoding: ,\r\nTransfer-Encoding: chunked\r\n"),
        ("in a folded line of another", "X: y\r\n\tTransfer-Encoding: chunked\r\n"),
        ("and a folded line of it", "Transfer-Encoding: chunked\r\n , identity\r\n"),
        ("by another name", "Transfer-Encoding: x-chunked\r\n"),
        ("that is a line", "Transfer-Encoding: Transfer-Encoding: chunked\r\n"),
    ] {
        t.post(format!("smuggled: coding {name}"), lines, CHUNKED_HELLO);
    }
}

fn hidden_chunks(t: &mut Table) {
    for (name, content) in [
        ("line end of data replaced", "5\r\nhelloXX0\r\n\r\n"),
        ("line end of data replaced by CR and a digit", "5\r\nhello\r00\r\n\r\n"),
        ("LF twice behind data", "5\r\nhello\n\n0\r\n\r\n"),
        ("an extension on a line of its own", "5\r\n;x\r\nhello\r\n0\r\n\r\n"),
        ("LF before an extension", "5\n;x\r\nhello\r\n0\r\n\r\n"),
        ("LF in an extension that hides data", "5;\nhello\r\n0\r\n\r\n"),
        ("CR in an extension that hides a size", "2;\rhe\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("size of 64 bits and a little", "ffffffff00000005\r\nhello\r\n0\r\n\r\n"),
        ("size with a suffix", "5L\r\nhello\r\n0\r\n\r\n"),
        ("size in another notation", "0X5\r\nhello\r\n0\r\n\r\n"),
        ("size with NUL before", "\x005\r\nhello\r\n0\r\n\r\n"),
        ("size with NUL behind", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("size in quotes", "\"5\"\r\nhello\r\n0\r\n\r\n"),
        ("last chunk in an extension", "5;0\r\n\r\nhello\r\n0\r\n\r\n"),
        ("CR twice at the end", "5\r\nhello\r\n0\r\n\r\r\n"),
        ("a request behind the last size", "5\r\nhello\r\n0\r\nGET /trailer HTTP/1.1\r\nX: y\r\n\r\n"),
        ("end in CR only", "5\r\nhello\r\n0\r\n\r"),
        ("a trailer that begins with a blank", "5\r\nhello\r\n0\r\n X: y\r\n\r\n"),
    ] {
        t.chunked(format!("smuggled: chunks, {name}"), content);
    }
}

/// Content where many readers expect none.
fn unusual_methods(t: &mut Table) {
    for method in ["HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PURGE"] {
        let length = INSIDE.len();
        t.raw(
            format!("smuggled: {method} with a request as content"),
            format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{INSIDE}"),
        );
        t.raw(
            format!("smuggled: {method} with chunks"),
            format!("{method} / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED_HELLO}"),
        );
    }
}

fn expectations(t: &mut Table) {
    let length = INSIDE.len();
    for value in ["y 100-continue", "100-continue;", "100-continue ", "\t100-continue", "100-continue, 100-continue"] {
        let lines = format!("Expect: {value}\r\nContent-Length: {length}\r\n");
        t.post(format!("smuggled: expect {value:?}"), &lines, INSIDE);
    }
    for method in ["GET", "HEAD"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {length}");
        t.raw(format!("smuggled: {method} that expects"), format!("{head}\r\n\r\n{INSIDE}"));
    }
    t.post("smuggled: expect folded", "Expect:\r\n 100-continue\r\nContent-Length: 5\r\n", HELLO);
}

fn ends(t: &mut Table) {
    let length = format!("Content-Length: {}\r\n", INSIDE.len());
    t.post(
        "smuggled: upgrade with chunks",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        CHUNKED_HELLO,
    );
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    t.post("smuggled: upgrade to h2c with a request as content", &format!("{upgrade}{length}"), INSIDE);
    t.post("smuggled: a request behind length 0", "Content-Length: 0\r\n", INSIDE);
    t.post(
        "smuggled: a request behind the end of chunks",
        "Transfer-Encoding: chunked\r\n",
        &format!("0\r\n\r\n{INSIDE}"),
    );
    t.raw(
        "smuggled: absolute target and a request as content",
        format!("POST http://b.test/ HTTP/1.1\r\nHost: a.test\r\n{length}\r\n{INSIDE}"),
    );
}

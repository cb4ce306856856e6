//! What heads are made of: lines, methods, targets, versions, fields, hosts.

use super::Table;

/// Adds them to the table.
pub fn add(t: &mut Table) {
    line_ends(t);
    fields(t);
    methods(t);
    targets(t);
    versions(t);
    hosts(t);
}

fn line_ends(t: &mut Table) {
    for (name, bytes) in [
        ("LF after the request line", "GET / HTTP/1.1\nHost: a.test\r\n\r\n"),
        ("LF after a field", "GET / HTTP/1.1\r\nHost: a.test\n\r\n"),
        ("LF at the end", "GET / HTTP/1.1\r\nHost: a.test\r\n\n"),
        ("LF everywhere", "GET / HTTP/1.1\nHost: a.test\n\n"),
        ("CR after the request line", "GET / HTTP/1.1\rHost: a.test\r\n\r\n"),
        ("CR after a field", "GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n"),
        ("CR twice", "GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n"),
        ("CR twice after a field", "GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n"),
        ("CR twice at the end", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\r\n"),
        ("LF CR", "GET / HTTP/1.1\n\rHost: a.test\n\r\n\r"),
        ("an empty line before", "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("three empty lines before", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("many empty lines before", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("LF before", "\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("CR before", "\rGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("space before", " GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("NUL before", "\0GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("a byte order mark before", "\u{feff}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("the end missing", "GET / HTTP/1.1\r\nHost: a.test\r\n"),
        ("only an empty line", "\r\n"),
        ("only LF", "\n"),
    ] {
        t.raw(format!("lines: {name}"), bytes);
    }
}

fn fields(t: &mut Table) {
    for (name, lines) in [
        ("folded with a space", "X: y\r\n z\r\n"),
        ("folded with a tab", "X: y\r\n\tz\r\n"),
        ("folded to nothing", "X: y\r\n \r\n"),
        ("space before the colon", "X : y\r\n"),
        ("tab before the colon", "X\t: y\r\n"),
        ("empty name", ": y\r\n"),
        ("no colon", "X\r\n"),
        ("only a colon", ":\r\n"),
        ("no space after the colon", "X:y\r\n"),
        ("much space after the colon", "X: \t  y\t \r\n"),
        ("empty value", "X:\r\n"),
        ("a colon in the value", "X: a:b: c\r\n"),
        ("NUL in the value", "X: a\0b\r\n"),
        ("NUL in the name", "X\0Y: a\r\n"),
        ("bell in the value", "X: a\x07b\r\n"),
        ("escape in the value", "X: a\x1bb\r\n"),
        ("delete in the value", "X: a\x7fb\r\n"),
        ("tab in the value", "X: a\tb\r\n"),
        ("vertical tab in the value", "X: a\x0bb\r\n"),
        ("UTF-8 in the value", "X: a\u{e4}b\r\n"),
        ("UTF-8 in the name", "X\u{e4}: a\r\n"),
        ("CR in the value", "X: a\rb\r\n"),
        ("CR in the name", "X\rY: a\r\n"),
        ("underscore in the name", "X_Y: a\r\n"),
        ("digits in the name", "123: a\r\n"),
        ("all token characters", "!#$%&'*+-.^_`|~9aZ: a\r\n"),
        ("a request as a name", "GET /inside HTTP/1.1\r\n"),
        ("Proxy", "Proxy: http://evil.test\r\n"),
    ] {
        t.get(format!("field: {name}"), lines);
    }
    for odd in ['(', ')', ',', '/', ';', '<', '=', '>', '?', '@', '[', '\\', ']', '{', '}', '"', ' '] {
        t.get(format!("field: {odd:?} in the name"), &format!("X{odd}Y: a\r\n"));
    }
    t.raw("field: first one folded", "GET / HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n");
    t.raw("field: octets that are not UTF-8", b"GET / HTTP/1.1\r\nHost: a.test\r\nX: \xff\xfe\r\n\r\n");
}

fn methods(t: &mut Table) {
    for method in [
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "PURGE",
        "QUERY",
        "FOO",
        "M-SEARCH",
        "A_B",
        "get",
        "Get",
        "gET",
        "GET1",
        "1GET",
        "G!T",
        "G/T",
        "G:T",
        "G\tT",
        "G\0T",
        "G\u{e4}T",
        "",
        "GETTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT",
    ] {
        t.raw(format!("method {method:?}"), format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    t.raw("method HEAD", "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("method, two spaces", "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("method, tab", "GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("method PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

fn targets(t: &mut Table) {
    for target in [
        "/a/b",
        "/?",
        "/?a=b",
        "/?a?b",
        "/?a=%zz",
        "/a%20b",
        "/%zz",
        "/a%",
        "/%00",
        "/a%2fb",
        "/a//b",
        "//a/b",
        "/.",
        "/..",
        "/../a",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a b",
        "/a\tb",
        "/a\x0bb",
        "/a\x7fb",
        "/a\0b",
        "/\u{e4}",
        "/a#b",
        "/#",
        "/a?b#c",
        "/a\\b",
        "/a\"b",
        "/a<b>",
        "/a{b|c}^`",
        "/a;b=c",
        "/a:b@c",
        "*",
        "a",
        "a/b",
        "?a",
        "#",
        "\\a",
        "a.test:80",
        "a.test",
        "http:",
        "http:/",
        "http://",
        "http:///a",
        "http://b.test",
        "http://b.test/a",
        "http://b.test?a",
        "http://b.test#a",
        "http://b.test:80/a",
        "http://b.test:/a",
        "http://b.test:x/a",
        "http://u@b.test/a",
        "http://u:p@b.test/a",
        "http://[::1]/a",
        "http://[::1/a",
        "http://b test/a",
        "http://b.test\\a",
        "HTTP://b.test/a",
        "https://b.test/a",
        "ftp://b.test/a",
        "ws://b.test/a",
        "://b.test/a",
        "1http://b.test/a",
    ] {
        t.raw(format!("target {target:?}"), format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    t.raw("target octets that are not UTF-8", b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("target * of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("target authority of CONNECT", "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    t.raw("target absolute without Host", "GET http://b.test/a HTTP/1.1\r\n\r\n");
    t.raw("target absolute with two Hosts", "GET http://b.test/a HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    t.raw("target absolute in HTTP/1.0", "GET http://b.test/a HTTP/1.0\r\n\r\n");
}

fn versions(t: &mut Table) {
    for version in [
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/1.9",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/9.9",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1.01",
        "HTTP/01.1",
        "HTTP/001.1",
        "HTTP/-1.1",
        "HTTP/1.1a",
        "HTTP/a.1",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "HTTP/1,1",
        "HTTP 1.1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTP/1.1 ",
        "HTTP/1.1  ",
        "HTTP/1.1 x",
        "HTTP/1.1\t",
        " HTTP/1.1",
        "HTTP/1.1\0",
        "X",
        "",
    ] {
        t.raw(
            format!("version {version:?}"),
            format!("GET / {version}\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n"),
        );
    }
    t.raw("no version", "GET /\r\n");
    t.raw("no version, no path", "GET\r\n\r\n");
}

fn hosts(t: &mut Table) {
    for host in [
        "a.test",
        "A.Test",
        "a.test:80",
        "a.test:",
        "a.test:0",
        "a.test:65535",
        "a.test:99999",
        "a.test:x",
        "a.test:80:80",
        "a.test:-1",
        "",
        " ",
        "a b",
        "a\tb",
        "a,b",
        "a/b",
        "a@b",
        "a?b",
        "a#b",
        "a\\b",
        "a\"b",
        "a<b",
        "a>b",
        "a'b",
        "a;b",
        "a%41",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a_b",
        "a\u{e4}",
        "a\0b",
        "a\x7fb",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
        "[::1",
        "::1",
        "[::1]x",
        "[]",
        "*",
        "a$b",
        "a{b}",
        "a|b",
        "a^b",
        "a`b",
        "a(b)",
        "a&b=c",
        "a!b",
        "a~b",
        "a+b",
    ] {
        t.raw(format!("host {host:?}"), format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    t.raw("host of 300 letters", format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300)));
    t.raw("host missing", "GET / HTTP/1.1\r\n\r\n");
    t.raw("host missing in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n");
    t.raw("host empty in HTTP/1.0", "GET / HTTP/1.0\r\nHost:\r\n\r\n");
    t.raw("host twice, the same", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n");
    t.raw("host twice, different", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    t.raw("host twice in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    t.raw("host folded", "GET / HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n");
    t.raw("host with a space before the colon", "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n");
}

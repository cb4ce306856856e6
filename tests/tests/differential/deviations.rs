//! Where Bascule does something else than nginx, and why.

/// The version of nginx that they are about: Debian 12's.
pub const NGINX: &str = "1.22.";

/// A reason, and the cases that differ for it: their names and what Bascule makes of them.
type Deviations = (&'static str, &'static [(&'static str, &'static str)]);

/// Of `requests`.
pub const REQUESTS: &[Deviations] = &[
    (
        "Lines end with CRLF and with nothing else: a bare LF or CR is where readers part (RFC 9112, section 2.2).",
        &[
            ("coding behind a bare LF", "400"),
            ("chunks, size line ends with LF", "400"),
            ("chunks, data ends with LF", "400"),
            ("chunks, last chunk ends with LF", "400"),
            ("chunks, end with LF", "400"),
            ("chunks, end missing", "400"),
            ("trailer ending with LF", "400"),
            ("lines: LF after the request line", "400"),
            ("lines: LF after a field", "400"),
            ("lines: LF at the end", "400"),
            ("lines: LF everywhere", "400"),
            ("lines: CR twice after a field", "400"),
            ("lines: LF before", "400"),
            ("lines: CR before", "400"),
            ("lines: only LF", "400"),
            ("sequence: LF between", r#"200 400 [POST /2 "a.test" "hello"]"#),
        ],
    ),
    (
        "Two empty lines before a request are forgiven, not any number.",
        &[
            ("lines: three empty lines before", "400"),
            ("lines: many empty lines before", "400"),
            ("sequence: three empty lines between", r#"200 400 [POST /2 "a.test" "hello"]"#),
        ],
    ),
    (
        "Field lines are what the RFC says or the request is refused; nginx drops the line, or passes it on as it is.",
        &[
            (r#"coding "\u{b}chunked""#, "400"),
            (r#"coding "chunked\u{c}""#, "400"),
            ("field: no colon", "400"),
            ("field: bell in the value", "400"),
            ("field: escape in the value", "400"),
            ("field: delete in the value", "400"),
            ("field: vertical tab in the value", "400"),
            ("field: UTF-8 in the name", "400"),
            ("field: '(' in the name", "400"),
            ("field: ')' in the name", "400"),
            ("field: ',' in the name", "400"),
            ("field: '/' in the name", "400"),
            ("field: ';' in the name", "400"),
            ("field: '<' in the name", "400"),
            ("field: '=' in the name", "400"),
            ("field: '>' in the name", "400"),
            ("field: '?' in the name", "400"),
            ("field: '@' in the name", "400"),
            ("field: '[' in the name", "400"),
            (r"field: '\\' in the name", "400"),
            ("field: ']' in the name", "400"),
            ("field: '{' in the name", "400"),
            ("field: '}' in the name", "400"),
            (r#"field: '"' in the name"#, "400"),
        ],
    ),
    (
        "Tabs are white space around a value as blanks are (RFC 9110, section 5.6.3); what is passed on has none.",
        &[
            (r#"length "\t5""#, r#"200 200 [POST / "a.test" "hello"] +"#),
            (r#"length "5\t""#, r#"200 200 [POST / "a.test" "hello"] +"#),
            (r#"coding "\tchunked""#, r#"200 200 [POST / "a.test" "hello"] +"#),
            (r#"coding "chunked\t""#, r#"200 200 [POST / "a.test" "hello"] +"#),
        ],
    ),
    (
        "Numbers have a limited number of digits, zeros included.",
        &[
            (r#"length "0000000000000000000005""#, "400"),
            (r#"chunk size "0000000000000005""#, "400"),
            (r#"chunk size "00000000000000005""#, "400"),
            (r#"chunk size "000000000000000000000000000000005""#, "400"),
        ],
    ),
    ("A length that cannot be is refused; nginx waits for so much.", &[(r#"length "9223372036854775807""#, "400")]),
    (
        "A chunk's size line and trailers are what the RFC says or the request is refused.",
        &[
            (r#"chunk size "5 x""#, "400"),
            (r#"chunk size "5;x\0y""#, "400"),
            (r#"chunk size "5;x\u{7f}y""#, "400"),
            ("chunks, data too short", "400"),
            ("trailer without colon", "400"),
            ("trailer with a space before the colon", "400"),
            ("trailer folded", "400"),
            ("trailer with NUL", "400"),
            ("trailer with an empty name", "400"),
            ("trailer like a request", "400"),
        ],
    ),
    (
        "Chunk extensions (256 octets) and trailers (64 lines, 8 KiB) have limits.",
        &[
            ("chunk extension of 300", "400"),
            ("chunk extension of 5000", "400"),
            ("chunk extension of 20000", "400"),
            ("trailers, many", "400"),
            ("trailers, large", "400"),
        ],
    ),
    (
        "A request line has two single blanks, a method of at most 32 letters, and a version that we speak; Kong, \
            too, leaves HTTP/0.9 without an answer.",
        &[
            (r#"method "GETTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT""#, "400"),
            ("method, two spaces", "400"),
            ("method PRI", "505"),
            (r#"version "HTTP/0.9""#, "505"),
            (r#"version "HTTP/11""#, "400"),
            (r#"version "HTTP/1.10""#, "400"),
            (r#"version "HTTP/1.01""#, "400"),
            (r#"version "HTTP/1.1 ""#, "400"),
            (r#"version "HTTP/1.1  ""#, "400"),
            (r#"version " HTTP/1.1""#, "400"),
            (r#"version """#, "400"),
            ("no version", ""),
        ],
    ),
    (
        "Kong normalises paths (and so do we), nginx by itself does not. Octets beyond ASCII are escaped.",
        &[
            (r#"target "/a%2fb""#, r#"200 200 [GET /a%2Fb "a.test" ""] +"#),
            (r#"target "/a//b""#, r#"200 200 [GET /a/b "a.test" ""] +"#),
            (r#"target "//a/b""#, r#"200 200 [GET /a/b "a.test" ""] +"#),
            (r#"target "/.""#, r#"200 200 [GET / "a.test" ""] +"#),
            (r#"target "/a/../b""#, r#"200 200 [GET /b "a.test" ""] +"#),
            (r#"target "/a/%2e%2e/b""#, r#"200 200 [GET /b "a.test" ""] +"#),
            (r#"target "/ä""#, r#"200 200 [GET /%C3%A4 "a.test" ""] +"#),
            (r#"target "/a\\b""#, r#"200 200 [GET /a%5Cb "a.test" ""] +"#),
            (r#"target "/a\"b""#, r#"200 200 [GET /a%22b "a.test" ""] +"#),
            (r#"target "/a<b>""#, r#"200 200 [GET /a%3Cb%3E "a.test" ""] +"#),
            (r#"target "/a{b|c}^`""#, r#"200 200 [GET /a%7Bb%7Cc%7D%5E%60 "a.test" ""] +"#),
            ("target octets that are not UTF-8", r#"200 200 [GET /%FF "a.test" ""] +"#),
        ],
    ),
    (
        "A fragment does not belong in a request target and is dropped, where nginx sends it on.",
        &[
            (r#"target "/a#b""#, r#"200 200 [GET /a "a.test" ""] +"#),
            (r#"target "/#""#, r#"200 200 [GET / "a.test" ""] +"#),
            (r#"target "/a?b#c""#, r#"200 200 [GET /a?b "a.test" ""] +"#),
            (r#"target "http://b.test#a""#, r#"200 200 [GET / "b.test" ""] +"#),
        ],
    ),
    (
        "The authority of an absolute target takes the place of `Host` (RFC 9112, section 3.2.2); nginx passes the \
            line on unchanged.",
        &[
            (r#"target "http://b.test""#, r#"200 200 [GET / "b.test" ""] +"#),
            (r#"target "http://b.test/a""#, r#"200 200 [GET /a "b.test" ""] +"#),
            (r#"target "http://b.test?a""#, r#"200 200 [GET /?a "b.test" ""] +"#),
            (r#"target "http://b.test:80/a""#, r#"200 200 [GET /a "b.test:80" ""] +"#),
            (r#"target "http://b.test:/a""#, r#"200 200 [GET /a "b.test:" ""] +"#),
            (r#"target "http://[::1]/a""#, r#"200 200 [GET /a "[::1]" ""] +"#),
            (r#"target "HTTP://b.test/a""#, r#"200 200 [GET /a "b.test" ""] +"#),
            (r#"target "https://b.test/a""#, r#"200 200 [GET /a "b.test" ""] +"#),
            ("target absolute in HTTP/1.0", r#"200 [GET /a "b.test" ""]"#),
        ],
    ),
    (
        "We speak for http and https only.",
        &[(r#"target "ftp://b.test/a""#, "400"), (r#"target "ws://b.test/a""#, "400")],
    ),
    (
        "A host is a name or an address with an optional port; nginx looks for less, but dislikes two dots.",
        &[
            (r#"host "a.test:x""#, "400"),
            (r#"host "a.test:80:80""#, "400"),
            (r#"host "a.test:-1""#, "400"),
            (r#"host "a,b""#, "400"),
            (r#"host "a@b""#, "400"),
            (r#"host "a?b""#, "400"),
            (r#"host "a#b""#, "400"),
            (r#"host "a\\b""#, "400"),
            (r#"host "a\"b""#, "400"),
            (r#"host "a<b""#, "400"),
            (r#"host "a>b""#, "400"),
            (r#"host "a..b""#, r#"200 200 [GET / "a..b" ""] +"#),
            (r#"host "[::1""#, "400"),
            (r#"host "[::1]x""#, "400"),
        ],
    ),
    (
        "`Connection` is a list of options, from all its lines (RFC 9110, section 7.6.1); nginx looks for the word in \
            the last one.",
        &[
            (r#"connection "closed""#, r#"200 200 [GET / "a.test" ""] +"#),
            (r#"connection "\"close\"""#, r#"200 200 [GET / "a.test" ""] +"#),
            (r#"connection "close;x""#, r#"200 200 [GET / "a.test" ""] +"#),
            ("connection twice, close first", r#"200 [GET / "a.test" ""]"#),
        ],
    ),
    (
        "`100 Continue` is not sent when there is no content, or when it has come already (RFC 9110, section 10.1.1).",
        &[
            (r#"expect "100-continue""#, r#"200 200 [POST / "a.test" "hello"] +"#),
            (r#"expect "100-Continue""#, r#"200 200 [POST / "a.test" "hello"] +"#),
            ("expect without content", r#"200 200 [GET / "a.test" ""] +"#),
        ],
    ),
];

/// Of `responses`.
pub const RESPONSES: &[Deviations] = &[
    (
        "A 204 has no length (RFC 9110, section 8.6): clients of HTTP/2 take one for an error.",
        &[
            ("204 No Content with length 0", "204 +"),
            ("204 No Content with a length", "204 +"),
            ("204 No Content with content", "204"),
        ],
    ),
    (
        "Lines end with CRLF and with nothing else.",
        &[
            ("status line ends with LF", "502"),
            ("fields end with LF", "502"),
            ("LF everywhere", "502"),
            ("chunks ending with LF, closed", r#"200 chunked "" cut"#),
        ],
    ),
    (
        "An empty line before the status line is skipped, as before a request.",
        &[(r#"status line "\r\nHTTP/1.1 200 OK", closed"#, r#"200 length "hello""#)],
    ),
    (
        "What is no answer in HTTP/1.0 or 1.1 is 502. nginx reads many things as a status line, and takes the rest \
            for content without a head.",
        &[
            (r#"status line "HTTP/1.1 099 Low", closed"#, "502"),
            (r#"status line "HTTP/1.1 000 None", closed"#, "502"),
            (r#"status line "HTTP/1.1 20 Short", closed"#, "502"),
            (r#"status line "HTTP/1.1 2000 Long", closed"#, "502"),
            (r#"status line "HTTP/1.1 -20 OK", closed"#, "502"),
            (r#"status line "HTTP/1.1 2x0 OK", closed"#, "502"),
            (r#"status line "HTTP/1.1", closed"#, "502"),
            (r#"status line "HTTP/1.1 ", closed"#, "502"),
            (r#"status line "HTTP/1.1  200 OK", closed"#, "502"),
            (r#"status line "HTTP/1.1\t200 OK", closed"#, "502"),
            (r#"status line "HTTP/1.2 200 OK", closed"#, "502"),
            (r#"status line "HTTP/2.0 200 OK", closed"#, "502"),
            (r#"status line "HTTP/0.9 200 OK", closed"#, "502"),
            (r#"status line "HTTP/11 200 OK", closed"#, "502"),
            (r#"status line "http/1.1 200 OK", closed"#, "502"),
            (r#"status line "ICY 200 OK", closed"#, "502"),
            (r#"status line " HTTP/1.1 200 OK", closed"#, "502"),
            (r#"status line "HTTP/1.1 200 O\0K", closed"#, "502"),
            (r#"status line "HTTP/1.1 200 O\u{7}K", closed"#, "502"),
            (r#"status line "hello", closed"#, "502"),
        ],
    ),
    (
        "Framing is clear or the answer is 502. Debian's nginx chooses one reading; Kong's, being newer, refuses, too.",
        &[
            (r#"length "", closed"#, "502"),
            (r#"length "+5", closed"#, "502"),
            (r#"length "-5", closed"#, "502"),
            (r#"length "5,5", closed"#, "502"),
            (r#"length "5, 5", closed"#, "502"),
            (r#"length "5;", closed"#, "502"),
            (r#"length "0x5", closed"#, "502"),
            (r#"length "5 5", closed"#, "502"),
            (r#"length "x", closed"#, "502"),
            (r#"length "18446744073709551621", closed"#, "502"),
            (r#"length "99999999999999999999999", closed"#, "502"),
            ("length twice, the same", "502"),
            ("length twice, different", "502"),
            ("length twice, in other letters", "502"),
            (r#"coding "", closed"#, "502"),
            (r#"coding "identity", closed"#, "502"),
            (r#"coding "gzip", closed"#, "502"),
            (r#"coding "gzip, chunked", closed"#, "502"),
            (r#"coding "chunked, chunked", closed"#, "502"),
            (r#"coding "chunked, identity", closed"#, "502"),
            (r#"coding "xchunked", closed"#, "502"),
            (r#"coding "chunked;q=1", closed"#, "502"),
            (r#"coding "cow", closed"#, "502"),
            ("coding twice", "502"),
            ("coding twice, another last", "502"),
            ("coding behind a length", "502"),
            ("coding before a length", "502"),
            ("coding with a length of the whole", "502"),
            ("coding unknown, with a length", "502"),
            ("HEAD with a bad length", "502"),
        ],
    ),
    (
        "Trailers are passed on to clients that ask for them (`TE: trailers`); nginx drops them.",
        &[("chunks with a trailer, wanted", r#"200 chunked "hello" trailers "X-T: 1\r\n" +"#)],
    ),
    (
        "What came before the mistake has been passed on already when it is seen; the client sees that there should \
            be more.",
        &[
            ("chunks with a bad size, closed", r#"200 chunked "hello" cut"#),
            ("chunks with a huge size, closed", r#"200 chunked "hello" cut"#),
            ("chunks with a negative size, closed", r#"200 chunked "" cut"#),
            ("chunks longer than their size, closed", r#"200 chunked "hell" cut"#),
            ("chunks with a bad trailer, closed", r#"200 chunked "hello" cut"#),
        ],
    ),
    (
        "Field lines are what the RFC says or the answer is 502; nginx passes the line on.",
        &[
            ("field without colon", "502"),
            ("field with a bell", "502"),
            ("field with UTF-8 in the name", "502"),
            ("field with brackets in the name", "502"),
        ],
    ),
    (
        "Interim answers are passed on to those who know them, `100 Continue` is ours to give, and `101` must have \
            been asked for. nginx takes each for the final answer.",
        &[
            ("100, then the answer", r#"200 length "hello""#),
            ("103, for HTTP/1.0", r#"200 length "hello""#),
            ("100 with a length", r#"200 length "hello""#),
            ("100 and the end", "502 (asked 3 times)"),
            ("101 unasked", "502"),
        ],
    ),
    (
        "Content behind the head of an answer to HEAD spoils the connection.",
        &[("HEAD with content", "200 says length 5"), ("HEAD with 404 and content", "404 says length 5")],
    ),
    (
        "Connections to services that speak HTTP/1.0 are kept when they offer it.",
        &[("HTTP/1.0 with keep-alive", r#"200 length "hello" +"#)],
    ),
];

//! Tests of heads: what is taken, what is refused, and with which error.

use super::*;

fn request(text: &str) -> Result<RequestHead, HeadError> {
    let mut head = RequestHead::default();
    let end = parse_request(text.as_bytes(), &mut HeadParser::default(), &mut head, &Limits::default())?;
    assert_eq!(end, Some(text.len()), "incomplete: {text:?}");
    Ok(head)
}

fn response(text: &str) -> Result<ResponseHead, HeadError> {
    let mut head = ResponseHead::default();
    parse_response(text.as_bytes(), &mut HeadParser::default(), &mut head, &Limits::default(), false)?;
    Ok(head)
}

#[test]
fn reads_a_request_octet_by_octet() {
    let text = b"\r\nPOST /a?b=c#frag HTTP/1.1\r\nHost: h:80\r\nX-A:  v \r\ncontent-length: 3\r\n\r\nabc";
    let (mut head, mut parser) = (RequestHead::default(), HeadParser::default());
    for n in 0..text.len() - 3 {
        assert_eq!(parse_request(&text[..n], &mut parser, &mut head, &Limits::default()), Ok(None));
    }
    assert_eq!(parse_request(text, &mut parser, &mut head, &Limits::default()), Ok(Some(text.len() - 3)));
    assert_eq!(head.method.as_str(), "POST");
    assert_eq!(head.path(), "/a");
    assert_eq!(head.query(), Some("b=c"));
    assert_eq!(head.framing, Framing::Length(3));
    let lines: Vec<_> = head.fields.iter().collect();
    assert_eq!(lines, [("Host", &b"h:80"[..]), ("X-A", b"v"), ("content-length", b"3")]);
}

#[test]
fn refuses_what_two_readers_could_read_differently() {
    for bad in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(matches!(request(bad), Err(HeadError::Malformed(_))), "accepted {bad:?}");
    }
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n").err(),
        Some(HeadError::UnknownCoding)
    );
    assert_eq!(request("GET / HTTP/9.9\r\nHost: a\r\n\r\n").err(), Some(HeadError::UnknownVersion));
    assert_eq!(request("GET /\r\n\r\n").err(), Some(HeadError::NoVersion));
}

#[test]
fn absolute_form_names_the_host() {
    let head = request("GET http://b.test:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.target.as_str(), "/x?y");
    assert_eq!(head.fields.get_str("host"), Some("b.test:81"));
    let head = request("GET http://b.test?y HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.target, "/?y");
    assert_eq!(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().target, "*");
    // RFC 9112, section 3.2: the line must be there all the same, and be a host.
    for bad in [
        "GET http://b/ HTTP/1.1\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(matches!(request(bad), Err(HeadError::Malformed(_))), "accepted {bad:?}");
    }
}

#[test]
fn limits_hold_while_the_head_is_still_coming() {
    let parse =
        |text: &[u8]| parse_request(text, &mut HeadParser::default(), &mut RequestHead::default(), &Limits::default());
    assert_eq!(parse(&[b'X'; 9000]), Err(HeadError::TargetTooLong));
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
    assert_eq!(parse(long.as_bytes()), Err(HeadError::TargetTooLong));
    let big = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000));
    assert_eq!(parse(big.as_bytes()), Err(HeadError::TooLarge));
    let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(1001));
    assert_eq!(parse(many.as_bytes()), Err(HeadError::TooLarge));
    let total = format!("GET / HTTP/1.1\r\n{}", format!("a: {}\r\n", "x".repeat(8000)).repeat(5));
    assert_eq!(parse(total.as_bytes()), Err(HeadError::TooLarge));
    // A line that just fits may come without its last octet first.
    let fits = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r", "x".repeat(8190 - 3));
    assert_eq!(parse(fits.as_bytes()), Ok(None));
    assert!(matches!(parse(format!("{fits}\n\r\n").as_bytes()), Ok(Some(_))));
    // What cannot become a request line is not waited for: a client that speaks TLS, for one.
    assert!(matches!(parse(b"\x16\x03\x01\x02\x00\x01"), Err(HeadError::Malformed(_))));
    assert!(matches!(parse(b"\r\n\x16"), Err(HeadError::Malformed(_))));
    assert_eq!(parse(b"\r"), Ok(None));
}

#[test]
fn response_framing_follows_rfc_9112() {
    let framing = |text: &str| response(text).map(|h| h.framing);
    assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Ok(Framing::Length(5)));
    assert_eq!(framing("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"), Ok(Framing::Delimited));
    assert_eq!(framing("HTTP/1.0 200 OK\r\n\r\n"), Ok(Framing::UntilClose));
    assert_eq!(framing("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"), Ok(Framing::Empty));
    assert_eq!(framing("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"), Ok(Framing::Empty));
    assert_eq!(framing("HTTP/1.1 101 Go\r\n\r\n"), Ok(Framing::Empty));
    assert!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    assert!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").is_err());
    assert!(
        framing("HTTP/1.1 20 OK\r\n\r\n").is_err()
            && framing("HTTP/1.1 2000\r\n\r\n").is_err()
            && framing("ICY 200 OK\r\n\r\n").is_err()
    );
    assert_eq!(framing("HTTP/2.0 200 OK\r\n\r\n"), Err(HeadError::UnknownVersion));
}

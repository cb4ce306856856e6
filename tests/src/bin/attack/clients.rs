//! Clients that follow the rules and check what they get, and such that do not.

use crate::Target;
use crate::random::Random;
use blackbox::http::Connection;
use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Numbers of requests, so that each answer can be told from all others.
static MARKS: AtomicU64 = AtomicU64::new(1);

/// Asks on kept connections, many requests in one go, until it shall stop; what is wrong with an answer.
pub fn check_answers(target: &Target, mut random: Random, stop: &AtomicBool) -> Result<u64, String> {
    let tls = Client::new(&Offer::default());
    let mut answered = 0;
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut connection) = open(target, &tls, &mut random) else { continue };
        for _ in 0..=random.below(20) {
            let (more, open) = exchange(&mut connection, &mut random)?;
            answered += more;
            if !open {
                break;
            }
        }
    }
    Ok(answered)
}

/// Sends some requests and reads their answers: how many there were, and whether the connection goes on.
fn exchange(connection: &mut Connection<Wire>, random: &mut Random) -> Result<(u64, bool), String> {
    let mut asked = Vec::new();
    let mut octets = Vec::new();
    for _ in 0..=random.below(4) {
        let mark = format!("m{}", MARKS.fetch_add(1, Ordering::Relaxed));
        let method = *random.pick(&["GET", "GET", "HEAD", "POST", "PUT", "DELETE"]);
        let path = *random.pick(&["/good", "/good", "/bad", "/streamed", "/limited", "/none", "/held"]);
        let size = *random.pick(&[0, 1, 100, 5000, 70_000]);
        let body = vec![b'x'; size];
        octets.extend_from_slice(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-Mark: {mark}\r\n").as_bytes());
        if method == "GET" || method == "HEAD" {
            octets.extend_from_slice(b"\r\n");
        } else if random.one_in(2) {
            octets.extend_from_slice(format!("Content-Length: {size}\r\n\r\n").as_bytes());
            octets.extend_from_slice(&body);
        } else {
            octets.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(1 + random.below(9000)) {
                octets.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                octets.extend_from_slice(piece);
                octets.extend_from_slice(b"\r\n");
            }
            octets.extend_from_slice(b"0\r\n\r\n");
        }
        asked.push((mark, method, path));
    }
    let mut answered = 0;
    if connection.send_raw(&octets).is_err() {
        return Ok((answered, false));
    }
    let mut seen = String::new();
    for (mark, method, path) in asked {
        let answer = match connection.receive(method == "HEAD") {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(format!("{method} {path} {mark}: no answer but {error}, after{seen}"));
            }
            // It may end whenever a service does not keep to the rules.
            Err(_) => return Ok((answered, false)),
        };
        answered += 1;
        let _ = write!(seen, " [{method} {path} {mark}: {} {:?}]", answer.status, answer.headers);
        let echo = answer.header("X-Echo");
        if answer.header("X-Cache-Status").is_none() && echo.is_some_and(|echo| echo != mark && echo != "poison") {
            return Err(format!("{method} {path} {mark} gets the answer to {echo:?}:{seen}"));
        }
        if echo == Some("poison") {
            return Err(format!("{method} {path} {mark} gets what a service sent unasked:{seen}"));
        }
        if answer.header("Connection") == Some("close") {
            return Ok((answered, false));
        }
    }
    Ok((answered, true))
}

/// Does what no client should, until it shall stop.
pub fn harass(target: &Target, mut random: Random, stop: &AtomicBool) {
    let tls = Client::new(&Offer::default());
    while !stop.load(Ordering::SeqCst) {
        if let Ok(connection) = open(target, &tls, &mut random) {
            // The node may end whatever it does not like.
            let _ = pester(connection, &mut random);
        }
    }
}

fn pester(mut connection: Connection<Wire>, random: &mut Random) -> io::Result<()> {
    connection.waits(Duration::from_millis(300))?;
    let octets = hostile(random);
    match random.below(4) {
        0 => {
            for piece in octets.chunks(1 + random.below(200)).take(100) {
                connection.send_raw(piece)?;
            }
        }
        1 => connection.send_raw(&octets[..random.below(octets.len() + 1)])?,
        _ => connection.send_raw(&octets)?,
    }
    match random.below(5) {
        0 => connection.reset(),
        1 => {
            connection.finish()?;
            let _ = connection.read_until_closed(Duration::from_millis(200));
        }
        2 => {
            let _ = connection.read(&mut [0; 100])?;
        }
        3 => std::thread::park_timeout(Duration::from_millis(random.below(300) as u64)),
        _ => {
            let _ = connection.read_until_closed(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// Some requests, put together of good and bad parts, with an octet changed here and there.
fn hostile(random: &mut Random) -> Vec<u8> {
    let mut octets = Vec::new();
    for _ in 0..=random.below(3) {
        octets.extend_from_slice(random.pick(STARTS).as_bytes());
        for _ in 0..random.below(6) {
            octets.extend_from_slice(random.pick(LINES).as_bytes());
            octets.extend_from_slice(random.pick(&["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"]).as_bytes());
        }
        if random.one_in(20) {
            octets.extend_from_slice(format!("Cookie: a={}\r\n", "c".repeat(random.below(60_000))).as_bytes());
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(random.pick(CONTENTS).as_bytes());
        if random.one_in(6) {
            octets.extend(random.octets(5000));
        }
    }
    for _ in 0..random.below(3) {
        let at = random.below(octets.len());
        octets[at] = (random.next() >> 8) as u8;
    }
    octets
}

const STARTS: &[&str] = &[
    "GET /good HTTP/1.1\r\nHost: a\r\n",
    "POST /good HTTP/1.1\r\nHost: a\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\n",
    "PUT /streamed HTTP/1.1\r\nHost: a\r\n",
    "HEAD /bad HTTP/1.0\r\n",
    "GET /streamed HTTP/1.0\r\nConnection: keep-alive\r\n",
    "GET /limited?a=%zz&b=%00 HTTP/1.1\r\nHost: a\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
    "GET http://b/held HTTP/1.1\r\nHost: a\r\n",
    "GET /none/../../%2e%2e//x HTTP/1.1\r\nHost: a\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n",
    "GET /\r\n",
    "\x16\x03\x01",
];
const LINES: &[&str] = &[
    "Content-Length: 5",
    "Content-Length: 5, 5",
    "Content-Length: 99999999",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Connection: close",
    "Connection: keep-alive, X-Consumer-ID, Content-Length, Host",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "TE: trailers",
    "Host: b",
    "X-Forwarded-For: 1.2.3.4, ::1, x",
    "X-Forwarded-Proto: https",
    "Content-Type: application/json",
    "Content-Type: application/x-www-form-urlencoded; charset=\"",
    "Content-Type: multipart/form-data; boundary=a",
    "Authorization: Basic \u{e9}",
    "Cookie: a=b; c",
    "Accept: application/grpc;q=x, */*;q=2",
    "apikey: k",
    "Bad : 1",
    ": 1",
    "X",
    " folded",
];
const CONTENTS: &[&str] = &[
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhel",
    "ffffffffffffffff1\r\n",
    "5;ext=\"\r\n\r\nhello\r\n0\r\nX-Consumer-ID: root\r\n\r\n",
    "0\r\n\r\n",
    "{\"a\":[[[[",
    "a=1&b=%zz&&=",
    "--a\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--a--\r\n",
];

fn open(target: &Target, tls: &Client, random: &mut Random) -> io::Result<Connection<Wire>> {
    let mut connection =
        if random.one_in(2) { Connection::plain(target.proxy)? } else { tls.connect(target.proxy_tls)? };
    connection.waits(Duration::from_secs(5))?;
    Ok(connection)
}

//! Any octets and every variable of the access log: nothing of it panics, and a line stays a line. The fuzz target
//! `access_log` does the same for as long as it is let.

mod line;

use line::Formats;

const HEAD: &[u8] = b"POST /path%20?a=1&b=%41 HTTP/1.1\r\nHost: Front.test:8000\r\nX-Forwarded-For: 192.0.2.1\r\n\
    X-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.2\r\nCookie: a=1; b=2\r\nX_Other: 1\r\n\
    Authorization: Basic YWRhOng=\r\nUser-Agent: \"x\"\r\nVia: 1.1 a\r\nConnection: close, te\r\nTE: trailers\r\n\
    Upgrade: websocket\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";

#[test]
fn cut_anywhere() {
    let formats = Formats::every_variable();
    for end in 0..=HEAD.len() {
        formats.write(&HEAD[..end], usize::MAX);
    }
    for step in [1, 7, 64] {
        formats.write(HEAD, step);
    }
}

#[test]
fn broken_anywhere() {
    let formats = Formats::every_variable();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..5000 {
        let mut octets = HEAD.to_vec();
        for _ in 0..=random.usize(..4) {
            let at = random.usize(..octets.len().max(1));
            match random.u8(..6) {
                _ if octets.is_empty() => {}
                0 => octets[at] = random.u8(..),
                1 => octets[at] = *random.choice(b"\r\n :,;%\"\\\0\xff=&?".as_slice()).expect("some"),
                2 => octets.insert(at, random.u8(..)),
                3 => drop(octets.remove(at)),
                4 => octets.truncate(at.max(1)),
                _ => {
                    let long = vec![b'x'; random.usize(..400)];
                    octets.splice(at..at, long);
                }
            }
        }
        formats.write(&octets, if random.bool() { usize::MAX } else { 1 + random.usize(..100) });
    }
}

#[test]
fn noise() {
    let formats = Formats::every_variable();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..5000 {
        let mut octets = vec![0; random.usize(..300)];
        random.fill(&mut octets);
        formats.write(&octets, 1 + random.usize(..100));
    }
}

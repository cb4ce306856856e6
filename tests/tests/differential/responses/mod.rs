//! Answers of a rough service through Bascule and nginx: what the client gets to see, and whether the connection is
//! used again.

mod rough;
mod table;

use crate::deviations;
use crate::peers;
use blackbox::http::form;
use blackbox::{Node, PATIENCE};
use rough::{Rough, Script};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use table::Case;

/// What became of a case, in words: the client's view, how often the service was asked if more than once, and `+` if
/// its connection was used again.
fn play(address: SocketAddr, service: &Rough, case: &Case) -> String {
    service.learn(Script { answer: case.answer.clone(), close: case.close });
    let mut text = view(&ask(address, case.request.as_bytes(), &case.name), case.request.starts_with("HEAD"));
    if let Some(octets) = case.later {
        service.blurt(octets);
    }
    let next = ask(address, b"GET /well HTTP/1.1\r\nHost: a.test\r\n\r\n", &case.name);
    assert_eq!(
        view(&next, false),
        "200 length \"well\"",
        "the request behind {:?} got what was not for it: {:?}",
        case.name,
        String::from_utf8_lossy(&next)
    );
    let (count, reused) = service.asked();
    if count != 1 {
        let _ = write!(text, " (asked {count} times)");
    }
    text + if reused { " +" } else { "" }
}

#[test]
fn answers_mean_the_same_to_all() {
    let (behind_bascule, behind_nginx) = (Rough::start(), Rough::start());
    let node = Node::start(&[("nginx_worker_processes", "1"), ("nginx_proxy_proxy_ignore_client_abort", "on")]);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=2&url=http://{}", behind_bascule.address))
        .expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/&strip_path=false").expect(201);
    let nginx = peers::nginx(behind_nginx.address, 3);
    let version_fits = nginx.version.starts_with(deviations::NGINX);
    let mut expected: HashMap<&str, &str> =
        deviations::RESPONSES.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    let mut complaints = String::new();
    for case in table::all() {
        let (ours, theirs) = (play(node.proxy(), &behind_bascule, &case), play(nginx.address, &behind_nginx, &case));
        let mut complain = |what: &str| {
            let _ = writeln!(complaints, "{what}: {}\n  bascule {ours}\n  nginx   {theirs}", case.name);
        };
        match expected.remove(case.name.as_str()) {
            None if ours != theirs && version_fits => complain("not as nginx"),
            Some(_) if ours == theirs && version_fits => complain("listed as a deviation, but as nginx"),
            Some(outcome) if outcome != ours => complain("another deviation than the listed one"),
            _ => {}
        }
    }
    assert!(expected.is_empty(), "deviations of cases that do not exist: {expected:?}");
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Sends a request on a connection of its own, then nothing more; everything that comes back.
fn ask(address: SocketAddr, request: &[u8], case: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end of {case:?} at {address}");
    }
    answer
}

/// What a client that forgives nothing sees: statuses, framing, content; `cut` when it must notice that there should be
/// more. Of our own and nginx's error pages only the status.
fn view(mut answer: &[u8], head_request: bool) -> String {
    let mut text = String::new();
    loop {
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
            return text + if answer.is_empty() { "nothing" } else { "no head" };
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        answer = &answer[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("http/1.1 "))
            .map_or("no status", |rest| &rest[..rest.len().min(3)]);
        let all = |name: &str| {
            head.split("\r\n").filter_map(|line| line.strip_prefix(name)).map(str::trim).collect::<Vec<_>>()
        };
        let (lengths, codings) = (all("content-length:"), all("transfer-encoding:"));
        text.push_str(status);
        if status.starts_with('5') && !head.contains("x-rough:") {
            return text;
        }
        if status.starts_with('1') {
            text.push(' ');
            continue;
        }
        let bodiless = head_request || matches!(status, "204" | "304");
        let content = match (&lengths[..], &codings[..]) {
            ([], []) => until_close(answer, bodiless),
            ([length], []) => match length.parse::<usize>() {
                Ok(length) if bodiless => format!(" says length {length}{}", until_close(answer, true)),
                Ok(length) if answer.len() < length => format!(" length {:?} cut", String::from_utf8_lossy(answer)),
                Ok(length) if answer.len() == length => format!(" length {:?}", String::from_utf8_lossy(answer)),
                _ => " more than its length".to_owned(),
            },
            ([], ["chunked"]) if bodiless => format!(" says chunked{}", until_close(answer, true)),
            ([], ["chunked"]) => chunked(answer),
            _ => " unclear framing".to_owned(),
        };
        return text + &content;
    }
}

fn until_close(answer: &[u8], bodiless: bool) -> String {
    match (bodiless, answer.is_empty()) {
        (true, true) => String::new(),
        (true, false) => " with content that must not be".to_owned(),
        _ => format!(" until close {:?}", String::from_utf8_lossy(answer)),
    }
}

fn chunked(mut answer: &[u8]) -> String {
    let mut body = Vec::new();
    let whole = loop {
        let Some(end) = answer.windows(2).position(|w| w == b"\r\n") else { break false };
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&answer[..end]), 16) else { break false };
        answer = &answer[end + 2..];
        if size == 0 {
            break answer.ends_with(b"\r\n");
        }
        let there = size.min(answer.len());
        body.extend_from_slice(&answer[..there]);
        answer = &answer[there..];
        if !answer.starts_with(b"\r\n") {
            break false;
        }
        answer = &answer[2..];
    };
    let trailers = String::from_utf8_lossy(answer.strip_suffix(b"\r\n").unwrap_or_default()).into_owned();
    let trailers = if whole && !trailers.is_empty() { format!(" trailers {trailers:?}") } else { String::new() };
    let shown = if body.len() > 40 {
        format!("{} octets", body.len())
    } else {
        format!("{:?}", String::from_utf8_lossy(&body))
    };
    format!(" chunked {shown}{trailers}{}", if whole { "" } else { " cut" })
}

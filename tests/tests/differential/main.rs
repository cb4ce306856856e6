//! The HTTP/1.1 engine beside nginx and hyper: the same octets go to all three, and what they make of them is compared.
//!
//! What nginx does is what users of Kong are used to, so that Bascule does the same or says in `deviations.rs` why not.
//! It may be stricter than the others, but never laxer than both, and what it sends on leaves no doubt where a request
//! ends.

mod deviations;
mod peers;
mod recorder;
mod requests;
mod responses;

use blackbox::http::form;
use blackbox::{Node, PATIENCE};
use peers::Hyper;
use recorder::{Recorder, Seen};
use requests::{Case, SENTINEL};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// In as large steps as the system takes.
const WHOLE: usize = usize::MAX;

/// What became of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The statuses that the client got, in order; 0 for an answer without a head.
    statuses: Vec<u16>,
    /// What reached the service; the ordinary request behind the case is among it when the connection was kept.
    seen: Vec<Seen>,
    doubts: Vec<String>,
}

#[test]
fn requests_mean_the_same_to_all() {
    let (behind_bascule, behind_nginx) = (Recorder::start(), Recorder::start());
    let node = Node::start(&[("nginx_worker_processes", "1"), ("nginx_proxy_proxy_ignore_client_abort", "on")]);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", behind_bascule.address))
        .expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/&preserve_host=true&strip_path=false").expect(201);
    form(node.admin(), "POST", "/routes", "name=own&paths[]=/own").expect(201);
    form(node.admin(), "POST", "/routes/own/plugins", "name=request-termination&config.status_code=404").expect(201);
    let nginx = peers::nginx(behind_nginx.address, 1);
    // Others are known to be stricter here and there; what holds without nginx is checked all the same.
    let version_fits = nginx.version.starts_with(deviations::NGINX);
    let hyper = Hyper::start();
    let cases = requests::all();
    let proxied = |address, recorder: &Recorder, case: &Case, step: usize| {
        let statuses = play(address, &case.bytes, step);
        let (mut seen, doubts) = recorder.take();
        // Where the client names no host, the service's own is told.
        for seen in seen.iter_mut().filter(|seen| seen.host == recorder.address.to_string()) {
            seen.host = "service".to_owned();
        }
        Outcome { statuses, seen, doubts }
    };
    let bascule: Vec<_> = cases.iter().map(|case| proxied(node.proxy(), &behind_bascule, case, WHOLE)).collect();
    let nginx: Vec<_> = cases.iter().map(|case| proxied(nginx.address, &behind_nginx, case, WHOLE)).collect();
    let hyper: Vec<_> = cases
        .iter()
        .map(|case| Outcome {
            statuses: play(hyper.address, &case.bytes, WHOLE),
            seen: hyper.take(),
            doubts: Vec::new(),
        })
        .collect();
    let mut expected: HashMap<&str, &str> =
        deviations::REQUESTS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    let mut complaints = String::new();
    for (((case, ours), nginx), hyper) in cases.iter().zip(&bascule).zip(&nginx).zip(&hyper) {
        let mut complain = |what: &str| {
            let _ = writeln!(
                complaints,
                "{what}: {}\n  bascule {}\n  nginx   {}\n  hyper   {}",
                case.name,
                show(ours),
                show(nginx),
                show(hyper)
            );
        };
        if !ours.doubts.is_empty() {
            complain("passed on in doubtful form");
        }
        if !stricter(ours, nginx) && !stricter(ours, hyper) {
            complain("taken for what neither of the others takes it for");
        }
        if case.bytes.len() < 1000 {
            let pieces = proxied(node.proxy(), &behind_bascule, case, 1);
            // A client is told to go on only when its content has not come yet.
            if without_100(&pieces) != without_100(ours) {
                complain(&format!("not the same octet by octet, but {}", show(&pieces)));
            }
        }
        let same = ours.statuses == nginx.statuses && ours.seen == nginx.seen;
        match expected.remove(case.name.as_str()) {
            None if same => {}
            None if version_fits => complain("not as nginx"),
            Some(_) if same && version_fits => complain("listed as a deviation, but as nginx"),
            Some(outcome) if outcome != show(ours) => complain("another deviation than the listed one"),
            _ => {}
        }
    }
    assert!(expected.is_empty(), "deviations of cases that do not exist: {expected:?}");
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Whether the service got the same requests, or the first of them: as many, and with the same content.
fn stricter(ours: &Outcome, theirs: &Outcome) -> bool {
    ours.seen.len() <= theirs.seen.len()
        && ours.seen.iter().zip(&theirs.seen).all(|(a, b)| (&a.method, &a.body) == (&b.method, &b.body))
}

fn without_100(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    outcome.statuses.retain(|status| *status != 100);
    outcome
}

/// Sends a case and the ordinary request behind it in steps of so many octets, then nothing more, and reads to the end;
/// the statuses of the answers.
fn play(address: SocketAddr, bytes: &[u8], step: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in [bytes, SENTINEL].concat().chunks(step) {
        // The peer may have closed before it has read everything.
        let _ = stream.write_all(piece);
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answers) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end of {:?}", String::from_utf8_lossy(bytes));
    }
    statuses(&answers)
}

/// The statuses of a row of answers. One without content (to HEAD) is known by the next one that follows at once.
fn statuses(mut answers: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !answers.is_empty() {
        let Some(end) = answers.windows(4).position(|w| w == b"\r\n\r\n").filter(|_| answers.starts_with(b"HTTP/1."))
        else {
            statuses.push(0);
            break;
        };
        let head = String::from_utf8_lossy(&answers[..end]).to_ascii_lowercase();
        answers = &answers[end + 4..];
        statuses.push(head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0));
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        if !answers.starts_with(b"HTTP/1.") {
            answers = &answers[answers.len().min(length)..];
        }
    }
    statuses
}

/// An outcome in one line: statuses, then what the service saw; `+` when the connection was kept.
fn show(outcome: &Outcome) -> String {
    let mut text = outcome.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    for seen in &outcome.seen {
        if seen.target == "/sentinel" {
            text.push_str(" +");
        } else {
            let body = if seen.body.len() > 30 {
                format!("{} octets", seen.body.len())
            } else {
                String::from_utf8_lossy(&seen.body).into_owned()
            };
            let target: String = seen.target.chars().take(30).collect();
            let host: String = seen.host.chars().take(30).collect();
            let _ = write!(text, " [{} {target} {host:?} {body:?}]", seen.method);
        }
    }
    for doubt in &outcome.doubts {
        let _ = write!(text, " ({})", doubt.chars().take(80).collect::<String>());
    }
    text
}

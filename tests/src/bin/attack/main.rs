//! `cargo xtask attack`: throws at a node what clients, services and administrators can think of, for a time, and fails
//! when it shows. All of it follows from a seed, but for the order in which threads run.
//!
//! A round is one life of a node, which is killed in the end and started again on what it has stored. Wrong is: a
//! panic, a node that ends, an answer to another request, a 5xx of the Admin API, a record that is not what was
//! written, a connection that stays when nobody is connected, memory that grows from burst to burst, and a node that
//! does not start on what it stored.

mod admin;
mod clients;
mod random;
mod records;
mod services;
mod settings;

use admin::Stored;
use blackbox::http::{form, get};
use blackbox::{Node, PATIENCE, Usage, binary};
use random::Random;
use records::Maker;
use services::{Manners, Service};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where clients go.
#[derive(Clone, Copy)]
pub struct Target {
    pub proxy: SocketAddr,
    pub proxy_tls: SocketAddr,
}

/// How much memory may be left over from a burst, in KiB.
const SLACK: usize = 64 * 1024;
/// How long one burst lasts.
const BURST: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    let (mut seed, mut seconds) = (None, 60);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next().and_then(|value| value.parse().ok())) {
            ("--seed", Some(value)) => seed = Some(value),
            ("--seconds", Some(value)) => seconds = value,
            _ => {
                eprintln!("usage: attack [--seed NUMBER] [--seconds NUMBER]");
                return ExitCode::FAILURE;
            }
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seed = seed.unwrap_or(now);
    println!("attack: --seed {seed} --seconds {seconds}");
    // Nodes are told to write files by names of all kinds: what is relative is left in a place of its own.
    let place = tempfile::tempdir().expect("a place for files");
    assert!(binary().is_absolute(), "BASCULE has the whole path of the program");
    std::env::set_current_dir(&place).expect("a place for files");
    let (end, mut random) = (Instant::now() + Duration::from_secs(seconds), Random::new(seed));
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        rounds += 1;
        if !round(&mut random.branch(), end) {
            eprintln!("attack: that was round {rounds} of --seed {seed}");
            return ExitCode::FAILURE;
        }
    }
    println!("attack: {rounds} rounds, nothing found");
    ExitCode::SUCCESS
}

/// One node, from its first start to its last; says what is wrong.
fn round(random: &mut Random, end: Instant) -> bool {
    let settings = settings::good(random);
    println!("attack: a node with {settings:?}");
    let mut node = match Node::try_start(&settings) {
        Ok(node) => node,
        Err(error) => {
            eprintln!("attack: {error}");
            return false;
        }
    };
    let result = live(&mut node, random, end);
    let log = node.log();
    if let Err(error) = &result {
        eprintln!("attack: {error}\nattack: its log ends so:\n{}", tail(&log));
    } else if log.contains("panicked") {
        eprintln!("attack: a panic\n{}", tail(&log));
    }
    // What is said is not said again by the end of the node.
    let quiet = result.is_ok() && !log.contains("panicked");
    if !quiet {
        node.kill();
        std::mem::forget(node);
    }
    quiet
}

fn live(node: &mut Node, random: &mut Random, end: Instant) -> Result<(), String> {
    let (good, bad) = (Service::start(Manners::Good, random.branch()), Service::start(Manners::Bad, random.branch()));
    let mut stored = Stored::default();
    let mut maker = Maker { random: random.branch(), services: vec![good.address, bad.address] };
    prepare(node, good.address, bad.address);
    let mut quiet = Vec::new();
    for burst in 0..3 {
        answered(node, random, &mut maker, &mut stored)?;
        quiet.push(settle(node)?);
        println!("attack: after burst {burst}: {:?}; {} of {} writes taken", quiet[burst], stored.taken, stored.writes);
        if Instant::now() > end {
            break;
        }
    }
    if let [_, second, third] = quiet[..]
        && third.memory > second.memory + SLACK
    {
        return Err(format!("memory grows from burst to burst: {quiet:?}"));
    }
    // What dies in the middle of writes has all that it said it had.
    admin::check(node.admin(), &stored)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let address = node.admin();
        let (stored, maker, stop) = (&mut stored, &mut maker, &stop);
        let writer = scope.spawn(move || admin::write(address, maker, stored, stop));
        std::thread::park_timeout(Duration::from_millis(300));
        node.kill();
        stop.store(true, Ordering::SeqCst);
        // It may be told of a request that is not answered.
        let _ = writer.join();
    });
    for _ in 0..2 {
        refuses_or_starts(node, &settings::bad(random))?;
    }
    node.try_revive(&settings::good(random))
        .map_err(|error| format!("it does not start on what it stored: {error}"))?;
    admin::check_after_death(node.admin(), &mut stored)?;
    admin::clear(node.admin(), &mut stored)?;
    Ok(())
}

/// A burst of everything.
fn answered(node: &mut Node, random: &mut Random, maker: &mut Maker, stored: &mut Stored) -> Result<(), String> {
    let target = Target { proxy: node.proxy(), proxy_tls: node.proxy_tls() };
    let (stop, address) = (AtomicBool::new(false), node.admin());
    let (stop, mut result, mut count) = (&stop, Ok(()), 0);
    std::thread::scope(|scope| {
        let checkers: Vec<_> = (0..4)
            .map(|_| random.branch())
            .map(|random| scope.spawn(move || clients::check_answers(&target, random, stop)))
            .collect();
        for random in (0..4).map(|_| random.branch()).collect::<Vec<_>>() {
            scope.spawn(move || clients::harass(&target, random, stop));
        }
        let writer = scope.spawn(move || admin::write(address, maker, stored, stop));
        let end = Instant::now() + BURST;
        while Instant::now() < end && !checkers.iter().any(|checker| checker.is_finished()) && !writer.is_finished() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        stop.store(true, Ordering::SeqCst);
        for checker in checkers {
            match checker.join() {
                Ok(Ok(answered)) => count += answered,
                Ok(Err(error)) => result = Err(error),
                Err(_) => result = Err("a client of the attack panics".to_owned()),
            }
        }
        match writer.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => result = Err(error),
            Err(_) => result = Err("the administrator of the attack panics".to_owned()),
        }
    });
    if !node.is_alive() {
        return Err(format!("the node has ended: {result:?}"));
    }
    if result.is_ok() && count == 0 {
        return Err("nothing at all is answered".to_owned());
    }
    result
}

/// Routes that the clients of the attack know.
fn prepare(node: &Node, good: SocketAddr, bad: SocketAddr) {
    let post = |path: &str, body: &str| {
        form(node.admin(), "POST", path, body).expect(201);
    };
    let timeouts = "connect_timeout=1000&write_timeout=1000&read_timeout=1000";
    for (name, address, route) in [
        ("good", good, "paths[]=/good"),
        ("bad", bad, "paths[]=/bad"),
        ("streamed", bad, "paths[]=/streamed&request_buffering=false&response_buffering=false"),
        ("limited", good, "paths[]=/limited"),
        ("held", good, "paths[]=/held"),
    ] {
        post("/services", &format!("name=attack-{name}&url=http://{address}&{timeouts}"));
        post(&format!("/services/attack-{name}/routes"), &format!("name=attack-{name}&{route}"));
    }
    post("/routes/attack-limited/plugins", "name=rate-limiting&config.second=50&config.policy=local");
    post("/routes/attack-held/plugins", "name=request-transformer&config.add.body=a:b&config.add.querystring=c:d");
    post("/routes/attack-held/plugins", "name=response-transformer&config.add.json=a:b");
}

/// Waits until nobody is connected; what the node holds then.
fn settle(node: &Node) -> Result<Usage, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        // Only the one that asks, if those are counted at all.
        let active = get(node.status(), "/status").json()["server"]["connections_active"].as_u64();
        if active.is_some_and(|active| active <= 1) {
            break;
        }
        if Instant::now() > end {
            return Err(format!("{active:?} connections are open and nobody is connected"));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    // What is freed a little later, by a timer.
    let mut least = Usage::of(node.pid());
    let mut same = 0;
    while same < 10 {
        std::thread::park_timeout(Duration::from_millis(100));
        let now = Usage::of(node.pid());
        same = if now.memory < least.memory { 0 } else { same + 1 };
        least = if now.memory < least.memory { now } else { least };
    }
    Ok(least)
}

/// Settings that may be wrong: the node says so and ends, or it starts; it does neither panic nor hang.
fn refuses_or_starts(node: &mut Node, settings: &[(String, String)]) -> Result<(), String> {
    match node.try_revive(settings) {
        Ok(()) => node.kill(),
        Err(error) if error.contains("panicked") => return Err(format!("{settings:?}: {error}")),
        Err(error) if error.contains("exit status: ") => {}
        Err(error) => return Err(format!("{settings:?}: neither starts nor ends: {error}")),
    }
    Ok(())
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let start = lines.iter().position(|line| line.contains("panicked")).unwrap_or(lines.len().saturating_sub(30));
    lines[start..lines.len().min(start + 40)].join("\n")
}

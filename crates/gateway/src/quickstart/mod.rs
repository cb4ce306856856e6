//! The Get Started guide in one command: a node of its own, two services, and the first requests, shown as `curl`
//! lines.

pub mod client;
pub mod echo;

use crate::app::instance::Addresses;
use client::{Answer, request};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tokio::signal::unix::{SignalKind, signal};

/// Where it runs.
pub struct Options {
    pub prefix: PathBuf,
    /// Ports; 0 stands for any free one.
    pub proxy: u16,
    pub proxy_tls: u16,
    pub admin: u16,
    pub manager: u16,
}

/// The names of the two services.
const SERVICES: [&str; 2] = ["left", "right"];

/// Checks that take a dead target out within a second and bring it back: seconds and counts, all of them 1.
const CHECKS: [&str; 4] = [
    "healthchecks.active.healthy.interval",
    "healthchecks.active.unhealthy.interval",
    "healthchecks.active.healthy.successes",
    "healthchecks.active.unhealthy.tcp_failures",
];

/// A process that ends with this value.
struct ChildGuard(Child);

/// One service and its address.
struct Service {
    name: &'static str,
    address: SocketAddr,
    process: ChildGuard,
}

/// Runs until Ctrl-C.
pub fn run(options: &Options) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(async {
        let failed = |e: std::io::Error| format!("cannot wait for signals: {e}");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let walk = async {
            let (services, node, addresses) = start(options)?;
            configure(&services, &addresses).await?;
            show(&services, &addresses, options).await?;
            std::future::pending::<()>().await;
            drop((services, node));
            Ok(())
        };
        tokio::select! {
            ended = walk => ended,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

/// Starts the services and the node.
fn start(options: &Options) -> Result<(Vec<Service>, ChildGuard, Addresses), String> {
    println!(
        "Bascule {}: starting two services and a gateway in {}\n",
        env!("CARGO_PKG_VERSION"),
        options.prefix.display()
    );
    let services = SERVICES.iter().map(|name| Service::start(name)).collect::<Result<Vec<_>, _>>()?;
    for service in &services {
        println!("  service {:5}  http://{}  (process {})", service.name, service.address, service.process.0.id());
    }
    for name in ["bascule.db", "bascule.db-wal", "bascule.db-shm"] {
        // What is not there need not be removed; what cannot be, the node will complain of.
        let _ = std::fs::remove_file(options.prefix.join(name));
    }
    let mut command = program()?;
    command.args(["run", "--attended", "--prefix"]).arg(&options.prefix);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("KONG_")) {
        command.env_remove(key);
    }
    command.env(
        "KONG_PROXY_LISTEN",
        format!("127.0.0.1:{} reuseport, 127.0.0.1:{} ssl reuseport", options.proxy, options.proxy_tls),
    );
    command.env("KONG_ADMIN_LISTEN", format!("127.0.0.1:{}", options.admin));
    command.env("KONG_STATUS_LISTEN", "off");
    command.env("KONG_ADMIN_GUI_LISTEN", format!("127.0.0.1:{}", options.manager));
    let (node, said) = ChildGuard::start(command)?;
    if said != "ready" {
        return Err(if said.is_empty() { "the gateway did not start".to_owned() } else { said });
    }
    let addresses = Addresses::of(&options.prefix).ok_or("the gateway did not say where it listens")?;
    println!("  proxy          http://{}, https://{}", first(&addresses.proxy)?, first(&addresses.proxy_tls)?);
    println!("  Admin API      http://{}", first(&addresses.admin)?);
    println!("  manager        http://{}\n", first(&addresses.manager)?);
    Ok((services, node, addresses))
}

/// Makes the guide's entities through the Admin API.
async fn configure(services: &[Service], addresses: &Addresses) -> Result<(), String> {
    println!("Configuring it through its Admin API:\n");
    let admin = first(&addresses.admin)?;
    let mut upstream = vec![("name", "example_upstream".to_owned())];
    upstream.extend(CHECKS.map(|key| (key, "1".to_owned())));
    let mut steps = vec![
        ("/upstreams", upstream),
        ("/services", vec![("name", "example_service".to_owned()), ("url", "http://example_upstream".to_owned())]),
        (
            "/services/example_service/routes",
            vec![("name", "example_route".to_owned()), ("paths[]", "/mock".to_owned())],
        ),
    ];
    for service in services {
        steps.insert(1, ("/upstreams/example_upstream/targets", vec![("target", service.address.to_string())]));
    }
    for (path, fields) in steps {
        let data: Vec<String> = fields.iter().map(|(name, value)| format!("--data '{name}={value}'")).collect();
        println!("  curl -X POST http://{admin}{path} {}", data.join(" "));
        let answer = request(admin, "POST", path, &fields).await?;
        if answer.status != 201 {
            return Err(format!("POST {path} answered {}: {}", answer.status, answer.body.trim()));
        }
    }
    Ok(())
}

/// Sends some requests, and says what to try next.
async fn show(services: &[Service], addresses: &Addresses, options: &Options) -> Result<(), String> {
    let (proxy, admin) = (first(&addresses.proxy)?, first(&addresses.admin)?);
    println!("\nSending requests through the proxy:\n");
    for _ in 0..4 {
        let Answer { status, body } = request(proxy, "GET", "/mock/anything", &[]).await?;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        println!(
            "  curl http://{proxy}/mock/anything  ->  {status}, served by {}",
            answer["served_by"].as_str().unwrap_or("?")
        );
    }
    let victim = &services[0];
    println!(
        "\nReady. Try next:\n
  curl http://{proxy}/mock/headers
  curl -i http://{proxy}/mock/status/418
  curl http://{admin}/services/example_service

  # stop one of the services: no request fails, the other one serves them all; then start it again
  kill {pid}
  for i in 1 2 3 4; do curl -s http://{proxy}/mock/anything | grep served_by; done
  curl http://{admin}/upstreams/example_upstream/health
  {program} echo --name {name} --listen {address} &

  # limit requests, then ask for keys
  curl -X POST http://{admin}/plugins --data name=rate-limiting --data config.minute=5 --data config.policy=local
  curl -i http://{proxy}/mock/anything
  curl -X POST http://{admin}/consumers --data username=luka
  curl -X POST http://{admin}/consumers/luka/key-auth --data key=top-secret-key
  curl -X POST http://{admin}/plugins --data name=key-auth --data config.key_names=apikey
  curl -i http://{proxy}/mock/anything -H 'apikey: top-secret-key'

Messages are in {prefix}/logs/error.log. Ctrl-C ends everything.",
        pid = victim.process.0.id(),
        name = victim.name,
        address = victim.address,
        program = std::env::current_exe().unwrap_or_else(|_| "bascule".into()).display(),
        prefix = options.prefix.display(),
    );
    Ok(())
}

impl Service {
    fn start(name: &'static str) -> Result<Service, String> {
        let mut command = program()?;
        command.args(["echo", "--attended", "--name", name]);
        let (process, said) = ChildGuard::start(command)?;
        let address = said.parse().map_err(|_| format!("service {name} did not start: {said}"))?;
        Ok(Service { name, address, process })
    }
}

impl ChildGuard {
    /// Starts a process and waits for the first line that it prints.
    fn start(mut command: Command) -> Result<(ChildGuard, String), String> {
        // A group of its own, so that Ctrl-C reaches this process only, which then ends the others in order.
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = ChildGuard(child.map_err(|e| format!("could not start: {e}"))?);
        let mut line = String::new();
        if let Some(stdout) = process.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|e| format!("could not start: {e}"))?;
        }
        Ok((process, line.trim().to_owned()))
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have been ended by hand.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

fn program() -> Result<Command, String> {
    std::env::current_exe().map(Command::new).map_err(|e| format!("cannot find this program: {e}"))
}

fn first(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    addresses.first().copied().ok_or_else(|| "the gateway listens nowhere".to_owned())
}

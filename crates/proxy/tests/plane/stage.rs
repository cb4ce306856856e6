//! A data plane on free ports, scripted services behind it, and a client that sends raw octets.

use proxy::balancer::Balancers;
use proxy::listener::Inherited;
use proxy::settings::{Limits, Listen, Transport};
use proxy::{Change, DataPlane, Settings, dns};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long the plugin `busy` computes.
pub const COMPUTES: Duration = Duration::from_millis(50);

/// A plugin that keeps its worker busy.
struct Busy;

/// A data plane with one service and one route for every path.
pub struct Stage {
    pub plane: DataPlane,
    pub proxy: SocketAddr,
    _control: tokio::runtime::Runtime,
}

impl Stage {
    /// Routes everything to `service`, with these fields of the service and the route changed.
    pub fn new(service: SocketAddr, of_service: Value, of_route: Value) -> Stage {
        Stage::with(Limits::default(), service, of_service, of_route)
    }

    /// As [`Stage::new`], with limits.
    pub fn with(limits: Limits, service: SocketAddr, of_service: Value, of_route: Value) -> Stage {
        Stage::with_plugins(limits, &[&Busy], service, of_service, of_route)
    }

    /// As [`Stage::with`], with other plugins.
    pub fn with_plugins(
        limits: Limits,
        kinds: &'static [&'static dyn sdk::PluginKind],
        service: SocketAddr,
        of_service: Value,
        of_route: Value,
    ) -> Stage {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listen = vec![Listen {
            transport: Transport::Http,
            address: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            tls: false,
            http2: false,
            proxy_protocol: false,
            socket: proxy::listener::SocketOptions::default(),
        }];
        let settings = Settings { listen, limits, ..Settings::default() };
        let balancers = Balancers::new(dns::Settings::default(), control.handle().clone());
        let inherited = &mut Inherited::default();
        let plane = DataPlane::bind(settings, kinds, sdk::Env::default(), balancers, inherited).unwrap();
        let proxy = plane.addresses()[0].ip().unwrap();
        let mut s = service_record(service);
        let mut r = json!({
            "id": "00000000-0000-4000-8000-000000000002", "protocols": ["http", "https"], "paths": ["/"],
            "strip_path": true, "service": {"id": s["id"]}
        });
        merge(&mut s, of_service);
        merge(&mut r, of_route);
        let stage = Stage { plane, proxy, _control: control };
        stage.put("services", s);
        stage.put("routes", r);
        stage.plane.serve().unwrap();
        stage
    }

    /// Takes a record into force.
    pub fn put(&self, entity: &str, record: Value) {
        self.plane.apply(&[Change { deleted: false, entity, record: record.as_object().unwrap() }]).unwrap();
    }

    /// A connection to the proxy.
    pub fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.proxy).unwrap())
    }

    /// Sends octets on a connection of their own and reads what comes until the proxy closes.
    pub fn send(&self, request: &str) -> String {
        let mut wire = self.connect();
        wire.write(request);
        wire.rest()
    }
}

impl sdk::PluginKind for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }

    fn priority(&self) -> i32 {
        1
    }

    fn schema(&self) -> &'static str {
        "{}"
    }

    fn configure(&self, _: &model::entities::Plugin, _: &sdk::Env) -> Result<Box<dyn sdk::Plugin>, String> {
        Ok(Box::new(Busy))
    }
}

impl sdk::Plugin for Busy {
    fn phases(&self) -> sdk::Phases {
        sdk::Phases::ACCESS
    }

    fn access<'a>(&'a self, _: &'a mut sdk::Exchange) -> sdk::Step<'a> {
        let started = Instant::now();
        while started.elapsed() < COMPUTES {
            std::hint::spin_loop();
        }
        sdk::Step::Next
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.plane.drain(Duration::from_millis(200));
    }
}

/// A raw connection, from either end.
pub struct Wire(TcpStream, Vec<u8>);

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire(stream, Vec::new())
    }

    pub fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads up to and including `end`.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.1.windows(end.len()).position(|w| w == end.as_bytes()) {
                let rest = self.1.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.1, rest)).unwrap();
            }
            let mut chunk = [0; 65_536];
            let n = self.0.read(&mut chunk).unwrap();
            assert!(n > 0, "closed before {end:?}, after {:?}", String::from_utf8_lossy(&self.1));
            self.1.extend_from_slice(&chunk[..n]);
        }
    }

    /// Reads a head.
    pub fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    /// Reads exactly `n` octets.
    pub fn take(&mut self, n: usize) -> String {
        while self.1.len() < n {
            let mut chunk = [0; 65_536];
            let read = self.0.read(&mut chunk).unwrap();
            assert!(read > 0, "closed after {} of {n} octets", self.1.len());
            self.1.extend_from_slice(&chunk[..read]);
        }
        let rest = self.1.split_off(n);
        String::from_utf8(std::mem::replace(&mut self.1, rest)).unwrap()
    }

    /// Reads until the peer closes or resets.
    pub fn rest(&mut self) -> String {
        let _ = self.0.read_to_end(&mut self.1);
        String::from_utf8_lossy(&std::mem::take(&mut self.1)).into_owned()
    }

    /// Writes as often as somebody takes it at once, up to `most` times; how often that was.
    pub fn write_until_blocked(&mut self, text: &str, most: usize) -> usize {
        self.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let written = (0..most).take_while(|_| self.0.write_all(text.as_bytes()).is_ok()).count();
        self.0.set_write_timeout(None).unwrap();
        written
    }

    pub fn close_sending(&self) {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
    }
}

/// A service whose connections are played by `script`, each on a thread of its own; what it returns can be collected.
pub fn service<T: Send + 'static>(
    script: impl Fn(usize, &mut Wire) -> T + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    let script = std::sync::Arc::new(script);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let (script, sender) = (script.clone(), sender.clone());
            let stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut wire = Wire::new(stream);
                let seen = script(n, &mut wire);
                // Whoever waits for what was seen waits for the end of the connection too; nobody need.
                drop(wire);
                let _ = sender.send(seen);
            });
        }
    });
    (address, receiver)
}

/// The record of the service at that address.
pub fn service_record(address: SocketAddr) -> Value {
    json!({
        "id": "00000000-0000-4000-8000-000000000001", "protocol": "http", "host": address.ip().to_string(),
        "port": address.port(), "retries": 1, "enabled": true
    })
}

fn merge(into: &mut Value, from: Value) {
    let into = into.as_object_mut().unwrap();
    into.extend(from.as_object().cloned().unwrap_or_default());
}

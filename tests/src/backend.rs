//! A service behind the gateway: answers every request with its name, and can die and come back on its port.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A service that can be killed and revived.
pub struct Backend {
    pub name: String,
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    running: Option<Run>,
}

struct Run {
    stop: Arc<AtomicBool>,
    connections: Arc<Mutex<HashMap<usize, TcpStream>>>,
    acceptor: JoinHandle<()>,
}

impl Backend {
    /// Starts one on a free port.
    pub fn start(name: &str) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut backend = Backend {
            name: name.to_owned(),
            address,
            requests: Arc::default(),
            accepted: Arc::default(),
            running: None,
        };
        backend.run(listener);
        backend
    }

    /// Cuts all connections and refuses new ones.
    pub fn kill(&mut self) {
        if let Some(run) = self.running.take() {
            run.stop.store(true, Ordering::SeqCst);
            // Wakes the acceptor, which then drops the listener.
            let _ = TcpStream::connect(self.address);
            run.acceptor.join().expect("the acceptor does not panic");
            for stream in run.connections.lock().expect("no panic under the lock").values() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Listens again on the same port.
    pub fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.run(listener);
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open with it.
    pub fn connections(&self) -> usize {
        self.running.as_ref().map_or(0, |run| run.connections.lock().expect("no panic under the lock").len())
    }

    fn run(&mut self, listener: TcpListener) {
        let (stop, connections) = (Arc::<AtomicBool>::default(), Arc::<Mutex<HashMap<usize, TcpStream>>>::default());
        let (stopped, open, name, requests) =
            (Arc::clone(&stop), Arc::clone(&connections), self.name.clone(), Arc::clone(&self.requests));
        let accepted = Arc::clone(&self.accepted);
        let acceptor = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { continue };
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                accepted.fetch_add(1, Ordering::SeqCst);
                if let Ok(copy) = stream.try_clone() {
                    open.lock().expect("no panic under the lock").insert(number, copy);
                }
                let (name, requests, open) = (name.clone(), Arc::clone(&requests), Arc::clone(&open));
                std::thread::spawn(move || {
                    // A client that goes away ends the conversation.
                    let _ = converse(stream, &name, &requests);
                    open.lock().expect("no panic under the lock").remove(&number);
                });
            }
        });
        self.running = Some(Run { stop, connections, acceptor });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Answers requests with the backend's name and what the head of the request was.
fn converse(stream: TcpStream, name: &str, requests: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            head.push(line.to_owned());
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        let body = serde_json::json!({ "backend": name, "head": head }).to_string();
        requests.fetch_add(1, Ordering::SeqCst);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Backend: {name}\r\nContent-Length: \
                {}\r\n\r\n{body}",
            body.len()
        );
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}

//! A service that answers with whatever octets a case has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the service does once it has been asked.
#[derive(Clone, Default)]
pub struct Script {
    pub answer: Vec<u8>,
    /// It then closes the connection; else it waits for the next request.
    pub close: bool,
}

/// The service; it runs until the test's process ends. `/case` is answered by the script, everything else well.
pub struct Rough {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: Script,
    /// The connections that have been asked for the case, and for something else, by their numbers.
    asked: Vec<(usize, bool)>,
    last: Option<TcpStream>,
}

impl Rough {
    /// Starts one on a free port.
    pub fn start() -> Rough {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Rough { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&service.state);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || converse(stream, number, &state));
            }
        });
        service
    }

    /// Takes the part in the next case.
    pub fn learn(&self, script: Script) {
        *self.state.lock().unwrap() = State { script, ..State::default() };
    }

    /// Sends octets that nobody asked for on the connection that was asked last.
    pub fn blurt(&self, octets: &[u8]) {
        self.state.lock().unwrap().last.as_mut().unwrap().write_all(octets).unwrap();
    }

    /// How often it was asked for the case, and whether the request behind it came on the same connection.
    pub fn asked(&self) -> (usize, bool) {
        let state = self.state.lock().unwrap();
        let cases: Vec<_> = state.asked.iter().filter(|(_, case)| *case).collect();
        let reused = state.asked.iter().any(|(number, case)| !case && cases.iter().any(|(other, _)| other == number));
        (cases.len(), reused)
    }
}

fn converse(mut stream: TcpStream, number: usize, state: &Mutex<State>) {
    stream.set_nodelay(true).unwrap();
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            if !matches!(stream.read(&mut octet), Ok(1)) {
                return;
            }
            head.push(octet[0]);
        }
        let case = head.split(|b| *b == b' ').nth(1).is_some_and(|target| target == b"/case");
        let script = {
            let mut state = state.lock().unwrap();
            state.asked.push((number, case));
            state.last = stream.try_clone().ok();
            // Nothing of it is kept, so that every case begins with a connection of its own.
            let well = Script {
                answer: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell".to_vec(),
                close: true,
            };
            if case { state.script.clone() } else { well }
        };
        // The other side may have heard enough.
        let sent = stream.write_all(&script.answer);
        if script.close || sent.is_err() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

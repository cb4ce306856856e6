//! Services that answer well, and such that do not.

use crate::random::Random;
use blackbox::http::Connection;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A service; its connections end with it.
pub struct Service {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Answers each request with the mark of that request.
    Good,
    /// Does anything, and now and then answers well.
    Bad,
}

impl Service {
    pub fn start(manners: Manners, mut random: Random) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (random, stopped) = (random.branch(), Arc::clone(&stopped));
                std::thread::spawn(move || serve(stream, manners, random, &stopped));
            }
        });
        Service { address, stop }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, manners: Manners, mut random: Random, stopped: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_nodelay(true)?;
    let mut connection = Connection::over(stream, "service");
    loop {
        if manners == Manners::Bad && random.one_in(3) {
            return misbehave(&mut connection, &mut random);
        }
        let request = loop {
            let mut first = [0];
            match connection.stream().peek(&mut first) {
                Ok(0) => return Ok(()),
                Ok(_) => break connection.request()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if stopped.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        };
        let mark = request.header("X-Mark").unwrap_or_default().to_owned();
        let body = if request.method == "HEAD" { String::new() } else { mark.repeat(random.below(2000)) };
        let head = format!("HTTP/1.1 200 OK\r\nX-Echo: {mark}\r\nX-Length: {}\r\n", request.body.len());
        let answer = if request.method == "HEAD" || random.one_in(2) {
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        } else {
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunks(&body))
        };
        connection.send_raw(answer.as_bytes())?;
    }
}

fn chunks(body: &str) -> String {
    if body.is_empty() { "0\r\n\r\n".to_owned() } else { format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()) }
}

/// One fault, after which the connection is of no more use.
fn misbehave(connection: &mut Connection<TcpStream>, random: &mut Random) -> io::Result<()> {
    if random.one_in(8) {
        // Before it is asked.
        return connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
    }
    if random.one_in(8) {
        return Ok(());
    }
    connection.request_head()?;
    if random.one_in(4) {
        // What comes with a whole answer, behind it, must never be taken for another one. Had it come a moment later,
        // nobody could tell it from the answer to the next request.
        connection.send_raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Echo: poison\r\nContent-Length: \
                6\r\n\r\npoison",
        )?;
        std::thread::park_timeout(Duration::from_millis(random.below(1500) as u64));
        return Ok(());
    }
    let answers: &[&str] = &[
        "",
        "HTTP/1.1 200 OK\r\nContent-Len",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 \r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nx",
        "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\n\nbare",
        "HTTP/0.9 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    let answer = match random.below(answers.len() + 4) {
        n if n < answers.len() => answers[n].as_bytes().to_vec(),
        n if n == answers.len() => random.octets(3000),
        n if n == answers.len() + 1 => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        n if n == answers.len() + 2 => "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(2000).into_bytes(),
        _ => format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5000)).into_bytes(),
    };
    // In pieces, or at once.
    if random.one_in(3) {
        for piece in answer.chunks(1 + random.below(50)).take(200) {
            connection.send_raw(piece)?;
        }
    } else {
        connection.send_raw(&answer)?;
    }
    match random.below(3) {
        0 => {
            let _ = rustix::net::sockopt::set_socket_linger(connection.stream(), Some(Duration::ZERO));
        }
        1 => std::thread::park_timeout(Duration::from_millis(random.below(1500) as u64)),
        _ => {}
    }
    Ok(())
}

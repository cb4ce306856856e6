//! Closing a connection so that the other side can read our last answer.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// How a connection that is to be closed waits for the other side to read our last answer: what comes after our end
/// would make the system reset the connection. nginx's `lingering_time` and `lingering_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lingering {
    /// How long in all.
    pub time: Duration,
    /// The longest pause in what comes.
    pub pause: Duration,
}

impl Default for Lingering {
    fn default() -> Lingering {
        Lingering { time: Duration::from_secs(30), pause: Duration::from_secs(5) }
    }
}

impl Lingering {
    /// Sends our end, then reads and drops what comes until the other side ends too, or the time is over.
    pub async fn close(self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        let end = Instant::now() + self.time;
        let rest = async {
            stream.shutdown().await?;
            let mut sink = vec![0; 16 << 10];
            while timeout(self.pause, stream.read(&mut sink)).await?? > 0 {}
            std::io::Result::Ok(())
        };
        // Whether it was the other side or the clock that has ended it, the connection is closed.
        let _ = timeout_at(end, rest).await;
    }
}

/// Whether a connection that begins with this octet is TLS; nginx takes everything else for plain HTTP.
pub fn begins_tls(first: u8) -> bool {
    first == 0x16 || first & 0x80 != 0
}

/// Answers plain HTTP on a TLS port, as nginx does, and closes the connection.
pub async fn refuse_plain_http(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), lingering: Lingering) {
    const BODY: &str = "The plain HTTP request was sent to HTTPS port\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
            close\r\n\r\n{BODY}",
        BODY.len()
    );
    if let Ok(Ok(())) = timeout(lingering.pause, stream.write_all(answer.as_bytes())).await {
        lingering.close(stream).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_client_that_writes_first_reads_the_answer() {
        let (mut client, mut server) = pair().await;
        let answering = tokio::spawn(async move { refuse_plain_http(&mut server, Lingering::default()).await });
        for _ in 0..256 {
            client.write_all(&[b'x'; 16 << 10]).await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        answering.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_is_bounded_by_time() {
        let lingering = Lingering { time: Duration::from_secs(30), pause: Duration::from_secs(5) };
        let began = Instant::now();
        let (_silent, mut server) = pair().await;
        lingering.close(&mut server).await;
        assert_eq!(began.elapsed().as_secs(), 5);
        let (mut client, mut server) = tokio::io::duplex(64);
        let trickling = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
        };
        tokio::select! {
            () = lingering.close(&mut server) => {}
            () = trickling => {}
        }
        assert_eq!(began.elapsed().as_secs(), 35);
    }

    #[test]
    fn tls_is_told_by_its_first_octet() {
        assert_eq!([0x16, 0x80, b'G', b'g', b'\r'].map(begins_tls), [true, true, false, false, false]);
    }
}

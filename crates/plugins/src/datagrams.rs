//! What log plugins send entries by: a datagram each.

use sdk::{BoxFuture, Bytes, Config, Deliver, Network};
use std::time::Duration;

/// A server that takes datagrams.
pub struct Datagrams {
    pub network: Network,
    pub host: String,
    pub port: u16,
    /// For looking up the name of the server and for sending a batch.
    pub timeout: Duration,
}

impl Datagrams {
    /// The server of a configuration's `host`, `port` and `timeout` (milliseconds).
    pub fn of(config: Config<'_>, network: &Network) -> Result<Datagrams, String> {
        Ok(Datagrams {
            network: network.clone(),
            host: config.text("host").ok_or("config.host: missing")?.to_owned(),
            port: config.integer("port").ok_or("config.port: missing")?,
            timeout: Duration::from_millis(config.integer("timeout").unwrap_or(10_000)),
        })
    }

    /// What queues have in common that send in the same way.
    pub fn key(&self) -> String {
        format!("{} {} {:?}", self.host, self.port, self.timeout)
    }
}

impl Deliver for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Datagrams { network, host, port, timeout } = self;
            let sent = network.send_datagrams(host, *port, *timeout, batch.iter().map(|entry| &entry[..])).await;
            sent.map_err(|error| format!("{host}:{port}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_server_and_nothing_of_the_entry() {
        let datagrams = |host: &str| Datagrams {
            network: Network::default(),
            host: host.to_owned(),
            port: 9,
            timeout: Duration::from_secs(10),
        };
        let told = datagrams("no.such.invalid").deliver(&[Bytes::from_static(b"secret")]).await.unwrap_err();
        assert!(told.starts_with("no.such.invalid:9: ") && !told.contains("secret"), "{told}");
        let told = datagrams("127.0.0.1").deliver(&[vec![b'x'; 70_000].into()]).await.unwrap_err();
        assert!(told.contains("too long"), "{told}");
    }
}

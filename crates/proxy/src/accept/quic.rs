//! Connections of QUIC, on a worker: those of its own sockets go to all workers, and those that it is given are served.

use super::{Acceptor, Open};
use crate::http;
use crate::listener::{Arrival, QuicSocket, Shortage, endpoint};
use crate::shared::Phase;
use crate::tls;
use rustls::pki_types::CertificateDer;
use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use wire::net::LOCAL;

impl Acceptor {
    /// Hands the connections that come in on a socket out, until all of them have ended after the end was announced.
    pub(super) async fn receive_quic(self: Rc<Self>, socket: UdpSocket, mut phase: watch::Receiver<Phase>) {
        let shared = &self.worker.shared;
        let bound = socket.local_addr().unwrap_or(LOCAL);
        let Some(tls) = shared.listener_tls.load().quic(false) else { return };
        let opened = QuicSocket::new(socket)
            .and_then(|socket| Ok((endpoint(Arc::clone(&socket), shared.quic.config(tls))?, socket)));
        let (endpoint, socket) = match opened {
            Ok(opened) => opened,
            Err(error) => return tracing::error!("cannot serve a listener: {error}"),
        };
        let serving = async {
            while let Some(incoming) = endpoint.accept().await {
                if !shared.quic.give(incoming, bound) {
                    self.refused_handshakes.note(|n| tracing::warn!("{n} connections of QUIC were refused: too many"));
                }
            }
        };
        tokio::select! {
            () = serving => return,
            _ = phase.wait_for(|p| *p != Phase::Serving) => {}
        }
        // Who takes this process's place has the socket, too.
        let leaving = *phase.borrow() == Phase::Leaving;
        let peers = if leaving { shared.quic.peers(bound) } else { HashSet::new() };
        let kept = leaving.then(|| socket.keep_only(&peers)).transpose();
        if let Err(error) = &kept {
            tracing::warn!("clients of HTTP/3 cannot be kept: {error}");
        }
        let ending = async {
            while let Some(incoming) = endpoint.accept().await {
                let client = incoming.remote_address();
                if !leaving {
                    incoming.refuse();
                } else if kept.is_ok() && peers.iter().any(|(peer, _)| *peer == client) {
                    // It has another connection here, so that nothing that it sends gets to the successor.
                    self.open.set(self.open.get() + 1);
                    let arrival = Arrival { incoming, bound };
                    tokio::task::spawn_local(Box::pin(Rc::clone(&self).quic_connection(arrival)));
                } else {
                    // What is not answered comes again, and gets there.
                    incoming.ignore();
                }
            }
        };
        tokio::select! {
            () = endpoint.wait_idle() => {}
            () = ending => {}
        }
    }

    /// Serves the connections that this worker is given.
    pub(super) async fn serve_quic(self: Rc<Self>, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = arrivals.recv().await {
            let full = self.open.get() >= self.worker.shared.settings.limits.connections;
            if full && self.reclaim(Shortage::Connections) == 0 {
                self.refused_handshakes.note(|n| tracing::warn!("{n} connections of QUIC were refused: too many"));
                arrival.incoming.refuse();
                continue;
            }
            self.open.set(self.open.get() + 1);
            tokio::task::spawn_local(Box::pin(Rc::clone(&self).quic_connection(arrival)));
        }
    }

    async fn quic_connection(self: Rc<Self>, Arrival { incoming, bound }: Arrival) {
        let _open = Open(&self);
        let shared = &self.worker.shared;
        let number = self.worker.gauges.accept();
        let tls = shared.listener_tls.load_full();
        // Who is asked for a certificate is known by server name only once the handshake is over: where plugins want to
        // see those of some, all may show one.
        let snapshot = shared.snapshot_of_handshake();
        if snapshot.as_ref().is_some_and(|snapshot| !snapshot.global_chain().connecting.is_empty()) {
            // Nothing can be decided before QUIC has agreed on everything.
            self.refused_handshakes.note(|n| {
                tracing::warn!("{n} connections of QUIC were refused: a plugin acts in the certificate phase")
            });
            return incoming.refuse();
        }
        let snapshot = snapshot.filter(|snapshot| !snapshot.requests.is_empty());
        let Some(config) = tls.quic(snapshot.is_some()) else { return };
        let peer = incoming.remote_address();
        let (client, handshake) = (shared.quic.client(&incoming, bound), shared.quic.handshake());
        let accepted = incoming.accept_with(Arc::new(shared.quic.config(config)));
        let limit = shared.settings.limits.client_header_timeout;
        let established = match accepted {
            Ok(connecting) => tokio::time::timeout(limit, connecting).await.map_err(|_| "timed out".to_owned()),
            Err(error) => Ok(Err(error)),
        };
        drop(handshake);
        let connection = match established.map(|established| established.map_err(|error| error.to_string())) {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) | Err(error) => {
                let client = peer.to_string();
                return self
                    .refused_handshakes
                    .note(|n| tracing::info!(client, "{n} connections ended before HTTP: {error}"));
            }
        };
        client.connected(&connection);
        let ip = if bound.ip().is_unspecified() { connection.local_ip() } else { None };
        let local = SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port());
        let port = shared.settings.public_port(bound.port());
        let mut origin = http::Origin::new(shared, (connection.remote_address(), local), port, true, number);
        let name = tls::quic_server_name(&connection);
        let asked = snapshot.is_some_and(|snapshot| snapshot.requests.for_server(name.as_deref()).is_some());
        origin.client.certificate_asked = tls.asks() || asked;
        origin.client.sni = name;
        let chain = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
        let shown = chain.as_ref().map(|chain| chain.as_slice());
        let verdict = tls.clients.verify_client(shown);
        origin.client.tls = Some(tls::describe_quic(tls.clients.word(shown, verdict)));
        origin.unverified = verdict.err();
        origin.client.certificate = chain.and_then(|chain| sdk::ClientCertificate::new(*chain)).map(Arc::new);
        http::serve_quic(&self.worker, connection, origin).await;
    }
}

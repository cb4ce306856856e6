//! The life of a worker: it accepts connections and serves each in a task of its own, until the data plane has been
//! drained.

mod quic;

use crate::access_log;
use crate::http;
use crate::listener::{Admission, Expected, Listener, Shortage, handshake};
use crate::settings::Transport;
use crate::shared::{Phase, Shared};
use crate::stream::{self, Datagrams};
use crate::tls;
use crate::traced::Traced;
use crate::worker::Worker;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc, watch};
use wire::net::{Clock, Incoming, LOCAL, Lingering, LogLimiter, Stream};
use wire::proxy_protocol;

/// How often idle connections to services, and memory that waits to be used again, are looked over.
const SWEEP: Duration = Duration::from_secs(5);
/// The pause after an accept that failed: the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often idle connections are closed because others want their descriptors: what was closed must be used first.
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// Ends when the data plane has been drained. Each socket comes with the number of its listener in the settings.
pub(crate) fn run(index: usize, shared: &Arc<Shared>, sockets: Vec<(usize, Listener)>, phase: watch::Receiver<Phase>) {
    let clock = Clock::new();
    let ticking = Arc::clone(&clock);
    // As many tasks as there are events in one go: each turn of the event loop costs a system call.
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(256)
        .on_thread_unpark(move || ticking.set(Instant::now()))
        .build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("worker {index} cannot start: {error}");
            return;
        }
    };
    let acceptor = Rc::new(Acceptor {
        index,
        open: Cell::new(0),
        closed: Notify::new(),
        admission: Admission::new(shared.settings.limits.connections, shared.descriptors),
        failed_accepts: LogLimiter::default(),
        refused_handshakes: LogLimiter::default(),
        worker: Rc::new(Worker::new(index, shared, clock)),
    });
    runtime.block_on(async {
        shared.kinds.iter().for_each(|kind| kind.start_worker(index));
        let mut ending = phase.clone();
        acceptor.serve(sockets, phase).await;
        let told = futures_util::future::join_all(shared.kinds.iter().map(|kind| kind.end_worker()));
        tokio::select! {
            _ = told => {}
            _ = ending.wait_for(|phase| *phase == Phase::Ended) => {
                tracing::warn!("worker {index} ends before plugins have told others of all exchanges");
            }
        }
    });
}

/// A worker and the connections that it has accepted.
struct Acceptor {
    index: usize,
    worker: Rc<Worker>,
    open: Cell<usize>,
    closed: Notify,
    admission: Admission,
    failed_accepts: LogLimiter,
    refused_handshakes: LogLimiter,
}

impl Acceptor {
    async fn serve(self: &Rc<Self>, sockets: Vec<(usize, Listener)>, mut phase: watch::Receiver<Phase>) {
        let keeper = tokio::task::spawn_local(self.worker.timers.clone().keep());
        let sweeper = tokio::task::spawn_local(Rc::clone(self).sweep());
        let reclaimer = tokio::task::spawn_local(Rc::clone(self).make_room());
        let logger = tokio::task::spawn_local(Rc::clone(self).keep_logs());
        let traced = self.worker.shared.traced.receiver();
        let tracer = traced.map(|traced| tokio::task::spawn_local(Rc::clone(self).serve_traced(traced)));
        let mut accepting = Vec::new();
        let arrivals = self.worker.shared.quic.receiver(self.index);
        accepting.extend(arrivals.map(|arrivals| tokio::task::spawn_local(Rc::clone(self).serve_quic(arrivals))));
        let mut endpoints = Vec::new();
        for (index, socket) in sockets {
            let this = Rc::clone(self);
            let task = match socket {
                Listener::Connections(socket) => TcpListener::from_std(socket)
                    .map(|socket| tokio::task::spawn_local(this.accept(socket.into(), index))),
                Listener::Local(socket) => UnixListener::from_std(socket)
                    .map(|socket| tokio::task::spawn_local(this.accept(Incoming::Local(socket), index))),
                Listener::Datagrams(socket) => {
                    UdpSocket::from_std(socket).map(|socket| tokio::task::spawn_local(this.receive(socket)))
                }
                Listener::Quic(socket) => {
                    endpoints.push(tokio::task::spawn_local(this.receive_quic(socket, phase.clone())));
                    continue;
                }
            };
            match task {
                Ok(task) => accepting.push(task),
                Err(error) => tracing::error!("cannot serve a listener: {error}"),
            }
        }
        // An error means that the data plane is gone, which ends the worker too.
        let _ = phase.wait_for(|p| *p != Phase::Serving).await;
        accepting.iter().chain(&tracer).for_each(tokio::task::JoinHandle::abort);
        self.worker.draining.set(true);
        if *phase.borrow() != Phase::Leaving {
            self.worker.timers.expire_idle();
        }
        let ended = async {
            while self.open.get() > 0 {
                self.closed.notified().await;
            }
            // Connections of other workers need them.
            for endpoint in endpoints {
                let _ = endpoint.await;
            }
        };
        tokio::select! {
            () = ended => {}
            _ = phase.wait_for(|p| *p == Phase::Ended) => self.worker.shared.quic.cut_off().await,
        }
        keeper.abort();
        sweeper.abort();
        reclaimer.abort();
        logger.abort();
        [&self.worker.access_log, &self.worker.stream_access_log]
            .into_iter()
            .flatten()
            .for_each(access_log::Buffer::flush);
    }

    /// `index` is that of the listener in the settings.
    async fn accept(self: Rc<Self>, listener: Incoming, index: usize) {
        let bound = listener.address();
        let tls = self.worker.shared.settings.listen[index].tls;
        // What is in the file system has no port: that of its scheme is as good as any.
        let port = match bound.port() {
            0 => {
                if tls {
                    443
                } else {
                    80
                }
            }
            port => self.worker.shared.settings.public_port(port),
        };
        loop {
            match listener.accept().await {
                Ok((socket, _)) if !self.admission.admit(&socket, self.open.get(), |what| self.reclaim(what)) => {}
                Ok((socket, peer)) => {
                    self.open.set(self.open.get() + 1);
                    let number = self.worker.gauges.accept();
                    // A socket bound to all addresses does not know which one was asked for.
                    let local = if bound.ip().is_unspecified() { socket.local_addr().unwrap_or(bound) } else { bound };
                    let origin = http::Origin::new(&self.worker.shared, (peer, local), port, tls, number);
                    // Boxed: whatever moves a task within the event loop then moves a pointer.
                    tokio::task::spawn_local(Box::pin(Rc::clone(&self).connection(socket, origin, index)));
                    if self.admission.is_pressed() {
                        tokio::task::yield_now().await;
                    }
                }
                // The client was faster.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.failed_accepts.note(|n| tracing::error!("cannot accept connections ({n} times): {error}"));
                    self.reclaim(Shortage::Descriptors);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Closes some connections on which nothing happens; how many. Descriptors are those of all workers: where this one
    /// has nothing to close, others are asked.
    fn reclaim(&self, shortage: Shortage) -> usize {
        match (shortage, self.close_idle(shortage)) {
            (Shortage::Descriptors, 0) => {
                self.worker.shared.descriptors_wanted.notify_waiters();
                0
            }
            (_, closed) => closed,
        }
    }

    fn close_idle(&self, shortage: Shortage) -> usize {
        let clients = self.worker.timers.expire_oldest_idle();
        match shortage {
            Shortage::Descriptors if clients == 0 => self.worker.pool.borrow_mut().close_oldest(),
            _ => clients,
        }
    }

    /// Closes idle connections when others want their descriptors.
    async fn make_room(self: Rc<Self>) {
        loop {
            self.worker.shared.descriptors_wanted.notified().await;
            self.close_idle(Shortage::Descriptors);
            tokio::time::sleep(ROOM_PAUSE).await;
        }
    }

    async fn connection(self: Rc<Self>, socket: TcpStream, mut origin: Box<http::Origin>, index: usize) {
        let _open = Open(&self);
        let settings = &self.worker.shared.settings;
        let is_stream = settings.listen[index].transport == Transport::Stream;
        // Whether a stream's TLS is ours to take off is for its route to say.
        let tls = (origin.tls && !is_stream).then(|| self.worker.shared.listener_tls.load_full());
        let expected = Expected {
            proxy_protocol: settings.listen[index].proxy_protocol,
            snapshot: tls.as_ref().and_then(|_| self.worker.shared.snapshot_of_handshake()),
            tls: tls.clone(),
            tells_offers: settings.tells_offers(),
            limit: settings.limits.client_header_timeout,
            lingering: Lingering { time: settings.limits.lingering_time, pause: settings.limits.lingering_timeout },
        };
        let established = match handshake(socket, expected, &self.worker.timers).await {
            Ok(established) => established,
            Err(error) => {
                let client = origin.peer.as_str();
                let is_stream = self.worker.shared.settings.listen[index].transport == Transport::Stream;
                let what = if is_stream { "their stream" } else { "HTTP" };
                self.refused_handshakes.note(|n| {
                    if error.get_ref().is_some_and(|e| e.is::<proxy_protocol::Malformed>()) {
                        tracing::warn!(client, "{n} connections ended before {what}: {error}");
                    } else {
                        tracing::info!(client, "{n} connections ended before {what}: {error}");
                    }
                });
                return;
            }
        };
        origin.client.sni = established.sni;
        origin.client.certificate_asked = established.asked;
        if let (Stream::TlsServer(stream), Some(tls)) = (&established.stream, &tls) {
            let connection = stream.get_ref().1;
            let shown = connection.peer_certificates();
            let verdict = tls.clients.verify_client(shown);
            origin.client.tls = tls::describe(connection, tls.clients.word(shown, verdict));
            origin.unverified = verdict.err();
            origin.client.certificate = tls::shown(connection);
        }
        origin.offered = established.offered;
        origin.proxied = established.proxied;
        if is_stream {
            return Box::pin(stream::serve(&self.worker, established.stream, origin)).await;
        }
        http::serve(&self.worker, established.stream, origin).await;
    }

    /// Serves the sessions that begin on a socket for datagrams.
    async fn receive(self: Rc<Self>, socket: UdpSocket) {
        let bound = socket.local_addr().unwrap_or(LOCAL);
        let (datagrams, mut space) = (Rc::new(Datagrams::new(socket)), Vec::new());
        loop {
            match datagrams.next(&mut space).await {
                Ok(arrival) if self.open.get() >= self.worker.shared.settings.limits.connections => {
                    self.refused_handshakes
                        .note(|n| tracing::warn!("{n} sessions of datagrams were refused: too many"));
                    datagrams.refuse(arrival);
                }
                Ok(arrival) => {
                    self.open.set(self.open.get() + 1);
                    let number = self.worker.gauges.accept();
                    let port = self.worker.shared.settings.public_port(bound.port());
                    let ends = (arrival.client, bound);
                    let origin = http::Origin::new(&self.worker.shared, ends, port, false, number);
                    let (this, datagrams) = (Rc::clone(&self), Rc::clone(&datagrams));
                    tokio::task::spawn_local(Box::pin(async move {
                        let _open = Open(&this);
                        datagrams.serve(&this.worker, arrival, origin).await;
                    }));
                }
                // As one socket knows of refusals of another: they are about single clients.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    self.failed_accepts.note(|n| tracing::error!("cannot receive datagrams ({n} times): {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves connections of the node with itself.
    async fn serve_traced(self: Rc<Self>, mut connections: mpsc::Receiver<Traced>) {
        while let Some(traced) = connections.recv().await {
            self.open.set(self.open.get() + 1);
            let http2 = traced.http2();
            let opened = traced.open(&self.worker.shared, self.worker.gauges.accept());
            let this = Rc::clone(&self);
            tokio::task::spawn_local(Box::pin(async move {
                let _open = Open(&this);
                match opened {
                    Ok((socket, origin)) if http2 => {
                        http::serve_http2(&this.worker, Stream::Plain(socket), origin).await;
                    }
                    Ok((socket, origin)) => http::serve(&this.worker, Stream::Plain(socket), origin).await,
                    Err(error) => tracing::warn!("a request cannot be traced: {error}"),
                }
            }));
        }
    }

    async fn sweep(self: Rc<Self>) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.worker.sweep();
            self.admission.flush();
        }
    }

    async fn keep_logs(self: Rc<Self>) {
        let logs = [&self.worker.access_log, &self.worker.stream_access_log];
        futures_util::future::join_all(logs.into_iter().flatten().map(access_log::Buffer::keep)).await;
    }
}

/// Counts a connection as open until it is dropped, however its task ends.
struct Open<'a>(&'a Acceptor);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.worker.gauges.close();
        if self.0.worker.draining.get() {
            self.0.closed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = size_of_future(Acceptor::connection);
        assert!(size <= 3072, "{size} octets: is there something large in `http::serve` that could be boxed?");
    }
}

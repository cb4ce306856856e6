//! The data plane as the rest of the node sees it: bind, apply changes, serve, drain.

use crate::accept;
use crate::balancer::Balancers;
use crate::dns::NameStatistics;
use crate::forwarded::TrustedProxies;
use crate::listener::{Descriptors, Inherited, ListenAddress, Listener, Listening, Offer, QuicArrivals};
use crate::live::{Live, RequestFilter, RequestView, Watch};
use crate::published::Published;
use crate::settings::{Listen, Settings, Transport};
use crate::shared::{Counters, Phase, Shared};
use crate::snapshot::{Change, Compiler, Prepared, Replacement};
use crate::tls::{self, Certificates, Chain, ClientVerification, Identity, ListenerTls, Outbound, Resolver};
use crate::traced::{Arrival, TracedConnection, TracedQueue};
use arc_swap::ArcSwap;
use model::Degradation;
use model::entities::Uuid;
use model::health::UpstreamHealth;
use sdk::certificates::Stapler;
use sdk::{Env, Known, MemoryBudget, Network, OwnCertificate, PluginKind, Resolve};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Listeners, workers, and the configuration they serve.
pub struct DataPlane {
    shared: Arc<Shared>,
    compiler: Mutex<Compiler>,
    addresses: Vec<ListenAddress>,
    /// By which plugins reach other servers.
    network: Network,
    /// The listeners, in the order of the settings, until nothing more is accepted.
    sockets: Mutex<Vec<Listening>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    phase: watch::Sender<Phase>,
}

impl DataPlane {
    /// Binds all listeners that are not inherited, so that errors show before anything else happens. Serves nothing
    /// yet.
    pub fn bind(
        mut settings: Settings,
        kinds: &'static [&'static dyn PluginKind],
        env: Env,
        balancers: Balancers,
        inherited: &mut Inherited,
    ) -> io::Result<DataPlane> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let workers = settings.workers.max(1);
        let sockets = bind_all(&settings.listen, workers, inherited)?;
        let addresses = sockets.iter().map(|listening| listening.address().clone()).collect();
        let default = identity(std::mem::take(&mut settings.certificates)).map_err(invalid)?;
        let outbound = Outbound::new(std::mem::take(&mut settings.services_tls)).map_err(invalid)?;
        let memory = MemoryBudget::new(settings.limits.held_in_memory);
        let resolver = Arc::clone(balancers.resolver()) as Arc<dyn Resolve>;
        let network = Network::new(resolver, outbound.of_plugins());
        let compiler = Compiler::new(
            settings.matching,
            kinds,
            env.with_memory(memory.clone()).with_network(network.clone()),
            balancers.clone(),
            Certificates::new(default),
            outbound,
            settings.error_pages.clone(),
        );
        let trusted = TrustedProxies::new(&settings.trusted_ips, &settings.real_ip_header, settings.real_ip_recursive)
            .and_then(|trusted| trusted.with_real_ip_from(&settings.real_ip_from, &settings.real_ip_from_of_streams))
            .map_err(invalid)?;
        let snapshot = Arc::clone(compiler.current());
        let gauges = (0..workers).map(|_| Arc::default()).collect();
        let snapshot = Arc::new(Published::new(snapshot));
        let of_handshake = Arc::clone(&snapshot);
        let resolver = Resolver(move || of_handshake.load().certificates.clone());
        // As Kong's server block, which has one switch for all its listeners.
        let http2 = settings.listen.iter().any(|listen| listen.http2);
        settings.listener_tls.http2 = http2;
        let quic_ports = quic_ports(&settings.listen, &sockets);
        settings.listener_tls.quic = !quic_ports.is_empty();
        let config = settings
            .listener_tls
            .server_config(Arc::new(resolver))
            .map_err(|e| invalid(format!("TLS of the listeners: {e}")))?;
        let listener_tls = ListenerTls::new(&settings.listener_tls, config, settings.listener_tls.clients.clone())
            .map_err(|e| invalid(format!("TLS of the listeners: {e}")))?;
        let via = format!("1.1 {}", settings.token);
        let id = settings.headers.request_id_upstream.then_some((Known::XKongRequestId.name(), "0".repeat(32)));
        let request_lines = id.into_iter().chain([("Via", via.clone())]).collect();
        let shared = Arc::new(Shared {
            via_line: [("Via", &via)].into_iter().collect(),
            request_lines,
            via,
            via_http2: format!("2 {}", settings.token),
            kinds,
            snapshot,
            balancers,
            descriptors: Descriptors::of_process(),
            descriptors_wanted: Notify::new(),
            trusted,
            listener_tls: ArcSwap::from_pointee(listener_tls),
            gauges,
            live: Live::new(workers),
            traced: TracedQueue::default(),
            memory,
            http2,
            quic: QuicArrivals::new(workers, &settings.limits),
            quic_ports,
            settings,
        });
        Ok(DataPlane {
            shared,
            compiler: Mutex::new(compiler),
            addresses,
            network,
            sockets: Mutex::new(sockets),
            workers: Mutex::default(),
            phase: watch::Sender::new(Phase::Serving),
        })
    }

    /// The addresses of the listeners, in the order of the settings, with the ports that were really bound.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// How this node reaches servers on its own behalf.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The balancer's view of an upstream, for the Admin API; `None` while it has none.
    pub fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.shared.snapshot.load().rings.health(upstream)
    }

    /// All upstreams by name, as the balancer sees them.
    pub fn upstreams(&self) -> Vec<(String, UpstreamHealth)> {
        self.shared.snapshot.load().rings.all_health()
    }

    /// The certificate of that id, as servers are shown it that plugins reach.
    pub fn certificate(&self, id: &Uuid) -> Option<OwnCertificate> {
        let snapshot = self.shared.snapshot.load();
        let identity = snapshot.certificates.by_id(id)?;
        Some(OwnCertificate::new(Arc::<Identity>::clone(identity)))
    }

    /// Sets the health of the addresses of a target by hand ([`crate::balancer::Rings::set_health`]).
    pub fn set_target_health(
        &self,
        upstream: Uuid,
        upstream_name: &str,
        host: &str,
        port: u16,
        address: Option<&str>,
        healthy: bool,
    ) -> Result<(), String> {
        self.shared.snapshot.load().rings.set_health(upstream, upstream_name, host, port, address, healthy)
    }

    /// What became of questions to name servers, by name.
    pub fn name_statistics(&self) -> Vec<NameStatistics> {
        self.shared.balancers.resolver().statistics()
    }

    /// The records that this node cannot do justice to.
    pub fn degraded(&self) -> Vec<Arc<Degradation>> {
        self.shared.snapshot.load().degraded.values().cloned().collect()
    }

    /// Takes changes into force, in their order. When this returns, every request whose head is read from now on sees
    /// them. Takes time in proportion to what changed: call it from where blocking is allowed. After an error nothing
    /// has changed, and all records are wanted anew ([`DataPlane::replace`]).
    pub fn apply(&self, changes: &[Change<'_>]) -> Result<(), String> {
        let mut compiler = self.compiler();
        let prepared = compiler.apply(changes)?;
        self.publish(prepared);
        Ok(())
    }

    /// Begins to take in all records, in place of everything there was; [`DataPlane::replace`] takes them into force.
    pub fn replacement(&self) -> Replacement {
        self.compiler().replacement()
    }

    /// Takes the records that were taken in into force in place of everything there was.
    pub fn replace(&self, replacement: Replacement) -> Result<(), String> {
        let mut compiler = self.compiler();
        let prepared = compiler.replace(replacement)?;
        self.publish(prepared);
        Ok(())
    }

    /// Takes other certificates for clients that name no known server, another verification of clients, and other
    /// settings of TLS towards services.
    pub fn reload_tls(
        &self,
        certificates: Vec<Chain>,
        clients: ClientVerification,
        services: tls::Services,
    ) -> Result<(), String> {
        let default = identity(certificates)?;
        let former = self.shared.listener_tls.load_full();
        let policy = &self.shared.settings.listener_tls;
        let config = policy.with_clients(&former.config, clients.clone()).map_err(|e| e.to_string())?;
        let listener_tls = ListenerTls::new(policy, config, clients).map_err(|e| e.to_string())?;
        let mut compiler = self.compiler();
        let prepared = compiler.reload_tls(default, services)?;
        self.network.renew_tls(prepared.snapshot.outbound.of_plugins());
        self.publish(prepared);
        self.shared.listener_tls.store(Arc::new(listener_tls));
        Ok(())
    }

    /// Starts the workers.
    pub fn serve(&self) -> io::Result<()> {
        let mut sets: Vec<Vec<(usize, Listener)>> = self.shared.gauges.iter().map(|_| Vec::new()).collect();
        for (index, listening) in self.sockets.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
            // More than there are workers when a process with more of them was here before; a single one, of QUIC, is
            // not always the same worker's.
            for (number, socket) in listening.listen()?.into_iter().enumerate() {
                let worker = (index + number) % sets.len();
                sets[worker].push((index, socket));
            }
        }
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, sockets) in sets.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let phase = self.phase.subscribe();
            workers.push(
                std::thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .stack_size(sdk::STACK)
                    .spawn(move || accept::run(index, &shared, sockets, phase))?,
            );
        }
        Ok(())
    }

    /// The listening sockets, for a process that takes this one's place.
    pub fn offer(&self) -> io::Result<Vec<Offer>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Listening::offer).collect()
    }

    /// Stops accepting, lets requests under way finish, and ends what is left when the time is over. Blocks until the
    /// workers have ended.
    pub fn drain(&self, time: Duration) {
        self.end(Phase::Draining, time);
    }

    /// The same where another process accepts from now on: idle connections stay as long as they might, for one more
    /// request, so that no client sends one on a connection that is just closed.
    pub fn leave(&self, time: Duration) {
        self.end(Phase::Leaving, time);
    }

    /// Ends what is under way: who drains waits no longer.
    pub fn cut_off(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    fn end(&self, phase: Phase, time: Duration) {
        let deadline = Instant::now() + time;
        self.phase.send_replace(phase);
        let sockets = std::mem::take(&mut *self.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        if phase != Phase::Leaving {
            sockets.iter().for_each(Listening::remove);
        }
        drop(sockets);
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        while Instant::now() < deadline && workers.iter().any(|w| !w.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.cut_off();
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }

    /// How many octets of contents are held in memory now, of [`crate::settings::Limits::held_in_memory`].
    pub fn held_in_memory(&self) -> usize {
        self.shared.memory.taken()
    }

    fn publish(&self, prepared: Prepared) {
        let former = self.shared.snapshot.replace(Arc::clone(&prepared.snapshot));
        self.shared.balancers.retired().put(former);
        prepared.activate(&self.shared.balancers);
    }

    /// A panic while a snapshot is made is caught, so that a poisoned compiler is as good as ever.
    fn compiler(&self) -> MutexGuard<'_, Compiler> {
        self.compiler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Makes a connection with this node's own proxy, as if from elsewhere; the course of the first request on it is
    /// told.
    pub async fn trace(&self, arrival: Arrival) -> io::Result<TracedConnection> {
        self.shared.traced.connect(arrival).await
    }

    /// Keeps OCSP responses at hand for certificates of the configuration; without `all`, for those only with which
    /// clients must see one.
    pub async fn staple(&self, stapler: Stapler, all: bool) {
        tls::run_stapling(Arc::clone(&self.shared.snapshot), stapler, all).await;
    }

    /// Has the workers count what goes through them, in place of an earlier watch.
    pub fn watch(&self) -> Watch {
        Watch::begin(&self.shared)
    }

    /// Has the workers keep requests that a filter wants, for who takes them; `None`: too many look already.
    pub fn look(&self, filter: RequestFilter) -> Option<RequestView> {
        RequestView::begin(&self.shared.live, filter)
    }
}

fn identity(certificates: Vec<Chain>) -> Result<Option<Arc<Identity>>, String> {
    if certificates.is_empty() {
        Ok(None)
    } else {
        Identity::new(certificates).map(|identity| Some(Arc::new(identity)))
    }
}

fn bind_all(listen: &[Listen], workers: usize, inherited: &mut Inherited) -> io::Result<Vec<Listening>> {
    let (mut bound, mut own) = (Vec::new(), Vec::new());
    for entry in listen {
        let (setting, address) = (entry.transport.setting(), &entry.address);
        let listening = match (entry.transport, address) {
            (Transport::Datagram, ListenAddress::Ip(address)) => {
                Listening::bind_datagrams(("stream_listen udp", *address), &entry.socket, workers, inherited)
            }
            (Transport::Quic, ListenAddress::Ip(address)) => {
                Listening::bind_quic(("proxy_listen quic", *address), &entry.socket, inherited)
            }
            _ => Listening::bind((setting, address), &entry.socket, workers, &own, inherited),
        };
        let listening = listening.map_err(|error| io::Error::new(error.kind(), format!("{setting}: {error}")))?;
        if matches!(entry.transport, Transport::Http | Transport::Stream) {
            own.push(listening.address().clone());
        }
        bound.push(listening);
    }
    Ok(bound)
}

fn quic_ports(listen: &[Listen], sockets: &[Listening]) -> Vec<u16> {
    let bound = listen.iter().zip(sockets);
    let quic = bound.filter(|(listen, _)| listen.transport == Transport::Quic);
    quic.filter_map(|(_, socket)| socket.address().ip()).map(|address| address.port()).collect()
}

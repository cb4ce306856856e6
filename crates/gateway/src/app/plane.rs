//! From the node's settings to the data plane, and between the words of `store`, `proxy` and `admin` for the same
//! things.

use super::access_logs::AccessLogs;
use super::certificates::{self, Interface};
use super::request_debug;
use crate::settings::{Settings, nginx, tls};
use admin::{Counters, TargetMark};
use model::Degradation;
use model::health::UpstreamHealth;
use proxy::balancer::Balancers;
use proxy::listener::{Inherited, ListenAddress, Offer};
use proxy::live::{RequestFilter, RequestView, Watch};
use proxy::settings::{Headers, Keepalive, Listen, Transport};
use proxy::tls::{Chain, Outbound, Peers, Services};
use proxy::{Arrival, Change, DataPlane, Replacement, TracedConnection, dns, router};
use sdk::certificates::Stapler;
use sdk::entities::Uuid;
use sdk::{ErrorFormat, ErrorPages, OwnCertificate, PeerTls, PluginKind, Timed, TraceSettings, Url};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::Operation;
use tokio::runtime::Handle;

/// The data plane of this node.
pub struct Plane {
    data: DataPlane,
    /// What comes in at each of its addresses, and whether it is secured.
    listeners: Vec<(Transport, bool)>,
    debug_token: Option<String>,
}

impl Plane {
    /// Binds the proxy's listeners. Look-ups and probes run on `control`.
    pub fn bind(
        settings: &Settings,
        kinds: &'static [&'static dyn PluginKind],
        env: sdk::Env,
        control: Handle,
        access_logs: &AccessLogs,
        inherited: &mut Inherited,
    ) -> Result<Plane, String> {
        let listen = listen(settings)?;
        let listeners = listen.iter().map(|l| (l.transport, l.tls)).collect::<Vec<_>>();
        let certificates = default_certificates(settings, &listeners)?;
        let debug_token = request_debug::token(settings);
        let proxy = proxy::Settings {
            listen,
            port_maps: settings.port_maps.clone(),
            workers: settings.workers,
            matching: matching(settings),
            headers: Headers {
                server: settings.headers.server,
                via: settings.headers.via,
                proxy_latency: settings.headers.proxy_latency,
                upstream_latency: settings.headers.upstream_latency,
                response_latency: settings.headers.response_latency,
                upstream_status: settings.headers.upstream_status,
                request_id: settings.headers.request_id,
                request_id_upstream: settings.request_id_upstream,
            },
            error_pages: error_pages(settings)?,
            trusted_ips: settings.list("trusted_ips").to_vec(),
            real_ip_from: settings.injected.real_ip_from(nginx::LOCATION, settings.list("trusted_ips")),
            real_ip_from_of_streams: settings.injected.real_ip_from(nginx::STREAM, settings.list("trusted_ips")),
            real_ip_header: settings.injected.word(nginx::LOCATION, "real_ip_header").to_owned(),
            real_ip_recursive: settings.injected.flag(nginx::LOCATION, "real_ip_recursive").unwrap_or_default(),
            allow_debug_header: settings.flag("allow_debug_header"),
            request_debug: debug_token.clone(),
            keepalive: Keepalive {
                pool_size: settings.count("upstream_keepalive_pool_size"),
                max_requests: settings.count("upstream_keepalive_max_requests") as u64,
                idle_timeout: settings.seconds("upstream_keepalive_idle_timeout").unwrap_or_default(),
            },
            streams: settings.injected.streams(),
            limits: settings.limits.clone(),
            directives: settings.directives.clone(),
            access_log: access_logs.proxy.clone(),
            stream_access_log: access_logs.stream.clone(),
            tracing: Timed::parse(settings.list("tracing_instrumentations")).map(|timed| TraceSettings {
                timed,
                sampling_rate: settings.number("tracing_sampling_rate").unwrap_or_default(),
            }),
            certificates,
            listener_tls: certificates::policy(settings, Interface::Proxy)?,
            services_tls: services_tls(settings)?,
            ..proxy::Settings::default()
        };
        let balancers = Balancers::new(resolver(settings)?, control);
        let data = DataPlane::bind(proxy, kinds, env, balancers, inherited).map_err(|e| e.to_string())?;
        Ok(Plane { data, listeners, debug_token })
    }

    /// What requests from elsewhere that ask for their timing have to say.
    pub fn debug_token(&self) -> Option<&str> {
        self.debug_token.as_deref()
    }

    /// Takes certificates and authorities that the settings name as they are now.
    pub fn reload_tls(&self, settings: &Settings) -> Result<(), String> {
        let clients = certificates::client_verification(settings, Interface::Proxy)?;
        self.data.reload_tls(default_certificates(settings, &self.listeners)?, clients, services_tls(settings)?)
    }

    /// Where it listens for HTTP: without TLS, and with.
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let with = |tls: bool| self.bound(|kind| kind == (Transport::Http, tls));
        (with(false), with(true))
    }

    /// Where it listens for HTTP/3.
    pub fn quic(&self) -> Vec<SocketAddr> {
        self.bound(|(transport, _)| transport == Transport::Quic)
    }

    /// Where it listens for streams.
    pub fn streams(&self) -> Vec<SocketAddr> {
        self.bound(|(transport, _)| matches!(transport, Transport::Stream | Transport::Datagram))
    }

    /// The sockets in the file system.
    pub fn local(&self) -> impl Iterator<Item = &ListenAddress> {
        self.data.addresses().iter().filter(|address| address.ip().is_none())
    }

    fn bound(&self, wanted: impl Fn((Transport, bool)) -> bool) -> Vec<SocketAddr> {
        let all = self.data.addresses().iter().zip(&self.listeners);
        all.filter(|(_, kind)| wanted(**kind)).filter_map(|(address, _)| address.ip()).collect()
    }

    /// How this node reaches servers on its own behalf.
    pub fn network(&self) -> &sdk::Network {
        self.data.network()
    }

    /// Takes commits into force; blocks while they are compiled.
    pub fn apply(&self, commits: &[Arc<[store::Change]>]) -> Result<(), String> {
        let changes = commits.iter().flat_map(|changes| changes.iter()).map(|change| Change {
            deleted: change.operation == Operation::Delete,
            entity: &change.entity,
            record: &change.record,
        });
        self.data.apply(&changes.collect::<Vec<_>>())
    }

    /// Begins to take in all records.
    pub fn replacement(&self) -> Replacement {
        self.data.replacement()
    }

    /// Takes records into force in place of everything there was.
    pub fn replace(&self, replacement: Replacement) -> Result<(), String> {
        self.data.replace(replacement)
    }

    /// The records that this node cannot do justice to.
    pub fn degraded(&self) -> Vec<Arc<Degradation>> {
        self.data.degraded()
    }

    /// Starts the workers.
    pub fn serve(&self) -> std::io::Result<()> {
        self.data.serve()
    }

    /// The listening sockets, for a process that takes this one's place.
    pub fn offer(&self) -> std::io::Result<Vec<Offer>> {
        self.data.offer()
    }

    /// Lets requests finish; blocks until they have, or the time is over.
    pub fn drain(&self, time: Duration) {
        self.data.drain(time);
    }

    /// The same where another process accepts from now on.
    pub fn leave(&self, time: Duration) {
        self.data.leave(time);
    }

    /// Ends what is under way at once.
    pub fn cut_off(&self) {
        self.data.cut_off();
    }

    /// Whether some listener is for streams.
    pub fn has_streams(&self) -> bool {
        self.listeners.iter().any(|(transport, _)| matches!(transport, Transport::Stream | Transport::Datagram))
    }

    /// What the listeners have counted.
    pub fn counters(&self) -> Counters {
        let counted = self.data.counters();
        Counters {
            connections_accepted: counted.accepted,
            connections_handled: counted.accepted,
            connections_active: counted.active,
            connections_reading: 0,
            connections_waiting: counted.idle,
            connections_writing: counted.active.saturating_sub(counted.idle),
            total_requests: counted.requests,
        }
    }

    /// A connection with this node's own proxy, whose first request is traced.
    pub async fn trace(&self, arrival: Arrival) -> std::io::Result<TracedConnection> {
        self.data.trace(arrival).await
    }

    /// Keeps OCSP responses at hand for the certificates that clients are shown.
    pub async fn staple(&self, stapler: Stapler, all: bool) {
        self.data.staple(stapler, all).await;
    }

    /// Has the workers count what goes through them.
    pub fn watch(&self) -> Watch {
        self.data.watch()
    }

    /// Has them keep requests that a filter wants; `None`: too many look already.
    pub fn look(&self, filter: RequestFilter) -> Option<RequestView> {
        self.data.look(filter)
    }

    /// What became of questions to name servers.
    pub fn name_statistics(&self) -> Vec<dns::NameStatistics> {
        self.data.name_statistics()
    }

    /// The balancer's view of an upstream.
    pub fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.data.upstream_health(upstream)
    }

    /// All upstreams by name, as the balancer sees them.
    pub fn upstreams(&self) -> Vec<(String, UpstreamHealth)> {
        self.data.upstreams()
    }

    /// The certificate of that id, as servers are shown it that plugins reach.
    pub fn certificate(&self, id: &Uuid) -> Option<OwnCertificate> {
        self.data.certificate(id)
    }

    /// Sets the health of a target by hand.
    pub fn set_target_health(&self, mark: &TargetMark) -> Result<(), String> {
        let (name, address) = (&mark.upstream_name, mark.address.as_deref());
        self.data.set_target_health(mark.upstream, name, &mark.host, mark.port, address, mark.healthy)
    }
}

/// What is wrong with files and values that the data plane is made of; certificates are looked at elsewhere.
pub fn check(settings: &Settings) -> Vec<String> {
    [error_pages(settings).err(), resolver(settings).err(), responder(settings).err()].into_iter().flatten().collect()
}

/// Whom to ask about certificates in place of those that they name (`ssl_stapling_responder`).
pub fn responder(settings: &Settings) -> Result<Option<Url>, String> {
    let text = settings.injected.word(nginx::PROXY_SERVER, "ssl_stapling_responder");
    let url = (!text.is_empty()).then(|| Url::parse(text)).transpose();
    url.map_err(|e| format!("{}: {e}", settings.injected.key(nginx::PROXY_SERVER, "ssl_stapling_responder")))
}

fn listen(settings: &Settings) -> Result<Vec<Listen>, String> {
    let mut listen = Vec::new();
    let of_streams = settings
        .stream_listen
        .iter()
        .map(|entry| (entry, if entry.udp { Transport::Datagram } else { Transport::Stream }));
    let of_proxy =
        settings.proxy_listen.iter().map(|entry| (entry, if entry.quic { Transport::Quic } else { Transport::Http }));
    for (entry, transport) in of_proxy.chain(of_streams) {
        let addresses = entry.addresses().map_err(|e| format!("{}: {}: {e}", transport.setting(), entry.host))?;
        listen.extend(addresses.into_iter().map(|address| Listen {
            address,
            transport,
            tls: entry.is_secure(),
            http2: entry.http2,
            proxy_protocol: entry.proxy_protocol,
            socket: entry.socket(),
        }));
    }
    Ok(listen)
}

/// None where nobody can ask for them.
fn default_certificates(settings: &Settings, listeners: &[(Transport, bool)]) -> Result<Vec<Chain>, String> {
    if listeners.iter().any(|(_, tls)| *tls) {
        certificates::chains(settings, Interface::Proxy)
    } else {
        Ok(Vec::new())
    }
}

/// What other servers than services must prove to this node.
pub fn peer_tls(settings: &Settings) -> Result<PeerTls, String> {
    Outbound::new(services_tls(settings)?).map(|outbound| outbound.of_plugins())
}

fn services_tls(settings: &Settings) -> Result<Services, String> {
    let roots = certificates::trusted_roots(settings)?;
    let depth = settings.count("lua_ssl_verify_depth");
    let injected = &settings.injected;
    let verify_depth = |name| {
        let given = injected.number(nginx::LOCATION, name);
        given.map_or(depth, |depth| usize::try_from(depth).unwrap_or(usize::MAX))
    };
    let (requests, probes) = (tls::services(settings)?, tls::probes(settings)?);
    Ok(Services {
        requests: Peers {
            roots: certificates::directed_roots(settings, "proxy_ssl_trusted_certificate")?
                .unwrap_or_else(|| Arc::clone(&roots)),
            depth: verify_depth("proxy_ssl_verify_depth"),
            versions: requests.versions,
            suites: requests.suites,
        },
        probes: Peers { roots: Arc::clone(&roots), depth, versions: probes.versions, suites: probes.suites },
        verify: injected.flag(nginx::LOCATION, "proxy_ssl_verify").unwrap_or_default(),
        grpc: match injected.flag(nginx::LOCATION, "grpc_ssl_verify") {
            Some(true) => {
                let own = certificates::directed_roots(settings, "grpc_ssl_trusted_certificate")?;
                Some((own.unwrap_or_else(|| Arc::clone(&roots)), verify_depth("grpc_ssl_verify_depth")))
            }
            _ => None,
        },
        identity: certificates::client(settings)?,
    })
}

fn matching(settings: &Settings) -> router::Matching {
    router::Matching {
        flavor: match settings.text("router_flavor") {
            "traditional" => router::Flavor::Traditional,
            "expressions" => router::Flavor::Expressions,
            _ => router::Flavor::TraditionalCompatible,
        },
        calculation: match settings.text("route_match_calculation") {
            "strict" => router::MatchCalculation::Strict,
            _ => router::MatchCalculation::Original,
        },
    }
}

fn error_pages(settings: &Settings) -> Result<ErrorPages, String> {
    let mut pages = ErrorPages::default();
    if let Some(format) = ErrorFormat::parse(settings.text("error_default_type")) {
        pages.default_format = format;
    }
    for (format, name) in [
        (ErrorFormat::Json, "json"),
        (ErrorFormat::Html, "html"),
        (ErrorFormat::Xml, "xml"),
        (ErrorFormat::Plain, "plain"),
    ] {
        let path = settings.text(&format!("error_template_{name}"));
        if !path.is_empty() {
            let text =
                std::fs::read_to_string(path).map_err(|e| format!("error_template_{name}: cannot read {path}: {e}"))?;
            pages.templates[format as usize] = Some(text);
        }
    }
    Ok(pages)
}

/// By the keys of Kong's classic resolver, or of its newer one.
fn resolver(settings: &Settings) -> Result<dns::Settings, String> {
    let usual = dns::Settings::default();
    let newer = settings.flag("new_dns_client");
    let key = |classic: &'static str, new: &'static str| if newer { new } else { classic };
    let seconds = |name: &str, default| settings.seconds(name).unwrap_or(default);
    let servers = settings.list(key("dns_resolver", "resolver_address"));
    Ok(dns::Settings {
        servers: servers.iter().map(|s| dns::Settings::server(s)).collect::<Result<_, _>>()?,
        hosts_file: settings.text(key("dns_hostsfile", "resolver_hosts_file")).into(),
        order: dns::Settings::kinds(settings.list(key("dns_order", "resolver_family")))?,
        srv_names_only: newer,
        valid_ttl: settings.seconds(key("dns_valid_ttl", "resolver_valid_ttl")),
        stale_ttl: seconds(key("dns_stale_ttl", "resolver_stale_ttl"), usual.stale_ttl),
        not_found_ttl: seconds(key("dns_not_found_ttl", "resolver_error_ttl"), usual.not_found_ttl),
        error_ttl: seconds(key("dns_error_ttl", "resolver_error_ttl"), usual.error_ttl),
        cache_size: settings.count(key("dns_cache_size", "resolver_lru_cache_size")),
        no_sync: settings.flag("dns_no_sync"),
        ..usual
    })
}

//! What the data plane has to be told when it starts.

use crate::access_log::AccessLog;
use crate::directives::Directives;
use crate::listener::{ListenAddress, SocketOptions};
use crate::router::Matching;
use crate::tls::{Chain, Policy, Services};
use sdk::{ErrorPages, TraceSettings};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Everything that is fixed for the life of a data plane.
#[derive(Debug)]
pub struct Settings {
    pub listen: Vec<Listen>,
    pub streams: Streams,
    /// Ports of ours and the public ones that lead to them (`port_maps`); others lead to themselves.
    pub port_maps: Vec<(u16, u16)>,
    /// Threads that serve requests; each has its own sockets, pools and buffers.
    pub workers: usize,
    pub matching: Matching,
    pub headers: Headers,
    pub error_pages: ErrorPages,
    /// `trusted_ips`, as written.
    pub trusted_ips: Vec<String>,
    /// Whose word about the client's address counts beside theirs (`set_real_ip_from`), as written.
    pub real_ip_from: Vec<String>,
    /// The same for streams.
    pub real_ip_from_of_streams: Vec<String>,
    /// `real_ip_header`.
    pub real_ip_header: String,
    /// `real_ip_recursive`.
    pub real_ip_recursive: bool,
    /// `allow_debug_header`.
    pub allow_debug_header: bool,
    /// The token of requests that ask for their timing; `None`: none may (`request_debug`).
    pub request_debug: Option<String>,
    pub keepalive: Keepalive,
    pub limits: Limits,
    pub directives: Directives,
    /// Where requests are noted; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// The same for streams.
    pub stream_access_log: Option<AccessLog>,
    /// `None`: nothing is traced.
    pub tracing: Option<TraceSettings>,
    /// What TLS clients get when no certificate of the configuration fits: chains with their keys, in order of
    /// preference.
    pub certificates: Vec<Chain>,
    pub listener_tls: Policy,
    pub services_tls: Services,
    /// `bascule/<version>`: `Server` and `Via`.
    pub token: String,
}

/// What comes in at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    #[default]
    Http,
    /// Connections that are relayed.
    Stream,
    /// Datagrams that are relayed.
    Datagram,
    /// Datagrams of QUIC, which carry HTTP/3.
    Quic,
}

/// How streams are relayed, under the names of nginx's directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// `proxy_protocol`: services are told who the client is.
    pub proxy_protocol: bool,
    /// `proxy_half_close`: when one side has ended, the other one goes on.
    pub half_close: bool,
    /// `preread_timeout`: how long the first message of TLS may take.
    pub preread_timeout: Duration,
}

/// A proxy listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: ListenAddress,
    pub transport: Transport,
    pub tls: bool,
    /// HTTP/2 is spoken, too: as in Kong, on all listeners when one has the flag.
    pub http2: bool,
    /// Connections begin with a header of the PROXY protocol; those that do not are refused.
    pub proxy_protocol: bool,
    pub socket: SocketOptions,
}

/// Which lines the gateway adds of its own (`headers`, `headers_upstream`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub server: bool,
    pub via: bool,
    pub proxy_latency: bool,
    pub upstream_latency: bool,
    pub response_latency: bool,
    pub upstream_status: bool,
    pub request_id: bool,
    pub request_id_upstream: bool,
}

/// Connections kept open to services (`upstream_keepalive_*`).
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Idle connections per address and worker; 0 keeps none.
    pub pool_size: usize,
    /// Requests on one connection; 0: no limit.
    pub max_requests: u64,
    /// Zero: no limit.
    pub idle_timeout: Duration,
}

/// Bounds on what clients and services may do, under the names of nginx's directives.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `client_max_body_size`, octets; 0: no limit.
    pub client_max_body_size: u64,
    /// `client_body_buffer_size`, octets: so much of a request's content is held in memory, the rest in a temporary
    /// file. `None`: it is not set, and we take what suits us.
    pub client_body_buffer_size: Option<usize>,
    /// `client_header_timeout`: from the first octet of a head to its last.
    pub client_header_timeout: Duration,
    /// `client_body_timeout`: between two reads of a request's content.
    pub client_body_timeout: Duration,
    /// `send_timeout`: between two writes to a client.
    pub send_timeout: Duration,
    /// `lingering_close`: whether the rest of a request is read and dropped after its answer.
    pub lingering_close: bool,
    /// `lingering_time`: for how long at most.
    pub lingering_time: Duration,
    /// `lingering_timeout`: the longest pause in that.
    pub lingering_timeout: Duration,
    /// `keepalive_requests`: on one client connection.
    pub keepalive_requests: u64,
    /// `keepalive_timeout`: how long a client connection may stay idle between requests. Zero: it is closed after each.
    pub keepalive_timeout: Duration,
    /// The second value of `keepalive_timeout`, in seconds: what clients are told in `Keep-Alive: timeout=N`.
    pub keepalive_header: Option<u64>,
    /// `keepalive_time`: a client connection of this age is closed after a request.
    pub keepalive_time: Duration,
    /// `client_header_buffer_size`, octets.
    pub client_header_buffer_size: usize,
    /// `large_client_header_buffers`: how many there are, and the octets of one. A line fits into one, a head into all.
    pub large_client_header_buffers: (usize, usize),
    /// `proxy_ignore_client_abort`: a service's answer is awaited although its client is gone.
    pub proxy_ignore_client_abort: bool,
    /// `proxy_ignore_headers X-Accel-Buffering`: a service cannot turn buffering off.
    pub ignore_accel_buffering: bool,
    /// `proxy_buffer_size`, octets: the largest head of a service's response; `None`: what we hold for usual.
    pub proxy_buffer_size: Option<usize>,
    /// `proxy_socket_keepalive`: TCP keep-alive towards services.
    pub proxy_socket_keepalive: bool,
    /// `proxy_bind`: our address of connections to services.
    pub proxy_bind: Option<IpAddr>,
    /// `proxy_buffers`, octets in all: so much of a response waits in memory for a slow client.
    pub proxy_buffers: usize,
    /// `proxy_max_temp_file_size`, octets: so much more of a response waits in a temporary file. 0: none.
    pub proxy_max_temp_file_size: u64,
    /// `client_body_temp_path`: where temporary files with requests' contents are made; they have no name, and vanish
    /// with the process.
    pub temporary_files: Arc<Path>,
    /// `proxy_temp_path`: the same for responses.
    pub proxy_temporary_files: Arc<Path>,
    /// `worker_connections`: open client connections per worker; more are refused.
    pub connections: usize,
    /// `http2_max_concurrent_streams`: exchanges at a time on a connection of HTTP/2.
    pub http2_max_concurrent_streams: u32,
    /// `http3_max_concurrent_streams`: the same of HTTP/3.
    pub http3_max_concurrent_streams: u32,
    /// `quic_retry`: every client must show that it receives what is sent to its address before its handshake begins.
    pub quic_retry: bool,
    /// Octets of contents of requests and responses that all exchanges together hold in memory.
    pub held_in_memory: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: Vec::new(),
            streams: Streams::default(),
            port_maps: Vec::new(),
            workers: 1,
            matching: Matching::default(),
            headers: Headers::default(),
            error_pages: ErrorPages::default(),
            trusted_ips: Vec::new(),
            real_ip_from: Vec::new(),
            real_ip_from_of_streams: Vec::new(),
            real_ip_header: "X-Real-IP".to_owned(),
            real_ip_recursive: false,
            allow_debug_header: false,
            request_debug: None,
            keepalive: Keepalive::default(),
            limits: Limits::default(),
            directives: Directives::default(),
            access_log: None,
            stream_access_log: None,
            tracing: None,
            certificates: Vec::new(),
            listener_tls: Policy::default(),
            services_tls: Services::default(),
            token: concat!("bascule/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Transport {
    /// The setting that says where it is listened for.
    pub fn setting(self) -> &'static str {
        match self {
            Transport::Http | Transport::Quic => "proxy_listen",
            Transport::Stream | Transport::Datagram => "stream_listen",
        }
    }
}

/// As nginx has them.
impl Default for Streams {
    fn default() -> Streams {
        Streams { proxy_protocol: false, half_close: false, preread_timeout: Duration::from_secs(30) }
    }
}

impl Settings {
    /// The port that clients use to reach one of ours. The last of several that lead to the same one counts, as in
    /// Kong.
    pub fn public_port(&self, own: u16) -> u16 {
        self.port_maps.iter().rev().find(|(port, _)| *port == own).map_or(own, |(_, public)| *public)
    }

    /// Whether the content of requests is wanted in lines of the log or of heads.
    pub fn keeps_content(&self) -> bool {
        self.directives.need_content() || self.access_log.as_ref().is_some_and(|log| log.format.needs_content())
    }

    /// Whether what clients offer in TLS is wanted in them.
    pub fn tells_offers(&self) -> bool {
        self.directives.tell_offers() || self.access_log.as_ref().is_some_and(|log| log.format.tells_offers())
    }
}

/// Kong's default: `server_tokens, latency_tokens, X-Kong-Request-Id`.
impl Default for Headers {
    fn default() -> Headers {
        Headers {
            server: true,
            via: true,
            proxy_latency: true,
            upstream_latency: true,
            response_latency: true,
            upstream_status: false,
            request_id: true,
            request_id_upstream: true,
        }
    }
}

impl Headers {
    /// From the entries of `headers` and `headers_upstream`; the error names an entry that is none.
    pub fn parse<S: AsRef<str>>(headers: &[S], upstream: &[S]) -> Result<Headers, String> {
        let mut on = Headers {
            server: false,
            via: false,
            proxy_latency: false,
            upstream_latency: false,
            response_latency: false,
            upstream_status: false,
            request_id: false,
            request_id_upstream: false,
        };
        for entry in headers {
            match entry.as_ref().to_ascii_lowercase().as_str() {
                "off" => {}
                "server_tokens" => (on.server, on.via) = (true, true),
                "server" => on.server = true,
                "via" => on.via = true,
                "latency_tokens" => (on.proxy_latency, on.upstream_latency, on.response_latency) = (true, true, true),
                "x-kong-proxy-latency" => on.proxy_latency = true,
                "x-kong-upstream-latency" => on.upstream_latency = true,
                "x-kong-response-latency" => on.response_latency = true,
                "x-kong-upstream-status" => on.upstream_status = true,
                "x-kong-request-id" => on.request_id = true,
                "x-kong-admin-latency" => {}
                other => return Err(format!("headers: invalid entry '{other}'")),
            }
        }
        for entry in upstream {
            match entry.as_ref().to_ascii_lowercase().as_str() {
                "off" => {}
                "x-kong-request-id" => on.request_id_upstream = true,
                other => return Err(format!("headers_upstream: invalid entry '{other}'")),
            }
        }
        Ok(on)
    }
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { pool_size: 512, max_requests: 10_000, idle_timeout: Duration::from_secs(60) }
    }
}

impl Limits {
    /// What a request's head may have: a line fits into one buffer with its end, all of it into all of them.
    pub fn heads(&self) -> wire::h1::Limits {
        let (number, size) = self.large_client_header_buffers;
        let (line, head) = (size.max(self.client_header_buffer_size), number.saturating_mul(size));
        wire::h1::Limits { line: line.saturating_sub(2), head: head.max(line), ..wire::h1::Limits::default() }
    }
}

impl Limits {
    /// What a connection of HTTP/2 may carry.
    pub fn streams(&self) -> wire::h2::Limits {
        wire::h2::Limits { streams: self.http2_max_concurrent_streams, heads: self.heads() }
    }
}

/// nginx's defaults, and Kong's where its template names others.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            client_max_body_size: 0,
            client_body_buffer_size: None,
            client_header_timeout: Duration::from_secs(60),
            client_body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            lingering_close: true,
            lingering_time: Duration::from_secs(30),
            lingering_timeout: Duration::from_secs(5),
            keepalive_requests: 10_000,
            keepalive_timeout: Duration::from_secs(75),
            keepalive_header: None,
            keepalive_time: Duration::from_secs(3600),
            client_header_buffer_size: 1 << 10,
            large_client_header_buffers: (4, 8 << 10),
            proxy_ignore_client_abort: false,
            ignore_accel_buffering: false,
            proxy_buffer_size: None,
            proxy_socket_keepalive: false,
            proxy_bind: None,
            proxy_buffers: 64 << 10,
            proxy_max_temp_file_size: 1 << 30,
            temporary_files: Arc::from(std::env::temp_dir()),
            proxy_temporary_files: Arc::from(std::env::temp_dir()),
            connections: 65_536,
            http2_max_concurrent_streams: 128,
            http3_max_concurrent_streams: 128,
            quic_retry: false,
            held_in_memory: 256 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn ports_are_mapped() {
        let settings = Settings { port_maps: vec![(8000, 80), (8443, 443), (8000, 8080)], ..Settings::default() };
        assert_eq!([8000, 8443, 9000].map(|port| settings.public_port(port)), [8080, 443, 9000]);
    }
}

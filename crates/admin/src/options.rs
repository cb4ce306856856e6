//! The settings of the Admin and the Status API.

use crate::access::options::AccessOptions;
use crate::audit::AuditOptions;
use crate::node::Interface;
use std::sync::Arc;
use std::time::Duration;
use wire::net::Lingering;

/// The settings that the Admin API itself obeys.
#[derive(Clone, Debug)]
pub struct Options {
    /// `bascule_version`, also in the `Server` header.
    pub version: String,
    /// Whether `headers` contains `server_tokens`.
    pub server_header: bool,
    /// Whether `headers` contains `latency_tokens` or `X-Kong-Admin-Latency`.
    pub latency_header: bool,
    /// `database = off`: reads only, and `/config`.
    pub dbless: bool,
    /// `role = control_plane`.
    pub control_plane: bool,
    /// The largest content of a request, in bytes (`nginx_admin_client_max_body_size`).
    pub max_content: usize,
    /// The origins of the GUI; empty: any origin is allowed.
    pub origins: Vec<String>,
    /// Where this node serves the manager: schemes and ports. Its pages may call this node on their own host.
    pub pages: Vec<(&'static str, u16)>,
    /// The hosts that requests to the Admin API may name (`admin_allowed_hosts`); empty: any.
    pub hosts: Vec<String>,
    pub access: AccessOptions,
    /// `audit_log`.
    pub audit: Option<Arc<AuditOptions>>,
    /// `event_hooks_enabled`.
    pub event_hooks: bool,
    /// Bounds on clients of the Admin and of the Status API.
    pub limits: Limits,
    pub status_limits: Limits,
    /// The pages of the manager, and bounds on who asks for them.
    pub site: Option<Arc<manager::Site>>,
    pub site_limits: Limits,
}

/// Bounds on what clients may do, under the names of nginx's directives.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `large_client_header_buffers`: octets of a request's head, and of each line of it.
    pub head: usize,
    pub line: usize,
    /// `client_header_timeout`: for all that comes before HTTP (TLS), and for each head.
    pub client_header_timeout: Duration,
    /// `client_body_timeout`: between two reads of a request's content.
    pub client_body_timeout: Duration,
    /// `send_timeout`: between two writes.
    pub send_timeout: Duration,
    pub lingering: Lingering,
    /// `keepalive_timeout`: how long a connection may be idle. Zero: it is closed after each request.
    pub keepalive_timeout: Duration,
    /// Its second value, in seconds: what clients are told in `Keep-Alive`.
    pub keepalive_header: Option<u64>,
    /// `keepalive_requests`: on one connection.
    pub keepalive_requests: u64,
    /// `http2_max_concurrent_streams`: requests at a time on a connection of HTTP/2.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 32 << 10,
            line: 8 << 10,
            client_header_timeout: Duration::from_secs(60),
            client_body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            lingering: Lingering::default(),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_header: None,
            keepalive_requests: 10_000,
            streams: 128,
        }
    }
}

impl Options {
    /// Whether pages of an origin may have a browser send what it knows of an administrator: not of any origin where
    /// browsers have sessions. `host` is what the request calls this node, without a port.
    pub(crate) fn allows_credentials(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        self.access.gui.is_none() || !self.origins.is_empty() || self.is_own_page(origin, host)
    }

    /// Whether an origin is that of the manager of this node, on the same host.
    pub(crate) fn is_own_page(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let (Some(origin), Some(host)) = (origin, host) else { return false };
        self.pages.iter().any(|(scheme, port)| {
            let authority = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            let usual = matches!((*scheme, *port), ("http", 80) | ("https", 443));
            authority.is_some_and(|own| own == format!("{host}:{port}") || usual && own == host)
        })
    }

    pub(crate) fn limits_of(&self, interface: Interface) -> &Limits {
        match interface {
            Interface::Admin => &self.limits,
            Interface::Status => &self.status_limits,
            Interface::Manager => &self.site_limits,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_header: true,
            latency_header: true,
            dbless: false,
            control_plane: false,
            max_content: 10 * 1024 * 1024,
            origins: Vec::new(),
            pages: Vec::new(),
            hosts: Vec::new(),
            access: AccessOptions::default(),
            audit: None,
            event_hooks: true,
            limits: Limits::default(),
            status_limits: Limits::default(),
            site: None,
            site_limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::complexity::Complexity;
    use crate::access::options::{GuiAuth, SessionOptions};
    use hyper::header::HeaderName;

    #[test]
    fn only_pages_of_this_node_have_sessions() {
        let user_header = HeaderName::from_static("kong-admin-user");
        let gui = GuiAuth {
            user_header,
            attempts: 0,
            attempts_ttl: Duration::ZERO,
            complexity: Complexity::default(),
            session: SessionOptions::default(),
            provider: None,
        };
        let access = AccessOptions { gui: Some(gui), ..AccessOptions::default() };
        let options = Options { access, pages: vec![("http", 8002), ("https", 443)], ..Options::default() };
        for (origin, host, allowed) in [
            ("http://a.test:8002", "a.test", true),
            ("https://a.test", "a.test", true),
            ("http://[::1]:8002", "[::1]", true),
            ("http://evil.test:8002", "a.test", false),
            ("https://a.test:8002", "a.test", false),
            ("http://a.test:8003", "a.test", false),
            ("http://a.test", "a.test", false),
            ("null", "a.test", false),
        ] {
            assert_eq!(options.allows_credentials(Some(origin), Some(host)), allowed, "{origin}");
        }
        assert!(!options.allows_credentials(None, Some("a.test")));
    }
}

//! nginx's directives that act on requests and responses of the proxy, compiled once at the start.
//!
//! Each module is one of them (or a few that belong together), and knows neither connections nor exchanges. What is not
//! set costs nothing.

mod access_rules;
mod add_header;
mod charset;
mod compression;
mod field_names;
mod gzip;
mod hide_header;
mod limit_rate;
mod next_upstream;
mod set_header;

pub use access_rules::AccessRules;
pub use add_header::AddHeaders;
pub use charset::Charset;
pub use compression::{Accepts, Coding, Compression, Encoder};
pub use field_names::FieldNames;
pub use gzip::Gzip;
pub use hide_header::HiddenFields;
pub use limit_rate::{LimitRate, RateLimiter};
pub use next_upstream::{Failure, NextUpstream};
pub use set_header::SetHeaders;

/// All of them, as the node's settings have them.
#[derive(Clone, Debug, Default)]
pub struct Directives {
    /// `allow` and `deny`.
    pub access: AccessRules,
    /// `underscores_in_headers` and `ignore_invalid_headers`.
    pub field_names: FieldNames,
    /// `proxy_set_header`.
    pub set_header: SetHeaders,
    /// `proxy_hide_header` and `proxy_pass_header`.
    pub hidden: HiddenFields,
    /// `charset`.
    pub charset: Charset,
    /// `add_header`.
    pub add_header: AddHeaders,
    /// `gzip`, `brotli` and `zstd`.
    pub compression: Compression,
    /// `limit_rate` and `limit_rate_after`.
    pub limit_rate: Option<LimitRate>,
    /// `proxy_next_upstream`.
    pub next_upstream: NextUpstream,
}

impl Directives {
    /// Whether some of them have values that follow from the request.
    pub fn have_variables(&self) -> bool {
        self.add_header.has_variables() || !self.set_header.is_empty()
    }

    /// Whether some of them have what clients offer in TLS.
    pub fn tell_offers(&self) -> bool {
        self.add_header.tells_offers() || self.set_header.tells_offers()
    }

    /// Whether some of them need the content of requests.
    pub fn need_content(&self) -> bool {
        self.add_header.needs_content() || self.set_header.needs_content()
    }
}

/// Calls with what is known of a request with that target and of its response.
#[cfg(test)]
fn record<T>(target: &str, status: u16, use_it: impl FnOnce(&crate::access_log::Record<'_>) -> T) -> T {
    let (request, response) = (wire::Fields::new(), wire::Fields::new());
    let (peer, now) = (std::net::SocketAddr::from(([192, 0, 2, 1], 99)), crate::access_log::Stamp::default());
    use_it(&crate::access_log::Record {
        client: "192.0.2.1",
        client_port: 99,
        peer,
        local: peer,
        proxied: None,
        tls: false,
        datagrams: false,
        sni: None,
        offered: None,
        limit_rate: 0,
        server: "kong",
        connection: 1,
        connection_requests: 1,
        method: "GET",
        target,
        version: wire::Version::Http11,
        request: &request,
        kept: None,
        response: &response,
        status,
        sent: None,
        content_sent: 0,
        received: None,
        id: Some("0123"),
        elapsed: std::time::Duration::ZERO,
        tries: &[],
        since_last_try: std::time::Duration::ZERO,
        now: &now,
        exchange: &sdk::Exchange::empty(),
    })
}

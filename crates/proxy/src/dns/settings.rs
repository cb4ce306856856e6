//! The settings of the resolver: what `kong.conf` says, and where it is silent, `resolv.conf`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A kind of record to ask for, in the order of `dns_order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryType {
    /// The kind that answered last time.
    Last,
    Srv,
    A,
    Aaaa,
    Cname,
}

/// How names are resolved. The keys named are those of the classic client; `resolver_*` of the newer one set the same
/// fields.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `dns_resolver`, `resolver_address`; empty: those of `resolv_conf`.
    pub servers: Vec<SocketAddr>,
    /// `dns_hostsfile`, `resolver_hosts_file`.
    pub hosts_file: PathBuf,
    /// `/etc/resolv.conf`: servers, search list and options.
    pub resolv_conf: PathBuf,
    /// `dns_order`, `resolver_family`.
    pub order: Vec<QueryType>,
    /// Ask for SRV records of names such as `_http._tcp.example` only, as the newer client does.
    pub srv_names_only: bool,
    /// `dns_valid_ttl`, `resolver_valid_ttl`: replaces the time that records may be kept.
    pub valid_ttl: Option<Duration>,
    /// `dns_stale_ttl`, `resolver_stale_ttl`: how long records are used after that while newer ones cannot be had.
    pub stale_ttl: Duration,
    /// `dns_not_found_ttl`: how long "no such name" is remembered.
    pub not_found_ttl: Duration,
    /// `dns_error_ttl`, `resolver_error_ttl`: how long any other failure is remembered.
    pub error_ttl: Duration,
    /// `dns_cache_size`, `resolver_lru_cache_size`: how many names are remembered.
    pub cache_size: usize,
    /// `dns_no_sync`: requests that miss the same name each ask for it.
    pub no_sync: bool,
}

impl Settings {
    /// An entry of `dns_resolver`: an address with or without a port (53).
    pub fn server(text: &str) -> Result<SocketAddr, String> {
        let text = text.trim();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).map_err(|_| format!("invalid name server: {text}"))
    }

    /// The entries of `dns_order` or `resolver_family`.
    pub fn kinds<S: AsRef<str>>(names: &[S]) -> Result<Vec<QueryType>, String> {
        let kind = |name: &S| match name.as_ref().trim().to_ascii_uppercase().as_str() {
            "LAST" => Ok(QueryType::Last),
            "SRV" => Ok(QueryType::Srv),
            "A" => Ok(QueryType::A),
            "AAAA" => Ok(QueryType::Aaaa),
            "CNAME" => Ok(QueryType::Cname),
            other => Err(format!("invalid record type: {other}")),
        };
        names.iter().map(kind).collect()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            servers: Vec::new(),
            hosts_file: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            order: vec![QueryType::Last, QueryType::Srv, QueryType::A, QueryType::Cname],
            srv_names_only: false,
            valid_ttl: None,
            stale_ttl: Duration::from_secs(3600),
            not_found_ttl: Duration::from_secs(30),
            error_ttl: Duration::from_secs(1),
            cache_size: 10_000,
            no_sync: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_orders_are_read_as_written_in_the_settings() {
        assert_eq!(Settings::server("127.0.0.1").unwrap().to_string(), "127.0.0.1:53");
        assert_eq!(Settings::server("127.0.0.1:5353").unwrap().to_string(), "127.0.0.1:5353");
        assert_eq!(Settings::server("[::1]").unwrap().to_string(), "[::1]:53");
        assert_eq!(Settings::server("[::1]:54").unwrap().to_string(), "[::1]:54");
        assert!(Settings::server("dns.example").is_err());
        assert_eq!(Settings::kinds(&["LAST", "srv", "A"]).unwrap(), [QueryType::Last, QueryType::Srv, QueryType::A]);
        assert!(Settings::kinds(&["MX"]).is_err());
    }
}

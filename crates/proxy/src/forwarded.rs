//! Who the client is, and what the service is told about it: trusted proxies, `X-Real-IP` and `X-Forwarded-*`.
//!
//! The address rules are those of nginx's realip module, which Kong relies on; the rest is Kong's.

use crate::path;
use model::address::{Cidr, CidrSet};
use smallvec::SmallVec;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use wire::net::LOCAL;
use wire::{Fields, Known};

/// What a host is called to services when the client named none.
const NO_HOST: &[u8] = b"kong";

/// The lines that tell a service about the client.
const OWN: [Known; 7] = [
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPath,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
    Known::XForwardedProto,
    Known::XRealIp,
];

/// What a client is called who has come by a socket in the file system, and how settings name all of them.
const LOCAL_NAME: &[u8] = b"unix:";

/// The longest address in text: eight groups of four digits, with colons.
const MAX_TEXT: usize = 39;

/// Whose word about the client counts (`trusted_ips`, `real_ip_header`, `real_ip_recursive`).
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: CidrSet,
    /// Others that may tell the client's address, but nothing else.
    real_ip_from: CidrSet,
    /// The same for streams.
    of_streams: CidrSet,
    header: RealIpHeader,
    recursive: bool,
    /// Whether clients who come by a socket in the file system are trusted.
    local: bool,
    /// Whether they may tell the client's address of requests, and of streams.
    local_names: (bool, bool),
}

/// An address with its text, made once per connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    ip: IpAddr,
    port: u16,
    text: [u8; MAX_TEXT],
    len: usize,
}

/// What the gateway knows about a request from its connection and its route.
pub struct Forwarded<'a> {
    /// The other end of the connection.
    pub peer: &'a Address,
    /// The client: the peer, or whom a trusted peer names.
    pub client: &'a Address,
    /// Whether the peer is trusted, so that what it says in `X-Forwarded-*` is passed on.
    pub trusted: bool,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The port that the client reached (after `port_maps`).
    pub port: u16,
    /// The path as the client sent it, without query.
    pub path: &'a str,
    /// The part of the path that is cut off before it goes to the service.
    pub prefix: Option<&'a str>,
}

/// Where a trusted proxy tells the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum RealIpHeader {
    #[default]
    RealIp,
    ForwardedFor,
    ProxyProtocol,
    Other(String),
}

impl TrustedProxies {
    /// From the settings: addresses or CIDR blocks (`unix:` stands for sockets in the file system), the name of a
    /// header or `proxy_protocol`, and whether trusted addresses in the header are skipped.
    pub fn new(trusted_ips: &[String], real_ip_header: &str, recursive: bool) -> Result<TrustedProxies, String> {
        let networks = networks("trusted_ips", trusted_ips)?;
        let header = match real_ip_header {
            "proxy_protocol" => RealIpHeader::ProxyProtocol,
            name => match Known::of(name.as_bytes()) {
                Known::XRealIp => RealIpHeader::RealIp,
                Known::XForwardedFor => RealIpHeader::ForwardedFor,
                _ => RealIpHeader::Other(name.to_owned()),
            },
        };
        let local = trusted_ips.iter().any(|ip| ip.as_bytes() == LOCAL_NAME);
        let none = CidrSet::default;
        let (real_ip_from, of_streams, local_names) = (none(), none(), (false, false));
        Ok(TrustedProxies { networks, real_ip_from, of_streams, header, recursive, local, local_names })
    }

    /// Lets others tell the client's address too (`set_real_ip_from`): of requests, and of streams.
    pub fn with_real_ip_from(self, requests: &[String], streams: &[String]) -> Result<TrustedProxies, String> {
        let networks = |texts| networks("set_real_ip_from", texts);
        let names_local = |texts: &[String]| texts.iter().any(|text| text.as_bytes() == LOCAL_NAME);
        let local_names = (names_local(requests), names_local(streams));
        Ok(TrustedProxies { real_ip_from: networks(requests)?, of_streams: networks(streams)?, local_names, ..self })
    }

    /// Whether the other end of a stream may tell the client's address, by the PROXY protocol.
    pub fn peer_names_clients_of_streams(&self, peer: &Address) -> bool {
        match peer.is_local() {
            true => self.local || self.local_names.1,
            false => self.trusts(peer.ip) || self.of_streams.contains(peer.ip.to_canonical()),
        }
    }

    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        !self.networks.is_empty() && self.networks.contains(ip.to_canonical())
    }

    /// Whether the other end of a connection is a trusted proxy.
    pub fn trusts_peer(&self, peer: &Address) -> bool {
        if peer.is_local() { self.local } else { self.trusts(peer.ip) }
    }

    /// Whether the other end of a connection may tell the client's address.
    fn peer_names_clients(&self, peer: &Address) -> bool {
        if peer.is_local() { self.local || self.local_names.0 } else { self.names_clients(peer.ip) }
    }

    /// Whether an address may tell that of the client.
    fn names_clients(&self, ip: IpAddr) -> bool {
        self.trusts(ip) || !self.real_ip_from.is_empty() && self.real_ip_from.contains(ip.to_canonical())
    }

    /// The client of a request, when it is not the peer itself. `proxied` is the source that the PROXY protocol named.
    pub fn client(&self, peer: &Address, proxied: Option<SocketAddr>, fields: &Fields) -> Option<Address> {
        if !self.peer_names_clients(peer) {
            return None;
        }
        let found = match &self.header {
            RealIpHeader::ProxyProtocol => proxied,
            RealIpHeader::RealIp => self.last_address(fields.known(Known::XRealIp)?).0,
            RealIpHeader::ForwardedFor => self.forwarded_for(fields),
            RealIpHeader::Other(name) => self.last_address(fields.get(name)?).0,
        };
        found.map(Address::new)
    }

    /// Goes through the lines of `X-Forwarded-For` from the last to the first; only the last one when not recursive.
    fn forwarded_for(&self, fields: &Fields) -> Option<SocketAddr> {
        let lines: SmallVec<[&[u8]; 4]> = fields.known_all(Known::XForwardedFor).collect();
        let mut client = None;
        for line in lines.iter().rev() {
            let (found, more) = self.last_address(line);
            client = found.or(client);
            if !more || !self.recursive {
                break;
            }
        }
        client
    }

    /// The last address of a list; when recursive, the last one that is not trusted, or the first. Also says
    /// whether the list was read to its start without meeting the client.
    fn last_address(&self, list: &[u8]) -> (Option<SocketAddr>, bool) {
        let mut client = None;
        let items = list.rsplit(|&b| b == b',' || b == b' ').filter(|item| !item.is_empty());
        for item in items {
            let Some(address) = std::str::from_utf8(item).ok().and_then(parse_address) else { return (client, false) };
            client = Some(address);
            if !self.recursive || !self.names_clients(address.ip()) {
                return (client, false);
            }
        }
        (client, client.is_some())
    }
}

impl Address {
    /// That of a client who has come by a socket in the file system, called as in nginx.
    pub fn local() -> Address {
        let mut text = [0; MAX_TEXT];
        text[..LOCAL_NAME.len()].copy_from_slice(LOCAL_NAME);
        Address { ip: LOCAL.ip(), port: LOCAL.port(), text, len: LOCAL_NAME.len() }
    }

    fn is_local(&self) -> bool {
        self.bytes() == LOCAL_NAME
    }

    /// An address; one of IPv4 inside IPv6 counts as of IPv4.
    pub fn new(address: SocketAddr) -> Address {
        let ip = address.ip().to_canonical();
        let mut text = [0; MAX_TEXT];
        let mut rest = &mut text[..];
        // No address is longer than the buffer, so that nothing fails.
        let _ = match ip {
            // For every connection: the formatter takes ten times as long.
            IpAddr::V4(ip) => ip.octets().iter().enumerate().try_for_each(|(index, octet)| {
                rest.write_all(if index > 0 { b"." } else { b"" })?;
                rest.write_all(itoa::Buffer::new().format(*octet).as_bytes())
            }),
            IpAddr::V6(ip) => write!(rest, "{ip}"),
        };
        let len = MAX_TEXT - rest.len();
        Address { ip, port: address.port(), text, len }
    }

    /// The IP address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port; 0 when a proxy did not tell it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Both.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// The IP address as text.
    pub fn as_str(&self) -> &str {
        // It was written from a string.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

impl Forwarded<'_> {
    /// Writes the lines that tell the service about the client, in place of the client's own where these are not
    /// trusted. `Host` must still be the client's. `lines` is what [`lines`] made, when the
    /// client is the peer; `scratch` is memory to use again.
    pub fn write(&self, fields: &mut Fields, lines: Option<&Fields>, scratch: &mut Vec<u8>) {
        if let Some(lines) = lines.filter(|_| !fields.may_have(&OWN)) {
            fields.append_all(lines);
            scratch.clear();
            host_name(fields, scratch);
            fields.append_known(Known::XForwardedHost, scratch);
            set_path(fields, Known::XForwardedPath, self.path);
            if let Some(prefix) = self.prefix.filter(|p| *p != "/") {
                set_path(fields, Known::XForwardedPrefix, prefix);
            }
            return;
        }
        if !self.keeps(fields, Known::XForwardedProto) {
            fields.set_known(Known::XForwardedProto, if self.tls { b"https" } else { b"http" });
        }
        if !self.keeps(fields, Known::XForwardedHost) {
            scratch.clear();
            host_name(fields, scratch);
            fields.set_known(Known::XForwardedHost, scratch);
        }
        if !self.keeps(fields, Known::XForwardedPort) {
            fields.set_known(Known::XForwardedPort, itoa::Buffer::new().format(self.port).as_bytes());
        }
        if !self.keeps(fields, Known::XForwardedPath) {
            set_path(fields, Known::XForwardedPath, self.path);
        }
        if !self.keeps(fields, Known::XForwardedPrefix) {
            match self.prefix {
                Some(prefix) if prefix != "/" => set_path(fields, Known::XForwardedPrefix, prefix),
                _ => {
                    fields.remove_known(Known::XForwardedPrefix);
                }
            }
        }
        match fields.known(Known::XForwardedFor) {
            None => fields.set_known(Known::XForwardedFor, self.client.bytes()),
            Some(so_far) => {
                scratch.clear();
                scratch.extend_from_slice(so_far);
                scratch.extend_from_slice(b", ");
                scratch.extend_from_slice(self.peer.bytes());
                fields.set_known(Known::XForwardedFor, scratch);
            }
        }
        fields.set_known(Known::XRealIp, self.client.bytes());
    }

    /// Whether what the peer says in a line goes on; then there is just one such line, and none if it was empty.
    fn keeps(&self, fields: &mut Fields, name: Known) -> bool {
        if !self.trusted {
            return false;
        }
        let mut lines = fields.known_all(name);
        let Some(first) = lines.next() else { return false };
        let (empty, several) = (first.is_empty(), lines.next().is_some());
        drop(lines);
        if empty {
            fields.remove_known(name);
        } else if several {
            let first = fields.known(name).map(<[u8]>::to_vec).unwrap_or_default();
            fields.set_known(name, &first);
        }
        true
    }
}

/// The lines of a connection that are the same for all requests on which nobody has said anything yet.
pub fn lines(peer: &Address, tls: bool, port: u16) -> Fields {
    // As many octets as the lines of most addresses have: each connection holds them.
    let mut lines = Fields::with_capacity(4, 128);
    lines.append_known(Known::XForwardedFor, peer.bytes());
    lines.append_known(Known::XForwardedProto, if tls { b"https" } else { b"http" });
    lines.append_known(Known::XForwardedPort, itoa::Buffer::new().format(port).as_bytes());
    lines.append_known(Known::XRealIp, peer.bytes());
    lines
}

/// Whether a request counts as https: sent over TLS, or a trusted peer says so.
pub fn is_https(trusted: bool, tls: bool, fields: &Fields) -> bool {
    match fields.known(Known::XForwardedProto) {
        Some(proto) if trusted => proto.eq_ignore_ascii_case(b"https"),
        _ => tls,
    }
}

/// The host that the client used: what a trusted peer says, else `Host` in lower case without port.
pub fn host(trusted: bool, fields: &Fields) -> Vec<u8> {
    let mut name = Vec::new();
    match fields.known(Known::XForwardedHost) {
        Some(host) if trusted => name.extend_from_slice(host),
        _ => host_name(fields, &mut name),
    }
    name
}

/// The networks of a setting; `unix:` stands for local sockets and is not needed here.
fn networks(setting: &str, texts: &[String]) -> Result<CidrSet, String> {
    let parse =
        |text: &String| Cidr::parse(text).ok_or_else(|| format!("{setting}: '{text}' is no address or CIDR block"));
    texts.iter().filter(|text| *text != "unix:").map(parse).collect()
}

/// An address with or without port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(|ip| SocketAddr::new(ip, 0)).ok().or_else(|| text.parse().ok())
}

/// The host that the client named, in lower case, without port and final dot.
fn host_name(fields: &Fields, out: &mut Vec<u8>) {
    let host = fields.known(Known::Host).unwrap_or_default();
    let end = match host.first() {
        Some(b'[') => memchr::memchr(b']', host).map_or(host.len(), |at| at + 1),
        _ => memchr::memchr(b':', host).unwrap_or(host.len()),
    };
    let host = &host[..end];
    match host.strip_suffix(b".").unwrap_or(host) {
        b"" => out.extend_from_slice(NO_HOST),
        host => {
            let start = out.len();
            out.extend_from_slice(host);
            out[start..].make_ascii_lowercase();
        }
    }
}

/// A decoded path may have bytes that no field value may have.
fn set_path(fields: &mut Fields, name: Known, path: &str) {
    if Fields::is_valid_value(path.as_bytes()) {
        fields.set_known(name, path.as_bytes());
    } else {
        let mut escaped = String::new();
        path::escape(path, &mut escaped);
        fields.set_known(name, escaped.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(trusted: &[&str], header: &str, recursive: bool) -> TrustedProxies {
        let trusted: Vec<_> = trusted.iter().map(|s| s.to_string()).collect();
        TrustedProxies::new(&trusted, header, recursive).unwrap()
    }

    fn address(ip: &str) -> Address {
        Address::new(SocketAddr::new(ip.parse().unwrap(), 1234))
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        lines.iter().copied().collect()
    }

    #[test]
    fn addresses_are_written_as_usual() {
        for ip in ["0.0.0.0", "127.0.0.1", "192.0.2.199", "255.255.255.255", "::1", "2001:db8::ff00:42:8329"] {
            assert_eq!(address(ip).as_str(), ip);
        }
        assert_eq!(address("::ffff:10.0.0.1").as_str(), "10.0.0.1");
    }

    #[test]
    fn sockets_in_the_file_system_are_trusted_by_name() {
        let local = Address::local();
        assert_eq!(local.as_str(), "unix:");
        assert!(proxies(&["unix:"], "X-Real-IP", false).trusts_peer(&local));
        assert!(!proxies(&["0.0.0.0/0"], "X-Real-IP", false).trusts_peer(&local));
        assert!(!proxies(&["unix:"], "X-Real-IP", false).trusts_peer(&address("0.0.0.0")));
    }

    #[test]
    fn blocks_have_families_and_lengths() {
        let trust = proxies(&["10.0.0.0/8", "192.0.2.7", "fd00::/9", "::/0", "unix:"], "X-Real-IP", false);
        for (ip, trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd7f::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:11.0.0.1", false),
        ] {
            assert_eq!(trust.trusts(ip.parse().unwrap()), trusted, "{ip}");
        }
        assert!(proxies(&["0.0.0.0/0"], "X-Real-IP", false).trusts("1.2.3.4".parse().unwrap()));
        assert!(!proxies(&[], "X-Real-IP", false).trusts("1.2.3.4".parse().unwrap()));
        for bad in ["10.0.0.0/33", "x", "::/129", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(TrustedProxies::new(&[bad.to_string()], "X-Real-IP", false).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_client_is_whom_trusted_proxies_name() {
        let local = &["127.0.0.0/8"];
        let client = |trust: &TrustedProxies, peer: &str, lines: &[(&str, &str)]| {
            trust
                .client(&address(peer), Some("7.7.7.7:70".parse().unwrap()), &fields(lines))
                .map(|a| (a.as_str().to_owned(), a.port()))
        };
        let named = |ip: &str, port| Some((ip.to_owned(), port));
        let real = proxies(local, "x-real-ip", false);
        assert_eq!(client(&real, "127.0.0.1", &[("X-Real-IP", "1.1.1.1:5")]), named("1.1.1.1", 5));
        assert_eq!(client(&real, "10.0.0.1", &[("X-Real-IP", "1.1.1.1")]), None);
        assert_eq!(client(&real, "127.0.0.1", &[]), None);
        assert_eq!(client(&proxies(local, "proxy_protocol", false), "127.0.0.1", &[]), named("7.7.7.7", 70));
        assert_eq!(
            client(&proxies(local, "CF-IP", false), "127.0.0.1", &[("cf-ip", "2001:db8::1")]),
            named("2001:db8::1", 0)
        );

        let (last, recursive) = (proxies(local, "X-Forwarded-For", false), proxies(local, "X-Forwarded-For", true));
        for (value, in_last, in_recursive) in [
            ("10.1.1.1", Some("10.1.1.1"), Some("10.1.1.1")),
            ("10.1.1.1, 127.0.0.9", Some("127.0.0.9"), Some("10.1.1.1")),
            ("127.0.0.8 ,127.0.0.9, ", Some("127.0.0.9"), Some("127.0.0.8")),
            ("9.9.9.9, 10.1.1.1, 127.0.0.9", Some("127.0.0.9"), Some("10.1.1.1")),
            ("garbage", None, None),
            ("1.1.1.1, garbage, 127.0.0.9", Some("127.0.0.9"), Some("127.0.0.9")),
            ("[2001:db8::1]:80", Some("2001:db8::1"), Some("2001:db8::1")),
            ("", None, None),
        ] {
            let got = |trust| client(trust, "127.0.0.1", &[("X-Forwarded-For", value)]).map(|(ip, _)| ip);
            assert_eq!(got(&last).as_deref(), in_last, "{value}");
            assert_eq!(got(&recursive).as_deref(), in_recursive, "{value}");
        }
        let lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "127.0.0.2")];
        assert_eq!(client(&recursive, "127.0.0.1", &lines), named("1.1.1.1", 0));
        assert_eq!(client(&last, "127.0.0.1", &lines), named("127.0.0.2", 0));
    }

    #[test]
    fn others_may_tell_the_address_alone() {
        let other = proxies(&["127.0.0.0/8"], "X-Real-IP", false)
            .with_real_ip_from(&["10.0.0.0/8".to_owned(), "unix:".to_owned()], &["12.0.0.0/8".to_owned()])
            .unwrap();
        let named = |peer| other.client(&address(peer), None, &fields(&[("X-Real-IP", "1.1.1.1")])).is_some();
        assert!(named("127.0.0.1"));
        assert!(named("10.0.0.1"));
        assert!(!named("11.0.0.1"));
        assert!(!other.trusts("10.0.0.1".parse().unwrap()));
        let of_streams = |peer| other.peer_names_clients_of_streams(&address(peer));
        assert!(of_streams("127.0.0.1") && of_streams("12.0.0.1"));
        assert!(!of_streams("10.0.0.1") && !named("12.0.0.1"));
        let local = Address::local();
        assert!(other.client(&local, None, &fields(&[("X-Real-IP", "1.1.1.1")])).is_some());
        assert!(!other.peer_names_clients_of_streams(&local) && !other.trusts_peer(&local));
    }

    fn written(trusted: bool, tls: bool, prefix: Option<&str>, lines: &[(&str, &str)]) -> Vec<(String, String)> {
        let (peer, client) = (address("127.0.0.1"), address(if trusted { "10.1.1.1" } else { "127.0.0.1" }));
        let mut fields = fields(lines);
        let forwarded = Forwarded { peer: &peer, client: &client, trusted, tls, port: 8000, path: "/a/x", prefix };
        let prepared = super::lines(&peer, tls, 8000);
        forwarded.write(&mut fields, (!trusted).then_some(&prepared), &mut Vec::new());
        let mut out: Vec<_> = fields
            .iter()
            .filter(|(n, _)| n.starts_with("X-"))
            .map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v).into_owned()))
            .collect();
        out.sort();
        out
    }

    fn expected(values: [&str; 7]) -> Vec<(String, String)> {
        let names = [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Path",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Proto",
            "X-Real-IP",
        ];
        let lines = names.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn an_untrusted_peer_is_not_believed() {
        let lines = [
            ("Host", "A.test.:1234"),
            ("X-Forwarded-For", "10.1.1.1"),
            ("X-Forwarded-For", "10.1.1.2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Port", "9999"),
            ("X-Forwarded-Path", "/evil"),
            ("X-Forwarded-Prefix", "/pre"),
            ("X-Real-IP", "10.2.2.2"),
        ];
        assert_eq!(
            written(false, false, Some("/a"), &lines),
            expected(["10.1.1.1, 127.0.0.1", "a.test", "/a/x", "8000", "/a", "http", "127.0.0.1"])
        );
        assert_eq!(
            written(false, true, Some("/"), &lines[..1]),
            expected(["127.0.0.1", "a.test", "/a/x", "8000", "", "https", "127.0.0.1"])
        );
        assert_eq!(
            written(false, false, None, &[]),
            expected(["127.0.0.1", "kong", "/a/x", "8000", "", "http", "127.0.0.1"])
        );
        assert_eq!(written(false, false, Some("/a\r\nX: y"), &[("Host", "[::1]:80")])[4].1, "/a%0D%0AX:%20y");
    }

    #[test]
    fn a_trusted_peer_is_believed() {
        let lines = [
            ("Host", "a.test"),
            ("X-Forwarded-For", "10.1.1.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "front.test"),
            ("X-Forwarded-Host", "other.test"),
            ("X-Forwarded-Port", "9999"),
            ("X-Forwarded-Path", "/front"),
            ("X-Forwarded-Prefix", "/pre"),
        ];
        let values = ["10.1.1.1, 127.0.0.1", "front.test", "/front", "9999", "/pre", "https", "10.1.1.1"];
        assert_eq!(written(true, false, Some("/a"), &lines), expected(values));
        assert_eq!(
            written(true, false, Some("/a"), &lines[..1]),
            expected(["10.1.1.1", "a.test", "/a/x", "8000", "/a", "http", "10.1.1.1"])
        );
        assert_eq!(host(true, &fields(&lines)), b"front.test".to_vec());
        assert_eq!(host(false, &fields(&lines)), b"a.test".to_vec());
        assert!(is_https(true, false, &fields(&lines)) && !is_https(false, false, &fields(&lines)));
        assert!(
            is_https(false, true, &fields(&[])) && !is_https(true, true, &fields(&[("X-Forwarded-Proto", "http")]))
        );
    }
}

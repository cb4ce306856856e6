//! Addresses to listen on, with nginx's flags.

use super::value;
use proxy::listener::{ListenAddress, SocketOptions, TcpKeepalive};
use serde_json::{Map, Value, json};
use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

/// One entry of a `*_listen` setting.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listener {
    /// An address (IPv6 in brackets), a name, or `unix:` and a path.
    pub host: String,
    /// 0 lets the system choose; of paths, too.
    pub port: u16,
    pub ssl: bool,
    /// Datagrams instead of connections; of streams only.
    pub udp: bool,
    pub http2: bool,
    /// HTTP/3 over datagrams instead of connections; of the proxy only.
    pub quic: bool,
    pub proxy_protocol: bool,
    pub deferred: bool,
    pub bind: bool,
    pub reuseport: bool,
    pub backlog: Option<u32>,
    pub ipv6only: Option<bool>,
    /// `on`, `off` or `idle:interval:count`.
    pub so_keepalive: Option<String>,
}

/// The setting with flags of its own.
const STREAMS: &str = "stream_listen";
/// The one with `quic` among them.
const PROXY: &str = "proxy_listen";
/// The longest times and the most probes that the kernel takes (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
const MAX_KEEPALIVE: (Duration, u32) = (Duration::from_secs(32_767), 127);

/// The entries of a setting; `off` as the first one stands for none.
pub fn parse(setting: &str, entries: &[String]) -> Result<Vec<Listener>, String> {
    match entries.first().map(|first| first.trim()) {
        None => Err(usage(setting)),
        Some("off") => Ok(Vec::new()),
        Some(_) => {
            let listeners: Vec<Listener> = entries
                .iter()
                .map(|entry| Listener::parse(setting, entry).ok_or_else(|| usage(setting)))
                .collect::<Result<_, _>>()?;
            listeners.iter().try_for_each(|listener| listener.check().map_err(|why| format!("{setting}: {why}")))?;
            Ok(listeners)
        }
    }
}

/// What is wrong with listeners in one node: several that are at the same address.
pub fn duplicates(settings: &[(&str, &[Listener])]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut seen: Vec<(&str, &Listener)> = Vec::new();
    for (setting, listener) in settings.iter().flat_map(|(s, list)| list.iter().map(move |l| (*s, l))) {
        let same = |(_, other): &&(&str, &Listener)| {
            (listener.port != 0 || listener.path().is_some())
                && (other.port, &other.host) == (listener.port, &listener.host)
                && other.takes_datagrams() == listener.takes_datagrams()
        };
        match seen.iter().find(same) {
            Some((first, _)) if *first == setting => {
                errors.push(format!("{setting}: {} is listed twice", listener.address()));
            }
            Some((first, _)) => {
                errors.push(format!("{setting}: {} is in {first} too", listener.address()));
            }
            None => seen.push((setting, listener)),
        }
    }
    errors
}

impl Listener {
    fn parse(setting: &str, entry: &str) -> Option<Listener> {
        let mut listener = Listener::default();
        let mut words = entry.split_whitespace();
        let address = words.next()?;
        for word in words {
            match word.split_once('=') {
                None => *listener.flag(setting, word)? = true,
                Some(("backlog", number)) => listener.backlog = Some(number.parse().ok()?),
                Some(("ipv6only", "on")) => listener.ipv6only = Some(true),
                Some(("ipv6only", "off")) => listener.ipv6only = Some(false),
                Some(("so_keepalive", value)) if value == "on" || value == "off" || value.split(':').count() == 3 => {
                    listener.so_keepalive = Some(value.to_owned());
                }
                Some(_) => return None,
            }
        }
        if let Some(path) = address.strip_prefix("unix:") {
            listener.host = address.to_owned();
            return path.starts_with('/').then_some(listener);
        }
        let (host, port) = address.rsplit_once(':')?;
        listener.port = port.parse().ok()?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match bare {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        listener.host = host.to_owned();
        valid.then_some(listener)
    }

    fn flag(&mut self, setting: &str, word: &str) -> Option<&mut bool> {
        match word {
            "ssl" => Some(&mut self.ssl),
            "udp" if setting == STREAMS => Some(&mut self.udp),
            "http2" | "deferred" if setting == STREAMS => None,
            "quic" if setting == PROXY => Some(&mut self.quic),
            "http2" => Some(&mut self.http2),
            "proxy_protocol" => Some(&mut self.proxy_protocol),
            "deferred" => Some(&mut self.deferred),
            "bind" => Some(&mut self.bind),
            "reuseport" => Some(&mut self.reuseport),
            _ => None,
        }
    }

    /// The values of flags, as nginx checks them.
    fn check(&self) -> Result<(), String> {
        if self.backlog == Some(0) {
            return Err("invalid backlog \"backlog=0\"".to_owned());
        }
        if self.udp && (self.ssl || self.proxy_protocol) {
            return Err("datagrams (udp) have neither TLS (ssl) nor the PROXY protocol (proxy_protocol)".to_owned());
        }
        let of_tcp = self.takes_datagrams() || self.ipv6only.is_some() || self.so_keepalive.is_some();
        if self.path().is_some() && of_tcp {
            return Err(format!("{}: a path has neither udp nor quic nor ipv6only nor so_keepalive", self.host));
        }
        // As nginx: QUIC has TLS of its own, and HTTP/3 is no version of what comes over connections.
        for (flag, set) in [
            ("ssl", self.ssl),
            ("http2", self.http2),
            ("proxy_protocol", self.proxy_protocol),
            ("deferred", self.deferred),
            ("so_keepalive", self.so_keepalive.is_some()),
            ("backlog", self.backlog.is_some()),
        ] {
            if self.quic && set {
                return Err(format!("\"{flag}\" is incompatible with \"quic\""));
            }
        }
        self.keepalive().map(|_| ())
    }

    /// Where it is in the file system, if it is there.
    pub fn path(&self) -> Option<&str> {
        self.host.strip_prefix("unix:")
    }

    /// As it is written, without flags.
    pub fn address(&self) -> String {
        if self.path().is_some() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether datagrams come in, and no connections.
    fn takes_datagrams(&self) -> bool {
        self.udp || self.quic
    }

    /// Whether clients are shown a certificate.
    pub fn is_secure(&self) -> bool {
        self.ssl || self.quic
    }

    fn keepalive(&self) -> Result<Option<TcpKeepalive>, String> {
        let Some(text) = self.so_keepalive.as_deref() else { return Ok(None) };
        let wrong = || format!("invalid so_keepalive value: \"{text}\"");
        let time = |text: &str| -> Result<Option<Duration>, String> {
            if text.is_empty() {
                return Ok(None);
            }
            let time = value::time("", text).map_err(|_| wrong())?.min(MAX_KEEPALIVE.0);
            // None at all stands for the system's own.
            Ok((!time.is_zero()).then_some(time))
        };
        let (idle, interval, count) = match text.split(':').collect::<Vec<_>>()[..] {
            ["off"] => return Ok(Some(TcpKeepalive::Off)),
            ["on"] => (None, None, None),
            [idle, interval, count] => {
                let count = if count.is_empty() { 0 } else { count.parse::<u32>().map_err(|_| wrong())? };
                let all = (time(idle)?, time(interval)?, (count > 0).then_some(count.min(MAX_KEEPALIVE.1)));
                if all == (None, None, None) {
                    return Err(wrong());
                }
                all
            }
            _ => return Err(wrong()),
        };
        Ok(Some(TcpKeepalive::On { idle, interval, count }))
    }

    /// How its sockets are made.
    pub fn socket(&self) -> SocketOptions {
        let usual = SocketOptions::default();
        SocketOptions {
            backlog: self.backlog.unwrap_or(usual.backlog),
            ipv6_only: self.ipv6only.unwrap_or(usual.ipv6_only),
            // It was checked when it was read.
            keepalive: self.keepalive().unwrap_or_default(),
            reuse_port: self.reuseport,
        }
    }

    /// The addresses that the host stands for.
    pub fn addresses(&self) -> io::Result<Vec<ListenAddress>> {
        if let Some(path) = self.path() {
            return Ok(vec![ListenAddress::Unix(path.into())]);
        }
        let addresses = (self.host.trim_matches(['[', ']']), self.port).to_socket_addrs()?;
        let addresses: Vec<ListenAddress> = addresses.map(ListenAddress::Ip).collect();
        if addresses.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "no such host")) } else { Ok(addresses) }
    }

    /// As `GET /` shows it in `stream_listeners`.
    pub fn describe_stream(&self) -> Value {
        let mut shown = self.describe();
        if let Some(shown) = shown.as_object_mut() {
            shown.retain(|flag, _| !["http2", "deferred"].contains(&flag.as_str()));
            shown.insert("udp".to_owned(), json!(self.udp));
        }
        shown
    }

    /// As `GET /` shows it in the other `*_listeners`: every flag by name.
    pub fn describe(&self) -> Value {
        let mut shown = Map::new();
        // Kong calls flags with a value by the value, or by its pattern when they are not given.
        let backlog = self.backlog.map_or("backlog=%d+".to_owned(), |n| format!("backlog={n}"));
        shown.insert(backlog.clone(), json!(self.backlog.is_some()));
        for (flag, set) in [("bind", self.bind), ("deferred", self.deferred), ("http2", self.http2)] {
            shown.insert(flag.to_owned(), json!(set));
        }
        if self.quic {
            shown.insert("quic".to_owned(), json!(true));
        }
        shown.insert("ip".to_owned(), json!(self.host));
        shown.insert("ipv6only=off".to_owned(), json!(self.ipv6only == Some(false)));
        shown.insert("ipv6only=on".to_owned(), json!(self.ipv6only == Some(true)));
        shown.insert("listener".to_owned(), json!(self.text()));
        shown.insert("port".to_owned(), json!(self.path().is_none().then_some(self.port)));
        shown.insert("proxy_protocol".to_owned(), json!(self.proxy_protocol));
        shown.insert("reuseport".to_owned(), json!(self.reuseport));
        let keepalive = self.so_keepalive.as_deref();
        let intervals = keepalive.filter(|k| k.contains(':'));
        shown.insert(
            intervals.map_or("so_keepalive=%w*:%w*:%d*".to_owned(), |k| format!("so_keepalive={k}")),
            json!(intervals.is_some()),
        );
        shown.insert("so_keepalive=off".to_owned(), json!(keepalive == Some("off")));
        shown.insert("so_keepalive=on".to_owned(), json!(keepalive == Some("on")));
        shown.insert("ssl".to_owned(), json!(self.ssl));
        Value::Object(shown)
    }

    /// Address and flags in nginx's syntax (which has no `http2` flag any more).
    fn text(&self) -> String {
        let mut text = self.address();
        let flags = [
            (self.udp, "udp"),
            (self.ssl, "ssl"),
            (self.quic, "quic"),
            (self.proxy_protocol, "proxy_protocol"),
            (self.deferred, "deferred"),
            (self.bind, "bind"),
            (self.reuseport, "reuseport"),
        ];
        for (_, flag) in flags.iter().filter(|(set, _)| *set) {
            text.push(' ');
            text.push_str(flag);
        }
        if let Some(backlog) = self.backlog {
            text.push_str(&format!(" backlog={backlog}"));
        }
        if let Some(only) = self.ipv6only {
            text.push_str(if only { " ipv6only=on" } else { " ipv6only=off" });
        }
        if let Some(keepalive) = &self.so_keepalive {
            text.push_str(&format!(" so_keepalive={keepalive}"));
        }
        text
    }
}

fn usage(setting: &str) -> String {
    let flags = match setting {
        STREAMS => "[udp] [ssl] [proxy_protocol] [bind] [reuseport]",
        PROXY => "[ssl] [http2] [quic] [proxy_protocol] [deferred] [bind] [reuseport]",
        _ => "[ssl] [http2] [proxy_protocol] [deferred] [bind] [reuseport]",
    };
    format!(
        "{setting} must be of form: [off] | <ip>:<port> {flags} [backlog=%d+] [ipv6only=on] \
         [ipv6only=off] [so_keepalive=on] [so_keepalive=off] \
         [so_keepalive=%w*:%w*:%d*], [... next entry ...]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(entry: &str) -> Result<Listener, String> {
        parse("proxy_listen", &[entry.to_owned()]).map(|mut l| l.remove(0))
    }

    #[test]
    fn flags() {
        let listener = one("0.0.0.0:8443 http2 ssl reuseport backlog=16384").unwrap();
        assert!(listener.ssl && listener.http2 && listener.reuseport && !listener.bind);
        assert_eq!(listener.host.as_str(), "0.0.0.0");
        assert_eq!(listener.port, 8443);
        assert_eq!(listener.backlog, Some(16384));
        assert_eq!(listener.describe()["listener"], "0.0.0.0:8443 ssl reuseport backlog=16384");
        assert_eq!(listener.describe()["backlog=16384"], true);
        let v6 = one("[::1]:8000 ipv6only=on so_keepalive=30m::10").unwrap();
        assert_eq!(v6.addresses().unwrap(), [ListenAddress::Ip("[::1]:8000".parse().unwrap())]);
        assert_eq!(v6.describe()["so_keepalive=30m::10"], true);
    }

    #[test]
    fn paths() {
        let listener = one("unix:/run/bascule.sock ssl backlog=9").unwrap();
        assert_eq!(listener.addresses().unwrap(), [ListenAddress::Unix("/run/bascule.sock".into())]);
        assert_eq!(listener.describe()["listener"], "unix:/run/bascule.sock ssl backlog=9");
        assert_eq!(listener.describe()["port"], Value::Null);
        for entry in ["unix:", "unix:run.sock", "unix:/a so_keepalive=on", "unix:/a ipv6only=on"] {
            assert!(one(entry).is_err(), "{entry}");
        }
        let listeners = [one("unix:/a").unwrap(), one("unix:/b").unwrap(), one("unix:/a ssl").unwrap()];
        assert_eq!(duplicates(&[("proxy_listen", &listeners)]), ["proxy_listen: unix:/a is listed twice"]);
    }

    #[test]
    fn options_of_sockets() {
        let options = |flags: &str| one(&format!("[::]:80 {flags}")).map(|l| l.socket());
        assert_eq!(options(""), Ok(SocketOptions::default()));
        let given = options("backlog=9 ipv6only=off reuseport so_keepalive=off").unwrap();
        let expected =
            SocketOptions { backlog: 9, ipv6_only: false, keepalive: Some(TcpKeepalive::Off), reuse_port: true };
        assert_eq!(given, expected);
        let keepalive = |value: &str| options(&format!("so_keepalive={value}")).map(|o| o.keepalive);
        let on = |idle: Option<u64>, interval: Option<u64>, count| {
            let (idle, interval) = (idle.map(Duration::from_secs), interval.map(Duration::from_secs));
            Ok(Some(TcpKeepalive::On { idle, interval, count }))
        };
        assert_eq!(keepalive("on"), on(None, None, None));
        assert_eq!(keepalive("30m::10"), on(Some(1800), None, Some(10)));
        assert_eq!(keepalive(":1h5s:"), on(None, Some(3605), None));
        assert_eq!(keepalive("1d:1:999"), on(Some(32_767), Some(1), Some(127)));
        for value in ["::", "0:0:0", "x:1:1", "1:1:x", "yes", "1:2"] {
            assert!(keepalive(value).is_err(), "{value}");
        }
        assert_eq!(one("h:1 so_keepalive=::").unwrap_err(), "proxy_listen: invalid so_keepalive value: \"::\"");
        assert_eq!(one("h:1 backlog=0").unwrap_err(), "proxy_listen: invalid backlog \"backlog=0\"");
    }

    #[test]
    fn an_address_is_listed_once() {
        let list = |entries: &[&str]| parse("x", &entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()).unwrap();
        let (proxy, admin) = (list(&["h:1", "h:2", "h:1 ssl", "h:0", "h:0"]), list(&["h:2", "i:1"]));
        let errors = duplicates(&[("proxy_listen", &proxy), ("admin_listen", &admin)]);
        assert_eq!(errors, ["proxy_listen: h:1 is listed twice", "admin_listen: h:2 is in proxy_listen too"]);
    }

    #[test]
    fn off_and_errors() {
        assert_eq!(parse("x", &["off".to_owned()]), Ok(vec![]));
        for entry in [
            "",
            "8000",
            ":8000",
            "0.0.0.0",
            "0.0.0.0:99999",
            "0.0.0.0:80 tls",
            "::1:80",
            "[x]:80",
            "a b:80",
            "h:1 backlog=x",
        ] {
            assert!(one(entry).is_err(), "{entry}");
        }
        assert!(
            parse("proxy_listen", &[]).unwrap_err().starts_with("proxy_listen must be of form: [off] | <ip>:<port>")
        );
    }
}

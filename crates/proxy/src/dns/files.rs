//! The hosts file and `resolv.conf`.

use super::Settings;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The first address of each family that the hosts file gives a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostsEntry {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

/// Names in lower case. `localhost` is always there.
pub type Hosts = HashMap<String, HostsEntry>;

/// What `resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    pub servers: Vec<SocketAddr>,
    pub search: Vec<String>,
    pub ndots: usize,
    pub timeout: Duration,
    pub attempts: usize,
    pub rotate: bool,
}

/// As many as the C library takes.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;

impl Default for ResolvConf {
    fn default() -> ResolvConf {
        ResolvConf {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(2),
            attempts: 5,
            rotate: false,
        }
    }
}

impl ResolvConf {
    /// The file that the settings name, with their servers instead of its own where they give some.
    pub fn load(settings: &Settings) -> ResolvConf {
        let text = std::fs::read_to_string(&settings.resolv_conf).unwrap_or_else(|error| {
            tracing::warn!(file = %settings.resolv_conf.display(), %error, "cannot read the resolver's configuration");
            String::new()
        });
        let mut conf = ResolvConf::parse(&text);
        let environment = |name: &str| std::env::var(name).ok();
        conf.apply(environment("LOCALDOMAIN").as_deref(), environment("RES_OPTIONS").as_deref());
        if !settings.servers.is_empty() {
            conf.servers.clone_from(&settings.servers);
        }
        if conf.servers.is_empty() {
            tracing::warn!("no name servers are configured: only addresses and the hosts file can be resolved");
        }
        conf
    }

    /// Bad lines are passed over, as the C library does.
    pub fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| Settings::server(word).ok());
                    conf.servers.extend(server.filter(|_| conf.servers.len() < MAX_SERVERS));
                }
                // `domain` and `search` exclude each other; the last one counts.
                Some("domain") => conf.search = words.take(1).filter_map(search_name).collect(),
                Some("search") => conf.search = words.filter_map(search_name).take(MAX_SEARCH).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf
    }

    /// What the environment says beyond the file, as the C library has it: a search list in place of the file's, and
    /// options.
    fn apply(&mut self, search: Option<&str>, options: Option<&str>) {
        if let Some(search) = search {
            self.search = search.split_ascii_whitespace().filter_map(search_name).take(MAX_SEARCH).collect();
        }
        options.into_iter().flat_map(str::split_ascii_whitespace).for_each(|word| self.option(word));
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u64>()) {
            ("ndots", Ok(n)) => self.ndots = n.min(15) as usize,
            ("timeout", Ok(n)) if n > 0 => self.timeout = Duration::from_secs(n.min(30)),
            ("attempts", Ok(n)) if n > 0 => self.attempts = n.min(5) as usize,
            ("rotate", _) => self.rotate = true,
            _ => {}
        }
    }
}

/// Reads the hosts file that the settings name.
pub fn load_hosts(settings: &Settings) -> Hosts {
    let text = std::fs::read_to_string(&settings.hosts_file).unwrap_or_else(|error| {
        tracing::warn!(file = %settings.hosts_file.display(), %error, "cannot read the hosts file");
        String::new()
    });
    parse_hosts(&text)
}

/// The entries of a hosts file; the first address of a family counts.
pub fn parse_hosts(text: &str) -> Hosts {
    let mut hosts = Hosts::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let entry = hosts.entry(name.to_ascii_lowercase()).or_default();
            match ip {
                IpAddr::V4(ip) => entry.v4 = entry.v4.or(Some(ip)),
                IpAddr::V6(ip) => entry.v6 = entry.v6.or(Some(ip)),
            }
        }
    }
    hosts
        .entry("localhost".to_owned())
        .or_insert(HostsEntry { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) });
    hosts
}

fn search_name(word: &str) -> Option<String> {
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_c_library_does() {
        let conf = ResolvConf::parse(
            "# comment\nnameserver 10.0.0.1\nnameserver ::1 ; second\nnameserver nonsense\nnameserver 10.0.0.2\n\
             nameserver 10.0.0.3\ndomain first.example\nsearch A.example b.example. .\n\
             options ndots:2 timeout:3 attempts:9 rotate timeout:0\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "10.0.0.2:53"]);
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!(conf.ndots, 2);
        assert_eq!(conf.timeout, Duration::from_secs(3));
        assert_eq!(conf.attempts, 5);
        assert!(conf.rotate);
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }

    #[test]
    fn the_environment_goes_before_resolv_conf() {
        let mut conf = ResolvConf::parse("search a.example\noptions ndots:2 timeout:3\n");
        conf.apply(Some("B.example c.example"), Some("ndots:4 rotate"));
        assert_eq!(conf.search, ["b.example", "c.example"]);
        assert_eq!(conf.ndots, 4);
        assert_eq!(conf.timeout, Duration::from_secs(3));
        assert!(conf.rotate);
        let before = conf.clone();
        conf.apply(None, None);
        assert_eq!(conf, before);
    }

    #[test]
    fn hosts_keep_the_first_address_of_each_family() {
        let hosts = parse_hosts("10.0.0.1 One one.example # not.this\n10.0.0.2 one\n::2 one\nbad line\n");
        assert_eq!(hosts["one"], HostsEntry { v4: Some(Ipv4Addr::new(10, 0, 0, 1)), v6: Some("::2".parse().unwrap()) });
        assert!(hosts.contains_key("one.example") && !hosts.contains_key("not.this"));
        assert_eq!(hosts["localhost"].v4, Some(Ipv4Addr::LOCALHOST));
    }
}

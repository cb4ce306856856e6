//! A route, prepared for matching: its patterns compiled, and those criteria checked that no index answers.

use super::expression::{Condition, Findings};
use super::rank::Rank;
use super::subject::Subject;
use super::{Flavor, Query};
use model::entities::{Address, Protocol, Route, Service};
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{self, literal};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::Fields;

/// Compiled regexes larger than this are refused (bytes; the default of the `regex` crate, which Kong uses too).
pub const REGEX_SIZE: usize = 10 << 20;
/// What one regex may keep for its lazily built automaton, per thread (bytes).
pub const REGEX_CACHE: usize = 256 << 10;

/// A compiled route.
pub struct Rule {
    pub route: Arc<Route>,
    pub service: Option<Arc<Service>>,
    pub hosts: Vec<HostPattern>,
    /// One without pattern when the route has no paths.
    pub paths: Vec<PathPattern>,
    pub headers: Vec<HeaderRule>,
    snis: Vec<NamePattern>,
    sources: Vec<AddressRule>,
    destinations: Vec<AddressRule>,
    /// In place of all the others.
    expression: Option<Condition>,
}

/// A host name, exact or with a wildcard at one end, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    Exact(Box<str>),
    /// `*.example.test`: what follows the asterisk.
    Suffix(Box<str>),
    /// `example.*`: what precedes the asterisk.
    Prefix(Box<str>),
}

/// A host of a route, with the port that the request must be for.
pub struct HostPattern {
    pub name: NamePattern,
    pub port: Option<u32>,
}

/// A path of a route.
pub struct PathPattern {
    pub rank: Rank,
    /// What every fitting path begins with.
    pub prefix: Box<[u8]>,
    pub kind: PathKind,
}

/// How a path is matched beyond its prefix.
#[derive(Clone)]
pub enum PathKind {
    /// The route has no paths, or an expression that sees to them.
    Any,
    Prefix,
    Regex(Regex),
}

/// An address or network that the connection must be from or to, and its port.
struct AddressRule {
    network: Option<(IpAddr, u8)>,
    port: Option<u16>,
}

/// A header that must have one of some values.
pub struct HeaderRule {
    /// In lower case, with `_` for `-`: Kong does not tell them apart.
    pub name: Box<str>,
    pub values: Vec<HeaderValue>,
}

/// A value of a header.
pub enum HeaderValue {
    Exact(Box<str>),
    Regex(Regex),
}

impl Rule {
    /// Compiles a route; `old` is an earlier version of it, whose regexes are used again.
    pub fn compile(
        flavor: Flavor,
        route: &Arc<Route>,
        service: Option<&Arc<Service>>,
        old: Option<&Rule>,
    ) -> Result<Rule, String> {
        if let Some(text) = &route.expression {
            return match flavor {
                Flavor::Expressions => Rule::of_expression(text, route, service),
                _ => Err("expression: needs router_flavor = expressions".into()),
            };
        }
        let nets = !route.sources.is_empty() || !route.destinations.is_empty();
        if nets && flavor != Flavor::Expressions {
            return Err("sources, destinations: need router_flavor = expressions on http routes".into());
        }
        let lists = [route.hosts.len(), route.paths.len(), route.methods.len(), route.headers.len(), route.snis.len()];
        if lists == [0; 5] && !nets {
            return Err("nothing to match: none of hosts, paths, methods, headers and snis is set".into());
        }
        let hosts = route.hosts.iter().map(|h| HostPattern::parse(h)).collect();
        let snis = route.snis.iter().map(|s| NamePattern::parse(sni_name(s))).collect();
        let headers =
            route.headers.iter().map(|(name, values)| HeaderRule::parse(name, values)).collect::<Result<_, _>>()?;
        let mut paths = Vec::with_capacity(route.paths.len().max(1));
        for (at, path) in route.paths.iter().enumerate() {
            paths.push(PathPattern::parse(flavor, path, Rank::new(flavor, route, Some(at)), old)?);
        }
        if paths.is_empty() {
            paths.push(PathPattern {
                rank: Rank::new(flavor, route, None),
                prefix: Box::default(),
                kind: PathKind::Any,
            });
        }
        let addresses = |list: &[Address]| list.iter().map(AddressRule::parse).collect::<Result<Vec<_>, _>>();
        Ok(Rule {
            route: route.clone(),
            service: service.cloned(),
            hosts,
            paths,
            headers,
            snis,
            sources: addresses(&route.sources)?,
            destinations: addresses(&route.destinations)?,
            expression: None,
        })
    }

    fn of_expression(text: &str, route: &Arc<Route>, service: Option<&Arc<Service>>) -> Result<Rule, String> {
        let condition = Condition::parse(text)?;
        let places = condition.places();
        // One place without host makes the route one for all hosts.
        let names: Option<BTreeSet<_>> = places.iter().map(|p| p.host.clone()).collect();
        let hosts = names
            .into_iter()
            .flatten()
            .map(|name| HostPattern { name: NamePattern::Exact(name), port: None })
            .collect();
        let prefixes: BTreeSet<_> = places.into_iter().map(|p| p.prefix).collect();
        let rank = Rank::of_expression(route);
        let paths = prefixes.into_iter().map(|prefix| PathPattern { rank, prefix, kind: PathKind::Any }).collect();
        Ok(Rule {
            route: route.clone(),
            service: service.cloned(),
            hosts,
            paths,
            headers: Vec::new(),
            snis: Vec::new(),
            sources: Vec::new(),
            destinations: Vec::new(),
            expression: Some(condition),
        })
    }

    /// Whether requests over HTTP can match at all.
    pub fn is_active(route: &Route, service: Option<&Arc<Service>>) -> bool {
        let http = [Protocol::Http, Protocol::Https, Protocol::Grpc, Protocol::Grpcs];
        http.iter().any(|&p| route.protocols.contains(p)) && service.is_none_or(|s| s.enabled)
    }

    /// Whether everything but host and path fits.
    pub fn fits(&self, query: &Query<'_>) -> bool {
        if let Some(condition) = &self.expression {
            return condition.holds(query, &mut None);
        }
        let methods = &self.route.methods;
        (methods.is_empty() || methods.iter().any(|m| m == query.method))
            && (self.snis.is_empty()
                || !query.tls
                || query.sni.is_some_and(|sni| self.snis.iter().any(|p| p.fits(sni_name(sni)))))
            && self.headers.iter().all(|h| h.fits(query.fields))
            && (self.sources.is_empty() || self.sources.iter().any(|a| a.fits(query.source)))
            && (self.destinations.is_empty() || {
                let destination = query.destination.map(|ip| SocketAddr::new(ip, query.port));
                self.destinations.iter().any(|a| a.fits(destination))
            })
    }

    /// What an expression found in a request that it fits; `None`: the route has no expression.
    pub fn findings(&self, query: &Query<'_>) -> Option<Findings<'_>> {
        let mut findings = Findings::default();
        self.expression.as_ref()?.holds(query, &mut Some(&mut findings));
        Some(findings)
    }
}

impl AddressRule {
    fn parse(address: &Address) -> Result<AddressRule, String> {
        let invalid = |ip: &str| format!("sources, destinations: '{ip}' is no address or network");
        let network = match &address.ip {
            None => None,
            Some(text) => {
                let (ip, length) =
                    text.split_once('/').map_or((text.as_str(), None), |(ip, length)| (ip, Some(length)));
                let ip: IpAddr = ip.parse().map_err(|_| invalid(text))?;
                let length = match length {
                    None => {
                        if ip.is_ipv4() {
                            32
                        } else {
                            128
                        }
                    }
                    Some(length) => length.parse().map_err(|_| invalid(text))?,
                };
                Some((ip, length))
            }
        };
        Ok(AddressRule { network, port: address.port })
    }

    fn fits(&self, address: Option<SocketAddr>) -> bool {
        address.is_some_and(|a| {
            self.port.is_none_or(|port| port == a.port())
                && self.network.is_none_or(|(ip, length)| in_network(a.ip().to_canonical(), ip, length))
        })
    }
}

impl NamePattern {
    /// Reads a name with at most one asterisk, at an end.
    pub fn parse(text: &str) -> NamePattern {
        let text = text.to_ascii_lowercase();
        if let Some(suffix) = text.strip_prefix('*') {
            NamePattern::Suffix(suffix.into())
        } else if let Some(prefix) = text.strip_suffix('*') {
            NamePattern::Prefix(prefix.into())
        } else {
            NamePattern::Exact(text.into())
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            NamePattern::Exact(text) => name.eq_ignore_ascii_case(text),
            NamePattern::Suffix(suffix) => name
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| name.as_bytes().get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
            NamePattern::Prefix(prefix) => {
                name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
            }
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> HostPattern {
        let (name, port) = split_port(text.as_bytes());
        HostPattern { name: NamePattern::parse(&text[..name.len()]), port }
    }

    /// How closely the pattern fits the hosts that fit it.
    pub fn closeness(&self) -> u32 {
        let (exact, len) = match &self.name {
            NamePattern::Exact(name) => (1, name.len()),
            NamePattern::Suffix(part) | NamePattern::Prefix(part) => (0, part.len()),
        };
        1 + (exact << 24 | (len.min(0xffff) as u32) << 1 | self.port.is_some() as u32)
    }
}

impl PathPattern {
    fn parse(flavor: Flavor, path: &str, rank: Rank, old: Option<&Rule>) -> Result<PathPattern, String> {
        let Some(pattern) = path.strip_prefix('~') else {
            return Ok(PathPattern { rank, prefix: path.as_bytes().into(), kind: PathKind::Prefix });
        };
        // Kong's expression router anchors the first alternative only; its traditional one anchors all.
        let pattern = if flavor == Flavor::Traditional { format!("^(?:{pattern})") } else { format!("^{pattern}") };
        let known = old.into_iter().flat_map(|rule| &rule.paths).find_map(|p| match &p.kind {
            PathKind::Regex(regex) if regex.as_str() == pattern => Some((p.prefix.clone(), regex.clone())),
            _ => None,
        });
        let (prefix, regex) = match known {
            Some(known) => known,
            None => {
                let regex = RegexBuilder::new(&pattern).size_limit(REGEX_SIZE).dfa_size_limit(REGEX_CACHE).build();
                (literal_prefix(&pattern), regex.map_err(|e| format!("paths: '{path}': {e}"))?)
            }
        };
        Ok(PathPattern { rank, prefix, kind: PathKind::Regex(regex) })
    }
}

impl HeaderRule {
    fn parse(name: &str, values: &[String]) -> Result<HeaderRule, String> {
        let values = values.iter().map(|value| match value.strip_prefix("~*") {
            None => Ok(HeaderValue::Exact(value.as_str().into())),
            Some(pattern) => {
                let regex = RegexBuilder::new(pattern)
                    .case_insensitive(true)
                    .size_limit(REGEX_SIZE)
                    .dfa_size_limit(REGEX_CACHE)
                    .build();
                regex.map(HeaderValue::Regex).map_err(|e| format!("headers: '{name}': {e}"))
            }
        });
        Ok(HeaderRule { name: header_name(name), values: values.collect::<Result<_, _>>()? })
    }

    /// The values that a request has for this header.
    pub fn values_in<'a>(&'a self, fields: &'a Fields) -> impl Iterator<Item = &'a [u8]> {
        fields.iter().filter(|(name, _)| same_name(name, &self.name)).map(|(_, value)| value)
    }

    fn fits(&self, fields: &Fields) -> bool {
        self.values_in(fields).any(|value| {
            self.values.iter().any(|want| match want {
                HeaderValue::Exact(text) => value.eq_ignore_ascii_case(text.as_bytes()),
                HeaderValue::Regex(regex) => regex.is_match(Subject::from_octets(value).text()),
            })
        })
    }
}

/// Splits a decimal port off a host; a colon with nothing behind it goes away, anything else stays with the name.
pub fn split_port(host: &[u8]) -> (&[u8], Option<u32>) {
    let colon = match host.starts_with(b"[") {
        true => memchr::memmem::find(host, b"]:").map(|at| at + 1),
        false => memchr::memchr(b':', host),
    };
    let Some(colon) = colon else { return (host, None) };
    match &host[colon + 1..] {
        b"" => (&host[..colon], None),
        port if port.len() <= 9 && port.iter().all(u8::is_ascii_digit) => {
            (&host[..colon], Some(port.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))))
        }
        _ => (host, None),
    }
}

/// A server name without the dot that ends a fully qualified one.
fn sni_name(sni: &str) -> &str {
    sni.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(sni)
}

/// Whether an address is in a network; families do not mix.
pub fn in_network(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let length = u32::from(length);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(32u32.saturating_sub(length)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(128u32.saturating_sub(length)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The name of a header as rules have it: in lower case, with `_` for `-`.
pub fn header_name(name: &str) -> Box<str> {
    name.to_ascii_lowercase().replace('-', "_").into()
}

/// Whether a header that was sent is the one of a rule.
pub fn same_name(sent: &str, wanted: &str) -> bool {
    sent.len() == wanted.len()
        && sent.bytes().zip(wanted.bytes()).all(|(s, w)| s.to_ascii_lowercase() == w || (s == b'-' && w == b'_'))
}

/// The literal text that every match of an anchored regex begins with.
pub fn literal_prefix(pattern: &str) -> Box<[u8]> {
    let Ok(hir) = regex_syntax::parse(pattern) else { return Box::default() };
    // In an unanchored one (`^/a|/b`) a match may start anywhere.
    if !hir.properties().look_set_prefix().contains(hir::Look::Start) {
        return Box::default();
    }
    let literals = literal::Extractor::new().extract(&hir);
    literals.longest_common_prefix().unwrap_or_default().into()
}

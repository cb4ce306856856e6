//! Which of several fitting routes wins.

use super::{Flavor, MatchCalculation, Matching};
use model::entities::{Address, Route, Uuid};
use model::hostname;
use std::cmp::Reverse;

/// The place of a route's path in the order of trial; the greatest one that fits wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// What the route asks for, by the rules of the flavour.
    criteria: u128,
    /// How closely the host fits: exact before wildcard, the longer wildcard first.
    host: u32,
    age: Reverse<i64>,
    /// Kong's own last word between equals.
    id: Uuid,
    /// The position of the path in the route.
    path: Reverse<u32>,
}

impl Rank {
    /// The rank of one path (by its position; `None`: the route has none) of a route.
    pub fn new(matching: Matching, route: &Route, path: Option<usize>) -> Rank {
        let text = path.map(|at| route.paths[at].as_str());
        let criteria = match (matching.flavor, matching.calculation) {
            (Flavor::Traditional, _) => traditional(route, text),
            _ if route.protocols.are_of_streams() => stream(route),
            (_, MatchCalculation::Original) => original(route, text),
            (_, MatchCalculation::Strict) => strict(route, text),
        };
        Rank {
            criteria,
            host: 0,
            age: Reverse(route.created_at),
            id: route.id,
            path: Reverse(path.unwrap_or(0) as u32),
        }
    }

    /// The rank of a route with an expression: above all others.
    pub fn of_expression(route: &Route) -> Rank {
        let criteria = 1 << 127 | u128::from(route.priority);
        Rank { criteria, host: 0, age: Reverse(route.created_at), id: route.id, path: Reverse(0) }
    }

    /// What puts it before another one, for whoever wants to know.
    pub fn decided_by(&self, other: &Rank, matching: Matching) -> &'static str {
        let differ = self.criteria ^ other.criteria;
        if differ == 0 {
            return match () {
                () if self.host != other.host => "its host fits more closely",
                () if self.age != other.age => "it is older (created_at)",
                () if self.id != other.id => "its id",
                () => "the order of its paths",
            };
        }
        if differ >> 127 == 1 {
            return "it has an expression";
        }
        if self.criteria >> 127 == 1 {
            return "a higher priority";
        }
        let highest = 127 - differ.leading_zeros();
        match (matching.flavor, matching.calculation) {
            (Flavor::Traditional, _) => match highest {
                80.. => "more kinds of criteria",
                64..80 => "weightier kinds of criteria",
                62 => "a wildcard host with a port",
                61 => "hosts without wildcards",
                60 | 51 => "a regular expression as its path",
                52..60 => "more headers",
                19..51 => "a higher regex_priority, or a longer path",
                _ => "a longer path",
            },
            (_, MatchCalculation::Strict) => match highest {
                61.. => "more kinds of criteria",
                60 => "hosts without wildcards",
                52..60 => "more headers",
                51 => "a regular expression as its path",
                19..51 => "a higher regex_priority, or a longer path",
                _ => "a longer path",
            },
            (_, MatchCalculation::Original) => match highest {
                88 => "hosts without wildcards",
                87 => "a regular expression as its path",
                84.. => "more kinds of criteria",
                51..84 => "more headers, or a higher regex_priority",
                19..51 => "a higher regex_priority",
                _ => "a longer path",
            },
        }
    }

    /// The rank when the route is reached by a host pattern that fits that closely.
    pub fn with_host(self, host: u32) -> Rank {
        Rank { host, ..self }
    }
}

/// Number of kinds of criteria, exact hosts only, number of headers, regex, its priority, length of the prefix:
/// the bit layout that Kong's expression router means for routes without expression.
fn strict(route: &Route, path: Option<&str>) -> u128 {
    let weight = kinds(route).count_ones() as u128;
    weight << 61 | (has_plain_hosts(route) as u128) << 60 | headers(route) << 52 | path_bits(route, path)
}

/// That layout as Kong has it: LuaJIT shifts plain numbers within 32 bits, modulo 32, and extends the sign of the sum.
/// So four kinds of criteria come before all else and fewer of them after exact hosts and regexes, and the number of
/// headers is mixed with the priority of a regex. What overflows there, and so comes first (a priority below 0), does
/// not here.
fn original(route: &Route, path: Option<&str>) -> u128 {
    let weight = kinds(route).count_ones() as u128;
    let many = weight >= 4;
    let regex = path.is_some_and(|path| path.starts_with('~'));
    let priority = if regex { route.regex_priority.clamp(i32::MIN.into(), i32::MAX.into()) } else { 0 };
    let length = if regex { 0 } else { path.map_or(0, |path| path.len().min(0x7ffff)) };
    (many as u128) << 89
        | ((has_plain_hosts(route) && !many) as u128) << 88
        | ((regex && !many) as u128) << 87
        | weight << 84
        | (headers(route) << 1 | priority.max(0) as u128) << 51
        | ((priority.min(0) - i64::from(i32::MIN)) as u128) << 19
        | length as u128
}

/// For streams: server names, or both ends of the connection; then what is asked of the source, and of the destination.
fn stream(route: &Route) -> u128 {
    let (sources, destinations) = (&route.sources, &route.destinations);
    let narrow = !route.snis.is_empty() || (!sources.is_empty() && !destinations.is_empty());
    (narrow as u128) << 61 | address_bits(sources) << 4 | address_bits(destinations)
}

/// An address before a port before a network.
fn address_bits(addresses: &[Address]) -> u128 {
    addresses.iter().fold(0, |bits, address| {
        let network = address.ip.as_ref().map_or(0, |ip| if ip.contains('/') { 1 } else { 8 });
        bits | network | (address.port.is_some() as u128) << 2
    })
}

/// Number of kinds of criteria, then which ones, then the order among routes with the same.
fn traditional(route: &Route, path: Option<&str>) -> u128 {
    let kinds = kinds(route);
    let wildcard_port = route.hosts.iter().any(|h| h.contains('*') && hostname::split_port(h.as_bytes()).1.is_some());
    let regex = path.is_some_and(|p| p.starts_with('~'));
    let order = (wildcard_port as u128) << 2 | (has_plain_hosts(route) as u128) << 1 | regex as u128;
    let weight = kinds.count_ones() as u128;
    weight << 80 | (kinds as u128) << 64 | order << 60 | headers(route) << 52 | path_bits(route, path)
}

/// A bit for each kind of criterion, the more important the higher.
fn kinds(route: &Route) -> u8 {
    let kinds = [
        !route.hosts.is_empty(),
        !route.headers.is_empty(),
        !route.paths.is_empty(),
        !route.methods.is_empty(),
        !route.snis.is_empty(),
        !route.sources.is_empty(),
        !route.destinations.is_empty(),
    ];
    kinds.into_iter().fold(0, |bits, kind| bits << 1 | kind as u8)
}

fn has_plain_hosts(route: &Route) -> bool {
    !route.hosts.is_empty() && !route.hosts.iter().any(|host| host.contains('*'))
}

fn headers(route: &Route) -> u128 {
    route.headers.len().min(255) as u128
}

/// Regex before prefix; regexes by priority (negative ones too), prefixes by length.
fn path_bits(route: &Route, path: Option<&str>) -> u128 {
    match path {
        None => 0,
        Some(path) if path.starts_with('~') => {
            let priority = route.regex_priority.clamp(i32::MIN.into(), i32::MAX.into());
            1 << 51 | ((priority - i64::from(i32::MIN)) as u128) << 19
        }
        Some(path) => path.len().min(0x7ffff) as u128,
    }
}

//! Routes of streams: found by the server name that a client asks for, or by the port that it has come to; those that
//! name neither are tried one after the other.

use super::rank::Rank;
use super::{Query, Rule};
use crate::snapshot::Map;
use model::entities::{Protocol, Protocols};
use model::hostname;
use rpds::RedBlackTreeMapSync;
use std::cmp::Reverse;
use std::sync::Arc;

/// All routes of streams.
#[derive(Clone, Default)]
pub(super) struct StreamIndex {
    by_sni: Map<Box<str>, Ranked>,
    by_port: Map<u16, Ranked>,
    others: Ranked,
}

/// In the order in which they are tried.
type Ranked = RedBlackTreeMapSync<Reverse<Rank>, Arc<Rule>>;

/// Where a route stands.
enum Place<'a> {
    Names(Vec<&'a str>),
    Ports(Vec<u16>),
    Elsewhere,
}

impl StreamIndex {
    pub fn insert(&mut self, rule: &Arc<Rule>) {
        let Some(rank) = rank(rule) else { return };
        match Place::of(rule) {
            Place::Names(names) => names.into_iter().for_each(|name| {
                let list = self.by_sni.get(name).cloned().unwrap_or_default();
                self.by_sni.insert_mut(name.into(), list.insert(rank, Arc::clone(rule)));
            }),
            Place::Ports(ports) => ports.into_iter().for_each(|port| {
                let list = self.by_port.get(&port).cloned().unwrap_or_default();
                self.by_port.insert_mut(port, list.insert(rank, Arc::clone(rule)));
            }),
            Place::Elsewhere => self.others.insert_mut(rank, Arc::clone(rule)),
        }
    }

    pub fn remove(&mut self, rule: &Rule) {
        let Some(rank) = rank(rule) else { return };
        match Place::of(rule) {
            Place::Names(names) => names.into_iter().for_each(|name| {
                match self.by_sni.get(name).map(|list| list.remove(&rank)).filter(|list| !list.is_empty()) {
                    Some(list) => self.by_sni.insert_mut(name.into(), list),
                    None => drop(self.by_sni.remove_mut(name)),
                }
            }),
            Place::Ports(ports) => ports.into_iter().for_each(|port| {
                match self.by_port.get(&port).map(|list| list.remove(&rank)).filter(|list| !list.is_empty()) {
                    Some(list) => self.by_port.insert_mut(port, list),
                    None => drop(self.by_port.remove_mut(&port)),
                }
            }),
            Place::Elsewhere => drop(self.others.remove_mut(&rank)),
        }
    }

    /// The first of those that fit.
    pub fn find(&self, query: &Query<'_>) -> Option<&Rule> {
        let name = query.sni.map(hostname::without_root);
        let lists = [name.and_then(|name| self.by_sni.get(name)), self.by_port.get(&query.port), Some(&self.others)];
        lists
            .into_iter()
            .flatten()
            .filter_map(|list| list.iter().find(|(_, rule)| takes(rule, query) && rule.fits(query)))
            .min_by_key(|(rank, _)| **rank)
            .map(|(_, rule)| &**rule)
    }
}

impl Place<'_> {
    fn of(rule: &Rule) -> Place<'_> {
        let route = &rule.route;
        // What cannot be used might be for anything.
        if rule.defect.is_some() || route.expression.is_some() {
            return Place::Elsewhere;
        }
        let tls = Protocols::default().with(Protocol::Tls).with(Protocol::TlsPassthrough);
        let others = Protocols::default().with(Protocol::Tcp).with(Protocol::Udp);
        // Without TLS server names are not looked at.
        let only_tls = route.protocols.intersects(tls) && !route.protocols.intersects(others);
        if only_tls && !route.snis.is_empty() && !route.snis.iter().any(|sni| sni.contains('*')) {
            return Place::Names(distinct(route.snis.iter().map(|sni| hostname::without_root(sni))));
        }
        let ports: Vec<u16> = route.destinations.iter().filter_map(|destination| destination.port).collect();
        match !ports.is_empty() && ports.len() == route.destinations.len() {
            true => Place::Ports(distinct(ports.into_iter())),
            false => Place::Elsewhere,
        }
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<std::collections::BTreeSet<T>>().into_iter().collect()
}

fn rank(rule: &Rule) -> Option<Reverse<Rank>> {
    rule.paths.first().map(|path| Reverse(path.rank))
}

/// Whether the route is for streams of that kind.
fn takes(rule: &Rule, query: &Query<'_>) -> bool {
    query.stream.is_some_and(|stream| {
        let protocols = rule.route.protocols;
        protocols.contains(stream) || (stream == Protocol::Tls && protocols.contains(Protocol::TlsPassthrough))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::route;
    use crate::router::{Flavor, Router};
    use model::entities::{Address, Route};
    use wire::Fields;

    fn at(ip: Option<&str>, port: Option<u16>) -> Address {
        Address { ip: ip.map(str::to_owned), port }
    }

    fn stream(id: u128, protocol: Protocol) -> Route {
        Route { protocols: Protocols::default().with(protocol), ..route(id) }
    }

    fn find(flavor: Flavor, routes: &[Route], stream: Protocol, sni: Option<&str>, port: u16) -> Option<u128> {
        let put: Vec<_> = routes.iter().map(|route| (Arc::new(route.clone()), None)).collect();
        let (router, errors) = Router::new(flavor).apply(&put, &[]);
        assert_eq!(errors, []);
        let query = Query {
            stream: Some(stream),
            method: "",
            https: false,
            tls: stream == Protocol::Tls,
            host: b"",
            port,
            path: "",
            query: None,
            sni,
            source: "10.1.2.3:99".parse().ok(),
            destination: Some([192, 0, 2, 1].into()),
            fields: &Fields::new(),
            exchange: None,
        };
        let found = router.find_stream(&query).map(|rule| rule.route.id.as_u128());
        // What is removed is not found.
        let all: Vec<_> = routes.iter().map(|route| route.id).collect();
        assert!(router.apply(&[], &all).0.find_stream(&query).is_none());
        found
    }

    #[test]
    fn streams_are_found_by_what_they_ask() {
        let routes = [
            Route { sources: vec![at(Some("10.0.0.0/8"), None)], ..stream(1, Protocol::Tcp) },
            Route { destinations: vec![at(None, Some(9000))], ..stream(2, Protocol::Tcp) },
            Route { sources: vec![at(Some("10.1.2.3"), None)], ..stream(3, Protocol::Udp) },
            Route { snis: vec!["a.test".into(), "b.test.".into()], ..stream(4, Protocol::Tls) },
            Route { snis: vec!["*.wild.test".into()], ..stream(5, Protocol::TlsPassthrough) },
            Route { destinations: vec![at(Some("192.0.2.1"), Some(9001))], ..stream(6, Protocol::Tls) },
        ];
        for flavor in [Flavor::TraditionalCompatible, Flavor::Traditional] {
            let found = |stream, sni, port| find(flavor, &routes, stream, sni, port);
            assert_eq!(found(Protocol::Tcp, None, 1), Some(1));
            assert_eq!(found(Protocol::Udp, None, 9000), Some(3));
            assert_eq!(found(Protocol::Tls, Some("a.test"), 1), Some(4));
            assert_eq!(found(Protocol::Tls, Some("b.test"), 1), Some(4));
            assert_eq!(found(Protocol::Tls, Some("x.wild.test"), 1), Some(5));
            assert_eq!(found(Protocol::Tls, Some("c.test"), 1), None);
            assert_eq!(found(Protocol::Tls, None, 9001), Some(6));
            assert_eq!(found(Protocol::Tls, Some("a.test"), 9001), Some(4), "names come first");
        }
    }

    #[test]
    fn addresses_go_before_networks_and_both_ends_before_one() {
        let by = |id, source: &str| Route { sources: vec![at(Some(source), None)], ..stream(id, Protocol::Tcp) };
        let both = Route { destinations: vec![at(None, Some(9000))], ..by(3, "10.0.0.0/8") };
        let routes = [by(1, "10.0.0.0/8"), by(2, "10.1.2.3"), both];
        assert_eq!(find(Flavor::default(), &routes, Protocol::Tcp, None, 1), Some(2));
        assert_eq!(find(Flavor::default(), &routes, Protocol::Tcp, None, 9000), Some(3));
    }

    #[test]
    fn expressions_are_for_streams_too() {
        let by = |id, text: &str| Route { expression: Some(text.into()), ..stream(id, Protocol::Tls) };
        let routes = [by(1, r#"tls.sni == "a.test" && net.dst.port == 9000"#), by(2, r#"net.protocol == "tls""#)];
        let routes = routes.map(|route| Route { priority: 3 - route.id.as_u128() as u64, ..route });
        let found = |sni, port| find(Flavor::Expressions, &routes, Protocol::Tls, sni, port);
        assert_eq!(found(Some("a.test"), 9000), Some(1));
        assert_eq!(found(Some("a.test"), 9001), Some(2));
    }
}

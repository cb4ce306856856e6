//! From a name to its records: search list, kinds in order, aliases, and the targets of SRV records.

use super::answer::{Failure, Record, Service};
use super::files::{Hosts, ResolvConf};
use super::query::Servers;
use super::{QueryType, Settings};
use crate::wheel::gcd;
use futures_util::future::{BoxFuture, join_all};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Aliases and SRV records are followed that often.
const MAX_DEPTH: usize = 8;
/// More records than that are not used.
const MAX_RECORDS: usize = 64;
/// Records are kept no longer than that, whatever they ask for.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// What was found, before it gets its time of expiry.
#[derive(Debug)]
pub struct Found {
    pub kind: QueryType,
    pub records: Vec<Record>,
    /// `None`: from the hosts file.
    pub ttl: Option<Duration>,
}

/// Asks for names; keeps nothing.
pub struct Lookup {
    servers: Servers,
    hosts: Hosts,
    order: Vec<QueryType>,
    srv_names_only: bool,
}

/// What one question brought.
enum DnsResponse {
    Records(Found),
    Alias(Name, Duration),
    Services(Vec<(Service, u16)>, Duration),
    Nothing,
}

impl Lookup {
    pub fn new(settings: &Settings, conf: ResolvConf, hosts: Hosts) -> Lookup {
        Lookup {
            servers: Servers::new(conf),
            hosts,
            order: settings.order.clone(),
            srv_names_only: settings.srv_names_only,
        }
    }

    /// The longest that a look-up may take.
    pub fn patience(&self) -> Duration {
        let conf = self.servers.conf();
        conf.timeout * conf.attempts as u32 + Duration::from_secs(1)
    }

    /// What the hosts file says.
    pub fn in_hosts(&self, name: &str) -> Option<Found> {
        let entry = self.hosts.get(name.trim_end_matches('.').to_ascii_lowercase().as_str())?;
        let of = |kind: &QueryType| match kind {
            QueryType::A => entry.v4.map(|ip| (QueryType::A, IpAddr::V4(ip))),
            QueryType::Aaaa => entry.v6.map(|ip| (QueryType::Aaaa, IpAddr::V6(ip))),
            _ => None,
        };
        let (kind, ip) = self.order.iter().find_map(of)?;
        Some(Found { kind, records: vec![Record { ip, service: None }], ttl: None })
    }

    /// Looks a name up. `last` is the kind that answered last time.
    pub async fn find(&self, name: &str, last: Option<QueryType>) -> Result<Found, Failure> {
        self.find_at(name.to_owned(), last, 0).await
    }

    fn find_at(&self, name: String, last: Option<QueryType>, depth: usize) -> BoxFuture<'_, Result<Found, Failure>> {
        Box::pin(async move {
            if depth > MAX_DEPTH {
                return Err(Failure::Network("recursion detected".to_owned()));
            }
            // SRV records that point to an address write it as a name, with a dot at its end.
            if let Ok(ip) = name.trim_end_matches('.').parse::<IpAddr>() {
                let kind = if ip.is_ipv4() { QueryType::A } else { QueryType::Aaaa };
                return Ok(Found { kind, records: vec![Record { ip, service: None }], ttl: None });
            }
            if let Some(found) = self.in_hosts(&name) {
                return Ok(found);
            }
            let candidates = self.candidates(&name)?;
            let mut failure = Failure::Empty;
            for kind in self.kinds(&name, last, depth) {
                for candidate in &candidates {
                    match self.ask(candidate, kind, depth).await {
                        Ok(Some(found)) => return Ok(found),
                        Ok(None) => {}
                        Err(error @ Failure::Network(_)) => return Err(error),
                        Err(error) => failure = error,
                    }
                }
            }
            Err(failure)
        })
    }

    async fn ask(&self, name: &Name, kind: QueryType, depth: usize) -> Result<Option<Found>, Failure> {
        let wanted = match kind {
            QueryType::Srv => RecordType::SRV,
            QueryType::A => RecordType::A,
            QueryType::Aaaa => RecordType::AAAA,
            QueryType::Cname => RecordType::CNAME,
            QueryType::Last => return Ok(None),
        };
        let message = self.servers.ask(name, wanted).await?;
        match read(&message, name, kind) {
            DnsResponse::Records(found) => Ok(Some(found)),
            DnsResponse::Nothing => Ok(None),
            // A server that follows no aliases leaves that to us. Mostly only addresses stand behind them: these are
            // for the next kind.
            DnsResponse::Alias(_, _) if kind == QueryType::Srv && depth >= MAX_DEPTH => Ok(None),
            DnsResponse::Alias(target, ttl) if kind == QueryType::Srv => {
                match Box::pin(self.ask(&target, kind, depth + 1)).await {
                    Ok(found) => {
                        Ok(found.map(|found| Found { ttl: Some(found.ttl.map_or(ttl, |t| t.min(ttl))), ..found }))
                    }
                    Err(error @ Failure::Network(_)) => Err(error),
                    Err(_) => Ok(None),
                }
            }
            DnsResponse::Alias(target, ttl) => {
                let mut found = self.find_at(absolute(&target), None, depth + 1).await?;
                found.ttl = Some(found.ttl.map_or(ttl, |t| t.min(ttl)));
                Ok(Some(found))
            }
            DnsResponse::Services(services, ttl) => self.services(name, services, ttl, depth).await,
        }
    }

    /// The addresses behind SRV records. A name with several addresses shares the record's weight among them.
    async fn services(
        &self,
        name: &Name,
        services: Vec<(Service, u16)>,
        ttl: Duration,
        depth: usize,
    ) -> Result<Option<Found>, Failure> {
        let own = absolute(name);
        let top = services.iter().map(|(_, priority)| *priority).min();
        let chosen: Vec<Service> =
            services.into_iter().filter(|(_, p)| Some(*p) == top).map(|(s, _)| s).take(MAX_RECORDS).collect();
        if chosen.iter().all(|s| s.name.eq_ignore_ascii_case(own.trim_end_matches('.'))) {
            return Ok(None);
        }
        // Only addresses are asked for here: an SRV record must not point to an SRV record (RFC 2782).
        let last = if self.order.contains(&QueryType::A) { QueryType::A } else { QueryType::Aaaa };
        let found = join_all(chosen.iter().map(|s| self.find_at(format!("{}.", s.name), Some(last), depth + 2))).await;
        let mut failure = None;
        let mut ttl = ttl;
        let mut groups = Vec::new();
        for (service, found) in chosen.into_iter().zip(found) {
            match found {
                Ok(found) => {
                    ttl = found.ttl.map_or(ttl, |t| t.min(ttl));
                    let ips: Vec<IpAddr> =
                        found.records.iter().filter(|r| r.service.is_none()).map(|r| r.ip).take(MAX_RECORDS).collect();
                    groups.push((service, ips));
                }
                Err(error) => failure = Some(error),
            }
        }
        groups.retain(|(_, ips)| !ips.is_empty());
        if groups.is_empty() {
            return Err(failure.unwrap_or(Failure::Empty));
        }
        // Scaling all by the least common multiple of the group sizes keeps the shares exact.
        let scale = groups.iter().fold(1u32, |lcm, (_, ips)| least_common_multiple(lcm, ips.len() as u32).min(5040));
        let mut records = Vec::new();
        for (service, ips) in groups {
            let weight = (service.weight * scale / ips.len() as u32).max(1);
            records
                .extend(ips.into_iter().map(|ip| Record { ip, service: Some(Service { weight, ..service.clone() }) }));
        }
        records.truncate(MAX_RECORDS);
        Ok(Some(Found { kind: QueryType::Srv, records, ttl: Some(ttl) }))
    }

    /// The kinds to ask for, in order, each once.
    fn kinds(&self, name: &str, last: Option<QueryType>, depth: usize) -> Vec<QueryType> {
        let mut kinds = Vec::new();
        for &kind in &self.order {
            let kind = if kind == QueryType::Last { last } else { Some(kind) };
            let wanted =
                |k: &QueryType| *k != QueryType::Srv || (depth == 0 && (!self.srv_names_only || name.starts_with('_')));
            kinds.extend(kind.filter(wanted).filter(|k| !kinds.contains(k)));
        }
        kinds
    }

    /// The name itself and the name in the domains of the search list, in the order of the C library.
    fn candidates(&self, name: &str) -> Result<Vec<Name>, Failure> {
        let conf = self.servers.conf();
        let parse = |text: &str| {
            let mut name = Name::from_str_relaxed(text)
                .or_else(|_| Name::from_ascii(text))
                .map_err(|_| Failure::Invalid)?
                .to_lowercase();
            name.set_fqdn(true);
            Ok(name)
        };
        let bare = parse(name)?;
        if name.ends_with('.') || conf.search.is_empty() {
            return Ok(vec![bare]);
        }
        let mut names: Vec<Name> =
            conf.search.iter().filter_map(|domain| parse(&format!("{name}.{domain}.")).ok()).collect();
        let few_dots = name.matches('.').count() < conf.ndots;
        names.insert(if few_dots { names.len() } else { 0 }, bare);
        Ok(names)
    }
}

/// The records of an answer that belong to the name, over the aliases that stand in the same answer.
fn read(message: &Message, name: &Name, kind: QueryType) -> DnsResponse {
    let mut owner = name;
    let mut ttl = LONG;
    for _ in 0..MAX_DEPTH {
        let alias = message.answers().iter().find_map(|r| match r.data() {
            RData::CNAME(target) if r.name() == owner => Some((&target.0, r.ttl())),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        ttl = ttl.min(Duration::from_secs(alias_ttl.into()));
        owner = target;
    }
    let mut ips = Vec::new();
    let mut services = Vec::new();
    for record in message.answers().iter().filter(|r| r.name() == owner).take(MAX_RECORDS) {
        match (record.data(), kind) {
            (RData::A(ip), QueryType::A) => ips.push(IpAddr::V4(ip.0)),
            (RData::AAAA(ip), QueryType::Aaaa) => ips.push(IpAddr::V6(ip.0)),
            // A service that points to the root is "decidedly not available" (RFC 2782).
            (RData::SRV(srv), QueryType::Srv) if !srv.target().is_root() => {
                let name: Arc<str> = absolute(srv.target()).trim_end_matches('.').into();
                // A weight of 0 still gets the smallest possible share, as in Kong.
                services
                    .push((Service { port: srv.port(), weight: u32::from(srv.weight()).max(1), name }, srv.priority()));
            }
            _ => continue,
        }
        ttl = ttl.min(Duration::from_secs(record.ttl().into()));
    }
    if !ips.is_empty() {
        let records = ips.into_iter().map(|ip| Record { ip, service: None }).collect();
        return DnsResponse::Records(Found { kind, records, ttl: Some(ttl) });
    }
    if !services.is_empty() {
        return DnsResponse::Services(services, ttl);
    }
    // An alias without the wanted records: the rest must be asked for.
    if owner != name { DnsResponse::Alias(owner.clone(), ttl) } else { DnsResponse::Nothing }
}

fn absolute(name: &Name) -> String {
    let mut text = name.to_ascii();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

fn least_common_multiple(a: u32, b: u32) -> u32 {
    let b = b.max(1);
    a / gcd(a, b) * b
}

//! Which terms apply to the connections with a service.

use super::trust::Verified;
use super::{Certificates, Identity, Peers, Services, Trust};
use model::entities::{AlternativeNames, Protocol, Service, Uuid};
use model::{Record, pem};
use rpds::HashTrieMapSync;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{DistinguishedName, RootCertStore};
use sdk::{PeerTls, UpstreamTls};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// How a connection is secured: what the other side must prove, and what we do. Connections under different terms never
/// stand in for each other.
#[derive(Clone)]
pub struct Terms {
    trust: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

/// The terms of all services; part of a snapshot.
#[derive(Clone, Debug)]
pub struct Outbound {
    node_policy: Arc<NodePolicy>,
    /// Services with wishes of their own.
    services: HashTrieMapSync<Uuid, ServicePolicy>,
}

/// What the settings of the node say.
#[derive(Debug)]
struct NodePolicy {
    peers: Peers,
    probes: Peers,
    verify: bool,
    grpc: Option<(Arc<RootCertStore>, usize)>,
    trust: Arc<Trust>,
    unverified: Arc<Trust>,
    verifying_probes: Arc<Trust>,
    unverified_probes: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

#[derive(Clone, Debug)]
struct ServicePolicy {
    /// `None`: an authority that is to vouch for the service is not there.
    trust: Option<Arc<Trust>>,
    certificate: Option<Uuid>,
}

/// Keeps the terms of services up to date.
#[derive(Debug, Default)]
pub struct TrustCompiler {
    /// DER.
    authorities: HashMap<Uuid, Arc<[u8]>>,
    /// The services that each authority vouches for.
    users: HashMap<Uuid, HashSet<Uuid>>,
    /// What was made for services before, by what it was made from.
    made: HashMap<TrustKey, Weak<Trust>>,
    touched: HashSet<Uuid>,
    /// When `made` has grown to that, what nobody uses any more is forgotten.
    crowded: usize,
}

/// Everything that terms with verification follow from, but the settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TrustKey {
    depth: usize,
    /// In order; `None`: those of the node.
    authorities: Option<Vec<Arc<[u8]>>>,
    /// Those of the node for services of gRPC.
    of_grpc: bool,
    /// What certificates may be for besides the host.
    names: AlternativeNames,
}

impl Outbound {
    /// The terms of the node's settings.
    pub fn new(services: Services) -> Result<Outbound, String> {
        let failed = |e: rustls::Error| format!("TLS towards services: {e}");
        let none = AlternativeNames::default;
        let Services { requests: peers, probes, verify, grpc, identity } = services;
        let identity = identity.map(|chain| Identity::new(vec![chain])).transpose()?.map(Arc::new);
        let unverified = Arc::new(peers.unverified().map_err(failed)?);
        let trust = match verify {
            true => Arc::new(peers.verifying(&peers.roots, peers.depth, none()).map_err(failed)?),
            false => Arc::clone(&unverified),
        };
        let verifying_probes = Arc::new(probes.verifying(&probes.roots, probes.depth, none()).map_err(failed)?);
        let unverified_probes = Arc::new(probes.unverified().map_err(failed)?);
        let node_policy = NodePolicy {
            peers,
            probes,
            verify,
            grpc,
            trust,
            unverified,
            verifying_probes,
            unverified_probes,
            identity,
        };
        Ok(Outbound { node_policy: Arc::new(node_policy), services: HashTrieMapSync::new_sync() })
    }

    /// Other settings, and no services. Terms that come out the same are the same, and connections under them stay.
    pub fn with_settings(&self, services: Services) -> Result<Outbound, String> {
        let mut renewed = Outbound::new(services)?;
        let old = &*self.node_policy;
        if let Some(new) = Arc::get_mut(&mut renewed.node_policy) {
            if new.peers.same(&old.peers) {
                new.unverified = Arc::clone(&old.unverified);
                match (new.verify, old.verify) {
                    (true, true) => new.trust = Arc::clone(&old.trust),
                    (false, _) => new.trust = Arc::clone(&old.unverified),
                    _ => {}
                }
            }
            if new.probes.same(&old.probes) {
                new.verifying_probes = Arc::clone(&old.verifying_probes);
                new.unverified_probes = Arc::clone(&old.unverified_probes);
            }
            if matches!((&new.identity, &old.identity), (Some(new), Some(old)) if new.shows_same(old)) {
                new.identity.clone_from(&old.identity);
            }
        }
        Ok(renewed)
    }

    /// Whether both ask the same of services that do not say themselves.
    pub fn asks_same(&self, other: &Outbound) -> bool {
        let (one, two) = (&*self.node_policy, &*other.node_policy);
        let of_grpc = |policy: &NodePolicy| policy.grpc.as_ref().map(|(roots, depth)| (roots.roots.clone(), *depth));
        one.peers.same(&two.peers) && of_grpc(one) == of_grpc(two)
    }

    /// The same settings, and no services.
    pub fn emptied(&self) -> Outbound {
        Outbound { node_policy: Arc::clone(&self.node_policy), services: HashTrieMapSync::new_sync() }
    }

    /// The terms of a service, at targets of an upstream with that certificate. The service's own certificate goes
    /// before the upstream's, and that before the node's. The error says what is missing.
    pub fn terms(
        &self,
        service: &Uuid,
        of_upstream: Option<Uuid>,
        certificates: &Certificates,
    ) -> Result<Terms, String> {
        let special = if self.services.is_empty() { None } else { self.services.get(service) };
        let trust = match special {
            None => &self.node_policy.trust,
            Some(special) => {
                special.trust.as_ref().ok_or("an authority in ca_certificates is not there or of no use")?
            }
        };
        let identity = self.identity(special.and_then(|s| s.certificate).or(of_upstream), certificates)?;
        Ok(Terms { trust: Arc::clone(trust), identity })
    }

    /// The same for exchanges whose plugins want something else.
    pub fn terms_as(
        &self,
        service: &Uuid,
        of_upstream: Option<Uuid>,
        certificates: &Certificates,
        wish: &UpstreamTls,
    ) -> Result<Terms, String> {
        let usual = self.terms(service, of_upstream, certificates)?;
        let trust = self.trust_as(usual.trust, wish)?;
        let identity = match &wish.identity {
            None => usual.identity,
            Some(shown) => {
                let chain = shown.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
                let key = PrivateKeyDer::try_from(shown.key.to_vec()).map_err(str::to_owned)?;
                Some(Arc::new(Identity::new(vec![(chain, key)])?))
            }
        };
        Ok(Terms { trust, identity })
    }

    fn trust_as(&self, usual: Arc<Trust>, wish: &UpstreamTls) -> Result<Arc<Trust>, String> {
        let policy = &*self.node_policy;
        if !wish.verify.unwrap_or(usual.verified.is_some()) {
            return Ok(Arc::clone(&policy.unverified));
        }
        if usual.verified.is_some() && wish.depth.is_none() && wish.authorities.is_none() {
            return Ok(usual);
        }
        let verified = usual.verified.clone().unwrap_or_else(|| Verified {
            roots: Arc::clone(&policy.peers.roots),
            depth: policy.peers.depth,
            names: AlternativeNames::default(),
        });
        let roots = match &wish.authorities {
            None => verified.roots,
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(CertificateDer::from_slice(authority)).map_err(|e| e.to_string())?;
                }
                Arc::new(roots)
            }
        };
        let depth = wish.depth.unwrap_or(verified.depth);
        policy.peers.verifying(&roots, depth, verified.names).map(Arc::new).map_err(|e| e.to_string())
    }

    /// The terms for probes of the targets of an upstream with that certificate.
    pub fn probing(
        &self,
        verify: bool,
        of_upstream: Option<Uuid>,
        certificates: &Certificates,
    ) -> Result<Terms, String> {
        let trust = if verify { &self.node_policy.verifying_probes } else { &self.node_policy.unverified_probes };
        Ok(Terms { trust: Arc::clone(trust), identity: self.identity(of_upstream, certificates)? })
    }

    /// What plugins' own peers must prove: `lua_ssl_*` holds for them as for probes.
    pub fn of_plugins(&self) -> PeerTls {
        let policy = &self.node_policy;
        let (verified, unverified) = (policy.verifying_probes.config(None), policy.unverified_probes.config(None));
        PeerTls { verified, unverified }
    }

    fn identity(
        &self,
        certificate: Option<Uuid>,
        certificates: &Certificates,
    ) -> Result<Option<Arc<Identity>>, String> {
        match certificate {
            None => Ok(self.node_policy.identity.clone()),
            Some(id) => certificates
                .by_id(&id)
                .cloned()
                .map(Some)
                .ok_or_else(|| format!("the certificate {id} is not there or of no use")),
        }
    }
}

impl Terms {
    /// What rustls needs for a connection.
    pub fn config(&self) -> Arc<rustls::ClientConfig> {
        self.trust.config(self.identity.as_ref())
    }

    /// Whether connections under these terms are of no further use.
    pub fn are_over(&self) -> bool {
        self.identity.as_ref().is_some_and(|i| i.is_retired())
    }

    fn numbers(&self) -> (u64, u64) {
        (self.trust.number(), self.identity.as_ref().map_or(0, |i| i.number()))
    }
}

impl PartialEq for Terms {
    fn eq(&self, other: &Terms) -> bool {
        self.numbers() == other.numbers()
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers().hash(state);
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terms{:?}", self.numbers())
    }
}

impl TrustCompiler {
    /// Takes a record of `ca_certificates`.
    pub fn take_authority(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let text = |field: &str| {
            record.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| format!("{field}: missing"))
        };
        let id = Uuid::parse_str(text("id")?).map_err(|e| format!("id: {e}"))?;
        self.authorities.remove(&id);
        self.touched.extend(self.users.get(&id).into_iter().flatten());
        if !deleted {
            let cert = pem::certificate(text("cert")?).map_err(|e| format!("cert: {e}"))?;
            RootCertStore::empty().add(cert.clone()).map_err(|e| format!("cert: {e}"))?;
            self.authorities.insert(id, Arc::from(cert.as_ref()));
        }
        Ok(())
    }

    /// The certificate of an authority.
    pub fn authority(&self, id: &Uuid) -> Option<CertificateDer<'static>> {
        self.authorities.get(id).map(|der| CertificateDer::from(der.to_vec()))
    }

    /// Its subject, as clients are told it.
    pub fn authority_name(&self, id: &Uuid) -> Option<DistinguishedName> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority(id)?).ok()?;
        roots.subjects().pop()
    }

    /// Notes that a service has come, changed or gone; `old` is what it was.
    pub fn touch(&mut self, id: Uuid, old: Option<&Service>, new: Option<&Service>) {
        for authority in old.into_iter().flat_map(|s| &s.ca_certificates) {
            if let Some(users) = self.users.get_mut(authority) {
                users.remove(&id);
                if users.is_empty() {
                    self.users.remove(authority);
                }
            }
        }
        for authority in new.into_iter().flat_map(|s| &s.ca_certificates) {
            self.users.entry(*authority).or_default().insert(id);
        }
        if old.is_some_and(is_special) || new.is_some_and(is_special) {
            self.touched.insert(id);
        }
    }

    /// Terms that are made from the same as another compiler's are the same.
    pub fn follow(&mut self, other: &TrustCompiler) {
        self.made.clone_from(&other.made);
    }

    /// Has the terms of all services looked at again, since the settings have changed; made anew, unless these are the
    /// `same` where it matters.
    pub fn reload_tls<'s>(&mut self, services: impl Iterator<Item = &'s Service>, same: bool) {
        if !same {
            self.made.clear();
        }
        self.touched.extend(services.filter(|s| is_special(s)).map(|s| s.id));
    }

    /// Makes the terms of all services that were touched; for each, why no connection can be made to it.
    pub fn finish<'s>(
        &mut self,
        find: impl Fn(&Uuid) -> Option<&'s Service>,
        outbound: &mut Outbound,
    ) -> Vec<(Uuid, Option<String>)> {
        let mut looked_at = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            match find(&id).filter(|s| is_special(s)) {
                None => {
                    outbound.services.remove_mut(&id);
                    looked_at.push((id, None));
                }
                Some(service) => {
                    let trust = self.trust(service, &outbound.node_policy);
                    looked_at.push((id, trust.as_ref().err().cloned()));
                    let trust = trust.ok();
                    outbound.services.insert_mut(id, ServicePolicy { trust, certificate: service.client_certificate });
                }
            }
        }
        if self.made.len() > self.crowded {
            self.made.retain(|_, trust| trust.strong_count() > 0);
            self.crowded = (2 * self.made.len()).max(64);
        }
        looked_at
    }

    fn trust(&mut self, service: &Service, node_policy: &NodePolicy) -> Result<Arc<Trust>, String> {
        let is_grpc = service.protocol == Protocol::Grpcs;
        // nginx's `proxy_ssl_*` are for requests that are no gRPC, and Kong has none of them for streams.
        let usual = match service.protocol {
            Protocol::Grpcs => node_policy.grpc.is_some(),
            Protocol::Tls => false,
            _ => node_policy.verify,
        };
        if !service.tls_verify.unwrap_or(usual) {
            return Ok(Arc::clone(&node_policy.unverified));
        }
        let of_grpc = node_policy.grpc.as_ref().filter(|_| is_grpc);
        let (roots, depth) =
            of_grpc.map_or((&node_policy.peers.roots, node_policy.peers.depth), |(roots, depth)| (roots, *depth));
        let wish = self.wish(service, depth, of_grpc.is_some())?;
        if let Some(trust) = self.made.get(&wish).and_then(Weak::upgrade) {
            return Ok(trust);
        }
        let roots = match &wish.authorities {
            None => Arc::clone(roots),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(CertificateDer::from_slice(authority)).map_err(|e| e.to_string())?;
                }
                Arc::new(roots)
            }
        };
        let names = wish.names.clone();
        let trust = Arc::new(node_policy.peers.verifying(&roots, wish.depth, names).map_err(|e| e.to_string())?);
        self.made.insert(wish, Arc::downgrade(&trust));
        Ok(trust)
    }

    fn wish(&self, service: &Service, depth: usize, of_grpc: bool) -> Result<TrustKey, String> {
        let known = |id: &Uuid| {
            self.authorities
                .get(id)
                .cloned()
                .ok_or_else(|| format!("the authority {id} in ca_certificates is not there or of no use"))
        };
        let mut authorities = service.ca_certificates.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        authorities.sort();
        let depth = service.tls_verify_depth.map_or(depth, usize::from);
        let authorities = (!authorities.is_empty()).then_some(authorities);
        let of_grpc = of_grpc && authorities.is_none();
        Ok(TrustKey { depth, authorities, of_grpc, names: service.tls_sans.clone() })
    }
}

/// Whether the settings of the node do not say all.
fn is_special(service: &Service) -> bool {
    service.protocol == Protocol::Grpcs
        || service.protocol == Protocol::Tls
        || service.client_certificate.is_some()
        || service.tls_verify.is_some()
        || service.tls_verify_depth.is_some()
        || !service.ca_certificates.is_empty()
        || !service.tls_sans.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn id(n: u128) -> Value {
        json!(Uuid::from_u128(n).to_string())
    }

    fn authority(name: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    /// The compiler with what it is given by the snapshot's.
    #[derive(Default)]
    struct Stage {
        compiler: TrustCompiler,
        services: HashMap<Uuid, Service>,
    }

    impl Stage {
        fn authority(&mut self, n: u128, pem: &str) {
            self.compiler.take_authority(json!({"id": id(n), "cert": pem}).as_object().unwrap(), false).unwrap();
        }

        fn service(&mut self, n: u128, fields: Value) {
            let mut record = json!({"id": id(n), "protocol": "https", "host": "h"});
            record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let service = Service::from_record(record.as_object().unwrap()).unwrap();
            let old = self.services.insert(service.id, service.clone());
            self.compiler.touch(service.id, old.as_ref(), Some(&service));
        }

        fn finish(&mut self, outbound: &mut Outbound) {
            self.compiler.finish(|id| self.services.get(id), outbound);
        }
    }

    fn terms(outbound: &Outbound, n: u128) -> Option<Terms> {
        outbound.terms(&Uuid::from_u128(n), None, &Certificates::new(None)).ok()
    }

    #[test]
    fn equal_wishes_share_their_terms() {
        let (mut stage, mut outbound) = (Stage::default(), Outbound::new(Services::default()).unwrap());
        let (first, second) = (authority("first"), authority("second"));
        stage.authority(101, &first);
        stage.authority(102, &second);
        stage.service(1, json!({"tls_verify": true, "ca_certificates": [id(101), id(102)]}));
        stage.service(2, json!({"tls_verify": true, "ca_certificates": [id(102), id(101)]}));
        stage.service(3, json!({"tls_verify": true, "ca_certificates": [id(101)]}));
        stage.service(4, json!({"tls_verify": true, "ca_certificates": [id(101)], "tls_verify_depth": 2}));
        stage.service(5, json!({"tls_verify": false, "ca_certificates": [id(101)]}));
        stage.service(6, json!({}));
        let names = json!({"dnsnames": ["b.test"]});
        stage.service(7, json!({"tls_verify": true, "ca_certificates": [id(101)], "tls_sans": names}));
        stage.finish(&mut outbound);
        let of = |outbound: &Outbound, n| terms(outbound, n).unwrap();
        assert_eq!(of(&outbound, 1), of(&outbound, 2));
        assert_eq!(of(&outbound, 5), of(&outbound, 6));
        for (a, b) in [(1, 3), (3, 4), (4, 5), (3, 6), (3, 7)] {
            assert_ne!(of(&outbound, a), of(&outbound, b), "{a} {b}");
        }
        // An authority that changes takes along those whom it vouches for, and nobody else.
        let before: Vec<Terms> = (1..=6).map(|n| of(&outbound, n)).collect();
        stage.authority(102, &authority("second"));
        stage.finish(&mut outbound);
        let same: Vec<bool> = (1..=6).zip(&before).map(|(n, terms)| of(&outbound, n) == *terms).collect();
        assert_eq!(same, [false, false, true, true, true, true]);
        // What is made anew from the same is the same: connections stay.
        let mut compiler = TrustCompiler::default();
        compiler.follow(&stage.compiler);
        stage.compiler = compiler;
        let mut anew = outbound.emptied();
        stage.authority(101, &first);
        stage.services.clear();
        stage.service(3, json!({"tls_verify": true, "ca_certificates": [id(101)]}));
        stage.finish(&mut anew);
        assert_eq!(of(&anew, 3), before[2]);
    }

    #[test]
    fn what_is_missing_is_no_reason_to_trust() {
        let (mut stage, mut outbound) = (Stage::default(), Outbound::new(Services::default()).unwrap());
        stage.service(1, json!({"tls_verify": true, "ca_certificates": [id(101)]}));
        stage.service(2, json!({"client_certificate": {"id": id(201)}}));
        stage.finish(&mut outbound);
        assert_eq!(terms(&outbound, 1), None);
        assert_eq!(terms(&outbound, 2), None);
        stage.authority(101, &authority("late"));
        stage.finish(&mut outbound);
        assert!(terms(&outbound, 1).is_some());
        stage.compiler.take_authority(json!({"id": id(101)}).as_object().unwrap(), true).unwrap();
        stage.finish(&mut outbound);
        assert_eq!(terms(&outbound, 1), None);
        stage.service(1, json!({}));
        stage.finish(&mut outbound);
        assert!(terms(&outbound, 1).is_some() && outbound.services.size() == 1);
    }

    #[test]
    fn what_the_node_asks_is_asked_of_one_kind_of_services() {
        let verified = |outbound: &Outbound, n| terms(outbound, n).unwrap().trust.verified.is_some();
        let of_grpc = || Some((Arc::new(RootCertStore::empty()), 1));
        for (verify, grpc) in [(false, None), (true, None), (false, of_grpc()), (true, of_grpc())] {
            let asked = grpc.is_some();
            let settings = Services { verify, grpc, ..Services::default() };
            let (mut stage, mut outbound) = (Stage::default(), Outbound::new(settings).unwrap());
            stage.service(1, json!({"protocol": "https"}));
            stage.service(2, json!({"protocol": "grpcs"}));
            stage.service(3, json!({"protocol": "tls"}));
            stage.service(4, json!({"protocol": "tls", "tls_verify": true}));
            stage.finish(&mut outbound);
            assert_eq!([1, 2, 3, 4].map(|n| verified(&outbound, n)), [verify, asked, false, true]);
            assert_eq!(terms(&outbound, 2).unwrap().trust.verified.as_ref().map(|v| v.depth), asked.then_some(1));
        }
    }

    #[test]
    fn the_closest_certificate_is_shown() {
        let pair = || rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let node = pair();
        let chain = (
            vec![node.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(node.signing_key.serialize_der()).unwrap(),
        );
        let (mut stage, mut outbound) =
            (Stage::default(), Outbound::new(Services { identity: Some(chain), ..Services::default() }).unwrap());
        let mut certificates = Certificates::new(None);
        for n in [201, 202] {
            let made = pair();
            let record = json!({"id": id(n), "cert": made.cert.pem(), "key": made.signing_key.serialize_pem()});
            certificates.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        }
        stage.service(1, json!({"client_certificate": {"id": id(201)}}));
        stage.finish(&mut outbound);
        let (service, upstream) = (Uuid::from_u128(201), Uuid::from_u128(202));
        let number = |id: &Uuid| certificates.by_id(id).unwrap().number();
        let shown =
            |n, of_upstream| outbound.terms(&Uuid::from_u128(n), of_upstream, &certificates).unwrap().numbers().1;
        assert_eq!(shown(1, Some(upstream)), number(&service));
        assert_eq!(shown(1, None), number(&service));
        assert_eq!(shown(2, Some(upstream)), number(&upstream));
        let renewed = outbound.with_settings(Services::default()).unwrap();
        assert!(
            renewed.asks_same(&outbound)
                && terms(&renewed, 3).unwrap().numbers() == (outbound.node_policy.trust.number(), 0)
        );
        let stricter = outbound.with_settings(Services { verify: true, ..Services::default() }).unwrap();
        assert!(terms(&stricter, 3).unwrap().numbers().0 != outbound.node_policy.trust.number());
        let node_policy = outbound.node_policy.identity.as_ref().unwrap().number();
        assert_eq!(shown(2, None), node_policy);
        assert_eq!(outbound.probing(true, None, &certificates).unwrap().numbers().1, node_policy);
        assert_eq!(outbound.probing(false, Some(upstream), &certificates).unwrap().numbers().1, number(&upstream));
        assert!(outbound.probing(true, Some(Uuid::from_u128(999)), &certificates).is_err());
    }
}

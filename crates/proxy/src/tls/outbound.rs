//! Which terms apply to the connections with a service.

use super::{Certificates, Identity, Peers, Services, Trust};
use model::Record;
use model::entities::{Service, Uuid};
use rpds::HashTrieMapSync;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
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
    usual: Arc<Usual>,
    /// Services with wishes of their own.
    services: HashTrieMapSync<Uuid, Special>,
}

/// What the settings of the node say.
#[derive(Debug)]
struct Usual {
    peers: Peers,
    verify: bool,
    trust: Arc<Trust>,
    careless: Arc<Trust>,
    verifying_probes: Arc<Trust>,
    careless_probes: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

#[derive(Clone, Debug)]
struct Special {
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
    made: HashMap<Wish, Weak<Trust>>,
    touched: HashSet<Uuid>,
}

/// Everything that terms with verification follow from, but the settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wish {
    depth: usize,
    /// In order; `None`: those of the node.
    authorities: Option<Vec<Arc<[u8]>>>,
}

impl Outbound {
    /// The terms of the node's settings.
    pub fn new(services: Services) -> Result<Outbound, String> {
        let failed = |e: rustls::Error| format!("TLS towards services: {e}");
        let Services { requests: peers, probes, verify, identity } = services;
        let identity = identity.map(|chain| Identity::new(vec![chain])).transpose()?.map(Arc::new);
        let careless = Arc::new(peers.careless().map_err(failed)?);
        let trust = match verify {
            true => Arc::new(peers.verifying(&peers.roots, peers.depth).map_err(failed)?),
            false => Arc::clone(&careless),
        };
        let verifying_probes = Arc::new(probes.verifying(&probes.roots, probes.depth).map_err(failed)?);
        let careless_probes = Arc::new(probes.careless().map_err(failed)?);
        let usual = Usual { peers, verify, trust, careless, verifying_probes, careless_probes, identity };
        Ok(Outbound { usual: Arc::new(usual), services: HashTrieMapSync::new_sync() })
    }

    /// The same settings, and no services.
    pub fn emptied(&self) -> Outbound {
        Outbound { usual: Arc::clone(&self.usual), services: HashTrieMapSync::new_sync() }
    }

    /// The terms of a service, at targets of an upstream with that certificate. The service's own certificate goes before the
    /// upstream's, and that before the node's. The error says what is missing.
    pub fn terms(&self, service: &Uuid, of_upstream: Option<Uuid>, certificates: &Certificates) -> Result<Terms, String> {
        let special = if self.services.is_empty() { None } else { self.services.get(service) };
        let trust = match special {
            None => &self.usual.trust,
            Some(special) => special.trust.as_ref().ok_or("an authority in ca_certificates is not there or of no use")?,
        };
        let identity = self.identity(special.and_then(|s| s.certificate).or(of_upstream), certificates)?;
        Ok(Terms { trust: Arc::clone(trust), identity })
    }

    /// The terms for probes of the targets of an upstream with that certificate.
    pub fn probing(&self, verify: bool, of_upstream: Option<Uuid>, certificates: &Certificates) -> Result<Terms, String> {
        let trust = if verify { &self.usual.verifying_probes } else { &self.usual.careless_probes };
        Ok(Terms { trust: Arc::clone(trust), identity: self.identity(of_upstream, certificates)? })
    }

    fn identity(&self, certificate: Option<Uuid>, certificates: &Certificates) -> Result<Option<Arc<Identity>>, String> {
        match certificate {
            None => Ok(self.usual.identity.clone()),
            Some(id) => certificates.by_id(&id).cloned().map(Some).ok_or_else(|| format!("the certificate {id} is not there or of no use")),
        }
    }
}

impl Terms {
    /// What rustls needs for a connection.
    pub fn config(&self) -> Arc<rustls::ClientConfig> {
        self.trust.config(self.identity.as_ref())
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
        let text = |field: &str| record.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| format!("{field}: missing"));
        let id = Uuid::parse_str(text("id")?).map_err(|e| format!("id: {e}"))?;
        self.authorities.remove(&id);
        self.touched.extend(self.users.get(&id).into_iter().flatten());
        if !deleted {
            let cert = CertificateDer::from_pem_slice(text("cert")?.as_bytes()).map_err(|e| format!("cert: {e}"))?;
            RootCertStore::empty().add(cert.clone()).map_err(|e| format!("cert: {e}"))?;
            self.authorities.insert(id, Arc::from(cert.as_ref()));
        }
        Ok(())
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

    /// Forgets all services and authorities; terms that are made anew from the same as before stay the same.
    pub fn restart(&mut self) {
        *self = TrustCompiler { made: std::mem::take(&mut self.made), ..TrustCompiler::default() };
    }

    /// Makes the terms of all services that were touched.
    pub fn finish<'s>(&mut self, find: impl Fn(&Uuid) -> Option<&'s Service>, outbound: &mut Outbound) {
        if self.touched.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.touched) {
            match find(&id).filter(|s| is_special(s)) {
                None => {
                    outbound.services.remove_mut(&id);
                }
                Some(service) => {
                    let trust = self.trust(service, &outbound.usual);
                    let trust = trust.inspect_err(|e| tracing::error!(entity = "services", %id, "no connection can be made to a service: {e}")).ok();
                    outbound.services.insert_mut(id, Special { trust, certificate: service.client_certificate });
                }
            }
        }
        self.made.retain(|_, trust| trust.strong_count() > 0);
    }

    fn trust(&mut self, service: &Service, usual: &Usual) -> Result<Arc<Trust>, String> {
        if !service.tls_verify.unwrap_or(usual.verify) {
            return Ok(Arc::clone(&usual.careless));
        }
        let wish = self.wish(service, &usual.peers)?;
        if let Some(trust) = self.made.get(&wish).and_then(Weak::upgrade) {
            return Ok(trust);
        }
        let roots = match &wish.authorities {
            None => Arc::clone(&usual.peers.roots),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(CertificateDer::from_slice(authority)).map_err(|e| e.to_string())?;
                }
                Arc::new(roots)
            }
        };
        let trust = Arc::new(usual.peers.verifying(&roots, wish.depth).map_err(|e| e.to_string())?);
        self.made.insert(wish, Arc::downgrade(&trust));
        Ok(trust)
    }

    fn wish(&self, service: &Service, usual: &Peers) -> Result<Wish, String> {
        let known = |id: &Uuid| self.authorities.get(id).cloned().ok_or_else(|| format!("the authority {id} in ca_certificates is not there or of no use"));
        let mut authorities = service.ca_certificates.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        authorities.sort();
        let depth = service.tls_verify_depth.map_or(usual.depth, usize::from);
        Ok(Wish { depth, authorities: (!authorities.is_empty()).then_some(authorities) })
    }
}

/// Whether the settings of the node do not say all.
fn is_special(service: &Service) -> bool {
    service.client_certificate.is_some() || service.tls_verify.is_some() || service.tls_verify_depth.is_some() || !service.ca_certificates.is_empty()
}

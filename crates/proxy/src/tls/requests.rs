//! Which clients are asked for a certificate because plugins want to see one, as the server name that they ask for
//! tells.

use model::entities::Route;
use model::hostname::{self, HostnamePattern, HostnameSet};
use rustls::DistinguishedName;
use std::collections::HashMap;

/// What clients are asked for; part of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateRequests {
    everybody: Option<Names>,
    exact: HashMap<Box<str>, Names>,
    patterns: Vec<(HostnameSet, Names)>,
}

/// The names of authorities that a client is told; none where one of those who ask wants to see any certificate.
pub(crate) type Names = Vec<DistinguishedName>;

impl CertificateRequests {
    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.everybody.is_none() && self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Has everybody asked.
    pub fn ask_everybody(&mut self, names: &Names) {
        self.everybody = Some(both(self.everybody.take(), names));
    }

    /// Has those asked whose requests may be for a route: by the server names that it has, where these decide.
    pub fn ask_for(&mut self, route: &Route, names: &Names) {
        if route.expression.is_some() || route.snis.is_empty() {
            return self.ask_everybody(names);
        }
        for sni in &route.snis {
            match HostnamePattern::parse(hostname::without_root(sni)) {
                HostnamePattern::Exact(name) => {
                    let known = self.exact.remove(&name);
                    self.exact.insert(name, both(known, names));
                }
                pattern => self.patterns.push((HostnameSet::from_iter([pattern]), names.clone())),
            }
        }
    }

    /// What a client is asked for that asks for that server name, in lower case; `None`: nothing.
    pub fn for_server(&self, name: Option<&str>) -> Option<Names> {
        let exact = name.and_then(|name| self.exact.get(name));
        let patterns = self.patterns.iter().filter(|(set, _)| name.is_some_and(|name| set.contains(name)));
        let all = self.everybody.iter().chain(exact).chain(patterns.map(|(_, names)| names));
        all.fold(None, |found, names| Some(both(found, names)))
    }
}

/// What a client is told of whom both want it to show.
pub(super) fn both(known: Option<Names>, more: &Names) -> Names {
    match known {
        None => more.clone(),
        Some(known) if known.is_empty() || more.is_empty() => Names::new(),
        Some(mut known) => {
            for name in more {
                if known.iter().all(|other| other.as_ref() != name.as_ref()) {
                    known.push(name.clone());
                }
            }
            known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(all: &[&str]) -> Names {
        all.iter().map(|name| DistinguishedName::in_sequence(name.as_bytes())).collect()
    }

    fn route(snis: &[&str]) -> Route {
        let id = model::entities::Uuid::nil().to_string();
        let record = json!({ "id": id, "protocols": ["https"], "paths": ["/"], "snis": snis });
        Route::from_record(record.as_object().unwrap()).unwrap()
    }

    #[test]
    fn the_server_name_says_who_is_asked() {
        let mut requests = CertificateRequests::default();
        assert!(requests.is_empty());
        requests.ask_for(&route(&["A.test.", "*.b.test"]), &names(&["x"]));
        requests.ask_for(&route(&["a.test"]), &names(&["x", "y"]));
        assert!(!requests.is_empty());
        let told = |requests: &CertificateRequests, name: Option<&str>| {
            let names = requests.for_server(name)?;
            Some(names.iter().map(|name| String::from_utf8_lossy(&name.as_ref()[2..]).into_owned()).collect::<String>())
        };
        assert_eq!(told(&requests, None), None);
        assert_eq!(told(&requests, Some("c.test")), None);
        assert_eq!(told(&requests, Some("a.test")).as_deref(), Some("xy"));
        assert_eq!(told(&requests, Some("1.b.test")).as_deref(), Some("x"));
        requests.ask_for(&route(&["a.test"]), &names(&[]));
        assert_eq!(told(&requests, Some("a.test")).as_deref(), Some(""), "one of them takes any certificate");
        requests.ask_for(&route(&[]), &names(&["z"]));
        assert_eq!(told(&requests, None).as_deref(), Some("z"));
        assert_eq!(told(&requests, Some("1.b.test")).as_deref(), Some("zx"));
    }
}

//! The certificates of the configuration, by id and by server name.

use super::Identity;
use model::entities::Uuid;
use model::{Effect, Record, hostname};
use rpds::HashTrieMapSync;
use std::collections::HashSet;
use std::sync::Arc;

/// Certificates by id and by server name; shares what did not change with its predecessor.
#[derive(Clone, Debug)]
pub struct Certificates {
    by_id: HashTrieMapSync<Uuid, Arc<Identity>>,
    /// Lower-cased name, possibly `*.example` or `example.*`, to the id of a certificate.
    names: HashTrieMapSync<String, Uuid>,
    /// The name of each record of `snis`, which may change.
    name_of: HashTrieMapSync<Uuid, String>,
    default: Option<Arc<Identity>>,
}

impl Certificates {
    /// None but that for clients that name no known server.
    pub fn new(default: Option<Arc<Identity>>) -> Certificates {
        Certificates {
            by_id: HashTrieMapSync::new_sync(),
            names: HashTrieMapSync::new_sync(),
            name_of: HashTrieMapSync::new_sync(),
            default,
        }
    }

    /// The same default, and nothing of the configuration.
    pub fn emptied(&self) -> Certificates {
        Certificates::new(self.default.clone())
    }

    /// Takes another default, unless it is the same.
    pub fn reload_tls(&mut self, default: Option<Arc<Identity>>) {
        let same = matches!((&self.default, &default), (Some(old), Some(new)) if old.shows_same(new));
        if !same {
            self.default = default;
        }
    }

    /// Takes a record of `certificates`. What `former` has already, it keeps, with the connections made by it.
    pub fn take_certificate(
        &mut self,
        record: &Record,
        deleted: bool,
        former: Option<&Certificates>,
    ) -> Result<(), String> {
        let id = uuid(record, "id")?;
        if deleted {
            self.by_id.remove_mut(&id);
            return Ok(());
        }
        let new = Identity::from_record(record)?;
        let known = former.map_or(&self.by_id, |f| &f.by_id).get(&id).cloned();
        let kept = known.filter(|known| new.shows_same(known));
        self.by_id.insert_mut(id, kept.unwrap_or_else(|| Arc::new(new)));
        Ok(())
    }

    /// What becomes of a certificate that cannot be used: its former version goes on, if there is one.
    pub fn settle_certificate(&mut self, id: Uuid, former: &Certificates) -> Effect {
        let known = self.by_id.get(&id).or_else(|| former.by_id.get(&id));
        let Some(known) = known.cloned() else { return Effect::NoConnection };
        self.by_id.insert_mut(id, known);
        Effect::Former
    }

    /// Retires what there was in `former` and is here no more, since this takes its place. Of many, only these are to
    /// be looked at.
    pub fn retire_former(&self, former: &Certificates, ids: Option<&HashSet<Uuid>>) {
        let retire = |id: &Uuid, identity: &Identity| {
            if self.by_id.get(id).is_none_or(|now| now.number() != identity.number()) {
                identity.retire();
            }
        };
        match ids {
            None => former.by_id.iter().for_each(|(id, identity)| retire(id, identity)),
            Some(ids) => {
                ids.iter().filter_map(|id| Some((id, former.by_id.get(id)?))).for_each(|(id, i)| retire(id, i));
            }
        }
    }

    /// Takes the default of another one.
    pub fn with_default_of(&self, other: &Certificates) -> Certificates {
        Certificates { default: other.default.clone(), ..self.clone() }
    }

    /// Takes a record of `snis`.
    pub fn take_sni(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let id = uuid(record, "id")?;
        if deleted {
            self.forget_sni(id);
            return Ok(());
        }
        let name = name(record)?;
        let certificate =
            record.get("certificate").and_then(serde_json::Value::as_object).ok_or("certificate: missing")?;
        self.put_sni(id, name, uuid(certificate, "id")?);
        Ok(())
    }

    /// What becomes of a record of `snis` that cannot be used: its former version goes on, if that is for the same
    /// name. Else there is no certificate for its name.
    pub fn settle_sni(&mut self, id: Uuid, record: &Record, former: &Certificates) -> Effect {
        let Ok(name) = name(record) else {
            self.forget_sni(id);
            return Effect::LeftOut;
        };
        let same = former.name_of.get(&id).is_some_and(|known| *known == name);
        let known = former.names.get(&name).filter(|certificate| same && !certificate.is_nil()).copied();
        self.put_sni(id, name, known.unwrap_or(Uuid::nil()));
        if known.is_some() { Effect::Former } else { Effect::NoConnection }
    }

    /// A certificate by its id.
    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<Identity>> {
        self.by_id.get(id)
    }

    /// All of them, once or more.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.by_id.values().chain(&self.default)
    }

    /// The certificate for a server name: exact, then `*.` and `.*` wildcards, then `*`; the default for clients that
    /// name none of these, or no server at all. One that cannot be used has no other in its place.
    pub fn for_server(&self, name: Option<&str>) -> Option<&Arc<Identity>> {
        let found = name
            .filter(|_| !self.names.is_empty())
            .and_then(|name| hostname::certificate_names(name).find_map(|name| self.names.get(&name)));
        match found {
            Some(id) => self.by_id.get(id),
            None => self.default.as_ref(),
        }
    }

    /// Whether a record is for that server name.
    pub fn has_server(&self, name: &str) -> bool {
        !self.names.is_empty() && hostname::certificate_names(name).any(|name| self.names.contains_key(&name))
    }

    fn put_sni(&mut self, id: Uuid, name: String, certificate: Uuid) {
        self.forget_sni(id);
        self.names.insert_mut(name.clone(), certificate);
        self.name_of.insert_mut(id, name);
    }

    fn forget_sni(&mut self, id: Uuid) {
        if let Some(former) = self.name_of.get(&id) {
            self.names.remove_mut(former);
            self.name_of.remove_mut(&id);
        }
    }
}

/// The name of a record of `snis`.
fn name(record: &Record) -> Result<String, String> {
    let name = record.get("name").and_then(serde_json::Value::as_str).ok_or("name: missing")?;
    Ok(name.to_ascii_lowercase())
}

fn uuid(record: &Record, field: &str) -> Result<Uuid, String> {
    let text = record.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| format!("{field}: missing"))?;
    Uuid::parse_str(text).map_err(|e| format!("{field}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn certificate(id: u128) -> Value {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        json!({"id": Uuid::from_u128(id).to_string(), "cert": made.cert.pem(), "key": made.signing_key.serialize_pem()})
    }

    #[test]
    fn names_are_looked_up_from_the_closest_on() {
        let default = Arc::new(Identity::from_record(certificate(0).as_object().unwrap()).unwrap());
        let mut all = Certificates::new(Some(Arc::clone(&default)));
        for (id, names) in [(1, &["One.test"][..]), (2, &["*.one.test", "one.*"]), (3, &["*"]), (4, &["gone.test"])] {
            let record = certificate(id);
            all.take_certificate(record.as_object().unwrap(), false, None).unwrap();
            for name in names {
                let sni = json!({"id": Uuid::new_v4().to_string(), "name": name, "certificate": {"id": record["id"]}});
                all.take_sni(sni.as_object().unwrap(), false).unwrap();
            }
        }
        all.take_certificate(json!({"id": Uuid::from_u128(4).to_string()}).as_object().unwrap(), true, None).unwrap();
        let of = |name| all.for_server(name).unwrap().number();
        let id = |id| all.by_id(&Uuid::from_u128(id)).unwrap().number();
        for (name, expected) in [
            (None, default.number()),
            (Some("one.test"), id(1)),
            (Some("ONE.TEST"), id(1)),
            (Some("one.test."), id(1)),
            (Some("a.one.test."), id(2)),
            (Some("a.one.test"), id(2)),
            (Some("a.b.one.test"), id(3)),
            (Some("one.example"), id(2)),
            (Some(""), id(3)),
        ] {
            assert_eq!(of(name), expected, "{name:?}");
        }
        assert!(all.for_server(Some("gone.test")).is_none(), "another certificate is no answer");
    }

    #[test]
    fn a_name_that_was_given_up_is_nobodys() {
        let (mut all, record) = (Certificates::new(None), certificate(1));
        all.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        let sni = |name: &str| {
            json!({"id": Uuid::from_u128(9).to_string(), "name": name, "certificate": {"id": record["id"]}})
                .as_object()
                .unwrap()
                .clone()
        };
        all.take_sni(&sni("one.test"), false).unwrap();
        all.take_sni(&sni("uno.test"), false).unwrap();
        assert!(all.for_server(Some("one.test")).is_none() && all.for_server(Some("uno.test")).is_some());
        all.take_sni(&sni("uno.test"), true).unwrap();
        assert!(all.for_server(Some("uno.test")).is_none());
    }

    #[test]
    fn what_did_not_change_stays_the_same() {
        let mut all = Certificates::new(None);
        let (id, record) = (Uuid::from_u128(1), certificate(1));
        all.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        let first = all.by_id(&id).unwrap().number();
        all.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        assert_eq!(all.by_id(&id).unwrap().number(), first);
        let mut emptied = all.emptied();
        assert!(emptied.by_id(&id).is_none());
        emptied.take_certificate(record.as_object().unwrap(), false, Some(&all)).unwrap();
        assert_eq!(emptied.by_id(&id).unwrap().number(), first);
        let kept = emptied.clone();
        kept.retire_former(&emptied, None);
        assert!(!emptied.by_id(&id).unwrap().is_retired());
        let alike = certificate(2);
        emptied.take_certificate(alike.as_object().unwrap(), false, None).unwrap();
        kept.retire_former(&emptied, None);
        assert!(emptied.by_id(&Uuid::from_u128(2)).unwrap().is_retired());
        assert!(!emptied.by_id(&id).unwrap().is_retired());
    }

    #[test]
    fn what_was_replaced_is_retired_when_its_successor_takes_effect() {
        let (id, record, other) = (Uuid::from_u128(1), certificate(1), certificate(1));
        let mut all = Certificates::new(None);
        all.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        let mut later = all.clone();
        later.take_certificate(other.as_object().unwrap(), false, None).unwrap();
        let first = all.by_id(&id).unwrap();
        assert!(!first.is_retired(), "nothing has taken effect yet");
        later.retire_former(&all, Some(&HashSet::from([Uuid::from_u128(2)])));
        assert!(!first.is_retired());
        later.retire_former(&all, Some(&HashSet::from([id])));
        assert!(first.is_retired());
        assert!(!later.by_id(&id).unwrap().is_retired());
        assert_ne!(later.by_id(&id).unwrap().number(), first.number());
    }

    #[test]
    fn what_cannot_be_used_has_its_former_version_or_nothing_in_its_place() {
        let (id, record) = (Uuid::from_u128(1), certificate(1));
        let sni = |name: &str, of: Value| {
            let sni = json!({"id": Uuid::from_u128(9).to_string(), "name": name, "certificate": {"id": of}});
            sni.as_object().unwrap().clone()
        };
        let broken = json!({"id": record["id"], "cert": "x", "key": "y"});
        let default = Arc::new(Identity::from_record(certificate(0).as_object().unwrap()).unwrap());
        let none = Certificates::new(Some(default));
        let mut former = none.clone();
        former.take_certificate(record.as_object().unwrap(), false, None).unwrap();
        former.take_sni(&sni("one.test", record["id"].clone()), false).unwrap();
        let number = former.by_id(&id).unwrap().number();
        for mut next in [former.clone(), none.clone()] {
            assert!(next.take_certificate(broken.as_object().unwrap(), false, None).is_err());
            assert_eq!(next.settle_certificate(id, &former), Effect::Former);
            let unclear = sni("one.test", json!("x"));
            assert!(next.take_sni(&unclear, false).is_err());
            assert_eq!(next.settle_sni(Uuid::from_u128(9), &unclear, &former), Effect::Former);
            assert_eq!(next.for_server(Some("one.test")).unwrap().number(), number);
            let unclear = sni("uno.test", json!("x"));
            assert_eq!(next.settle_sni(Uuid::from_u128(9), &unclear, &former), Effect::NoConnection);
            assert!(next.for_server(Some("uno.test")).is_none());
            assert!(next.for_server(Some("one.test")).is_some(), "it is as any other name");
        }
        let mut next = none.clone();
        next.take_sni(&sni("one.test", record["id"].clone()), false).unwrap();
        assert_eq!(next.settle_certificate(id, &none), Effect::NoConnection);
        assert!(next.for_server(Some("one.test")).is_none());
    }
}

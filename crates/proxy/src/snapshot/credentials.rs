//! The credentials in force, found by their keys or by the consumers who have them.

use super::Map;
use super::hash_index::HashIndex;
use model::entities::{Credential, Uuid};
use sdk::{CredentialEntity, CredentialKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All credentials, by entity.
#[derive(Clone, Default)]
pub(crate) struct Credentials(BTreeMap<&'static str, Index>);

/// Those of one entity.
#[derive(Clone, Default)]
struct Index {
    /// Keys are unique in their workspace only.
    by_key: HashIndex<Credential>,
    /// Sorted by id, so that their order is the same after a start.
    by_consumer: Map<Uuid, Arc<Vec<Arc<Credential>>>>,
}

impl Credentials {
    /// The credential with that key in that workspace.
    pub fn find(&self, workspace: &Uuid, entity: &str, key: &str) -> Option<&Credential> {
        let is = |found: &Credential| found.workspace == *workspace && *found.key == *key;
        self.0.get(entity)?.by_key.find(&(workspace, key), is).map(Arc::as_ref)
    }

    /// The credentials that a consumer has.
    pub fn of_consumer(&self, entity: &str, consumer: &Uuid) -> Option<&[Arc<Credential>]> {
        self.0.get(entity)?.by_consumer.get(consumer).map(|all| all.as_slice())
    }

    /// Adds a credential, in place of the one with the same key. The error says what it lacks.
    pub(super) fn insert(&mut self, entity: &CredentialEntity, credential: &Arc<Credential>) -> Result<(), String> {
        let index = self.0.entry(entity.entity).or_default();
        let added = Arc::clone(credential);
        match entity.key {
            CredentialKey::Field(_) | CredentialKey::Pair(..) => {
                let is = |found: &Credential| found.workspace == credential.workspace && found.key == credential.key;
                index.by_key.insert(&(&credential.workspace, &*credential.key), added, is);
            }
            CredentialKey::Consumer => {
                let consumer = credential.consumer.ok_or("consumer: missing")?;
                let mut all = index.by_consumer.get(&consumer).map(|all| all.to_vec()).unwrap_or_default();
                let at = all.partition_point(|other| other.id < credential.id);
                all.insert(at, added);
                index.by_consumer.insert_mut(consumer, Arc::new(all));
            }
        }
        Ok(())
    }

    /// Takes a credential out, if it is there.
    pub(super) fn remove(&mut self, entity: &CredentialEntity, old: &Credential) {
        let Some(index) = self.0.get_mut(entity.entity) else { return };
        match entity.key {
            // The key may be another's by now.
            CredentialKey::Field(_) | CredentialKey::Pair(..) => {
                index.by_key.remove(&(&old.workspace, &*old.key), |found| found.id == old.id);
            }
            CredentialKey::Consumer => {
                let Some(consumer) = old.consumer else { return };
                let all = index.by_consumer.get(&consumer).map(|all| all.as_slice()).unwrap_or_default();
                let rest: Vec<_> = all.iter().filter(|other| other.id != old.id).cloned().collect();
                if rest.is_empty() {
                    index.by_consumer.remove_mut(&consumer);
                } else {
                    index.by_consumer.insert_mut(consumer, Arc::new(rest));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::entities::DEFAULT_WORKSPACE;
    use serde_json::json;

    const ENTITY: &str = "acls";

    fn entity(key: CredentialKey) -> CredentialEntity {
        CredentialEntity { schema: "", entity: ENTITY, key, parse: None }
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn credential(n: u128) -> Arc<Credential> {
        let record = json!({ "id": id(n).to_string(), "consumer": { "id": id(100).to_string() }, "key": "k" });
        Arc::new(Credential::from_record(record.as_object().unwrap(), Some("key")).unwrap())
    }

    /// The ids of what the consumer has.
    fn held(credentials: &Credentials) -> Vec<Uuid> {
        let all = credentials.of_consumer(ENTITY, &id(100)).unwrap_or_default();
        all.iter().map(|credential| credential.id).collect()
    }

    #[test]
    fn credentials_are_found_by_their_consumer() {
        let entity = entity(CredentialKey::Consumer);
        let mut credentials = Credentials::default();
        for n in [2, 3, 1] {
            credentials.insert(&entity, &credential(n)).unwrap();
        }
        assert_eq!(held(&credentials), [id(1), id(2), id(3)]);
        let before = credentials.clone();
        credentials.remove(&entity, &credential(2));
        assert_eq!(held(&credentials), [id(1), id(3)]);
        assert_eq!(held(&before), [id(1), id(2), id(3)]);
        credentials.remove(&entity, &credential(1));
        credentials.remove(&entity, &credential(3));
        assert!(credentials.of_consumer(ENTITY, &id(100)).is_none());
    }

    #[test]
    fn a_key_stays_with_who_has_it_now() {
        let entity = entity(CredentialKey::Field("key"));
        let mut credentials = Credentials::default();
        credentials.insert(&entity, &credential(1)).unwrap();
        credentials.insert(&entity, &credential(2)).unwrap();
        credentials.remove(&entity, &credential(1));
        assert_eq!(credentials.find(&DEFAULT_WORKSPACE, ENTITY, "k").map(|found| found.id), Some(id(2)));
        assert!(credentials.find(&id(9), ENTITY, "k").is_none(), "it is another workspace's");
    }
}

//! The credentials in force, found by their keys or by the consumers who have them.

use super::Map;
use crate::by_workspace::ByWorkspace;
use model::entities::{Credential, Uuid};
use sdk::CredentialKey;
use serde_json::Value;
use std::sync::Arc;

/// All credentials, by entity.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Map<&'static str, Index>);

/// Those of one entity.
#[derive(Clone, Default)]
struct Index {
    by_key: ByWorkspace<String, Arc<Credential>>,
    /// Sorted by id, so that their order is the same after a start.
    by_consumer: Map<Uuid, Arc<Vec<Arc<Credential>>>>,
}

/// Where a credential is found.
pub(super) enum Place {
    /// Keys are unique in a workspace.
    Key(Uuid, String),
    Consumer(Uuid),
}

impl Credentials {
    /// The credential with that key in that workspace.
    pub fn find(&self, workspace: &Uuid, entity: &str, key: &str) -> Option<&Credential> {
        self.0.get(entity)?.by_key.find(workspace, key).map(Arc::as_ref)
    }

    /// The credentials that a consumer has.
    pub fn of_consumer(&self, entity: &str, consumer: &Uuid) -> Option<&[Arc<Credential>]> {
        self.0.get(entity)?.by_consumer.get(consumer).map(|all| all.as_slice())
    }

    /// Puts a credential in its place.
    pub(super) fn insert(&mut self, entity: &'static str, place: &Place, credential: Arc<Credential>) {
        let mut index = self.0.get(entity).cloned().unwrap_or_default();
        match place {
            Place::Key(workspace, key) => index.by_key.insert(*workspace, key.clone(), credential),
            Place::Consumer(consumer) => {
                let mut all = index.by_consumer.get(consumer).map(|all| all.to_vec()).unwrap_or_default();
                let at = all.partition_point(|other| other.id < credential.id);
                all.insert(at, credential);
                index.by_consumer.insert_mut(*consumer, Arc::new(all));
            }
        }
        self.0.insert_mut(entity, index);
    }

    /// Takes the credential with that id out of its place, if it is there.
    pub(super) fn remove(&mut self, entity: &'static str, place: &Place, id: &Uuid) {
        let Some(mut index) = self.0.get(entity).cloned() else { return };
        match place {
            Place::Key(workspace, key) => {
                if index.by_key.find(workspace, key).is_none_or(|found| found.id != *id) {
                    return;
                }
                index.by_key.remove(workspace, key);
            }
            Place::Consumer(consumer) => {
                let all = index.by_consumer.get(consumer).map(|all| all.as_slice()).unwrap_or_default();
                let rest: Vec<_> = all.iter().filter(|other| other.id != *id).cloned().collect();
                if rest.is_empty() {
                    index.by_consumer.remove_mut(consumer);
                } else {
                    index.by_consumer.insert_mut(*consumer, Arc::new(rest));
                }
            }
        }
        self.0.insert_mut(entity, index);
    }
}

impl Place {
    /// The place of a credential that is found by that key.
    pub fn of(credential: &Credential, key: CredentialKey) -> Result<Place, String> {
        match key {
            CredentialKey::Field(field) => {
                let key = credential.record.get(field).and_then(Value::as_str);
                let place = |key: &str| Place::Key(credential.workspace, key.to_owned());
                key.map(place).ok_or_else(|| format!("{field}: missing"))
            }
            CredentialKey::Consumer => {
                credential.consumer.map(Place::Consumer).ok_or_else(|| "consumer: missing".to_owned())
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

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn credential(n: u128) -> Arc<Credential> {
        let record = json!({ "id": id(n).to_string(), "consumer": { "id": id(100).to_string() }, "key": "k" });
        Arc::new(Credential::from_record(record.as_object().unwrap()).unwrap())
    }

    /// The ids of what the consumer has.
    fn held(credentials: &Credentials) -> Vec<Uuid> {
        let all = credentials.of_consumer(ENTITY, &id(100)).unwrap_or_default();
        all.iter().map(|credential| credential.id).collect()
    }

    #[test]
    fn credentials_are_found_by_their_consumer() {
        let place = Place::of(&credential(1), CredentialKey::Consumer).unwrap();
        let mut credentials = Credentials::default();
        for n in [2, 3, 1] {
            credentials.insert(ENTITY, &place, credential(n));
        }
        assert_eq!(held(&credentials), [id(1), id(2), id(3)]);
        let before = credentials.clone();
        credentials.remove(ENTITY, &place, &id(2));
        assert_eq!(held(&credentials), [id(1), id(3)]);
        assert_eq!(held(&before), [id(1), id(2), id(3)]);
        credentials.remove(ENTITY, &place, &id(1));
        credentials.remove(ENTITY, &place, &id(3));
        assert!(credentials.of_consumer(ENTITY, &id(100)).is_none());
    }

    #[test]
    fn a_key_stays_with_who_has_it_now() {
        let place = Place::of(&credential(1), CredentialKey::Field("key")).unwrap();
        let mut credentials = Credentials::default();
        credentials.insert(ENTITY, &place, credential(1));
        credentials.insert(ENTITY, &place, credential(2));
        credentials.remove(ENTITY, &place, &id(1));
        assert_eq!(credentials.find(&DEFAULT_WORKSPACE, ENTITY, "k").map(|found| found.id), Some(id(2)));
        assert!(Place::of(&credential(1), CredentialKey::Field("name")).is_err());
    }
}

//! Where an instance keeps responses: in the node's memory, or in a Redis that nodes share.

use super::redis::RedisStore;
use super::store::{Store, Stores};
use sdk::{Config, Env, entities};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub const DEFAULT_DICTIONARY: &str = "kong_db_cache";

/// The shared memories that Kong defines, by whose names configurations choose a store, with their sizes in its
/// template (MiB); those without have `mem_cache_size`.
const DICTIONARIES: [(&str, Option<usize>); 11] = [
    ("kong", Some(5)),
    ("kong_cluster_events", Some(5)),
    ("kong_core_db_cache", None),
    ("kong_core_db_cache_miss", Some(12)),
    (DEFAULT_DICTIONARY, None),
    ("kong_db_cache_miss", Some(12)),
    ("kong_healthchecks", Some(5)),
    ("kong_locks", Some(8)),
    ("kong_rate_limiting_counters", Some(12)),
    ("kong_secrets", Some(5)),
    ("prometheus_metrics", Some(5)),
];

/// The place of an instance's responses.
#[derive(Clone)]
pub enum Storage {
    Memory(Arc<Store>),
    Redis(Arc<RedisStore>),
}

/// The Redis of each instance in force, by the instance's id: the Admin API knows no more of an instance than its
/// record, which may leave that to a partial or to a vault.
#[derive(Default)]
struct InForce(Mutex<HashMap<entities::Uuid, Weak<RedisStore>>>);

impl Storage {
    /// The storage of an instance of that plugin, which is taken into force.
    pub fn configure(plugin: &entities::Plugin, name: &'static str, env: &Env) -> Result<Storage, String> {
        let config = Config::new(&plugin.config);
        if config.text("strategy") != Some("redis") {
            return Ok(Storage::Memory(memory_of(&config, env)));
        }
        let store = Arc::new(RedisStore::new(name, &config.section("redis"), env)?);
        let in_force: Arc<InForce> = env.shared();
        let mut in_force = in_force.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.retain(|_, store| store.strong_count() > 0);
        in_force.insert(plugin.id, Arc::downgrade(&store));
        Ok(Storage::Redis(store))
    }

    /// The storage of an instance of which only the record is at hand; `None` when it is not in force.
    pub fn of(plugin: &entities::Plugin, env: &Env) -> Option<Storage> {
        let config = Config::new(&plugin.config);
        if config.text("strategy") != Some("redis") {
            return Some(Storage::Memory(memory_of(&config, env)));
        }
        let in_force: Arc<InForce> = env.shared();
        let in_force = in_force.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.get(&plugin.id).and_then(Weak::upgrade).map(Storage::Redis)
    }

    /// The largest response that is kept, in octets.
    pub fn largest(&self) -> usize {
        match self {
            Storage::Memory(store) => store.largest(),
            Storage::Redis(_) => RedisStore::LARGEST,
        }
    }
}

/// Memories that the settings declare, with their sizes in octets.
static DECLARED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Makes one more shared memory known, with that many octets (`lua_shared_dict`).
pub fn declare_dictionary(name: &str, size: usize) {
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), size);
}

/// Whether there is a shared memory of that name.
pub fn is_dictionary(name: &str) -> bool {
    DICTIONARIES.iter().any(|(known, _)| *known == name) || declared(name).is_some()
}

fn declared(name: &str) -> Option<usize> {
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
}

fn memory_of(config: &Config<'_>, env: &Env) -> Arc<Store> {
    let name = config.section("memory").text("dictionary_name").unwrap_or(DEFAULT_DICTIONARY);
    let mebibytes = DICTIONARIES.iter().find(|(known, _)| *known == name).and_then(|(_, size)| *size);
    let size = declared(name).or(mebibytes.map(|size| size << 20));
    env.shared::<Stores>().open(name, size.unwrap_or(env.cache_size()))
}

//! Vaults of the operator's own, in Lua, among the kinds that the node knows.

use model::Record;
use runtimes::lua::{Asked, Described, Paths};
use sdk::{BoxFuture, Env};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use vaults::{Secret, Surroundings, Vault, VaultKind};

/// A vault that has been configured.
struct LuaVault {
    name: &'static str,
    config: Record,
    env: Env,
}

/// Those that have been loaded, which last as long as the process.
static KINDS: Mutex<Option<HashMap<&'static str, &'static VaultKind>>> = Mutex::new(None);

/// Loads the vaults of these names, which are found in `lua_package_path`.
pub fn load(names: &[&str], lua_package_path: &str) -> Result<Vec<&'static VaultKind>, String> {
    let loaded = runtimes::lua::load_vaults(names, &Paths { package: lua_package_path.to_owned() })?;
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    let kinds = kinds.get_or_insert_default();
    Ok(loaded
        .into_iter()
        .map(|(name, described)| *kinds.entry(name).or_insert_with(|| kind(name, described)))
        .collect())
}

fn kind(name: &'static str, described: Described) -> &'static VaultKind {
    let open = move |config: sdk::Config, surroundings: &Surroundings| {
        let given = config.pairs().map(|(name, value)| (name.to_owned(), value.clone()));
        let (config, env) = (given.collect(), surroundings.env.clone());
        Ok(Box::new(LuaVault { name, config, env }) as Box<dyn Vault>)
    };
    let (schema, functions) = (Some(described.schema), described.functions);
    Box::leak(Box::new(VaultKind { name, schema, functions, open: Box::leak(Box::new(open)) }))
}

impl Vault for LuaVault {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move { Ok(self.fetch_lasting(resource, version).await?.map(|secret| secret.text)) })
    }

    fn fetch_lasting<'a>(
        &'a self,
        resource: &'a str,
        version: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Secret>, String>> {
        let (vault, config, resource) = (self.name, self.config.clone(), resource.to_owned());
        Box::pin(async move {
            let told = runtimes::lua::fetch(Asked { vault, config, resource, version }, self.env.clone()).await?;
            Ok(told.map(|told| Secret { text: told.value, ttl: told.ttl }))
        })
    }
}

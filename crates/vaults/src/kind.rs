//! Kinds of vaults.

use crate::{aws, azure, env, fs, gcp, hcv};
use model::{Catalog, Schema};
use sdk::aws::Environment;
use sdk::{BoxFuture, Config, Env, Function};
use std::fmt;

/// A vault that has been configured.
pub trait Vault: Send + Sync {
    /// The text of a secret; `None` when the vault has none of that name and version.
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// The same with how long the vault itself lets it be kept, for one that says so.
    fn fetch_lasting<'a>(
        &'a self,
        resource: &'a str,
        version: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Secret>, String>> {
        Box::pin(async move { Ok(self.fetch(resource, version).await?.map(|text| Secret { text, ttl: None })) })
    }
}

/// What a vault has answered.
#[derive(Clone, PartialEq)]
pub struct Secret {
    pub text: String,
    /// For how many seconds it is kept, 0 for ever, in place of the `ttl` of the configuration.
    pub ttl: Option<f64>,
}

/// A kind of vault.
pub struct VaultKind {
    pub name: &'static str,
    /// Of its configuration; `None` for the one that the model has.
    pub schema: Option<&'static str>,
    /// Those that the schema names.
    pub functions: &'static [(&'static str, Function)],
    pub open: &'static Open,
}

/// Makes a vault of its configuration.
pub type Open = dyn Fn(Config, &Surroundings) -> Result<Box<dyn Vault>, String> + Send + Sync;

/// What vaults need of the node.
#[derive(Clone)]
pub struct Surroundings {
    pub env: Env,
    pub environment: Environment,
}

const KINDS: [VaultKind; 6] = [
    VaultKind { name: "env", schema: None, functions: &[], open: &env::open },
    VaultKind { name: "aws", schema: Some(include_str!("aws.json")), functions: &[], open: &aws::open },
    VaultKind { name: "azure", schema: Some(include_str!("azure.json")), functions: &[], open: &azure::open },
    VaultKind { name: "fs", schema: Some(include_str!("fs.json")), functions: &[], open: &fs::open },
    VaultKind { name: "gcp", schema: Some(include_str!("gcp.json")), functions: &[], open: &gcp::open },
    VaultKind { name: "hcv", schema: Some(include_str!("hcv.json")), functions: &[], open: &hcv::open },
];

/// The kinds that are built in.
pub fn bundled() -> &'static [VaultKind] {
    &KINDS
}

/// Adds what kinds of vaults bring to the schemas of a node.
pub fn register(kinds: &[&'static VaultKind], catalog: &mut Catalog) -> Result<(), String> {
    for kind in kinds {
        if let Some(text) = kind.schema {
            let schema = Schema::parse_with(text, kind.functions)
                .map_err(|error| format!("the schema of the vault {}: {error}", kind.name))?;
            catalog.add_vault(kind.name, schema);
        }
        if !KINDS.iter().any(|known| known.name == kind.name) {
            catalog.reserve_vault(kind.name);
        }
    }
    Ok(())
}

impl fmt::Debug for VaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKind").field("name", &self.name).finish_non_exhaustive()
    }
}

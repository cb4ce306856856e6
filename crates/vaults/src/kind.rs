//! Kinds of vaults.

use crate::{aws, azure, env, fs, gcp, hcv};
use model::{Catalog, Schema};
use sdk::aws::Environment;
use sdk::{BoxFuture, Config, Env};

/// A vault that has been configured.
pub trait Vault: Send + Sync {
    /// The text of a secret; `None` when the vault has none of that name and version.
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>>;
}

/// A kind of vault.
#[derive(Debug)]
pub struct VaultKind {
    pub name: &'static str,
    /// Of its configuration; `None` for the one that the model has.
    pub(crate) schema: Option<&'static str>,
    pub(crate) open: fn(Config, &Surroundings) -> Result<Box<dyn Vault>, String>,
}

/// What vaults need of the node.
#[derive(Clone)]
pub struct Surroundings {
    pub env: Env,
    pub environment: Environment,
}

const KINDS: [VaultKind; 6] = [
    VaultKind { name: "env", schema: None, open: env::open },
    VaultKind { name: "aws", schema: Some(include_str!("aws.json")), open: aws::open },
    VaultKind { name: "azure", schema: Some(include_str!("azure.json")), open: azure::open },
    VaultKind { name: "fs", schema: Some(include_str!("fs.json")), open: fs::open },
    VaultKind { name: "gcp", schema: Some(include_str!("gcp.json")), open: gcp::open },
    VaultKind { name: "hcv", schema: Some(include_str!("hcv.json")), open: hcv::open },
];

/// The kinds that are built in.
pub fn bundled() -> &'static [VaultKind] {
    &KINDS
}

/// Adds what kinds of vaults bring to the schemas of a node.
pub fn register(kinds: &[&'static VaultKind], catalog: &mut Catalog) -> Result<(), String> {
    for kind in kinds {
        if let Some(text) = kind.schema {
            let schema =
                Schema::parse(text).map_err(|error| format!("the schema of the vault {}: {error}", kind.name))?;
            catalog.add_vault(kind.name, schema);
        }
    }
    Ok(())
}

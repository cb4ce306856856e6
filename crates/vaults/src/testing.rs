//! What tests of vaults share.

use crate::{Surroundings, bundled, register};
use model::Catalog;
use sdk::testing::Server;
use sdk::{Env, Record};
use serde_json::{Value, json};

/// A node whose environment is that.
pub fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Surroundings { env: Env::default(), environment: variables.collect() }
}

/// The schemas of a node with all kinds of vaults.
pub fn catalog() -> Catalog {
    let mut catalog = Catalog::core();
    register(&bundled().iter().collect::<Vec<_>>(), &mut catalog).unwrap();
    catalog
}

/// A configuration as it is stored.
pub fn completed(kind: &str, config: Value) -> Record {
    let catalog = catalog();
    let vault = json!({ "name": kind, "prefix": "my-vault", "config": config }).as_object().unwrap().clone();
    let mut vault = catalog.entity("vaults").unwrap().process_insert(&catalog, vault).unwrap();
    match vault.remove("config") {
        Some(Value::Object(config)) => config,
        _ => panic!("a vault has a configuration"),
    }
}

/// The next request, answered with that.
pub async fn reply(server: &Server, status: u16, content: &str) -> (String, String) {
    let mut peer = server.accept().await;
    let request = peer.request().await;
    let length = content.len();
    let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}");
    peer.send(answer.as_bytes()).await;
    request
}

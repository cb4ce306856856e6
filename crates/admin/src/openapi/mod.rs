//! The Admin API in OpenAPI 3.1, made of the tree of endpoints and the schemas (`GET /openapi.json`).

mod components;
mod operations;
mod summaries;

use crate::endpoint::{Endpoint, Endpoints};
use model::Catalog;
use serde_json::{Map, Value, json};

/// The document of an Admin API with these endpoints.
pub fn document(catalog: &Catalog, endpoints: &Endpoints, version: &str) -> Value {
    let mut paths = Map::new();
    let described = |path: &str, endpoint: &Endpoint| !endpoint.disabled() && !summaries::is_refused(path);
    for (path, endpoint) in endpoints.all().filter(|(path, endpoint)| described(path, endpoint)) {
        let (path, item) = operations::path_item(catalog, path, endpoint);
        paths.insert(path, item);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API",
            "version": version,
            "description": "The configuration of a gateway, as Kong's Admin API has it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "/", "description": "The default workspace" },
            {
                "url": "/{workspace}",
                "description": "Another workspace",
                "variables": { "workspace": { "default": "default", "description": "Name or id" } },
            },
        ],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": components::all(catalog),
    })
}

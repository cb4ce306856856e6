//! `/openid-connect/issuers`: what this node remembers of issuers, to be looked at and to be forgotten.

use super::issuer::Issuers;
use sdk::{AdminAnswer, AdminEndpoint, AdminRequest, Env};
use serde_json::{Value, json};

pub const ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/openid-connect/issuers"),
    endpoint("/openid-connect/issuers/{issuers}"),
    endpoint("/openid-connect/jwks"),
];

const fn endpoint(path: &'static str) -> AdminEndpoint {
    AdminEndpoint {
        path,
        methods: &["DELETE", "GET"],
        on_admin: true,
        on_status: false,
        with_instances: false,
        in_workspaces: false,
    }
}

/// Answers a request to one of them. Other nodes forget nothing by it.
pub fn answer(request: &AdminRequest, env: &Env) -> AdminAnswer {
    let issuers = env.shared::<Issuers>();
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    match (request.method.as_str(), &path[..]) {
        ("GET", ["issuers"]) => AdminAnswer::json(200, json!({ "data": issuers.describe(), "next": null })),
        ("GET", ["issuers", name]) => {
            let is_meant = |issuer: &Value| ["id", "issuer"].iter().any(|field| issuer[*field] == *name);
            let found = issuers.describe().into_iter().find(is_meant);
            found.map_or_else(AdminAnswer::not_found, |issuer| AdminAnswer::json(200, issuer))
        }
        ("DELETE", ["issuers"]) => {
            issuers.forget(None);
            AdminAnswer::empty(204)
        }
        ("DELETE", ["issuers", name]) => {
            issuers.forget(Some(name));
            AdminAnswer::empty(204)
        }
        // The node has no keys of its own.
        ("GET", ["jwks"]) => AdminAnswer::json(200, json!({ "keys": [] })),
        ("DELETE", ["jwks"]) => AdminAnswer::empty(204),
        _ => AdminAnswer::not_found(),
    }
}

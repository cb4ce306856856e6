//! `/jwt-signer/jwks`: the sets of keys, without what only signers may know.

use super::key_sets::{Access, public};
use sdk::{AdminAnswer, AdminEndpoint, AdminRequest, Env, Record};
use serde_json::{Value, json};

pub const ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/jwt-signer/jwks", &["GET"]),
    endpoint("/jwt-signer/jwks/{jwt_signer_jwks}", &["DELETE", "GET"]),
    endpoint("/jwt-signer/jwks/{jwt_signer_jwks}/rotate", &["POST"]),
];

const fn endpoint(path: &'static str, methods: &'static [&'static str]) -> AdminEndpoint {
    AdminEndpoint { path, methods, on_admin: true, on_status: false, with_instances: false, in_workspaces: false }
}

/// Answers a request to one of them.
pub async fn answer(request: &AdminRequest, env: &Env) -> AdminAnswer {
    let outcome = act(request, &Access::new(env)).await;
    outcome.unwrap_or_else(|error| {
        tracing::error!("jwt-signer: {error}");
        AdminAnswer::json(500, json!({ "message": "An unexpected error occurred" }))
    })
}

async fn act(request: &AdminRequest, access: &Access) -> Result<AdminAnswer, String> {
    let sets = access.all().await?;
    let path: Vec<&str> = request.path.iter().skip(2).map(String::as_str).collect();
    let named = |name: &str| -> Option<&Record> {
        sets.iter().find(|set| ["id", "name"].iter().any(|field| set.get(*field).and_then(Value::as_str) == Some(name)))
    };
    Ok(match (request.method.as_str(), &path[..]) {
        ("GET", []) => {
            let all: Vec<_> = sets.iter().map(public).collect();
            AdminAnswer::json(200, json!({ "data": all, "next": null }))
        }
        ("GET", [name]) => named(name).map_or_else(AdminAnswer::not_found, |set| AdminAnswer::json(200, public(set))),
        ("DELETE", [name]) => {
            if let Some(set) = named(name) {
                access.delete(set).await?;
            }
            AdminAnswer::empty(204)
        }
        ("POST", [name, "rotate"]) => match named(name) {
            Some(set) => AdminAnswer::json(200, public(&access.rotate(set).await?)),
            None => AdminAnswer::not_found(),
        },
        _ => AdminAnswer::not_found(),
    })
}

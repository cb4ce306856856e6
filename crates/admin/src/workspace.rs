//! The workspace that a path is about: its first segment, where no endpoint's path begins with that.

use crate::answer::Answer;
use crate::endpoint::Endpoints;
use crate::form;
use serde_json::Value;
use store::{DEFAULT_WORKSPACE, Scope, Store};

/// The entity of workspaces.
pub const ENTITY: &str = "workspaces";

/// A path without the workspace that it was about.
pub struct Place<'a> {
    /// The records of that workspace.
    pub store: Store,
    /// What was taken from the path, as the client wrote it; empty for the default workspace.
    pub prefix: &'a str,
    pub path: &'a str,
    /// The name of the workspace.
    pub workspace: String,
}

impl<'a> Place<'a> {
    /// A path about the default workspace.
    pub fn of_default(store: &Store, path: &'a str) -> Place<'a> {
        Place { store: store.clone(), prefix: "", path, workspace: DEFAULT_WORKSPACE.to_owned() }
    }
}

/// Takes the workspace from a path. What names none is about the default one.
pub async fn of_path<'a>(store: &Store, endpoints: &Endpoints, path: &'a str) -> Result<Place<'a>, Answer> {
    let of_default = Place::of_default(store, path);
    let first = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
    let Some(name) = form::unescape(first.as_bytes()).filter(|name| !name.is_empty() && !endpoints.has_first(name))
    else {
        return Ok(of_default);
    };
    let workspace = match store.get(ENTITY, &store.key(ENTITY, &name)).await {
        Ok(workspace) => workspace,
        // What cannot be a workspace's name is none.
        Err(error) if error.status() < 500 => None,
        Err(error) => return Err(error.into()),
    };
    let named = workspace.as_ref().and_then(|workspace| {
        let text = |field: &str| workspace.get(field).and_then(Value::as_str);
        Some((text("id")?.parse().ok()?, text("name")?.to_owned()))
    });
    let Some((id, workspace)) = named else { return Ok(of_default) };
    let (prefix, rest) = path.split_at(first.len() + 1);
    // What clients ask when they only know a workspace.
    let rest = if matches!(rest, "" | "/kong" | "/kong/") { "/" } else { rest };
    Ok(Place { store: store.of(Scope::Workspace(id)), prefix, path: rest, workspace })
}

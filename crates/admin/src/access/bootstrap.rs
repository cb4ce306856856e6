//! What a database has from the start: the default roles, and the first administrator (`KONG_PASSWORD`).

use super::rules::{ACTIONS, ANY, Action};
use super::{APPROVED, rights, secret, text};
use crate::answer::Answer;
use model::{Error, Record};
use serde_json::{Value, json};
use store::{Key, Scope, Store, Transaction};

/// The role of whoever may do everything.
pub const SUPER_ADMIN: &str = "super-admin";
/// The first administrator, as Kong calls it.
const FIRST: &str = "kong_admin";
/// The default roles.
const ROLES: [&str; 3] = ["read-only", "admin", SUPER_ADMIN];
/// A record of `parameters` that is there since the default roles have rules about records, too. Whoever takes these
/// away from them does not get them back.
const COMPLETE: &str = "bascule:default_roles";
/// What `admin` may not do: whoever gives roles away, or takes another's place, gives itself all of them.
const FORBIDDEN: &[&str] = &[
    "/rbac/*",
    "/rbac/*/*",
    "/rbac/*/*/*",
    "/rbac/*/*/*/*",
    "/rbac/*/*/*/*/*",
    "/rbac/*/*/*/*/*/*",
    "/admins",
    "/admins/*",
    "/admins/*/*",
    "/groups",
    "/groups/*",
    "/groups/*/*",
];

/// Adds the default roles to a database that does not have them, and, where it has no user either, an administrator
/// with all rights, whose token and password is `password`. Whether there is any user then.
pub async fn prepare(store: &Store, password: Option<&str>) -> Result<bool, String> {
    let password = password.filter(|password| !password.is_empty());
    let hash = match password {
        Some(password) => Some(secret::hash("password", password).await.map_err(words)?),
        None => None,
    };
    let ident = password.map(secret::ident);
    let users = store.of(Scope::All).count("rbac_users").await.map_err(|error| error.message)? > 0;
    let prepared = store.transaction(move |transaction| {
        if transaction.get("rbac_roles", &Key::Name(SUPER_ADMIN.to_owned()))?.is_none() {
            add_roles(transaction)?;
        }
        complete_roles(transaction)?;
        match (&hash, &ident) {
            (Some(hash), Some(ident)) if !users => add_first(transaction, hash, ident).map(|()| true),
            _ => Ok::<_, Error>(users),
        }
    });
    prepared.await.map(|(_, users)| users).map_err(|error| error.message)
}

fn add_roles(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    let all: Vec<&str> = ACTIONS.into_iter().map(Action::name).collect();
    let read = vec![Action::Read.name()];
    for (name, comment, actions, forbidden) in [
        ("read-only", "Read access to all endpoints, across all workspaces", &read, &[][..]),
        ("admin", "Full access to all endpoints, across all workspaces—except RBAC Admin API", &all, FORBIDDEN),
        (SUPER_ADMIN, "Full access to all endpoints, across all workspaces", &all, &[]),
    ] {
        let role = insert(transaction, "rbac_roles", json!({ "name": name, "comment": comment }))?;
        let mut add = |endpoint: &str, actions: &[&str], negative: bool| {
            let rule = json!({
                "role": { "id": role["id"] },
                "workspace": ANY,
                "endpoint": endpoint,
                "actions": actions,
                "negative": negative,
            });
            insert(transaction, "rbac_role_endpoints", rule).map(drop)
        };
        add(ANY, actions, false)?;
        forbidden.iter().try_for_each(|endpoint| add(endpoint, &all, true))?;
    }
    Ok(())
}

/// Gives default roles the rule about all records, once: those of earlier versions have none.
fn complete_roles(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    let key = Key::Id(COMPLETE.to_owned());
    if transaction.get("parameters", &key)?.is_some() {
        return Ok(());
    }
    for name in ROLES {
        let Some(role) = transaction.get("rbac_roles", &Key::Name(name.to_owned()))? else { continue };
        let id = text(&role, "id");
        if !transaction.all_for(rights::ENTITY, "role", id)?.is_empty() {
            continue;
        }
        let actions: Vec<&str> = match name {
            "read-only" => vec![Action::Read.name()],
            _ => ACTIONS.into_iter().map(Action::name).collect(),
        };
        let rule = json!({ "role": { "id": id }, "entity_id": ANY, "entity_type": "wildcard", "actions": actions });
        insert(transaction, rights::ENTITY, rule)?;
    }
    insert(transaction, "parameters", json!({ "key": COMPLETE, "value": "1" })).map(drop)
}

fn add_first(transaction: &mut Transaction<'_>, hash: &str, ident: &str) -> Result<(), Error> {
    let user = json!({
        "name": FIRST,
        "user_token": hash,
        "user_token_ident": ident,
        "comment": "Initial RBAC Secure User",
    });
    let user = insert(transaction, "rbac_users", user)?;
    give(transaction, &user["id"], SUPER_ADMIN)?;
    let admin = json!({ "username": FIRST, "password": hash, "status": APPROVED, "rbac_user": { "id": user["id"] } });
    insert(transaction, "admins", admin).map(drop)
}

/// Gives a user a role of the workspace that the transaction is about, if there is one of that name that is nobody's
/// own.
pub fn give(transaction: &mut Transaction<'_>, user: &Value, role: &str) -> Result<(), Error> {
    let role = transaction.get("rbac_roles", &Key::Name(role.to_owned()))?;
    if let Some(role) = role.filter(|role| !rights::is_own(role)) {
        insert(transaction, "rbac_user_roles", json!({ "user": { "id": user }, "role": { "id": role["id"] } }))?;
    }
    Ok(())
}

fn insert(transaction: &mut Transaction<'_>, entity: &str, record: Value) -> Result<Record, Error> {
    transaction.insert(entity, record.as_object().cloned().unwrap_or_default())
}

fn words(answer: Answer) -> String {
    let message = answer.body.and_then(|body| body["message"].as_str().map(str::to_owned));
    message.unwrap_or_else(|| "the password cannot be hashed".to_owned())
}

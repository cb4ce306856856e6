//! `/rbac`: users, roles, and what roles allow.

mod endpoints;
mod roles;
mod users;

use crate::access::text;
use crate::answer::Answer;
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::Drafts;
use crate::nested;
use crate::resource::{Resource, Subject};
use model::{Catalog, Record};
use serde_json::{Value, json};
use store::{Key, Scope, Store, Transaction};

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let mut resources = Resource::all(catalog);
    let mut subject = |entity: &str| {
        let outer = resources.remove(entity)?;
        Some(Subject { outer, inner: None, field: String::new() })
    };
    if let (Some(of_users), Some(of_roles)) = (subject("rbac_users"), subject("rbac_roles")) {
        users::add(drafts, of_users);
        roles::add(drafts, of_roles.clone());
        endpoints::add(drafts, of_roles);
    }
}

/// The names of the roles that content gives: a list, or text with commas between them.
pub fn role_names(content: &Content) -> Result<Vec<String>, Answer> {
    let names = match content.field("roles") {
        Some(Value::String(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let names: Vec<String> = names.into_iter().filter(|name: &String| !name.is_empty()).collect();
    if names.is_empty() { Err(Answer::message(400, "roles is required")) } else { Ok(names) }
}

/// The roles of those names, or ids, in the workspace that a transaction is about.
pub fn find_roles(transaction: &mut Transaction<'_>, names: &[String]) -> Result<Vec<Record>, Answer> {
    let find = |name: &String| {
        let key = if store::is_uuid(name) { Key::Id(name.clone()) } else { Key::Name(name.clone()) };
        let role = transaction.get("rbac_roles", &key)?;
        role.ok_or_else(|| Answer::message(400, format!("role not found with name '{name}'")))
    };
    names.iter().map(find).collect()
}

/// Gives a user roles that it may have already.
pub async fn give_roles(call: &Call, user: &str, names: Vec<String>) -> Result<(), Answer> {
    let has = links(&call.store, user).await?;
    let user = user.to_owned();
    let given = call.write(move |transaction| {
        for role in find_roles(transaction, &names)? {
            let id = nested::id(&role);
            if !has.iter().any(|(_, role)| *role == id) {
                let link = json!({ "user": { "id": user }, "role": { "id": id } });
                transaction.insert("rbac_user_roles", link.as_object().cloned().unwrap_or_default())?;
            }
        }
        Ok(())
    });
    given.await
}

/// Takes roles from a user.
pub async fn take_roles(call: &Call, user: &str, names: Vec<String>) -> Result<(), Answer> {
    let has = links(&call.store, user).await?;
    let taken = call.write(move |transaction| {
        for role in find_roles(transaction, &names)? {
            let id = nested::id(&role);
            for (link, _) in has.iter().filter(|(_, role)| *role == id) {
                transaction.delete("rbac_user_roles", &Key::Id(link.clone()))?;
            }
        }
        Ok(())
    });
    taken.await
}

/// The roles of a user, of all workspaces, as they are shown.
pub async fn roles_of(store: &Store, user: &str) -> Result<Vec<Value>, Answer> {
    let store = store.of(Scope::All);
    let mut roles = Vec::new();
    for link in store.all_for("rbac_user_roles", "user", user).await? {
        let role = store.get("rbac_roles", &Key::Id(crate::access::foreign(&link, "role"))).await?;
        roles.extend(role.map(|mut role| {
            role.insert("role_source".to_owned(), text(&link, "role_source").into());
            Value::Object(role)
        }));
    }
    roles.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(roles)
}

/// What connects a user with its roles: the id of the connection, and that of the role.
async fn links(store: &Store, user: &str) -> Result<Vec<(String, String)>, Answer> {
    let links = store.all_for("rbac_user_roles", "user", user).await?;
    Ok(links.iter().map(|link| (nested::id(link), crate::access::foreign(link, "role"))).collect())
}

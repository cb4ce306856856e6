//! `/rbac`: users, roles, and what roles allow, with endpoints and with single records.

mod endpoints;
mod entities;
mod roles;
mod users;

use crate::access::rights;
use crate::access::rules::{ACTIONS, ANY, Action};
use crate::access::{foreign, text};
use crate::answer::Answer;
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::Drafts;
use crate::resource::{Resource, Subject};
use crate::{entity, nested};
use model::{Catalog, Error, Record};
use serde_json::{Value, json};
use store::{DEFAULT_WORKSPACE, Key, Scope, Transaction};

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let mut resources = Resource::all(catalog);
    let mut subject = |entity: &str| {
        let outer = resources.remove(entity)?;
        Some(Subject { outer, inner: None, field: String::new() })
    };
    if let (Some(of_users), Some(of_roles)) = (subject("rbac_users"), subject("rbac_roles")) {
        users::add(drafts, of_users);
        roles::add(drafts, of_roles.clone());
        endpoints::add(drafts, of_roles.clone());
        entities::add(drafts, of_roles);
    }
}

/// The names that a field of content gives: a list, or text with commas between them.
pub fn names(content: &Content, field: &str) -> Result<Vec<String>, Answer> {
    let names = content.field(field).and_then(listed).unwrap_or_default();
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { Err(Answer::message(400, format!("{field} is required"))) } else { Ok(names) }
}

/// The words of a list, or of text with commas between them, which is the one entry of a list where it comes in a form.
fn listed(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    Some(texts.into_iter().flat_map(|text| text.split(',')).map(|word| word.trim().to_owned()).collect())
}

/// The roles of those names, or ids, in the workspace that a transaction is about.
pub fn find_roles(transaction: &mut Transaction<'_>, names: &[String]) -> Result<Vec<Record>, Answer> {
    let find = |name: &String| {
        let key = if store::is_uuid(name) { Key::Id(name.clone()) } else { Key::Name(name.clone()) };
        let role = transaction.get("rbac_roles", &key)?.filter(|role| !rights::is_own(role));
        role.ok_or_else(|| Answer::message(400, format!("role not found with name '{name}'")))
    };
    names.iter().map(find).collect()
}

/// Gives a user roles that it may have already.
pub async fn give_roles(call: &Call, user: &str, names: Vec<String>) -> Result<(), Answer> {
    let has = links(call, user).await?;
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
    let has = links(call, user).await?;
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

/// The roles of a user, of all workspaces, as they are shown: without the one that is the user's alone.
pub async fn roles_of(call: &Call, user: &str) -> Result<Vec<Value>, Answer> {
    let store = call.store.whole().of(Scope::All);
    let mut roles = Vec::new();
    for link in store.all_for("rbac_user_roles", "user", user).await? {
        let role = store.get("rbac_roles", &Key::Id(foreign(&link, "role"))).await?;
        roles.extend(role.filter(|role| !rights::is_own(role)).map(|mut role| {
            role.insert("role_source".to_owned(), text(&link, "role_source").into());
            Value::Object(role)
        }));
    }
    roles.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(roles)
}

/// What connects a user with its roles: the id of the connection, and that of the role.
async fn links(call: &Call, user: &str) -> Result<Vec<(String, String)>, Answer> {
    let links = call.store.all_for("rbac_user_roles", "user", user).await?;
    Ok(links.iter().map(|link| (nested::id(link), foreign(link, "role"))).collect())
}

/// Refuses to lay hands on a user who may do more than the workspace of the call has to give: whoever could change its
/// token or its password would have its rights elsewhere. Those may who change users of the default workspace.
pub async fn check_reach(call: &Call, user: &str) -> Result<(), Answer> {
    let Some(caller) = call.user.as_ref().filter(|_| call.workspace != DEFAULT_WORKSPACE) else { return Ok(()) };
    let path = ["rbac", "users", user].map(str::to_owned);
    if call.state.access.rules(&caller.roles).await?.allow(DEFAULT_WORKSPACE, &path, Action::Update) {
        return Ok(());
    }
    let everywhere = call.store.whole().of(Scope::All);
    for role in call.state.access.roles(user).await? {
        let key = Key::Id(role);
        let own = everywhere.get("rbac_roles", &key).await?.is_none_or(|role| rights::is_own(&role));
        if !own && call.store.get("rbac_roles", &key).await?.is_none() {
            return Err(Answer::message(403, "the user has roles of other workspaces"));
        }
    }
    Ok(())
}

/// Deletes a user, with the role that is its alone.
pub fn delete_user(transaction: &mut Transaction<'_>, user: &Key) -> Result<(), Answer> {
    let Some(found) = transaction.get("rbac_users", user)? else { return Ok(()) };
    let roles = transaction.all_for("rbac_user_roles", "user", text(&found, "id"))?;
    transaction.delete("rbac_users", user)?;
    transaction.enter(Scope::All);
    for key in roles.iter().map(|link| Key::Id(foreign(link, "role"))) {
        if transaction.get("rbac_roles", &key)?.is_some_and(|role| rights::is_own(&role)) {
            transaction.delete("rbac_roles", &key)?;
        }
    }
    Ok(())
}

/// The id of the role that the path names.
async fn role(call: &Call) -> Result<String, Answer> {
    let resource = entity::subject(call)?.outer;
    Ok(nested::id(&entity::find(call, &resource, &call.key(&resource, 0)).await?))
}

/// Reads `actions` as Kong does: a list, or text with commas between them; `*` for all of them.
fn read_actions(input: &mut Record) -> Result<(), Answer> {
    let Some(given) = input.get("actions").and_then(listed) else { return Ok(()) };
    if let Some(unknown) = given.iter().find(|name| *name != ANY && Action::of_name(name).is_none()) {
        return Err(Error::field_violation("actions", format!("Undefined RBAC action '{unknown}'")).into());
    }
    let wanted = |action: &Action| given.iter().any(|name| name == ANY || name == action.name());
    let actions: Vec<&str> = ACTIONS.into_iter().filter(wanted).map(Action::name).collect();
    input.insert("actions".to_owned(), actions.into());
    Ok(())
}

/// A rule as it is shown: by its role and what it is about, which are its name.
fn shown(mut rule: Record) -> Value {
    rule.retain(|field, _| !["id", "within"].contains(&field.as_str()));
    Value::Object(rule)
}

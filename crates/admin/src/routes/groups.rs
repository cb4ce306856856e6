//! `/groups`: sets of roles, of several workspaces, for users that are in them (`/rbac/users/{user}/groups`).

use crate::access::rules::Action;
use crate::access::{foreign, text};
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::{Resource, Subject};
use crate::{entity, nested, page};
use model::{Catalog, Error, Record};
use serde_json::{Value, json};
use store::{DEFAULT_WORKSPACE, Key, Scope};

const ENTITY: &str = "groups";
const ONE: &str = "/groups/{groups}";
/// Connects groups with their roles.
const ROLES: &str = "group_rbac_roles";
/// Connects users with their groups.
const MEMBERS: &str = "rbac_user_groups";

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let mut resources = Resource::all(catalog);
    let mut subject = |entity: &str| {
        let outer = resources.remove(entity)?;
        Some(Subject { outer, inner: None, field: String::new() })
    };
    let (Some(groups), Some(users)) = (subject(ENTITY), subject("rbac_users")) else { return };
    drafts.add_about(
        groups.clone(),
        "/groups",
        &[(Method::Get, |call| Box::pin(entity::list(call))), (Method::Post, |call| Box::pin(entity::create(call)))],
    );
    drafts.add_about(
        groups.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Put, |call| Box::pin(entity::replace(call))),
            (Method::Patch, |call| Box::pin(entity::change(call))),
            (Method::Delete, |call| Box::pin(entity::delete(call))),
        ],
    );
    let roles = format!("{ONE}/roles");
    drafts.add_about(
        groups,
        &roles,
        &[
            (Method::Get, |call| Box::pin(list_roles(call))),
            (Method::Post, |call| Box::pin(add_role(call))),
            (Method::Delete, |call| Box::pin(remove_role(call))),
        ],
    );
    drafts.names_what_it_deletes(&roles);
    let of_user = "/rbac/users/{rbac_users}/groups";
    drafts.add_about(
        users,
        of_user,
        &[
            (Method::Get, |call| Box::pin(list_groups(call, 200))),
            (Method::Post, |call| Box::pin(enter(call))),
            (Method::Delete, |call| Box::pin(leave(call))),
        ],
    );
    drafts.names_what_it_deletes(of_user);
}

async fn list_roles(call: Call) -> HandlerResult {
    let group = outer(&call).await?;
    let mut data = Vec::new();
    for link in call.store.all_for(ROLES, "group", &nested::id(&group)).await? {
        data.push(shown(&call, &group, &link).await?);
    }
    let path = format!("{}/groups/{}/roles", call.prefix, call.raw_parameter(0));
    Ok(Answer::new(200, page::answer(data, None, &path, "")))
}

/// A role and its workspace, by their ids. A group that has it already goes on having it.
async fn add_role(call: Call) -> HandlerResult {
    let group = outer(&call).await?;
    let (role, workspace) = (named(&call, "rbac_role_id")?, named(&call, "workspace_id")?);
    let within = workspace.parse().map_err(|_| unknown("workspace_id"))?;
    let of_workspace = call.store.whole().of(Scope::Workspace(within));
    if of_workspace.get("rbac_roles", &Key::Id(role.clone())).await?.is_none() {
        return Err(unknown("rbac_role_id"));
    }
    let link = json!({ "group": { "id": group["id"] }, "rbac_role": { "id": role }, "workspace": { "id": workspace } });
    let link = link.as_object().cloned().unwrap_or_default();
    let written = call.write(move |transaction| {
        let known = transaction.all_for(ROLES, "group", text(&group, "id"))?;
        let known = known.into_iter().find(|known| foreign(known, "rbac_role") == role);
        Ok((group.clone(), known.map_or_else(|| transaction.insert(ROLES, link.clone()), Ok)?))
    });
    let (group, link) = written.await?;
    Ok(Answer::new(201, shown(&call, &group, &link).await?))
}

async fn remove_role(call: Call) -> HandlerResult {
    let group = nested::id(&outer(&call).await?);
    let role = named(&call, "rbac_role_id")?;
    let removed = call.write(move |transaction| {
        for link in transaction.all_for(ROLES, "group", &group)? {
            if foreign(&link, "rbac_role") == role {
                transaction.delete(ROLES, &Key::Id(nested::id(&link)))?;
            }
        }
        Ok(())
    });
    removed.await?;
    Ok(Answer::empty(204))
}

async fn list_groups(call: Call, status: u16) -> HandlerResult {
    let user = outer(&call).await?;
    let links = call.store.all_for(MEMBERS, "user", &nested::id(&user)).await?;
    let ids: Vec<String> = links.iter().map(|link| foreign(link, "group")).collect();
    let groups: Vec<Value> = call.store.get_many(ENTITY, &ids).await?.into_iter().map(Value::Object).collect();
    Ok(Answer::new(status, json!({ "groups": groups, "user": user })))
}

async fn enter(call: Call) -> HandlerResult {
    let (user, groups) = (nested::id(&outer(&call).await?), groups(&call).await?);
    let entered = call.write(move |transaction| {
        let known = transaction.all_for(MEMBERS, "user", &user)?;
        for group in groups.iter().filter(|group| known.iter().all(|link| foreign(link, "group") != **group)) {
            let link = json!({ "user": { "id": user }, "group": { "id": group } });
            transaction.insert(MEMBERS, link.as_object().cloned().unwrap_or_default())?;
        }
        Ok(())
    });
    entered.await?;
    list_groups(call, 201).await
}

async fn leave(call: Call) -> HandlerResult {
    let (user, groups) = (nested::id(&outer(&call).await?), groups(&call).await?);
    let left = call.write(move |transaction| {
        for link in transaction.all_for(MEMBERS, "user", &user)? {
            if groups.contains(&foreign(&link, "group")) {
                transaction.delete(MEMBERS, &Key::Id(nested::id(&link)))?;
            }
        }
        Ok(())
    });
    left.await?;
    Ok(Answer::empty(204))
}

/// The group or the user that the path names.
async fn outer(call: &Call) -> Result<Record, Answer> {
    let resource = entity::subject(call)?.outer;
    entity::find(call, &resource, &call.key(&resource, 0)).await
}

/// The ids of the groups that content names. A group may have roles of any workspace: who is in it is for those to say
/// who may change it.
async fn groups(call: &Call) -> Result<Vec<String>, Answer> {
    let mut ids = Vec::new();
    for name in super::rbac::names(&call.content, "groups")? {
        if let Some(user) = &call.user {
            let path = ["groups", &name].map(str::to_owned);
            let rules = call.state.access.rules(&user.roles).await?;
            if !rules.allow(DEFAULT_WORKSPACE, &path, Action::Update) {
                return Err(user.refusal(Action::Update));
            }
        }
        let group = call.store.get(ENTITY, &call.store.key(ENTITY, &name)).await?;
        let group = group.ok_or_else(|| Answer::message(400, format!("group not found with name '{name}'")))?;
        ids.push(nested::id(&group));
    }
    Ok(ids)
}

fn named(call: &Call, field: &str) -> Result<String, Answer> {
    let id = call.content.field(field).and_then(Value::as_str).unwrap_or_default();
    if store::is_uuid(id) { Ok(id.to_ascii_lowercase()) } else { Err(unknown(field)) }
}

fn unknown(field: &str) -> Answer {
    Error::field_violation(field, "must be the id of a role, and of its workspace").into()
}

/// A role of a group as it is shown, with all three records.
async fn shown(call: &Call, group: &Record, link: &Record) -> Result<Value, Answer> {
    let everywhere = call.store.whole().of(Scope::All);
    let role = everywhere.get("rbac_roles", &Key::Id(foreign(link, "rbac_role"))).await?;
    let workspace = everywhere.get("workspaces", &Key::Id(foreign(link, "workspace"))).await?;
    Ok(json!({ "group": group, "rbac_role": role, "workspace": workspace }))
}

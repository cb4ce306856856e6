//! `/rbac/roles/{role}/endpoints`: what a role allows, named by workspace and path.

use super::{read_actions, role, shown};
use crate::access::rules::{ANY, segments};
use crate::access::text;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::{entity, nested, page};
use model::{Error, Record};
use serde_json::{Value, json};
use store::{DEFAULT_WORKSPACE, Key, PageQuery};

const ENTITY: &str = "rbac_role_endpoints";
const ALL: &str = "/rbac/roles/{rbac_roles}/endpoints";

pub fn add(drafts: &mut Drafts, subject: Subject) {
    drafts.add_about(
        subject.clone(),
        ALL,
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject,
        &format!("{ALL}/{{workspace}}/*"),
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
}

async fn list(call: Call) -> HandlerResult {
    let role = role(&call).await?;
    let resource = entity::subject(&call)?.outer;
    let query = PageQuery { foreign: Some(("role".to_owned(), role)), ..page::query(&call.query, &resource)? };
    let found = call.store.page(ENTITY, &query).await?;
    let path = format!("{}/rbac/roles/{}/endpoints", call.prefix, call.raw_parameter(0));
    let shown = found.data.into_iter().map(shown).collect();
    Ok(Answer::new(200, page::answer(shown, found.offset, &path, &page::carried(&call.query))))
}

async fn create(mut call: Call) -> HandlerResult {
    let role = role(&call).await?;
    let mut input = call.input(ENTITY)?;
    let given = input.get("workspace").and_then(Value::as_str).unwrap_or(&call.workspace).to_owned();
    input.insert("workspace".to_owned(), workspace(&call, &given).await?.into());
    let endpoint = input.get("endpoint").and_then(Value::as_str);
    if let Some(endpoint) = endpoint.filter(|endpoint| *endpoint != ANY && !endpoint.starts_with('/')) {
        let endpoint = format!("/{endpoint}");
        input.insert("endpoint".to_owned(), endpoint.into());
    }
    read_actions(&mut input)?;
    input.insert("role".to_owned(), json!({ "id": role }));
    let record = call.write(move |transaction| Ok(transaction.insert(ENTITY, input.clone())?)).await?;
    Ok(Answer::new(201, shown(record)))
}

async fn read(call: Call) -> HandlerResult {
    Ok(Answer::new(200, shown(find(&call).await?.ok_or_else(Answer::not_found)?)))
}

async fn change(mut call: Call) -> HandlerResult {
    let id = nested::id(&find(&call).await?.ok_or_else(Answer::not_found)?);
    let mut input = call.input(ENTITY)?;
    // The path says which.
    for field in ["role", "workspace", "endpoint"] {
        input.remove(field);
    }
    read_actions(&mut input)?;
    let changed = call.write(move |transaction| Ok(transaction.update(ENTITY, &Key::Id(id.clone()), input.clone())?));
    Ok(Answer::new(200, shown(changed.await?.ok_or_else(Answer::not_found)?)))
}

async fn delete(call: Call) -> HandlerResult {
    if let Some(rule) = find(&call).await? {
        let id = nested::id(&rule);
        call.write(move |transaction| Ok(transaction.delete(ENTITY, &Key::Id(id.clone()))?)).await?;
    }
    Ok(Answer::empty(204))
}

/// The rule that the path names.
async fn find(call: &Call) -> Result<Option<Record>, Answer> {
    let (role, workspace) = (role(call).await?, workspace(call, &call.parameter(1)).await?);
    let endpoint = call.parameter(2);
    let named = |rule: &Record| {
        let given = text(rule, "endpoint");
        let any = segments(&endpoint) == [ANY];
        text(rule, "workspace") == workspace
            && if any { given == ANY } else { given != ANY && segments(given) == segments(&endpoint) }
    };
    Ok(call.store.all_for(ENTITY, "role", &role).await?.into_iter().find(named))
}

/// The name of a workspace that is given by name or id. Of other workspaces only roles of the default one speak.
async fn workspace(call: &Call, given: &str) -> Result<String, Answer> {
    let name = match given {
        ANY => ANY.to_owned(),
        _ => {
            let found = call.store.get("workspaces", &call.store.key("workspaces", given)).await?;
            let found = found.ok_or_else(|| Answer::message(404, format!("Workspace {given} does not exist")))?;
            text(&found, "name").to_owned()
        }
    };
    if name != call.workspace && call.workspace != DEFAULT_WORKSPACE {
        let words = "must be the workspace of the role, unless that is the default one";
        return Err(Error::field_violation("workspace", words).into());
    }
    Ok(name)
}

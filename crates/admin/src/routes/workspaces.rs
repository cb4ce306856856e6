//! `/workspaces`: each has names of its own for what belongs to it. The `default` one is always there.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::{Resource, Subject};
use crate::workspace::ENTITY;
use crate::{entity, nested};
use model::{Catalog, Code, Error, Record};
use serde_json::{Map, Value, json};
use store::{Key, Scope, Store, Transaction};

const ONE: &str = "/workspaces/{workspaces}";

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let Some(resource) = Resource::all(catalog).remove(ENTITY) else { return };
    let subject = Subject { outer: resource, inner: None, field: String::new() };
    drafts.add_about(
        subject.clone(),
        "/workspaces",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    drafts.add_about(subject, &format!("{ONE}/meta"), &[(Method::Get, |call| Box::pin(count(call)))]);
}

/// With `counter=true`, with how many records of each entity a workspace has.
async fn list(call: Call) -> HandlerResult {
    let counted = call.query.first("counter") == Some("true");
    let store = call.store.whole().clone();
    let mut answer = entity::list(call).await?;
    let listed = answer.body.as_mut().and_then(|body| body.get_mut("data")?.as_array_mut());
    for workspace in listed.into_iter().flatten().filter(|_| counted).filter_map(Value::as_object_mut) {
        let counters = counts(&store, workspace).await?;
        workspace.insert("counters".to_owned(), Value::Object(counters));
    }
    Ok(answer)
}

async fn create(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let input = call.input(&resource.name)?;
    check_name(&call, &input)?;
    let record = call.write(move |transaction| Ok(transaction.insert(&resource.name, input.clone())?)).await?;
    Ok(Answer::new(201, Value::Object(record)))
}

/// Only of one that is there.
async fn replace(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let input = call.input(&resource.name)?;
    let record = call.write(move |transaction| {
        let current = entity::find_in(transaction, &resource, &key)?;
        check_rename(&current, &input)?;
        let id = Key::Id(nested::id(&current));
        let mut input = input.clone();
        input.insert("name".to_owned(), current.get("name").cloned().unwrap_or_default());
        Ok(transaction.upsert(&resource.name, &id, input)?)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let input = call.input(&resource.name)?;
    let record = call.write(move |transaction| {
        let current = entity::find_in(transaction, &resource, &key)?;
        check_rename(&current, &input)?;
        entity::update(transaction, &resource, &key, input.clone())
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// With all that belongs to it, if the client says so (`cascade=true`).
async fn delete(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let cascade = call.query.first("cascade") == Some("true");
    let deleted = call.write(move |transaction| {
        let Some(workspace) = transaction.get(&resource.name, &key)? else { return Ok(()) };
        if cascade {
            empty(transaction, &workspace)?;
        }
        match transaction.delete(&resource.name, &Key::Id(nested::id(&workspace))) {
            Err(error) if error.code == Code::ForeignKeyViolation => {
                Err(Answer::message(400, "Workspace is not empty"))
            }
            deleted => Ok(deleted.map(drop)?),
        }
    });
    deleted.await?;
    Ok(Answer::empty(204))
}

fn empty(transaction: &mut Transaction<'_>, workspace: &Record) -> Result<(), Answer> {
    let id = nested::id(workspace).parse().map_err(|_| Answer::unexpected())?;
    transaction.enter(Scope::Workspace(id));
    Ok(transaction.empty_workspace()?)
}

/// How many records of each entity a workspace has.
async fn count(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let workspace = entity::find(&call, &resource, &call.key(&resource, 0)).await?;
    Ok(Answer::new(200, json!({ "counts": counts(call.store.whole(), &workspace).await? })))
}

async fn counts(store: &Store, workspace: &Record) -> Result<Map<String, Value>, Answer> {
    let id = nested::id(workspace).parse().map_err(|_| Answer::unexpected())?;
    let store = store.of(Scope::Workspace(id));
    let mut counts = Map::new();
    for schema in store.catalog().entities().filter(|schema| schema.workspaceable()) {
        counts.insert(schema.name.clone(), store.count(&schema.name).await?.into());
    }
    Ok(counts)
}

/// A path that begins with the name is to be about the workspace.
fn check_name(call: &Call, input: &Record) -> Result<(), Answer> {
    let name = input.get("name").and_then(Value::as_str).unwrap_or_default();
    let reserved = |path: &str| path.split('/').nth(1) == Some(name);
    if !name.is_empty() && call.state.endpoints.paths().any(reserved) {
        return Err(Error::field_violation("name", "must not be the beginning of a path of the Admin API").into());
    }
    Ok(())
}

fn check_rename(current: &Record, input: &Record) -> Result<(), Answer> {
    match input.get("name") {
        Some(name) if Some(name) != current.get("name") => Err(Answer::message(400, "Cannot rename a workspace")),
        _ => Ok(()),
    }
}

//! Collections and records of one entity: `/services` and `/services/{services}`.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::Subject;
use crate::page;
use crate::resource::Resource;
use model::{Error, Record};
use serde_json::Value;
use std::sync::Arc;
use store::Key;

/// `GET /services`.
pub async fn list(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let query = page::query(&call.query, &resource)?;
    let found = call.admin.store.page(&resource.name, &query).await?;
    let path = format!("/{}", resource.path);
    Ok(Answer::new(200, page::records(found.data, found.offset, &path, &page::carried(&call.query))))
}

/// `POST /services`.
pub async fn create(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let input = call.input(&resource.name, None)?;
    insert(&call, &resource, input).await
}

/// `GET /services/{services}`.
pub async fn read(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let record = find(&call, &resource, &call.key(&resource, 0)).await?;
    Ok(Answer::new(200, Value::Object(record)))
}

/// `PUT /services/{services}`.
pub async fn replace(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let input = call.input(&resource.name, None)?;
    let key = call.key(&resource, 0);
    upsert(&call, &resource, &key, input).await
}

/// `PATCH /services/{services}`.
pub async fn change(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let key = call.key(&resource, 0);
    let input = change_input(&mut call, &resource, &key).await?;
    update(&call, &resource, &key, input).await
}

/// `DELETE /services/{services}`.
pub async fn delete(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    remove(&call, &resource, &call.key(&resource, 0)).await
}

/// The record, or 404.
pub async fn find(call: &Call, resource: &Resource, key: &Key) -> Result<Record, Answer> {
    call.admin.store.get(&resource.name, key).await?.ok_or_else(Answer::not_found)
}

/// The content of a change. A plugin's `name` decides what its other fields mean, so it is looked up when it is not
/// given.
pub async fn change_input(call: &mut Call, resource: &Resource, key: &Key) -> Result<Record, Answer> {
    if resource.name != "plugins" || call.content_field("name").is_some() {
        return call.input(&resource.name, None);
    }
    let current = find(call, resource, key).await?;
    let name = current.get("name").cloned().unwrap_or_default();
    let mut input = call.input(&resource.name, Some(("name", &name)))?;
    input.insert("name".to_owned(), name);
    Ok(input)
}

/// Adds a record and answers it.
pub async fn insert(call: &Call, resource: &Resource, input: Record) -> HandlerResult {
    writable(call, resource, "create", None)?;
    let written = call.admin.store.insert(&resource.name, input).await?;
    Ok(Answer::new(201, Value::Object(call.written(written).await)))
}

/// Creates or replaces a record and answers it.
pub async fn upsert(call: &Call, resource: &Resource, key: &Key, input: Record) -> HandlerResult {
    writable(call, resource, "create or update", Some(key))?;
    let written = call.admin.store.upsert(&resource.name, key, input).await?;
    Ok(Answer::new(200, Value::Object(call.written(written).await)))
}

/// Changes a record and answers it.
pub async fn update(call: &Call, resource: &Resource, key: &Key, input: Record) -> HandlerResult {
    writable(call, resource, "update", Some(key))?;
    match call.admin.store.update(&resource.name, key, input).await? {
        Some(written) => Ok(Answer::new(200, Value::Object(call.written(written).await))),
        None => Err(missing(resource, key)),
    }
}

/// Deletes a record; there is none to begin with: just as well.
pub async fn remove(call: &Call, resource: &Resource, key: &Key) -> HandlerResult {
    writable(call, resource, "remove", Some(key))?;
    if let Some(revision) = call.admin.store.delete(&resource.name, key).await? {
        call.applied(revision).await;
    }
    Ok(Answer::empty(204))
}

/// The resources of an endpoint that the schemas generated.
pub fn subject(call: &Call) -> Result<Subject, Answer> {
    call.endpoint.subject.clone().ok_or_else(Answer::not_found)
}

fn outer(call: &Call) -> Result<Arc<Resource>, Answer> {
    Ok(subject(call)?.outer)
}

/// Without a database the records come from a file: the Admin API only reads them.
pub fn writable(call: &Call, resource: &Resource, verb: &str, key: Option<&Key>) -> Result<(), Answer> {
    if !call.admin.options.dbless {
        return Ok(());
    }
    let by = match (key, &resource.endpoint_key) {
        (Some(Key::Name(_)), Some(field)) => format!(" by '{field}'"),
        _ => String::new(),
    };
    Err(Answer::from(Error::operation_unsupported(format!(
        "cannot {verb} '{}' entities{by} when not using a database",
        resource.name
    ))))
}

/// What a change of a missing record answers.
fn missing(resource: &Resource, key: &Key) -> Answer {
    Answer::from(match key {
        Key::Id(id) => Error::not_found(Record::from_iter([("id".to_owned(), Value::from(id.as_str()))])),
        Key::Name(name) => Error::not_found_by_field(resource.endpoint_key.as_deref().unwrap_or("name"), name.as_str()),
    })
}

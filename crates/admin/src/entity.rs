//! Collections and records of one entity: `/services` and `/services/{services}`.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::dao::replaced;
use crate::page;
use crate::resource::{Resource, Subject};
use crate::routes::partials;
use crate::search;
use model::{Error, Record};
use serde_json::Value;
use std::sync::Arc;
use store::{Key, Transaction};

/// `GET /services`.
pub async fn list(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let query = page::query(&call.query, &resource)?;
    let found = search::page(&call, &resource, query).await?;
    let data = partials::expand(&call, &resource.name, found.data).await?;
    let path = format!("{}/{}", call.prefix, resource.path);
    Ok(Answer::new(200, page::records(data, found.offset, &path, &page::carried(&call.query))))
}

/// `POST /services`.
pub async fn create(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let input = call.input(&resource.name)?;
    if let Some(function) = replaced(&call, &resource, "insert", None) {
        return written(201, function.write(input).await?);
    }
    let record = call.write(move |transaction| Ok(transaction.insert(&resource.name, input.clone())?)).await?;
    Ok(Answer::new(201, Value::Object(record)))
}

/// `GET /services/{services}`.
pub async fn read(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let record = find(&call, &resource, &call.key(&resource, 0)).await?;
    Ok(Answer::new(200, Value::Object(partials::expand_one(&call, &resource.name, record).await?)))
}

/// `PUT /services/{services}`.
pub async fn replace(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let key = call.key(&resource, 0);
    let input = call.input(&resource.name)?;
    if let Some(function) = replaced(&call, &resource, "upsert", Some(&key)) {
        return written(200, function.write(input).await?);
    }
    let record = call.write(move |transaction| Ok(transaction.upsert(&resource.name, &key, input.clone())?)).await?;
    Ok(Answer::new(200, Value::Object(record)))
}

/// `PATCH /services/{services}`.
pub async fn change(mut call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let key = call.key(&resource, 0);
    if let Some(function) = replaced(&call, &resource, "update", Some(&key)) {
        return written(200, function.write(input_of(&call, &resource)?).await?);
    }
    let content = std::mem::take(&mut call.content);
    let record = call.write(move |transaction| {
        let input = change_input(transaction, &resource, &key, content.clone())?;
        update(transaction, &resource, &key, input)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// `DELETE /services/{services}`; there is none to begin with: just as well.
pub async fn delete(call: Call) -> HandlerResult {
    let resource = outer(&call)?;
    let key = call.key(&resource, 0);
    if let Some(function) = replaced(&call, &resource, "delete", Some(&key)) {
        function.delete().await?;
        return Ok(Answer::empty(204));
    }
    call.write(move |transaction| Ok(transaction.delete(&resource.name, &key)?)).await?;
    Ok(Answer::empty(204))
}

/// The record, or 404.
pub async fn find(call: &Call, resource: &Resource, key: &Key) -> Result<Record, Answer> {
    let found = match replaced(call, resource, "select", Some(key)) {
        Some(function) => function.find().await?,
        None => call.store.get(&resource.name, key).await?,
    };
    found.ok_or_else(|| unknown(resource, key))
}

/// The answer to a record that a function of a plugin has written, or has not found.
pub fn written(status: u16, record: Option<Record>) -> HandlerResult {
    record.map(|record| Answer::new(status, Value::Object(record))).ok_or_else(Answer::not_found)
}

/// The content as input for an entity.
pub fn input_of(call: &Call, resource: &Resource) -> Result<Record, Answer> {
    let schema = call.schema(&resource.name)?;
    Ok(call.content.clone().into_input(call.store.catalog(), &schema, None))
}

/// The same inside a transaction.
pub fn find_in(transaction: &mut Transaction<'_>, resource: &Resource, key: &Key) -> Result<Record, Answer> {
    transaction.get(&resource.name, key)?.ok_or_else(|| unknown(resource, key))
}

/// The input of a change. A plugin's `name` decides what its other fields mean, so it is looked up when not given.
pub fn change_input(
    transaction: &mut Transaction<'_>,
    resource: &Resource,
    key: &Key,
    content: Content,
) -> Result<Record, Answer> {
    let catalog = transaction.catalog();
    let schema = catalog.entity(&resource.name).ok_or_else(Answer::not_found)?;
    if resource.name != "plugins" || content.field("name").is_some() {
        return Ok(content.into_input(catalog, schema, None));
    }
    let current = find_in(transaction, resource, key)?;
    let name = current.get("name").cloned().unwrap_or_default();
    let mut input = content.into_input(catalog, schema, Some(("name", &name)));
    input.insert("name".to_owned(), name);
    Ok(input)
}

/// Changes a record that must be there.
pub fn update(
    transaction: &mut Transaction<'_>,
    resource: &Resource,
    key: &Key,
    input: Record,
) -> Result<Record, Answer> {
    transaction.update(&resource.name, key, input)?.ok_or_else(|| missing(resource, key))
}

/// The entities that the endpoint is about.
pub fn subject(call: &Call) -> Result<Subject, Answer> {
    call.subject.clone().ok_or_else(Answer::not_found)
}

fn outer(call: &Call) -> Result<Arc<Resource>, Answer> {
    Ok(subject(call)?.outer)
}

/// What a path answers that names no record.
fn unknown(resource: &Resource, key: &Key) -> Answer {
    match (resource.name.as_str(), key) {
        ("certificates", Key::Name(_)) => sni_not_found(),
        _ => Answer::not_found(),
    }
}

/// Certificates are named by their SNIs.
pub fn sni_not_found() -> Answer {
    Answer::message(404, "SNI not found")
}

/// What a change of a missing record answers.
fn missing(resource: &Resource, key: &Key) -> Answer {
    Answer::from(match key {
        Key::Id(id) => Error::not_found(Record::from_iter([("id".to_owned(), Value::from(id.as_str()))])),
        Key::Name(name) => Error::not_found_by_field(resource.endpoint_key.as_deref().unwrap_or("name"), name.as_str()),
    })
}

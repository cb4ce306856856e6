//! Entities seen through a foreign key: `/services/{services}/routes[/{routes}]` from the side that is pointed at,
//! `/routes/{routes}/service` from the side that points.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::dao::replaced;
use crate::resource::Resource;
use crate::routes::partials;
use crate::{entity, page, search};
use model::Record;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Key, PageQuery, Transaction};
use uuid::Uuid;

/// The two entities of the path and the key between them.
struct Pair {
    outer: Arc<Resource>,
    inner: Arc<Resource>,
    field: String,
}

/// `GET /services/{services}/routes`.
pub async fn list(call: Call) -> HandlerResult {
    list_at(call, "").await
}

/// The same, where `rest` follows the collection in the path.
pub async fn list_at(call: Call, rest: &str) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let id = id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    // A filter by tags is checked and then has no effect, as in Kong.
    let query = PageQuery { tags: None, foreign: Some((field, id)), ..page::query(&call.query, &inner)? };
    let found = search::page(&call, &inner, query).await?;
    let data = partials::expand(&call, &inner.name, found.data).await?;
    let path = format!("{}/{}/{}/{}{rest}", call.prefix, outer.path, call.raw_parameter(0), inner.nested_path);
    Ok(Answer::new(200, page::records(data, found.offset, &path, &page::carried_search(&call.query))))
}

/// `POST /services/{services}/routes`.
pub async fn create(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let owner = call.key(&outer, 0);
    let mut input = call.input(&inner.name)?;
    if let Some(function) = replaced(&call, &inner, "insert", None) {
        let id = id(&entity::find(&call, &outer, &owner).await?);
        input.insert(field, json!({ "id": id }));
        return entity::written(201, function.write(input).await?);
    }
    let record = call.write(move |transaction| {
        let id = id(&entity::find_in(transaction, &outer, &owner)?);
        input.insert(field.clone(), json!({ "id": id }));
        Ok(transaction.insert(&inner.name, input.clone())?)
    });
    Ok(Answer::new(201, Value::Object(record.await?)))
}

/// `GET /services/{services}/routes/{routes}`.
pub async fn read(call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let id = id(&entity::find(&call, &pair.outer, &call.key(&pair.outer, 0)).await?);
    let record = pair.owned(entity::find(&call, &pair.inner, &call.key(&pair.inner, 1)).await?, &id)?;
    Ok(Answer::new(200, Value::Object(partials::expand_one(&call, &pair.inner.name, record).await?)))
}

/// `PUT /services/{services}/routes/{routes}`.
pub async fn replace(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let (owner, key) = (call.key(&outer, 0), call.key(&inner, 1));
    let mut input = call.input(&inner.name)?;
    if let Some(function) = replaced(&call, &inner, "upsert", Some(&key)) {
        let id = id(&entity::find(&call, &outer, &owner).await?);
        input.insert(field, json!({ "id": id }));
        return entity::written(200, function.write(input).await?);
    }
    let record = call.write(move |transaction| {
        let id = id(&entity::find_in(transaction, &outer, &owner)?);
        input.insert(field.clone(), json!({ "id": id }));
        Ok(transaction.upsert(&inner.name, &key, input.clone())?)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// `PATCH /services/{services}/routes/{routes}`.
pub async fn change(mut call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let (owner, key) = (call.key(&pair.outer, 0), call.key(&pair.inner, 1));
    if let Some(function) = replaced(&call, &pair.inner, "update", Some(&key)) {
        let id = pair.owner(&call, &owner, &key).await?;
        let mut input = entity::input_of(&call, &pair.inner)?;
        input.entry(&pair.field).or_insert_with(|| json!({ "id": id }));
        return entity::written(200, function.write(input).await?);
    }
    let content = std::mem::take(&mut call.content);
    let record = call.write(move |transaction| {
        let id = pair.owner_of(transaction, &owner, &key)?;
        let mut input = entity::change_input(transaction, &pair.inner, &key, content.clone())?;
        input.entry(&pair.field).or_insert_with(|| json!({ "id": id }));
        entity::update(transaction, &pair.inner, &key, input)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// `DELETE /services/{services}/routes/{routes}`.
pub async fn delete(call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let (owner, key) = (call.key(&pair.outer, 0), call.key(&pair.inner, 1));
    if let Some(function) = replaced(&call, &pair.inner, "delete", Some(&key)) {
        pair.owner(&call, &owner, &key).await?;
        function.delete().await?;
        return Ok(Answer::empty(204));
    }
    let deleted = call.write(move |transaction| {
        pair.owner_of(transaction, &owner, &key)?;
        Ok(transaction.delete(&pair.inner.name, &key)?)
    });
    deleted.await?;
    Ok(Answer::empty(204))
}

/// `GET /routes/{routes}/service`.
pub async fn read_foreign(call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let record = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    let key = pointed_at(&record, &field).ok_or_else(Answer::not_found)?;
    Ok(Answer::new(200, Value::Object(entity::find(&call, &inner, &key).await?)))
}

/// `PUT /routes/{routes}/service`: creates what the key does not point at yet.
pub async fn replace_foreign(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let pointing = call.key(&outer, 0);
    let input = call.input(&inner.name)?;
    if replaced(&call, &inner, "upsert", None).is_some() {
        let known = pointed_at(&entity::find(&call, &outer, &pointing).await?, &field);
        let key = known.clone().unwrap_or_else(|| Key::Id(Uuid::new_v4().to_string()));
        let function = replaced(&call, &inner, "upsert", Some(&key)).ok_or_else(Answer::not_found)?;
        let record = function.write(input).await?;
        if let Some(created) = record.as_ref().filter(|_| known.is_none()).map(id) {
            call.write(move |transaction| link(transaction, &outer, &pointing, &field, &created)).await?;
        }
        return entity::written(200, record);
    }
    let record = call.write(move |transaction| {
        let record = entity::find_in(transaction, &outer, &pointing)?;
        if let Some(key) = pointed_at(&record, &field) {
            return Ok(transaction.upsert(&inner.name, &key, input.clone())?);
        }
        let new = Uuid::new_v4().to_string();
        let created = transaction.upsert(&inner.name, &Key::Id(new.clone()), input.clone())?;
        link(transaction, &outer, &Key::Id(id(&record)), &field, &new)?;
        Ok(created)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// `PATCH /routes/{routes}/service`.
pub async fn change_foreign(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let pointing = call.key(&outer, 0);
    let input = call.input(&inner.name)?;
    if replaced(&call, &inner, "update", None).is_some() {
        let key = pointed_at(&entity::find(&call, &outer, &pointing).await?, &field).ok_or_else(Answer::not_found)?;
        let function = replaced(&call, &inner, "update", Some(&key)).ok_or_else(Answer::not_found)?;
        return entity::written(200, function.write(input).await?);
    }
    let record = call.write(move |transaction| {
        let record = entity::find_in(transaction, &outer, &pointing)?;
        let key = pointed_at(&record, &field).ok_or_else(Answer::not_found)?;
        entity::update(transaction, &inner, &key, input.clone())
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

/// `DELETE /routes/{routes}/service`: not from this side.
pub async fn delete_foreign(call: Call) -> HandlerResult {
    let Pair { outer, field, .. } = pair(&call)?;
    let record = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    pointed_at(&record, &field).ok_or_else(Answer::not_found)?;
    Ok(Answer::method_not_allowed())
}

fn pair(call: &Call) -> Result<Pair, Answer> {
    let subject = entity::subject(call)?;
    let inner = subject.inner.ok_or_else(Answer::not_found)?;
    Ok(Pair { outer: subject.outer, inner, field: subject.field })
}

impl Pair {
    /// The inner record, if it belongs to the outer one.
    fn owned(&self, record: Record, owner: &str) -> Result<Record, Answer> {
        match pointed_at(&record, &self.field) {
            Some(Key::Id(id)) if id == owner => Ok(record),
            _ => Err(Answer::not_found()),
        }
    }

    /// As [`Pair::owner_of`], outside of a transaction.
    async fn owner(&self, call: &Call, owner: &Key, key: &Key) -> Result<String, Answer> {
        let id = id(&entity::find(call, &self.outer, owner).await?);
        let record = entity::find(call, &self.inner, key).await?;
        self.owned(record, &id).map(|_| id)
    }

    /// The id of the outer record, to which the inner one must belong.
    fn owner_of(&self, transaction: &mut Transaction<'_>, owner: &Key, key: &Key) -> Result<String, Answer> {
        let id = id(&entity::find_in(transaction, &self.outer, owner)?);
        let record = entity::find_in(transaction, &self.inner, key)?;
        self.owned(record, &id).map(|_| id)
    }
}

/// Has a record point at another one.
fn link(transaction: &mut Transaction<'_>, outer: &Resource, key: &Key, field: &str, id: &str) -> Result<(), Answer> {
    let mut link = Record::from_iter([(field.to_owned(), json!({ "id": id }))]);
    if outer.name == "plugins" {
        let record = entity::find_in(transaction, outer, key)?;
        link.insert("name".to_owned(), record.get("name").cloned().unwrap_or_default());
    }
    entity::update(transaction, outer, key, link).map(drop)
}

/// The record that a foreign key points at.
fn pointed_at(record: &Record, field: &str) -> Option<Key> {
    record.get(field)?.get("id")?.as_str().map(|id| Key::Id(id.to_owned()))
}

pub fn id(record: &Record) -> String {
    record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

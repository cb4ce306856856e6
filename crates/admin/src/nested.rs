//! Entities seen through a foreign key: `/services/{services}/routes[/{routes}]` from the side that is pointed at,
//! `/routes/{routes}/service` from the side that points.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::resource::Resource;
use crate::{entity, page};
use model::Record;
use serde_json::{Value, json};
use std::sync::Arc;
use store::Key;
use uuid::Uuid;

/// The two entities of the path and the key between them.
struct Pair {
    outer: Arc<Resource>,
    inner: Arc<Resource>,
    field: String,
}

/// `GET /services/{services}/routes`.
pub async fn list(call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let id = id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    let mut query = page::query(&call.query, &inner)?;
    query.foreign = Some((field, id));
    let found = call.admin.store.page(&inner.name, &query).await?;
    let path = format!("/{}/{}/{}", outer.path, call.raw_parameter(0), inner.nested_path);
    Ok(Answer::new(200, page::records(found.data, found.offset, &path, "")))
}

/// `POST /services/{services}/routes`.
pub async fn create(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let id = id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    let mut input = call.input(&inner.name, None)?;
    input.insert(field, json!({ "id": id }));
    entity::insert(&call, &inner, input).await
}

/// `GET /services/{services}/routes/{routes}`.
pub async fn read(call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let id = id(&entity::find(&call, &pair.outer, &call.key(&pair.outer, 0)).await?);
    Ok(Answer::new(200, Value::Object(owned(&call, &pair, &id).await?)))
}

/// `PUT /services/{services}/routes/{routes}`.
pub async fn replace(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let id = id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    let key = call.key(&inner, 1);
    let mut input = call.input(&inner.name, None)?;
    input.insert(field, json!({ "id": id }));
    entity::upsert(&call, &inner, &key, input).await
}

/// `PATCH /services/{services}/routes/{routes}`.
pub async fn change(mut call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let id = id(&entity::find(&call, &pair.outer, &call.key(&pair.outer, 0)).await?);
    let key = call.key(&pair.inner, 1);
    owned(&call, &pair, &id).await?;
    let mut input = entity::change_input(&mut call, &pair.inner, &key).await?;
    input.entry(pair.field).or_insert_with(|| json!({ "id": id }));
    entity::update(&call, &pair.inner, &key, input).await
}

/// `DELETE /services/{services}/routes/{routes}`.
pub async fn delete(call: Call) -> HandlerResult {
    let pair = pair(&call)?;
    let id = id(&entity::find(&call, &pair.outer, &call.key(&pair.outer, 0)).await?);
    owned(&call, &pair, &id).await?;
    entity::remove(&call, &pair.inner, &call.key(&pair.inner, 1)).await
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
    let record = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    let input = call.input(&inner.name, None)?;
    if let Some(key) = pointed_at(&record, &field) {
        return entity::upsert(&call, &inner, &key, input).await;
    }
    let new = Uuid::new_v4().to_string();
    let answer = entity::upsert(&call, &inner, &Key::Id(new.clone()), input).await?;
    let mut link = Record::new();
    link.insert(field, json!({ "id": new }));
    if outer.name == "plugins" {
        link.insert("name".to_owned(), record.get("name").cloned().unwrap_or_default());
    }
    // none: the record was deleted meanwhile; what it should have pointed at exists all the same
    if let Some(written) = call.admin.store.update(&outer.name, &Key::Id(id(&record)), link).await? {
        call.written(written).await;
    }
    Ok(answer)
}

/// `PATCH /routes/{routes}/service`.
pub async fn change_foreign(mut call: Call) -> HandlerResult {
    let Pair { outer, inner, field } = pair(&call)?;
    let record = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    let key = pointed_at(&record, &field).ok_or_else(Answer::not_found)?;
    let input = call.input(&inner.name, None)?;
    entity::update(&call, &inner, &key, input).await
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

/// The inner record, if it belongs to the outer one.
async fn owned(call: &Call, pair: &Pair, id: &str) -> Result<Record, Answer> {
    let record = entity::find(call, &pair.inner, &call.key(&pair.inner, 1)).await?;
    match pointed_at(&record, &pair.field) {
        Some(Key::Id(owner)) if owner == id => Ok(record),
        _ => Err(Answer::not_found()),
    }
}

/// The record that a foreign key points at.
fn pointed_at(record: &Record, field: &str) -> Option<Key> {
    record.get(field)?.get("id")?.as_str().map(|id| Key::Id(id.to_owned()))
}

pub fn id(record: &Record) -> String {
    record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

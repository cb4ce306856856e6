//! `/consumers/{consumers}/acls/{acls}`: a group's name stands for the record that puts the consumer into it.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::{entity, nested};
use model::Record;
use serde_json::{Value, json};
use store::{Key, Transaction};
use uuid::Uuid;

pub fn add(drafts: &mut Drafts) {
    drafts.change(
        "/consumers/{consumers}/acls/{acls}",
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
}

async fn read(call: Call) -> HandlerResult {
    let Subject { outer, inner, field } = entity::subject(&call)?;
    let inner = inner.ok_or_else(Answer::not_found)?;
    let owner = nested::id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    let record = call.store.get_under(&inner.name, &key(&call), &field, &owner).await?;
    Ok(Answer::new(200, Value::Object(record.ok_or_else(Answer::not_found)?)))
}

/// Puts the consumer into the group that the path names, unless the content names another one.
async fn replace(mut call: Call) -> HandlerResult {
    let Subject { outer, inner, field } = entity::subject(&call)?;
    let inner = inner.ok_or_else(Answer::not_found)?;
    let (owner, key) = (call.key(&outer, 0), key(&call));
    let mut input = call.input(&inner.name)?;
    let record = call.write(move |transaction| {
        let owner = nested::id(&entity::find_in(transaction, &outer, &owner)?);
        let key = match &key {
            Key::Id(_) => key.clone(),
            Key::Name(group) => {
                input.entry("group").or_insert_with(|| group.as_str().into());
                let known = transaction.get_under(&inner.name, &key, &field, &owner)?;
                Key::Id(known.map_or_else(|| Uuid::new_v4().to_string(), |record| nested::id(&record)))
            }
        };
        input.insert(field.clone(), json!({ "id": owner }));
        Ok(transaction.upsert(&inner.name, &key, input.clone())?)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn change(mut call: Call) -> HandlerResult {
    let subject = entity::subject(&call)?;
    let inner = subject.inner.clone().ok_or_else(Answer::not_found)?;
    let (owner, key) = (call.key(&subject.outer, 0), key(&call));
    let input = call.input(&inner.name)?;
    let record = call.write(move |transaction| {
        let found = owned(transaction, &subject, &owner, &key)?;
        entity::update(transaction, &inner, &Key::Id(nested::id(&found)), input.clone())
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn delete(call: Call) -> HandlerResult {
    let subject = entity::subject(&call)?;
    let inner = subject.inner.clone().ok_or_else(Answer::not_found)?;
    let (owner, key) = (call.key(&subject.outer, 0), key(&call));
    let deleted = call.write(move |transaction| {
        let found = owned(transaction, &subject, &owner, &key)?;
        Ok(transaction.delete(&inner.name, &Key::Id(nested::id(&found)))?)
    });
    deleted.await?;
    Ok(Answer::empty(204))
}

/// What the path names: a UUID is the id of a record, anything else a group.
fn key(call: &Call) -> Key {
    let name = call.parameter(1);
    if name.len() == 36 && Uuid::try_parse(&name).is_ok() { Key::Id(name) } else { Key::Name(name) }
}

/// The consumer's record that the path names.
fn owned(transaction: &mut Transaction<'_>, subject: &Subject, owner: &Key, key: &Key) -> Result<Record, Answer> {
    let inner = subject.inner.as_ref().ok_or_else(Answer::not_found)?;
    let owner = nested::id(&entity::find_in(transaction, &subject.outer, owner)?);
    transaction.get_under(&inner.name, key, &subject.field, &owner)?.ok_or_else(Answer::not_found)
}

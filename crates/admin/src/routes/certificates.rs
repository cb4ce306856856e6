//! `/certificates`: named by their SNIs too, and shown and written together with them, which is the store's work.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Resource;
use crate::{entity, nested};
use model::{Error, Record};
use serde_json::{Value, json};
use store::{Key, Transaction};
use uuid::Uuid;

const ONE: &str = "/certificates/{certificates}";

pub fn add(drafts: &mut Drafts) {
    drafts.change("/certificates", &[(Method::Post, |call| Box::pin(create(call)))]);
    drafts.change(
        ONE,
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    drafts.disable("/snis/{snis}/certificate");
}

async fn create(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let mut input = call.input(&resource.name)?;
    read_names(&mut input)?;
    let record = call.write(move |transaction| Ok(transaction.insert(&resource.name, input.clone())?)).await?;
    Ok(Answer::new(201, Value::Object(record)))
}

async fn read(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let record = call.store.get(&resource.name, &key).await?;
    Ok(Answer::new(200, Value::Object(record.ok_or_else(|| missing(&key))?)))
}

async fn replace(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let mut input = call.input(&resource.name)?;
    let names = read_names(&mut input)?.unwrap_or_default();
    let record = call.write(move |transaction| {
        let mut names = names.clone();
        // The SNI in the path comes to life with the certificate, and stays its own.
        if let Key::Name(name) = &key
            && !names.contains(name)
        {
            names.push(name.clone());
        }
        let id = match (id_of(transaction, &resource, &key)?, &key) {
            (Some(id), _) => id,
            (None, Key::Id(id)) => id.clone(),
            (None, Key::Name(_)) => Uuid::new_v4().to_string(),
        };
        input.insert("snis".to_owned(), json!(names));
        Ok(transaction.upsert(&resource.name, &Key::Id(id), input.clone())?)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let mut input = call.input(&resource.name)?;
    read_names(&mut input)?;
    let record = call.write(move |transaction| {
        let id = id_of(transaction, &resource, &key)?.ok_or_else(|| missing(&key))?;
        transaction.update(&resource.name, &Key::Id(id), input.clone())?.ok_or_else(|| missing(&key))
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn delete(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let deleted = call.write(move |transaction| match transaction.delete(&resource.name, &key)? {
        false if matches!(key, Key::Name(_)) => Err(missing(&key)),
        _ => Ok(()),
    });
    deleted.await?;
    Ok(Answer::empty(204))
}

/// The names in the `snis` of an input, which becomes a list of them.
fn read_names(input: &mut Record) -> Result<Option<Vec<String>>, Answer> {
    let refused = |why: &str| Answer::from(Error::field_violation("snis", why));
    let list = match input.remove("snis") {
        None => return Ok(None),
        Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![Value::String(one)],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(refused("expected an array")),
    };
    let name = |name: Value| match name {
        Value::String(name) => Ok(name),
        _ => Err(refused("expected a string")),
    };
    let names = list.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
    input.insert("snis".to_owned(), json!(names));
    Ok(Some(names))
}

/// The id of the certificate that a path names, if there is one.
fn id_of(transaction: &mut Transaction<'_>, resource: &Resource, key: &Key) -> Result<Option<String>, Answer> {
    Ok(transaction.get(&resource.name, key)?.as_ref().map(nested::id))
}

fn missing(key: &Key) -> Answer {
    match key {
        Key::Id(id) => Answer::from(Error::not_found(Record::from_iter([("id".to_owned(), json!(id))]))),
        Key::Name(_) => entity::sni_not_found(),
    }
}

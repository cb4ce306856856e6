//! `/rbac/roles`: names for what users may do. Those that are one user's alone are not listed.

use crate::access::rights;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::{entity, page};
use model::{Error, Record};
use serde_json::{Value, json};

const ONE: &str = "/rbac/roles/{rbac_roles}";

pub fn add(drafts: &mut Drafts, subject: Subject) {
    drafts.add_about(
        subject.clone(),
        "/rbac/roles",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(entity::delete(call))),
        ],
    );
    drafts.add_about(subject, &format!("{ONE}/permissions"), &[(Method::Get, |call| Box::pin(permissions(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let mut found = call.store.page(&resource.name, &page::query(&call.query, &resource)?).await?;
    found.data.retain(|role| !rights::is_own(role));
    let path = format!("{}/{}", call.prefix, resource.path);
    Ok(Answer::new(200, page::records(found.data, found.offset, &path, &page::carried(&call.query))))
}

async fn create(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let input = call.input(&resource.name)?;
    check_default(&input, None)?;
    let record = call.write(move |transaction| Ok(transaction.insert(&resource.name, input.clone())?)).await?;
    Ok(Answer::new(201, Value::Object(record)))
}

async fn replace(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let mut input = call.input(&resource.name)?;
    let record = call.write(move |transaction| {
        let current = transaction.get(&resource.name, &key)?;
        check_default(&input, current.as_ref())?;
        if let Some(current) = &current {
            input.insert("is_default".to_owned(), rights::is_own(current).into());
        }
        Ok(transaction.upsert(&resource.name, &key, input.clone())?)
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let input = call.input(&resource.name)?;
    let record = call.write(move |transaction| {
        let current = entity::find_in(transaction, &resource, &key)?;
        check_default(&input, Some(&current))?;
        entity::update(transaction, &resource, &key, input.clone())
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn permissions(call: Call) -> HandlerResult {
    let roles = [super::role(&call).await?];
    let access = &call.state.access;
    let (endpoints, records) = (access.rules(&roles).await?, access.record_rules(&roles).await?);
    Ok(Answer::new(200, json!({ "endpoints": endpoints.describe(), "entities": records.describe() })))
}

/// The role that a user alone has gets the rights to what that user creates: no other one is to become it.
fn check_default(input: &Record, current: Option<&Record>) -> Result<(), Answer> {
    let is_own = current.is_some_and(rights::is_own);
    match input.get("is_default").and_then(Value::as_bool) {
        Some(given) if given != is_own => Err(Error::field_violation("is_default", "cannot be set").into()),
        _ => Ok(()),
    }
}

//! `/rbac/users`: who may use the Admin API by token. Those of administrators are shown with them (`/admins`).

use super::{check_reach, delete_user, give_roles, names, roles_of, take_roles};
use crate::access::{secret, text};
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::{entity, nested, page};
use model::{Error, Record};
use serde_json::{Value, json};
use store::Transaction;

const ONE: &str = "/rbac/users/{rbac_users}";

pub fn add(drafts: &mut Drafts, subject: Subject) {
    drafts.add_about(
        subject.clone(),
        "/rbac/users",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    let roles = format!("{ONE}/roles");
    drafts.add_about(
        subject.clone(),
        &roles,
        &[
            (Method::Get, |call| Box::pin(roles_shown(call, 200))),
            (Method::Post, |call| Box::pin(add_roles(call))),
            (Method::Delete, |call| Box::pin(remove_roles(call))),
        ],
    );
    drafts.names_what_it_deletes(&roles);
    drafts.add_about(subject, &format!("{ONE}/permissions"), &[(Method::Get, |call| Box::pin(permissions(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let query = page::query(&call.query, &resource)?;
    let found = call.store.page(&resource.name, &query).await?;
    let mut users = Vec::with_capacity(found.data.len());
    for user in found.data {
        if call.store.all_for("admins", "rbac_user", text(&user, "id")).await?.is_empty() {
            users.push(user);
        }
    }
    let path = format!("{}/{}", call.prefix, resource.path);
    Ok(Answer::new(200, page::records(users, found.offset, &path, &page::carried(&call.query))))
}

/// A user that has the name of a role has that role from the start.
async fn create(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let mut input = call.input(&resource.name)?;
    hash_token(&call, &mut input, None).await?;
    let record = call.write(move |transaction| insert(transaction, input.clone()));
    Ok(Answer::new(201, Value::Object(record.await?)))
}

/// Adds a user, whose token is hashed already.
pub fn insert(transaction: &mut Transaction<'_>, input: Record) -> Result<Record, Answer> {
    let user = transaction.insert("rbac_users", input)?;
    crate::access::give(transaction, &user["id"], text(&user, "name"))?;
    Ok(user)
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let mut input = call.input(&resource.name)?;
    let current = entity::find(&call, &resource, &key).await?;
    check_reach(&call, text(&current, "id")).await?;
    hash_token(&call, &mut input, Some(&current)).await?;
    let record = call.write(move |transaction| entity::update(transaction, &resource, &key, input.clone()));
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn delete(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    if let Some(user) = call.store.get(&resource.name, &key).await? {
        check_reach(&call, text(&user, "id")).await?;
        call.write(move |transaction| delete_user(transaction, &key)).await?;
    }
    Ok(Answer::empty(204))
}

/// Puts the hash in the place of a token. Clients that send back what they were shown send the hash itself.
pub async fn hash_token(call: &Call, input: &mut Record, current: Option<&Record>) -> Result<(), Answer> {
    if input.get("user_token_ident").is_some_and(|ident| current.and_then(|c| c.get("user_token_ident")) != Some(ident))
    {
        return Err(Error::field_violation("user_token_ident", "cannot be set").into());
    }
    let Some(Value::String(token)) = input.get("user_token").cloned() else { return Ok(()) };
    if current.is_some_and(|current| text(current, "user_token") == token) {
        return Ok(());
    }
    let own = current.map(nested::id);
    if call.state.access.by_token(&token).await?.is_some_and(|user| Some(&user.id) != own.as_ref()) {
        let taken = Record::from_iter([("user_token".to_owned(), "******".into())]);
        return Err(Error::unique_violation(taken).into());
    }
    input.insert("user_token_ident".to_owned(), secret::ident(&token).into());
    input.insert("user_token".to_owned(), secret::hash("user_token", &token).await?.into());
    Ok(())
}

async fn user(call: &Call) -> Result<Record, Answer> {
    let resource = entity::subject(call)?.outer;
    entity::find(call, &resource, &call.key(&resource, 0)).await
}

async fn roles_shown(call: Call, status: u16) -> HandlerResult {
    let user = user(&call).await?;
    let roles = roles_of(&call, text(&user, "id")).await?;
    Ok(Answer::new(status, json!({ "roles": roles, "user": user })))
}

async fn add_roles(call: Call) -> HandlerResult {
    give_roles(&call, &nested::id(&user(&call).await?), names(&call.content, "roles")?).await?;
    roles_shown(call, 201).await
}

async fn remove_roles(call: Call) -> HandlerResult {
    take_roles(&call, &nested::id(&user(&call).await?), names(&call.content, "roles")?).await?;
    Ok(Answer::empty(204))
}

async fn permissions(call: Call) -> HandlerResult {
    let access = &call.state.access;
    let roles = access.roles(text(&user(&call).await?, "id")).await?;
    let (endpoints, records) = (access.rules(&roles).await?, access.record_rules(&roles).await?);
    Ok(Answer::new(200, json!({ "endpoints": endpoints.describe(), "entities": records.describe() })))
}

//! `/rbac/roles/{role}/entities`: what a role allows with single records, with all of a workspace, or with all.

use super::{read_actions, role, shown};
use crate::access::rights::{self, ENTITY};
use crate::access::rules::ANY;
use crate::access::text;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::workspace;
use crate::{entity, nested, page};
use model::{Error, Record};
use serde_json::{Value, json};
use store::{DEFAULT_WORKSPACE, Key, PageQuery};

const ALL: &str = "/rbac/roles/{rbac_roles}/entities";
/// The type of a rule about all records.
const WILDCARD: &str = "wildcard";

pub fn add(drafts: &mut Drafts, subject: Subject) {
    drafts.add_about(
        subject.clone(),
        ALL,
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject,
        &format!("{ALL}/{{entity_id}}"),
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
    let path = format!("{}/rbac/roles/{}/entities", call.prefix, call.raw_parameter(0));
    let shown = found.data.into_iter().map(shown).collect();
    Ok(Answer::new(200, page::answer(shown, found.offset, &path, &page::carried(&call.query))))
}

async fn create(mut call: Call) -> HandlerResult {
    let role = role(&call).await?;
    let mut input = call.input(ENTITY)?;
    let id = text(&input, "entity_id").to_ascii_lowercase();
    if id.is_empty() {
        return Err(Error::field_violation("entity_id", "required field missing").into());
    }
    let kind = kind_of(&call, &id).await?;
    if input.get("entity_type").and_then(Value::as_str).is_some_and(|given| given != kind) {
        return Err(Error::field_violation("entity_type", format!("the entity is one of {kind}")).into());
    }
    read_actions(&mut input)?;
    input.insert("role".to_owned(), json!({ "id": role }));
    input.insert("entity_id".to_owned(), id.into());
    input.insert("entity_type".to_owned(), kind.into());
    // Of other workspaces only roles of the default one speak.
    let own = call.store.scope().workspace().filter(|_| call.workspace != DEFAULT_WORKSPACE);
    input.insert("within".to_owned(), json!(own.map(|id| id.to_string())));
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
    for field in ["role", "entity_id", "entity_type", "within"] {
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
    let (role, about) = (role(call).await?, call.parameter(1).to_ascii_lowercase());
    let rules = call.store.whole().all_by(ENTITY, "entity_id", &[about]).await?;
    Ok(rules.into_iter().find(|rule| crate::access::foreign(rule, "role") == role))
}

/// What a rule is about: the entity of the record with that id, which must be in the workspace of the role unless that
/// is the default one.
async fn kind_of(call: &Call, id: &str) -> Result<String, Answer> {
    if id == ANY {
        return Ok(WILDCARD.to_owned());
    }
    let unknown = || Answer::from(Error::field_violation("entity_id", "there is no entity with this id"));
    if !store::is_uuid(id) {
        return Err(unknown());
    }
    let store = match call.workspace == DEFAULT_WORKSPACE {
        true => call.store.whole().of(store::Scope::All),
        false => call.store.whole().clone(),
    };
    let own = call.store.scope().workspace().is_some_and(|own| own.to_string() == id);
    let key = Key::Id(id.to_owned());
    if (own || call.workspace == DEFAULT_WORKSPACE) && store.get(workspace::ENTITY, &key).await?.is_some() {
        return Ok(workspace::ENTITY.to_owned());
    }
    for schema in call.store.catalog().entities().filter(|schema| rights::are_about(schema)) {
        if store.get(&schema.name, &key).await?.is_some() {
            return Ok(schema.name.clone());
        }
    }
    Err(unknown())
}

//! `/consumer_groups`: a group is shown with its consumers and plugins, and its consumers can be listed and changed
//! from either side. Limits that a group had before it could have plugins are its field `overrides`.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::{Drafts, Method};
use crate::resource::{Resource, Subject};
use crate::{entity, nested, page};
use model::{Catalog, Record};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Key, PageQuery, Transaction};

const ONE: &str = "/consumer_groups/{consumer_groups}";
const MEMBERSHIPS: &str = "consumer_group_consumers";
/// The plugin of which groups may have limits of their own, and their field for that.
const OVERRIDDEN: &str = "rate-limiting-advanced";
const OVERRIDES: &str = "overrides";

/// The side that a path looks from.
#[derive(Clone, Copy)]
struct Side {
    /// The fields of a membership that refer to the record of the path, and to what is listed below it.
    field: &'static str,
    other_field: &'static str,
    /// The field of a request that names what is to be added, and what that is called.
    input: &'static str,
    noun: &'static str,
    /// Where an answer has what was added.
    added: &'static str,
}

const GROUP: Side =
    Side { field: "consumer_group", other_field: "consumer", input: "consumer", noun: "Consumer", added: "consumers" };
const CONSUMER: Side =
    Side { field: "consumer", other_field: "consumer_group", input: "group", noun: "Group", added: "consumer_groups" };

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let resources = Resource::all(catalog);
    let (Some(groups), Some(consumers)) = (resources.get("consumer_groups"), resources.get("consumers")) else {
        return;
    };
    drafts.change(ONE, &[(Method::Get, |call| Box::pin(read(call)))]);
    let subject = |outer: &Arc<Resource>, inner: &Arc<Resource>| Subject {
        outer: outer.clone(),
        inner: Some(inner.clone()),
        field: String::new(),
    };
    let of_group = subject(groups, consumers);
    drafts.add_about(
        of_group.clone(),
        &format!("{ONE}/consumers"),
        &[
            (Method::Get, |call| Box::pin(list(call, GROUP))),
            (Method::Post, |call| Box::pin(enter(call, GROUP))),
            (Method::Delete, |call| Box::pin(leave_all(call, GROUP))),
        ],
    );
    drafts.add_about(
        of_group,
        &format!("{ONE}/consumers/{{consumers}}"),
        &[(Method::Get, |call| Box::pin(read_one(call, GROUP))), (Method::Delete, |call| Box::pin(leave(call, GROUP)))],
    );
    drafts.add_about(
        Subject { outer: groups.clone(), inner: None, field: String::new() },
        &format!("{ONE}/overrides/plugins/{OVERRIDDEN}"),
        &[(Method::Put, |call| Box::pin(override_limits(call))), (Method::Delete, |call| Box::pin(restore(call)))],
    );
    let of_consumer = subject(consumers, groups);
    drafts.add_about(
        of_consumer.clone(),
        "/consumers/{consumers}/consumer_groups",
        &[
            (Method::Get, |call| Box::pin(list(call, CONSUMER))),
            (Method::Post, |call| Box::pin(enter(call, CONSUMER))),
            (Method::Delete, |call| Box::pin(leave_all(call, CONSUMER))),
        ],
    );
    drafts.add_about(
        of_consumer,
        "/consumers/{consumers}/consumer_groups/{consumer_groups}",
        &[
            (Method::Get, |call| Box::pin(read_one(call, CONSUMER))),
            (Method::Delete, |call| Box::pin(leave(call, CONSUMER))),
        ],
    );
}

/// With `list_consumers=false`, without its consumers: there may be very many.
async fn read(call: Call) -> HandlerResult {
    let groups = entity::subject(&call)?.outer;
    let mut group = entity::find(&call, &groups, &call.key(&groups, 0)).await?;
    let id = nested::id(&group);
    let mut plugins = call.store.all_for("plugins", GROUP.field, &id).await?;
    for (name, config) in group.shift_remove(OVERRIDES).as_ref().and_then(Value::as_object).into_iter().flatten() {
        let shown = [("name", json!(name)), ("config", config.clone()), (GROUP.field, json!({ "id": id }))];
        plugins.push(shown.map(|(field, value)| (field.to_owned(), value)).into_iter().collect());
    }
    let mut body = Map::from_iter([("consumer_group".to_owned(), Value::Object(group))]);
    if call.query.first("list_consumers") != Some("false") {
        let memberships = call.store.all_for(MEMBERSHIPS, GROUP.field, &id).await?;
        let consumers = call.store.get_many("consumers", &others(&memberships, GROUP)).await?;
        body.insert("consumers".to_owned(), json!(consumers));
    }
    body.insert("plugins".to_owned(), json!(plugins));
    Ok(Answer::new(200, Value::Object(body)))
}

async fn list(call: Call, side: Side) -> HandlerResult {
    let (outer, inner) = both(&call)?;
    let id = nested::id(&entity::find(&call, &outer, &call.key(&outer, 0)).await?);
    let foreign = Some((side.field.to_owned(), id));
    let query = PageQuery { tags: None, foreign, ..page::query(&call.query, &inner)? };
    let found = call.store.page(MEMBERSHIPS, &query).await?;
    let records = call.store.get_many(&inner.name, &others(&found.data, side)).await?;
    let path = format!("{}/{}/{}/{}", call.prefix, outer.path, call.raw_parameter(0), inner.path);
    Ok(Answer::new(200, page::records(records, found.offset, &path, "")))
}

/// Adds one, or a list of them, by ids or names.
async fn enter(call: Call, side: Side) -> HandlerResult {
    let (outer, inner) = both(&call)?;
    let key = call.key(&outer, 0);
    let names: Vec<String> = match call.content.field(side.input) {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if names.is_empty() {
        return Err(Answer::message(400, format!("must provide {}", side.input)));
    }
    let keys: Vec<Key> = names.iter().map(|name| call.store.key(&inner.name, name)).collect();
    let written = call.write(move |transaction| {
        let record = entity::find_in(transaction, &outer, &key)?;
        let mut added = Vec::with_capacity(keys.len());
        for (key, name) in keys.iter().zip(&names) {
            let other = transaction.get(&inner.name, key)?;
            let other = other.ok_or_else(|| Answer::message(404, format!("{} '{name}' not found", side.noun)))?;
            let input = [(side.field, &record), (side.other_field, &other)]
                .map(|(field, record)| (field.to_owned(), json!({ "id": nested::id(record) })));
            transaction.insert(MEMBERSHIPS, Record::from_iter(input))?;
            added.push(other);
        }
        Ok((record, added))
    });
    let (record, added) = written.await?;
    Ok(Answer::new(201, json!({ side.field: record, side.added: added })))
}

async fn leave_all(call: Call, side: Side) -> HandlerResult {
    let (outer, _) = both(&call)?;
    let key = call.key(&outer, 0);
    let left = call.write(move |transaction| {
        let id = nested::id(&entity::find_in(transaction, &outer, &key)?);
        Ok(transaction.delete_for(MEMBERSHIPS, side.field, &id)?)
    });
    left.await?;
    Ok(Answer::empty(204))
}

async fn read_one(call: Call, side: Side) -> HandlerResult {
    let (outer, inner) = both(&call)?;
    let record = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    let other = entity::find(&call, &inner, &call.key(&inner, 1)).await?;
    let memberships = call.store.all_for(MEMBERSHIPS, CONSUMER.field, &consumer_of(side, &record, &other)).await?;
    if !memberships.iter().any(|membership| is_between(membership, side, &record, &other)) {
        return Err(Answer::not_found());
    }
    Ok(Answer::new(200, json!({ side.field: record, side.other_field: other })))
}

async fn leave(call: Call, side: Side) -> HandlerResult {
    let (outer, inner) = both(&call)?;
    let (key, other) = (call.key(&outer, 0), call.key(&inner, 1));
    let left = call.write(move |transaction| {
        let record = entity::find_in(transaction, &outer, &key)?;
        let other = entity::find_in(transaction, &inner, &other)?;
        let membership = membership(transaction, side, &record, &other)?.ok_or_else(Answer::not_found)?;
        Ok(transaction.delete(MEMBERSHIPS, &Key::Id(nested::id(&membership)))?)
    });
    left.await?;
    Ok(Answer::empty(204))
}

/// `PUT /consumer_groups/{consumer_groups}/overrides/plugins/rate-limiting-advanced`.
async fn override_limits(mut call: Call) -> HandlerResult {
    let groups = entity::subject(&call)?.outer;
    let key = call.key(&groups, 0);
    let Some(config @ Value::Object(_)) = call.content.field("config") else {
        return Err(Answer::message(400, "must provide config"));
    };
    let overrides = json!({ OVERRIDDEN: config });
    let fields = Record::from_iter([(OVERRIDES.to_owned(), overrides)]);
    call.content = match call.content {
        Content::Form(_) => Content::Form(fields),
        _ => Content::Json(fields),
    };
    let input = call.input(&groups.name)?;
    let written = call.write(move |transaction| {
        entity::find_in(transaction, &groups, &key)?;
        entity::update(transaction, &groups, &key, input.clone())
    });
    let group = written.await?;
    let config = group.get(OVERRIDES).and_then(|overrides| overrides.get(OVERRIDDEN));
    Ok(Answer::new(201, json!({ "config": config, "group": group.get("name"), "plugin": OVERRIDDEN })))
}

/// `DELETE` of the same.
async fn restore(call: Call) -> HandlerResult {
    let groups = entity::subject(&call)?.outer;
    let key = call.key(&groups, 0);
    let written = call.write(move |transaction| {
        let group = entity::find_in(transaction, &groups, &key)?;
        group.get(OVERRIDES).ok_or_else(Answer::not_found)?;
        let cleared = Record::from_iter([(OVERRIDES.to_owned(), Value::Null)]);
        entity::update(transaction, &groups, &key, cleared)
    });
    written.await?;
    Ok(Answer::empty(204))
}

fn membership(
    transaction: &mut Transaction<'_>,
    side: Side,
    record: &Record,
    other: &Record,
) -> Result<Option<Record>, Answer> {
    // A consumer is in few groups, and a group may have very many consumers.
    let memberships = transaction.all_for(MEMBERSHIPS, CONSUMER.field, &consumer_of(side, record, other))?;
    Ok(memberships.into_iter().find(|membership| is_between(membership, side, record, other)))
}

fn consumer_of(side: Side, record: &Record, other: &Record) -> String {
    nested::id(if side.field == CONSUMER.field { record } else { other })
}

fn is_between(membership: &Record, side: Side, record: &Record, other: &Record) -> bool {
    let refers = |field: &str, to: &Record| referred(membership, field) == to.get("id").and_then(Value::as_str);
    refers(side.field, record) && refers(side.other_field, other)
}

/// The ids of what memberships connect with.
fn others(memberships: &[Record], side: Side) -> Vec<String> {
    memberships.iter().filter_map(|one| referred(one, side.other_field)).map(str::to_owned).collect()
}

fn referred<'r>(membership: &'r Record, field: &str) -> Option<&'r str> {
    membership.get(field)?.get("id")?.as_str()
}

fn both(call: &Call) -> Result<(Arc<Resource>, Arc<Resource>), Answer> {
    let subject = entity::subject(call)?;
    Ok((subject.outer, subject.inner.ok_or_else(Answer::not_found)?))
}

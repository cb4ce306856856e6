//! `/event-hooks`: who is told of what.

use crate::access::text;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::{Drafts, Method};
use crate::events::{BALANCER, CRUD, DAO_CRUD, ENTITY, FIELDS, health, message, template};
use crate::node::HookMessage;
use crate::resource::{Resource, Subject};
use crate::{entity, page};
use model::{Catalog, Error, Record};
use serde_json::{Map, Value, json};
use store::Key;

const ONE: &str = "/event-hooks/{event_hooks}";
/// What is shown of the configuration of hooks that send requests.
const OF_WEBHOOK: &[&str] = &["headers", "secret", "ssl_verify", "url"];
const OF_CUSTOM: &[&str] = &[
    "body",
    "body_format",
    "headers",
    "headers_format",
    "method",
    "payload",
    "payload_format",
    "secret",
    "ssl_verify",
    "url",
];
/// Handlers that send requests, and those whose requests can say anything: a template has its own words.
const SENDING: &[&str] = &["webhook", "webhook-custom"];
const PINGED: &[&str] = &["webhook"];
/// Entities that are written without anybody having meant to.
const UNTOLD: &[&str] = &["admin_sessions", "audit_objects", "audit_requests", "clustering_data_planes", "tags"];

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let Some(outer) = Resource::all(catalog).remove(ENTITY) else { return };
    let subject = Subject { outer, inner: None, field: String::new() };
    drafts.add_about(
        subject.clone(),
        "/event-hooks",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    drafts.add_about(subject.clone(), &format!("{ONE}/ping"), &[(Method::Get, |call| Box::pin(ping(call)))]);
    drafts.add_about(subject, &format!("{ONE}/test"), &[(Method::Post, |call| Box::pin(test(call)))]);
    drafts.add("/event-hooks/sources", &[(Method::Get, |call| Box::pin(list_sources(call)))]);
    drafts.add("/event-hooks/sources/{source}", &[(Method::Get, |call| Box::pin(list_events(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let found = call.store.page(ENTITY, &page::query(&call.query, &resource)?).await?;
    let data = found.data.into_iter().map(shown).collect();
    let path = format!("{}/event-hooks", call.prefix);
    Ok(Answer::new(200, page::answer(data, found.offset, &path, &page::carried(&call.query))))
}

async fn read(call: Call) -> HandlerResult {
    Ok(Answer::new(200, shown(find(&call).await?)))
}

/// A new webhook is tried out at once.
async fn create(mut call: Call) -> HandlerResult {
    let input = call.input(ENTITY)?;
    let catalog = call.store.catalog().clone();
    let record = call.write(move |transaction| {
        let hook = transaction.insert(ENTITY, input.clone())?;
        check(&catalog, &hook).map(|()| hook)
    });
    let record = record.await?;
    call.state.told.expect();
    if PINGED.contains(&text(&record, "handler")) {
        let message = ping_of(&record)?;
        call.state.node.queue_hook(message);
    }
    Ok(Answer::new(201, shown(record)))
}

async fn replace(mut call: Call) -> HandlerResult {
    let key = Key::Id(call.parameter(0));
    let input = call.input(ENTITY)?;
    let catalog = call.store.catalog().clone();
    let record = call.write(move |transaction| {
        let hook = transaction.upsert(ENTITY, &key, input.clone())?;
        check(&catalog, &hook).map(|()| hook)
    });
    let record = record.await?;
    call.state.told.expect();
    Ok(Answer::new(200, shown(record)))
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = call.key(&resource, 0);
    let input = call.input(ENTITY)?;
    let catalog = call.store.catalog().clone();
    let record = call.write(move |transaction| {
        let hook = entity::update(transaction, &resource, &key, input.clone())?;
        check(&catalog, &hook).map(|()| hook)
    });
    Ok(Answer::new(200, shown(record.await?)))
}

async fn delete(call: Call) -> HandlerResult {
    let id = call.parameter(0);
    call.state.told.forget(&id);
    entity::delete(call).await
}

/// Sends a hook's server a word, and waits for its answer.
async fn ping(call: Call) -> HandlerResult {
    let hook = find(&call).await?;
    check_handler(&hook, "ping", PINGED)?;
    send(&call, ping_of(&hook)?).await?;
    Ok(Answer::new(200, message::ping(&shown(hook))))
}

/// Sends a hook's server what the client says, in the place of an event.
async fn test(mut call: Call) -> HandlerResult {
    let hook = find(&call).await?;
    let mut data = match std::mem::replace(&mut call.content, Content::None) {
        Content::Json(fields) | Content::Form(fields) => fields,
        Content::None => Map::new(),
        Content::Text(_) => return Err(Answer::message(400, "expected an object")),
    };
    for field in ["source", "event"] {
        data.entry(field).or_insert_with(|| hook.get(field).cloned().unwrap_or_default());
    }
    let data = Value::Object(data);
    if text(&hook, "handler") == "log" {
        tracing::info!(hook = text(&hook, "id"), "event: {data}");
        return Ok(Answer::new(200, json!({ "data": data, "result": true })));
    }
    check_handler(&hook, "test", SENDING)?;
    let message = message::of(&hook, &data).map_err(|why| Answer::message(400, why))?;
    let result = send(&call, message).await?;
    Ok(Answer::new(200, json!({ "data": data, "result": result })))
}

async fn list_sources(call: Call) -> HandlerResult {
    Ok(Answer::new(200, json!({ "data": sources(call.store.catalog()) })))
}

async fn list_events(call: Call) -> HandlerResult {
    let mut sources = sources(call.store.catalog());
    let events = sources.remove(&call.parameter(0)).ok_or_else(Answer::not_found)?;
    Ok(Answer::new(200, json!({ "data": events })))
}

/// What there are events of: sources, their events, and what these have.
fn sources(catalog: &Catalog) -> Map<String, Value> {
    let fields = || json!({ "fields": FIELDS });
    let told = catalog.entities().map(|schema| schema.name.as_str()).filter(|name| !UNTOLD.contains(name));
    let crud: Map<String, Value> = told.map(|name| (name.to_owned(), fields())).collect();
    let dao: Map<String, Value> =
        ["create", "update", "delete"].into_iter().map(|name| (name.to_owned(), fields())).collect();
    Map::from_iter([
        (BALANCER.to_owned(), health::describe()),
        (CRUD.to_owned(), Value::Object(crud)),
        (DAO_CRUD.to_owned(), Value::Object(dao)),
    ])
}

/// Refuses a hook that could never do anything.
fn check(catalog: &Catalog, hook: &Record) -> Result<(), Answer> {
    let wrong = |field: &str, why: &str| Answer::from(Error::field_violation(field, why));
    let sources = sources(catalog);
    let events = sources.get(text(hook, "source"));
    let events =
        events.ok_or_else(|| wrong("source", "there are no events of this source: see /event-hooks/sources"))?;
    if hook.get("event").and_then(Value::as_str).is_some_and(|event| events.get(event).is_none()) {
        return Err(wrong("event", "the source has no such event: see /event-hooks/sources"));
    }
    let empty = Map::new();
    let config = hook.get("config").and_then(Value::as_object).unwrap_or(&empty);
    let handler = text(hook, "handler");
    match handler {
        "log" => return Ok(()),
        "lambda" => return Err(wrong("handler", "lambda is not available: hooks run no Lua in this version")),
        _ => {}
    }
    let url = text(config, "url");
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(wrong("config.url", "must be a URL of http or https"));
    }
    for (name, _) in config.get("headers").and_then(Value::as_object).into_iter().flatten() {
        if !message::may_set(name) {
            return Err(wrong("config.headers", "must be headers that are not the message's own"));
        }
    }
    if handler == "webhook-custom" && text(config, "method").is_empty() {
        return Err(wrong("config.method", "required field missing"));
    }
    if handler == "webhook-custom" {
        template::check(url).map_err(|why| wrong("config.url", &why))?;
    }
    // As the first event would find it.
    message::of(hook, &json!({})).map(drop).map_err(|why| wrong("config", &why))
}

fn check_handler(hook: &Record, what: &str, able: &[&str]) -> Result<(), Answer> {
    let handler = text(hook, "handler");
    let words = format!("handler '{handler}' does not support '{what}'");
    if able.contains(&handler) { Ok(()) } else { Err(Answer::message(400, words)) }
}

fn ping_of(hook: &Record) -> Result<HookMessage, Answer> {
    message::of(hook, &message::ping(&shown(hook.clone()))).map_err(|why| Answer::message(400, why))
}

/// Sends at once; the answer as it is shown.
async fn send(call: &Call, message: HookMessage) -> Result<Value, Answer> {
    let sent = call.state.node.send_hook(message).await;
    let answer = sent.map_err(|why| Answer::message(400, format!("the hook's server cannot be told: {why}")))?;
    let headers: Map<String, Value> = answer.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(json!({ "status": answer.status, "headers": headers, "body": answer.content }))
}

async fn find(call: &Call) -> Result<Record, Answer> {
    let resource = entity::subject(call)?.outer;
    entity::find(call, &resource, &call.key(&resource, 0)).await
}

/// As it is shown: with what its handler has of the configuration.
fn shown(mut hook: Record) -> Value {
    let kept = match text(&hook, "handler") {
        "webhook" => OF_WEBHOOK,
        "webhook-custom" => OF_CUSTOM,
        _ => &[],
    };
    if let Some(config) = hook.get_mut("config").and_then(Value::as_object_mut) {
        config.retain(|field, _| kept.contains(&field.as_str()));
    }
    Value::Object(hook)
}

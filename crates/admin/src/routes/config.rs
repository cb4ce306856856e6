//! `/config`: the whole configuration of a node without a database, in and out.

use crate::answer::{Answer, HandlerResult};
use crate::call::{Call, Query};
use crate::content::Content;
use crate::endpoint::{Drafts, Method};
use model::{Catalog, Record};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::declarative::{Document, Entities, Notation, Rejection};
use tokio::task::spawn_blocking;

/// How long a configuration waits for the one before it.
const PATIENCE: Duration = Duration::from_secs(60);
/// When a client that has waited so long may try again, in seconds.
const RETRY_AFTER: &str = "10";

pub fn add(drafts: &mut Drafts) {
    drafts.add("/config", &[(Method::Get, |call| Box::pin(show(call))), (Method::Post, |call| Box::pin(load(call)))]);
}

/// What a client wants of a configuration that it sends.
#[derive(Clone, Copy)]
struct Wishes {
    /// Errors are listed by entry.
    flatten_errors: bool,
    /// Nothing is to be done for the configuration that is in force.
    check_hash: bool,
}

/// A configuration as it came.
enum Sent {
    Fields(Record),
    Text(String),
}

async fn show(call: Call) -> HandlerResult {
    check_mode(&call)?;
    let export = call.store.whole().export(None).await?;
    written(200, move || json!({ "config": export.text }).to_string()).await
}

async fn load(mut call: Call) -> HandlerResult {
    check_mode(&call)?;
    let (wishes, sent) = sent(&call.query, std::mem::take(&mut call.content))?;
    let store = call.store.whole();
    let Ok(_turn) = tokio::time::timeout(PATIENCE, call.state.loading.lock()).await else {
        let busy = Answer::message(429, "Currently loading previous configuration");
        return Err(busy.with_header("retry-after", RETRY_AFTER));
    };
    let former = if wishes.check_hash { Some(store.configuration_hash().await?) } else { None };
    let catalog = Arc::clone(store.catalog());
    let read = spawn_blocking(move || sent.read(&catalog, former.as_deref(), wishes));
    let Some((entities, hash)) = read.await.map_err(|_| Answer::unexpected())?? else {
        return Ok(Answer::empty(304));
    };
    let records = Arc::new(store.prepare(entities).await?);
    let revision = store.replace(Arc::clone(&records), &hash).await?;
    // The text takes a fraction of the room that the records do, which another snapshot needs now.
    let layout = store.clone();
    let answer = written(201, move || layout.show(&records)).await?;
    call.state.node.applied(revision).await;
    Ok(answer)
}

impl Sent {
    /// The records and the hash; `None`: it is the same as the one with the hash `former`. The error is the answer.
    fn read(
        self,
        catalog: &Catalog,
        former: Option<&str>,
        wishes: Wishes,
    ) -> Result<Option<(Entities, String)>, Answer> {
        let refuse = |rejection: Rejection| {
            let body = if wishes.flatten_errors { rejection.flattened() } else { rejection.error().body() };
            Answer::written(400, body.to_string())
        };
        let mut document = match self {
            Sent::Text(text) => {
                if former.is_some_and(|former| former == Document::hash_of(&text)) {
                    return Ok(None);
                }
                Document::parse(&text, Notation::Either).map_err(|r| Answer::new(400, r.error().body()))?
            }
            Sent::Fields(fields) => Document::of_fields(fields),
        };
        if former == Some(document.hash()) {
            return Ok(None);
        }
        let entities = document.read(catalog).map_err(refuse)?;
        Ok(Some((entities, document.hash().to_owned())))
    }
}

fn check_mode(call: &Call) -> Result<(), Answer> {
    if call.state.options.dbless {
        return Ok(());
    }
    Err(Answer::message(400, "this endpoint is only available when Kong is configured to not use a database"))
}

/// A configuration is the content itself, or the text in its field `config`. Wishes may stand in the query or beside
/// it.
fn sent(query: &Query, content: Content) -> Result<(Wishes, Sent), Answer> {
    let mut fields = match content {
        Content::Text(text) => return Ok((Wishes::read(query, &mut Record::new()), Sent::Text(text))),
        Content::Json(fields) | Content::Form(fields) => fields,
        Content::None => return Err(Answer::message(400, "expected a declarative configuration")),
    };
    let wishes = Wishes::read(query, &mut fields);
    let text = Some("config").filter(|_| !fields.contains_key("_format_version"));
    match text.and_then(|name| fields.get_mut(name)) {
        Some(Value::String(text)) => Ok((wishes, Sent::Text(std::mem::take(text)))),
        _ => Ok((wishes, Sent::Fields(fields))),
    }
}

impl Wishes {
    /// Takes them out of the fields of the content.
    fn read(query: &Query, fields: &mut Record) -> Wishes {
        let mut wish = |name: &str| {
            let beside = fields.shift_remove(name);
            let text = query.first(name).map(str::to_ascii_lowercase);
            text.or_else(|| {
                beside.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_ascii_lowercase))
            })
        };
        let flatten_errors =
            wish("flatten_errors").is_some_and(|text| ["true", "1", "on", "yes"].contains(&text.as_str()));
        Wishes { flatten_errors, check_hash: wish("check_hash").as_deref() == Some("1") }
    }
}

/// An answer whose body may be large.
async fn written(status: u16, body: impl FnOnce() -> String + Send + 'static) -> HandlerResult {
    let body = spawn_blocking(body).await.map_err(|_| Answer::unexpected())?;
    Ok(Answer::written(status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)], content: Content) -> (Wishes, Sent) {
        let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        sent(&Query(pairs), content).expect("it is a configuration")
    }

    fn record(value: Value) -> Record {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn configurations_come_in_several_forms() {
        let (_, sent) = read(&[], Content::Json(record(json!({"config": "x"}))));
        assert!(matches!(sent, Sent::Text(text) if text == "x"));
        let whole = record(json!({"_format_version": "3.0", "config": "x"}));
        assert!(matches!(read(&[], Content::Json(whole.clone())).1, Sent::Fields(fields) if fields == whole));
        assert!(matches!(read(&[], Content::Text("y".to_owned())).1, Sent::Text(text) if text == "y"));
        assert_eq!(super::sent(&Query::default(), Content::None).err().map(|answer| answer.status), Some(400));
    }

    #[test]
    fn wishes_stand_in_the_query_or_beside_the_configuration() {
        let beside = record(json!({"_format_version": "3.0", "flatten_errors": true, "check_hash": 1}));
        let (wishes, sent) = read(&[], Content::Json(beside));
        assert!(wishes.flatten_errors);
        assert!(wishes.check_hash);
        assert!(matches!(sent, Sent::Fields(fields) if fields.len() == 1));
        let (wishes, _) = read(&[("flatten_errors", "Yes"), ("check_hash", "true")], Content::Json(Record::new()));
        assert!(wishes.flatten_errors);
        assert!(!wishes.check_hash);
    }
}

//! `/partials/{partials}/links`: the plugins that refer to a partial. And plugins with what they have from partials
//! (`expand_partials=true`).

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::{entity, nested, page};
use model::schema::links;
use model::{Error, Record};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ENTITY: &str = "partials";

pub fn add(drafts: &mut Drafts) {
    let Some(subject) = drafts.subject("/partials/{partials}") else { return };
    drafts.add_about(subject, "/partials/{partials}/links", &[(Method::Get, |call| Box::pin(list(call)))]);
    drafts.add("/schemas/partials/{name}", &[(Method::Get, |call| Box::pin(schema(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let partials = entity::subject(&call)?.outer;
    let id = nested::id(&entity::find(&call, &partials, &call.key(&partials, 0)).await?);
    let size = page::size(&call.query)?;
    let after = call.query.first("offset").map_or(Ok(0), |text| {
        text.parse::<usize>().map_err(|_| Answer::from(Error::invalid_offset(text, "not a number")))
    })?;
    let mut plugins = page::all(&call.store, "plugins").await?;
    plugins.retain(|plugin| links(plugin).any(|link| link.id == id));
    let count = plugins.len();
    let shown = |plugin: &Record| -> Record {
        let fields = ["id", "name", "instance_name"].into_iter();
        fields.filter_map(|field| Some((field.to_owned(), plugin.get(field)?.clone()))).collect()
    };
    let data = plugins.iter().skip(after).take(size).map(shown).collect();
    let next = after.saturating_add(size);
    let offset = (count > next).then(|| next.to_string());
    let path = format!("{}/{ENTITY}/{}/links", call.prefix, call.raw_parameter(0));
    let mut body = page::records(data, offset, &path, "");
    body["count"] = json!(count);
    Ok(Answer::new(200, body))
}

async fn schema(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    match call.store.catalog().partial(&name) {
        Some(schema) => Ok(Answer::new(200, schema.describe())),
        None => Err(Answer::message(404, format!("No partial of type '{name}'"))),
    }
}

/// Completes plugins by what they have from partials, if the client asks for that.
pub async fn expand(call: &Call, entity: &str, records: Vec<Record>) -> Result<Vec<Record>, Answer> {
    if entity != "plugins" || call.query.first("expand_partials") != Some("true") {
        return Ok(records);
    }
    let ids: Vec<String> = records.iter().flat_map(links).map(|link| link.id.to_owned()).collect();
    if ids.is_empty() {
        return Ok(records);
    }
    let partials = call.store.get_many(ENTITY, &ids).await?;
    let by_id: BTreeMap<&str, &Record> =
        partials.iter().filter_map(|partial| Some((partial.get("id").and_then(Value::as_str)?, partial))).collect();
    let schema = call.schema(entity)?;
    let mut find = |_: &str, id: &str| Ok(by_id.get(id).map(|partial| (*partial).clone()));
    let expanded = records.into_iter().map(|plugin| schema.expand_partials(call.store.catalog(), plugin, &mut find));
    Ok(expanded.collect::<Result<_, Error>>()?)
}

/// The same for one.
pub async fn expand_one(call: &Call, entity: &str, record: Record) -> Result<Record, Answer> {
    Ok(expand(call, entity, vec![record]).await?.pop().unwrap_or_default())
}

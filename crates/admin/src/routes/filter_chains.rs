//! `/filter-chains`, the filters of a route, and the schemas of filters; while `wasm` is off they answer as Kong's do.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Handler, Method};
use crate::resource::{Resource, Subject};
use crate::{entity, nested};
use model::{Catalog, Record};
use serde_json::{Value, json};
use store::Key;

const COLLECTIONS: [&str; 3] =
    ["/filter-chains", "/routes/{routes}/filter-chains", "/services/{services}/filter-chains"];
const RECORDS: [&str; 5] = [
    "/filter-chains/{filter_chains}",
    "/filter-chains/{filter_chains}/route",
    "/filter-chains/{filter_chains}/service",
    "/routes/{routes}/filter-chains/{filter_chains}",
    "/services/{services}/filter-chains/{filter_chains}",
];
const ALL: &str = "/routes/{routes}/filters/all";
const ENABLED: &str = "/routes/{routes}/filters/enabled";
const DISABLED: &str = "/routes/{routes}/filters/disabled";

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    drafts.add("/schemas/filters/{name}", &[(Method::Get, |call| Box::pin(schema(call)))]);
    match catalog.filters() {
        Some(_) => add_filters(drafts, catalog),
        None => refuse_all(drafts),
    }
}

fn add_filters(drafts: &mut Drafts, catalog: &Catalog) {
    let Some(routes) = Resource::all(catalog).remove("routes") else { return };
    let handlers: [(&str, Handler); 3] = [
        (ALL, |call| Box::pin(filters(call, None))),
        (ENABLED, |call| Box::pin(filters(call, Some(true)))),
        (DISABLED, |call| Box::pin(filters(call, Some(false)))),
    ];
    for (path, handler) in handlers {
        let subject = Subject { outer: routes.clone(), inner: None, field: String::new() };
        drafts.add_about(subject, path, &[(Method::Get, handler)]);
    }
}

fn refuse_all(drafts: &mut Drafts) {
    let refuse: Handler = |call| Box::pin(refuse(call));
    let (get, post) = ((Method::Get, refuse), (Method::Post, refuse));
    for path in COLLECTIONS {
        drafts.change(path, &[get, post]);
    }
    for path in RECORDS {
        drafts.change(path, &[get, (Method::Put, refuse), (Method::Patch, refuse), (Method::Delete, refuse)]);
    }
    for path in [ALL, ENABLED, DISABLED] {
        drafts.add(path, &[get]);
    }
}

async fn refuse(_call: Call) -> HandlerResult {
    Err(Answer::message(400, "this endpoint is only available when wasm is enabled"))
}

async fn schema(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    let filters = call.store.catalog().filters().unwrap_or_default();
    match filters.iter().find(|filter| filter.name == name) {
        Some(filter) => Ok(Answer::new(200, filter.config_schema.clone())),
        None => Err(Answer::message(404, format!("Filter '{name}' not found"))),
    }
}

/// The filters that act on requests of a route, in their order: those of its service, then its own.
async fn filters(call: Call, enabled: Option<bool>) -> HandlerResult {
    let routes = entity::subject(&call)?.outer;
    let route = entity::find(&call, &routes, &call.key(&routes, 0)).await?;
    let mut filters = Vec::new();
    let service = route.get("service").and_then(|service| service.get("id")).and_then(Value::as_str);
    if let Some(id) = service
        && let Some(service) = call.store.get("services", &Key::Id(id.to_owned())).await?
    {
        let chains = call.store.all_for("filter_chains", "service", &nested::id(&service)).await?;
        chains.iter().for_each(|chain| add_chain(&mut filters, chain, "service"));
    }
    let chains = call.store.all_for("filter_chains", "route", &nested::id(&route)).await?;
    chains.iter().for_each(|chain| add_chain(&mut filters, chain, "route"));
    filters.retain(|filter| enabled.is_none_or(|enabled| filter["enabled"] == enabled));
    Ok(Answer::new(200, json!({ "filters": filters })))
}

fn add_chain(filters: &mut Vec<Value>, chain: &Record, from: &str) {
    let value = |name: &str| chain.get(name).cloned().unwrap_or_default();
    let all_enabled = value("enabled") != false;
    for filter in chain.get("filters").and_then(Value::as_array).into_iter().flatten() {
        filters.push(json!({
            "name": filter["name"],
            "config": filter["config"],
            "from": from,
            "enabled": all_enabled && filter["enabled"] != false,
            "filter_chain": { "name": value("name"), "id": value("id") },
        }));
    }
}

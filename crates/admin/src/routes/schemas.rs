//! `/schemas`: the schemas, and whether a record obeys one.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};

pub fn add(drafts: &mut Drafts) {
    drafts.add("/schemas/{name}", &[(Method::Get, |call| Box::pin(entity(call)))]);
    drafts.add("/schemas/plugins/{name}", &[(Method::Get, |call| Box::pin(plugin(call)))]);
    drafts.add("/schemas/vaults/{name}", &[(Method::Get, |call| Box::pin(vault(call)))]);
    drafts.add("/schemas/{db_entity_name}/validate", &[(Method::Post, |call| Box::pin(validate_entity(call)))]);
    drafts.add("/schemas/partials/validate", &[(Method::Post, |call| Box::pin(validate(call, "partials".to_owned())))]);
    drafts.add("/schemas/plugins/validate", &[(Method::Post, |call| Box::pin(validate(call, "plugins".to_owned())))]);
    drafts.add("/schemas/vaults/validate", &[(Method::Post, |call| Box::pin(validate(call, "vaults".to_owned())))]);
}

async fn entity(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    match call.store.catalog().entity(&name) {
        Some(schema) => Ok(Answer::new(200, schema.describe())),
        None => Err(Answer::message(404, format!("No entity named '{name}'"))),
    }
}

async fn plugin(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    match call.store.catalog().plugin(&name) {
        Some(plugin) => Ok(Answer::new(200, plugin.schema.describe())),
        None => Err(Answer::message(404, format!("No plugin named '{name}'"))),
    }
}

async fn vault(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    match call.store.catalog().vault(&name) {
        Some(schema) => Ok(Answer::new(200, schema.describe())),
        None => Err(Answer::message(404, format!("No vault named '{name}'"))),
    }
}

async fn validate_entity(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    validate(call, name).await
}

async fn validate(mut call: Call, entity: String) -> HandlerResult {
    let catalog = call.store.catalog().clone();
    let Some(schema) = catalog.entity(&entity) else {
        return Err(Answer::message(404, format!("No entity named '{entity}'")));
    };
    let input = call.input(&entity)?;
    schema.validate(&catalog, input)?;
    Ok(Answer::message(200, "schema validation successful"))
}

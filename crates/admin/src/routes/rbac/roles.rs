//! `/rbac/roles`: names for what users may do.

use crate::access::rules::Rules;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::resource::Subject;
use crate::{entity, nested};
use serde_json::json;

const ONE: &str = "/rbac/roles/{rbac_roles}";

pub fn add(drafts: &mut Drafts, subject: Subject) {
    drafts.add_about(
        subject.clone(),
        "/rbac/roles",
        &[(Method::Get, |call| Box::pin(entity::list(call))), (Method::Post, |call| Box::pin(entity::create(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Put, |call| Box::pin(entity::replace(call))),
            (Method::Patch, |call| Box::pin(entity::change(call))),
            (Method::Delete, |call| Box::pin(entity::delete(call))),
        ],
    );
    drafts.add_about(subject, &format!("{ONE}/permissions"), &[(Method::Get, |call| Box::pin(permissions(call)))]);
}

async fn permissions(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let role = nested::id(&entity::find(&call, &resource, &call.key(&resource, 0)).await?);
    let mut rules = Rules::default();
    for rule in call.store.all_for("rbac_role_endpoints", "role", &role).await? {
        rules.add(&rule);
    }
    Ok(Answer::new(200, json!({ "endpoints": rules.describe(), "entities": {} })))
}

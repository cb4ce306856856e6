//! The endpoints that follow from the schemas.

use crate::endpoint::{Drafts, Method};
use crate::resource::{Resource, Subject};
use crate::{entity, nested};
use model::Catalog;
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let resources = Resource::all(catalog);
    for resource in resources.values().filter(|resource| resource.generated) {
        add_entity(drafts, &resources, resource);
    }
}

/// What follows from one entity: its collection, its records, and both once more for each of its foreign keys.
fn add_entity(drafts: &mut Drafts, resources: &BTreeMap<String, Arc<Resource>>, resource: &Arc<Resource>) {
    let Resource { name, path, nested_path, .. } = &**resource;
    let own = Subject { outer: resource.clone(), inner: None, field: String::new() };
    drafts.add_about(
        own.clone(),
        &format!("/{path}"),
        &[(Method::Get, |call| Box::pin(entity::list(call))), (Method::Post, |call| Box::pin(entity::create(call)))],
    );
    drafts.add_about(
        own,
        &format!("/{path}/{{{name}}}"),
        &[
            (Method::Get, |call| Box::pin(entity::read(call))),
            (Method::Put, |call| Box::pin(entity::replace(call))),
            (Method::Patch, |call| Box::pin(entity::change(call))),
            (Method::Delete, |call| Box::pin(entity::delete(call))),
        ],
    );
    for (field, reference) in &resource.foreign {
        let Some(target) = resources.get(reference) else { continue };
        let Resource { name: parent, path: parent_path, .. } = &**target;
        drafts.add_about(
            Subject { outer: resource.clone(), inner: Some(target.clone()), field: field.clone() },
            &format!("/{path}/{{{name}}}/{field}"),
            &[
                (Method::Get, |call| Box::pin(nested::read_foreign(call))),
                (Method::Put, |call| Box::pin(nested::replace_foreign(call))),
                (Method::Patch, |call| Box::pin(nested::change_foreign(call))),
                (Method::Delete, |call| Box::pin(nested::delete_foreign(call))),
            ],
        );
        let subject = Subject { outer: target.clone(), inner: Some(resource.clone()), field: field.clone() };
        drafts.add_about(
            subject.clone(),
            &format!("/{parent_path}/{{{parent}}}/{nested_path}"),
            &[
                (Method::Get, |call| Box::pin(nested::list(call))),
                (Method::Post, |call| Box::pin(nested::create(call))),
            ],
        );
        drafts.add_about(
            subject,
            &format!("/{parent_path}/{{{parent}}}/{nested_path}/{{{name}}}"),
            &[
                (Method::Get, |call| Box::pin(nested::read(call))),
                (Method::Put, |call| Box::pin(nested::replace(call))),
                (Method::Patch, |call| Box::pin(nested::change(call))),
                (Method::Delete, |call| Box::pin(nested::delete(call))),
            ],
        );
    }
}

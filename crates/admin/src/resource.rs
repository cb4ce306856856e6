//! What endpoints have to know of entities, read from their schemas.

use model::{Catalog, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entity as the Admin API shows it.
#[derive(Debug)]
pub struct Resource {
    /// The entity's name, such as `keyauth_credentials`.
    pub name: String,
    /// The first segment of its path, such as `key-auths`.
    pub path: String,
    /// The segment under another entity, such as `key-auth`.
    pub nested_path: String,
    /// The field by which a path can name a record instead of its id.
    pub endpoint_key: Option<String>,
    /// The foreign keys: field and entity.
    pub foreign: Vec<(String, String)>,
    /// Whether its records have tags.
    pub tagged: bool,
    /// Whether it has endpoints at all.
    pub generated: bool,
    /// Whether a plugin has any function in the place of one of data access.
    pub has_own_functions: bool,
}

/// The entities that a generated endpoint is about.
#[derive(Clone)]
pub struct Subject {
    /// The first entity of the path.
    pub outer: Arc<Resource>,
    /// For `/services/{services}/routes` the routes; for `/routes/{routes}/service` the services.
    pub inner: Option<Arc<Resource>>,
    /// The foreign key that connects the two.
    pub field: String,
}

impl Subject {
    /// Whether code of a plugin may have a part in what is done.
    pub fn asks_plugins(&self) -> bool {
        self.outer.has_own_functions || self.inner.as_ref().is_some_and(|inner| inner.has_own_functions)
    }
}

impl Resource {
    /// All entities of a catalog by name.
    pub fn all(catalog: &Catalog) -> BTreeMap<String, Arc<Resource>> {
        catalog.entities().map(|schema| (schema.name.clone(), Arc::new(Resource::new(schema)))).collect()
    }

    fn new(schema: &Schema) -> Resource {
        Resource {
            name: schema.name.clone(),
            path: schema.path_name().to_owned(),
            nested_path: schema.nested_name().to_owned(),
            endpoint_key: schema.endpoint_key().map(str::to_owned),
            foreign: schema.foreign_fields().map(|(field, entity)| (field.name.clone(), entity.to_owned())).collect(),
            tagged: schema.field("tags").is_some(),
            // A path names a record by one value.
            generated: schema.generate_admin_api() && schema.primary_key().len() == 1,
            has_own_functions: schema.has_own_functions(),
        }
    }
}

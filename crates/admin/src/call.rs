//! One request on its way through the handlers.

use crate::answer::Answer;
use crate::content::Content;
use crate::endpoint::Endpoint;
use crate::resource::Resource;
use crate::{Admin, form};
use model::{Record, Schema};
use serde_json::Value;
use std::sync::Arc;
use store::{Key, Revision, Written};

/// A request that has found its endpoint, with its content parsed as far as that is possible without the schema.
pub struct Call {
    pub admin: Arc<Admin>,
    pub endpoint: Arc<Endpoint>,
    /// The parameters of the path, as the client wrote them.
    pub parameters: Vec<String>,
    pub query: Query,
    pub content: Content,
}

/// The arguments of a URL, decoded, in their order. Without `=` the value is `None`.
#[derive(Clone, Debug, Default)]
pub struct Query(pub Vec<(String, Option<String>)>);

impl Query {
    /// The first argument of that name (`tags`, or `tags[]` and `tags[1]` as forms write lists).
    pub fn first(&self, name: &str) -> Option<&str> {
        let named = |key: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
        self.0.iter().find(|(key, _)| named(key)).map(|(_, value)| value.as_deref().unwrap_or("true"))
    }
}

impl Call {
    /// A parameter of the path, decoded.
    pub fn parameter(&self, index: usize) -> String {
        // A call is made only when all of them are text.
        form::unescape(self.raw_parameter(index).as_bytes()).unwrap_or_default()
    }

    /// A parameter of the path, as the client wrote it.
    pub fn raw_parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// What a parameter of the path names: an id, or a value of the entity's endpoint key.
    pub fn key(&self, resource: &Resource, index: usize) -> Key {
        self.admin.store.key(&resource.name, &self.parameter(index))
    }

    /// The schema of an entity.
    pub fn schema(&self, entity: &str) -> Result<Arc<Schema>, Answer> {
        self.admin.store.catalog().entity(entity).cloned().ok_or_else(Answer::not_found)
    }

    /// Takes the content as input for an entity. `known` are fields that decide how form fields are read (a plugin's
    /// `name`).
    pub fn input(&mut self, entity: &str, known: Option<(&str, &Value)>) -> Result<Record, Answer> {
        match std::mem::take(&mut self.content) {
            Content::None | Content::Text(_) => Ok(Record::new()),
            Content::Json(record) => Ok(record),
            Content::Form(mut record) => {
                if let Some((name, value)) = known {
                    record.entry(name).or_insert_with(|| value.clone());
                }
                let schema = self.schema(entity)?;
                Ok(schema.coerce_form(self.admin.store.catalog(), record))
            }
        }
    }

    /// The field of the content, whatever its form.
    pub fn content_field(&self, name: &str) -> Option<&Value> {
        match &self.content {
            Content::Json(record) | Content::Form(record) => record.get(name),
            Content::None | Content::Text(_) => None,
        }
    }

    /// The record of a write, after this node's snapshot has it.
    pub async fn written(&self, written: Written) -> Record {
        self.applied(written.revision).await;
        written.record
    }

    /// Waits until this node's snapshot has a revision.
    pub async fn applied(&self, revision: Revision) {
        self.admin.node.applied(revision).await;
    }
}

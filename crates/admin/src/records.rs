//! The records that a call is about, as far as its user may see them: what there are rules about is shown by them, in
//! one place for all endpoints.

use crate::access::rights::{self, Rights};
use crate::access::rules::Action;
use crate::answer::Answer;
use model::{Catalog, Record};
use serde_json::Value;
use std::sync::Arc;
use store::{Key, Page, PageQuery, Scope, Store, TagPage};

/// The records of a workspace, or of all.
#[derive(Clone)]
pub struct Records {
    store: Store,
    /// Those of the user, where single records are looked at.
    rights: Option<Arc<Rights>>,
}

impl Records {
    pub fn new(store: Store, rights: Option<Arc<Rights>>) -> Records {
        Records { store, rights }
    }

    /// All of them, whoever asks: for what is about no single record.
    pub fn whole(&self) -> &Store {
        &self.store
    }

    pub fn rights(&self) -> Option<&Arc<Rights>> {
        self.rights.as_ref()
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        self.store.catalog()
    }

    pub fn scope(&self) -> Scope {
        self.store.scope()
    }

    /// See [`Store::key`].
    pub fn key(&self, entity: &str, segment: &str) -> Key {
        self.store.key(entity, segment)
    }

    /// See [`Store::get`]. What must not be seen is refused.
    pub async fn get(&self, entity: &str, key: &Key) -> Result<Option<Record>, Answer> {
        let found = self.store.get(entity, key).await?;
        self.shown(entity, found).await
    }

    /// See [`Store::get_by`].
    pub async fn get_by(&self, entity: &str, field: &str, value: &str) -> Result<Option<Record>, Answer> {
        let found = self.store.get_by(entity, field, value).await?;
        self.shown(entity, found).await
    }

    /// See [`Store::get_under`].
    pub async fn get_under(&self, entity: &str, key: &Key, field: &str, id: &str) -> Result<Option<Record>, Answer> {
        let found = self.store.get_under(entity, key, field, id).await?;
        self.shown(entity, found).await
    }

    /// See [`Store::get_many`]. What must not be seen is left out.
    pub async fn get_many(&self, entity: &str, ids: &[String]) -> Result<Vec<Record>, Answer> {
        let found = self.store.get_many(entity, ids).await?;
        self.seen(entity, found).await
    }

    /// See [`Store::all_for`].
    pub async fn all_for(&self, entity: &str, field: &str, id: &str) -> Result<Vec<Record>, Answer> {
        let found = self.store.all_for(entity, field, id).await?;
        self.seen(entity, found).await
    }

    /// See [`Store::page`]. A page may have fewer records than it could.
    pub async fn page(&self, entity: &str, query: &PageQuery) -> Result<Page, Answer> {
        let found = self.store.page(entity, query).await?;
        Ok(Page { data: self.seen(entity, found.data).await?, offset: found.offset })
    }

    /// See [`Store::page_tags`].
    pub async fn page_tags(&self, tag: Option<&str>, query: &PageQuery) -> Result<TagPage, Answer> {
        let mut found = self.store.page_tags(tag, query).await?;
        if let Some(rights) = &self.rights {
            let ids: Vec<&str> = found.data.iter().map(|entry| entry.id.as_str()).collect();
            let workspace = self.workspace();
            let rules = rights.rules(&ids, workspace.as_deref()).await?;
            found
                .data
                .retain(|entry| rules.allow(&entry.id, self.workspace_of(&entry.entity, &workspace), Action::Read));
        }
        Ok(found)
    }

    /// Refuses what must not be done to a record, where nothing is written that tells.
    pub async fn require(&self, entity: &str, record: &Record, action: Action) -> Result<(), Answer> {
        let Some(rights) = self.rights_to(entity) else { return Ok(()) };
        let (id, workspace) = (id(record), self.workspace());
        let rules = rights.rules(&[id], workspace.as_deref()).await?;
        match rules.allow(id, self.workspace_of(entity, &workspace), action) {
            true => Ok(()),
            false => Err(rights.refusal(action)),
        }
    }

    /// Refuses what must not be seen.
    pub async fn shown(&self, entity: &str, found: Option<Record>) -> Result<Option<Record>, Answer> {
        if let Some(record) = &found {
            self.require(entity, record, Action::Read).await?;
        }
        Ok(found)
    }

    /// Leaves out what must not be seen.
    pub async fn seen(&self, entity: &str, mut records: Vec<Record>) -> Result<Vec<Record>, Answer> {
        let Some(rights) = self.rights_to(entity) else { return Ok(records) };
        let workspace = self.workspace();
        let ids: Vec<&str> = records.iter().map(id).collect();
        let rules = rights.rules(&ids, workspace.as_deref()).await?;
        records.retain(|record| rules.allow(id(record), self.workspace_of(entity, &workspace), Action::Read));
        Ok(records)
    }

    /// The rights that count for records of an entity, if any do.
    fn rights_to(&self, entity: &str) -> Option<&Rights> {
        let about = self.catalog().entity(entity).is_some_and(|schema| rights::are_about(schema));
        self.rights.as_deref().filter(|_| about)
    }

    fn workspace(&self) -> Option<String> {
        self.scope().workspace().map(|id| id.to_string())
    }

    /// The workspace of records of an entity, if they are in one.
    fn workspace_of<'w>(&self, entity: &str, workspace: &'w Option<String>) -> Option<&'w str> {
        let schema = self.catalog().entity(entity).filter(|schema| schema.workspaceable());
        workspace.as_deref().filter(|_| schema.is_some())
    }
}

fn id(record: &Record) -> &str {
    record.get("id").and_then(Value::as_str).unwrap_or_default()
}

//! Records of plugins, in memory.

use crate::{Addition, BoxFuture, Counter, Record, RecordPage, RecordStore, Records, Tasks};
use model::Error;
use model::entities::Uuid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Keeps what it is given, with `id` and `created_at` and without looking at schemas. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// Workspace, entity, record.
    records: Vec<(Uuid, String, Record)>,
    counters: BTreeMap<Counter, i64>,
}

/// The way to what is kept there.
pub fn records(kept: Kept) -> Records {
    Records::new(Arc::new(kept), Tasks::default())
}

impl Kept {
    /// All records of an entity, in the order in which they came.
    pub fn all(&self, entity: &str) -> Vec<Record> {
        let content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        content.records.iter().filter(|(_, of, _)| of == entity).map(|(.., record)| record.clone()).collect()
    }

    fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Content) -> T) -> BoxFuture<'static, Result<T, Error>> {
        let done = work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(Ok(done)))
    }
}

impl RecordStore for Kept {
    fn get(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        self.find(workspace, entity, "id", id)
    }

    fn page(
        &self,
        workspace: Uuid,
        entity: &str,
        size: usize,
        offset: Option<String>,
    ) -> BoxFuture<'static, Result<RecordPage, Error>> {
        let from = offset.and_then(|offset| offset.parse().ok()).unwrap_or(0);
        self.with(|content| {
            let records = content.records.iter().filter(|(of, name, _)| *of == workspace && name == entity);
            let records: Vec<&Record> = records.map(|(.., record)| record).collect();
            let until = records.len().min(from + size);
            let offset = (until < records.len()).then(|| until.to_string());
            (records[from.min(until)..until].iter().copied().cloned().collect(), offset)
        })
    }

    fn upsert(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        mut input: Record,
    ) -> BoxFuture<'static, Result<Record, Error>> {
        let deleted = self.delete(workspace, entity, id);
        input.insert("id".to_owned(), id.into());
        let inserted = self.insert(workspace, entity, input);
        Box::pin(async move {
            deleted.await?;
            inserted.await
        })
    }

    fn find(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        value: &str,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        self.with(|content| {
            let mut records = content.records.iter().filter(|(of, name, _)| *of == workspace && name == entity);
            let found = records.find(|(.., record)| record.get(field).and_then(Value::as_str) == Some(value));
            found.map(|(.., record)| record.clone())
        })
    }

    fn find_all(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        id: Uuid,
    ) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
        let id = id.to_string();
        self.with(|content| {
            let records = content.records.iter().filter(|(of, name, _)| *of == workspace && name == entity);
            let refers = |record: &&Record| record.get(field).is_some_and(|reference| reference["id"] == *id);
            records.map(|(.., record)| record).filter(refers).cloned().collect()
        })
    }

    fn all(&self, workspace: Uuid, entity: &str) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
        self.with(|content| {
            let records = content.records.iter().filter(|(of, name, _)| *of == workspace && name == entity);
            records.map(|(.., record)| record.clone()).collect()
        })
    }

    fn insert(&self, workspace: Uuid, entity: &str, mut input: Record) -> BoxFuture<'static, Result<Record, Error>> {
        input.entry("id").or_insert_with(|| Uuid::new_v4().to_string().into());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        input.entry("created_at").or_insert_with(|| now.into());
        let entity = entity.to_owned();
        self.with(|content| {
            content.records.push((workspace, entity, input.clone()));
            input
        })
    }

    fn update(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        change: Record,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        self.with(|content| {
            let is = |(of, name, record): &&mut (Uuid, String, Record)| {
                *of == workspace && name == entity && record["id"] == id
            };
            let (.., record) = content.records.iter_mut().find(is)?;
            record.extend(change);
            Some(record.clone())
        })
    }

    fn delete(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<bool, Error>> {
        self.with(|content| {
            let before = content.records.len();
            content.records.retain(|(of, name, record)| *of != workspace || name != entity || record["id"] != id);
            content.records.len() < before
        })
    }

    fn add(&self, additions: Vec<Addition>) -> BoxFuture<'static, Result<(), Error>> {
        self.with(|content| {
            for Addition { counter, amount, .. } in additions {
                *content.counters.entry(counter).or_default() += amount;
            }
        })
    }

    fn counts(&self, counters: Vec<Counter>) -> BoxFuture<'static, Result<Vec<i64>, Error>> {
        self.with(|content| counters.iter().map(|counter| *content.counters.get(counter).unwrap_or(&0)).collect())
    }
}

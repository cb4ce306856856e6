//! Partials on their way into the plugins that refer to them.

use super::state::{Batch, State};
use super::{Change, Snapshot};
use model::Record;
use model::entities::Uuid;
use model::schema::{lay, links};
use std::borrow::Cow;
use std::collections::HashMap;

/// The partials in force, and the records of the plugins that refer to any.
#[derive(Default)]
pub(super) struct Partials {
    by_id: HashMap<Uuid, Record>,
    plugins: HashMap<Uuid, Record>,
}

impl Partials {
    /// Keeps the record of a plugin that refers to partials; `None`: it is gone.
    pub fn note(&mut self, id: Uuid, plugin: Option<&Record>) {
        match plugin.filter(|plugin| links(plugin).next().is_some()) {
            Some(plugin) => drop(self.plugins.insert(id, plugin.clone())),
            None => drop(self.plugins.remove(&id)),
        }
    }

    /// The record of a plugin with what it has from partials.
    pub fn expand<'r>(&self, plugin: &'r Record) -> Result<Cow<'r, Record>, String> {
        let mut expanded = Cow::Borrowed(plugin);
        for link in links(plugin) {
            let partial = Uuid::parse_str(link.id).ok().and_then(|id| self.by_id.get(&id));
            let partial = partial.ok_or_else(|| format!("there is no partial {}", link.id))?;
            lay(expanded.to_mut(), link.path, partial);
        }
        Ok(expanded)
    }
}

impl State {
    /// Takes a record of `partials`, and those of the plugins that refer to it again.
    pub(super) fn take_partial(
        &mut self,
        id: Uuid,
        record: &Record,
        deleted: bool,
        next: &mut Snapshot,
        batch: &mut Batch,
    ) -> Result<(), String> {
        if deleted {
            self.partials.by_id.remove(&id);
        } else if record.get("config").is_some_and(|config| config.is_object()) {
            self.partials.by_id.insert(id, record.clone());
        } else {
            return Err("config: missing".to_owned());
        }
        let name = id.to_string();
        let refers = |plugin: &&Record| links(plugin).any(|link| link.id == name);
        let plugins: Vec<Record> = self.partials.plugins.values().filter(refers).cloned().collect();
        for record in &plugins {
            self.take(&Change { deleted: false, entity: "plugins", record }, next, batch);
        }
        Ok(())
    }
}

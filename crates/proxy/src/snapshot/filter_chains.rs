//! Chains of filters on their way into chains of plugins: each is the configuration of a plugin that runs its filters.

use super::state::{Batch, State};
use super::{Change, Snapshot};
use model::entities::Uuid;
use model::{Effect, Record};
use sdk::{FILTERS_OF_ROUTE, FILTERS_OF_SERVICE};
use serde_json::{Value, json};

const PROTOCOLS: [&str; 6] = ["http", "https", "grpc", "grpcs", "ws", "wss"];

impl State {
    /// Takes a record of `filter_chains`, where the node runs filters.
    pub(super) fn take_filter_chain(
        &mut self,
        change: &Change<'_>,
        next: &mut Snapshot,
        batch: &mut Batch,
    ) -> Result<(), String> {
        if !self.runs_filters() {
            return Ok(());
        }
        let record = plugin_of(change.record);
        self.take_plugin(&Change { deleted: change.deleted, entity: "filter_chains", record: &record }, next, batch)
    }

    /// What of a chain cannot be used stands for a plugin that cannot.
    pub(super) fn settle_filter_chain(
        &mut self,
        id: Uuid,
        record: &Record,
        former: Option<&State>,
        batch: &mut Batch,
    ) -> Effect {
        self.settle_plugin(id, &plugin_of(record), former, batch)
    }

    fn runs_filters(&self) -> bool {
        self.kinds.iter().any(|kind| [FILTERS_OF_ROUTE, FILTERS_OF_SERVICE].contains(&kind.name()))
    }
}

/// The plugin that stands for a chain.
fn plugin_of(chain: &Record) -> Record {
    let given = |field: &str| chain.get(field).cloned().unwrap_or(Value::Null);
    let name = if given("route").is_null() { FILTERS_OF_SERVICE } else { FILTERS_OF_ROUTE };
    let mut plugin = Record::new();
    for field in ["id", "ws_id", "enabled", "route", "service"] {
        plugin.insert(field.to_owned(), given(field));
    }
    plugin.insert("name".to_owned(), name.into());
    plugin.insert("protocols".to_owned(), json!(PROTOCOLS));
    plugin.insert("config".to_owned(), json!({ "filters": given("filters") }));
    plugin
}

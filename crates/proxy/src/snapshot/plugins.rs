//! Records of plugins on their way into chains. One that cannot be used fails closed: its former instance goes on where
//! it covers the same requests, or the requests that it covers are refused.

use super::state::{Batch, State, id_of};
use super::{Change, Snapshot};
use crate::chain::{Instance, PluginCondition, Refusal};
use crate::panic;
use model::entities::{Ordering, Plugin, Protocol, Protocols, Uuid, workspace_of};
use model::{Effect, Record};
use sdk::Phases;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a plugin that cannot be used would apply.
struct Coverage {
    id: Uuid,
    workspace: Uuid,
    name: String,
    route: Option<Uuid>,
    service: Option<Uuid>,
    consumer: Option<Uuid>,
    consumer_group: Option<Uuid>,
    protocols: Protocols,
    condition: Option<String>,
}

impl State {
    /// Takes a record of `plugins`.
    pub(super) fn take_plugin(
        &mut self,
        change: &Change<'_>,
        next: &mut Snapshot,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let id = id_of(change.record)?;
        let off = change.record.get("enabled") == Some(&Value::Bool(false));
        self.partials.note(id, Some(change.record).filter(|_| !change.deleted && !off));
        if change.deleted || off {
            self.remove_plugin(&id, batch);
            return Ok(());
        }
        let instance = self.instance(&*self.partials.expand(change.record)?)?;
        self.remove_plugin(&id, batch);
        batch.touch(instance.route.as_ref(), instance.service.as_ref());
        let degraded = panic::caught(|| instance.plugin.degraded()).unwrap_or_else(Some);
        if let Some(reason) = degraded {
            next.degrade(change.entity, id, change.record, Effect::Limited, reason);
        }
        self.scopes.put(Arc::new(instance));
        Ok(())
    }

    /// Puts something in the place of a plugin that cannot be used: the former instance, where it covers the same
    /// requests, else one that refuses them. One that may cover any request cannot be done without.
    pub(super) fn settle_plugin(
        &mut self,
        id: Uuid,
        record: &Record,
        former: Option<&State>,
        batch: &mut Batch,
    ) -> Effect {
        let coverage = match Coverage::of(id, record) {
            Ok(coverage) => coverage,
            Err(reason) => {
                batch.refusal.get_or_insert_with(|| format!("plugins {id}: {reason}"));
                return Effect::Refuses;
            }
        };
        let known = former.map_or(&self.scopes, |former| &former.scopes).get(&id);
        match known.filter(|known| coverage.is_that_of(known)).cloned() {
            Some(known) => {
                self.scopes.put(known);
                Effect::Former
            }
            None => {
                self.remove_plugin(&id, batch);
                batch.touch(coverage.route.as_ref(), coverage.service.as_ref());
                let kind = self.kinds.iter().find(|kind| kind.name() == coverage.name);
                self.scopes.put(Arc::new(coverage.refusing(kind.map_or(0, |kind| kind.priority()))));
                Effect::Refuses
            }
        }
    }

    /// The first plugin that is for something that is not there, when all records have come in: nobody knows what it
    /// was for. (What is deleted takes its plugins along.)
    pub(super) fn stray_plugin(&self, next: &Snapshot) -> Option<String> {
        let degraded = |entity: &str, id: &Uuid| next.degraded.contains_key(&(entity.to_owned(), *id));
        self.scopes.all().find_map(|plugin| {
            let route = plugin.route.filter(|id| !self.routes.contains_key(id) && !degraded("routes", id));
            let service = plugin.service.filter(|id| !self.services.contains_key(id) && !degraded("services", id));
            let consumer = plugin.consumer.filter(|id| next.consumers.get(id).is_none() && !degraded("consumers", id));
            let group = plugin.consumer_group.filter(|id| next.groups.get(id).is_none());
            let [route, service, consumer, group] =
                [(route, "route"), (service, "service"), (consumer, "consumer"), (group, "consumer group")]
                    .map(|(id, what)| id.map(|id| format!("there is no {what} {id}")));
            let reason = route.or(service).or(consumer).or(group)?;
            Some(format!("plugins {} ({}): {reason}", plugin.id, plugin.name))
        })
    }

    fn remove_plugin(&mut self, id: &Uuid, batch: &mut Batch) {
        if let Some(old) = self.scopes.remove(id) {
            batch.touch(old.route.as_ref(), old.service.as_ref());
        }
    }

    /// The instance that a record asks for.
    fn instance(&self, record: &Record) -> Result<Instance, String> {
        let plugin = Plugin::from_record(record)?;
        let kind = self
            .kinds
            .iter()
            .find(|k| k.name() == plugin.name)
            .ok_or_else(|| format!("{} plugin is in use but not enabled", plugin.name))?;
        let condition = plugin.condition.as_deref().map(PluginCondition::parse).transpose()?;
        let (configured, phases, request) = panic::caught(|| {
            let configured = kind.configure(&plugin, &self.env)?;
            let (phases, request) = (configured.phases(), configured.certificate_request());
            Ok::<_, String>((configured, phases, request))
        })
        .unwrap_or_else(|what| Err(format!("panicked: {what}")))?;
        Ok(Instance {
            id: plugin.id,
            workspace: plugin.workspace,
            name: Cow::Borrowed(kind.name()),
            priority: kind.priority(),
            route: plugin.route,
            service: plugin.service,
            consumer: plugin.consumer,
            consumer_group: plugin.consumer_group,
            protocols: plugin.protocols,
            ordering: plugin.ordering,
            condition,
            phases,
            request,
            refuses: false,
            plugin: configured,
        })
    }
}

impl Coverage {
    /// An error when the record does not say what it covers.
    fn of(id: Uuid, record: &Record) -> Result<Coverage, String> {
        let scope = |field: &str| match record.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let id = value.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
                id.map(Some).ok_or_else(|| format!("{field}: not a foreign key"))
            }
        };
        let named = record.get("protocols").and_then(Value::as_array);
        let known = |name: &Value| name.as_str().and_then(|name| Protocol::parse(name).ok());
        // One that is not known may stand for any.
        let protocols = match named.map(|names| names.iter().map(known).collect::<Option<Vec<Protocol>>>()) {
            Some(Some(protocols)) => protocols.into_iter().fold(Protocols::default(), Protocols::with),
            _ => Protocols::ALL,
        };
        Ok(Coverage {
            id,
            workspace: workspace_of(record),
            name: record.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            route: scope("route")?,
            service: scope("service")?,
            consumer: scope("consumer")?,
            consumer_group: scope("consumer_group")?,
            protocols,
            condition: record.get("condition").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// Whether an instance acts on exactly the requests that this was to act on.
    fn is_that_of(&self, instance: &Instance) -> bool {
        !instance.refuses
            && instance.workspace == self.workspace
            && instance.name == self.name
            && (instance.route, instance.service) == (self.route, self.service)
            && (instance.consumer, instance.consumer_group) == (self.consumer, self.consumer_group)
            && instance.protocols == self.protocols
            && instance.condition.as_ref().map(PluginCondition::text) == self.condition.as_deref()
    }

    fn refusing(self, priority: i32) -> Instance {
        Instance {
            id: self.id,
            workspace: self.workspace,
            name: Cow::Owned(self.name),
            priority,
            route: self.route,
            service: self.service,
            consumer: self.consumer,
            consumer_group: self.consumer_group,
            protocols: self.protocols,
            ordering: Ordering::default(),
            // Whatever it was about, what it was to protect is refused.
            condition: None,
            phases: Phases::ACCESS,
            request: None,
            refuses: true,
            plugin: Box::new(Refusal),
        }
    }
}

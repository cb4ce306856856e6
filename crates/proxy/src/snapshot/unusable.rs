//! Records that cannot be used, and what stands in their place: the former version, where it is for the same requests;
//! else the requests that a record is for are refused. What is lost with a record that lets nothing in (a credential, a
//! target) is left out.

use super::state::{Batch, State};
use super::{Snapshot, Subject};
use model::entities::{Route, Target, Upstream, Uuid, workspace_of};
use model::{Effect, Record};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records of a batch that cannot be used, by what they are.
pub(super) type AllUnusable = BTreeMap<Subject, Unusable>;

/// A record, and why it cannot be used.
pub(super) struct Unusable {
    pub record: Record,
    pub reason: String,
}

impl State {
    /// Puts something in the place of what cannot be used. `former` are the records there were, when all of them are
    /// replaced; `None`: those there are. `current` is the snapshot in force.
    pub(super) fn settle(
        &mut self,
        former: Option<&State>,
        current: &Snapshot,
        next: &mut Snapshot,
        batch: &mut Batch,
    ) {
        for ((entity, id), Unusable { record, reason }) in std::mem::take(&mut batch.unusable) {
            let effect = match entity.as_str() {
                "services" => self.settle_service(id, &record, former, batch),
                "routes" => self.settle_route(id, &record, &reason, former, batch),
                "upstreams" => self.settle_upstream(id, &record, former),
                "targets" => self.settle_target(id, &record, former),
                "plugins" => self.settle_plugin(id, &record, former, batch),
                "filter_chains" => self.settle_filter_chain(id, &record, former, batch),
                "consumers" => next.settle_consumer(id, current),
                "consumer_groups" => next.settle_group(id, &record, current),
                "consumer_group_consumers" => self.settle_membership(id, former, next).unwrap_or_else(|| {
                    batch.refusal.get_or_insert_with(|| format!("consumer_group_consumers {id}: {reason}"));
                    Effect::Refuses
                }),
                "certificates" => next.certificates.settle_certificate(id, &current.certificates),
                "snis" => next.certificates.settle_sni(id, &record, &current.certificates),
                _ => Effect::LeftOut,
            };
            let name = record.get("name").and_then(Value::as_str);
            let what = effect.words();
            tracing::error!(entity, name, %id, "a record cannot be used, {what}: {reason}");
            next.degrade(&entity, id, &record, effect, reason);
        }
    }

    /// Without its service, a route is nothing to send requests to.
    fn settle_service(&mut self, id: Uuid, record: &Record, former: Option<&State>, batch: &mut Batch) -> Effect {
        let on = record.get("enabled") != Some(&Value::Bool(false));
        let known = former.unwrap_or(self).services.get(&id).filter(|known| known.enabled == on).cloned();
        let effect = match (&known, on) {
            (Some(_), _) => Effect::Former,
            (None, true) => Effect::Refuses,
            (None, false) => Effect::LeftOut,
        };
        self.put_service(id, known, batch);
        if effect == Effect::LeftOut {
            self.switched_off.insert(id);
        }
        effect
    }

    fn settle_route(
        &mut self,
        id: Uuid,
        record: &Record,
        reason: &str,
        former: Option<&State>,
        batch: &mut Batch,
    ) -> Effect {
        let (possible, _) = Route::possible(record);
        let there = former.unwrap_or(self);
        let known =
            there.routes.get(&id).filter(|known| known.covers_same(&possible) && !there.refused.contains_key(&id));
        match known.cloned() {
            Some(known) => {
                self.put_route(id, Some(known), batch);
                Effect::Former
            }
            None => {
                self.put_route(id, Some(Arc::new(possible)), batch);
                self.refused.insert(id, reason.to_owned());
                Effect::Refuses
            }
        }
    }

    /// An upstream of which nothing but the name and the workspace is known has no targets. Were it not there, its name
    /// would be that of a host.
    fn settle_upstream(&mut self, id: Uuid, record: &Record, former: Option<&State>) -> Effect {
        let name = record.get("name").and_then(Value::as_str);
        let known = former.map_or(&self.rings, |former| &former.rings).upstream(&id);
        let known = known.filter(|known| name.is_none_or(|name| known.name == name)).cloned();
        if let Some(known) = known {
            self.rings.put_upstream(known);
            return Effect::Former;
        }
        let workspace = workspace_of(record).to_string();
        let bare = name.map(|name| {
            [("id", id.to_string()), ("ws_id", workspace), ("name", name.to_owned())]
                .map(|(field, value)| (field.to_owned(), value.into()))
        });
        match bare.and_then(|bare| Upstream::from_record(&Record::from_iter(bare)).ok()) {
            Some(bare) => {
                self.rings.refuse_upstream(Arc::new(bare));
                Effect::NoConnection
            }
            None => {
                self.rings.remove_upstream(&id);
                Effect::LeftOut
            }
        }
    }

    fn settle_target(&mut self, id: Uuid, record: &Record, former: Option<&State>) -> Effect {
        let same = |known: &&Arc<Target>| {
            let upstream = record.get("upstream").and_then(|upstream| upstream.get("id")).and_then(Value::as_str);
            record.get("target").and_then(Value::as_str) == Some(&known.target)
                && upstream == Some(&known.upstream.to_string())
        };
        match former.map_or(&self.rings, |former| &former.rings).target(&id).filter(same).cloned() {
            Some(known) => {
                self.rings.put_target(known);
                Effect::Former
            }
            None => {
                self.rings.remove_target(&id);
                Effect::LeftOut
            }
        }
    }
}

impl Snapshot {
    fn settle_consumer(&mut self, id: Uuid, former: &Snapshot) -> Effect {
        let known = self.consumers.get(&id).or_else(|| former.consumers.get(&id));
        match known.cloned() {
            Some(known) => {
                self.consumers.insert(known);
                Effect::Former
            }
            None => Effect::LeftOut,
        }
    }
}

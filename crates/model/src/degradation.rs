//! What of the configuration is not in force as it stands, for whoever looks after a node.

use std::collections::BTreeMap;
use uuid::Uuid;

/// A record that a node cannot do justice to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// The entity's name, such as `plugins`.
    pub entity: String,
    /// Nil where it is about more than a record.
    pub id: Uuid,
    /// The record's `name`, where it has one.
    pub name: Option<String>,
    pub effect: Effect,
    /// In plain words.
    pub reason: String,
}

/// Records of which the same is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded<'a> {
    /// One of them.
    pub sample: &'a Degradation,
    pub count: usize,
    /// The first few, in order.
    pub ids: Vec<Uuid>,
}

/// What the node does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The record is as if it were not there.
    LeftOut,
    /// What the record was before goes on.
    Former,
    /// Requests that it would act on are answered with 500.
    Refuses,
    /// The whole configuration stays what it was.
    Stale,
    /// No connection is made to the service.
    NoConnection,
    /// It acts, but less than its configuration says.
    Limited,
}

impl Degraded<'_> {
    /// So many ids are named.
    pub const NAMED: usize = 10;

    /// All of them together, by what there is to say.
    pub fn summary<'a>(all: impl IntoIterator<Item = &'a Degradation>) -> Vec<Degraded<'a>> {
        let mut groups: BTreeMap<_, Vec<&Degradation>> = BTreeMap::new();
        for one in all {
            groups.entry((&one.entity, &one.name, one.effect, &one.reason)).or_default().push(one);
        }
        let group = |group: Vec<&'a Degradation>| {
            let mut ids: Vec<Uuid> = group.iter().map(|one| one.id).filter(|id| !id.is_nil()).collect();
            ids.sort_unstable();
            ids.truncate(Degraded::NAMED);
            Some(Degraded { sample: group.first()?, count: group.len(), ids })
        };
        groups.into_values().filter_map(group).collect()
    }
}

impl Effect {
    /// As `/status` and the log have it.
    pub fn words(self) -> &'static str {
        match self {
            Effect::LeftOut => "left out",
            Effect::Former => "the former version goes on",
            Effect::Refuses => "requests are answered with status 500",
            Effect::Stale => "the former configuration goes on",
            Effect::NoConnection => "no connection is made",
            Effect::Limited => "limited",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once() {
        let one = |n: u128, effect, reason: &str| Degradation {
            entity: "plugins".to_owned(),
            id: Uuid::from_u128(n),
            name: Some("p".to_owned()),
            effect,
            reason: reason.to_owned(),
        };
        let mut all: Vec<_> = (1..=50).rev().map(|n| one(n, Effect::Limited, "a")).collect();
        all.push(one(60, Effect::Refuses, "b"));
        let summary = Degraded::summary(&all);
        assert_eq!(summary.len(), 2);
        let limited = summary.iter().find(|group| group.sample.effect == Effect::Limited).unwrap();
        assert_eq!(limited.count, 50);
        assert_eq!(limited.ids, (1..=10).map(Uuid::from_u128).collect::<Vec<_>>());
    }
}

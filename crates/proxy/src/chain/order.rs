//! `ordering`: plugins that act before or after others in the access phase, whatever their priorities.

use super::Instance;
use std::sync::Arc;

/// The order in which plugins, each with its instances and all by descending priority, act in the access phase: their
/// places. What is to act before another plugin is drawn forward, to directly before it; nothing is put off, so that no
/// other plugin gets before what it relies on (an ACL before the authentication, say).
pub fn access_order(plugins: &[&[&Arc<Instance>]]) -> Vec<usize> {
    if plugins.iter().flat_map(|plugin| plugin.iter()).all(|instance| instance.ordering.is_empty()) {
        return (0..plugins.len()).collect();
    }
    let mut order = Order { plugins, visits: vec![Visit::None; plugins.len()], places: Vec::new() };
    (0..plugins.len()).for_each(|place| order.visit(place));
    order.places
}

struct Order<'a> {
    plugins: &'a [&'a [&'a Arc<Instance>]],
    visits: Vec<Visit>,
    places: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    None,
    Begun,
    Done,
}

impl Order<'_> {
    /// Takes in a plugin, after all that act before it.
    fn visit(&mut self, place: usize) {
        if self.visits[place] != Visit::None {
            return;
        }
        self.visits[place] = Visit::Begun;
        for other in 0..self.plugins.len() {
            if other == place || !self.precedes(other, place) {
                continue;
            }
            if self.visits[other] == Visit::Begun {
                let (name, other) = (self.name(place), self.name(other));
                tracing::warn!("the ordering of {other} and {name} contradicts itself and is left out");
            }
            self.visit(other);
        }
        self.visits[place] = Visit::Done;
        self.places.push(place);
    }

    /// Whether an instance of either plugin says so.
    fn precedes(&self, first: usize, second: usize) -> bool {
        let (name, other) = (self.name(first), self.name(second));
        self.plugins[first].iter().any(|instance| instance.ordering.before.iter().any(|before| before == other))
            || self.plugins[second].iter().any(|instance| instance.ordering.after.iter().any(|after| after == name))
    }

    fn name(&self, place: usize) -> &str {
        self.plugins[place].first().map_or("", |instance| &*instance.name)
    }
}

//! The endpoints that do not follow from the schemas, one file for each family. Each file adds its own to the list.

mod cache;
mod certificates;
mod clustering;
mod config;
mod consumers;
mod debug;
mod node;
mod plugins;
mod schemas;
mod status;
mod tags;
mod targets;
mod upstreams;

use crate::endpoint::Drafts;

/// Changes and completes the generated endpoints of the Admin API.
pub fn admin(drafts: &mut Drafts) {
    node::add(drafts);
    status::add(drafts);
    schemas::add(drafts);
    plugins::add(drafts);
    consumers::add(drafts);
    tags::add(drafts);
    upstreams::add(drafts);
    targets::add(drafts);
    certificates::add(drafts);
    cache::add(drafts);
    config::add(drafts);
    clustering::add(drafts);
    debug::add(drafts);
}

/// The endpoints of the Status API.
pub fn status(drafts: &mut Drafts) {
    status::add(drafts);
    status::add_ready(drafts);
}

//! All endpoints: `generated` those that follow from the schemas, the other files one family each that is written by
//! hand. Each file adds its own to the list.

mod acls;
mod admins;
mod audit;
mod cache;
mod certificates;
mod clustering;
mod config;
mod consumer_groups;
mod consumers;
pub mod debug;
mod event_hooks;
mod expression;
mod files;
mod filter_chains;
mod generated;
mod groups;
mod live;
pub mod login;
mod node;
mod openapi;
pub mod partials;
pub mod plugins;
mod rbac;
mod schemas;
mod status;
mod tags;
pub mod targets;
mod trace;
mod upstreams;
mod workspaces;

use crate::endpoint::{Drafts, Endpoints};
use crate::node::PluginEndpoint;
use model::Catalog;

/// The Admin API: what the schemas generate, changed and completed by what is written by hand, and what plugins add.
pub fn admin(catalog: &Catalog, of_plugins: &[PluginEndpoint]) -> Endpoints {
    let mut drafts = Drafts::default();
    generated::add(&mut drafts, catalog);
    node::add(&mut drafts);
    openapi::add(&mut drafts);
    status::add(&mut drafts);
    schemas::add(&mut drafts);
    plugins::add(&mut drafts);
    consumers::add(&mut drafts);
    consumer_groups::add(&mut drafts, catalog);
    partials::add(&mut drafts);
    acls::add(&mut drafts);
    tags::add(&mut drafts);
    upstreams::add(&mut drafts);
    targets::add(&mut drafts);
    certificates::add(&mut drafts);
    cache::add(&mut drafts);
    config::add(&mut drafts);
    clustering::add(&mut drafts);
    debug::add(&mut drafts);
    filter_chains::add(&mut drafts, catalog);
    workspaces::add(&mut drafts, catalog);
    of_plugins.iter().filter(|e| e.on_admin).for_each(|endpoint| plugins::add_own(&mut drafts, endpoint));
    rbac::add(&mut drafts, catalog);
    groups::add(&mut drafts, catalog);
    admins::add(&mut drafts, catalog);
    login::add(&mut drafts);
    audit::add(&mut drafts);
    event_hooks::add(&mut drafts, catalog);
    live::add(&mut drafts);
    trace::add(&mut drafts);
    files::add(&mut drafts);
    expression::add(&mut drafts);
    drafts.build()
}

/// The Status API. Without a database it shows upstreams too, as Kong's does: there is no Admin API to ask then, often
/// enough.
pub fn status(catalog: &Catalog, of_plugins: &[PluginEndpoint], dbless: bool) -> Endpoints {
    let mut drafts = Drafts::default();
    if dbless {
        generated::add(&mut drafts, catalog);
        upstreams::add(&mut drafts);
        targets::add(&mut drafts);
        drafts.keep_reading(&[
            "/upstreams/{upstreams}/health",
            "/upstreams/{upstreams}/targets",
            "/upstreams/{upstreams}/targets/all",
            "/upstreams/{upstreams}/targets/{targets}",
        ]);
    }
    status::add(&mut drafts);
    status::add_ready(&mut drafts);
    of_plugins.iter().filter(|e| e.on_status).for_each(|endpoint| plugins::add_own_of_status(&mut drafts, endpoint));
    drafts.build()
}

//! One file per entity: its schema and its typed form, side by side.
//!
//! `from_record` expects a record that its schema has accepted and completed; it fails only on records
//! written by something else (a damaged database), and says which field is wrong.

mod consumer;
mod consumer_group;
mod decode;
mod plugin;
mod route;
pub(crate) mod rules;
mod service;
mod target;
mod upstream;
mod workspace;

pub use consumer::{Consumer, Credential, Expiry};
pub use consumer_group::{ConsumerGroup, ConsumerGroupConsumer, GroupRates};
pub use plugin::{Ordering, Plugin};
pub use route::{Address, PathHandling, Protocol, Protocols, Route};
pub use service::{AlternativeNames, Service};
pub use target::Target;
pub use upstream::{ActiveChecks, Algorithm, CheckKind, HashOn, Healthchecks, PassiveChecks, Upstream};
pub use uuid::Uuid;
pub use workspace::{DEFAULT_WORKSPACE, workspace_of};

use crate::catalog::RouterFlavor;

/// The texts of the core schemas, in the order in which records can be inserted.
pub(crate) fn schemas(flavor: RouterFlavor) -> [&'static str; 20] {
    [
        include_str!("workspace.json"),
        include_str!("certificate.json"),
        include_str!("ca_certificate.json"),
        include_str!("sni.json"),
        include_str!("consumer.json"),
        include_str!("consumer_group.json"),
        include_str!("consumer_group_consumer.json"),
        include_str!("service.json"),
        match flavor {
            RouterFlavor::Traditional => include_str!("route.json"),
            RouterFlavor::Expressions => include_str!("route_expressions.json"),
        },
        include_str!("upstream.json"),
        include_str!("target.json"),
        include_str!("partial.json"),
        include_str!("plugin.json"),
        include_str!("key_set.json"),
        include_str!("key.json"),
        include_str!("vault.json"),
        FILTER_CHAIN,
        include_str!("tag.json"),
        include_str!("parameter.json"),
        include_str!("clustering_data_plane.json"),
    ]
}

/// The schema of `filter_chains` while no filter is there.
pub(crate) const FILTER_CHAIN: &str = include_str!("filter_chain.json");

/// The texts of the schemas of those who use the Admin API, and of what they have done; they follow the core ones.
pub(crate) const ACCESS: [&str; 13] = [
    include_str!("rbac_user.json"),
    include_str!("rbac_role.json"),
    include_str!("rbac_user_role.json"),
    include_str!("rbac_role_endpoint.json"),
    include_str!("rbac_role_entity.json"),
    include_str!("group.json"),
    include_str!("group_rbac_role.json"),
    include_str!("rbac_user_group.json"),
    include_str!("admin.json"),
    include_str!("admin_session.json"),
    include_str!("audit_request.json"),
    include_str!("audit_object.json"),
    include_str!("event_hook.json"),
];

/// The configuration of the vault that reads environment variables.
pub(crate) const ENV_VAULT: &str = include_str!("vault_env.json");

/// The types of partials, and what their records have as `config`.
pub(crate) const PARTIALS: [(&str, &str); 2] =
    [("redis-ce", include_str!("partial_redis_ce.json")), ("redis-ee", include_str!("partial_redis_ee.json"))];

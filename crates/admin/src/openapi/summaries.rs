//! What is said of endpoints that do not follow from the schemas.

use crate::endpoint::Method;

/// What a method of an endpoint does.
pub fn of(path: &str, method: Method) -> Option<&'static str> {
    let mut known = SUMMARIES.iter().filter(|(known, ..)| *known == path);
    known.find(|(_, of, _)| *of == method).map(|(.., summary)| *summary)
}

/// Answers with statuses of their own.
pub fn answers(path: &str) -> &'static [(&'static str, &'static str)] {
    ANSWERS.iter().find(|(known, _)| *known == path).map_or(&[], |(_, answers)| answers)
}

/// Whether an endpoint answers text.
pub fn is_text(path: &str) -> bool {
    path == "/metrics"
}

/// Whether an endpoint refuses whatever it is asked.
pub fn is_refused(path: &str) -> bool {
    ["/filter-chains", "/filters"].iter().any(|part| path.contains(part))
}

const SUMMARIES: &[(&str, Method, &str)] = &[
    ("/", Method::Get, "The node: version, plugins, settings"),
    ("/cache", Method::Delete, "Have plugins load anew what they keep"),
    ("/cache/{key}", Method::Delete, "Have plugins load anew what they keep under a key"),
    ("/cache/{key}", Method::Get, "What plugins keep under a key"),
    ("/clustering/data-planes", Method::Get, "The data planes of a control plane"),
    ("/clustering/status", Method::Get, "The data planes of a control plane, by id"),
    ("/config", Method::Get, "The configuration of a node without a database"),
    ("/config", Method::Post, "Load the configuration of a node without a database"),
    ("/debug/cluster/log-level/{log_level}", Method::Put, "Change the log level"),
    ("/debug/node/log-level", Method::Get, "The log level"),
    ("/debug/node/log-level/{log_level}", Method::Put, "Change the log level of this node"),
    ("/endpoints", Method::Get, "All paths"),
    ("/metrics", Method::Get, "Metrics for Prometheus"),
    ("/openapi.json", Method::Get, "This document"),
    ("/plugins/enabled", Method::Get, "The names of the plugins that can be used"),
    ("/plugins/schema/{name}", Method::Get, "The schema of a plugin's configuration"),
    ("/schemas/partials/{name}", Method::Get, "The schema of a type of partials"),
    ("/schemas/partials/validate", Method::Post, "Check a partial"),
    ("/schemas/plugins/validate", Method::Post, "Check a plugin"),
    ("/schemas/plugins/{name}", Method::Get, "The schema of a plugin"),
    ("/schemas/vaults/validate", Method::Post, "Check a vault"),
    ("/schemas/vaults/{name}", Method::Get, "The schema of a kind of vault"),
    ("/schemas/{db_entity_name}/validate", Method::Post, "Check a record"),
    ("/schemas/{name}", Method::Get, "The schema of an entity"),
    ("/status", Method::Get, "Connections, memory, and whether the database answers"),
    ("/status/dns", Method::Get, "What became of questions to name servers"),
    ("/tags", Method::Get, "All tags, and what has them"),
    ("/tags/{tags}", Method::Get, "What has a tag"),
    ("/timers", Method::Get, "Tasks beside requests"),
    ("/upstreams/{upstreams}/health", Method::Get, "The health of an upstream's targets"),
    ("/upstreams/{upstreams}/targets/all", Method::Get, "All targets of an upstream"),
    ("/upstreams/{upstreams}/targets/{targets}/healthy", Method::Put, "Mark a target as healthy"),
    ("/upstreams/{upstreams}/targets/{targets}/unhealthy", Method::Put, "Mark a target as unhealthy"),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/healthy", Method::Put, "Mark an address as healthy"),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy", Method::Put, "Mark an address as unhealthy"),
];

const ANSWERS: &[(&str, &[(&str, &str)])] = &[
    ("/config", &[("304", "The configuration is in force already"), ("429", "Another configuration is being loaded")]),
    ("/status/dns", &[("501", "This kind of resolver does not count")]),
];

//! The functions that the core schemas name.

mod certificates;
mod groups;
mod keys;
mod public_key;
mod routes;
#[cfg(test)]
mod test_keys;
mod text;
mod upstreams;

pub use routes::upgraded as upgraded_path;

use crate::schema::Function::{self, Check, Derive, Expand, Validator};

/// By the names that schemas use.
pub(crate) const FUNCTIONS: &[(&str, Function)] = &[
    ("host", Validator(text::host)),
    ("host_with_optional_port", Validator(text::host_with_optional_port)),
    ("host_with_wildcards", Validator(text::host_with_wildcards)),
    ("wildcard_host", Validator(text::wildcard_host)),
    ("sni", Validator(text::sni)),
    ("ip", Validator(text::ip)),
    ("ip_or_cidr", Validator(text::ip_or_cidr)),
    ("cidr_v4", Validator(text::cidr_v4)),
    ("path", Validator(text::path)),
    ("bounded", Validator(routes::bounded)),
    ("router_path", Validator(routes::path)),
    ("url", Validator(text::url)),
    ("name", Validator(text::name)),
    ("utf8_name", Validator(text::utf8_name)),
    ("tag", Validator(text::tag)),
    ("header_name", Validator(text::header_name)),
    ("header_token", Validator(text::header_token)),
    ("header_value", Validator(text::header_value)),
    ("header_url", Validator(text::header_url)),
    ("cookie_name", Validator(text::cookie_name)),
    ("upstream_name", Validator(text::upstream_name)),
    ("target", Validator(text::target)),
    ("target_to_complete", Validator(text::target_to_complete)),
    ("certificate", Validator(certificates::certificate)),
    ("private_key", Validator(certificates::private_key)),
    ("pem_keys", Validator(keys::pem)),
    ("group_rates", Validator(groups::rates)),
    ("plugin_condition", Validator(text::condition)),
    ("route_expression", Check(routes::expression)),
    ("upstream_balancing", Check(upstreams::balancing)),
    ("certificate_key", Check(certificates::key_belongs)),
    ("certificate_key_alt", Check(certificates::alternative_key_belongs)),
    ("certificate_types", Check(certificates::types_differ)),
    ("certificate_authority", Check(certificates::authority)),
    ("key_formats", Check(keys::formats)),
    ("service_url", Expand(text::service_url)),
    ("upstream_algorithm", Expand(text::upstream_algorithm)),
    ("upstream_hash_on", Expand(text::upstream_hash_on)),
    ("redis_sentinel_nodes", Expand(text::redis_sentinel_nodes)),
    ("redis_cluster_nodes", Expand(text::redis_cluster_nodes)),
    ("certificate_digest", Derive(certificates::digest)),
    ("target_address", Expand(text::target_address)),
];

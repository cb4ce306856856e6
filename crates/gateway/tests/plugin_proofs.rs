//! Each bundled plugin is shown at its main use and where it fails: by a test that starts the real program, or by a
//! suite of other people's software.
//!
//! Names are `file::test` of `tests/tests`, `crate/path::test` of `crates`, and `suites/name` of `tests/suites`.

use model::Catalog;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A plugin; its main use; its failure: its counterpart is away, slow or talks nonsense, or it is given bad input.
const PROOFS: &[[&str; 3]] = &[
    ["acl", "authentication::groups_are_in_force_when_they_are_answered", "bad_input::groups_of_nobody"],
    ["acme", "suites/pebble", "acme::clients_are_served_while_the_authority_is_away"],
    [
        "aws-lambda",
        "at_work::functions_of_aws_answer",
        "counterparts::functions_elsewhere_that_do_not_answer_are_an_error",
    ],
    [
        "azure-functions",
        "at_work::functions_of_azure_answer",
        "counterparts::functions_elsewhere_that_do_not_answer_are_an_error",
    ],
    ["basic-auth", "authentication::a_password_is_hashed_once", "bad_input::passwords_that_are_none"],
    ["bot-detection", "at_work::bots_are_turned_away", "bad_input::programs_that_do_not_say_what_they_are"],
    [
        "canary",
        "canary::canary_sends_requests_to_the_new_version",
        "canary::canary_falls_back_while_the_new_version_is_unhealthy",
    ],
    ["correlation-id", "at_work::requests_are_numbered", "bad_input::numbers_of_clients_are_passed_on"],
    ["cors", "at_work::pages_of_other_sites_are_let_in_by_origin", "bad_input::origins_that_are_none"],
    ["datadog", "deliveries::statsd_and_datadog_count", "deliveries::nobody_waits_for_servers_that_are_away"],
    [
        "exit-transformer",
        "transformers::exit_transformer_edits_what_is_no_services",
        "transformers::exit_transformer_that_fails_leaves_answers_as_they_are",
    ],
    [
        "file-log",
        "bad_input::files_that_cannot_be_written_keep_nobody_out",
        "bad_input::files_that_cannot_be_written_keep_nobody_out",
    ],
    [
        "grpc-gateway",
        "translated_calls::clients_of_rest_call_services",
        "translated_calls::clients_of_rest_are_told_of_failures",
    ],
    ["grpc-web", "translated_calls::browsers_call_services", "translated_calls::browsers_are_told_of_failures"],
    ["header-cert-auth", "at_work::certificates_in_a_header_let_in", "bad_input::certificates_that_are_none"],
    [
        "hmac-auth",
        "signatures::requests_are_signed_with_the_secret_of_a_consumer",
        "at_work::requests_that_are_not_signed_are_refused",
    ],
    ["http-log", "deliveries::http_log_posts_entries", "deliveries::nobody_waits_for_servers_that_are_away"],
    ["ip-restriction", "at_work::clients_are_let_in_by_address", "bad_input::addresses_of_others"],
    ["jq", "jq::requests_are_filtered", "jq::programs_end_with_their_time_and_their_memory"],
    [
        "json-threat-protection",
        "validation::json_threat_protection_refuses_what_is_too_much",
        "validation::json_threat_protection_refuses_what_is_too_much",
    ],
    ["jwt", "bad_input::tokens_that_are_none", "authentication::a_key_of_no_use_opens_nothing_and_is_reported"],
    [
        "jwt-signer",
        "signatures::tokens_are_signed_anew_by_the_gateway",
        "signatures::without_the_keys_of_the_issuer_nobody_passes",
    ],
    ["key-auth", "octets::keys_are_octets_and_hiding_them_leaves_the_rest_as_it_came", "bad_input::keys_that_are_none"],
    ["key-auth-enc", "at_work::keys_that_are_kept_encrypted_let_in", "at_work::keys_that_are_kept_encrypted_let_in"],
    [
        "ldap-auth",
        "kept_records::directories_are_asked_for_passwords",
        "counterparts::without_a_directory_nobody_is_let_in",
    ],
    [
        "ldap-auth-advanced",
        "at_work::a_directory_says_who_a_caller_is",
        "counterparts::without_a_directory_nobody_is_let_in",
    ],
    ["loggly", "deliveries::loggly_gets_entries_as_syslog", "deliveries::nobody_waits_for_servers_that_are_away"],
    [
        "mtls-auth",
        "client_certificates::callers_are_known_by_their_certificates",
        "client_certificates::a_certificate_of_which_nobody_says_that_it_is_good_is_refused_in_strict_mode",
    ],
    [
        "oas-validation",
        "validation::oas_validation_goes_by_a_document",
        "validation::oas_validation_goes_by_a_document",
    ],
    [
        "oauth2",
        "kept_records::tokens_outlive_the_node",
        "kept_records::a_node_without_a_database_says_that_it_keeps_nothing",
    ],
    [
        "oauth2-introspection",
        "issuers::introspection_is_asked_for",
        "counterparts::without_the_issuer_of_tokens_nobody_is_let_in",
    ],
    ["opa", "validation::opa_decides", "counterparts::without_the_agent_that_decides_nobody_is_let_in"],
    [
        "openid-connect",
        "issuers::tokens_are_asked_for_and_browsers_sent_to_log_in",
        "counterparts::without_the_issuer_of_tokens_nobody_is_let_in",
    ],
    [
        "opentelemetry",
        "tracing::spans_of_a_request_reach_the_collector_in_one_batch",
        "tracing::requests_do_not_wait_for_collectors",
    ],
    ["post-function", "at_work::functions_of_a_configuration_answer", "at_work::functions_of_a_configuration_answer"],
    ["pre-function", "at_work::functions_of_a_configuration_answer", "bad_input::code_that_never_ends"],
    [
        "prometheus",
        "metrics::what_is_shown_can_be_read_and_counts_every_request",
        "bad_input::names_that_clients_make_up_are_no_labels",
    ],
    [
        "proxy-cache",
        "octets::the_cache_answers_nobody_with_anothers_content",
        "counterparts::what_cannot_be_kept_is_asked_of_the_service",
    ],
    [
        "proxy-cache-advanced",
        "caching::two_nodes_share_responses",
        "counterparts::what_cannot_be_kept_is_asked_of_the_service",
    ],
    [
        "rate-limiting",
        "rate_limiting::two_nodes_with_one_redis_let_exactly_the_limit_through",
        "counterparts::where_limits_cannot_be_counted_they_are_an_error_or_forgotten",
    ],
    [
        "rate-limiting-advanced",
        "rate_limiting::windows_of_any_length_hold_over_two_nodes",
        "counterparts::where_windows_cannot_be_counted_together_each_node_counts",
    ],
    ["redirect", "at_work::requests_are_sent_elsewhere", "at_work::requests_are_sent_elsewhere"],
    ["request-size-limiting", "at_work::requests_are_not_too_large", "at_work::requests_are_not_too_large"],
    [
        "request-termination",
        "octets::content_that_is_too_large_is_not_empty",
        "bad_input::configurations_of_answers_are_checked",
    ],
    [
        "request-transformer",
        "octets::transformers_pass_octets_on",
        "bad_input::templates_that_fail_are_an_error_of_ours",
    ],
    [
        "request-transformer-advanced",
        "transformers::request_transformer_advanced_edits_what_is_nested",
        "transformers::request_transformer_advanced_edits_what_is_nested",
    ],
    [
        "request-validator",
        "validation::request_validator_lets_through_what_conforms",
        "validation::request_validator_refuses_what_it_cannot_read",
    ],
    [
        "response-ratelimiting",
        "at_work::services_say_what_a_response_uses_up",
        "counterparts::where_limits_cannot_be_counted_they_are_an_error_or_forgotten",
    ],
    [
        "response-transformer",
        "octets::transformers_pass_octets_on",
        "bad_input::responses_that_are_no_json_stay_as_they_are",
    ],
    [
        "response-transformer-advanced",
        "transformers::response_transformer_advanced_edits_by_status",
        "transformers::response_transformer_advanced_calls_functions",
    ],
    ["retry", "retries::statuses_are_tried_again_by_method", "retries::the_budget_bounds_what_a_failing_service_gets"],
    [
        "route-by-header",
        "route_by_header::header_lines_choose_the_upstream",
        "route_by_header::header_lines_choose_the_upstream",
    ],
    [
        "service-protection",
        "at_work::services_are_protected_from_all_together",
        "counterparts::where_windows_cannot_be_counted_together_each_node_counts",
    ],
    ["session", "kept_records::sessions_outlive_the_node", "bad_input::sessions_that_are_none"],
    [
        "standard-webhooks",
        "signatures::webhooks_are_signed_with_a_secret",
        "signatures::webhooks_are_signed_with_a_secret",
    ],
    ["statsd", "deliveries::statsd_and_datadog_count", "deliveries::nobody_waits_for_servers_that_are_away"],
    // Where the machine's logger is, nobody can say but the machine.
    [
        "syslog",
        "plugins/syslog/mod::a_message_has_priority_time_and_sender",
        "deliveries::nobody_waits_for_servers_that_are_away",
    ],
    ["tcp-log", "deliveries::tcp_log_writes_lines", "deliveries::nobody_waits_for_servers_that_are_away"],
    [
        "tls-handshake-modifier",
        "client_certificates::clients_are_asked_for_certificates_by_server_name",
        "client_certificates::clients_are_asked_for_certificates_by_server_name",
    ],
    [
        "tls-metadata-headers",
        "client_certificates::clients_are_asked_for_certificates_by_server_name",
        "client_certificates::clients_are_asked_for_certificates_by_server_name",
    ],
    ["traffic-mirror", "retries::copies_go_elsewhere", "retries::nobody_waits_for_a_copy"],
    ["udp-log", "deliveries::udp_log_sends_datagrams", "deliveries::nobody_waits_for_servers_that_are_away"],
    ["upstream-timeout", "canary::upstream_timeout_ends_a_try", "canary::upstream_timeout_ends_a_try"],
    [
        "websocket-size-limit",
        "websocket::what_is_too_large_ends_both_sides",
        "websocket::what_is_no_websocket_ends_both_sides",
    ],
    ["websocket-validator", "websocket::messages_conform_to_schemas", "websocket::messages_conform_to_schemas"],
    [
        "zipkin",
        "tracing::both_plugins_continue_the_trace_of_the_client",
        "tracing::requests_do_not_wait_for_collectors",
    ],
];

#[test]
fn every_plugin_is_shown_at_work_and_where_it_fails() {
    let mut catalog = Catalog::core();
    plugins::bundled().iter().chain(runtimes::bundled()).for_each(|kind| sdk::register(*kind, &mut catalog).unwrap());
    let bundled: BTreeSet<&str> = catalog.plugins().map(|(name, _)| name).collect();
    let listed: BTreeSet<&str> = PROOFS.iter().map(|[name, ..]| *name).collect();
    assert_eq!(bundled.difference(&listed).collect::<Vec<_>>(), Vec::<&&str>::new(), "plugins without proof");
    assert_eq!(listed.difference(&bundled).collect::<Vec<_>>(), Vec::<&&str>::new(), "proofs without plugin");
    let wrong: Vec<String> = PROOFS
        .iter()
        .flat_map(|[plugin, main, failure]| [main, failure].map(|proof| (plugin, proof)))
        .filter(|(plugin, proof)| !is_there(plugin, proof))
        .map(|(plugin, proof)| format!("{plugin}: {proof}"))
        .collect();
    assert_eq!(wrong, Vec::<String>::new(), "tests that there are not, or that do not name the plugin");
}

/// Whether there is such a test, in a file that names the plugin.
fn is_there(plugin: &str, proof: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Some(suite) = proof.strip_prefix("suites/") {
        return fs::read_to_string(root.join("tests/suites").join(suite)).is_ok_and(|text| text.contains(plugin));
    }
    let (file, test) = proof.split_once("::").expect("file::test");
    let path: PathBuf = match file.split_once('/') {
        Some((package, rest)) => root.join("crates").join(package).join("src").join(rest),
        None => root.join("tests/tests").join(file),
    };
    let text = fs::read_to_string(path.with_extension("rs")).unwrap_or_default();
    text.contains(&format!("fn {test}()")) && text.contains(&format!("\"{plugin}\""))
}

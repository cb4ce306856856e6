//! The bundled plugins, one folder each: code, schema, credential entities, tests.

mod acl;
mod acme;
mod aws_lambda;
mod azure_functions;
mod basic_auth;
mod bot_detection;
mod canary;
mod certificate_auth;
mod correlation_id;
mod cors;
mod datadog;
mod datagrams;
mod file_log;
mod groups;
mod grpc;
mod grpc_gateway;
mod grpc_web;
mod gzip;
mod header_cert_auth;
mod hmac_auth;
mod http_log;
mod ip_restriction;
mod jq;
mod json_edits;
mod json_schema;
mod json_text;
mod json_threat_protection;
mod jwt;
mod jwt_signer;
mod key_auth;
mod ldap_auth;
mod limits;
mod log_entries;
mod loggly;
mod measures;
mod mtls_auth;
mod oas_validation;
mod oauth2;
mod oauth2_introspection;
mod opa;
mod openid_connect;
mod opentelemetry;
mod prometheus;
mod proxy_cache;
mod rate_limiting;
mod rate_limiting_advanced;
mod redirect;
mod request_size_limiting;
mod request_termination;
mod request_transformer;
mod request_validator;
mod response_ratelimiting;
mod response_transformer;
mod retry;
mod route_by_header;
mod session;
mod severity;
mod standard_webhooks;
mod statsd;
mod syslog;
mod tcp_log;
mod templates;
mod tls_handshake_modifier;
mod tls_metadata_headers;
mod traffic_mirror;
mod udp_log;
mod upstream_timeout;
mod websocket_size_limit;
mod websocket_validator;
mod zipkin;

pub use jq::{COMMAND as JQ_RUNNER, serve as serve_jq};

pub use opentelemetry::OtlpLines;
pub use proxy_cache::declare_dictionary;

use sdk::PluginKind;

/// Every bundled plugin.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    &[
        &acl::Acl,
        &acme::Acme,
        &aws_lambda::AwsLambda,
        &azure_functions::AzureFunctions,
        &basic_auth::BasicAuth,
        &bot_detection::BotDetection,
        &canary::Canary,
        &correlation_id::CorrelationId,
        &cors::Cors,
        &datadog::Datadog,
        &file_log::FileLog,
        &grpc_gateway::GrpcGateway,
        &grpc_web::GrpcWeb,
        &header_cert_auth::HeaderCertAuth,
        &hmac_auth::HmacAuth,
        &http_log::HttpLog,
        &ip_restriction::IpRestriction,
        &jq::Jq,
        &json_threat_protection::JsonThreatProtection,
        &jwt::Jwt,
        &jwt_signer::JwtSigner,
        &key_auth::KeyAuth,
        &key_auth::KeyAuthEnc,
        &ldap_auth::LdapAuth,
        &ldap_auth::LdapAuthAdvanced,
        &loggly::Loggly,
        &opa::Opa,
        &mtls_auth::MtlsAuth,
        &opentelemetry::OpenTelemetry,
        &prometheus::Prometheus,
        &oas_validation::OasValidation,
        &oauth2::Oauth2,
        &oauth2_introspection::Oauth2Introspection,
        &openid_connect::OpenidConnect,
        &proxy_cache::ProxyCache,
        &proxy_cache::ProxyCacheAdvanced,
        &rate_limiting::RateLimiting,
        &rate_limiting_advanced::RateLimitingAdvanced,
        &rate_limiting_advanced::ServiceProtection,
        &redirect::Redirect,
        &request_size_limiting::RequestSizeLimiting,
        &request_termination::RequestTermination,
        &request_transformer::RequestTransformer,
        &request_transformer::RequestTransformerAdvanced,
        &request_validator::RequestValidator,
        &response_ratelimiting::ResponseRateLimiting,
        &response_transformer::ResponseTransformer,
        &response_transformer::ResponseTransformerAdvanced,
        &retry::Retry,
        &route_by_header::RouteByHeader,
        &session::SessionPlugin,
        &standard_webhooks::StandardWebhooks,
        &statsd::Statsd,
        &syslog::Syslog,
        &tcp_log::TcpLog,
        &tls_handshake_modifier::TlsHandshakeModifier,
        &tls_metadata_headers::TlsMetadataHeaders,
        &traffic_mirror::TrafficMirror,
        &udp_log::UdpLog,
        &upstream_timeout::UpstreamTimeout,
        &websocket_size_limit::WebsocketSizeLimit,
        &websocket_validator::WebsocketValidator,
        &zipkin::Zipkin,
    ]
}

#[cfg(test)]
mod tests;

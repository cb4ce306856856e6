//! Settings for a node: such that it starts with, and such that it may refuse.

use crate::random::Random;

const GOOD: &[(&str, &[&str])] = &[
    ("nginx_worker_processes", &["1", "2", "4"]),
    ("log_level", &["info", "notice", "debug"]),
    ("headers", &["off", "server_tokens, latency_tokens", "X-Kong-Upstream-Status", "X-Kong-Request-Id"]),
    ("headers_upstream", &["off", "X-Kong-Request-Id"]),
    ("router_flavor", &["traditional", "traditional_compatible"]),
    ("trusted_ips", &["0.0.0.0/0,::/0", "127.0.0.1", "10.0.0.0/8"]),
    ("real_ip_header", &["X-Forwarded-For", "X-Real-IP"]),
    ("real_ip_recursive", &["on", "off"]),
    ("allow_debug_header", &["on", "off"]),
    ("upstream_keepalive_pool_size", &["0", "1", "60"]),
    ("upstream_keepalive_max_requests", &["0", "1", "100"]),
    ("upstream_keepalive_idle_timeout", &["1", "60"]),
    ("nginx_http_client_max_body_size", &["0", "1m", "60k"]),
    ("nginx_http_client_body_buffer_size", &["1k", "8k", "1m"]),
    ("nginx_http_keepalive_requests", &["1", "3", "10000"]),
    ("nginx_http_keepalive_timeout", &["0", "1s", "75s"]),
    ("nginx_http_client_header_timeout", &["1s", "60s"]),
    ("nginx_http_client_body_timeout", &["1s", "60s"]),
    ("nginx_http_send_timeout", &["1s", "60s"]),
    ("nginx_http_large_client_header_buffers", &["4 8k", "2 1k"]),
    ("nginx_http_proxy_ignore_client_abort", &["on", "off"]),
    (
        "nginx_http_log_format",
        &["all '$host|$http_upgrade|$http_x_forwarded_for|$args|$cookie_a|$request|$upstream_addr'"],
    ),
    ("proxy_access_log", &["off", "logs/a.log all", "logs/a.log combined", "logs/a.log"]),
    ("ssl_cipher_suite", &["modern", "intermediate"]),
    ("proxy_stream_access_log", &["off"]),
    ("plugins", &["bundled", "bundled, key-auth"]),
];
const BAD: &[(&str, &[&str])] = &[
    ("proxy_listen", &["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:0 nonsense"]),
    ("log_level", &["loud"]),
    ("trusted_ips", &["1.2.3", "::/129"]),
    ("nginx_http_client_max_body_size", &["x", "-1", "99999999999999999999g"]),
    ("nginx_http_client_header_timeout", &["x", "-1s"]),
    ("nginx_http_log_format", &["x", "'", "all '$'", "all '${'"]),
    ("proxy_access_log", &["/nonexistent/folder/a.log", "logs/a.log nonsense"]),
    ("ssl_cert", &["/nonexistent"]),
    ("plugins", &["nonsense", "bundled, nonsense", ""]),
    ("router_flavor", &["nonsense"]),
    ("database", &["nonsense"]),
    ("port_maps", &["x:y", "1"]),
    ("dns_resolver", &["nonsense:x"]),
    ("nginx_worker_processes", &["x", "-1", "0"]),
    ("upstream_keepalive_pool_size", &["-1", "x"]),
    ("error_default_type", &["nonsense"]),
    ("headers", &["nonsense"]),
];

/// Some that are good.
pub fn good(random: &mut Random) -> Vec<(String, String)> {
    some(random, GOOD, 5)
}

/// The same with one that is not.
pub fn bad(random: &mut Random) -> Vec<(String, String)> {
    let mut all = good(random);
    let (name, values) = random.pick(BAD);
    all.push(((*name).to_owned(), random.pick(values).to_string()));
    all
}

fn some(random: &mut Random, all: &[(&str, &[&str])], most: usize) -> Vec<(String, String)> {
    let mut chosen: Vec<(String, String)> = (0..random.below(most + 1))
        .map(|_| {
            let (name, values) = random.pick(all);
            ((*name).to_owned(), random.pick(values).to_string())
        })
        .collect();
    // A log by a format of its own needs the format.
    if chosen.iter().any(|(name, value)| name == "proxy_access_log" && value.ends_with(" all")) {
        chosen.push(("nginx_http_log_format".to_owned(), "all '$host|$http_upgrade|$request|$args'".to_owned()));
    }
    chosen
}

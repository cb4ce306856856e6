//! A line of the access log with every variable, about whatever octets have come.

use proxy::access_log::{Format, Record, Stamp};
use proxy::tls::Offered;
use std::time::{Duration, Instant};
use wire::h1::{HeadParser, Limits, parse_request};
use wire::{Fields, RequestHead};

const VARIABLES: &str = "$args|$query_string|$body_bytes_sent|$bytes_sent|$connection|$connection_requests|\
    $content_length|$content_type|$host|$hostname|$https|$is_args|$kong_request_id|$request_id|$msec|$pid|$pipe|\
    $protocol|$realip_remote_addr|$realip_remote_port|$remote_addr|$remote_port|$remote_user|$request|$request_length|\
    $bytes_received|$request_method|$request_time|$session_time|$request_uri|$scheme|$server_addr|$server_name|\
    $server_port|$server_protocol|$ssl_server_name|$status|$time_iso8601|$time_local|$upstream_addr|\
    $upstream_header_time|$upstream_response_time|$upstream_status|$uri|$document_uri|$no_such_variable|$arg_a|$arg_|\
    $cookie_a|$cookie_b|$http_accept|$http_authorization|$http_connection|$http_content_encoding|$http_content_length|\
    $http_content_type|$http_cookie|$http_date|$http_expect|$http_host|$http_keep_alive|$http_proxy|\
    $http_proxy_connection|$http_te|$http_trailer|$http_transfer_encoding|$http_upgrade|$http_user_agent|$http_via|\
    $http_x_forwarded_for|$http_x_forwarded_host|$http_x_forwarded_path|$http_x_forwarded_port|\
    $http_x_forwarded_prefix|$http_x_forwarded_proto|$http_x_kong_request_id|$http_x_real_ip|$http_x_other|$http_bad|\
    $sent_http_content_type|$sent_http_x_other|$upstream_http_server|$proxy_add_x_forwarded_for|$binary_remote_addr|\
    $connection_time|$date_gmt|$date_local|$gzip_ratio|$http2|$http3|$nginx_version|$request_body|$request_completion|\
    $sent_trailer_a|$ssl_protocol|$ssl_client_s_dn|$upstream_connect_time|$upstream_cookie_a|$upstream_uri|$proxy_host|\
    $ssl_ciphers|$ssl_curves|$limit_rate|$tcpinfo_rtt|$proxy_protocol_tlv_authority";

/// One format for each way to escape.
pub struct Formats(Vec<Format>);

impl Formats {
    pub fn every_variable() -> Formats {
        let of = |escape: &str| Format::define(&["all", escape, VARIABLES].map(str::to_owned)).expect("a format").1;
        Formats(["escape=default", "escape=json", "escape=none"].map(of).into())
    }

    /// Parses the octets as they come, in pieces of so many, and writes a line after each, as if the client had gone.
    pub fn write(&self, octets: &[u8], step: usize) {
        let limits = Limits { line: 200, head: 1000, ..Limits::default() };
        let (mut parser, mut head) = (HeadParser::default(), RequestHead::default());
        let mut end = 0;
        loop {
            end = (end + step.max(1)).min(octets.len());
            let parsed = parse_request(&octets[..end], &mut parser, &mut head, &limits);
            self.lines(&head, 400);
            if parsed != Ok(None) || end == octets.len() {
                return;
            }
        }
    }

    fn lines(&self, head: &RequestHead, status: u16) {
        let (nothing, mut now) = (Fields::new(), Stamp::default());
        now.set(1_795_440_846_123);
        let waited = Duration::from_millis(5);
        let attempt = sdk::Try { status, waited, ..sdk::Try::new(([127, 0, 0, 1], 1).into(), Instant::now()) };
        let exchange = sdk::Exchange::empty();
        let offered = Offered { ciphers: "AES128-SHA:0x0a0a".into(), curves: "X25519".into() };
        for (number, format) in self.0.iter().enumerate() {
            let kept = format.keep(&head.fields);
            let record = Record {
                client: "192.0.2.1",
                client_port: 1234,
                peer: ([127, 0, 0, 1], 99).into(),
                local: ([127, 0, 0, 1], 8000).into(),
                tls: true,
                proxied: None,
                datagrams: false,
                sni: Some("a.test"),
                offered: Some(&offered),
                limit_rate: 8000,
                server: "kong",
                connection: 7,
                connection_requests: 2,
                method: head.method.as_str(),
                target: &head.target,
                version: head.version,
                request: &head.fields,
                kept: kept.as_ref(),
                response: &nothing,
                status,
                sent: Some(150),
                content_sent: 50,
                received: Some(80),
                id: Some("0123"),
                elapsed: Duration::from_millis(1042),
                tries: std::slice::from_ref(&attempt),
                since_last_try: Duration::from_millis(7),
                now: &now,
                exchange: &exchange,
            };
            let mut line = Vec::new();
            format.write(&record, &mut line);
            // One line, whoever would like to write others. Without escapes it is the administrator's affair.
            let breaks = line.iter().filter(|&&b| b == b'\n' || b == b'\r').count();
            assert!(breaks == 1 || number == 2, "{:?}", String::from_utf8_lossy(&line));
        }
    }
}

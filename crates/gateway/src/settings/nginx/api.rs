//! What the Admin and the Status API are told of nginx's directives.

use super::{Injected, Scope};
use admin::Limits;
use proxy::directives::{AccessRules, AddHeaders};
use std::time::Duration;
use wire::net::Lingering;

/// What acts on requests to an API and on its answers.
#[derive(Clone, Debug, Default)]
pub struct Api {
    pub limits: Limits,
    /// `allow` and `deny`.
    pub access: AccessRules,
    /// `add_header`.
    pub add_header: AddHeaders,
    /// Whose word about a client's address counts (`set_real_ip_from`), and in which line.
    pub real_ip_from: Vec<String>,
    pub real_ip_header: String,
    pub real_ip_recursive: bool,
}

impl Injected {
    /// Everything for one of them.
    pub fn api(&self, scope: Scope) -> Result<Api, String> {
        let header = self.word(scope, "real_ip_header");
        Ok(Api {
            limits: self.api_limits(scope)?,
            access: self.access_rules(scope)?,
            add_header: self.add_headers(scope)?,
            real_ip_from: self.real_ip_from(scope, &[]),
            real_ip_header: if header.is_empty() { "X-Real-IP".to_owned() } else { header.to_owned() },
            real_ip_recursive: self.flag(scope, "real_ip_recursive").unwrap_or_default(),
        })
    }

    /// Bounds on clients of an API.
    fn api_limits(&self, scope: Scope) -> Result<Limits, String> {
        let usual = Limits::default();
        let time = |name, usual| self.time(scope, name).unwrap_or(usual);
        let (keepalive_timeout, keepalive_header) = self.keepalive_timeout(scope)?;
        let (number, size) = self.buffers(scope, "large_client_header_buffers").unwrap_or((4, usual.line));
        let initial = self.size(scope, "client_header_buffer_size").unwrap_or_default();
        let line = size.max(usize::try_from(initial).unwrap_or(usize::MAX));
        Ok(Limits {
            head: number.saturating_mul(size).max(line),
            line,
            client_header_timeout: time("client_header_timeout", usual.client_header_timeout),
            client_body_timeout: time("client_body_timeout", usual.client_body_timeout),
            send_timeout: time("send_timeout", usual.send_timeout),
            lingering: match self.word(scope, "lingering_close") {
                "off" => Lingering { time: Duration::ZERO, pause: Duration::ZERO },
                _ => Lingering {
                    time: time("lingering_time", usual.lingering.time),
                    pause: time("lingering_timeout", usual.lingering.pause),
                },
            },
            keepalive_timeout,
            keepalive_header,
            keepalive_requests: self.keepalive_requests(scope),
            streams: self
                .number(scope, "http2_max_concurrent_streams")
                .map_or(usual.streams, |streams| u32::try_from(streams).unwrap_or(u32::MAX)),
        })
    }

    /// Octets of a request's content; `None`: no limit of the operator's.
    pub fn api_max_body_size(&self, scope: Scope) -> Option<usize> {
        let size = Some(self.max_body_size(scope)).filter(|size| *size > 0)?;
        Some(usize::try_from(size).unwrap_or(usize::MAX))
    }
}

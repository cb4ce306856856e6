//! What of a request a session may be bound to, so that its cookie is of no use elsewhere.

use super::header::{BOUND_TO_ADDRESS, BOUND_TO_SCHEME, BOUND_TO_USER_AGENT};
use crate::Exchange;
use aws_lc_rs::digest;

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    address: String,
    scheme: &'static str,
    user_agent: Vec<u8>,
}

impl Origin {
    pub fn of(exchange: &Exchange) -> Origin {
        Origin {
            address: exchange.client.ip.to_string(),
            scheme: if exchange.client.tls.is_some() { "https" } else { "http" },
            user_agent: exchange.request.fields.get("User-Agent").unwrap_or_default().to_vec(),
        }
    }

    /// What the authentication code of a cookie with these flags covers beside the cookie.
    pub(super) fn covered(&self, flags: u16) -> Vec<u8> {
        let parts: [(u16, &[u8]); 3] = [
            (BOUND_TO_ADDRESS, self.address.as_bytes()),
            (BOUND_TO_SCHEME, self.scheme.as_bytes()),
            (BOUND_TO_USER_AGENT, &self.user_agent),
        ];
        let bound = parts.iter().filter(|(flag, part)| flags & flag != 0 && !part.is_empty());
        let bound: Vec<&[u8]> = bound.map(|(_, part)| *part).collect();
        if bound.is_empty() {
            return Vec::new();
        }
        let hash = digest::digest(&digest::SHA256, &bound.join(&b'|'));
        [b"#", hash.as_ref()].concat()
    }
}

/// The flags of the values that `bind` may have.
pub(super) fn flags(bind: &[String]) -> u16 {
    let flag = |name: &String| match name.as_str() {
        "ip" => BOUND_TO_ADDRESS,
        "scheme" => BOUND_TO_SCHEME,
        _ => BOUND_TO_USER_AGENT,
    };
    bind.iter().map(flag).fold(0, |all, flag| all | flag)
}

//! What browsers are told to allow the pages, and nobody else with them.

use hyper::header::HeaderValue;

/// Headers of every answer.
pub const ALWAYS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("x-permitted-cross-domain-policies", "master-only"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The policy without a word about connections: scripts and styles come from here, and nothing is evaluated.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                       font-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'self'; \
                       frame-ancestors 'self'";

/// Which servers the pages may talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Any: wherever the Admin API is.
    Any,
    /// The origins of the Admin API; where they lack a host, on the host that the browser came to.
    Listed { origins: Vec<String>, ports: Vec<(&'static str, u16)> },
    /// A policy of the operator's, as it stands.
    Own(HeaderValue),
}

impl Connections {
    /// `Content-Security-Policy` for a request to that host.
    pub fn policy(&self, host: Option<&str>) -> HeaderValue {
        let policy = match self {
            Connections::Own(policy) => return policy.clone(),
            Connections::Any => format!("{CONTENT}; connect-src 'self' http: https:"),
            Connections::Listed { origins, ports } => {
                let host = host.map(without_port).filter(|host| is_host(host));
                let here = ports.iter().filter_map(|(scheme, port)| Some(format!("{scheme}://{}:{port}", host?)));
                let sources: Vec<String> = origins.iter().cloned().chain(here).collect();
                format!("{CONTENT}; connect-src 'self' {}", sources.join(" "))
            }
        };
        HeaderValue::from_str(policy.trim_end()).unwrap_or(HeaderValue::from_static(CONTENT))
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if host.ends_with(']') || !host.contains(':') => host,
        _ => authority,
    }
}

/// Nothing that could add to the policy.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_named() {
        let ports = vec![("http", 8001), ("https", 8444)];
        let listed = Connections::Listed { origins: vec!["https://a.test".to_owned()], ports };
        let policy = |host| listed.policy(host).to_str().unwrap().rsplit_once("connect-src ").unwrap().1.to_owned();
        assert_eq!(policy(Some("[::1]:8002")), "'self' https://a.test http://[::1]:8001 https://[::1]:8444");
        assert_eq!(policy(Some("evil; script-src *")), "'self' https://a.test");
        assert_eq!(policy(None), "'self' https://a.test");
    }

    #[test]
    fn nothing_inline_is_ever_allowed() {
        let policy = Connections::Any.policy(None);
        assert!(!policy.to_str().unwrap().contains("unsafe"), "{policy:?}");
    }
}

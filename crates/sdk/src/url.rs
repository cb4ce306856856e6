//! Addresses of servers that speak HTTP, as configurations give them.

use hyper::http::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use std::fmt;

/// An `http` or `https` URL. Shown to nobody as a whole: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    /// `user:password` as it stands there.
    userinfo: Option<String>,
}

impl Url {
    /// The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Url, String> {
        let text = text.split('#').next().unwrap_or_default();
        let parts = text.parse::<Uri>().map_err(|e| format!("not a URL: {e}"))?.into_parts();
        let scheme = parts.scheme.filter(|s| [Scheme::HTTP, Scheme::HTTPS].contains(s));
        let scheme = scheme.ok_or("not an http or https URL")?;
        let authority = parts.authority.ok_or("no host in the URL")?;
        let (userinfo, host) = match authority.as_str().rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host.parse::<Authority>()),
            None => (None, Ok(authority.clone())),
        };
        let host = host.map_err(|e| format!("not a URL: {e}"))?;
        let target = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(target).build();
        Ok(Url { uri: uri.map_err(|e| format!("not a URL: {e}"))?, userinfo })
    }

    /// `http://host:port/path?query`, without user and password.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is an `https` URL.
    pub fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// The name or address; IPv6 addresses without brackets.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, 80 or 443 where the URL has none.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// User and password, as they stand there.
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.as_deref()
    }
}

/// What logs may show: host and port.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uri.host().unwrap_or_default(), self.port())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let url = Url::parse("https://user:p%40ss@Log.test/in?x=1#f").unwrap();
        assert_eq!(url.uri().to_string(), "https://Log.test/in?x=1");
        assert_eq!(url.host(), "Log.test");
        assert_eq!(url.port(), 443);
        assert_eq!(url.userinfo(), Some("user:p%40ss"));
        assert_eq!(format!("{url} {url:?}"), "Log.test:443 Log.test:443");
        let bare = Url::parse("http://[::1]:8080").unwrap();
        assert_eq!(bare.host(), "::1");
        assert_eq!(bare.uri().to_string(), "http://[::1]:8080/");
        assert_eq!(bare.to_string(), "[::1]:8080");
    }

    #[test]
    fn what_is_none() {
        for text in ["", "log.test", "ftp://log.test", "http://", "http:///in", "http://a b/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}

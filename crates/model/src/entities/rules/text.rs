//! Hosts, paths, names, URLs: rules for single texts.

use crate::Record;
use crate::address::{self, AddressKind, Cidr, HostPort, INVALID_PORT};
use crate::expression::Expression;
use serde_json::{Value, json};

type Verdict = Result<(), String>;

/// A host name or address, without a port.
pub fn host(value: &Value) -> Verdict {
    without_port(text(value)?, text(value)?).map(drop)
}

/// A host name or address with or without a port.
pub fn host_with_optional_port(value: &Value) -> Verdict {
    HostPort::parse(text(value)?).map(drop)
}

/// As a route's `hosts`: the asterisks have been checked by patterns, the rest must be a host.
pub fn host_with_wildcards(value: &Value) -> Verdict {
    let host = text(value)?;
    // Kong names the host in the error with the wildcard replaced.
    HostPort::parse(&host.replace('*', "abc")).map(drop)
}

/// A host name for TLS, in which the first or last character may be an asterisk.
pub fn wildcard_host(value: &Value) -> Verdict {
    let host = text(value)?;
    match host.find('*') {
        None => server_name(host),
        Some(at) if at != 0 && at != host.len() - 1 => {
            Err("wildcard must be leftmost or rightmost character".to_owned())
        }
        Some(_) if host.matches('*').count() > 1 => Err("only one wildcard must be specified".to_owned()),
        Some(_) => server_name(&host.replace('*', "wildcard")),
    }
}

/// A host name for TLS.
pub fn sni(value: &Value) -> Verdict {
    server_name(text(value)?)
}

/// An IP address.
pub fn ip(value: &Value) -> Verdict {
    let ip = text(value)?;
    if address::is_ip(ip) { Ok(()) } else { Err(format!("not an ip address: {ip}")) }
}

/// An IP address or network.
pub fn ip_or_cidr(value: &Value) -> Verdict {
    let ip = text(value)?;
    if Cidr::parse(ip).is_some() { Ok(()) } else { Err(format!("invalid ip or cidr range: '{ip}'")) }
}

/// An IPv4 address or network.
pub fn cidr_v4(value: &Value) -> Verdict {
    let ip = text(value)?;
    if Cidr::parse(ip).is_some_and(Cidr::is_ipv4) { Ok(()) } else { Err(format!("invalid ipv4 cidr range: '{ip}'")) }
}

/// A path of characters that RFC 3986 allows, properly percent-encoded.
pub fn path(value: &Value) -> Verdict {
    let path = text(value)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b);
    if !path.starts_with('/') || !path.bytes().all(allowed) {
        return Err(format!("invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)"));
    }
    percent_encoding(path)
}

/// Every `%` is followed by two hexadecimal digits.
pub fn percent_encoding(path: &str) -> Verdict {
    let bytes = path.as_bytes();
    for (i, _) in path.match_indices('%') {
        if !(bytes.get(i + 1).is_some_and(u8::is_ascii_hexdigit) && bytes.get(i + 2).is_some_and(u8::is_ascii_hexdigit))
        {
            let shown: String = path[i..].chars().take(3).collect();
            return Err(format!("invalid url-encoded value: '{shown}'"));
        }
    }
    Ok(())
}

/// A URL with scheme and host.
pub fn url(value: &Value) -> Verdict {
    let url = Url::parse(text(value)?);
    match (url.host, url.scheme) {
        (None, _) => Err("missing host in url".to_owned()),
        (_, None) => Err("missing scheme in url".to_owned()),
        _ => Ok(()),
    }
}

/// A name of letters, digits and `.-_~`.
pub fn name(value: &Value) -> Verdict {
    let name = text(value)?;
    if !name.is_empty() && name.bytes().all(name_byte) {
        return Ok(());
    }
    Err(format!("invalid value '{name}': it must only contain alphanumeric and '., -, _, ~' characters"))
}

/// A name of letters, digits, `.-_~` and anything beyond ASCII.
pub fn utf8_name(value: &Value) -> Verdict {
    let name = text(value)?;
    if !name.is_empty() && name.bytes().all(|b| name_byte(b) || b >= 128) {
        return Ok(());
    }
    Err(format!("invalid value '{name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"))
}

/// The condition of a plugin.
pub fn condition(value: &Value) -> Verdict {
    Expression::parse_condition(value.as_str().unwrap_or_default()).map(drop)
}

/// A tag: printable, without comma and slash.
pub fn tag(value: &Value) -> Verdict {
    let tag = text(value)?;
    if !tag.is_empty() && tag.bytes().all(|b| (matches!(b, b' '..=b'~') && b != b',' && b != b'/') || b >= 128) {
        return Ok(());
    }
    Err(format!("invalid tag '{tag}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"))
}

/// A header name of letters, digits, `_` and `-`.
pub fn header_name(value: &Value) -> Verdict {
    let name = text(value)?;
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
}

/// A header name of the characters that HTTP allows (a token by RFC 9110), where Kong does not ask for fewer.
pub fn header_token(value: &Value) -> Verdict {
    let name = text(value)?;
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
        return Ok(());
    }
    Err(format!("bad header name '{}', allowed characters are A-Z, a-z, 0-9, and !#$%&'*+-.^_`|~", name.escape_debug()))
}

/// What can stand in a header line. Kong sends line breaks on: that splits messages.
pub fn header_value(value: &Value) -> Verdict {
    let value = text(value)?;
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err(format!("bad header value '{}', control characters are not allowed", value.escape_debug()));
    }
    Ok(())
}

/// A URL that can stand in a header line.
pub fn header_url(value: &Value) -> Verdict {
    header_value(value)?;
    url(value)
}

/// A token by RFC 2616.
pub fn cookie_name(value: &Value) -> Verdict {
    let name = text(value)?;
    if name.bytes().any(|b| b <= b' ' || b >= 127 || b"()<>@,;:\\\"/?={}[]".contains(&b)) {
        return Err(
            "contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and the \
                    characters ()<>@,;:\\\"/?={}[] are not allowed."
                .to_owned(),
        );
    }
    Ok(())
}

/// A host name by which requests can be sent to an upstream.
pub fn upstream_name(value: &Value) -> Verdict {
    let name = text(value)?;
    let invalid = |why: &str| Err(format!("Invalid name ('{name}'); {why}"));
    match HostPort::parse(name) {
        Err(_) => invalid("must be a valid hostname"),
        Ok(address) if address.kind != AddressKind::Name => invalid("no ip addresses allowed"),
        Ok(address) if address.port.is_some() => invalid("no port allowed"),
        Ok(_) => Ok(()),
    }
}

/// A target: host or address, with or without a port.
pub fn target(value: &Value) -> Verdict {
    let target = text(value)?;
    let invalid = |_| format!("Invalid target ('{target}'); not a valid hostname or ip address");
    HostPort::parse(target).map(drop).map_err(invalid)
}

/// The same in the words of the Admin API, which looks at it before all else.
pub fn target_to_complete(value: &Value) -> Verdict {
    target(value).map_err(|_| "Invalid target; not a valid hostname or ip address".to_owned())
}

/// A target in its full form `host:port`.
pub fn target_address(value: &Value) -> Option<Record> {
    let full = value.as_str().and_then(|target| HostPort::parse(target).ok()).map(|address| address.with_port(8000));
    Some(Record::from_iter([("target".to_owned(), full.map_or_else(|| value.clone(), Value::String))]))
}

/// `sentinel_addresses` of records that name a Redis.
pub fn redis_sentinel_nodes(value: &Value) -> Option<Record> {
    redis_nodes("sentinel_nodes", "host", value)
}

/// `cluster_addresses` of them.
pub fn redis_cluster_nodes(value: &Value) -> Option<Record> {
    redis_nodes("cluster_nodes", "ip", value)
}

/// Addresses in the form `host:port` as records. What has no port is a name whose port is the usual one.
fn redis_nodes(field: &str, host: &str, addresses: &Value) -> Option<Record> {
    let node = |address: &Value| {
        let (name, port) = address.as_str()?.rsplit_once(':').unwrap_or((address.as_str()?, "6379"));
        Some(json!({ host: name, "port": port.parse().map_or_else(|_| json!(port), |port: u64| json!(port)) }))
    };
    let nodes: Vec<_> = addresses.as_array()?.iter().filter_map(node).collect();
    Some(Record::from_iter([(field.to_owned(), Value::Array(nodes))]))
}

/// `url` of services.
pub fn service_url(value: &Value) -> Option<Record> {
    let url = Url::parse(value.as_str()?);
    let number = url.port.and_then(|port| port.parse::<u64>().ok());
    let protocol = match (url.scheme, number) {
        (Some(scheme), _) => scheme,
        (None, Some(443)) => "https",
        (None, _) => "http",
    };
    let port = match (number, url.port) {
        (Some(number), _) => json!(number),
        (None, Some(text)) => json!(text),
        (None, None) => json!(if matches!(protocol, "https" | "wss") { 443 } else { 80 }),
    };
    Some(Record::from_iter([
        ("protocol".to_owned(), protocol.into()),
        ("host".to_owned(), url.host.into()),
        ("port".to_owned(), port),
        ("path".to_owned(), url.path.into()),
    ]))
}

/// Algorithms that need no hash take `hash_on` away.
pub fn upstream_algorithm(value: &Value) -> Option<Record> {
    let mut fields = Record::from_iter([("algorithm".to_owned(), value.clone())]);
    if matches!(value.as_str(), Some("least-connections" | "latency" | "sticky-sessions")) {
        fields.insert("hash_on".to_owned(), Value::Null);
    }
    Some(fields)
}

/// Asking for a hash asks for the algorithm that hashes.
pub fn upstream_hash_on(value: &Value) -> Option<Record> {
    let mut fields = Record::from_iter([("hash_on".to_owned(), value.clone())]);
    match value.as_str() {
        None if value.is_null() => drop(fields.insert("hash_on".to_owned(), "none".into())),
        Some("none") => drop(fields.insert("algorithm".to_owned(), "round-robin".into())),
        _ => drop(fields.insert("algorithm".to_owned(), "consistent-hashing".into())),
    }
    Some(fields)
}

/// The parts of a URL, by the loose reading of the library that Kong uses: nothing is checked, nothing lower-cased.
struct Url<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    path: Option<&'a str>,
}

impl Url<'_> {
    fn parse(text: &str) -> Url<'_> {
        let text = text.split('#').next().unwrap_or_default();
        let scheme_char = |(i, b): (usize, u8)| {
            if i == 0 { b.is_ascii_alphabetic() } else { b.is_ascii_alphanumeric() || b"+-.".contains(&b) }
        };
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if !scheme.is_empty() && scheme.bytes().enumerate().all(scheme_char) => {
                (Some(scheme), rest)
            }
            _ => (None, text),
        };
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            None => (None, rest),
        };
        let path = rest.split(['?', ';']).next().filter(|path| !path.is_empty());
        let authority = authority.map(|a| a.rsplit_once('@').map_or(a, |(_, host)| host));
        let (host, port) = match authority {
            Some(authority) => match authority.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => (host, Some(port).filter(|p| !p.is_empty())),
                _ => (authority, None),
            },
            None => ("", None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Url { scheme, host: Some(host).filter(|h| !h.is_empty()), port, path }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "expected a string".to_owned())
}

fn name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b".-_~".contains(&b)
}

/// `shown` is what the client gave, `host` the form that is checked.
fn without_port(host: &str, shown: &str) -> Result<HostPort, String> {
    let port = || "must not have a port".to_owned();
    match HostPort::parse(host) {
        Err(error) if error == INVALID_PORT => Err(port()),
        Err(_) => Err(format!("invalid value: {shown}")),
        Ok(address) if address.port.is_some() => Err(port()),
        Ok(address) => Ok(address),
    }
}

fn server_name(host: &str) -> Verdict {
    match HostPort::parse(host) {
        Ok(address) if address.kind != AddressKind::Name => Err("must not be an IP".to_owned()),
        _ => without_port(host, host).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_services() {
        let fields = |url: &str| Value::Object(service_url(&json!(url)).unwrap_or_default());
        assert_eq!(
            fields("http://user:pw@a.test/p?x=1"),
            json!({"protocol": "http", "host": "a.test", "port": 80, "path": "/p"})
        );
        assert_eq!(fields("https://a.test"), json!({"protocol": "https", "host": "a.test", "port": 443, "path": null}));
        assert_eq!(
            fields("http://[::1]:8080/x"),
            json!({"protocol": "http", "host": "::1", "port": 8080, "path": "/x"})
        );
        assert_eq!(fields("not a url"), json!({"protocol": "http", "host": null, "port": 80, "path": "not a url"}));
        assert_eq!(
            fields("http://a.test:abc/"),
            json!({"protocol": "http", "host": "a.test", "port": "abc", "path": "/"})
        );
        assert_eq!(fields("grpc://a.test:1")["protocol"], "grpc");
    }

    #[test]
    fn names_of_servers() {
        for (host, error) in [
            ("a.test", None),
            ("*.a.test", None),
            ("a.*", None),
            ("a.*.b", Some("wildcard must be leftmost or rightmost character")),
            ("*.a.*", Some("only one wildcard must be specified")),
            ("127.0.0.1", Some("must not be an IP")),
            ("a.test:443", Some("must not have a port")),
            ("a b", Some("invalid value: a b")),
        ] {
            assert_eq!(wildcard_host(&json!(host)).err().as_deref(), error, "{host}");
        }
    }

    #[test]
    fn texts_with_rules() {
        let error = |check: fn(&Value) -> Verdict, text: &str| check(&json!(text)).err().unwrap_or_default();
        assert_eq!(error(path, "/a%zz"), "invalid url-encoded value: '%zz'");
        assert_eq!(error(path, "/a%2Fb"), "");
        assert!(error(path, "/a?b=1").contains("characters outside of the reserved list"));
        assert_eq!(error(utf8_name, "grüße-1"), "");
        assert!(error(utf8_name, "a b").starts_with("invalid value 'a b': the only accepted"));
        assert!(!error(tag, "x,y").is_empty() && error(tag, "a b:é").is_empty());
        assert_eq!(error(upstream_name, "a:80"), "Invalid name ('a:80'); no port allowed");
        assert_eq!(error(upstream_name, "10.0.0.1:80"), "Invalid name ('10.0.0.1:80'); no ip addresses allowed");
        assert_eq!(error(url, "nope"), "missing host in url");
        assert_eq!(error(host, "h.test:80"), "must not have a port");
        assert_eq!(error(header_value, "text/plain;\ta=\u{e9}"), "");
        for bad in ["a\r\nb: c", "a\nb", "a\0", "a\u{7f}"] {
            assert!(error(header_value, bad).starts_with("bad header value 'a"), "{bad:?}");
            assert!(error(header_token, bad).starts_with("bad header name 'a"), "{bad:?}");
        }
        assert_eq!(error(header_token, "X.Request~Id"), "");
    }
}

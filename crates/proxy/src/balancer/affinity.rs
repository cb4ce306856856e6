//! What `hash_on` and `hash_fallback` find in a request.

use super::continuum::xxh32;
use model::entities::{HashOn, Upstream, Uuid};
use sdk::{Args, Exchange, path};
use wire::{Fields, field_value};

/// The hash of what the upstream asks for; of nothing when the request has nothing of it. With a cookie that the
/// request lacks comes the `Set-Cookie` value that gives it one.
pub fn of(upstream: &Upstream, exchange: &Exchange) -> (u32, Option<Box<str>>) {
    for on in [&upstream.hash_on, &upstream.hash_fallback] {
        let found = match on {
            HashOn::None => None,
            HashOn::Consumer => consumer(exchange),
            HashOn::Ip => Some(xxh32(exchange.client.ip.to_string().as_bytes())),
            HashOn::Header(name) => header(&exchange.request.fields, name),
            HashOn::Path => Some(xxh32(&path::uri(exchange.request.path()))),
            HashOn::QueryArg(name) => query_arg(exchange.request.query().unwrap_or_default(), name),
            HashOn::UriCapture(name) => {
                exchange.captures.iter().find(|(n, _)| n == name).map(|(_, value)| xxh32(value))
            }
            HashOn::Cookie => match &upstream.hash_on_cookie {
                Some(name) => match cookie(&exchange.request.fields, name) {
                    Some(hash) => Some(hash),
                    None => return new_cookie(name, &upstream.hash_on_cookie_path, exchange),
                },
                None => None,
            },
        };
        if let Some(found) = found {
            return (found, None);
        }
    }
    // Those of which nothing is known stay together, as Kong's.
    (xxh32(b""), None)
}

/// What the cookie of a sticky session says.
pub fn session<'e>(upstream: &Upstream, exchange: &'e Exchange) -> Option<&'e [u8]> {
    field_value::cookie(&exchange.request.fields, upstream.sticky_sessions_cookie.as_deref()?)
}

/// The `Set-Cookie` value by which a client stays with a target.
pub fn session_cookie(upstream: &Upstream, token: &str) -> Option<Box<str>> {
    let (name, path) = (upstream.sticky_sessions_cookie.as_deref()?, &upstream.sticky_sessions_cookie_path);
    Some(cookie_line(name, token, path))
}

fn consumer(exchange: &Exchange) -> Option<u32> {
    let id = exchange.consumer.as_ref().map(|c| c.id).or(exchange.credential.as_ref().map(|c| c.id))?;
    if id.is_nil() {
        return None;
    }
    if let Some(given) = exchange.given_ids.text(&id) {
        return Some(xxh32(given.as_bytes()));
    }
    Some(xxh32(id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes()))
}

/// Several lines of one name count as one, joined as RFC 9110 has it.
fn header(fields: &Fields, name: &str) -> Option<u32> {
    let mut values = fields.get_all(name);
    let first = values.next()?;
    match values.next() {
        None => Some(xxh32(first)),
        Some(second) => {
            let all: Vec<&[u8]> = [first, second].into_iter().chain(values).collect();
            Some(xxh32(&all.join(&b", "[..])))
        }
    }
}

fn cookie(fields: &Fields, name: &str) -> Option<u32> {
    field_value::cookie(fields, name).map(|value| xxh32(value.trim_ascii_end()))
}

/// A value for a client that has none. It follows from the id of the exchange, so that each try of a request gives the
/// same.
fn new_cookie(name: &str, path: &str, exchange: &Exchange) -> (u32, Option<Box<str>>) {
    let value = Uuid::new_v5(&Uuid::NAMESPACE_OID, &exchange.id).to_string();
    (xxh32(value.as_bytes()), Some(cookie_line(name, &value, path)))
}

fn cookie_line(name: &str, value: &str, path: &str) -> Box<str> {
    format!("{name}={value}; Path={path}; SameSite=Lax; HttpOnly").into()
}

/// All values of the argument, sorted and joined by commas; an argument without `=` counts as `true`, as in Kong.
fn query_arg(query: &str, name: &str) -> Option<u32> {
    let mut values: Vec<_> = Args::find(query, name).map(|value| value.unwrap_or(b"true"[..].into())).collect();
    values.sort_unstable();
    (!values.is_empty()).then(|| xxh32(&values.join(&b","[..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_name_count_as_one() {
        let fields: Fields = [("X-K", "a"), ("x-k", "b"), ("x-l", "a, b")].into_iter().collect();
        assert_eq!(header(&fields, "x-k"), Some(xxh32(b"a, b")));
        assert_eq!(header(&fields, "X-L"), header(&fields, "x-k"));
        assert_eq!(header(&fields, "x-m"), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let fields: Fields = [("Cookie", "ab=1; a=2;b=3"), ("Cookie", "c=4")].into_iter().collect();
        assert_eq!(cookie(&fields, "a"), Some(xxh32(b"2")));
        assert_eq!(cookie(&fields, "c"), Some(xxh32(b"4")));
        assert_eq!(cookie(&fields, "d"), None);
    }

    #[test]
    fn query_arguments_are_decoded_sorted_and_joined() {
        assert_eq!(query_arg("k=b&x=1&%6B=a+c", "k"), Some(xxh32(b"a c,b")));
        assert_eq!(query_arg("k", "k"), Some(xxh32(b"true")));
        assert_eq!(query_arg("k=", "k"), Some(xxh32(b"")));
        assert_eq!(query_arg("k=%E9", "k"), Some(xxh32(b"\xe9")));
        assert_eq!(query_arg("x=1", "k"), None);
    }

    #[test]
    fn paths_count_in_normal_form() {
        let upstream = serde_json::json!({ "id": Uuid::nil().to_string(), "name": "u", "hash_on": "path" });
        let upstream = Upstream::from_record(upstream.as_object().unwrap()).unwrap();
        let hash = |target: &str| of(&upstream, &sdk::testing::exchange("GET", target, &[])).0;
        for target in ["/x/../bob", "//bob", "/%62ob?q=1", "/./bob"] {
            assert_eq!(hash(target), xxh32(b"/bob"), "{target}");
        }
        assert_eq!(hash("/%E9"), xxh32(b"/\xe9"));
    }
}

//! Field lines that a message may have once only, by nginx's rules (1.23 and later, as under Kong 3.10).

use smallvec::SmallVec;
use wire::{Fields, Known};

/// What responses have once.
const OF_RESPONSES: &[Known] = &[
    Known::ContentType,
    Known::Date,
    Known::Etag,
    Known::Expires,
    Known::LastModified,
    Known::Location,
    Known::Refresh,
    Known::Server,
    Known::Status,
    Known::XAccelExpires,
    Known::XAccelLimitRate,
    Known::XAccelRedirect,
];

/// What requests have once. `Host`, `Content-Length` and `Transfer-Encoding` are seen to when a head is parsed.
const OF_REQUESTS: &[Known] = &[
    Known::Authorization,
    Known::ContentRange,
    Known::Expect,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::ProxyAuthorization,
];

/// Drops the repetitions of a response's single-valued lines: the first one stands.
pub fn normalise_single_valued(fields: &mut Fields) {
    if !fields.may_repeat(OF_RESPONSES) {
        return;
    }
    let mut seen: SmallVec<[Known; 12]> = SmallVec::new();
    fields.retain(|known, _, _| {
        let repeats = OF_RESPONSES.contains(&known) && seen.contains(&known);
        seen.push(known);
        !repeats
    });
}

/// The name of a line that a request must not repeat and does: nginx answers 400.
pub fn repeated_in_request(fields: &Fields) -> Option<Known> {
    if !fields.may_repeat(OF_REQUESTS) {
        return None;
    }
    OF_REQUESTS.iter().copied().find(|name| fields.known_all(*name).nth(1).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_response_stands() {
        let names = [
            "Content-Type",
            "Date",
            "Server",
            "ETag",
            "Status",
            "Expires",
            "Refresh",
            "Location",
            "Last-Modified",
            "X-Accel-Expires",
            "X-Accel-Redirect",
            "X-Accel-Limit-Rate",
        ];
        let mut fields = Fields::new();
        for value in ["first", "second", "third"] {
            names.iter().for_each(|name| fields.append(&name.to_uppercase(), value.as_bytes()));
            fields.append("Set-Cookie", value.as_bytes());
        }
        normalise_single_valued(&mut fields);
        for name in names {
            assert_eq!(fields.get_all(name).collect::<Vec<_>>(), [b"first"], "{name}");
        }
        assert_eq!(fields.get_all("set-cookie").count(), 3);
    }

    #[test]
    fn other_lines_of_a_response_may_be_repeated() {
        let names =
            ["Vary", "Link", "Cache-Control", "WWW-Authenticate", "Content-Encoding", "X-Any-Name-13", "Refreshed"];
        let mut fields = Fields::new();
        for _ in 0..2 {
            names.iter().for_each(|name| fields.append(name, b"x"));
        }
        normalise_single_valued(&mut fields);
        assert_eq!(fields.len(), names.len() * 2);
    }

    #[test]
    fn requests_say_once_who_asks_and_on_what_condition() {
        let repeated = |name: &str| {
            let mut fields = Fields::new();
            fields.append(name, b"1");
            assert_eq!(repeated_in_request(&fields), None, "{name}");
            fields.append("Accept", b"x");
            fields.append(&name.to_lowercase(), b"2");
            repeated_in_request(&fields).is_some()
        };
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Expect",
            "If-Match",
            "If-None-Match",
            "If-Range",
            "If-Modified-Since",
            "If-Unmodified-Since",
            "Content-Range",
        ] {
            assert!(repeated(name), "{name}");
        }
        for name in
            ["Accept", "Cookie", "Content-Type", "X-Forwarded-For", "Range", "User-Agent", "Referer", "apikey-8"]
        {
            assert!(!repeated(name), "{name}");
        }
    }
}

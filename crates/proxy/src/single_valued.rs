//! Field lines that a message may have once only, by nginx's rules (1.23 and later, as under Kong 3.10).

use wire::{Fields, Known};

/// Drops the repetitions of a response's single-valued lines: the first one stands.
pub fn normalise_single_valued(fields: &mut Fields) {
    if repetition(fields, of_response).is_none() {
        return;
    }
    let mut seen = 0;
    fields.retain(|known, name, _| {
        let bit = of_response(known, name.as_bytes());
        let keeps = seen & bit == 0;
        seen |= bit;
        keeps
    });
}

/// The name of a line that a request must not repeat and does: nginx answers 400.
pub fn repeated_in_request(fields: &Fields) -> Option<&[u8]> {
    repetition(fields, of_request)
}

#[inline]
fn repetition(fields: &Fields, class: fn(Known, &[u8]) -> u16) -> Option<&[u8]> {
    let mut seen = 0;
    let repeated = fields.names().find(|(known, name)| {
        let bit = class(*known, name);
        let repeated = seen & bit != 0;
        seen |= bit;
        repeated
    });
    repeated.map(|(_, name)| name)
}

/// A bit for each name that responses have once; 0 for all others.
#[inline]
fn of_response(known: Known, name: &[u8]) -> u16 {
    match known {
        Known::ContentType => 1,
        Known::Date => 1 << 1,
        Known::Server => 1 << 2,
        Known::Other => {
            let (bit, wanted) = match name.len() {
                4 => (1 << 3, "etag"),
                6 => (1 << 4, "status"),
                7 if name[0] | 0x20 == b'e' => (1 << 5, "expires"),
                7 => (1 << 6, "refresh"),
                8 => (1 << 7, "location"),
                13 => (1 << 8, "last-modified"),
                15 => (1 << 9, "x-accel-expires"),
                16 => (1 << 10, "x-accel-redirect"),
                18 => (1 << 11, "x-accel-limit-rate"),
                _ => return 0,
            };
            if name.eq_ignore_ascii_case(wanted.as_bytes()) { bit } else { 0 }
        }
        _ => 0,
    }
}

/// A bit for each name that requests have once. `Host`, `Content-Length` and `Transfer-Encoding` are seen to when a head
/// is parsed.
#[inline]
fn of_request(known: Known, name: &[u8]) -> u16 {
    match known {
        Known::Authorization => 1,
        Known::Expect => 1 << 1,
        Known::Other => {
            let (bit, wanted) = match name.len() {
                8 if name[3] | 0x20 == b'm' => (1 << 2, "if-match"),
                8 => (1 << 3, "if-range"),
                13 if name[0] | 0x20 == b'i' => (1 << 4, "if-none-match"),
                13 => (1 << 5, "content-range"),
                17 => (1 << 6, "if-modified-since"),
                19 if name[0] | 0x20 == b'i' => (1 << 7, "if-unmodified-since"),
                19 => (1 << 8, "proxy-authorization"),
                _ => return 0,
            };
            if name.eq_ignore_ascii_case(wanted.as_bytes()) { bit } else { 0 }
        }
        _ => 0,
    }
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

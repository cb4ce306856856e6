//! Field lines that concern one connection only and do not go on (RFC 9110, section 7.6.1), by Kong's rules.

use smallvec::SmallVec;
use wire::{Fields, Known, field_value};

/// What a request says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HopByHop {
    /// It asks for a change to the WebSocket protocol.
    pub websocket: bool,
    /// The client takes trailers.
    pub trailers: bool,
}

impl HopByHop {
    /// Looks at a request that has just been read, and drops the lines that `Connection` names: before anything is
    /// added under such a name that the client could make disappear.
    pub fn take(fields: &mut Fields) -> HopByHop {
        drop_named(fields);
        HopByHop {
            websocket: fields.known(Known::Upgrade).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")),
            trailers: takes_trailers(fields),
        }
    }
}

fn takes_trailers(fields: &Fields) -> bool {
    fields.may_have(&[Known::Te])
        && fields.known_all(Known::Te).any(|codings| field_value::list_has(codings, "trailers"))
}

/// Prepares a request's lines for the service: what stays of those that concern the connection is `TE: trailers` when
/// it is among the codings, of the client or of a plugin. The rest is for the sender to set.
pub fn strip_request(fields: &mut Fields) {
    const LINES: [Known; 6] = [
        Known::Connection,
        Known::KeepAlive,
        Known::ProxyConnection,
        Known::Proxy,
        Known::Upgrade,
        Known::TransferEncoding,
    ];
    for line in LINES {
        fields.remove_known(line);
    }
    match takes_trailers(fields) {
        true => fields.set_known(Known::Te, b"trailers"),
        false => drop(fields.remove_known(Known::Te)),
    }
}

/// Prepares a request's trailers for the service. What the gateway and its plugins say of the client in the head must
/// not be said again by the client behind it.
pub fn strip_request_trailers(trailers: &mut Fields) {
    const PREFIXES: [&[u8]; 6] =
        [b"x-consumer-", b"x-credential-", b"x-anonymous-", b"x-authenticated-", b"x-forwarded-", b"x-kong-"];
    trailers.retain(|known, name, _| {
        let name = name.as_bytes();
        // Many services read a dash and an underscore as the same.
        let same = |a: &[u8], b: &[u8]| {
            let fold = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
            a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
        };
        let begins = |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| same(start, prefix));
        let reserved = matches!(known, Known::Via | Known::KeepAlive | Known::Proxy | Known::ProxyConnection)
            || same(name, b"x-real-ip")
            || same(name, b"forwarded");
        !reserved && !PREFIXES.iter().any(begins)
    });
}

/// Prepares a response's lines for the client, be it a final or an interim one. `Upgrade` stays when the protocol
/// changes, `Trailer` when the client takes trailers; `Connection` is for the sender to set.
pub fn strip_response(fields: &mut Fields, asked: HopByHop) {
    drop_named(fields);
    fields.remove_known(Known::Connection);
    fields.remove_known(Known::KeepAlive);
    if !(asked.websocket && fields.known(Known::Upgrade).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))) {
        fields.remove_known(Known::Upgrade);
    }
    if !asked.trailers {
        fields.remove_known(Known::Trailer);
    }
}

/// Drops the lines that `Connection` names, but not that one itself.
fn drop_named(fields: &mut Fields) {
    if fields.known_all(Known::Connection).all(is_usual) {
        return;
    }
    let mut named: SmallVec<[u8; 128]> = SmallVec::new();
    for value in fields.known_all(Known::Connection) {
        if !is_usual(value) {
            named.extend_from_slice(value);
            named.push(b',');
        }
    }
    for name in field_value::list(&named) {
        if !is_kept(name)
            && let Ok(name) = std::str::from_utf8(name)
        {
            fields.remove(name);
        }
    }
}

/// A value that names no line but those that are seen to anyway.
fn is_usual(value: &[u8]) -> bool {
    if value == b"keep-alive" {
        return true;
    }
    let usual: &[u8] = match value.len() {
        5 => b"close",
        7 => b"upgrade",
        10 => b"keep-alive",
        _ => return false,
    };
    value.eq_ignore_ascii_case(usual)
}

/// Lines that `Connection` cannot drop: those that frame the message or say where it goes (dropping them lets requests
/// be smuggled), those that have rules of their own, and those in which the gateway speaks for itself.
fn is_kept(name: &[u8]) -> bool {
    match Known::of(name) {
        Known::ContentLength | Known::TransferEncoding | Known::Host | Known::Expect => true,
        Known::Te | Known::Trailer | Known::Upgrade | Known::Connection => true,
        Known::Via | Known::XForwardedFor | Known::XForwardedHost | Known::XForwardedPath | Known::XForwardedPort => {
            true
        }
        Known::XForwardedPrefix | Known::XForwardedProto | Known::XKongRequestId | Known::XRealIp => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&str, &str)]) -> (String, HopByHop) {
        let mut fields: Fields = lines.iter().copied().collect();
        let hop_by_hop = HopByHop::take(&mut fields);
        strip_request(&mut fields);
        (text(&fields), hop_by_hop)
    }

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(n, v)| format!("{n}: {};", String::from_utf8_lossy(v))).collect()
    }

    const NOTHING: HopByHop = HopByHop { websocket: false, trailers: false };

    #[test]
    fn requests_lose_what_is_for_this_connection() {
        let lines = [
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("connection", "x-other"),
            ("X-Other", "2"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "gzip, Trailers"),
            ("Trailer", "X-T"),
            ("Upgrade", "foo"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy", "p"),
            ("Proxy-Authorization", "Basic eA=="),
        ];
        let h2c = [("Connection", "Upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")];
        let websocket = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")];
        for (lines, sent, hop_by_hop) in [
            (
                &lines[..],
                "TE: trailers;Trailer: X-T;Proxy-Authorization: Basic eA==;",
                HopByHop { trailers: true, ..NOTHING },
            ),
            (&[("TE", "gzip, trailers;q=0.5")], "", NOTHING),
            (&h2c, "HTTP2-Settings: AAMA;", NOTHING),
            (&websocket, "", HopByHop { websocket: true, ..NOTHING }),
        ] {
            let (text, found) = request(lines);
            assert_eq!(text, sent, "{lines:?}");
            assert_eq!(found, hop_by_hop, "{lines:?}");
        }
    }

    #[test]
    fn connection_cannot_drop_framing_nor_what_the_gateway_says() {
        let lines = [
            ("Connection", "content-length, Transfer-Encoding,HOST ,, X-Real-IP, X-Forwarded-For, Via, a\u{e9}"),
            ("Host", "a"),
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("X-Real-IP", "1"),
            ("X-Forwarded-For", "1"),
            ("Via", "1"),
        ];
        assert_eq!(request(&lines).0, "Host: a;Content-Length: 3;X-Real-IP: 1;X-Forwarded-For: 1;Via: 1;");
    }

    #[test]
    fn trailers_say_nothing_of_the_client() {
        let lines = [
            ("X-Checksum", "1"),
            ("X-Consumer-Username", "fake"),
            ("x-real-ip", "1"),
            ("X-Forwarded-For", "1"),
            ("x-anonymous-consumer", "true"),
            ("Forwarded", "for=1"),
            ("X_Consumer_ID", "1"),
        ];
        let mut trailers: Fields = lines.iter().copied().collect();
        strip_request_trailers(&mut trailers);
        assert_eq!(text(&trailers), "X-Checksum: 1;");
    }

    #[test]
    fn responses_lose_what_is_for_this_connection() {
        let lines = [
            ("Connection", "close, X-Hop, Content-Length"),
            ("X-Hop", "1"),
            ("Content-Length", "2"),
            ("Keep-Alive", "t"),
            ("Trailer", "X-T"),
            ("Upgrade", "websocket"),
            ("Proxy-Authenticate", "Basic"),
        ];
        let response = |asked| {
            let mut fields: Fields = lines.iter().copied().collect();
            strip_response(&mut fields, asked);
            text(&fields)
        };
        assert_eq!(response(NOTHING), "Content-Length: 2;Proxy-Authenticate: Basic;");
        assert_eq!(
            response(HopByHop { websocket: true, trailers: true }),
            "Content-Length: 2;Trailer: X-T;Upgrade: websocket;Proxy-Authenticate: Basic;"
        );
    }
}

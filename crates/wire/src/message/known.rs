//! Field names that the gateway itself asks for: classified once, when a head is parsed.

/// A field name that the engine or the gateway looks up on every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Any name that is not listed here.
    Other = 0,
    Accept,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Host,
    KeepAlive,
    Proxy,
    ProxyConnection,
    Server,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedPath,
    XForwardedPort,
    XForwardedPrefix,
    XForwardedProto,
    XKongProxyLatency,
    XKongRequestId,
    XKongUpstreamLatency,
    XRealIp,
}

impl Known {
    /// The class of a field name, ignoring case (RFC 9110, section 5.1).
    pub fn of(name: &[u8]) -> Known {
        let Some(first) = name.first() else { return Known::Other };
        // Length and one letter leave a single candidate.
        let (known, text): (Known, &[u8]) = match (name.len(), first | 0x20) {
            (2, b't') => (Known::Te, b"te"),
            (3, b'v') => (Known::Via, b"via"),
            (4, b'h') => (Known::Host, b"host"),
            (4, b'd') => (Known::Date, b"date"),
            (5, b'p') => (Known::Proxy, b"proxy"),
            (6, b'a') => (Known::Accept, b"accept"),
            (6, b'c') => (Known::Cookie, b"cookie"),
            (6, b'e') => (Known::Expect, b"expect"),
            (6, b's') => (Known::Server, b"server"),
            (7, b'u') => (Known::Upgrade, b"upgrade"),
            (7, b't') => (Known::Trailer, b"trailer"),
            (9, b'x') => (Known::XRealIp, b"x-real-ip"),
            (10, b'c') => (Known::Connection, b"connection"),
            (10, b'u') => (Known::UserAgent, b"user-agent"),
            (10, b'k') => (Known::KeepAlive, b"keep-alive"),
            (12, b'c') => (Known::ContentType, b"content-type"),
            (13, b'a') => (Known::Authorization, b"authorization"),
            (14, b'c') => (Known::ContentLength, b"content-length"),
            (15, b'x') => (Known::XForwardedFor, b"x-forwarded-for"),
            (16, b'x') => match name[13] | 0x20 {
                b'a' => (Known::XForwardedPath, b"x-forwarded-path"),
                _ if name[12] | 0x20 == b'h' => (Known::XForwardedHost, b"x-forwarded-host"),
                _ => (Known::XForwardedPort, b"x-forwarded-port"),
            },
            (16, b'c') => (Known::ContentEncoding, b"content-encoding"),
            (16, b'p') => (Known::ProxyConnection, b"proxy-connection"),
            (17, b't') => (Known::TransferEncoding, b"transfer-encoding"),
            (17, b'x') if name[2] | 0x20 == b'k' => (Known::XKongRequestId, b"x-kong-request-id"),
            (17, b'x') => (Known::XForwardedProto, b"x-forwarded-proto"),
            (18, b'x') => (Known::XForwardedPrefix, b"x-forwarded-prefix"),
            (20, b'x') => (Known::XKongProxyLatency, b"x-kong-proxy-latency"),
            (23, b'x') => (Known::XKongUpstreamLatency, b"x-kong-upstream-latency"),
            _ => return Known::Other,
        };
        if is_name(name, text) { known } else { Known::Other }
    }

    /// The canonical spelling, as the gateway writes it.
    pub fn name(self) -> &'static str {
        let lead = self.lead();
        &lead[..lead.len().saturating_sub(2)]
    }

    /// The canonical spelling with the colon and the space before the value.
    pub(crate) fn lead(self) -> &'static str {
        match self {
            Known::Other => "",
            Known::Accept => "Accept: ",
            Known::Authorization => "Authorization: ",
            Known::Connection => "Connection: ",
            Known::ContentEncoding => "Content-Encoding: ",
            Known::ContentLength => "Content-Length: ",
            Known::ContentType => "Content-Type: ",
            Known::Cookie => "Cookie: ",
            Known::Date => "Date: ",
            Known::Expect => "Expect: ",
            Known::Host => "Host: ",
            Known::KeepAlive => "Keep-Alive: ",
            Known::Proxy => "Proxy: ",
            Known::ProxyConnection => "Proxy-Connection: ",
            Known::Server => "Server: ",
            Known::Te => "TE: ",
            Known::Trailer => "Trailer: ",
            Known::TransferEncoding => "Transfer-Encoding: ",
            Known::Upgrade => "Upgrade: ",
            Known::UserAgent => "User-Agent: ",
            Known::Via => "Via: ",
            Known::XForwardedFor => "X-Forwarded-For: ",
            Known::XForwardedHost => "X-Forwarded-Host: ",
            Known::XForwardedPath => "X-Forwarded-Path: ",
            Known::XForwardedPort => "X-Forwarded-Port: ",
            Known::XForwardedPrefix => "X-Forwarded-Prefix: ",
            Known::XForwardedProto => "X-Forwarded-Proto: ",
            Known::XKongProxyLatency => "X-Kong-Proxy-Latency: ",
            Known::XKongRequestId => "X-Kong-Request-Id: ",
            Known::XKongUpstreamLatency => "X-Kong-Upstream-Latency: ",
            Known::XRealIp => "X-Real-IP: ",
        }
    }

    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Whether a field name is `text`, which is in lower case and as long. Compares words, in which setting one bit makes
/// lower case of letters and leaves the dash; other octets that it makes into either are none of a field name.
fn is_name(name: &[u8], text: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let word = |octets: &[u8]| octets.try_into().map_or(0, u64::from_le_bytes);
    let Some(last) = name.len().checked_sub(8) else { return name.eq_ignore_ascii_case(text) };
    let same = |at: usize| word(&name[at..at + 8]) | CASE == word(&text[at..at + 8]);
    // The last word overlaps the one before; no name here is longer than three words.
    same(0) && same(last) && (last <= 8 || same(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_its_own_names_in_any_case() {
        for n in 1..=Known::XRealIp as u8 {
            let known = ALL[n as usize - 1];
            assert_eq!(known as u8, n);
            assert_eq!(Known::of(known.name().as_bytes()), known);
            assert_eq!(Known::of(known.name().to_uppercase().as_bytes()), known);
        }
        assert_eq!(Known::of(b"X-Other"), Known::Other);
        for near in [
            "x-forwarded-prefiy",
            "x-forwardee-prefix",
            "x-forwarded-qrefix",
            "y-forwarded-prefix",
            "connectiom",
            "ghost",
            "hos",
        ] {
            assert_eq!(Known::of(near.as_bytes()), Known::Other, "{near}");
        }
        assert_eq!(Known::of(b""), Known::Other);
    }

    const ALL: [Known; 30] = [
        Known::Accept,
        Known::Authorization,
        Known::Connection,
        Known::ContentEncoding,
        Known::ContentLength,
        Known::ContentType,
        Known::Cookie,
        Known::Date,
        Known::Expect,
        Known::Host,
        Known::KeepAlive,
        Known::Proxy,
        Known::ProxyConnection,
        Known::Server,
        Known::Te,
        Known::Trailer,
        Known::TransferEncoding,
        Known::Upgrade,
        Known::UserAgent,
        Known::Via,
        Known::XForwardedFor,
        Known::XForwardedHost,
        Known::XForwardedPath,
        Known::XForwardedPort,
        Known::XForwardedPrefix,
        Known::XForwardedProto,
        Known::XKongProxyLatency,
        Known::XKongRequestId,
        Known::XKongUpstreamLatency,
        Known::XRealIp,
    ];
}

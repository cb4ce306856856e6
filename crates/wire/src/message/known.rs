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
    ContentRange,
    ContentType,
    Cookie,
    Date,
    Etag,
    Expect,
    Expires,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    KeepAlive,
    LastModified,
    Location,
    Proxy,
    ProxyAuthorization,
    ProxyConnection,
    Refresh,
    Server,
    Status,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XAccelBuffering,
    XAccelExpires,
    XAccelLimitRate,
    XAccelRedirect,
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
            (4, b'd') => (Known::Date, b"date"),
            (4, b'e') => (Known::Etag, b"etag"),
            (4, b'h') => (Known::Host, b"host"),
            (5, b'p') => (Known::Proxy, b"proxy"),
            (6, b'a') => (Known::Accept, b"accept"),
            (6, b'c') => (Known::Cookie, b"cookie"),
            (6, b'e') => (Known::Expect, b"expect"),
            (6, b's') => match name[1] | 0x20 {
                b'e' => (Known::Server, b"server"),
                _ => (Known::Status, b"status"),
            },
            (7, b'e') => (Known::Expires, b"expires"),
            (7, b'r') => (Known::Refresh, b"refresh"),
            (7, b't') => (Known::Trailer, b"trailer"),
            (7, b'u') => (Known::Upgrade, b"upgrade"),
            (8, b'i') => match name[3] | 0x20 {
                b'm' => (Known::IfMatch, b"if-match"),
                _ => (Known::IfRange, b"if-range"),
            },
            (8, b'l') => (Known::Location, b"location"),
            (9, b'x') => (Known::XRealIp, b"x-real-ip"),
            (10, b'c') => (Known::Connection, b"connection"),
            (10, b'k') => (Known::KeepAlive, b"keep-alive"),
            (10, b'u') => (Known::UserAgent, b"user-agent"),
            (12, b'c') => (Known::ContentType, b"content-type"),
            (13, b'a') => (Known::Authorization, b"authorization"),
            (13, b'c') => (Known::ContentRange, b"content-range"),
            (13, b'i') => (Known::IfNoneMatch, b"if-none-match"),
            (13, b'l') => (Known::LastModified, b"last-modified"),
            (14, b'c') => (Known::ContentLength, b"content-length"),
            (15, b'x') => match name[2] | 0x20 {
                b'a' => (Known::XAccelExpires, b"x-accel-expires"),
                _ => (Known::XForwardedFor, b"x-forwarded-for"),
            },
            (16, b'c') => (Known::ContentEncoding, b"content-encoding"),
            (16, b'p') => (Known::ProxyConnection, b"proxy-connection"),
            (16, b'x') => match name[14] | 0x20 {
                b'c' => (Known::XAccelRedirect, b"x-accel-redirect"),
                b'r' => (Known::XForwardedPort, b"x-forwarded-port"),
                b's' => (Known::XForwardedHost, b"x-forwarded-host"),
                _ => (Known::XForwardedPath, b"x-forwarded-path"),
            },
            (17, b'i') => (Known::IfModifiedSince, b"if-modified-since"),
            (17, b't') => (Known::TransferEncoding, b"transfer-encoding"),
            (17, b'x') => match name[2] | 0x20 {
                b'a' => (Known::XAccelBuffering, b"x-accel-buffering"),
                b'f' => (Known::XForwardedProto, b"x-forwarded-proto"),
                _ => (Known::XKongRequestId, b"x-kong-request-id"),
            },
            (18, b'x') => match name[2] | 0x20 {
                b'a' => (Known::XAccelLimitRate, b"x-accel-limit-rate"),
                _ => (Known::XForwardedPrefix, b"x-forwarded-prefix"),
            },
            (19, b'i') => (Known::IfUnmodifiedSince, b"if-unmodified-since"),
            (19, b'p') => (Known::ProxyAuthorization, b"proxy-authorization"),
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
            Known::ContentRange => "Content-Range: ",
            Known::ContentType => "Content-Type: ",
            Known::Cookie => "Cookie: ",
            Known::Date => "Date: ",
            Known::Etag => "ETag: ",
            Known::Expect => "Expect: ",
            Known::Expires => "Expires: ",
            Known::Host => "Host: ",
            Known::IfMatch => "If-Match: ",
            Known::IfModifiedSince => "If-Modified-Since: ",
            Known::IfNoneMatch => "If-None-Match: ",
            Known::IfRange => "If-Range: ",
            Known::IfUnmodifiedSince => "If-Unmodified-Since: ",
            Known::KeepAlive => "Keep-Alive: ",
            Known::LastModified => "Last-Modified: ",
            Known::Location => "Location: ",
            Known::Proxy => "Proxy: ",
            Known::ProxyAuthorization => "Proxy-Authorization: ",
            Known::ProxyConnection => "Proxy-Connection: ",
            Known::Refresh => "Refresh: ",
            Known::Server => "Server: ",
            Known::Status => "Status: ",
            Known::Te => "TE: ",
            Known::Trailer => "Trailer: ",
            Known::TransferEncoding => "Transfer-Encoding: ",
            Known::Upgrade => "Upgrade: ",
            Known::UserAgent => "User-Agent: ",
            Known::Via => "Via: ",
            Known::XAccelBuffering => "X-Accel-Buffering: ",
            Known::XAccelExpires => "X-Accel-Expires: ",
            Known::XAccelLimitRate => "X-Accel-Limit-Rate: ",
            Known::XAccelRedirect => "X-Accel-Redirect: ",
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

    pub(crate) fn bit(self) -> u64 {
        1 << self as u64
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
        for n in 1..=ALL.len() as u8 {
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

    const ALL: [Known; 47] = [
        Known::Accept,
        Known::Authorization,
        Known::Connection,
        Known::ContentEncoding,
        Known::ContentLength,
        Known::ContentRange,
        Known::ContentType,
        Known::Cookie,
        Known::Date,
        Known::Etag,
        Known::Expect,
        Known::Expires,
        Known::Host,
        Known::IfMatch,
        Known::IfModifiedSince,
        Known::IfNoneMatch,
        Known::IfRange,
        Known::IfUnmodifiedSince,
        Known::KeepAlive,
        Known::LastModified,
        Known::Location,
        Known::Proxy,
        Known::ProxyAuthorization,
        Known::ProxyConnection,
        Known::Refresh,
        Known::Server,
        Known::Status,
        Known::Te,
        Known::Trailer,
        Known::TransferEncoding,
        Known::Upgrade,
        Known::UserAgent,
        Known::Via,
        Known::XAccelBuffering,
        Known::XAccelExpires,
        Known::XAccelLimitRate,
        Known::XAccelRedirect,
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

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
    XKongRequestId,
    XRealIp,
}

impl Known {
    /// The class of a field name, ignoring case (RFC 9110, section 5.1).
    pub fn of(name: &[u8]) -> Known {
        let candidates: &[(Known, &str)] = match name.len() {
            2 => &[(Known::Te, "te")],
            3 => &[(Known::Via, "via")],
            4 => &[(Known::Host, "host"), (Known::Date, "date")],
            6 => &[(Known::Accept, "accept"), (Known::Cookie, "cookie"), (Known::Expect, "expect"), (Known::Server, "server")],
            7 => &[(Known::Upgrade, "upgrade"), (Known::Trailer, "trailer")],
            9 => &[(Known::XRealIp, "x-real-ip")],
            10 => &[(Known::Connection, "connection"), (Known::UserAgent, "user-agent"), (Known::KeepAlive, "keep-alive")],
            12 => &[(Known::ContentType, "content-type")],
            13 => &[(Known::Authorization, "authorization")],
            14 => &[(Known::ContentLength, "content-length")],
            15 => &[(Known::XForwardedFor, "x-forwarded-for")],
            16 => &[
                (Known::XForwardedHost, "x-forwarded-host"),
                (Known::XForwardedPort, "x-forwarded-port"),
                (Known::XForwardedPath, "x-forwarded-path"),
                (Known::ContentEncoding, "content-encoding"),
                (Known::ProxyConnection, "proxy-connection"),
            ],
            17 => {
                &[(Known::TransferEncoding, "transfer-encoding"), (Known::XForwardedProto, "x-forwarded-proto"), (Known::XKongRequestId, "x-kong-request-id")]
            }
            18 => &[(Known::XForwardedPrefix, "x-forwarded-prefix")],
            _ => &[],
        };
        candidates.iter().find(|(_, text)| name.eq_ignore_ascii_case(text.as_bytes())).map_or(Known::Other, |(known, _)| *known)
    }

    /// The canonical spelling, as the gateway writes it.
    pub fn name(self) -> &'static str {
        match self {
            Known::Other => "",
            Known::Accept => "Accept",
            Known::Authorization => "Authorization",
            Known::Connection => "Connection",
            Known::ContentEncoding => "Content-Encoding",
            Known::ContentLength => "Content-Length",
            Known::ContentType => "Content-Type",
            Known::Cookie => "Cookie",
            Known::Date => "Date",
            Known::Expect => "Expect",
            Known::Host => "Host",
            Known::KeepAlive => "Keep-Alive",
            Known::ProxyConnection => "Proxy-Connection",
            Known::Server => "Server",
            Known::Te => "TE",
            Known::Trailer => "Trailer",
            Known::TransferEncoding => "Transfer-Encoding",
            Known::Upgrade => "Upgrade",
            Known::UserAgent => "User-Agent",
            Known::Via => "Via",
            Known::XForwardedFor => "X-Forwarded-For",
            Known::XForwardedHost => "X-Forwarded-Host",
            Known::XForwardedPath => "X-Forwarded-Path",
            Known::XForwardedPort => "X-Forwarded-Port",
            Known::XForwardedPrefix => "X-Forwarded-Prefix",
            Known::XForwardedProto => "X-Forwarded-Proto",
            Known::XKongRequestId => "X-Kong-Request-Id",
            Known::XRealIp => "X-Real-IP",
        }
    }

    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
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
        assert_eq!(Known::of(b""), Known::Other);
    }

    const ALL: [Known; 27] = [
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
        Known::XKongRequestId,
        Known::XRealIp,
    ];
}

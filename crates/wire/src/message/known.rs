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
    RateLimitLimit,
    RateLimitRemaining,
    RateLimitReset,
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
    XAccelCharset,
    XAccelExpires,
    XAccelLimitRate,
    XAccelRedirect,
    XAnonymousConsumer,
    XConsumerCustomId,
    XConsumerId,
    XConsumerUsername,
    XCredentialIdentifier,
    XForwardedFor,
    XForwardedHost,
    XForwardedPath,
    XForwardedPort,
    XForwardedPrefix,
    XForwardedProto,
    XKongProxyLatency,
    XKongRequestDebug,
    XKongRequestId,
    XKongUpstreamLatency,
    XPad,
    XRealIp,
}

impl Known {
    /// The class of a field name, ignoring case (RFC 9110, section 5.1).
    pub fn of(name: &[u8]) -> Known {
        Known::classify(name).0
    }

    /// The class of a field name, and the number of a bit (of 64) that names have in common when they are the same, and
    /// seldom otherwise.
    #[inline]
    pub(crate) fn classify(name: &[u8]) -> (Known, u8) {
        let words = Words::of(name);
        let slot = words.slot();
        let class = &CLASSES[usize::from(SLOTS[slot])];
        (if class.words == words { class.known } else { Known::Other }, (slot / 4) as u8)
    }

    /// The canonical spelling, as the gateway writes it.
    pub const fn name(self) -> &'static str {
        let lead = self.lead();
        lead.split_at(lead.len().saturating_sub(2)).0
    }

    /// The canonical spelling with the colon and the space before the value.
    pub(crate) const fn lead(self) -> &'static str {
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
            Known::RateLimitLimit => "RateLimit-Limit: ",
            Known::RateLimitRemaining => "RateLimit-Remaining: ",
            Known::RateLimitReset => "RateLimit-Reset: ",
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
            Known::XAccelCharset => "X-Accel-Charset: ",
            Known::XAccelExpires => "X-Accel-Expires: ",
            Known::XAccelLimitRate => "X-Accel-Limit-Rate: ",
            Known::XAccelRedirect => "X-Accel-Redirect: ",
            Known::XAnonymousConsumer => "X-Anonymous-Consumer: ",
            Known::XConsumerCustomId => "X-Consumer-Custom-ID: ",
            Known::XConsumerId => "X-Consumer-ID: ",
            Known::XConsumerUsername => "X-Consumer-Username: ",
            Known::XCredentialIdentifier => "X-Credential-Identifier: ",
            Known::XForwardedFor => "X-Forwarded-For: ",
            Known::XForwardedHost => "X-Forwarded-Host: ",
            Known::XForwardedPath => "X-Forwarded-Path: ",
            Known::XForwardedPort => "X-Forwarded-Port: ",
            Known::XForwardedPrefix => "X-Forwarded-Prefix: ",
            Known::XForwardedProto => "X-Forwarded-Proto: ",
            Known::XKongProxyLatency => "X-Kong-Proxy-Latency: ",
            Known::XKongRequestDebug => "X-Kong-Request-Debug: ",
            Known::XKongRequestId => "X-Kong-Request-Id: ",
            Known::XKongUpstreamLatency => "X-Kong-Upstream-Latency: ",
            Known::XPad => "X-Pad: ",
            Known::XRealIp => "X-Real-IP: ",
        }
    }

    pub(crate) fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// All names that are known, in the order of their numbers.
const ALL: [Known; 58] = [
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
    Known::RateLimitLimit,
    Known::RateLimitRemaining,
    Known::RateLimitReset,
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
    Known::XAccelCharset,
    Known::XAccelExpires,
    Known::XAccelLimitRate,
    Known::XAccelRedirect,
    Known::XAnonymousConsumer,
    Known::XConsumerCustomId,
    Known::XConsumerId,
    Known::XConsumerUsername,
    Known::XCredentialIdentifier,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPath,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
    Known::XForwardedProto,
    Known::XKongProxyLatency,
    Known::XKongRequestDebug,
    Known::XKongRequestId,
    Known::XKongUpstreamLatency,
    Known::XPad,
    Known::XRealIp,
];

/// A name as it is compared: its length and the octets in it, as words without case. Setting one bit makes lower case
/// of letters and leaves the dash; other octets that it makes into either are none of a field name. Of names of more
/// than 24 octets something is missing, but no known one is as long.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words {
    length: usize,
    first: u64,
    middle: u64,
    last: u64,
}

/// A known name, and its words.
struct Class {
    known: Known,
    words: Words,
}

impl Words {
    #[inline]
    const fn of(name: &[u8]) -> Words {
        const CASE: u64 = 0x2020_2020_2020_2020;
        // The words of a name overlap.
        let (first, middle, last) = match name {
            [] | [_] => (0, 0, 0),
            [a, b] => (*a as u64, 0, *b as u64),
            [a, b, c] => (*a as u64, *b as u64, *c as u64),
            _ => match (name.first_chunk(), name.last_chunk()) {
                (Some(first), Some(last)) => {
                    let middle = match name.split_at_checked(8) {
                        Some((_, rest)) if name.len() > 16 => rest.first_chunk(),
                        _ => None,
                    };
                    let middle = if let Some(middle) = middle { u64::from_le_bytes(*middle) } else { 0 };
                    (u64::from_le_bytes(*first), middle, u64::from_le_bytes(*last))
                }
                _ => match (name.first_chunk(), name.last_chunk()) {
                    (Some(first), Some(last)) => {
                        (u32::from_le_bytes(*first) as u64, 0, u32::from_le_bytes(*last) as u64)
                    }
                    _ => (0, 0, 0),
                },
            },
        };
        Words { length: name.len(), first: first | CASE, middle: middle | CASE, last: last | CASE }
    }

    /// The place in [`SLOTS`] of a name with these words.
    #[inline]
    const fn slot(&self) -> usize {
        self.slot_by(FACTOR)
    }

    #[inline]
    const fn slot_by(&self, factor: u64) -> usize {
        ((self.first ^ self.last.rotate_left(29) ^ self.length as u64).wrapping_mul(factor) >> 56) as usize
    }
}

/// What each name has to be, by its number; no name is as [`Known::Other`] here.
const CLASSES: [Class; ALL.len() + 1] = {
    const OTHER: Class =
        Class { known: Known::Other, words: Words { length: usize::MAX, first: 0, middle: 0, last: 0 } };
    let mut classes = [OTHER; ALL.len() + 1];
    let mut i = 0;
    while i < ALL.len() {
        classes[i + 1] = Class { known: ALL[i], words: Words::of(ALL[i].name().as_bytes()) };
        i += 1;
    }
    classes
};

/// Spreads the names so that no two have the same slot.
const FACTOR: u64 = {
    // The first one that does; where names are added, the search goes on from it.
    let mut factor: u64 = 0xcba7_1c04_f826_849d;
    while slots(factor).is_none() {
        factor = factor.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) | 1;
    }
    factor
};

/// The only name that has each slot, by its number.
const SLOTS: [u8; 256] = match slots(FACTOR) {
    Some(slots) => slots,
    None => [0; 256],
};

const fn slots(factor: u64) -> Option<[u8; 256]> {
    let mut slots = [0; 256];
    let mut i = 0;
    while i < ALL.len() {
        let slot = Words::of(ALL[i].name().as_bytes()).slot_by(factor);
        if slots[slot] != 0 {
            return None;
        }
        slots[slot] = ALL[i] as u8;
        i += 1;
    }
    Some(slots)
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
}

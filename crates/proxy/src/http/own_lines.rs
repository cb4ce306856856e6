//! The lines in which the gateway speaks for itself in responses of services: from one response to the next little of
//! them changes.

use crate::settings::Headers;
use itoa::Buffer;
use wire::{Fields, Known};

/// The names of these lines.
const NAMES: [Known; 4] = [Known::XKongUpstreamLatency, Known::XKongProxyLatency, Known::Via, Known::XKongRequestId];

/// The lines as a worker has added them last.
#[derive(Default)]
pub(crate) struct OwnLines {
    lines: Fields,
    /// What they tell, once there are any.
    told: Option<Told>,
}

/// What such lines tell beside the id of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of the service and our own, in milliseconds.
    pub latencies: (u64, u64),
    /// That a connection of HTTP/1.1 stays, as most do.
    pub stays: bool,
}

impl OwnLines {
    /// Adds the lines to those of a response; false: it has such lines, and they are to be put in their places.
    pub fn append(&mut self, headers: Headers, via: &Fields, tell: Told, id: &[u8; 32], fields: &mut Fields) -> bool {
        if fields.may_have(&NAMES) {
            return false;
        }
        // Mostly only the id is another one.
        let fits = (self.told == Some(tell) || self.overwrite(headers, tell))
            && (!headers.request_id || self.lines.overwrite_known(Known::XKongRequestId, id));
        if !fits {
            self.write(headers, via, tell, id);
        }
        self.told = Some(tell);
        fields.append_all(&self.lines);
        true
    }

    /// Puts other latencies in their places; false where they do not fit.
    fn overwrite(&mut self, headers: Headers, Told { latencies: (upstream, proxy), stays }: Told) -> bool {
        let mut put = |name, latency| self.lines.overwrite_known(name, Buffer::new().format(latency).as_bytes());
        self.told.is_some_and(|told| told.stays == stays)
            && (!headers.upstream_latency || put(Known::XKongUpstreamLatency, upstream))
            && (!headers.proxy_latency || put(Known::XKongProxyLatency, proxy))
    }

    /// Makes all lines anew.
    fn write(&mut self, headers: Headers, via: &Fields, tell: Told, id: &[u8; 32]) {
        let Told { latencies: (upstream, proxy), stays } = tell;
        let lines = &mut self.lines;
        lines.clear();
        if headers.upstream_latency {
            lines.append_known(Known::XKongUpstreamLatency, Buffer::new().format(upstream).as_bytes());
        }
        if headers.proxy_latency {
            lines.append_known(Known::XKongProxyLatency, Buffer::new().format(proxy).as_bytes());
        }
        if headers.via {
            lines.append_all(via);
        }
        if headers.request_id {
            lines.append_known(Known::XKongRequestId, id);
        }
        if stays {
            lines.append_known(Known::Connection, b"keep-alive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Told = Told { latencies: (1, 2), stays: false };

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn each_response_has_its_own_values() {
        let (mut own, via) = (OwnLines::default(), [("Via", "1.1 x")].into_iter().collect());
        let mut added = |headers, latencies, id| {
            let mut fields: Fields = [("A", "b")].into_iter().collect();
            assert!(own.append(headers, &via, Told { latencies, stays: false }, &[id; 32], &mut fields));
            text(&fields)
        };
        for (latencies, id) in [((1, 0), b'a'), ((2, 3), b'b'), ((12, 3), b'c'), ((4, 345), b'd'), ((4, 345), b'e')] {
            let (upstream, proxy) = latencies;
            let id_text = char::from(id).to_string().repeat(32);
            assert_eq!(
                added(Headers::default(), latencies, id),
                format!(
                    "A: b;X-Kong-Upstream-Latency: {upstream};X-Kong-Proxy-Latency: {proxy};Via: 1.1 x;\
                     X-Kong-Request-Id: {id_text};"
                )
            );
        }
    }

    #[test]
    fn connections_stay_or_do_not() {
        let (mut own, via) = (OwnLines::default(), [("Via", "1.1 x")].into_iter().collect());
        for (stays, expected) in
            [(true, Some("keep-alive")), (true, Some("keep-alive")), (false, None), (true, Some("keep-alive"))]
        {
            let mut fields = Fields::new();
            assert!(own.append(Headers::default(), &via, Told { stays, ..TOLD }, &[b'a'; 32], &mut fields));
            assert_eq!(fields.get_str("connection"), expected);
            assert_eq!(fields.get_str("x-kong-upstream-latency"), Some("1"));
        }
    }

    #[test]
    fn lines_that_are_not_wanted_are_left_out() {
        let (mut own, via) = (OwnLines::default(), [("Via", "1.1 x")].into_iter().collect());
        let only_via =
            Headers { upstream_latency: false, proxy_latency: false, request_id: false, ..Headers::default() };
        for _ in 0..2 {
            let mut fields = Fields::new();
            assert!(own.append(only_via, &via, TOLD, &[b'a'; 32], &mut fields));
            assert_eq!(text(&fields), "Via: 1.1 x;");
        }
        let mut behind_another: Fields = [("via", "1.0 y")].into_iter().collect();
        assert!(!own.append(only_via, &via, TOLD, &[b'a'; 32], &mut behind_another));
        assert_eq!(text(&behind_another), "via: 1.0 y;");
    }
}

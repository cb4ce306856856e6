//! The lines in which the gateway speaks for itself in responses of services: from one response to the next little of
//! them changes.

use crate::settings::Headers;
use itoa::Buffer;
use wire::{Fields, Known};

/// The names of these lines.
const NAMES: [Known; 4] = [Known::XKongUpstreamLatency, Known::XKongProxyLatency, Known::Via, Known::XKongRequestId];

/// The lines as a worker has added them last.
#[derive(Default)]
pub(crate) struct OwnLines(Fields);

impl OwnLines {
    /// Adds the lines to those of a response; false: it has such lines, and they are to be put in their places.
    /// `latencies` are that of the service and our own in milliseconds.
    pub fn append(
        &mut self,
        headers: Headers,
        via: &Fields,
        latencies: (u64, u64),
        id: &[u8; 32],
        fields: &mut Fields,
    ) -> bool {
        if fields.may_have(&NAMES) {
            return false;
        }
        let (mut upstream, mut proxy) = (Buffer::new(), Buffer::new());
        let (upstream, proxy) = (upstream.format(latencies.0).as_bytes(), proxy.format(latencies.1).as_bytes());
        let OwnLines(lines) = self;
        let fits = (!headers.upstream_latency || lines.overwrite_known(Known::XKongUpstreamLatency, upstream))
            && (!headers.proxy_latency || lines.overwrite_known(Known::XKongProxyLatency, proxy))
            && (!headers.request_id || lines.overwrite_known(Known::XKongRequestId, id));
        if !fits || lines.is_empty() {
            lines.clear();
            if headers.upstream_latency {
                lines.append_known(Known::XKongUpstreamLatency, upstream);
            }
            if headers.proxy_latency {
                lines.append_known(Known::XKongProxyLatency, proxy);
            }
            if headers.via {
                lines.append_all(via);
            }
            if headers.request_id {
                lines.append_known(Known::XKongRequestId, id);
            }
        }
        fields.append_all(lines);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn each_response_has_its_own_values() {
        let (mut own, via) = (OwnLines::default(), [("Via", "1.1 x")].into_iter().collect());
        let mut added = |headers, latencies, id| {
            let mut fields: Fields = [("A", "b")].into_iter().collect();
            assert!(own.append(headers, &via, latencies, &[id; 32], &mut fields));
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
    fn lines_that_are_not_wanted_are_left_out() {
        let (mut own, via) = (OwnLines::default(), [("Via", "1.1 x")].into_iter().collect());
        let only_via =
            Headers { upstream_latency: false, proxy_latency: false, request_id: false, ..Headers::default() };
        for _ in 0..2 {
            let mut fields = Fields::new();
            assert!(own.append(only_via, &via, (1, 2), &[b'a'; 32], &mut fields));
            assert_eq!(text(&fields), "Via: 1.1 x;");
        }
        let mut behind_another: Fields = [("via", "1.0 y")].into_iter().collect();
        assert!(!own.append(only_via, &via, (1, 2), &[b'a'; 32], &mut behind_another));
        assert_eq!(text(&behind_another), "via: 1.0 y;");
    }
}

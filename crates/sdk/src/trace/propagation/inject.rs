//! Writing a context into header lines.

use super::Format;
use crate::Fields;
use crate::trace::{SpanId, TraceContext, TraceId};

/// Writes the lines of a format; the name that log entries have for the format, and the trace's id as it has it.
/// `None` where nothing can be written.
pub fn write(format: Format, context: &TraceContext, fields: &mut Fields) -> Option<(&'static str, String)> {
    let TraceContext { trace_id, span_id, parent_id, sampled, .. } = context;
    let ids = || Some((trace_id.as_ref()?, span_id.as_ref()?));
    let keeps = *sampled == Some(true);
    let digit = if keeps { "1" } else { "0" };
    match format {
        Format::W3c => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[16]));
            set(fields, "traceparent", &format!("00-{trace}-{span}-0{digit}"));
            Some(("w3c", trace))
        }
        Format::B3 => {
            let trace = trace_id.as_ref().map(|id| hex(id.in_length(&[16, 8])));
            if let (Some(trace), Some(span)) = (&trace, span_id) {
                set(fields, "x-b3-traceid", trace);
                set(fields, "x-b3-spanid", &span.to_string());
                parent_id.iter().for_each(|parent| set(fields, "x-b3-parentspanid", &parent.to_string()));
            }
            match &context.b3_flags {
                Some(flags) => set(fields, "x-b3-flags", flags),
                None => set(fields, "x-b3-sampled", digit),
            }
            Some(("b3", trace.unwrap_or_default()))
        }
        Format::B3Single => {
            let trace = trace_id.as_ref().map(|id| hex(id.in_length(&[16, 8])));
            let decision = match (context.b3_flags.as_deref(), sampled) {
                (Some("1"), _) => Some("d"),
                (_, Some(_)) => Some(digit),
                (_, None) => None,
            };
            let line = match (&trace, span_id) {
                (Some(trace), Some(span)) => {
                    let decision = decision.map(|decision| format!("-{decision}")).unwrap_or_default();
                    let parent = parent_id.map(|parent| format!("-{parent}")).unwrap_or_default();
                    format!("{trace}-{span}{decision}{parent}")
                }
                _ => decision.unwrap_or("0").to_owned(),
            };
            set(fields, "b3", &line);
            Some(("b3", trace.unwrap_or_default()))
        }
        Format::Jaeger => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[16, 8]));
            let parent = parent_id.map_or_else(|| "0".to_owned(), |parent| parent.to_string());
            set(fields, "uber-trace-id", &format!("{trace}:{span}:{parent}:0{digit}"));
            baggage(context, "uberctx-", fields);
            Some(("jaeger", trace))
        }
        Format::OpenTracing => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[8, 16]));
            set(fields, "ot-tracer-traceid", &trace);
            set(fields, "ot-tracer-spanid", &span.to_string());
            sampled.iter().for_each(|_| set(fields, "ot-tracer-sampled", digit));
            baggage(context, "ot-baggage-", fields);
            Some(("ot", trace))
        }
        Format::Datadog => {
            let trace = trace_id.as_ref().map(low_half);
            trace.iter().for_each(|trace| set(fields, "x-datadog-trace-id", &trace.to_string()));
            span_id.iter().for_each(|span| set(fields, "x-datadog-parent-id", &span.to_u64().to_string()));
            sampled.iter().for_each(|_| set(fields, "x-datadog-sampling-priority", digit));
            trace.map(|trace| ("datadog", trace.to_string()))
        }
        Format::Aws => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[16]));
            let (time, rest) = trace.split_at(8);
            set(fields, "x-amzn-trace-id", &format!("Root=1-{time}-{rest};Parent={span};Sampled={digit}"));
            Some(("aws", trace))
        }
        Format::Gcp => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[16]));
            set(fields, "x-cloud-trace-context", &format!("{trace}/{};o={digit}", span.to_u64()));
            Some(("gcp", trace))
        }
        Format::Instana => {
            let (trace, span) = ids()?;
            let trace = hex(trace.in_length(&[16, 8]));
            set(fields, "x-instana-t", &trace);
            set(fields, "x-instana-s", &span.to_string());
            sampled.iter().for_each(|_| set(fields, "x-instana-l", digit));
            Some(("instana", trace))
        }
    }
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    fields.set(name, value.as_bytes());
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn low_half(id: &TraceId) -> u64 {
    SpanId::received(id.octets()).to_u64()
}

fn baggage(context: &TraceContext, prefix: &str, fields: &mut Fields) {
    for (name, value) in &context.baggage {
        let name = format!("{prefix}{name}");
        if Fields::is_valid_name(name.as_bytes()) {
            set(fields, &name, &escaped(value));
        }
    }
}

/// Percent-encoded, but for what RFC 3986 calls unreserved.
fn escaped(value: &[u8]) -> String {
    let one = |octet: &u8| match octet {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (*octet as char).to_string(),
        other => format!("%{other:02X}"),
    };
    value.iter().map(one).collect()
}

//! Reading a context from header lines. What is malformed is passed over, with a word in the log.

use super::Format;
use crate::trace::{SpanId, TraceContext, TraceId};
use crate::{Fields, decode};

/// What the lines of a format say; `None`: nothing.
pub fn context(format: Format, fields: &Fields) -> Option<TraceContext> {
    match format {
        Format::W3c => w3c(fields),
        Format::B3 | Format::B3Single => b3(fields),
        Format::Jaeger => jaeger(fields),
        Format::OpenTracing => open_tracing(fields),
        Format::Datadog => datadog(fields),
        Format::Aws => aws(fields),
        Format::Gcp => gcp(fields),
        Format::Instana => instana(fields),
    }
}

/// The value of a line of which there is one.
fn only<'a>(fields: &'a Fields, name: &'a str) -> Option<&'a str> {
    let mut all = fields.get_all(name);
    let (first, more) = (all.next()?, all.next());
    std::str::from_utf8(first).ok().filter(|_| more.is_none())
}

fn invalid(what: &str) {
    tracing::warn!("{what} header invalid; ignoring");
}

/// Octets from hexadecimal digits; an odd number of them has a zero before it.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .filter(|d: &Vec<u8>| !d.is_empty())?;
    let (first, pairs) = digits.split_at(digits.len() % 2);
    Some(first.iter().copied().chain(pairs.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1])).collect())
}

/// As [`hex`], for text of one of these lengths.
fn hex_of(text: &str, lengths: &[usize]) -> Option<Vec<u8>> {
    lengths.contains(&text.len()).then(|| hex(text))?
}

fn is_zero(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == 0)
}

/// Octets of a decimal number, without zeros before it. Of one that is too large, the end counts.
fn decimal(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number =
        text.bytes().fold(0_u128, |number, digit| number.wrapping_mul(10).wrapping_add(u128::from(digit - b'0')));
    let octets = number.to_be_bytes();
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    Some(octets[zeros..].to_vec())
}

/// `1`, `true`, `0` and `false`.
fn sampled(fields: &Fields, name: &str) -> Option<bool> {
    match only(fields, name) {
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        None if !fields.contains(name) => None,
        _ => {
            invalid(name);
            None
        }
    }
}

/// What travels with a trace, in lines whose names begin so.
fn baggage(fields: &Fields, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let items = fields.iter().filter_map(|(name, value)| {
        let rest = name.get(prefix.len()..).filter(|_| name[..prefix.len()].eq_ignore_ascii_case(prefix))?;
        Some((rest.to_ascii_lowercase(), decode(value).into_owned()))
    });
    items.collect()
}

/// W3C Trace Context, version 00.
fn w3c(fields: &Fields) -> Option<TraceContext> {
    let line = only(fields, "traceparent").filter(|line| !line.is_empty())?;
    let read = || {
        let mut parts = line.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let trace = hex_of(trace, &[32]).filter(|id| !is_zero(id))?;
        let span = hex_of(span, &[16]).filter(|id| !is_zero(id))?;
        let flags = *hex_of(flags, &[2])?.first()?;
        Some(TraceContext {
            trace_id: Some(TraceId::received(&trace)),
            span_id: Some(SpanId::received(&span)),
            sampled: Some(flags & 1 == 1),
            w3c_flags: Some(flags),
            ..TraceContext::default()
        })
    };
    let context = read();
    if context.is_none() {
        invalid("traceparent");
    }
    context
}

/// B3 in one line or in several; what the one line does not say, the others may. Unlike in Kong, a `tracestate` that
/// has nothing of B3 does not pass for B3: the trace of W3C beside it would be lost.
fn b3(fields: &Fields) -> Option<TraceContext> {
    let of_state =
        || fields.get_all("tracestate").find_map(|value| std::str::from_utf8(value).ok()?.strip_prefix("b3="));
    let line = only(fields, "b3").or_else(of_state);
    let mut context = line.map(b3_single).unwrap_or_default();
    context.b3_single = line.is_some();
    context.shares_span = true;
    let several = b3_several(fields);
    context.sampled = context.sampled.or(several.sampled);
    context.b3_flags = context.b3_flags.or(several.b3_flags);
    context.trace_id = context.trace_id.or(several.trace_id);
    context.span_id = context.span_id.or(several.span_id);
    context.parent_id = context.parent_id.or(several.parent_id);
    if context.trace_id.is_none() {
        (context.span_id, context.parent_id) = (None, None);
    }
    let says_something = context.trace_id.is_some() || context.sampled.is_some() || context.b3_flags.is_some();
    (says_something || line.is_some()).then_some(context)
}

/// `trace-span-sampled-parent`, of which the last two may be missing, or only the decision.
fn b3_single(line: &str) -> TraceContext {
    let decided = |decision: &str| match decision {
        "d" => (Some(true), Some("1".to_owned())),
        "1" => (Some(true), None),
        "0" => (Some(false), None),
        _ => (None, None),
    };
    if matches!(line, "0" | "1" | "d") {
        let (sampled, b3_flags) = decided(line);
        return TraceContext { sampled, b3_flags, ..TraceContext::default() };
    }
    let read = || {
        let mut parts = line.split('-');
        let trace = hex_of(parts.next()?, &[16, 32])?;
        let span = hex_of(parts.next()?, &[16])?;
        let mut rest = parts.next();
        let mut decision = "";
        if let Some(found @ ("" | "0" | "1" | "d")) = rest {
            decision = found;
            rest = parts.next();
        }
        let parent = match rest {
            None | Some("") => None,
            Some(parent) => Some(hex_of(parent, &[16])?),
        };
        if parts.next().is_some() {
            return None;
        }
        let (sampled, b3_flags) = decided(decision);
        Some(TraceContext {
            trace_id: Some(TraceId::received(&trace)),
            span_id: Some(SpanId::received(&span)),
            parent_id: parent.map(|id| SpanId::received(&id)),
            sampled,
            b3_flags,
            ..TraceContext::default()
        })
    };
    read().unwrap_or_else(|| {
        invalid("b3");
        TraceContext::default()
    })
}

fn b3_several(fields: &Fields) -> TraceContext {
    let mut context = TraceContext { sampled: sampled(fields, "x-b3-sampled"), ..TraceContext::default() };
    match only(fields, "x-b3-flags") {
        Some("1") => (context.sampled, context.b3_flags) = (Some(true), Some("1".to_owned())),
        Some(_) => invalid("x-b3-flags"),
        None => {}
    }
    let mut valid = true;
    let mut id = |name: &str, lengths: &[usize]| {
        let octets = only(fields, name).and_then(|text| hex_of(text, lengths));
        if octets.is_none() && fields.contains(name) {
            invalid(name);
            valid = false;
        }
        octets
    };
    let (trace, span, parent) =
        (id("x-b3-traceid", &[16, 32]), id("x-b3-spanid", &[16]), id("x-b3-parentspanid", &[16]));
    if valid {
        context.trace_id = trace.map(|id| TraceId::received(&id));
        context.span_id = span.map(|id| SpanId::received(&id));
        context.parent_id = parent.map(|id| SpanId::received(&id));
    }
    context
}

/// `trace:span:parent:flags`.
fn jaeger(fields: &Fields) -> Option<TraceContext> {
    let line = only(fields, "uber-trace-id").filter(|line| !line.is_empty())?;
    let read = || {
        let mut parts = line.split(':');
        let (trace, span, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || trace.len() > 32 || span.len() > 16 || flags.len() > 2 {
            return None;
        }
        let trace = hex(trace).filter(|id| !is_zero(id))?;
        let span = hex(span).filter(|id| !is_zero(id))?;
        let flags = hex(flags)?;
        Some(TraceContext {
            trace_id: Some(TraceId::received(&trace)),
            span_id: Some(SpanId::received(&span)),
            parent_id: Some(SpanId::received(&hex(parent)?)),
            shares_span: true,
            sampled: Some(flags.last()? & 1 == 1),
            baggage: baggage(fields, "uberctx-"),
            ..TraceContext::default()
        })
    };
    let context = read();
    if context.is_none() {
        invalid("uber-trace-id");
    }
    context
}

fn open_tracing(fields: &Fields) -> Option<TraceContext> {
    let id = |name: &str, lengths: &[usize]| match only(fields, name).and_then(|text| hex_of(text, lengths)) {
        Some(id) => Ok(Some(id)),
        None if fields.contains(name) => {
            invalid(name);
            Err(())
        }
        None => Ok(None),
    };
    let ids = (id("ot-tracer-traceid", &[16, 32]), id("ot-tracer-spanid", &[16]));
    let mut context = TraceContext { sampled: sampled(fields, "ot-tracer-sampled"), ..TraceContext::default() };
    if let (Ok(Some(trace)), Ok(span)) = ids {
        context.trace_id = Some(TraceId::received(&trace));
        context.span_id = span.map(|id| SpanId::received(&id));
    }
    if context.trace_id.is_none() && context.sampled.is_none() {
        return None;
    }
    context.baggage = baggage(fields, "ot-baggage-");
    Some(context)
}

fn datadog(fields: &Fields) -> Option<TraceContext> {
    let sampled = match only(fields, "x-datadog-sampling-priority") {
        Some("1" | "2") => Some(true),
        Some("0" | "-1") => Some(false),
        None if !fields.contains("x-datadog-sampling-priority") => None,
        _ => {
            invalid("x-datadog-sampling-priority");
            return None;
        }
    };
    let id = |name: &str| {
        let octets = only(fields, name).and_then(|text| decimal(text.trim()));
        if octets.is_none() && fields.contains(name) {
            invalid(name);
        }
        octets
    };
    let trace = id("x-datadog-trace-id");
    let parent = id("x-datadog-parent-id").filter(|_| trace.is_some());
    (trace.is_some() || sampled.is_some()).then(|| TraceContext {
        trace_id: trace.map(|id| TraceId::received(&id)),
        span_id: parent.map(|id| SpanId::received(&id)),
        sampled,
        ..TraceContext::default()
    })
}

/// `Root=1-time-rest;Parent=span;Sampled=1`, in any order.
fn aws(fields: &Fields) -> Option<TraceContext> {
    let line = only(fields, "x-amzn-trace-id")?;
    let mut context = TraceContext::default();
    for (key, value) in line.split(';').filter_map(|pair| pair.split_once('=')) {
        let value = value.trim();
        let valid = match key.trim() {
            "Root" => {
                let parts: Vec<&str> = value.split('-').collect();
                let id = match parts[..] {
                    ["1", time, rest] if time.len() == 8 && rest.len() == 24 => hex(&format!("{time}{rest}")),
                    _ => None,
                };
                context.trace_id = id.map(|id| TraceId::received(&id));
                context.trace_id.is_some()
            }
            "Parent" => {
                context.span_id = hex_of(value, &[16]).map(|id| SpanId::received(&id));
                context.span_id.is_some()
            }
            "Sampled" => {
                context.sampled = Some(value == "1");
                matches!(value, "0" | "1")
            }
            _ => true,
        };
        if !valid {
            invalid("x-amzn-trace-id");
            return None;
        }
    }
    (context != TraceContext::default()).then_some(context)
}

/// `trace/span;o=1`, the span as a decimal number.
fn gcp(fields: &Fields) -> Option<TraceContext> {
    let line = only(fields, "x-cloud-trace-context")?;
    let read = || {
        let (trace, rest) = line.split_once('/')?;
        let (span, option) = rest.split_once(";o=").map_or((rest, None), |(span, option)| (span, Some(option)));
        if span.len() > 20 || option.is_some_and(|option| option.len() != 1 || !option.as_bytes()[0].is_ascii_digit()) {
            return None;
        }
        let trace = hex_of(trace, &[32]).filter(|_| !trace.bytes().any(|b| b.is_ascii_uppercase()))?;
        Some(TraceContext {
            trace_id: Some(TraceId::received(&trace)),
            span_id: Some(SpanId::received(&decimal(span)?)),
            sampled: Some(option == Some("1")),
            ..TraceContext::default()
        })
    };
    let context = read();
    if context.is_none() {
        invalid("x-cloud-trace-context");
    }
    context
}

fn instana(fields: &Fields) -> Option<TraceContext> {
    let digits = |text: &str| text[..text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len())].to_owned();
    let trace = only(fields, "x-instana-t").and_then(|text| hex_of(&digits(text), &[16, 32]));
    let span = only(fields, "x-instana-s").and_then(|text| hex(&digits(text)));
    if trace.is_none() || span.is_none() {
        if fields.contains("x-instana-t") {
            invalid("x-instana-t");
        }
        return None;
    }
    Some(TraceContext {
        trace_id: trace.map(|id| TraceId::received(&id)),
        span_id: span.map(|id| SpanId::received(&id)),
        sampled: Some(only(fields, "x-instana-l").is_some_and(|level| level.starts_with('1'))),
        ..TraceContext::default()
    })
}

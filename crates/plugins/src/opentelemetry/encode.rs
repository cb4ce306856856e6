//! Spans, metrics and messages of the log as OTLP has them (opentelemetry-proto, `trace/v1/trace.proto`,
//! `metrics/v1/metrics.proto` and `logs/v1/logs.proto`). A batch is written around what is encoded already.

use super::protobuf::Message;
use super::series::Metric;
use sdk::metrics::{Sample, Value};
use sdk::{Attribute, Bytes, LogMessage, Span, SpanStatus, TraceId};

/// A number of a gauge, and what it is about.
pub struct Point {
    pub attributes: Vec<(&'static str, String)>,
    pub number: u64,
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: numbers are those since the start.
const CUMULATIVE: u64 = 2;

/// A `Span`.
pub fn span(trace: &TraceId, span: &Span) -> Vec<u8> {
    let mut out = Message::default();
    out.octets(1, trace.octets());
    out.octets(2, &span.id.0);
    span.parent.iter().for_each(|parent| out.octets(4, &parent.0));
    out.octets(5, span.name.as_bytes());
    out.varint(6, span.kind as u64);
    out.fixed64(7, span.start);
    out.fixed64(8, span.end);
    span.attributes.iter().for_each(|(name, value)| out.message(9, |out| attribute(name, value, out)));
    for event in &span.events {
        out.message(11, |out| {
            out.fixed64(1, event.time);
            out.octets(2, event.name.as_bytes());
            event.attributes.iter().for_each(|(name, value)| out.message(3, |out| attribute(name, value, out)));
        });
    }
    if span.status != SpanStatus::Unset {
        out.message(15, |status| status.varint(3, span.status as u64));
    }
    out.finish()
}

/// A `LogRecord`.
pub fn log_record(message: &LogMessage<'_>) -> Vec<u8> {
    let (number, word) = match message.level {
        "debug" => (5, "DEBUG"),
        "info" => (9, "INFO"),
        "notice" => (11, "NOTICE"),
        "warn" => (13, "WARN"),
        _ => (17, "ERR"),
    };
    let mut out = Message::default();
    out.fixed64(1, message.time);
    if !message.level.is_empty() {
        out.varint(2, number);
        out.octets(3, word.as_bytes());
    }
    out.message(5, |body| body.octets(1, message.text.as_bytes()));
    let text = |value: &str| Attribute::Text(value.to_owned());
    let attributes = [
        ("request.id", message.request_id.map(text)),
        ("introspection.source", message.file.map(text)),
        ("introspection.current.line", message.line.map(|line| Attribute::Integer(i64::from(line)))),
    ];
    for (name, value) in &attributes {
        value.iter().for_each(|value| out.message(6, |out| attribute(name, value, out)));
    }
    message.attributes.iter().for_each(|(name, value)| out.message(6, |out| attribute(name, value, out)));
    if let Some((trace, span, sampled)) = message.trace {
        out.fixed32(8, u32::from(sampled));
        out.octets(9, trace.octets());
        span.iter().for_each(|span| out.octets(10, &span.0));
    }
    out.fixed64(11, message.time);
    out.finish()
}

/// The `LogRecord` of a request that began at that time, in nanoseconds since 1970.
pub fn access_record(time: u64, attributes: &[(&str, Attribute)]) -> Vec<u8> {
    let mut out = Message::default();
    out.fixed64(1, time);
    out.varint(2, 9);
    out.octets(3, b"INFO");
    attributes.iter().for_each(|(name, value)| out.message(6, |out| attribute(name, value, out)));
    out.fixed64(11, time);
    out.finish()
}

/// The `LogRecord` of a line that was written at that time.
pub fn line_record(time: u64, line: &str) -> Vec<u8> {
    let mut out = Message::default();
    out.fixed64(1, time);
    out.varint(2, 9);
    out.octets(3, b"INFO");
    out.message(5, |body| body.octets(1, line.as_bytes()));
    out.fixed64(11, time);
    out.finish()
}

/// A `Metric` with what was counted between two times: a `Sum`, or a `Histogram`.
pub fn metric(metric: &Metric, samples: &[Sample], (since, time): (u64, u64)) -> Vec<u8> {
    let mut out = Message::default();
    out.octets(1, metric.name.as_bytes());
    out.octets(2, metric.help.as_bytes());
    out.octets(3, metric.unit.as_bytes());
    let is_sum = metric.bounds.is_empty();
    out.message(if is_sum { 7 } else { 9 }, |data| {
        for sample in samples {
            data.message(1, |point| {
                point.fixed64(2, since);
                point.fixed64(3, time);
                let named = metric.attributes.iter().zip(&sample.labels).filter(|(_, value)| !value.is_empty());
                let named = named.map(|(name, value)| (*name, Attribute::Text(value.to_string())));
                match &sample.value {
                    Value::Counter(number) => {
                        point.fixed64(6, *number);
                        named.for_each(|(name, value)| point.message(7, |out| attribute(name, &value, out)));
                    }
                    Value::Histogram { buckets, sum } => {
                        point.fixed64(4, buckets.iter().sum());
                        point.double(5, *sum);
                        point.packed(6, buckets.iter().copied());
                        point.packed(7, metric.bounds.iter().map(|bound| bound.to_bits()));
                        named.for_each(|(name, value)| point.message(9, |out| attribute(name, &value, out)));
                    }
                }
            });
        }
        data.varint(2, CUMULATIVE);
        if is_sum {
            // It never goes down.
            data.varint(3, 1);
        }
    });
    out.finish()
}

/// A `Metric` that is a `Gauge`.
pub fn gauge(name: &str, unit: &str, points: &[Point], time: u64) -> Vec<u8> {
    let mut out = Message::default();
    out.octets(1, name.as_bytes());
    out.octets(3, unit.as_bytes());
    out.message(5, |data| {
        for Point { attributes, number } in points {
            data.message(1, |point| {
                point.fixed64(3, time);
                point.fixed64(6, *number);
                for (name, value) in attributes {
                    point.message(7, |out| attribute(name, &Attribute::Text(value.clone()), out));
                }
            });
        }
    });
    out.finish()
}

/// A `Resource`.
pub fn resource<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Message::default();
    for (name, value) in attributes {
        out.message(1, |out| attribute(name, &Attribute::Text(value.to_owned()), out));
    }
    out.finish()
}

/// An `ExportTraceServiceRequest` of spans, an `ExportMetricsServiceRequest` of metrics, or an
/// `ExportLogsServiceRequest` of log records: they have one shape.
pub fn request(resource: &[u8], entries: &[Bytes]) -> Vec<u8> {
    let mut out = Message::default();
    out.message(1, |of_resource| {
        of_resource.octets(1, resource);
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.octets(1, b"kong-internal");
                scope.octets(2, b"0.1.0");
            });
            entries.iter().for_each(|entry| of_scope.octets(2, entry));
        });
    });
    out.finish()
}

/// A `KeyValue`.
fn attribute(name: &str, value: &Attribute, out: &mut Message) {
    out.octets(1, name.as_bytes());
    out.message(2, |out| any_value(value, out));
}

/// An `AnyValue`.
fn any_value(value: &Attribute, out: &mut Message) {
    match value {
        Attribute::Text(text) => out.octets(1, text.as_bytes()),
        Attribute::Bool(is_so) => out.varint(2, u64::from(*is_so)),
        Attribute::Integer(number) => out.varint(3, number.cast_unsigned()),
        Attribute::Number(number) => out.double(4, *number),
        Attribute::List(values) => out.message(5, |out| {
            values.iter().for_each(|value| out.message(1, |out| any_value(value, out)));
        }),
        Attribute::Map(pairs) => out.message(6, |out| {
            pairs.iter().for_each(|(name, value)| out.message(1, |out| attribute(name, value, out)));
        }),
    }
}

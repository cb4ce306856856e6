//! Spans and messages of the log as OTLP has them (opentelemetry-proto, `trace/v1/trace.proto` and
//! `logs/v1/logs.proto`). A batch is written around what is encoded already.

use super::protobuf::Message;
use sdk::{Attribute, Bytes, LogMessage, Span, TraceId};

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
    if span.failed {
        out.message(15, |status| status.varint(3, 2));
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
    out.varint(2, number);
    out.octets(3, word.as_bytes());
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
    out.fixed64(11, message.time);
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

/// An `ExportTraceServiceRequest` of spans, or an `ExportLogsServiceRequest` of log records: they have one shape.
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
    out.message(2, |out| match value {
        Attribute::Text(text) => out.octets(1, text.as_bytes()),
        Attribute::Integer(number) => out.varint(3, number.cast_unsigned()),
        Attribute::Number(number) => out.double(4, *number),
    });
}

//! Spans: what was timed, and what is said of it.

use super::SpanId;
use std::borrow::Cow;

/// Something that was timed.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub name: Cow<'static, str>,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub kind: SpanKind,
    /// In nanoseconds since 1970.
    pub start: u64,
    /// 0 as long as it lasts.
    pub end: u64,
    pub attributes: Vec<(Cow<'static, str>, Attribute)>,
    pub events: Vec<SpanEvent>,
    pub status: SpanStatus,
}

/// Something that has happened meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    pub name: String,
    /// In nanoseconds since 1970.
    pub time: u64,
    pub attributes: Vec<(Cow<'static, str>, Attribute)>,
}

/// What part a span has in a call, with the numbers of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// What has come of it, with the numbers of OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStatus {
    #[default]
    Unset = 0,
    Ok = 1,
    Error = 2,
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Text(String),
    Integer(i64),
    Number(f64),
    Bool(bool),
    List(Vec<Attribute>),
    Map(Vec<(String, Attribute)>),
}

impl Span {
    /// Says something of it, in the place of what was said under that name.
    pub fn set(&mut self, name: &str, value: Attribute) {
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((Cow::Owned(name.to_owned()), value)),
        }
    }
}

impl SpanKind {
    /// By its number.
    pub fn of(number: u64) -> SpanKind {
        match number {
            0 => SpanKind::Unspecified,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        }
    }
}

impl SpanStatus {
    /// By its number.
    pub fn of(number: u64) -> SpanStatus {
        match number {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        }
    }
}

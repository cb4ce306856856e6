//! Who a request belongs to in a distributed trace.

use std::fmt;

/// What header lines say of the trace of a request, or are to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceContext {
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub parent_id: Option<SpanId>,
    /// The span is the caller's and ours in one, as B3 and Jaeger have it.
    pub shares_span: bool,
    /// Whether spans are to be kept, where that has been decided.
    pub sampled: Option<bool>,
    /// The value of `X-B3-Flags`.
    pub b3_flags: Option<String>,
    pub w3c_flags: Option<u8>,
    /// It came in one line of B3.
    pub b3_single: bool,
    /// Names and values that travel with the trace (Jaeger, OpenTracing).
    pub baggage: Vec<(String, Vec<u8>)>,
}

/// The id of a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId {
    octets: [u8; 16],
    /// How many of them count.
    length: usize,
    /// How many there were in the lines that it came in.
    received: Option<usize>,
}

/// The id of a span.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// A new one of 8 or 16 octets.
    pub fn random(length: usize) -> TraceId {
        let mut octets = [0; 16];
        let length = length.min(octets.len());
        random(&mut octets[16 - length..]);
        TraceId { octets, length, received: None }
    }

    /// One that was received: shorter ones get zeros before them, of longer ones the end counts.
    pub fn received(octets: &[u8]) -> TraceId {
        TraceId { octets: last(octets), length: 16, received: Some(octets.len()) }
    }

    /// All of it.
    pub fn octets(&self) -> &[u8; 16] {
        &self.octets
    }

    /// As a number that spreads evenly.
    pub fn to_u64(&self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.octets[i]))
    }

    /// In one of these lengths: that in which it was received, else the first.
    pub(super) fn in_length(&self, allowed: &[usize]) -> &[u8] {
        let received = self.received.filter(|length| allowed.contains(length));
        let length = received.or(allowed.first().copied()).unwrap_or(16);
        &self.octets[16 - length.min(16)..]
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> SpanId {
        let mut octets = [0; 8];
        random(&mut octets);
        SpanId(octets)
    }

    /// One that was received, as [`TraceId::received`].
    pub fn received(octets: &[u8]) -> SpanId {
        SpanId(last(octets))
    }

    pub fn to_u64(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl fmt::Display for TraceId {
    /// In hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.octets[16 - self.length..], f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_hex(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

fn last<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let taken = &octets[octets.len().saturating_sub(N)..];
    out[N - taken.len()..].copy_from_slice(taken);
    out
}

/// Ids tell spans apart; nobody is kept from guessing them.
fn random(out: &mut [u8]) {
    fastrand::fill(out);
}

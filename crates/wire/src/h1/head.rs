//! Parsing heads, strictly: every line ends with CRLF, no folding, no white space before a colon, one meaning of
//! framing.
//!
//! A head is parsed line by line as it arrives; no byte is looked at twice, however slowly the peer sends. Own code
//! rather than a general parser, because the answer depends on what is wrong (400, 414, 494, 501, 505) and because
//! field lines are kept as offsets.

use crate::message::{Comparison, Fields, Framing, Known, Method, RequestHead, ResponseHead, Version, scan};
use memchr::memchr;
use std::fmt;

/// How much a peer may send in a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of the request line, and of each field line, without their ends.
    pub line: usize,
    /// Octets of the whole head.
    pub head: usize,
    /// How many field lines.
    pub fields: usize,
}

impl Limits {
    /// The largest head that is taken, as clients of HTTP/2 and HTTP/3 count it who keep to what they are told: with 32
    /// octets more for each line (RFC 9113, section 6.5.2; RFC 9114, section 4.2.2). They must not keep back what we
    /// would take.
    pub fn list_size(&self) -> u32 {
        u32::try_from(self.head.saturating_add(self.fields.saturating_mul(32))).unwrap_or(u32::MAX)
    }
}

/// Four buffers of 8 KiB, as nginx's `large_client_header_buffers`; a line has its end in there too.
impl Default for Limits {
    fn default() -> Limits {
        Limits { line: 8190, head: 32_768, fields: 1000 }
    }
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Not HTTP, or ambiguous: why. Answered with 400.
    Malformed(&'static str),
    /// The request line is too long: 414.
    TargetTooLong,
    /// A field line, their number or the head as a whole is too large: 400, as nginx's 494.
    TooLarge,
    /// A transfer coding other than `chunked`: 501.
    UnknownCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1: 505.
    UnknownVersion,
    /// A request without version (HTTP/0.9): the connection is closed without an answer.
    NoVersion,
}

/// What is wrong, for a log: `too large header`.
impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeadError::Malformed(why) => return write!(f, "invalid header: {why}"),
            HeadError::TargetTooLong => "too long URI",
            HeadError::TooLarge => "too large header",
            HeadError::UnknownCoding => "unknown \"Transfer-Encoding\"",
            HeadError::UnknownVersion => "invalid version of HTTP",
            HeadError::NoVersion => "no version of HTTP",
        })
    }
}

/// How far the parsing of a head has come; start a new one for each head.
#[derive(Debug, Default)]
pub struct HeadParser {
    /// Where the current line begins.
    line: usize,
    /// Up to where the current line has been looked at.
    seen: usize,
    /// Where the colon of the current field line is; 0 as long as it has not come.
    colon: usize,
    started: bool,
    count: usize,
    /// Where the first field line begins.
    fields: usize,
    comparison: Comparison,
}

/// Parses a request head at the beginning of `buf`. `Some(n)`: it is complete and `n` octets long.
/// `None`: call again with more octets behind the same ones.
pub fn parse_request(
    buf: &[u8],
    parser: &mut HeadParser,
    head: &mut RequestHead,
    limits: &Limits,
) -> Result<Option<usize>, HeadError> {
    let end = parser.lines(buf, limits, &mut head.fields, |line| match request_line(line) {
        Ok((method, target, version)) => {
            head.method = Method::new(method);
            head.version = version;
            head.target.clear();
            push_target(&mut head.target, target);
            Ok(())
        }
        Err(error) => Err(error),
    })?;
    let Some(end) = end else { return Ok(None) };
    parser.finish(&buf[..end], &mut head.fields);
    // Of the same lines in the same version the same holds.
    let under = head.version as u32;
    head.framing = match head.fields.known_framing(under) {
        Some(framing) => {
            to_origin_form(head)?;
            framing
        }
        None => {
            check_host(head)?;
            to_origin_form(head)?;
            let framing = request_framing(head)?;
            head.fields.remember_framing(under, framing);
            framing
        }
    };
    Ok(Some(end))
}

/// Parses a response head at the beginning of `buf`; otherwise as [`parse_request`]. `no_content`: the request was
/// HEAD.
pub fn parse_response(
    buf: &[u8],
    parser: &mut HeadParser,
    head: &mut ResponseHead,
    limits: &Limits,
    no_content: bool,
) -> Result<Option<usize>, HeadError> {
    let end = parser.lines(buf, limits, &mut head.fields, |line| {
        let (version, status, reason) = status_line(line)?;
        head.version = version;
        head.status = status;
        head.reason.clear();
        head.reason.extend_from_slice(reason);
        Ok(())
    })?;
    let Some(end) = end else { return Ok(None) };
    parser.finish(&buf[..end], &mut head.fields);
    let under = u32::from(head.status) << 1 | u32::from(no_content);
    head.framing = match head.fields.known_framing(under) {
        Some(framing) => framing,
        None => {
            let framing = response_framing(head, no_content)?;
            head.fields.remember_framing(under, framing);
            framing
        }
    };
    Ok(Some(end))
}

impl HeadParser {
    /// Goes through the lines that are complete; the offset behind the empty line when that has come.
    fn lines(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        fields: &mut Fields,
        mut first: impl FnMut(&[u8]) -> Result<(), HeadError>,
    ) -> Result<Option<usize>, HeadError> {
        while !self.started {
            let Some(line) = self.start_line(buf, limits)? else { return Ok(None) };
            // RFC 9112, section 2.2: an empty line before the request line is ignored; more than two are not.
            if line.is_empty() {
                if self.line > 4 {
                    return Err(HeadError::Malformed("empty lines instead of a start line"));
                }
                continue;
            }
            first(line)?;
            fields.clear();
            self.started = true;
            (self.fields, self.comparison) = (self.line, Comparison::new(limits.line));
        }
        self.field_lines(buf, limits, fields)
    }

    /// Has the list take over the octets of a whole head.
    fn finish(&self, head: &[u8], fields: &mut Fields) {
        fields.finish_load(head, self.fields, self.comparison);
    }

    /// The next line of whatever kind, without its CRLF, when it has come.
    fn start_line<'a>(&mut self, buf: &'a [u8], limits: &Limits) -> Result<Option<&'a [u8]>, HeadError> {
        let Some(at) = scan::find(b'\n', &buf[self.seen..]) else {
            let can_begin = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_' | b'\r');
            if !buf.get(self.line).is_none_or(can_begin) {
                return Err(HeadError::Malformed("no start line"));
            }
            return self.wait(buf, limits, HeadError::TargetTooLong).map(|()| None);
        };
        let newline = self.seen + at;
        if newline == self.line || buf[newline - 1] != b'\r' {
            return Err(HeadError::Malformed("a line does not end with CRLF"));
        }
        let line = &buf[self.line..newline - 1];
        if line.len() > limits.line {
            return Err(HeadError::TargetTooLong);
        }
        (self.line, self.seen) = (newline + 1, newline + 1);
        Ok(Some(line))
    }

    /// Takes the field lines that have come, up to the empty line; the offset behind that.
    fn field_lines(&mut self, buf: &[u8], limits: &Limits, fields: &mut Fields) -> Result<Option<usize>, HeadError> {
        let (mut start, mut seen, mut colon) = (self.line, self.seen, self.colon);
        loop {
            if seen == start {
                let (same, end) = fields.push_same(&mut self.comparison, buf, start);
                if same > 0 {
                    self.count += same;
                    (start, seen) = (end, end);
                    if self.count > limits.fields || end > limits.head {
                        return Err(HeadError::TooLarge);
                    }
                }
            }
            if colon == 0 {
                // The name ends where its octets do: checking it finds the colon.
                let end = seen + scan::name_length(&buf[seen..]);
                match buf.get(end) {
                    Some(b':') if end > start => (colon, seen) = (end, end + 1),
                    None => {
                        (self.line, self.seen, self.colon) = (start, end, 0);
                        return self.wait(buf, limits, HeadError::TooLarge).map(|()| None);
                    }
                    Some(b'\r') if end == start => {
                        return match buf.get(end + 1) {
                            None => {
                                (self.line, self.seen, self.colon) = (start, seen, 0);
                                self.wait(buf, limits, HeadError::TooLarge).map(|()| None)
                            }
                            Some(b'\n') if end + 1 >= limits.head => Err(HeadError::TooLarge),
                            Some(b'\n') => Ok(Some(end + 2)),
                            Some(_) => Err(HeadError::Malformed("a line does not end with CRLF")),
                        };
                    }
                    Some(_) => return Err(HeadError::Malformed("no valid field name before a colon")),
                }
            }
            let mut end = scan::value_end(buf, seen);
            while buf.get(end) == Some(&b'\t') {
                end = scan::value_end(buf, end + 1);
            }
            match buf.get(end..) {
                Some([b'\r', b'\n', ..]) => {}
                None | Some([] | [b'\r']) => {
                    (self.line, self.seen, self.colon) = (start, end, colon);
                    return self.wait(buf, limits, HeadError::TooLarge).map(|()| None);
                }
                Some(_) => {
                    return Err(HeadError::Malformed("a control character in a field value, or no CRLF after it"));
                }
            }
            if end - start > limits.line || end + 1 >= limits.head {
                return Err(HeadError::TooLarge);
            }
            self.count += 1;
            let name = &buf[start..colon];
            if self.count > limits.fields || name.len() > usize::from(u16::MAX) {
                return Err(HeadError::TooLarge);
            }
            let value = trim(&buf[..end], colon + 1);
            let next = end + 2;
            fields.push_raw(name, start, value, next);
            self.comparison.pass();
            (start, seen, colon) = (next, next, 0);
        }
    }

    /// More octets are needed: whether there is room for them.
    fn wait(&mut self, buf: &[u8], limits: &Limits, too_long: HeadError) -> Result<(), HeadError> {
        if !self.started {
            self.seen = buf.len();
        }
        // One more may be the CR of a line that just fits.
        if buf.len() - self.line > limits.line + 1 {
            return Err(too_long);
        }
        if buf.len() > limits.head { Err(HeadError::TooLarge) } else { Ok(()) }
    }
}

/// Where a value that begins at `from` and ends with the text stands without the blanks and tabs around it, and how
/// long it is. There are no other control characters in it.
#[inline]
fn trim(text: &[u8], mut from: usize) -> (usize, usize) {
    while let Some(b'\t' | b' ') = text.get(from) {
        from += 1;
    }
    let mut length = text.len() - from;
    while length > 0 && text[from + length - 1] <= b' ' {
        length -= 1;
    }
    (from, length)
}

fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), HeadError> {
    // Methods are short.
    let method_end = line.iter().position(|&b| b == b' ').ok_or(HeadError::Malformed("no request line"))?;
    let method = &line[..method_end];
    if !is_method(method) {
        return Err(HeadError::Malformed("no valid method"));
    }
    let rest = &line[method_end + 1..];
    let Some(target_end) = scan::find(b' ', rest) else {
        return Err(if rest.first() == Some(&b'/') {
            HeadError::NoVersion
        } else {
            HeadError::Malformed("no version")
        });
    };
    let target = &rest[..target_end];
    let version = match &rest[target_end + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        // RFC 9110, section 2.5: a higher minor version is understood as the highest that we know.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Version::Http11,
        other if is_version(other) => return Err(HeadError::UnknownVersion),
        _ => return Err(HeadError::Malformed("no valid version")),
    };
    // It has no blanks, for it ends at the first one.
    if target.is_empty() || scan::value_end(target, 0) < target.len() {
        return Err(HeadError::Malformed("no valid request target"));
    }
    Ok((method, target, version))
}

/// Whether this is a method, as nginx has it: upper case, with dash and underscore.
pub(crate) fn is_method(text: &[u8]) -> bool {
    (1..=32).contains(&text.len()) && text.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'))
}

fn is_version(text: &[u8]) -> bool {
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = text else { return false };
    major.is_ascii_digit() && minor.is_ascii_digit()
}

fn status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), HeadError> {
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        Some(other) if is_version(&other[..8]) => return Err(HeadError::UnknownVersion),
        _ => return Err(HeadError::Malformed("no status line")),
    };
    let digits =
        line.get(9..12).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(HeadError::Malformed("no valid status"))?;
    let status = digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
    let reason = match line.get(12) {
        None => &[][..],
        Some(b' ') => &line[13..],
        Some(_) => return Err(HeadError::Malformed("no valid status")),
    };
    if status < 100 || !Fields::is_valid_value(reason) {
        return Err(HeadError::Malformed("no valid status"));
    }
    Ok((version, status, reason))
}

/// Appends a request target without its fragment; octets that are not UTF-8 are escaped.
pub(crate) fn push_target(out: &mut String, target: &[u8]) {
    let target = scan::find(b'#', target).map_or(target, |at| &target[..at]);
    match std::str::from_utf8(target) {
        Ok(text) => out.push_str(text),
        Err(_) => {
            for &b in target {
                if b.is_ascii() {
                    out.push(char::from(b));
                } else {
                    out.push_str(&format!("%{b:02X}"));
                }
            }
        }
    }
}

/// Reduces `http://authority/path` to `/path`; the authority then takes the place of `Host` (RFC 9112, section 3.2.2).
fn to_origin_form(head: &mut RequestHead) -> Result<(), HeadError> {
    if head.target.starts_with('/') || head.target == "*" {
        return Ok(());
    }
    let rest = head
        .target
        .split_once("://")
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    let Some((_, rest)) = rest else {
        return Err(HeadError::Malformed("no valid request target"));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.to_owned();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if !is_host(authority.as_bytes()) {
        return Err(HeadError::Malformed("no valid host in the request target"));
    }
    head.fields.set_known(Known::Host, authority.as_bytes());
    head.target = path;
    Ok(())
}

/// Whether there is one valid `Host`, or none where the version does without.
pub(crate) fn check_host(head: &RequestHead) -> Result<(), HeadError> {
    let mut hosts = head.fields.known_all(Known::Host);
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::Malformed("several Host lines"));
    }
    match first {
        None if head.version >= Version::Http11 => Err(HeadError::Malformed("no Host line")),
        None => Ok(()),
        Some(host) if is_host(host) => Ok(()),
        Some(_) => Err(HeadError::Malformed("no valid Host")),
    }
}

/// Whether a `Host` value can be one: a name or address with an optional port, nothing that would change a URL's
/// meaning.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', ..] => match memchr(b']', host) {
            Some(end) => host.split_at(end + 1),
            None => return false,
        },
        _ => host.split_at(host.iter().position(|&b| b == b':').unwrap_or(host.len())),
    };
    let name_ok = !name.is_empty() && name.iter().all(|&b| HOST[usize::from(b)]);
    name_ok && (port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit) && port.len() <= 6))
}

/// The octets that a host may have.
const HOST: [bool; 256] = {
    let mut table = [true; 256];
    let mut b = 0;
    while b <= b' ' as usize {
        table[b] = false;
        b += 1;
    }
    let others = b"/\\@?#,\"<>\x7f";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = false;
        i += 1;
    }
    table
};

fn request_framing(head: &RequestHead) -> Result<Framing, HeadError> {
    let coding = transfer_coding(&head.fields)?;
    let length = content_length(&head.fields)?;
    match (coding, length) {
        (true, Some(_)) => Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
        (true, None) if head.version < Version::Http11 => Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0")),
        (true, None) => Ok(Framing::Delimited),
        (false, None) => Ok(Framing::Empty),
        (false, Some(n)) => Ok(Framing::Length(n)),
    }
}

fn response_framing(head: &ResponseHead, no_content: bool) -> Result<Framing, HeadError> {
    let coding = transfer_coding(&head.fields)?;
    let length = content_length(&head.fields)?;
    if coding && length.is_some() {
        return Err(HeadError::Malformed("both Content-Length and Transfer-Encoding"));
    }
    if no_content || head.status < 200 || matches!(head.status, 204 | 304) {
        return Ok(Framing::Empty);
    }
    Ok(match (coding, length) {
        (true, _) => Framing::Delimited,
        (_, Some(n)) => Framing::Length(n),
        (_, None) => Framing::UntilClose,
    })
}

/// Whether the content is chunked.
fn transfer_coding(fields: &Fields) -> Result<bool, HeadError> {
    let mut lines = fields.known_all(Known::TransferEncoding);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), None) => Err(HeadError::UnknownCoding),
        (Some(_), Some(_)) => Err(HeadError::Malformed("several Transfer-Encoding lines")),
    }
}

/// The length that `Content-Length` says, as plain digits.
pub fn content_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut lines = fields.known_all(Known::ContentLength);
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(HeadError::Malformed("several Content-Length lines"));
    }
    // 18 digits stay below 2^63, beyond which arithmetic elsewhere could overflow.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Malformed("no valid Content-Length"));
    }
    Ok(Some(value.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'))))
}

#[cfg(test)]
mod tests;

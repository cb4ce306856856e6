//! Heads whose first lines are pseudo-headers, as HTTP/2 and HTTP/3 have them, and those of every version.

use crate::h1::{self, HeadError, check_host, content_length, is_method};
use crate::message::{Fields, Framing, Known, Method, RequestHead, Version};

/// Octets that most names have room in.
const NAME: usize = 64;

/// A request's head as far as it was read.
pub(crate) struct Reading<'a> {
    head: &'a mut RequestHead,
    limits: &'a h1::Limits,
    method: bool,
    scheme: bool,
    path: bool,
    authority: bool,
    /// `Host` beside it.
    host: bool,
    protocol: Option<Vec<u8>>,
    /// Crumbs of cookies, which are one line elsewhere (RFC 9113, section 8.2.3; RFC 9114, section 4.2.1).
    cookies: Vec<u8>,
    /// Lines that are no pseudo-headers.
    fields: usize,
    /// Octets of all names and values. As in nginx, nothing is added for each line: their number has a limit of its
    /// own, and what may come over HTTP/1.1 may come here.
    size: usize,
    fault: Option<HeadError>,
}

impl Reading<'_> {
    /// Of nothing so far, into `head`.
    pub fn begin<'a>(head: &'a mut RequestHead, version: Version, limits: &'a h1::Limits) -> Reading<'a> {
        head.version = version;
        head.target.clear();
        head.framing = Framing::Delimited;
        head.fields.clear();
        Reading {
            head,
            limits,
            method: false,
            scheme: false,
            path: false,
            authority: false,
            host: false,
            protocol: None,
            cookies: Vec::new(),
            fields: 0,
            size: 0,
            fault: None,
        }
    }

    /// The next line.
    pub fn line(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len();
        if self.fault.is_none() && self.size > self.limits.head {
            self.fault = Some(HeadError::TooLarge);
        }
        if self.fault.is_none() {
            self.fault = match name.split_first() {
                Some((b':', name)) => self.pseudo_header(name, value),
                _ => self.field(name, value),
            }
            .err();
        }
    }

    /// RFC 9113, section 8.3: each of them once, and before all others.
    fn pseudo_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if self.fields > 0 {
            return Err(HeadError::Malformed("a pseudo-header behind other lines"));
        }
        let repeated = match name {
            b"method" => {
                if !is_method(value) {
                    return Err(HeadError::Malformed("no valid method"));
                }
                self.head.method = Method::new(value);
                std::mem::replace(&mut self.method, true)
            }
            b"path" => {
                if value.len() > self.limits.line {
                    return Err(HeadError::TargetTooLong);
                }
                self.head.target.clear();
                push_path(&mut self.head.target, value)?;
                std::mem::replace(&mut self.path, true)
            }
            b"scheme" => {
                if !matches!(value, b"https" | b"http") {
                    return Err(HeadError::Malformed("no scheme of HTTP"));
                }
                std::mem::replace(&mut self.scheme, true)
            }
            b"authority" => {
                self.head.fields.append_known(Known::Host, value);
                std::mem::replace(&mut self.authority, true)
            }
            b"protocol" => self.protocol.replace(value.to_vec()).is_some(),
            _ => return Err(HeadError::Malformed("an unknown pseudo-header")),
        };
        if repeated { Err(HeadError::Malformed("a pseudo-header that is repeated")) } else { Ok(()) }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        self.fields += 1;
        if name.len() + value.len() > self.limits.line || self.fields > self.limits.fields {
            return Err(HeadError::TooLarge);
        }
        let (name, value) = checked(name, value)?;
        match name {
            b"cookie" => {
                if !self.cookies.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(value);
            }
            // They must not differ (RFC 9113, section 8.3.1).
            b"host" if self.authority => {
                let differs = self.head.fields.known(Known::Host) != Some(value);
                if differs || std::mem::replace(&mut self.host, true) {
                    return Err(HeadError::Malformed("Host and :authority differ, or there are several"));
                }
            }
            name => self.head.fields.append_octets(name, value),
        }
        Ok(())
    }

    /// Whether that was a head that can be taken. A request for a tunnel of WebSocket (RFC 8441, RFC 9220) becomes the
    /// one that asks for it in HTTP/1.1.
    pub fn finish(self) -> Result<(), HeadError> {
        if let Some(error) = self.fault {
            return Err(error);
        }
        let head = self.head;
        let connect = head.method.as_bytes() == b"CONNECT";
        let tunnel = connect && self.protocol.as_deref() == Some(b"websocket");
        if !self.method {
            return Err(HeadError::Malformed("no method"));
        }
        if connect && self.protocol.is_none() {
            // RFC 9113, section 8.5: it has neither.
            if self.path || self.scheme {
                return Err(HeadError::Malformed("CONNECT with a path or a scheme"));
            }
            head.target.push('*');
        } else if !self.path || !self.scheme || self.protocol.is_some() != tunnel {
            return Err(HeadError::Malformed("a pseudo-header is missing, or of an extension that was not offered"));
        } else if head.target == "*" && head.method.as_bytes() != b"OPTIONS" {
            return Err(HeadError::Malformed("no valid path"));
        }
        if !self.cookies.is_empty() {
            head.fields.append_known(Known::Cookie, &self.cookies);
        }
        check_host(head)?;
        if tunnel {
            head.method = Method::new(b"GET");
            head.framing = Framing::Empty;
            head.fields.remove_known(Known::ContentLength);
            head.fields.append_known(Known::Upgrade, b"websocket");
            return Ok(());
        }
        if let Some(length) = content_length(&head.fields)? {
            head.framing = Framing::Length(length);
        }
        Ok(())
    }
}

/// Appends a path with its query, as HTTP/1.1 would have it: without white space and controls.
fn push_path(target: &mut String, path: &[u8]) -> Result<(), HeadError> {
    if path != b"*" && path.first() != Some(&b'/') || path.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return Err(HeadError::Malformed("no valid path"));
    }
    h1::push_target(target, path);
    Ok(())
}

/// Takes a line of trailers into `fields`, unless it is one that may not come late.
pub(crate) fn take_trailer(fields: &mut Fields, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    let (name, value) = checked(name, value)?;
    if h1::may_trail(name) {
        fields.append_octets(name, value);
    }
    Ok(())
}

/// A line that may stand in a section: its name in lower case, and not about a connection of HTTP/1.1 (RFC 9113,
/// section 8.2). Blanks around the value are no part of it, as in HTTP/1.1.
fn checked<'a>(name: &'a [u8], value: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), HeadError> {
    if !Fields::is_valid_name(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err(HeadError::Malformed("no valid field name"));
    }
    let value = without_blanks(value);
    if !Fields::is_valid_value(value) {
        return Err(HeadError::Malformed("no valid field value"));
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(HeadError::Malformed("a line about a connection of HTTP/1.1"))
        }
        b"te" if value != b"trailers" => Err(HeadError::Malformed("te other than trailers")),
        name => Ok((name, value)),
    }
}

/// A value without the blanks around it.
fn without_blanks(value: &[u8]) -> &[u8] {
    let is_visible = |b: &u8| !matches!(b, b' ' | b'\t');
    // Hardly any value has some.
    if value.first().is_some_and(is_visible) && value.last().is_some_and(is_visible) {
        return value;
    }
    let Some(first) = value.iter().position(is_visible) else { return &[] };
    let last = value.iter().rposition(is_visible).unwrap_or(first);
    &value[first..=last]
}

/// The lines of a head or of trailers, but those that concern a connection of HTTP/1.1: their names in lower case.
pub(crate) fn lines(fields: &Fields, mut write: impl FnMut(&[u8], &[u8])) {
    // Memory for one name after the other.
    let mut lowered = Vec::new();
    for (known, name, value) in fields.iter_octets() {
        if matches!(
            known,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Te
        ) {
            continue;
        }
        if name.iter().any(u8::is_ascii_uppercase) {
            lowered.clear();
            lowered.reserve(NAME);
            lowered.extend_from_slice(name);
            lowered.make_ascii_lowercase();
            write(&lowered, value);
        } else {
            write(name, value);
        }
    }
}

//! Heads of requests and responses.

use super::field_value::list;
use super::{Fields, Known};
use smallvec::SmallVec;

/// A request method (RFC 9110, section 9): a token, kept as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Method(SmallVec<[u8; 12]>);

impl Method {
    /// A method from its bytes; the codec has checked that they are a token.
    pub fn new(text: &[u8]) -> Method {
        Method(SmallVec::from_slice(text))
    }

    /// The method as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The method as octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether sending the request twice has the effect of sending it once (RFC 9110, section 9.2.2),
    /// so that it may be tried again after it may have reached an upstream. As nginx, this leaves out
    /// POST, LOCK and PATCH and lets every other method through.
    pub fn is_retriable(&self) -> bool {
        !matches!(&self.0[..], b"POST" | b"LOCK" | b"PATCH" | b"CONNECT")
    }

    /// Whether it is HEAD, whose responses have no content.
    pub fn is_head(&self) -> bool {
        &self.0[..] == b"HEAD"
    }
}

impl Default for Method {
    fn default() -> Method {
        Method::new(b"GET")
    }
}

/// The protocol version of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
    Http3,
}

impl Version {
    /// The number as request lines have it, with one digit behind the point.
    pub fn in_full(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2.0",
            Version::Http3 => "3.0",
        }
    }

    /// As `Via` writes it: `1.0`, `1.1`, `2`, `3`.
    pub fn number(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
            Version::Http3 => "3",
        }
    }
}

/// How long the content of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Framing {
    /// There is none, and nothing says how long it is: a request without `Content-Length`, a response that cannot have
    /// any (to HEAD, 1xx, 204, 304).
    #[default]
    Empty,
    /// That many octets, perhaps none.
    Length(u64),
    /// Delimited by the protocol: `chunked` in HTTP/1.1, the end of the stream in HTTP/2 and HTTP/3.
    Delimited,
    /// Up to the end of the connection (responses of HTTP/1 only).
    UntilClose,
}

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    /// The request target as the client sent it, in origin form (`/path?query`) or `*`. Absolute form is
    /// reduced to origin form by the codec, which then lets its authority replace `Host`.
    pub target: String,
    pub version: Version,
    pub fields: Fields,
    pub framing: Framing,
}

impl RequestHead {
    /// The target up to the `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// What follows the `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Whether its sender lets the connection persist.
    pub fn persists(&self) -> bool {
        persists(self.version, &self.fields)
    }
}

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as it came; empty: the usual one for the status.
    pub reason: SmallVec<[u8; 24]>,
    pub version: Version,
    pub fields: Fields,
    pub framing: Framing,
}

impl ResponseHead {
    /// Makes `101 Switching Protocols` the head that opens a tunnel on a stream (RFC 8441, section 5).
    pub fn open_tunnel(&mut self) {
        self.status = 200;
        self.fields.remove_known(Known::Upgrade);
        self.fields.remove("Sec-WebSocket-Accept");
        self.framing = Framing::Delimited;
    }

    /// Whether its sender lets the connection persist.
    pub fn persists(&self) -> bool {
        persists(self.version, &self.fields)
    }
}

/// RFC 9112, section 9.3.
fn persists(version: Version, fields: &Fields) -> bool {
    let mut persists = version >= Version::Http11;
    for options in fields.known_all(Known::Connection) {
        // What most say need not be taken apart.
        if options == b"keep-alive" || options.eq_ignore_ascii_case(b"keep-alive") {
            persists = true;
            continue;
        }
        for option in list(options) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            persists |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    persists
}

//! Frames of HTTP/2 as a test makes and sees them.

use blackbox::{Node, PATIENCE};
use std::io::{self, Read, Write};
use std::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A client that sends frames as a test makes them.
pub struct Raw(pub TcpStream);

/// A frame that has come.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Raw {
    /// A connection on which the client has said what it has to say first.
    pub fn open(node: &Node) -> Raw {
        let mut stream = TcpStream::connect(node.proxy()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
        Raw(stream)
    }

    /// The next frame that comes.
    pub fn next(&mut self) -> io::Result<Frame> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Ok(Frame { kind: header[3], flags: header[4], stream, payload })
    }
}

impl Frame {
    /// Whether it ends its stream.
    pub fn ends(&self) -> bool {
        self.flags & END_STREAM > 0
    }

    /// The number that it begins with.
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// The value of a setting.
    pub fn setting(&self, id: u16) -> Option<u32> {
        let settings = self.payload.chunks_exact(6).filter(|_| self.kind == SETTINGS);
        let mut values = settings.filter(|setting| setting[..2] == id.to_be_bytes());
        values.next_back().map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of these lines, all of them literals.
pub fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name, value] {
            integer(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// A length of seven bits and more.
fn integer(out: &mut Vec<u8>, value: usize) {
    if value < 127 {
        return out.push(u8::try_from(value).unwrap());
    }
    out.push(127);
    let mut left = value - 127;
    while left >= 128 {
        out.push(u8::try_from(left % 128).unwrap() | 0x80);
        left /= 128;
    }
    out.push(u8::try_from(left).unwrap());
}

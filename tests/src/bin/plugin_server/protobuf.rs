//! Protocol Buffers behind their length, as the kit for Go speaks it.

use super::{Kong, act, garble, note, start};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex};

static INSTANCES: LazyLock<Mutex<HashMap<i64, String>>> = LazyLock::new(Mutex::default);

/// Numbers of fields.
const START: u64 = 33;
const CLOSE: u64 = 35;

/// A field of a message: a number, or octets.
enum Field {
    Number(u64),
    Octets(Vec<u8>),
}

/// Answers calls until the connection ends, or an instance is asked for that there is not.
pub fn serve(mut stream: UnixStream, place: &str) -> io::Result<()> {
    loop {
        let call = fields(&frame(&mut stream)?);
        let mut answer =
            call.iter().find(|(number, _)| *number == 1).map_or(Vec::new(), |(_, sequence)| match sequence {
                Field::Number(sequence) => number(1, *sequence),
                Field::Octets(_) => Vec::new(),
            });
        let (command, content) = call.iter().find(|(number, _)| *number >= START).expect("a command");
        let Field::Octets(content) = content else { panic!("a command is a message") };
        let content = fields(content);
        match *command {
            START => {
                let (id, greeting) = start(place, &text(&content, 2));
                INSTANCES.lock().expect("no panic").insert(id + 1, greeting);
                answer.extend(octets(33, &number(2, (id + 1).cast_unsigned())));
            }
            CLOSE => {
                let id = integer(&content, 1);
                note(place, &format!("close {}", INSTANCES.lock().expect("no panic").remove(&id).is_some()));
            }
            _ => {
                let known = INSTANCES.lock().expect("no panic").get(&integer(&content, 1)).cloned();
                let Some(greeting) = known else { return Ok(()) };
                // Who has answered the client is cut off.
                if act(place, &text(&content, 2), &greeting, &mut Frames(&mut stream))? {
                    send(&mut stream, b"")?;
                }
            }
        }
        send(&mut stream, &answer)?;
    }
}

/// An event: names, arguments and results one after the other.
struct Frames<'s>(&'s mut UnixStream);

impl Kong for Frames<'_> {
    fn call(&mut self, name: &str, arguments: &[Json]) -> io::Result<Json> {
        send(self.0, name.as_bytes())?;
        let message = match arguments {
            [Json::String(host), Json::Number(port)] => {
                [octets(1, host.as_bytes()), number(2, port.as_u64().unwrap_or_default())].concat()
            }
            [Json::String(name), value] => [octets(1, name.as_bytes()), octets(2, &value_of(value))].concat(),
            [Json::String(text)] => octets(1, text.as_bytes()),
            [Json::Number(status)] => number(1, status.as_u64().unwrap_or_default()),
            _ => Vec::new(),
        };
        send(self.0, &message)?;
        let result = fields(&frame(self.0)?);
        Ok(match result.into_iter().next() {
            Some((_, Field::Number(number))) => Json::from(number),
            // What is kept is a value, whose text has another number.
            Some((_, Field::Octets(octets))) => Json::from(String::from_utf8_lossy(&octets)),
            None => Json::Null,
        })
    }

    fn exit(&mut self, status: u16, body: &str, headers: &Json) -> io::Result<()> {
        let lines =
            headers.as_object().into_iter().flatten().flat_map(|(name, value)| {
                octets(1, &[octets(1, name.as_bytes()), octets(2, &value_of(value))].concat())
            });
        let lines: Vec<u8> = lines.collect();
        send(self.0, b"kong.response.exit")?;
        send(self.0, &[number(1, status.into()), octets(2, body.as_bytes()), octets(3, &lines)].concat())
    }

    fn garble(&mut self) -> io::Result<()> {
        garble(self.0)
    }
}

/// A text as `google.protobuf.Value`.
fn value_of(value: &Json) -> Vec<u8> {
    octets(3, value.as_str().unwrap_or_default().as_bytes())
}

fn frame(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn send(stream: &mut UnixStream, octets: &[u8]) -> io::Result<()> {
    let length = u32::try_from(octets.len()).expect("a small message");
    stream.write_all(&[&length.to_le_bytes()[..], octets].concat())
}

fn fields(mut message: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            2 => {
                let length = usize::try_from(varint(&mut message)).expect("a small field");
                let (octets, rest) = message.split_at(length);
                message = rest;
                Field::Octets(octets.to_vec())
            }
            other => panic!("no field of kind {other} is expected"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = message.split_first().expect("a whole number");
        *message = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    number
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, field << 3);
    put_varint(&mut out, value);
    out
}

fn octets(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, field << 3 | 2);
    put_varint(&mut out, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn text(message: &[(u64, Field)], number: u64) -> String {
    match message.iter().find(|(own, _)| *own == number) {
        Some((_, Field::Octets(octets))) => String::from_utf8(octets.clone()).expect("text"),
        _ => String::new(),
    }
}

fn integer(message: &[(u64, Field)], number: u64) -> i64 {
    match message.iter().find(|(own, _)| *own == number) {
        Some((_, Field::Number(value))) => value.cast_signed(),
        _ => 0,
    }
}

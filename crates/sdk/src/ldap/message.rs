//! As much of LDAP (RFC 4511) as it takes to check passwords and to look up who has them.

use crate::Connection;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a server says of an operation.
pub type ResultCode = u32;

pub const SUCCESS: ResultCode = 0;

/// The operations of answers.
pub const BIND_RESPONSE: u8 = 0x61;
pub const EXTENDED_RESPONSE: u8 = 0x78;
const ENTRY: u8 = 0x64;
const REFERENCE: u8 = 0x73;
const SEARCH_DONE: u8 = 0x65;

/// An entry, with the attributes that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub dn: String,
    pub attributes: Vec<(String, Vec<String>)>,
}

/// Where entries are looked for, and which.
#[derive(Clone, Debug)]
pub enum Search<'s> {
    /// Below an entry, by the value of an attribute.
    Below { base: &'s str, attribute: &'s str, value: &'s str },
    /// The entry itself.
    Itself(&'s str),
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
/// Longer answers are none to what is asked here.
const LONGEST: usize = 1 << 20;
/// As many entries are wanted: with two, it is not known who is meant.
const MOST_ENTRIES: u8 = 2;

/// Asks whether that is the password of an entry.
pub fn bind(dn: &str, password: &[u8]) -> Vec<u8> {
    const BIND_REQUEST: u8 = 0x60;
    const SIMPLE: u8 = 0x80;
    let version = element(INTEGER, &[3]);
    message(BIND_REQUEST, &[version, element(OCTETS, dn.as_bytes()), element(SIMPLE, password)].concat())
}

/// Asks to go on with TLS.
pub fn start_tls() -> Vec<u8> {
    const EXTENDED_REQUEST: u8 = 0x77;
    const NAME: u8 = 0x80;
    message(EXTENDED_REQUEST, &element(NAME, b"1.3.6.1.4.1.1466.20037"))
}

/// Asks for entries with one of their attributes.
pub fn search(search: &Search<'_>, attribute: &str) -> Vec<u8> {
    const SEARCH_REQUEST: u8 = 0x63;
    const EQUALITY: u8 = 0xa3;
    const PRESENT: u8 = 0x87;
    let (base, scope, filter) = match search {
        Search::Below { base, attribute, value } => {
            let parts = [element(OCTETS, attribute.as_bytes()), element(OCTETS, value.as_bytes())];
            (base, 2, element(EQUALITY, &parts.concat()))
        }
        Search::Itself(dn) => (dn, 0, element(PRESENT, b"objectClass")),
    };
    let parts = [
        element(OCTETS, base.as_bytes()),
        element(ENUMERATED, &[scope]),
        element(ENUMERATED, &[0]),
        element(INTEGER, &[MOST_ENTRIES]),
        element(INTEGER, &[0]),
        element(BOOLEAN, &[0]),
        filter,
        element(SEQUENCE, &element(OCTETS, attribute.as_bytes())),
    ];
    message(SEARCH_REQUEST, &parts.concat())
}

/// Sends a request, and reads what becomes of it.
pub async fn ask(connection: &mut Connection, request: &[u8], operation: u8) -> io::Result<ResultCode> {
    send(connection, request).await?;
    let content = read(connection).await?;
    let (tag, answer) = operation_of(&content).ok_or_else(unexpected)?;
    result(answer).filter(|_| tag == operation).ok_or_else(unexpected)
}

/// Sends a search, and reads what it finds.
pub async fn find(connection: &mut Connection, request: &[u8]) -> io::Result<(ResultCode, Vec<Entry>)> {
    send(connection, request).await?;
    let mut entries = Vec::new();
    loop {
        let content = read(connection).await?;
        match operation_of(&content).ok_or_else(unexpected)? {
            (ENTRY, answer) if entries.len() < usize::from(MOST_ENTRIES) => {
                entries.push(entry(answer).ok_or_else(unexpected)?);
            }
            (REFERENCE, _) => {}
            (SEARCH_DONE, answer) => return Ok((result(answer).ok_or_else(unexpected)?, entries)),
            _ => return Err(unexpected()),
        }
    }
}

async fn send(connection: &mut Connection, request: &[u8]) -> io::Result<()> {
    connection.write_all(request).await?;
    connection.flush().await
}

/// The content of the next message.
async fn read(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let head = [connection.read_u8().await?, connection.read_u8().await?];
    let mut length = usize::from(head[1]);
    if length >= 0x80 {
        let octets = length - 0x80;
        length = 0;
        for _ in 0..octets {
            length = (length << 8) | usize::from(connection.read_u8().await?);
            if length > LONGEST {
                return Err(invalid("it is too long"));
            }
        }
    }
    if head[0] != SEQUENCE {
        return Err(invalid("it is no message"));
    }
    let mut content = vec![0; length];
    connection.read_exact(&mut content).await?;
    Ok(content)
}

/// What a message is about, and what it says.
fn operation_of(content: &[u8]) -> Option<(u8, &[u8])> {
    let (INTEGER, _, rest) = take(content)? else { return None };
    let (tag, answer, _) = take(rest)?;
    Some((tag, answer))
}

fn result(answer: &[u8]) -> Option<ResultCode> {
    let (ENUMERATED, code, _) = take(answer)? else { return None };
    (code.len() <= 4).then(|| code.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)))
}

/// Values that are no text are left out.
fn entry(answer: &[u8]) -> Option<Entry> {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
    let (OCTETS, dn, rest) = take(answer)? else { return None };
    let (SEQUENCE, mut list, _) = take(rest)? else { return None };
    let mut entry = Entry { dn: text(dn)?, attributes: Vec::new() };
    while !list.is_empty() {
        let (SEQUENCE, attribute, rest) = take(list)? else { return None };
        list = rest;
        let (OCTETS, name, after) = take(attribute)? else { return None };
        let (SET, mut set, _) = take(after)? else { return None };
        let mut values = Vec::new();
        while !set.is_empty() {
            let (OCTETS, value, rest) = take(set)? else { return None };
            set = rest;
            values.extend(text(value));
        }
        entry.attributes.push((text(name)?, values));
    }
    Some(entry)
}

/// The first element: its tag, its content, and what follows.
fn take(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], mut rest) = octets.split_first_chunk::<2>()?;
    let mut length = usize::from(length);
    if length >= 0x80 {
        let (octets, after) = rest.split_at_checked(length - 0x80).filter(|(octets, _)| octets.len() <= 4)?;
        length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn message(operation: u8, content: &[u8]) -> Vec<u8> {
    // One request at a time, so that all may have the same number.
    element(SEQUENCE, &[element(INTEGER, &[1]), element(operation, content)].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => octets.push(length),
        _ => {
            let length = (content.len() as u32).to_be_bytes();
            octets.push(0x84);
            octets.extend_from_slice(&length);
        }
    }
    octets.extend_from_slice(content);
    octets
}

fn unexpected() -> io::Error {
    invalid("it is not what was asked for")
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer of the LDAP server cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_encoded() {
        let short = bind("cn=a", b"p");
        assert_eq!(short, b"\x30\x11\x02\x01\x01\x60\x0c\x02\x01\x03\x04\x04cn=a\x80\x01p");
        let long = bind(&"x".repeat(300), b"p");
        let (tag, content, rest) = take(&long).unwrap();
        assert_eq!(tag, SEQUENCE);
        assert!(rest.is_empty());
        assert!(content.ends_with(b"\x80\x01p"));
        let below = search(&Search::Below { base: "dc=t", attribute: "uid", value: "a*" }, "memberOf");
        let filter = b"\xa3\x09\x04\x03uid\x04\x02a*";
        assert!(below.windows(filter.len()).any(|window| window == filter), "{below:?}");
    }

    #[test]
    fn results_are_read() {
        let of = |content: &[u8]| operation_of(content).and_then(|(tag, answer)| Some((tag, result(answer)?)));
        let answer = b"\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
        assert_eq!(of(answer), Some((BIND_RESPONSE, 49)));
        let long_form = b"\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(of(long_form), Some((BIND_RESPONSE, SUCCESS)));
        for cut in 0..answer.len() - 4 {
            assert_eq!(of(&answer[..cut]), None);
        }
    }

    #[test]
    fn entries_are_read() {
        let answer = b"\x04\x05cn=ad\x30\x13\x30\x11\x04\x01m\x31\x0c\x04\x04cn=a\x04\x04cn=b";
        let attributes = vec![("m".to_owned(), vec!["cn=a".to_owned(), "cn=b".to_owned()])];
        assert_eq!(entry(answer), Some(Entry { dn: "cn=ad".to_owned(), attributes }));
        for cut in 0..answer.len() {
            assert_eq!(entry(&answer[..cut]), None);
        }
    }
}

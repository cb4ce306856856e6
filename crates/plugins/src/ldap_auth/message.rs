//! As much of LDAP (RFC 4511) as it takes to check a password.

use sdk::Connection;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a server says of an operation.
pub type ResultCode = u32;

pub const SUCCESS: ResultCode = 0;

/// The operations of answers.
pub const BIND_RESPONSE: u8 = 0x61;
pub const EXTENDED_RESPONSE: u8 = 0x78;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
/// Longer answers are none to what is asked here.
const LONGEST: usize = 64 << 10;

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

/// Sends a request, and reads what becomes of it.
pub async fn ask(connection: &mut Connection, request: &[u8], operation: u8) -> io::Result<ResultCode> {
    connection.write_all(request).await?;
    connection.flush().await?;
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
    let mut content = vec![0; length];
    connection.read_exact(&mut content).await?;
    if head[0] != SEQUENCE {
        return Err(invalid("it is no message"));
    }
    result(&content, operation).ok_or_else(|| invalid("it is not what was asked for"))
}

/// The result in the answer to an operation.
fn result(content: &[u8], operation: u8) -> Option<ResultCode> {
    let (INTEGER, _, rest) = take(content)? else { return None };
    let (tag, answer, _) = take(rest)?;
    let (ENUMERATED, code, _) = take(answer).filter(|_| tag == operation)? else { return None };
    (code.len() <= 4).then(|| code.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)))
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
    }

    #[test]
    fn results_are_read() {
        let answer = b"\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
        assert_eq!(result(answer, BIND_RESPONSE), Some(49));
        assert_eq!(result(answer, EXTENDED_RESPONSE), None);
        let long_form = b"\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(result(long_form, BIND_RESPONSE), Some(SUCCESS));
        for cut in 0..answer.len() - 4 {
            assert_eq!(result(&answer[..cut], BIND_RESPONSE), None);
        }
    }
}

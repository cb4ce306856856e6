//! As much of DER as questions about certificates take.

/// An element: its tag, its content, and all of it as it stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub whole: &'a [u8],
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// What is left of a text of elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element; `None`: there is none, or it is broken.
    pub fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=127 => (usize::from(first), rest),
            129..=132 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 127))?;
                (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Element { tag, content, whole })
    }

    /// The next element where it has that tag.
    pub fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }
}

impl<'a> Element<'a> {
    /// What stands in it.
    pub fn inside(&self) -> Reader<'a> {
        Reader(self.content)
    }
}

/// An element of that tag, made of these parts.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 128 => out.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
            out.push(0x80 | (digits.len() - zeros) as u8);
            out.extend_from_slice(&digits[zeros..]);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let text = write(OCTET_STRING, &[&content, b"x"]);
            let element = Reader(&text).next().unwrap();
            assert_eq!(element.tag, OCTET_STRING);
            assert_eq!(element.content, [&content[..], b"x"].concat());
            assert_eq!(element.whole, text);
            assert!(Reader(&text[..text.len() - 1]).next().is_none(), "{length}");
        }
        assert!(Reader(&[SEQUENCE, 0x84, 255, 255, 255, 255, 0]).next().is_none());
        assert!(Reader(&[SEQUENCE, 0x80]).next().is_none());
        let mut reader = Reader(&[INTEGER, 1, 5]);
        assert!(reader.take(SEQUENCE).is_none());
        assert!(reader.take(INTEGER).is_some());
    }
}

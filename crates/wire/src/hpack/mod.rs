//! Field lines as HTTP/2 writes them (HPACK, RFC 7541). What we write names no table of lines but the one that
//! everybody knows, as nginx does: so a response costs neither memory nor a search.

pub(crate) mod huffman;
mod literals;
mod static_table;

pub(crate) use literals::{Fault, integer, push_integer, push_string, string};

use static_table::TABLE;
use std::collections::VecDeque;

/// Octets of the table of lines that a client may fill (RFC 9113, section 6.5.2: the default).
const MAX_TABLE: usize = 4096;
/// What each line counts for beside its octets (RFC 7541, section 4.1).
const LINE: usize = 32;
/// Octets of a name or a value: more than any block has room for.
const MAX_STRING: usize = 1 << 24;

/// What a client's blocks refer to: lines that it has sent before.
pub(crate) struct Decoder {
    /// The latest first.
    lines: VecDeque<Line>,
    /// Of all lines, as the protocol counts them.
    size: usize,
    /// What the client allows itself.
    most: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

struct Line {
    /// The name and then the value.
    octets: Box<[u8]>,
    name: usize,
}

impl Line {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.octets.split_at(self.name)
    }

    fn size(&self) -> usize {
        self.octets.len() + LINE
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { lines: VecDeque::new(), size: 0, most: MAX_TABLE, name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Goes through the lines of a block; all of them, whoever takes them, since later blocks may refer to them.
    pub fn decode(&mut self, block: &[u8], mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Fault> {
        let mut rest = block;
        let mut begun = false;
        while let Some(&first) = rest.first() {
            match first {
                // Indexed.
                0x80.. => {
                    let (name, value) = self.line(integer(&mut rest, 7)?)?;
                    take(name, value);
                }
                // A literal that is to be remembered.
                0x40.. => {
                    self.literal(&mut rest, 6)?;
                    take(&self.name, &self.value);
                    self.remember();
                }
                // The table is to be of another size: said at the beginning only (section 4.2).
                0x20.. => {
                    let most = integer(&mut rest, 5)?;
                    if begun || most > MAX_TABLE {
                        return Err(Fault::Malformed);
                    }
                    self.most = most;
                    self.evict(0);
                    continue;
                }
                // A literal that is not.
                _ => {
                    self.literal(&mut rest, 4)?;
                    take(&self.name, &self.value);
                }
            }
            begun = true;
        }
        Ok(())
    }

    fn line(&self, index: usize) -> Result<(&[u8], &[u8]), Fault> {
        let index = index.checked_sub(1).ok_or(Fault::Malformed)?;
        if let Some((name, value)) = TABLE.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        self.lines.get(index - TABLE.len()).map(Line::parts).ok_or(Fault::Malformed)
    }

    /// Reads a line whose name's index, or zero, stands in `bits` bits.
    fn literal(&mut self, rest: &mut &[u8], bits: u32) -> Result<(), Fault> {
        self.name.clear();
        self.value.clear();
        match integer(rest, bits)? {
            0 => string(rest, 7, MAX_STRING, &mut self.name)?,
            index => {
                let mut name = std::mem::take(&mut self.name);
                name.extend_from_slice(self.line(index)?.0);
                self.name = name;
            }
        }
        string(rest, 7, MAX_STRING, &mut self.value)
    }

    fn remember(&mut self) {
        let size = self.name.len() + self.value.len() + LINE;
        self.evict(size);
        if size <= self.most {
            let octets = [&self.name[..], &self.value].concat().into_boxed_slice();
            self.size += size;
            self.lines.push_front(Line { octets, name: self.name.len() });
        }
    }

    /// Makes room for a line of that size, or empties the table for one that never fits (section 4.4).
    fn evict(&mut self, size: usize) {
        while self.size + size > self.most
            && let Some(line) = self.lines.pop_back()
        {
            self.size -= line.size();
        }
    }
}

/// Appends the status of a response.
pub(crate) fn push_status(out: &mut Vec<u8>, status: u16) {
    match static_table::status(status) {
        Some(index) => out.push(0x80 | index),
        None => {
            out.push(8);
            push_string(out, 7, itoa::Buffer::new().format(status).as_bytes());
        }
    }
}

/// Appends a line; its name in lower case.
pub(crate) fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match static_table::name(name) {
        Some(index) => push_integer(out, 0, 4, usize::from(index)),
        None => {
            out.push(0);
            push_string(out, 7, name);
        }
    }
    push_string(out, 7, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(decoder: &mut Decoder, block: &[u8]) -> Result<String, Fault> {
        let mut text = String::new();
        decoder.decode(block, |name, value| {
            text.push_str(&format!("{}: {};", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        })?;
        Ok(text)
    }

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    #[test]
    fn requests_of_the_rfc() {
        // Appendices C.3 and C.4: the same three requests, as they are and coded.
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let coded = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::default();
            let read: Vec<String> = blocks.iter().map(|b| lines(&mut decoder, &octets(b)).unwrap()).collect();
            let first = ":method: GET;:scheme: http;:path: /;:authority: www.example.com;";
            assert_eq!(read[0], first);
            assert_eq!(read[1], format!("{first}cache-control: no-cache;"));
            let third = ":method: GET;:scheme: https;:path: /index.html;:authority: www.example.com;";
            assert_eq!(read[2], format!("{third}custom-key: custom-value;"));
            assert_eq!((decoder.lines.len(), decoder.size), (3, 164));
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut decoder = Decoder::default();
        let mut block = Vec::new();
        for n in 0..1000u32 {
            block.push(0x40);
            push_string(&mut block, 7, b"x-name");
            push_string(&mut block, 7, n.to_string().repeat(10).as_bytes());
        }
        decoder.decode(&block, |_, _| {}).unwrap();
        assert!(decoder.size <= MAX_TABLE && decoder.size > MAX_TABLE - 80);
        assert_eq!(lines(&mut decoder, &[0x80 | 62]).unwrap(), format!("x-name: {};", "999".repeat(10)));
        // What never fits empties it.
        let mut large = vec![0x40];
        push_string(&mut large, 7, b"x");
        push_string(&mut large, 7, &[b'y'; MAX_TABLE]);
        decoder.decode(&large, |_, _| {}).unwrap();
        assert_eq!((decoder.lines.len(), decoder.size), (0, 0));
        // So does a size of nothing; a line is then no longer remembered.
        lines(&mut decoder, &[0x20, 0x40, 1, b'a', 1, b'b']).unwrap();
        assert!(decoder.lines.is_empty());
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let more_than_allowed = [0x3f, 0xe2, 0x1f];
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x40],
            &[0x41, 5, b'a'],
            &[0x7e, 1, b'a'],
            &more_than_allowed,
            &[0x82, 0x20],
            &[0x41, 0x81, 0x00],
        ] {
            assert_eq!(lines(&mut Decoder::default(), block), Err(Fault::Malformed), "{block:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut block = Vec::new();
        push_status(&mut block, 200);
        push_status(&mut block, 418);
        push_line(&mut block, b"content-type", b"text/plain");
        push_line(&mut block, b"x-a", &[b'a'; 300]);
        let mut decoder = Decoder::default();
        let text = lines(&mut decoder, &block).unwrap();
        assert_eq!(text, format!(":status: 200;:status: 418;content-type: text/plain;x-a: {};", "a".repeat(300)));
        assert!(decoder.lines.is_empty());
    }
}

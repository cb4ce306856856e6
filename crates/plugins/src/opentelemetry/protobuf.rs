//! The little of the encoding of Protocol Buffers that OTLP needs.

/// A message while it is written. What has its default value is better left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Message {
    pub fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.number(value);
    }

    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    pub fn octets(&mut self, field: u32, value: &[u8]) {
        self.tag(field, LENGTH);
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A list of numbers of 64 bits each.
    pub fn packed(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let octets: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
        self.octets(field, &octets);
    }

    /// A message within this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.octets(field, &inner.0);
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.number(u64::from((field << 3) | kind));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_specification_shows_it() {
        let mut message = Message::default();
        message.varint(1, 150);
        message.octets(2, b"testing");
        message.message(3, |inner| inner.varint(1, 150));
        message.double(4, 1.0);
        let expected: &[&[u8]] = &[
            &[0x08, 0x96, 0x01],
            &[0x12, 0x07],
            b"testing",
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
            &[0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        ];
        assert_eq!(message.finish(), expected.concat());
    }
}

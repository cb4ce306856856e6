//! Field lines as HTTP/3 writes them (QPACK, RFC 9204), by the static table alone: we allow no other, so that no client
//! makes us keep one.

mod static_table;

pub(super) use crate::hpack::Fault;
use crate::hpack::{integer, push_integer, push_string, string};
use static_table::TABLE;

/// Goes through the lines of a section. `limit`: the octets of all their names and values.
pub(super) fn decode(section: &[u8], limit: usize, mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Fault> {
    let mut rest = section;
    // How many entries of a dynamic table are needed, and from where they are counted.
    let required = integer(&mut rest, 8)?;
    integer(&mut rest, 7)?;
    if required != 0 {
        return Err(Fault::Malformed);
    }
    let (mut name, mut value, mut size) = (Vec::new(), Vec::new(), 0);
    while let Some(&first) = rest.first() {
        name.clear();
        value.clear();
        let left = limit.checked_sub(size).ok_or(Fault::TooLarge)?;
        match first {
            // Indexed, in the static table.
            0xc0.. => {
                let (known, said) = entry(integer(&mut rest, 6)?)?;
                name.extend_from_slice(known.as_bytes());
                value.extend_from_slice(said.as_bytes());
            }
            // A literal whose name stands in the static table.
            0x50..0x60 | 0x70..0x80 => {
                name.extend_from_slice(entry(integer(&mut rest, 4)?)?.0.as_bytes());
                string(&mut rest, 7, left, &mut value)?;
            }
            // A literal with its name.
            0x20..0x40 => {
                string(&mut rest, 3, left, &mut name)?;
                string(&mut rest, 7, left, &mut value)?;
            }
            // By a dynamic table.
            _ => return Err(Fault::Malformed),
        }
        size += name.len() + value.len();
        if size > limit {
            return Err(Fault::TooLarge);
        }
        take(&name, &value);
    }
    Ok(())
}

/// Begins a section.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0]);
}

/// Appends the status of a response.
pub(super) fn push_status(out: &mut Vec<u8>, status: u16) {
    match static_table::status(status) {
        Some(index) => push_integer(out, 0xc0, 6, usize::from(index)),
        None => {
            push_integer(out, 0x50, 4, 24);
            push_string(out, 7, itoa::Buffer::new().format(status).as_bytes());
        }
    }
}

/// Appends a line; its name in lower case.
pub(super) fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match static_table::name(name) {
        Some(index) => push_integer(out, 0x50, 4, usize::from(index)),
        None => {
            push_integer(out, 0x20, 3, name.len());
            out.extend_from_slice(name);
        }
    }
    push_string(out, 7, value);
}

fn entry(index: usize) -> Result<(&'static str, &'static str), Fault> {
    TABLE.get(index).copied().ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(section: &[u8], limit: usize) -> Result<String, Fault> {
        let mut text = String::new();
        decode(section, limit, |name, value| {
            text.push_str(&format!("{}: {};", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        })?;
        Ok(text)
    }

    #[test]
    fn lines_come_back() {
        let mut section = Vec::new();
        begin(&mut section);
        push_status(&mut section, 200);
        push_status(&mut section, 418);
        push_line(&mut section, b"content-type", b"text/plain");
        push_line(&mut section, b"x-a", &[b'a'; 300]);
        let text = lines(&section, 1000).unwrap();
        assert_eq!(text, format!(":status: 200;:status: 418;content-type: text/plain;x-a: {};", "a".repeat(300)));
    }

    #[test]
    fn an_example_of_the_rfc() {
        // RFC 9204, appendix B.1.
        let section = [&[0, 0, 0x51, 0x0b][..], b"/index.html"].concat();
        assert_eq!(lines(&section, 1000).as_deref(), Ok(":path: /index.html;"));
        // A coded value: RFC 7541, appendix C.4.1.
        let coded = [0, 0, 0x50, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(lines(&coded, 1000).as_deref(), Ok(":authority: www.example.com;"));
    }

    #[test]
    fn dynamic_tables_and_broken_sections_are_refused() {
        for section in [
            &[][..],
            &[0],
            &[1, 0],
            &[0, 0, 0x80],
            &[0, 0, 0x10],
            &[0, 0, 0x00, 0],
            &[0, 0, 0x40, 0],
            &[0, 0, 0xff, 0x24],
            &[0, 0, 0x51, 5, b'a'],
            &[0, 0, 0x51, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0, 0, 0x23, b'a'],
            &[0, 0, 0x51, 0x81, 0x00],
        ] {
            assert_eq!(lines(section, 1000), Err(Fault::Malformed), "{section:?}");
        }
    }

    #[test]
    fn the_limit_counts_every_line() {
        let indexed = [&[0, 0][..], &[0xd1; 100]].concat();
        assert_eq!(lines(&indexed, 100 * (7 + 3)).map(|text| text.len()), Ok(1300));
        assert_eq!(lines(&indexed, 100 * (7 + 3) - 1), Err(Fault::TooLarge));
        // Coded octets grow when they are read.
        let coded = [&[0, 0, 0x51, 0x80 | 100][..], &[0; 100]].concat();
        assert_eq!(lines(&coded, 5 + 160).map(|text| text.len()), Ok(168));
        assert_eq!(lines(&coded, 5 + 159), Err(Fault::TooLarge));
        assert_eq!(lines(&coded, 100), Err(Fault::TooLarge));
    }
}

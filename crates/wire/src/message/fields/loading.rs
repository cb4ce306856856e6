//! Lines of a head that is being parsed, of which those that are as in the head before are taken over.

use super::{Fields, Line, Name};
use crate::message::Framing;
use crate::message::last_head::Comparison;

impl Fields {
    /// Adds a line by its place in a head that is being parsed; [`Fields::finish_load`] then brings the head's bytes.
    /// `at` is where the name begins, `value` offset and length, `raw_end` the offset behind the CRLF.
    #[inline]
    pub(crate) fn push_raw(&mut self, name: &[u8], at: usize, (value, value_len): (usize, usize), raw_end: usize) {
        let name_len = name.len() as u16;
        let name = Name::new(name);
        self.note(name);
        self.lines.push(Line {
            name: at as u32,
            name_len,
            known: name.known,
            live: true,
            value: value as u32,
            value_len: value_len as u32,
            raw_end: raw_end as u32,
            bit: name.bit,
        });
    }

    /// Adds those lines of a head that is being parsed, from `at` on, that are the same as in the head that was parsed
    /// before; how many these are, and the offset behind them.
    pub(crate) fn push_same(&mut self, comparison: &mut Comparison, head: &[u8], at: usize) -> (usize, usize) {
        let Some(last) = self.last_head.take() else { return (0, at) };
        let lines = last.same_lines(comparison, &head[at..]);
        if let Some(first) = lines.first() {
            // Mostly these are all, at the same place.
            if lines.len() == last.len() {
                (self.seen, self.repeated, self.others, self.first) = *last.names();
            } else {
                for (line, place) in lines.iter().zip(self.lines.len()..) {
                    self.others |= 1 << line.bit;
                    self.note_known_at(line.known, place);
                }
            }
            // What is moved stands behind its old place or before it.
            match (at as u32).wrapping_sub(first.name) {
                0 => self.lines.extend_from_slice(lines),
                by => self.lines.extend(lines.iter().map(|line| line.moved(by))),
            }
        }
        let taken = lines.len();
        self.last_head = Some(last);
        if taken == 0 {
            return (0, at);
        }
        (taken, self.lines.last().map_or(at, |line| line.raw_end as usize))
    }

    /// Takes the bytes of the head whose lines, from `start` on, were added by [`Fields::push_raw`] and
    /// [`Fields::push_same`].
    pub(crate) fn finish_load(&mut self, head: &[u8], start: usize, comparison: Comparison) {
        self.arena.clear();
        self.arena.extend_from_slice(head);
        if let Some(last) = &mut self.last_head {
            let names = (self.seen, self.repeated, self.others, self.first);
            last.remember(comparison, head, start, &self.lines, names);
        }
    }

    /// How the content of the head that was just parsed is delimited, when its lines are the same as those of the head
    /// before and it was found out then, `under` the same circumstances.
    pub(crate) fn known_framing(&self, under: u32) -> Option<Framing> {
        self.last_head.as_ref()?.framing(under)
    }

    /// Remembers how the content of the head that was just parsed is delimited.
    pub(crate) fn remember_framing(&mut self, under: u32, framing: Framing) {
        if let Some(last) = &mut self.last_head {
            last.remember_framing(under, framing);
        }
    }

    /// Has the list remember heads that are parsed into it: for those into which one is parsed after the other.
    pub(crate) fn remember_heads(&mut self) {
        self.last_head.get_or_insert_default();
    }
}

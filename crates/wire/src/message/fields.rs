//! Field lines of a message, kept as ranges of one byte arena.
//!
//! A parsed head is copied once into the arena; edits append to it and redirect ranges, so that a
//! message which is forwarded with a few changes costs no allocation per field. The arena and the
//! table are reused from message to message on a connection.

mod loading;

use super::last_head::LastHead;
use super::{Known, scan};

/// An ordered list of field lines (RFC 9110, section 5.2). Names compare without case and keep their spelling.
pub struct Fields {
    arena: Vec<u8>,
    lines: Vec<Line>,
    /// Which known names have ever been added: a clear bit means certainly absent.
    seen: u64,
    /// Which of them have been added again: a clear bit means that there is one line at most.
    repeated: u64,
    /// The bits of other names that have ever been added: a clear one means that such a name is certainly absent.
    others: u64,
    /// For each known name that was ever added, a place before which no line has it.
    first: Places,
    /// For lists into which heads are parsed one after the other.
    last_head: Option<Box<LastHead>>,
}

/// Places of known names by their numbers; those beyond the last number that fits are found from there on.
pub(super) type Places = [u8; 64];

#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) name: u32,
    name_len: u16,
    known: Known,
    live: bool,
    value: u32,
    value_len: u32,
    /// The line stands in the arena as `name: value CRLF`, up to this offset.
    pub(super) raw_end: u32,
    /// Which bit the name has among others.
    bit: u8,
}

/// A name that is looked for.
#[derive(Clone, Copy)]
struct Name<'a> {
    octets: &'a [u8],
    known: Known,
    bit: u8,
}

impl<'a> Name<'a> {
    #[inline]
    fn new(octets: &'a [u8]) -> Name<'a> {
        let (known, bit) = Known::classify(octets);
        Name { octets, known, bit }
    }
}

impl Fields {
    /// An empty list.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// An empty list with room for so many lines of so many octets in all.
    pub fn with_capacity(lines: usize, octets: usize) -> Fields {
        Fields { arena: Vec::with_capacity(octets), lines: Vec::with_capacity(lines), ..Fields::default() }
    }

    /// Forgets all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.lines.clear();
        (self.seen, self.repeated, self.others) = (0, 0, 0);
    }

    /// Exchanges all lines, and the memory that they are in, with another list: what each remembers of heads stays.
    pub(crate) fn swap_lines(&mut self, other: &mut Fields) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.last_head, &mut other.last_head);
    }

    /// Octets of all names and values together.
    pub(crate) fn octets_of_lines(&self) -> usize {
        self.lines.iter().filter(|l| l.live).map(|l| usize::from(l.name_len) + l.value_len as usize).sum()
    }

    /// Octets of memory that are held for lines.
    pub(crate) fn capacity(&self) -> usize {
        self.arena.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.iter().filter(|l| l.live).count()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the first line of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let name = Name::new(name.as_bytes());
        if !self.may_have_name(name) {
            return None;
        }
        self.lines.iter().find(|l| self.is(l, name)).map(|l| self.value_of(l))
    }

    /// The value of the first line of that name, when it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// The value of the first line of a known name.
    pub fn known(&self, name: Known) -> Option<&[u8]> {
        if self.seen & name.bit() == 0 {
            return None;
        }
        self.lines_from(name).iter().find(|l| l.live && l.known == name).map(|l| self.value_of(l))
    }

    /// The values of all lines of a known name, in order.
    pub fn known_all(&self, name: Known) -> impl Iterator<Item = &[u8]> {
        let lines = if self.seen & name.bit() == 0 { &[] } else { self.lines_from(name) };
        lines.iter().filter(move |l| l.live && l.known == name).take(self.most(name)).map(|l| self.value_of(l))
    }

    /// The lines from the first one on that can have a known name, one that was added.
    #[inline]
    fn lines_from(&self, name: Known) -> &[Line] {
        self.lines.get(usize::from(self.first[name as usize])..).unwrap_or_default()
    }

    #[inline]
    fn lines_from_mut(&mut self, name: Known) -> &mut [Line] {
        self.lines.get_mut(usize::from(self.first[name as usize])..).unwrap_or_default()
    }

    /// How many lines of a known name there can be: what is certainly absent, or certainly there once, is not looked
    /// for any further.
    #[inline]
    fn most(&self, name: Known) -> usize {
        match (self.seen & name.bit() != 0, self.repeated & name.bit() != 0) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => usize::MAX,
        }
    }

    /// The values of all lines of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let name = Name::new(name.as_bytes());
        let absent = !self.may_have_name(name);
        self.lines.iter().filter(move |l| !absent && self.is(l, name)).map(|l| self.value_of(l))
    }

    /// Whether a line of that name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a line of that known name is there.
    pub fn has(&self, name: Known) -> bool {
        self.known(name).is_some()
    }

    /// Whether a line of one of these names may be there: false is certain, true is not.
    #[inline]
    pub fn may_have(&self, names: &[Known]) -> bool {
        names.iter().any(|name| self.seen & name.bit() != 0)
    }

    /// Whether one of these names may be there more than once: false is certain, true is not.
    #[inline]
    pub fn may_repeat(&self, names: &[Known]) -> bool {
        names.iter().any(|name| self.repeated & name.bit() != 0)
    }

    /// All lines in order: name as spelled, value without surrounding white space.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().filter(|l| l.live).map(|l| (self.name_of(l), self.value_of(l)))
    }

    /// As [`Fields::iter`], with the class of each name.
    pub fn iter_known(&self) -> impl Iterator<Item = (Known, &str, &[u8])> {
        self.lines.iter().filter(|l| l.live).map(|l| (l.known, self.name_of(l), self.value_of(l)))
    }

    /// The same, names in octets.
    pub(crate) fn iter_octets(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.lines.iter().filter(|l| l.live).map(|l| (l.known, self.name_bytes(l), self.value_of(l)))
    }

    /// Adds a line at the end. The caller vouches for name and value being valid (see [`Fields::is_valid_value`]).
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.append_named(Name::new(name.as_bytes()), value);
    }

    /// The same for a name in octets that were found to be one.
    pub(crate) fn append_octets(&mut self, name: &[u8], value: &[u8]) {
        self.append_named(Name::new(name), value);
    }

    fn append_named(&mut self, name: Name<'_>, value: &[u8]) {
        self.note(name);
        let mut line = self.write_line(Known::Other, name.octets, value);
        (line.known, line.bit) = (name.known, name.bit);
        self.lines.push(line);
    }

    /// Adds a line of a known name, spelled canonically.
    pub fn append_known(&mut self, name: Known, value: &[u8]) {
        self.note_known(name);
        let line = self.write_line(name, name.lead().as_bytes(), value);
        self.lines.push(line);
    }

    /// Adds all lines of another list at the end: for lines that are made once and written often.
    pub fn append_all(&mut self, other: &Fields) {
        if other.lines.is_empty() {
            return;
        }
        let (at, place) = (self.arena.len() as u32, self.lines.len());
        self.arena.extend_from_slice(&other.arena);
        let mut fresh = other.seen & !self.seen;
        while fresh != 0 {
            let name = fresh.trailing_zeros() as usize;
            self.first[name] = u8::try_from(place + usize::from(other.first[name])).unwrap_or(u8::MAX);
            fresh &= fresh - 1;
        }
        self.repeated |= other.repeated | (self.seen & other.seen);
        self.seen |= other.seen;
        self.others |= other.others;
        self.lines.extend(other.lines.iter().map(|line| line.moved_on(at)));
    }

    /// Drops all lines whose names another list has, then adds its lines at the end.
    pub fn replace_all(&mut self, other: &Fields) {
        // Mostly they have no name in common.
        let unknown = self.seen & other.seen & Known::Other.bit() != 0 && self.others & other.others != 0;
        if unknown || self.seen & other.seen & !Known::Other.bit() != 0 {
            for line in other.lines.iter().filter(|l| l.live) {
                self.remove_named(Name { octets: other.name_bytes(line), known: line.known, bit: line.bit });
            }
        }
        self.append_all(other);
    }

    /// Replaces all lines of that name by one, in the place of the first, or adds it at the end.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let name = Name::new(name.as_bytes());
        if !self.may_have_name(name) {
            return self.append_named(name, value);
        }
        let Some(at) = self.lines.iter().position(|l| self.is(l, name)) else { return self.append_named(name, value) };
        let mut line = self.write_line(Known::Other, name.octets, value);
        (line.known, line.bit) = (name.known, name.bit);
        for i in at + 1..self.lines.len() {
            if self.is(&self.lines[i], name) {
                self.lines[i].drop_out();
            }
        }
        self.lines[at] = line;
    }

    /// As [`Fields::set`], for a known name.
    pub fn set_known(&mut self, name: Known, value: &[u8]) {
        if self.seen & name.bit() == 0 {
            return self.append_known(name, value);
        }
        let mut line = Some(self.write_line(name, name.lead().as_bytes(), value));
        let most = self.most(name);
        for old in self.lines_from_mut(name).iter_mut().filter(|l| l.live && l.known == name).take(most) {
            match line.take() {
                Some(line) => *old = line,
                None => old.drop_out(),
            }
        }
        self.lines.extend(line);
    }

    /// Puts a value in the place of one that is as long, in the line that was added last under a known name; false:
    /// there is none of that length.
    pub fn overwrite_known(&mut self, name: Known, value: &[u8]) -> bool {
        let Some(line) = self.lines.iter().rev().find(|l| l.live && l.known == name) else { return false };
        match self.arena.get_mut(line.value as usize..(line.value + line.value_len) as usize) {
            Some(place) if place.len() == value.len() => {
                place.copy_from_slice(value);
                true
            }
            _ => false,
        }
    }

    /// The same for the line at that place among those that were added.
    pub fn overwrite_at(&mut self, place: usize, value: &[u8]) -> bool {
        let Some(line) = self.lines.get(place).filter(|line| line.live) else { return false };
        match self.arena.get_mut(line.value as usize..(line.value + line.value_len) as usize) {
            Some(place) if place.len() == value.len() => {
                place.copy_from_slice(value);
                true
            }
            _ => false,
        }
    }

    /// Puts text behind the value of the first line of a known name.
    pub fn extend_known(&mut self, name: Known, text: &[u8]) {
        if self.seen & name.bit() == 0 {
            return;
        }
        let first = usize::from(self.first[name as usize]).min(self.lines.len());
        let Some(line) = self.lines[first..].iter_mut().find(|l| l.live && l.known == name) else { return };
        let start = self.arena.len() as u32;
        let end = (line.value + line.value_len) as usize;
        // Name and value stand together, with whatever is between them.
        self.arena.reserve(end - line.name as usize + text.len() + 2);
        self.arena.extend_from_within(line.name as usize..end);
        self.arena.extend_from_slice(text);
        self.arena.extend_from_slice(b"\r\n");
        let value = start + (line.value - line.name);
        let value_len = line.value_len + text.len() as u32;
        *line = Line { name: start, value, value_len, raw_end: self.arena.len() as u32, ..*line };
    }

    /// Drops all lines of that name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.remove_named(Name::new(name.as_bytes()))
    }

    fn remove_named(&mut self, name: Name<'_>) -> bool {
        if name.known != Known::Other {
            return self.remove_known(name.known);
        }
        if !self.may_have_name(name) {
            return false;
        }
        let mut found = false;
        for i in 0..self.lines.len() {
            if self.is(&self.lines[i], name) {
                self.lines[i].drop_out();
                found = true;
            }
        }
        found
    }

    /// Drops all lines of a known name; says whether there was one.
    #[inline]
    pub fn remove_known(&mut self, name: Known) -> bool {
        self.seen & name.bit() != 0 && self.remove_seen(name)
    }

    fn remove_seen(&mut self, name: Known) -> bool {
        let (most, mut found) = (self.most(name), false);
        for line in self.lines_from_mut(name).iter_mut().filter(|l| l.live && l.known == name).take(most) {
            line.drop_out();
            found = true;
        }
        self.seen &= !name.bit();
        found
    }

    /// Keeps only the lines for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &str, &[u8]) -> bool) {
        for i in 0..self.lines.len() {
            let line = self.lines[i];
            if line.live && !keep(line.known, self.name_of(&line), self.value_of(&line)) {
                self.lines[i].drop_out();
            }
        }
    }

    /// Whether these bytes may stand as a field value: no control characters but tab (RFC 9110, section 5.5).
    pub fn is_valid_value(value: &[u8]) -> bool {
        let mut end = scan::value_end(value, 0);
        while value.get(end) == Some(&b'\t') {
            end = scan::value_end(value, end + 1);
        }
        end == value.len()
    }

    /// Whether these bytes are a field name: a token (RFC 9110, section 5.6.2).
    pub fn is_valid_name(name: &[u8]) -> bool {
        !name.is_empty() && scan::name_length(name) == name.len()
    }

    /// Writes all lines as HTTP/1.1 does, each with its CRLF, without the empty line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut rest = &self.lines[..];
        while let [line, more @ ..] = rest {
            rest = more;
            if !line.live {
                continue;
            }
            // Unedited neighbours stand one after the other in the arena: copy the whole run at once.
            let mut end = line.raw_end;
            while let [neighbour, more @ ..] = rest
                && neighbour.name == end
            {
                (end, rest) = (neighbour.raw_end, more);
            }
            out.extend_from_slice(self.arena.get(line.name as usize..end as usize).unwrap_or_default());
        }
    }

    /// Writes a line to the arena. `lead` is the name, followed by a colon and a space where `known` says which name it
    /// is.
    #[inline(never)]
    fn write_line(&mut self, known: Known, lead: &[u8], value: &[u8]) -> Line {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(lead);
        let name_len = if known == Known::Other {
            self.arena.extend_from_slice(b": ");
            lead.len()
        } else {
            lead.len() - 2
        };
        let value_start = self.arena.len() as u32;
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(b"\r\n");
        Line {
            name: start,
            name_len: name_len as u16,
            known,
            live: true,
            value: value_start,
            value_len: value.len() as u32,
            raw_end: self.arena.len() as u32,
            bit: 0,
        }
    }

    #[inline]
    fn note(&mut self, name: Name<'_>) {
        self.others |= 1 << name.bit;
        self.note_known(name.known);
    }

    #[inline]
    fn note_known(&mut self, name: Known) {
        self.note_known_at(name, self.lines.len());
    }

    /// A line of that name stands at that place, and none that has not been noted before it.
    #[inline]
    fn note_known_at(&mut self, name: Known, place: usize) {
        if self.seen & name.bit() == 0 {
            self.seen |= name.bit();
            self.note_place(name, place);
        } else {
            self.repeated |= name.bit();
        }
    }

    #[inline]
    fn note_place(&mut self, name: Known, place: usize) {
        self.first[name as usize] = u8::try_from(place).unwrap_or(u8::MAX);
    }

    #[inline]
    fn may_have_name(&self, name: Name<'_>) -> bool {
        match name.known {
            Known::Other => self.others >> name.bit & 1 != 0,
            known => self.seen & known.bit() != 0,
        }
    }

    #[inline]
    fn is(&self, line: &Line, name: Name<'_>) -> bool {
        line.live
            && line.known == name.known
            && (name.known != Known::Other
                || line.bit == name.bit && usize::from(line.name_len) == name.octets.len() && self.is_named(line, name))
    }

    /// Whether that is its name; mostly it is spelled alike, and compared at once.
    fn is_named(&self, line: &Line, name: Name<'_>) -> bool {
        let octets = self.name_bytes(line);
        octets == name.octets || octets.eq_ignore_ascii_case(name.octets)
    }

    fn name_bytes(&self, line: &Line) -> &[u8] {
        self.octets(line.name, u32::from(line.name_len))
    }

    fn name_of(&self, line: &Line) -> &str {
        std::str::from_utf8(self.name_bytes(line)).unwrap_or_default()
    }

    fn value_of(&self, line: &Line) -> &[u8] {
        self.octets(line.value, line.value_len)
    }

    /// A range of the arena. Lines of a head whose octets never came ([`Fields::finish_load`]) have none.
    fn octets(&self, start: u32, length: u32) -> &[u8] {
        self.arena.get(start as usize..start as usize + length as usize).unwrap_or_default()
    }
}

impl Line {
    /// It is no line of the list any more, and nothing's neighbour.
    fn drop_out(&mut self) {
        (self.live, self.name) = (false, u32::MAX);
    }

    /// The same line in octets that stand behind others now.
    fn moved_on(&self, by: u32) -> Line {
        // What has dropped out stays nothing's neighbour.
        Line { name: self.name.saturating_add(by), value: self.value + by, raw_end: self.raw_end + by, ..*self }
    }

    /// The same line in octets of which the first one has another place.
    pub(super) fn moved(&self, by: u32) -> Line {
        Line {
            name: self.name.wrapping_add(by),
            value: self.value.wrapping_add(by),
            raw_end: self.raw_end.wrapping_add(by),
            ..*self
        }
    }
}

/// A copy has the lines; what heads were before is for those who parse them.
impl Clone for Fields {
    fn clone(&self) -> Fields {
        let Fields { arena, lines, seen, repeated, others, first, last_head: _ } = self;
        let (arena, lines, first) = (arena.clone(), lines.clone(), *first);
        Fields { arena, lines, seen: *seen, repeated: *repeated, others: *others, first, last_head: None }
    }

    fn clone_from(&mut self, other: &Fields) {
        self.arena.clone_from(&other.arena);
        self.lines.clone_from(&other.lines);
        (self.seen, self.repeated, self.others) = (other.seen, other.repeated, other.others);
        self.first = other.first;
    }
}

impl Default for Fields {
    fn default() -> Fields {
        let (arena, lines, last_head) = (Vec::new(), Vec::new(), None);
        Fields { arena, lines, seen: 0, repeated: 0, others: 0, first: [0; 64], last_head }
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(n, v)| (n, String::from_utf8_lossy(v)))).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name.as_ref(), value.as_ref());
        }
        fields
    }
}

#[cfg(test)]
mod tests;

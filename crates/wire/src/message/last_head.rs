//! The field lines of the head that was parsed last into a list: clients and services send the same lines again and
//! again, and what the same octets mean need not be found out twice.
//!
//! Lines are taken over only where all their octets are the same as before, so that parsing them would give the same.
//! Nothing of a former head can be seen in a list: its lines are taken over with octets that have come anew.

use super::Framing;
use super::fields::{Line, Places};

/// More octets than these are not remembered: each list that a worker keeps for heads may hold so many.
const MOST: usize = 4096;
/// So many lines in a row that differ say that the heads have little in common.
const GIVE_UP: u8 = 3;

/// What a list knows of the names of its lines: which there are, which of them repeatedly, the bits of others, and
/// where the first of each stands.
type Names = (u64, u64, u64, Places);

/// What is remembered of a head.
pub(super) struct LastHead {
    /// Its field lines and the empty line after them.
    octets: Vec<u8>,
    /// The lines, by their places in the head; they stand one after the other.
    lines: Vec<Line>,
    /// Where in the head the octets began.
    start: usize,
    /// What a list with these lines knows of their names.
    names: Names,
    /// The head that was parsed just now has the same lines.
    is_current: bool,
    /// How the content of a head with these lines is delimited, under which circumstances.
    framing: Option<(u32, Framing)>,
    /// How long each might be: one that was too long now is not taken over.
    line_limit: usize,
}

/// How far a head that is being parsed has been compared with the former one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Comparison {
    /// Octets that a line may have.
    line_limit: usize,
    /// The line of the former head that the next one may be the same as.
    next: usize,
    /// Lines in a row that were not.
    differing: u8,
    /// Some line was not.
    differs: bool,
}

impl Comparison {
    /// The beginning, for lines of so many octets at most.
    pub fn new(line_limit: usize) -> Comparison {
        Comparison { line_limit, ..Comparison::default() }
    }

    /// A line was parsed that is likely to stand in the place of the former one.
    pub fn pass(&mut self) {
        self.next += 1;
    }
}

impl LastHead {
    /// The lines at the beginning of `text` that are the same as those of the former head from the next one on.
    pub fn same_lines(&self, comparison: &mut Comparison, text: &[u8]) -> &[Line] {
        let first = comparison.next;
        let is_like = comparison.differing < GIVE_UP && comparison.line_limit >= self.line_limit;
        let Some(line) = self.lines.get(first).filter(|_| is_like) else { return &[] };
        let from = (line.name as usize).saturating_sub(self.start);
        let former = self.octets.get(from..).unwrap_or_default();
        // Mostly all that follows is the same.
        comparison.next = if text.starts_with(former) {
            self.lines.len()
        } else {
            let end = (self.start + from + common_length(text, former)) as u32;
            let lines = self.lines[first..].iter().take_while(|line| line.raw_end <= end).count();
            comparison.differs = true;
            comparison.differing = if lines > 0 { 0 } else { comparison.differing + 1 };
            first + lines
        };
        &self.lines[first..comparison.next]
    }

    /// The head has come whole: remembers it, unless it is the same. Its field lines, with the empty line, begin at
    /// `start`.
    pub fn remember(&mut self, comparison: Comparison, head: &[u8], start: usize, lines: &[Line], names: Names) {
        let octets = head.get(start..).unwrap_or_default();
        let is_same = !comparison.differs && octets.len() == self.octets.len() && lines.len() == self.lines.len();
        self.is_current = is_same && comparison.line_limit >= self.line_limit;
        if self.is_current || octets.len() > MOST || lines.len() > MOST / 32 {
            return;
        }
        (self.start, self.names, self.is_current, self.framing) = (start, names, true, None);
        self.line_limit = comparison.line_limit;
        self.octets.clear();
        self.octets.extend_from_slice(octets);
        self.lines.clear();
        self.lines.extend_from_slice(lines);
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// What is known of the names of all lines together.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How the content of the head that was parsed just now is delimited, if that is known.
    pub fn framing(&self, under: u32) -> Option<Framing> {
        self.framing.filter(|(known, _)| self.is_current && *known == under).map(|(_, framing)| framing)
    }

    /// It has been found out.
    pub fn remember_framing(&mut self, under: u32, framing: Framing) {
        if self.is_current {
            self.framing = Some((under, framing));
        }
    }
}

impl Default for LastHead {
    fn default() -> LastHead {
        let (octets, lines, names) = (Vec::new(), Vec::new(), (0, 0, 0, [0; 64]));
        LastHead { octets, lines, start: 0, names, is_current: false, framing: None, line_limit: 0 }
    }
}

/// How many octets at the beginning of both are the same.
fn common_length(a: &[u8], b: &[u8]) -> usize {
    const LANES: usize = 16;
    let (a_lanes, b_lanes) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    let same = LANES * a_lanes.iter().zip(b_lanes).take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadError, HeadParser, Limits, parse_request};
    use crate::message::{Known, RequestHead};

    /// All that a parsed head says.
    fn parsed(head: &mut RequestHead, text: &[u8], pieces: &[usize], limits: &Limits) -> Result<String, HeadError> {
        let mut parser = HeadParser::default();
        for end in pieces.iter().copied().chain([text.len()]) {
            if let Some(length) = parse_request(&text[..end], &mut parser, head, limits)? {
                let (mut written, fields) = (Vec::new(), &head.fields);
                fields.write_to(&mut written);
                let lines: Vec<_> = fields.iter_known().collect();
                let hosts = (fields.known_all(Known::Host).count(), fields.get("x-a"), fields.get("x-none"));
                let repeats = (fields.may_repeat(&[Known::Accept]), fields.may_have(&[Known::Te, Known::Accept]));
                let framing = head.framing;
                return Ok(format!("{length} {} {lines:?} {hosts:?} {repeats:?} {framing:?} {written:?}", head.target));
            }
        }
        Ok("incomplete".to_owned())
    }

    const LIMITS: Limits = Limits { line: 60, head: 300, fields: 8 };

    fn heads() -> Vec<Vec<u8>> {
        let mut heads = Vec::new();
        let lines = ["Host: a", "X-A: 1", "X-a:  2 ", "Accept: */*", "Te: trailers", "Content-Length: 3", "Accept:b"];
        for start in ["GET / HTTP/1.1", "\r\nGET /some/longer/path?query HTTP/1.1", "POST / HTTP/1.0"] {
            for kind in 0..1 << lines.len() {
                let chosen = lines.iter().enumerate().filter(|(at, _)| kind >> at & 1 == 1).map(|(_, line)| *line);
                let chosen: Vec<_> = [start].into_iter().chain(chosen).chain(["", ""]).collect();
                heads.push(chosen.join("\r\n").into_bytes());
            }
        }
        for bad in ["X-A 1", "X-A: \x01", "X-A: 1\nX: 2", " X-A: 1", ": 1", &format!("X-A: {}", "1".repeat(60))] {
            heads.push(format!("GET / HTTP/1.1\r\nHost: a\r\n{bad}\r\nAccept: */*\r\n\r\n").into_bytes());
        }
        heads.push([&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &b"X-A: 1\r\n".repeat(9), b"\r\n"].concat());
        heads.push(
            [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &b"X: 123456789-123456789-123456789-123456789\r\n".repeat(7)]
                .concat(),
        );
        heads
    }

    #[test]
    fn heads_mean_the_same_whatever_came_before() {
        let (heads, mut random) = (heads(), 1_u64);
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let mut remembering = RequestHead::default();
        remembering.fields.remember_heads();
        for _ in 0..40_000 {
            let text = &heads[next(heads.len())];
            let limits = Limits { line: [60, 30, 20, 9][next(4)], head: [300, 60][next(2)], fields: [8, 3][next(2)] };
            let cut = next(text.len());
            let pieces: &[usize] = if next(2) == 0 { &[] } else { &[cut] };
            let expected = parsed(&mut RequestHead::default(), text, pieces, &limits);
            assert_eq!(parsed(&mut remembering, text, pieces, &limits), expected, "{}", String::from_utf8_lossy(text));
            if next(2) == 0 {
                remembering.fields.set("X-A", b"edited");
                remembering.fields.set_known(Known::Host, b"another");
                remembering.fields.remove_known(Known::Accept);
            }
        }
    }

    /// As above, with octets changed, left out, repeated and put in anywhere.
    #[test]
    fn mutated_heads_mean_the_same_whatever_came_before() {
        let (heads, mut random) = (heads(), 7_u64);
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below.max(1)
        };
        let mut remembering = RequestHead::default();
        remembering.fields.remember_heads();
        let (mut text, mut whole) = (heads[0].clone(), 0);
        for _ in 0..60_000 {
            if next(8) == 0 {
                text.clone_from(&heads[next(heads.len())]);
            }
            let before = text.clone();
            let at = next(text.len());
            match next(5) {
                0 => text[at] = b"\r\n: \t\0aA1,"[next(10)],
                1 => text.insert(at, b"\r\n: \t\0aA1,"[next(10)]),
                2 => drop(text.remove(at)),
                3 => {
                    let length = next(30).min(text.len() - at);
                    let piece = text[at..at + length].to_vec();
                    text.splice(at..at, piece);
                }
                _ => {}
            }
            let limits = Limits { line: [60, 30][next(2)], head: [300, 120][next(2)], fields: [8, 4][next(2)] };
            let cut = next(text.len());
            let pieces: &[usize] = if next(2) == 0 { &[] } else { &[cut] };
            let expected = parsed(&mut RequestHead::default(), &text, pieces, &limits);
            let shown = String::from_utf8_lossy(&text);
            assert_eq!(parsed(&mut remembering, &text, pieces, &limits), expected, "{shown:?} in {pieces:?}");
            match expected {
                Ok(said) if said != "incomplete" => whole += 1,
                // Mostly from one that can be read.
                _ => text = before,
            }
        }
        assert!(whole > 10_000, "only {whole} heads could be read");
    }

    #[test]
    fn what_is_the_same_is_taken_over() {
        let head = |lines: &[&str]| format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        let mut request = RequestHead::default();
        request.fields.remember_heads();
        let mut parser = HeadParser::default();
        let first = head(&["Host: a", "X-A: 1", "X-B: 2", "X-C: 3"]);
        assert!(parse_request(&first, &mut parser, &mut request, &LIMITS).is_ok());
        let second = head(&["Host: a", "X-A: other", "X-B: 2", "X-C: 3"]);
        let mut comparison = Comparison::new(LIMITS.line);
        request.fields.clear();
        assert_eq!(request.fields.push_same(&mut comparison, &second, 16), (1, 25));
        comparison.pass();
        assert_eq!(request.fields.push_same(&mut comparison, &second, 37), (2, 53));
        assert_eq!(request.fields.push_same(&mut comparison, &second, 53), (0, 53));
    }

    #[test]
    fn common_lengths() {
        for length in 0..40 {
            for rest in 0..20 {
                let (a, b) = ([vec![b'a'; length], vec![b'b'; rest]].concat(), vec![b'a'; length + 3]);
                assert_eq!(common_length(&a, &b), length);
                assert_eq!(common_length(&b, &a), length);
            }
        }
    }
}

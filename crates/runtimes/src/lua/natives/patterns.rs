//! Patterns of Lua, matched so that the time that code may take ends them, too: LuaJIT's own functions, which go back
//! over what they have tried, answer to nothing before they are through, and that can be never. `code/patterns.lua`
//! asks for these only where a pattern may have much to try in a text.

use mlua::{Error, IntoLua, Lua, LuaString, MultiValue, Result, Table, Value};

/// As LuaJIT has them.
const MOST_CAPTURES: usize = 32;
const DEEPEST: usize = 200;
const ESCAPE: u8 = b'%';
/// LuaJIT's own functions are asked where they take no more steps than that, which is some seconds at worst.
const MOST_STEPS: f64 = 1e9;
/// After so many steps it is seen whether code has to end.
const STEPS: u64 = 1 << 18;

#[derive(Clone, Copy)]
enum Capture {
    Open(usize),
    Position(usize),
    Text(usize, usize),
}

/// Why a match ends early.
#[derive(Debug)]
enum Failure {
    /// What is wrong with the pattern.
    Wrong(&'static str),
    TimeIsOver,
}

type Matched = std::result::Result<Option<usize>, Failure>;

struct Matcher<'m> {
    subject: &'m [u8],
    pattern: &'m [u8],
    captures: Vec<Capture>,
    depth: usize,
    steps: u64,
    is_over: &'m dyn Fn() -> bool,
}

/// A text, a pattern, the place from which it is looked for, whether it is to match there, and whether what is found is
/// replaced.
type Asked = (LuaString, LuaString, usize, bool, bool);

/// Makes them known; `is_over` says whether code has to end, and notes it then.
pub fn add(lua: &Lua, native: &Table, is_over: impl Fn() -> bool + 'static) -> Result<()> {
    // LuaJIT compares the whole text at each place where it might be.
    let plain = |_: &Lua, (subject, text, from): (LuaString, LuaString, usize)| {
        let (subject, from) = (subject.as_bytes(), from.saturating_sub(1));
        let rest = subject.get(from..).unwrap_or_default();
        Ok(memchr::memmem::find(rest, &text.as_bytes()).map(|at| from + at + 1))
    };
    native.raw_set("find_plain", lua.create_function(plain)?)?;
    let find = move |lua: &Lua, (subject, pattern, from, anchored, replaces): Asked| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let mut matcher = Matcher::new(&subject, &pattern, &is_over);
        let found = match matcher.find(from.saturating_sub(1), anchored) {
            Ok(found) => found,
            Err(Failure::Wrong(why)) => return told(lua, why),
            Err(Failure::TimeIsOver) => return Err(Error::runtime("the code takes too long")),
        };
        let Some((start, end)) = found else { return Ok(MultiValue::from_iter([Value::Boolean(false)])) };
        let mut values = vec![Value::Boolean(true), (start + 1).into_lua(lua)?, end.into_lua(lua)?];
        for capture in &matcher.captures {
            values.push(match *capture {
                // A replacement need not look at it.
                Capture::Open(_) if replaces => Value::Boolean(false),
                Capture::Open(_) => return told(lua, "unfinished capture"),
                Capture::Position(at) => (at + 1).into_lua(lua)?,
                Capture::Text(from, to) => Value::String(lua.create_string(&subject[from..to])?),
            });
        }
        Ok(MultiValue::from_vec(values))
    };
    native.raw_set("find_pattern", lua.create_function(find)?)?;
    native.raw_set("pattern_reach", lua.create_function(|_, pattern: LuaString| Ok(reach(&pattern.as_bytes())))?)
}

fn told(lua: &Lua, why: &str) -> Result<MultiValue> {
    Ok(MultiValue::from_iter([Value::Nil, why.into_lua(lua)?]))
}

/// How long a text may be, at most, that LuaJIT's own functions search for a pattern: with each part that can be
/// repeated there are as many more ways to try as the text is long.
fn reach(pattern: &[u8]) -> f64 {
    let is_anchored = pattern.first() == Some(&b'^');
    let mut at = usize::from(is_anchored);
    let (mut repeated, mut optional, mut last_may_fail) = (0, 0, true);
    while let Some(&octet) = pattern.get(at) {
        match octet {
            b'(' | b')' => {
                at += 1;
                continue;
            }
            ESCAPE if pattern.get(at + 1) == Some(&b'b') => (repeated, at) = (repeated + 1, at + 4),
            ESCAPE => {
                repeated += i32::from(pattern.get(at + 1).is_some_and(u8::is_ascii_digit));
                at += 2;
            }
            b'[' => {
                at += 1 + usize::from(pattern.get(at + 1) == Some(&b'^'));
                loop {
                    let escapes = pattern.get(at) == Some(&ESCAPE);
                    at += 1 + usize::from(escapes);
                    if matches!(pattern.get(at), None | Some(b']')) {
                        break;
                    }
                }
                at += 1;
            }
            _ => at += 1,
        }
        last_may_fail = true;
        match pattern.get(at) {
            Some(b'*' | b'+' | b'-') => (repeated, at, last_may_fail) = (repeated + 1, at + 1, false),
            Some(b'?') => (optional, at) = (optional + 1, at + 1),
            _ => {}
        }
    }
    // Nothing comes after that one for which there would be another try.
    repeated -= i32::from(!last_may_fail);
    let exponent = repeated + i32::from(!is_anchored);
    if exponent <= 1 && optional == 0 {
        return f64::INFINITY;
    }
    (MOST_STEPS / 2_f64.powi(optional)).powf(1.0 / f64::from(exponent.max(1)))
}

impl<'m> Matcher<'m> {
    fn new(subject: &'m [u8], pattern: &'m [u8], is_over: &'m dyn Fn() -> bool) -> Matcher<'m> {
        Matcher { subject, pattern, captures: Vec::new(), depth: 0, steps: 0, is_over }
    }

    /// The first match from there on: where it begins and ends.
    fn find(&mut self, from: usize, anchored: bool) -> std::result::Result<Option<(usize, usize)>, Failure> {
        let begin = usize::from(anchored);
        for start in from..=self.subject.len() {
            self.captures.clear();
            self.depth = 0;
            if let Some(end) = self.matches(start, begin)? {
                return Ok(Some((start, end)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    /// An octet of the pattern; it ends with a zero.
    fn part(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    fn step(&mut self, steps: u64) -> std::result::Result<(), Failure> {
        let before = self.steps / STEPS;
        self.steps += steps;
        if self.steps / STEPS > before && (self.is_over)() { Err(Failure::TimeIsOver) } else { Ok(()) }
    }

    fn matches(&mut self, mut s: usize, mut p: usize) -> Matched {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Failure::Wrong("pattern too complex"));
        }
        let end = loop {
            self.step(1)?;
            match self.part(p) {
                b'(' if self.part(p + 1) == b')' => break self.open(s, p + 2, Capture::Position(s))?,
                b'(' => break self.open(s, p + 1, Capture::Open(s))?,
                b')' => break self.close(s, p + 1)?,
                ESCAPE if self.part(p + 1) == b'b' => match self.balance(s, p + 2)? {
                    Some(next) => (s, p) = (next, p + 4),
                    None => break None,
                },
                ESCAPE if self.part(p + 1) == b'f' => {
                    p += 2;
                    if self.part(p) != b'[' {
                        return Err(Failure::Wrong("missing '[' after '%f' in pattern"));
                    }
                    let end = self.class_end(p)?;
                    let previous = if s == 0 { 0 } else { self.subject[s - 1] };
                    let next = self.subject.get(s).copied().unwrap_or(0);
                    if self.in_set(previous, p, end - 1) || !self.in_set(next, p, end - 1) {
                        break None;
                    }
                    p = end;
                }
                ESCAPE if self.part(p + 1).is_ascii_digit() => match self.again(s, self.part(p + 1))? {
                    Some(next) => (s, p) = (next, p + 2),
                    None => break None,
                },
                0 => break Some(s),
                b'$' if self.part(p + 1) == 0 => break (s == self.subject.len()).then_some(s),
                _ => {
                    let end = self.class_end(p)?;
                    let is_one = self.is_one(s, p, end);
                    match self.part(end) {
                        b'?' => {
                            if is_one && let Some(found) = self.matches(s + 1, end + 1)? {
                                break Some(found);
                            }
                            p = end + 1;
                        }
                        b'*' => break self.most(s, p, end)?,
                        b'+' => break if is_one { self.most(s + 1, p, end)? } else { None },
                        b'-' => break self.least(s, p, end)?,
                        _ if is_one => (s, p) = (s + 1, end),
                        _ => break None,
                    }
                }
            }
        };
        self.depth -= 1;
        Ok(end)
    }

    fn open(&mut self, s: usize, p: usize, capture: Capture) -> Matched {
        if self.captures.len() >= MOST_CAPTURES {
            return Err(Failure::Wrong("too many captures"));
        }
        self.captures.push(capture);
        let found = self.matches(s, p)?;
        if found.is_none() {
            self.captures.pop();
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Matched {
        let open = self.captures.iter().enumerate().rev().find_map(|(at, capture)| match capture {
            Capture::Open(from) => Some((at, *from)),
            _ => None,
        });
        let Some((at, from)) = open else { return Err(Failure::Wrong("invalid pattern capture")) };
        self.captures[at] = Capture::Text(from, s);
        let found = self.matches(s, p)?;
        if found.is_none() {
            self.captures[at] = Capture::Open(from);
        }
        Ok(found)
    }

    /// What has been captured before, once more.
    fn again(&mut self, s: usize, digit: u8) -> Matched {
        let captured = usize::from(digit).checked_sub(usize::from(b'1')).and_then(|at| self.captures.get(at));
        let text = match captured {
            Some(Capture::Text(from, to)) => &self.subject[*from..*to],
            // A position has no text: its length is a number that no text has.
            Some(Capture::Position(_)) => return Ok(None),
            _ => return Err(Failure::Wrong("invalid capture index")),
        };
        let end = self.subject[s..].starts_with(text).then_some(s + text.len());
        self.step(text.len() as u64 / 8)?;
        Ok(end)
    }

    fn balance(&mut self, s: usize, p: usize) -> Matched {
        let (open, close) = (self.part(p), self.part(p + 1));
        if open == 0 || close == 0 {
            return Err(Failure::Wrong("unbalanced pattern"));
        }
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for (at, octet) in self.subject[s + 1..].iter().enumerate() {
            if *octet == close {
                depth -= 1;
                if depth == 0 {
                    self.step(at as u64)?;
                    return Ok(Some(s + at + 2));
                }
            } else if *octet == open {
                depth += 1;
            }
        }
        self.step((self.subject.len() - s) as u64)?;
        Ok(None)
    }

    fn most(&mut self, s: usize, p: usize, end: usize) -> Matched {
        let mut count = 0;
        while self.is_one(s + count, p, end) {
            count += 1;
        }
        self.step(count as u64)?;
        for count in (0..=count).rev() {
            if let Some(found) = self.matches(s + count, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn least(&mut self, mut s: usize, p: usize, end: usize) -> Matched {
        loop {
            if let Some(found) = self.matches(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.is_one(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    /// Where what stands for one octet ends.
    fn class_end(&self, p: usize) -> std::result::Result<usize, Failure> {
        match self.part(p) {
            ESCAPE if self.part(p + 1) == 0 => Err(Failure::Wrong("malformed pattern (ends with '%')")),
            ESCAPE => Ok(p + 2),
            b'[' => {
                let mut p = p + 1 + usize::from(self.part(p + 1) == b'^');
                loop {
                    if self.part(p) == 0 {
                        return Err(Failure::Wrong("malformed pattern (missing ']')"));
                    }
                    p += 1;
                    if self.part(p - 1) == ESCAPE && self.part(p) != 0 {
                        p += 1;
                    }
                    if self.part(p) == b']' {
                        return Ok(p + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn is_one(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&octet) = self.subject.get(s) else { return false };
        match self.part(p) {
            b'.' => true,
            ESCAPE => is_of_class(octet, self.part(p + 1)),
            b'[' => self.in_set(octet, p, end - 1),
            part => part == octet,
        }
    }

    /// Whether an octet is in the set that begins and ends there.
    fn in_set(&self, octet: u8, mut p: usize, end: usize) -> bool {
        let is_negated = self.part(p + 1) == b'^';
        p += usize::from(is_negated);
        loop {
            p += 1;
            if p >= end {
                return is_negated;
            }
            let is_there = if self.part(p) == ESCAPE {
                p += 1;
                is_of_class(octet, self.part(p))
            } else if self.part(p + 1) == b'-' && p + 2 < end {
                p += 2;
                (self.part(p - 2)..=self.part(p)).contains(&octet)
            } else {
                self.part(p) == octet
            };
            if is_there {
                return !is_negated;
            }
        }
    }
}

fn is_of_class(octet: u8, class: u8) -> bool {
    let is_there = match class.to_ascii_lowercase() {
        b'a' => octet.is_ascii_alphabetic(),
        b'c' => octet.is_ascii_control(),
        b'd' => octet.is_ascii_digit(),
        b'g' => octet.is_ascii_graphic(),
        b'l' => octet.is_ascii_lowercase(),
        b'p' => octet.is_ascii_punctuation(),
        b's' => matches!(octet, b' ' | 9..=13),
        b'u' => octet.is_ascii_uppercase(),
        b'w' => octet.is_ascii_alphanumeric(),
        b'x' => octet.is_ascii_hexdigit(),
        b'z' => octet == 0,
        _ => return octet == class,
    };
    is_there != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::vm::Vm;
    use std::time::Duration;

    #[test]
    fn patterns_that_have_little_to_try_are_left_to_luajit() {
        for pattern in ["%s+", "^%s*", "abc", "[a-z*]", "(%w+)", "^.-b", "%.%-%+", "[]*+-]", "%d"] {
            assert_eq!(reach(pattern.as_bytes()), f64::INFINITY, "{pattern}");
        }
        assert_eq!(reach(b"%s*$") as u64, 31_622);
        assert!((999.0..1001.0).contains(&reach(b"^%s*(.-)%s*$")));
        assert_eq!(reach(b"(%w+)=(%w+)") as u64, 31_622);
        assert!(reach(b".-.-.-.-b") < 100.0);
        assert!(reach("a?".repeat(40).as_bytes()) < 1.0);
        assert_eq!(reach(b"[a"), f64::INFINITY);
        assert_eq!(reach(b"%b()") as u64, 31_622);
    }

    /// The same as LuaJIT's own functions, over patterns and texts that are made of few parts.
    #[test]
    fn matches_are_those_of_luajit() {
        let vm = Vm::new().unwrap();
        let differences = r#"
            local own, real, seed = ...
            local function random(most)
                seed = (seed * 1103515245 + 12345) % 2147483648
                return math.floor(seed / 65536) % most + 1
            end
            local parts = { "a", "b", ".", "%a", "%s", "%S", "[ab]", "[^a]", "[a-c%d]", "[%]x-]", "*", "+", "-", "?",
                "(", ")", "()", "%1", "%2", "%b()", "%bxy", "%f[%w]", "%f[^a]", "^", "$", "%", "[", "]", "%z", "\0",
                "é", "0" }
            local letters = { "a", "b", "c", " ", "(", ")", "x", "y", "1", "]", "-", "\0", "é", "\11" }
            local function text(of, most)
                local made = {}
                for at = 1, random(most) do made[at] = of[random(#of)] end
                return table.concat(made)
            end
            local function outcome(f, ...)
                local returned = { pcall(f, ...) }
                for at = 1, 8 do returned[at] = type(returned[at]) .. ":" .. tostring(returned[at]) end
                return table.concat(returned, "|"):gsub("code:%d+: ", ""):gsub("[%w=/_%-]+:%d+: ", "")
            end
            local function all(f, s, p)
                local found = {}
                for a, b in f(s, p) do
                    found[#found + 1] = tostring(a) .. "," .. tostring(b)
                    if #found > 40 then break end
                end
                return table.concat(found, ";")
            end
            local replacements = { "<%0>", "%1%%x", "%", { a = "A", b = false, [1] = "one" }, 7,
                function(a, b) return a == "a" and "A" or nil end, function() return {} end }
            for _ = 1, 20000 do
                local s, p, init = text(letters, 14), text(parts, 7), random(20) - 10
                local repl, max = replacements[random(#replacements)], random(6) - 1
                -- What has no part of a pattern is searched for as it stands.
                local find = real.find(p, "[%^$*+?.(%[%%-]") and { s, p, init } or nil
                for what, arguments in pairs { find = find, match = { s, p, init }, gsub = { s, p, repl, max } } do
                    local a = outcome(real[what], unpack(arguments))
                    local b = outcome(own[what], unpack(arguments))
                    if a ~= b then
                        return what .. " of " .. ("%q %q %s %s"):format(s, p, init, max) .. ": " .. a .. " but " .. b
                    end
                end
                local a, b = outcome(all, real.gmatch, s, p), outcome(all, own.gmatch, s, p)
                if a ~= b then
                    return "gmatch of " .. ("%q %q"):format(s, p) .. ": " .. a .. " but " .. b
                end
            end
            return ""
        "#;
        let own: Table = vm.slot.raw_get("own_patterns").unwrap();
        let real: Table = vm.slot.raw_get("real_patterns").unwrap();
        let difference: String = vm.lua.load(differences).set_name("=code").call((own, real, 42)).unwrap();
        assert_eq!(difference, "");
    }

    #[test]
    fn texts_are_found_as_they_stand() {
        let vm = Vm::new().unwrap();
        let code = r#"
            local s = ("ab%"):rep(40000) .. "c"
            local at = {}
            for i, init in ipairs { false, 1, 2, 120000, 120001, 120002, -1, -5, 0, 1e6 } do
                local first, last = s:find("b%c", init or nil, true)
                at[i] = tostring(first) .. "-" .. tostring(last)
            end
            return table.concat(at, " ") .. tostring(s:find("no", 1, true)) .. s:find("b%a", 1, true)
        "#;
        let found: String = vm.lua.load(code).eval().unwrap();
        let places = ["119999-120001"; 3].join(" ");
        let nowhere = ["nil-nil"; 4].join(" ");
        assert_eq!(found, format!("{places} {nowhere} 119999-120001 119999-120001 nil-nilnil2"));
        // LuaJIT would compare for minutes.
        let code = "return (('a'):rep(8e6)):find(('a'):rep(4e6) .. 'b', 1, true)";
        assert!(vm.lua.load(code).eval::<Value>().unwrap().is_nil());
    }

    #[test]
    fn time_ends_a_match() {
        let vm = Vm::new().unwrap();
        for call in
            ["s:find('.-.-.-.-b')", "s:match('(a*)(a*)b')", "s:gsub('.-.-.-.-b', '')", "s:gmatch('.-.-.-.-b')()"]
        {
            vm.limit(Some(Duration::from_millis(100)));
            let code = format!("local s = ('a'):rep(30000) return pcall(function() return {call} end)");
            let error = vm.lua.load(code).exec().unwrap_err().to_string();
            vm.limit(None);
            vm.slot.raw_set("over", false).unwrap();
            assert!(error.contains("the phase is over"), "{call}: {error}");
        }
    }
}

//! JSON as lua-cjson reads it, straight into values of Lua: texts have any octets but a quote, a backslash and NUL, so
//! that content that services take is seen by code, too.

use mlua::{Lua, Result, Table, Value};

/// Tables inside each other, at most.
pub const MAX_DEPTH: usize = 1000;

/// Why a text is no JSON.
type Failure = String;

/// What stands at a place.
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Comma,
    Colon,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    End,
    Wrong(&'static str),
}

/// What is open: a table, and the name under which the next value goes, or how many it has.
enum Open {
    Object(Table, Vec<u8>),
    Array(Table, i64),
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the token begins that was read last.
    token_at: usize,
}

/// The value of a text, or why there is none. Lists get the metatable that is given.
pub fn read(
    lua: &Lua,
    text: &[u8],
    arrays: Option<&Table>,
    deepest: usize,
) -> Result<std::result::Result<Value, Failure>> {
    let mut reader = Reader { text, at: 0, token_at: 0 };
    let mut open: Vec<Open> = Vec::new();
    loop {
        // A value begins here.
        let token = reader.next();
        let mut value = match token {
            Token::ObjectBegin | Token::ArrayBegin if open.len() >= deepest => {
                return Ok(Err(format!("Found too many nested data structures ({})", open.len() + 1)));
            }
            Token::ObjectBegin => match reader.name(true) {
                Err(failure) => return Ok(Err(failure)),
                Ok(None) => Value::Table(lua.create_table()?),
                Ok(Some(name)) => {
                    open.push(Open::Object(lua.create_table()?, name));
                    continue;
                }
            },
            Token::ArrayBegin => {
                let table = lua.create_table()?;
                if let Some(arrays) = arrays {
                    table.set_metatable(Some(arrays.clone()))?;
                }
                if reader.ends_array() {
                    Value::Table(table)
                } else {
                    open.push(Open::Array(table, 0));
                    continue;
                }
            }
            Token::Text(text) => Value::String(lua.create_string(text)?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(flag) => Value::Boolean(flag),
            Token::Null => Value::NULL,
            other => return Ok(Err(reader.expected("value", &other))),
        };
        // It goes to where it belongs, and what is complete by that, too.
        loop {
            match open.pop() {
                None => {
                    return Ok(match reader.next() {
                        Token::End => Ok(value),
                        other => Err(reader.expected("the end", &other)),
                    });
                }
                Some(Open::Object(table, name)) => {
                    table.raw_set(lua.create_string(&name)?, value)?;
                    match reader.next() {
                        Token::Comma => match reader.name(false) {
                            Err(failure) => return Ok(Err(failure)),
                            Ok(name) => {
                                open.push(Open::Object(table, name.unwrap_or_default()));
                                break;
                            }
                        },
                        Token::ObjectEnd => value = Value::Table(table),
                        other => return Ok(Err(reader.expected("comma or object end", &other))),
                    }
                }
                Some(Open::Array(table, count)) => {
                    table.raw_set(count + 1, value)?;
                    match reader.next() {
                        Token::Comma => {
                            open.push(Open::Array(table, count + 1));
                            break;
                        }
                        Token::ArrayEnd => value = Value::Table(table),
                        other => return Ok(Err(reader.expected("comma or array end", &other))),
                    }
                }
            }
        }
    }
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn ends_array(&mut self) -> bool {
        self.skip_blanks();
        let ends = self.peek() == Some(b']');
        self.at += usize::from(ends);
        ends
    }

    /// The name of a field and the colon behind it; nothing at the end of an object, where that may be.
    fn name(&mut self, may_end: bool) -> std::result::Result<Option<Vec<u8>>, Failure> {
        let name = match self.next() {
            Token::Text(name) => name,
            Token::ObjectEnd if may_end => return Ok(None),
            other => return Err(self.expected("object key string", &other)),
        };
        match self.next() {
            Token::Colon => Ok(Some(name)),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn next(&mut self) -> Token {
        self.skip_blanks();
        self.token_at = self.at;
        let Some(octet) = self.peek() else { return Token::End };
        let single = match octet {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.text(),
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    fn word(&mut self) -> Token {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, token) in [("true", Token::Boolean(true)), ("false", Token::Boolean(false)), ("null", Token::Null)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        match number(rest) {
            Some((number, length)) => {
                self.at += length;
                Token::Number(number)
            }
            None => Token::Wrong("invalid token"),
        }
    }

    fn text(&mut self) -> Token {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|octet| matches!(octet, b'"' | b'\\' | 0));
            let Some(plain) = plain else {
                self.token_at = self.text.len();
                return Token::Wrong("unexpected end of string");
            };
            text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Token::Text(text);
                }
                0 => {
                    self.token_at = self.at;
                    return Token::Wrong("unexpected end of string");
                }
                _ => {
                    if let Err(what) = self.escape(&mut text) {
                        self.token_at = self.at;
                        return Token::Wrong(what);
                    }
                }
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        let octet = match self.text.get(self.at + 1) {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(octet @ (b'"' | b'\\' | b'/')) => *octet,
            Some(b'u') => {
                let wrong = "invalid unicode escape code";
                let unit = self.unit(0).ok_or(wrong)?;
                let (code, length) = match unit {
                    0xd800..=0xdbff => {
                        let low = self.unit(6).filter(|low| (0xdc00..=0xdfff).contains(low)).ok_or(wrong)?;
                        (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12)
                    }
                    unit => (unit, 6),
                };
                let character = char::from_u32(code).ok_or(wrong)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        text.push(octet);
        self.at += 2;
        Ok(())
    }

    /// The number of an escape `\uXXXX`, so many octets on.
    fn unit(&self, on: usize) -> Option<u32> {
        let escape = self.text.get(self.at + on..self.at + on + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
    }

    fn expected(&self, what: &str, found: &Token) -> Failure {
        let found = match found {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Comma => "T_COMMA",
            Token::Colon => "T_COLON",
            Token::Text(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::End => "T_END",
            Token::Wrong(what) => what,
        };
        format!("Expected {what} but found {found} at character {}", self.token_at + 1)
    }
}

/// A number as C's `strtod` reads it, hexadecimal ones, infinities and what is no number included; and its length.
fn number(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let sign = if text.first() == Some(&b'-') { -1.0 } else { 1.0 };
    let rest = &text[signed..];
    let begins = |word: &str| rest.get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if begins(word) {
            return Some((sign * value, signed + word.len()));
        }
    }
    let digits = |from: usize, is: fn(&u8) -> bool| rest.iter().skip(from).take_while(|octet| is(octet)).count();
    if begins("0x") && digits(2, u8::is_ascii_hexdigit) > 0 {
        let count = digits(2, u8::is_ascii_hexdigit);
        let value = rest[2..2 + count]
            .iter()
            .fold(0.0, |value, digit| value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or_default()));
        return Some((sign * value, signed + 2 + count));
    }
    let whole = digits(0, u8::is_ascii_digit);
    let mut length = whole;
    if rest.get(length) == Some(&b'.') {
        let fraction = digits(length + 1, u8::is_ascii_digit);
        if whole + fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(rest.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'-' | b'+')));
        let exponent = digits(length + 1 + sign, u8::is_ascii_digit);
        length += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let value: f64 = std::str::from_utf8(&rest[..length]).ok()?.parse().ok()?;
    Some((sign * value, signed + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &[u8]) -> String {
        let lua = Lua::new();
        match read(&lua, text, None, MAX_DEPTH).unwrap() {
            Err(failure) => failure,
            Ok(value) => {
                let show = "local v = ... local function s(v) if type(v) ~= 'table' then return tostring(v) end \
                    local t = {} for k, x in pairs(v) do t[#t + 1] = tostring(k) .. '=' .. s(x) end table.sort(t) \
                    return '{' .. table.concat(t, ' ') .. '}' end return s(v)";
                lua.load(show).call(value).unwrap()
            }
        }
    }

    #[test]
    fn texts_are_read_as_lua_cjson_does() {
        for (text, expected) in [
            (r#" {"a":[1,{"b":"c"},true],"d":""} "#, "{a={1=1 2={b=c} 3=true} d=}"),
            (r#"{"a":1,"a":2}"#, "{a=2}"),
            ("[]", "{}"),
            ("{}", "{}"),
            (r#""\u20ac\ud83d\ude00\/\n""#, "€😀/\n"),
            ("[0x10,01,1.,-2.5e1,1e400,+1]", "{1=16 2=1 3=1 4=-25 5=inf 6=1}"),
            ("", "Expected value but found T_END at character 1"),
            ("[1", "Expected comma or array end but found T_END at character 3"),
            ("[1,]", "Expected value but found T_ARR_END at character 4"),
            ("[1] 2", "Expected the end but found T_NUMBER at character 5"),
            ("{1:2}", "Expected object key string but found T_NUMBER at character 2"),
            (r#"{"a" 1}"#, "Expected colon but found T_NUMBER at character 6"),
            (r#"{"a":1 "b":2}"#, "Expected comma or object end but found T_STRING at character 8"),
            (r#"{"a":1,}"#, "Expected object key string but found T_OBJ_END at character 8"),
            ("nope", "Expected value but found invalid token at character 1"),
            (r#"["\x"]"#, "Expected value but found invalid escape code at character 3"),
            (r#""\ud83d""#, "Expected value but found invalid unicode escape code at character 2"),
            (r#""abc"#, "Expected value but found unexpected end of string at character 5"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn any_octets_are_texts() {
        let lua = Lua::new();
        for text in [&b"\"a\tb\""[..], b"\"caf\xe9\"", b"\"\x01\x7f\""] {
            let value = read(&lua, text, None, MAX_DEPTH).unwrap().unwrap();
            assert_eq!(value.as_string().unwrap().as_bytes(), &text[1..text.len() - 1]);
        }
        assert_eq!(shown(b"\"a\0b\""), "Expected value but found unexpected end of string at character 3");
    }

    #[test]
    fn tables_are_nested_to_a_limit() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(shown(&nested(150)).starts_with("{1={"));
        assert!(read(&Lua::new(), &nested(1000), None, MAX_DEPTH).unwrap().is_ok());
        assert_eq!(shown(&nested(1001)), "Found too many nested data structures (1001)");
    }
}

//! JSON as `cjson` writes and reads it.

use super::json_read;
use crate::lua::value::{LIST, LISTS};
use mlua::{Error, Lua, LuaString, Result, Table, Value};

/// Tables inside each other, at most.
const MAX_DEPTH: usize = 1000;
/// Octets of a text, and values in it, at most: the same table may be in others many times.
const MAX_TEXT: usize = 64 << 20;
const MAX_VALUES: usize = 1 << 20;
/// The largest index of a list with holes, which are null.
const MAX_SPARSE: i64 = 1 << 15;
/// Digits of numbers that are written.
const DIGITS: usize = 16;

/// Metatables by which code says that a table is a list.
struct Marks {
    array: Table,
    empty_array: Table,
}

struct Writer<'m> {
    out: Vec<u8>,
    values: usize,
    marks: &'m Marks,
    /// Whether an empty table is `{}`.
    empty_is_object: bool,
    escapes_slash: bool,
    settings: Settings,
}

/// What code may set of a writer of its own (`cjson.new`), as lua-cjson has it.
#[derive(Clone, Copy)]
struct Settings {
    max_depth: usize,
    /// Digits of numbers.
    precision: usize,
    /// Numbers that JSON has none for: an error, null, or as C writes them.
    invalid: Invalid,
    /// Lists of which the largest index is beyond `safe` and more than so many times their length: objects in their
    /// place (`true`), or an error. A ratio of 0 lets all pass.
    sparse: Option<(bool, i64, i64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Null,
    Written,
}

type Encoded = (Value, Option<bool>, Option<bool>, Option<Table>);

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    let marks = Marks { array: lua.create_table()?, empty_array: lua.create_table()? };
    marks.array.raw_set(LIST, true)?;
    marks.empty_array.raw_set(LIST, true)?;
    native.raw_set("array_mt", &marks.array)?;
    lua.set_named_registry_value(LISTS, &marks.array)?;
    native.raw_set("empty_array_mt", &marks.empty_array)?;
    let encode = lua.create_function(move |lua, (value, empty_is_list, plain_slash, settings): Encoded| {
        let settings = Settings::of(settings)?;
        let mut writer = Writer {
            settings,
            out: Vec::new(),
            values: 0,
            marks: &marks,
            empty_is_object: empty_is_list != Some(true),
            escapes_slash: plain_slash != Some(true),
        };
        writer.value(&value, settings.max_depth)?;
        lua.create_string(writer.out)
    })?;
    native.raw_set("json_encode", encode)?;
    native.raw_set("json_decode", lua.create_function(decode)?)
}

/// What the text stands for, or why it cannot be read.
fn decode(
    lua: &Lua,
    (text, arrays, deepest): (LuaString, Option<Table>, Option<usize>),
) -> Result<(Value, Option<String>)> {
    let read = json_read::read(lua, &text.as_bytes(), arrays.as_ref(), deepest.unwrap_or(json_read::MAX_DEPTH))?;
    Ok(read.map_or_else(|why| (Value::Nil, Some(why)), |value| (value, None)))
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, deeper: usize) -> Result<()> {
        self.values += 1;
        if self.out.len() > MAX_TEXT || self.values > MAX_VALUES {
            return Err(Error::runtime("Cannot serialise, the text is too long"));
        }
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            value if value.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(flag) => self.out.extend_from_slice(flag.to_string().as_bytes()),
            Value::Integer(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Number(number) if !number.is_finite() && self.settings.invalid != Invalid::Refused => {
                let text = match (self.settings.invalid, number.is_nan(), *number > 0.0) {
                    (Invalid::Null, ..) => "null",
                    (_, true, _) => "NaN",
                    (_, _, true) => "Infinity",
                    (_, _, false) => "-Infinity",
                };
                self.out.extend_from_slice(text.as_bytes());
            }
            Value::Number(number) if !number.is_finite() => {
                return Err(Error::runtime("Cannot serialise number: must not be NaN or Infinity"));
            }
            Value::Number(number) => {
                self.out.extend_from_slice(number_text(*number, self.settings.precision).as_bytes());
            }
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Table(table) => {
                let most = self.settings.max_depth;
                let deeper = deeper
                    .checked_sub(1)
                    .ok_or_else(|| Error::runtime(format!("Cannot serialise, excessive depth ({})", most + 1)))?;
                self.table(table, deeper)?;
            }
            other => {
                let kind = other.type_name();
                return Err(Error::runtime(format!("Cannot serialise {kind}: type not supported")));
            }
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, deeper: usize) -> Result<()> {
        let metatable = table.metatable();
        let marked = |mark: &Table| metatable.as_ref() == Some(mark);
        let largest = if marked(&self.marks.array) { Some(table.raw_len() as i64) } else { self.largest_index(table)? };
        if let Some(largest) = largest.filter(|largest| *largest > 0 || marked(&self.marks.array)) {
            self.out.push(b'[');
            for at in 1..=largest {
                if at > 1 {
                    self.out.push(b',');
                }
                self.value(&table.raw_get(at)?, deeper)?;
            }
            self.out.push(b']');
            return Ok(());
        }
        if largest == Some(0) && (marked(&self.marks.empty_array) || !self.empty_is_object) {
            self.out.extend_from_slice(b"[]");
            return Ok(());
        }
        let mut fields = Vec::new();
        for pair in table.pairs::<Value, Value>() {
            let (name, value) = pair?;
            let name = match &name {
                Value::String(name) => name.as_bytes().to_vec(),
                Value::Integer(number) => number.to_string().into_bytes(),
                Value::Number(number) => number_text(*number, self.settings.precision).into_bytes(),
                other => {
                    let kind = other.type_name();
                    let why = format!("Cannot serialise {kind}: table key must be a number or string");
                    return Err(Error::runtime(why));
                }
            };
            fields.push((name, value));
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.out.push(b'{');
        for (at, (name, value)) in fields.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.text(name);
            self.out.push(b':');
            self.value(value, deeper)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The largest index, where all keys are indices; 0 for an empty table.
    fn largest_index(&self, table: &Table) -> Result<Option<i64>> {
        let mut largest = 0;
        let mut count = 0;
        for pair in table.pairs::<Value, Value>() {
            let index = match pair?.0 {
                Value::Integer(index) => index,
                Value::Number(index) if index.fract() == 0.0 => index as i64,
                _ => return Ok(None),
            };
            if index < 1 {
                return Ok(None);
            }
            largest = largest.max(index);
            count += 1;
        }
        let (becomes_object, is_sparse) = match self.settings.sparse {
            Some((becomes_object, ratio, safe)) => {
                (becomes_object, ratio > 0 && largest > safe && largest > count * ratio)
            }
            None => (false, largest > MAX_SPARSE && largest > count * 2),
        };
        match (is_sparse, becomes_object) {
            (true, true) => Ok(None),
            (true, false) => Err(Error::runtime("Cannot serialise table: excessively sparse array")),
            (false, _) => Ok(Some(largest)),
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for &octet in text {
            match octet {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' if self.escapes_slash => self.out.extend_from_slice(b"\\/"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                8 => self.out.extend_from_slice(b"\\b"),
                12 => self.out.extend_from_slice(b"\\f"),
                0..32 | 127 => self.out.extend_from_slice(format!("\\u{octet:04x}").as_bytes()),
                octet => self.out.push(octet),
            }
        }
        self.out.push(b'"');
    }
}

impl Settings {
    /// Those that code has set; else those of the gateway itself.
    fn of(given: Option<Table>) -> Result<Settings> {
        let mut settings =
            Settings { max_depth: MAX_DEPTH, precision: DIGITS, invalid: Invalid::Refused, sparse: None };
        if let Some(given) = given {
            settings.max_depth = given.raw_get::<usize>("max_depth")?.min(MAX_DEPTH);
            settings.precision = given.raw_get::<usize>("precision")?.clamp(1, 17);
            settings.invalid = match given.raw_get::<Value>("invalid")? {
                Value::Boolean(true) => Invalid::Written,
                Value::Boolean(false) | Value::Nil => Invalid::Refused,
                _ => Invalid::Null,
            };
            let (convert, ratio, safe) = (given.raw_get("convert")?, given.raw_get("ratio")?, given.raw_get("safe")?);
            // The gateway's own limit holds beside it, for holes take space.
            settings.sparse =
                Some((convert, if ratio == 0 { 2 } else { ratio }, if ratio == 0 { MAX_SPARSE } else { safe }));
        }
        Ok(settings)
    }
}

/// As C's `%.16g`, or with as many digits as are asked for.
fn number_text(number: f64, digits: usize) -> String {
    let digits = digits as i32;
    if number.fract() == 0.0 && number.abs() < 1e15 && digits >= 15 {
        return format!("{number:.0}");
    }
    let scientific = format!("{number:.*e}", (digits - 1) as usize);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..digits).contains(&exponent) => {
            trimmed(&format!("{number:.*}", usize::try_from(digits - 1 - exponent).unwrap_or_default()))
        }
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
        }
        Err(_) => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::{DIGITS, number_text};

    #[test]
    fn numbers_look_as_in_c() {
        for (number, text) in [(1.0, "1"), (0.1, "0.1"), (-2.5, "-2.5"), (1e20, "1e+20"), (1e-7, "1e-07")] {
            assert_eq!(number_text(number, DIGITS), text);
        }
        assert_eq!(number_text(0.1 + 0.2, DIGITS), "0.3");
        assert_eq!(number_text(1.0 / 3.0, 3), "0.333");
        assert_eq!(number_text(123456.0, 3), "1.23e+05");
    }
}

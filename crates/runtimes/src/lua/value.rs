//! Values of Lua and of JSON, one as the other.

use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};
use sdk::Fields;
use serde_json::{Map, Number, Value as Json};

/// Tables inside each other, at most.
const MAX_DEPTH: usize = 64;
/// Values in one, at most.
const MAX_VALUES: usize = 1 << 20;

/// What a metatable has by which a table is a list even when it is empty.
pub const LIST: &str = "__list";

/// The metatable that lists have which stay lists when they are empty, in the registry.
pub const LISTS: &str = "lists";

/// What becomes of null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// `ngx.null`.
    Kept,
    /// Nothing, as in the configuration that a plugin gets.
    LeftOut,
}

/// JSON as Lua has it; lists get a metatable, where there is one for them.
pub fn to_lua(lua: &Lua, json: &Json, nulls: Nulls, of_lists: Option<&Table>) -> Result<Value> {
    Ok(match json {
        Json::Null if nulls == Nulls::Kept => Value::NULL,
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let items: Vec<Value> =
                items.iter().map(|item| to_lua(lua, item, nulls, of_lists)).collect::<Result<_>>()?;
            let list = lua.create_sequence_from(items)?;
            if of_lists.is_some() {
                list.set_metatable(of_lists.cloned())?;
            }
            Value::Table(list)
        }
        Json::Object(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.raw_set(name.as_str(), to_lua(lua, field, nulls, of_lists)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A record as plugins get it: without what is null.
pub fn record(lua: &Lua, json: &Json) -> Result<Value> {
    to_lua(lua, json, Nulls::LeftOut, None)
}

/// JSON whose lists stay lists when code hands them on.
pub fn with_lists(lua: &Lua, json: &Json, nulls: Nulls) -> Result<Value> {
    to_lua(lua, json, nulls, Some(&lua.named_registry_value(LISTS)?))
}

/// A value of Lua as JSON: a table that has a first element is a list, as is an empty one that is marked as such
/// (`cjson.empty_array_mt`). Text that is not UTF-8 is replaced.
pub fn to_json(value: &Value) -> Result<Json> {
    json(value, MAX_DEPTH, &mut { MAX_VALUES })
}

/// `left` bounds how many values there are: the same table may be in others many times.
fn json(value: &Value, deeper: usize, left: &mut usize) -> Result<Json> {
    *left = left.checked_sub(1).ok_or_else(|| Error::runtime("there are too many values"))?;
    Ok(match value {
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::Number((*number as i64).into()),
        Value::Number(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.to_string_lossy()),
        Value::Table(table) => {
            let deeper = deeper.checked_sub(1).ok_or_else(|| Error::runtime("tables are nested too deeply"))?;
            if table.raw_len() > 0 {
                let items = table.sequence_values::<Value>();
                return items.map(|item| json(&item?, deeper, left)).collect::<Result<_>>().map(Json::Array);
            }
            if table.metatable().is_some_and(|marks| marks.contains_key(LIST).unwrap_or_default()) {
                return Ok(Json::Array(Vec::new()));
            }
            let mut fields = Map::new();
            for pair in table.pairs::<Value, Value>() {
                let (name, field) = pair?;
                if let Some(name) = text(&name) {
                    fields.insert(String::from_utf8_lossy(&name).into_owned(), json(&field, deeper, left)?);
                }
            }
            fields.sort_keys();
            Json::Object(fields)
        }
        _ => Json::Null,
    })
}

/// A number, however Lua has it.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// The octets of a string, or of a number as text.
pub fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(as_lua_writes(*number as f64).into_bytes()),
        Value::Number(number) => Some(as_lua_writes(*number).into_bytes()),
        Value::Boolean(flag) => Some(flag.to_string().into_bytes()),
        _ => None,
    }
}

/// A number as `tostring` writes it: 14 digits that count, as C's `%.14g`.
fn as_lua_writes(number: f64) -> String {
    if !number.is_finite() {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        return if number.is_nan() { "nan".to_owned() } else { format!("{sign}inf") };
    }
    let text = format!("{number:.13e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let without_zeros = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if (-4..14).contains(&exponent) {
        let decimals = usize::try_from(13 - exponent).unwrap_or_default();
        return without_zeros(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs())
}

/// Names with one or several values, as Kong shows lines and arguments: a text or a list of them.
pub struct Named {
    table: Table,
    left: usize,
    is_truncated: bool,
}

impl Named {
    /// At most so many values.
    pub fn new(lua: &Lua, max: usize) -> Result<Named> {
        Ok(Named { table: lua.create_table()?, left: max, is_truncated: false })
    }

    /// Lines by lower-case names, which code may write in any case and with `_` for `-`.
    pub fn of_fields<'f>(
        lua: &Lua,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
        max: usize,
    ) -> Result<MultiValue> {
        let mut named = Named::new(lua, max)?;
        for (name, value) in fields {
            named.add(lua, &name.to_ascii_lowercase().into_bytes(), Value::String(lua.create_string(value)?))?;
        }
        named.table.set_metatable(Some(of_lines(lua)?))?;
        named.finish(lua)
    }

    /// The same, by names as they are sent.
    pub fn of_raw_fields(lua: &Lua, fields: &Fields, max: usize) -> Result<MultiValue> {
        let mut named = Named::new(lua, max)?;
        for (name, value) in fields.iter() {
            named.add(lua, name.as_bytes(), Value::String(lua.create_string(value)?))?;
        }
        named.finish(lua)
    }

    /// Adds a value to those of a name.
    pub fn add(&mut self, lua: &Lua, name: &[u8], value: Value) -> Result<()> {
        if self.left == 0 {
            self.is_truncated = true;
            return Ok(());
        }
        self.left -= 1;
        let name = lua.create_string(name)?;
        match self.table.raw_get::<Value>(&name)? {
            Value::Nil => self.table.raw_set(name, value),
            Value::Table(list) => list.raw_push(value),
            first => self.table.raw_set(name, lua.create_sequence_from([first, value])?),
        }
    }

    /// The table, and `truncated` where there were more.
    pub fn finish(self, lua: &Lua) -> Result<MultiValue> {
        match self.is_truncated {
            true => (self.table, "truncated").into_lua_multi(lua),
            false => self.table.into_lua_multi(lua),
        }
    }
}

/// What tables of header lines have in common, made once for each machine.
fn of_lines(lua: &Lua) -> Result<Table> {
    const NAME: &str = "of_lines";
    if let Some(known) = lua.named_registry_value::<Option<Table>>(NAME)? {
        return Ok(known);
    }
    let index = lua.create_function(|_, (table, name): (Table, Value)| {
        let Some(name) = text(&name) else { return Ok(Value::Nil) };
        let name = String::from_utf8_lossy(&name).to_ascii_lowercase().replace('_', "-");
        table.raw_get::<Value>(name)
    })?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", index)?;
    lua.set_named_registry_value(NAME, &metatable)?;
    Ok(metatable)
}

/// The first line of a name, which code may write with `_` for `-`.
pub fn line_of<'f>(fields: &'f Fields, name: &str) -> Option<&'f [u8]> {
    fields.get(name).or_else(|| if name.contains('_') { fields.get(&name.replace('_', "-")) } else { None })
}

/// The values that a name has in a table of code: one, or a list.
pub fn values(value: &Value) -> Result<Vec<Vec<u8>>> {
    match value {
        Value::Table(list) => {
            list.sequence_values::<Value>().filter_map(|item| item.map(|item| text(&item)).transpose()).collect()
        }
        single => Ok(text(single).into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_lua_does() {
        for (number, text) in [
            (0.0, "0"),
            (-7.0, "-7"),
            (0.1 + 0.2, "0.3"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (1e15, "1e+15"),
            (1.5e-7, "1.5e-07"),
            (0.000_123, "0.000123"),
            (1.0 / 3.0, "0.33333333333333"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(as_lua_writes(number), text);
        }
    }
}

//! Messages as tables, and tables as messages.

use crate::lua::value::{number, text};
use mlua::{Error, Function, Lua, Result, Table, Value};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field};
use sdk::Bytes;
use std::collections::HashMap;

/// Messages inside each other, at most.
const MAX_DEPTH: usize = 64;

/// How values look in tables (`pb.option`).
#[derive(Default)]
pub struct Options {
    enum_as_value: bool,
    int64_as_string: bool,
    /// What has not been sent is not there, whatever the syntax.
    without_defaults: bool,
    /// Functions by names of messages: what they make of a table that has been read, and of what is to be written.
    decode_hooks: Option<Table>,
    encode_hooks: Option<Table>,
    /// Options that others have added are read from text by lua-protobuf, which makes no list of one message.
    is_description: bool,
    is_option: bool,
}

impl Options {
    /// For descriptions of types, which have numbers and no defaults.
    pub fn of_descriptions() -> Options {
        Options { enum_as_value: true, without_defaults: true, is_description: true, ..Options::default() }
    }

    pub fn new(given: &Table) -> Result<Options> {
        Ok(Options {
            enum_as_value: given.raw_get("enum_as_value")?,
            int64_as_string: given.raw_get("int64_as_string")?,
            without_defaults: given.raw_get("no_default_values")?,
            decode_hooks: given.raw_get("decode_hooks")?,
            encode_hooks: given.raw_get("encode_hooks")?,
            ..Options::default()
        })
    }
}

fn hook(hooks: Option<&Table>, kind: &MessageDescriptor) -> Result<Option<Function>> {
    hooks.map_or(Ok(None), |hooks| hooks.raw_get(kind.full_name()))
}

/// A message as a table. Fields of proto3 that have no presence have their defaults.
pub fn to_lua(lua: &Lua, message: &DynamicMessage, options: &Options) -> Result<Table> {
    let table = lua.create_table()?;
    for field in prost_reflect::ReflectMessage::descriptor(message).fields() {
        let is_sent = message.has_field(&field);
        let has_default =
            !options.without_defaults && !field.supports_presence() && !field.is_list() && !field.is_map();
        if is_sent || has_default {
            table.raw_set(field.name(), value(lua, &message.get_field(&field), &field.kind(), options)?)?;
        }
    }
    let of_options = Options { is_option: true, ..Options::of_descriptions() };
    let options = if options.is_description { &of_options } else { options };
    for (extension, extended) in message.extensions() {
        table.raw_set(extension.full_name(), value(lua, extended, &extension.kind(), options)?)?;
    }
    Ok(table)
}

fn value(lua: &Lua, field: &Field, kind: &Kind, options: &Options) -> Result<Value> {
    Ok(match field {
        Field::Bool(flag) => Value::Boolean(*flag),
        Field::I32(number) => Value::Integer((*number).into()),
        Field::U32(number) => Value::Integer((*number).into()),
        Field::I64(number) if options.int64_as_string => Value::String(lua.create_string(number.to_string())?),
        Field::U64(number) if options.int64_as_string => Value::String(lua.create_string(number.to_string())?),
        Field::I64(number) => Value::Number(*number as f64),
        Field::U64(number) => Value::Number(*number as f64),
        Field::F32(number) => Value::Number((*number).into()),
        Field::F64(number) => Value::Number(*number),
        Field::String(text) => Value::String(lua.create_string(text)?),
        Field::Bytes(octets) => Value::String(lua.create_string(octets)?),
        Field::EnumNumber(number) => {
            let known = kind.as_enum().and_then(|kind| kind.get_value(*number)).filter(|_| !options.enum_as_value);
            match known {
                Some(known) => Value::String(lua.create_string(known.name())?),
                None => Value::Integer((*number).into()),
            }
        }
        Field::Message(message) => {
            let table = to_lua(lua, message, options)?;
            match hook(options.decode_hooks.as_ref(), &prost_reflect::ReflectMessage::descriptor(message))? {
                Some(hook) => hook.call(table)?,
                None => Value::Table(table),
            }
        }
        Field::List(items) if options.is_option && matches!(items[..], [Field::Message(_)]) => {
            value(lua, &items[0], kind, options)?
        }
        Field::List(items) => {
            let items: Vec<Value> = items.iter().map(|item| value(lua, item, kind, options)).collect::<Result<_>>()?;
            Value::Table(lua.create_sequence_from(items)?)
        }
        Field::Map(entries) => {
            let table = lua.create_table()?;
            let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            for (key, entry) in entries {
                let key = value(lua, &Field::from(key.clone()), &Kind::String, options)?;
                table.raw_set(key, value(lua, entry, kind.as_ref().unwrap_or(&Kind::String), options)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A table as a message. What the message has no field for is left out.
pub fn of_table(table: &Table, kind: MessageDescriptor, options: &Options) -> Result<DynamicMessage> {
    message(table, kind, options, MAX_DEPTH)
}

fn message(table: &Table, kind: MessageDescriptor, options: &Options, deeper: usize) -> Result<DynamicMessage> {
    let deeper = deeper.checked_sub(1).ok_or_else(|| Error::runtime("messages are nested too deeply"))?;
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        let given: Value = table.get(field.name())?;
        if given.is_nil() || given.is_null() {
            continue;
        }
        let made = whole(&given, &field, options, deeper)?;
        message.try_set_field(&field, made).map_err(|error| Error::runtime(error.to_string()))?;
    }
    Ok(message)
}

fn whole(given: &Value, field: &FieldDescriptor, options: &Options, deeper: usize) -> Result<Field> {
    let table = |given: &Value| match given {
        Value::Table(table) => Ok(table.clone()),
        other => Err(unexpected("table", field, other)),
    };
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return Err(unexpected("map", field, given)) };
        let (of_key, of_value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut entries: HashMap<MapKey, Field> = HashMap::new();
        for pair in table(given)?.pairs::<Value, Value>() {
            let (key, value) = pair?;
            let key = single(&key, &of_key, options, deeper)?.into_map_key();
            let key = key.ok_or_else(|| unexpected("key", field, given))?;
            entries.insert(key, single(&value, &of_value, options, deeper)?);
        }
        return Ok(Field::Map(entries));
    }
    if field.is_list() {
        let items = table(given)?;
        let items = items.sequence_values::<Value>().map(|item| single(&item?, field, options, deeper));
        return items.collect::<Result<_>>().map(Field::List);
    }
    single(given, field, options, deeper)
}

fn single(given: &Value, field: &FieldDescriptor, options: &Options, deeper: usize) -> Result<Field> {
    let wrong = |wanted: &str| unexpected(wanted, field, given);
    let as_number = || {
        let text = || text(given).and_then(|text| String::from_utf8(text).ok());
        let parsed = || text()?.trim_start_matches('#').parse().ok();
        number(given).or_else(parsed).ok_or_else(|| wrong("number"))
    };
    // Numbers of 64 bits may come as texts, in which no digit is lost.
    let as_i128 = || {
        let digits = text(given).and_then(|text| String::from_utf8(text).ok());
        match digits.and_then(|digits| digits.trim_start_matches('#').parse::<i128>().ok()) {
            Some(number) => Ok(number),
            None => as_number().map(|number| number as i128),
        }
    };
    Ok(match field.kind() {
        Kind::Bool => Field::Bool(given.as_boolean().ok_or_else(|| wrong("boolean"))?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Field::I32(as_number()? as i64 as i32),
        Kind::Uint32 | Kind::Fixed32 => Field::U32(as_number()? as i64 as u32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Field::I64(as_i128()? as i64),
        Kind::Uint64 | Kind::Fixed64 => Field::U64(as_i128()? as u64),
        Kind::Float => Field::F32(as_number()? as f32),
        Kind::Double => Field::F64(as_number()?),
        Kind::String => {
            let text = text(given).ok_or_else(|| wrong("string"))?;
            Field::String(String::from_utf8(text).map_err(|_| wrong("string in UTF-8"))?)
        }
        Kind::Bytes => Field::Bytes(Bytes::from(text(given).ok_or_else(|| wrong("string"))?)),
        Kind::Enum(kind) => match given {
            Value::String(name) => {
                let known = kind.get_value_by_name(&name.to_str()?);
                Field::EnumNumber(known.ok_or_else(|| wrong("known enum value"))?.number())
            }
            _ => Field::EnumNumber(as_number()? as i32),
        },
        Kind::Message(kind) => {
            let given = match hook(options.encode_hooks.as_ref(), &kind)? {
                Some(hook) => hook.call(given)?,
                None => given.clone(),
            };
            let Value::Table(table) = given else { return Err(wrong("table")) };
            Field::Message(message(&table, kind, options, deeper)?)
        }
    })
}

fn unexpected(wanted: &str, field: &FieldDescriptor, given: &Value) -> Error {
    Error::runtime(format!("{wanted} expected for field '{}', got {}", field.name(), given.type_name()))
}

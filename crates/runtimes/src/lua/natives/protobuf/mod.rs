//! Protocol Buffers (lua-protobuf's `pb` and `protoc`): types that code has described, and messages of them.

mod values;

use mlua::{Error, IntoLuaMulti, Lua, LuaString, MultiValue, Result, Table, Value};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

/// Octets that the descriptions of a machine's types may have in all.
const MOST_DESCRIBED: usize = 16 << 20;
/// Octets of one message that is written.
const MOST_ENCODED: usize = 32 << 20;
/// Octets of one that is read, as in gRPC's libraries: its values take many times as many, and are not part of what
/// code of a worker may hold.
const MOST_DECODED: usize = 4 << 20;

/// The types of this thread's machine.
#[derive(Default)]
struct Types {
    pool: DescriptorPool,
    described: usize,
}

/// `.proto` texts by the names under which others import them.
struct Texts(HashMap<String, String>);

thread_local! {
    static TYPES: RefCell<Types> = RefCell::default();
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("pb_load", lua.create_function(|_, set: LuaString| Ok(outcome(load(&set.as_bytes()))))?)?;
    native.raw_set("pb_compile", lua.create_function(compile)?)?;
    native.raw_set("pb_file", lua.create_function(file)?)?;
    native.raw_set("pb_encode", lua.create_function(encode)?)?;
    native.raw_set("pb_decode", lua.create_function(decode)?)?;
    native.raw_set("pb_type", lua.create_function(described)?)?;
    native.raw_set("pb_types", lua.create_function(|_, ()| Ok(names()))?)?;
    native.raw_set("pb_enum", lua.create_function(enumerated)?)?;
    let clear = |_: &Lua, ()| {
        TYPES.set(Types::default());
        Ok(())
    };
    native.raw_set("pb_clear", lua.create_function(clear)?)
}

/// A value, or nil and why not.
fn outcome<T>(outcome: std::result::Result<T, String>) -> (Option<T>, Option<String>) {
    outcome.map_or_else(|error| (None, Some(error)), |value| (Some(value), None))
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// Adds the types of a set of files, as compilers write it. Files that are known already stay as they are.
fn load(set: &[u8]) -> std::result::Result<bool, String> {
    TYPES.with_borrow_mut(|types| {
        if types.described + set.len() > MOST_DESCRIBED {
            return Err("there are too many types".to_owned());
        }
        types.pool.decode_file_descriptor_set(set).map_err(words)?;
        types.described += set.len();
        Ok(true)
    })
}

/// Compiles a file: from one of these texts, or found in one of these folders. With what it imports.
fn compile(
    lua: &Lua,
    (name, texts, folders): (String, HashMap<String, String>, Vec<String>),
) -> Result<(Option<LuaString>, Option<String>)> {
    let compiled = || {
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(texts));
        folders.iter().for_each(|folder| resolver.add(IncludeFileResolver::new(folder.into())));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(Path::new(&name)).map_err(words)?;
        Ok::<_, String>(compiler.encode_file_descriptor_set())
    };
    match compiled() {
        Ok(set) => Ok((Some(lua.create_string(set)?), None)),
        Err(error) => Ok((None, Some(error))),
    }
}

/// A file's description as a table.
fn file(lua: &Lua, name: String) -> Result<Value> {
    let described = TYPES.with_borrow(|types| {
        let file = types.pool.get_file_by_name(&name)?;
        // Options that others have added are described beside the file.
        let own = types.pool.get_message_by_name("google.protobuf.FileDescriptorProto");
        let kind = own.or_else(|| DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorProto"));
        Some((kind?, file.encode_to_vec()))
    });
    let Some((kind, octets)) = described else { return Ok(Value::Nil) };
    let message = DynamicMessage::decode(kind, octets.as_slice()).map_err(Error::external)?;
    values::to_lua(lua, &message, &values::Options::of_descriptions()).map(Value::Table)
}

fn message(name: &str) -> Result<MessageDescriptor> {
    let found = TYPES.with_borrow(|types| types.pool.get_message_by_name(name.trim_start_matches('.')));
    found.ok_or_else(|| Error::runtime(format!("type '{name}' does not exists")))
}

fn encode(lua: &Lua, (name, table, options): (String, Table, Table)) -> Result<LuaString> {
    let options = values::Options::new(&options)?;
    let octets = values::of_table(&table, message(&name)?, &options)?.encode_to_vec();
    if octets.len() > MOST_ENCODED {
        return Err(Error::runtime("the message is too large"));
    }
    lua.create_string(octets)
}

fn decode(lua: &Lua, (name, octets, options): (String, LuaString, Table)) -> Result<(Option<Table>, Option<String>)> {
    let options = values::Options::new(&options)?;
    if octets.as_bytes().len() > MOST_DECODED {
        return Ok((None, Some("the message is too large".to_owned())));
    }
    match DynamicMessage::decode(message(&name)?, &*octets.as_bytes()) {
        Ok(message) => Ok((Some(values::to_lua(lua, &message, &options)?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// The whole name of a type, its own one, and of what kind it is.
fn described(lua: &Lua, name: String) -> Result<MultiValue> {
    let name = name.trim_start_matches('.');
    let found = TYPES.with_borrow(|types| {
        let message = types.pool.get_message_by_name(name).map(|found| {
            let kind = if found.is_map_entry() { "map" } else { "message" };
            (format!(".{}", found.full_name()), found.name().to_owned(), kind)
        });
        message.or_else(|| {
            let found = types.pool.get_enum_by_name(name)?;
            Some((format!(".{}", found.full_name()), found.name().to_owned(), "enum"))
        })
    });
    found.map_or_else(|| Value::Nil.into_lua_multi(lua), |found| found.into_lua_multi(lua))
}

fn names() -> Vec<String> {
    TYPES.with_borrow(|types| types.pool.all_messages().map(|message| format!(".{}", message.full_name())).collect())
}

/// The number of a name in an enumeration, or the name of a number.
fn enumerated(lua: &Lua, (name, key): (String, Value)) -> Result<Value> {
    let found = TYPES.with_borrow(|types| types.pool.get_enum_by_name(name.trim_start_matches('.')));
    let Some(found) = found else { return Ok(Value::Nil) };
    match key {
        Value::String(key) => Ok(found
            .get_value_by_name(&key.to_str()?)
            .map_or(Value::Nil, |value| Value::Integer(value.number().into()))),
        key => {
            let number = crate::lua::value::number(&key).unwrap_or_default() as i32;
            found.get_value(number).map_or(Ok(Value::Nil), |value| lua.create_string(value.name()).map(Value::String))
        }
    }
}

impl FileResolver for Texts {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().filter(|path| self.0.contains_key(*path)).map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

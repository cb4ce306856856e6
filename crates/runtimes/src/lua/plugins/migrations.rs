//! Migrations of plugins (`kong/plugins/<name>/migrations`): reading them, and running what of them is code.

use super::functions::{Migrating, SchemaFunction};
use crate::lua::value::{Nulls, text, to_lua};
use crate::lua::vm::{Vm, words};
use mlua::{Function, IntoLuaMulti, Lua, Result as LuaResult, Table, Value};
use sdk::{Migration, MigrationStep};
use serde_json::Value as Json;
use std::sync::mpsc::{SyncSender, sync_channel};

/// A module, as the loader finds it.
type Module = Result<Result<Value, String>, String>;

/// Reads the migrations that an index names, in its order; the errors are in Kong's words. `of`: the plugin, and where
/// its modules are.
pub fn read(
    index: &Value,
    of: (&str, &str),
    module: impl Fn(&str) -> Module,
    mut keep: impl FnMut(Function) -> &'static SchemaFunction,
) -> Result<Vec<Migration>, String> {
    let (plugin, namespace) = of;
    let Value::Table(index) = index else {
        return Err(format!("migrations index from '{namespace}' must be a table"));
    };
    let mut migrations = Vec::new();
    for name in index.sequence_values::<String>() {
        let name = name.map_err(|error| words(&error))?;
        let path = format!("{namespace}.{name}");
        let Ok(migration) = module(&path)? else {
            return Err(format!("failed to load migration '{path}' of '{plugin}' subsystem"));
        };
        let invalid =
            |why: &str| format!("migration '{path}' of '{plugin}' subsystem is invalid: schema violation ({why})");
        let postgres = match &migration {
            Value::Table(migration) => migration.get::<Value>("postgres").map_err(|error| words(&error))?,
            _ => return Err(format!("failed to load migration '{path}' of '{plugin}' subsystem")),
        };
        let postgres = match postgres {
            Value::Table(postgres) => postgres,
            Value::Nil => return Err(invalid("postgres: required field missing")),
            _ => return Err(invalid("postgres: expected a record")),
        };
        let up = field(&postgres, "up")?;
        let up = match (text(&up), up.is_nil()) {
            (Some(octets), _) => String::from_utf8(octets).map_err(|_| invalid("postgres.up: expected a string"))?,
            (None, true) => String::new(),
            (None, false) => return Err(invalid("postgres.up: expected a string")),
        };
        let mut step = |name: &str| match field(&postgres, name)? {
            Value::Function(function) => Ok(Some(keep(function) as &'static dyn MigrationStep)),
            Value::Nil => Ok(None),
            _ => Err(invalid(&format!("postgres.{name}: expected a function"))),
        };
        let (up_f, teardown) = (step("up_f")?, step("teardown")?);
        if field(&postgres, "up")?.is_nil() && up_f.is_none() && teardown.is_none() {
            let names = "'postgres.up', 'postgres.up_f', 'postgres.teardown'";
            return Err(invalid(&format!("at least one of these fields must be non-empty: {names}")));
        }
        migrations.push(Migration { name, up, up_f, teardown });
    }
    Ok(migrations)
}

/// Runs a part of a migration with `kong.db.connector`; what it asks of the database, somebody else runs. The inner
/// error is what the code says.
pub fn run(vm: &Vm, function: &Function, tell: &SyncSender<Migrating>) -> LuaResult<Result<(), String>> {
    let tell = tell.clone();
    let query = vm.lua.create_function(move |lua: &Lua, text: String| {
        let (reply, answered) = sync_channel(1);
        let sent = tell.send(Migrating::Run(text, reply)).is_ok();
        match sent.then(|| answered.recv().ok()).flatten() {
            Some(Ok(outcomes)) => to_lua(lua, &Json::Array(outcomes), Nulls::Kept, None)?.into_lua_multi(lua),
            Some(Err(why)) => (Value::Nil, why).into_lua_multi(lua),
            None => (Value::Nil, "the connection is closed").into_lua_multi(lua),
        }
    })?;
    vm.slot.raw_set("migrating", query)?;
    // Changing many rows takes the time that it takes.
    vm.limit(None);
    let ran = function.call::<(Value, Value)>(vm.slot.raw_get::<Table>("connector")?);
    vm.slot.raw_set("migrating", Value::Nil)?;
    Ok(match ran {
        Err(error) => Err(words(&error)),
        Ok((_, Value::Nil)) => Ok(()),
        Ok((_, why)) => Err(why.to_string().unwrap_or_else(|error| words(&error))),
    })
}

fn field(table: &Table, name: &str) -> Result<Value, String> {
    table.get::<Value>(name).map_err(|error| words(&error))
}

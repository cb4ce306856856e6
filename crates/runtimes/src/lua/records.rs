//! `kong.db`: records of the store, asked for while the worker goes on with others.

use super::value::{Nulls, number, text, to_json, to_lua};
use super::{plugins, surroundings};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};
use sdk::entities::Uuid;
use sdk::{LocalBoxFuture, Record, Records, RecordsError};
use serde_json::{Value as Json, json};

/// What is asked of an entity's records.
struct Question {
    records: Records,
    workspace: Uuid,
    entity: String,
    arguments: MultiValue,
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    let describe = |lua: &Lua, entity: String| {
        let described = surroundings::env().map_or(Json::Null, |env| env.records().describe(&entity));
        to_lua(lua, &described, Nulls::LeftOut, None)
    };
    let describe_plugin = |lua: &Lua, plugin: String| {
        let described = surroundings::env().map_or(Json::Null, |env| env.records().describe_plugin(&plugin));
        to_lua(lua, &described, Nulls::LeftOut, None)
    };
    native.raw_set("describe_plugin", lua.create_function(describe_plugin)?)?;
    let dao_module = |_: &Lua, entity: String| Ok(plugins::dao_of(&entity).map(|dao| dao.module));
    native.raw_set("dao_module", lua.create_function(dao_module)?)?;
    native.raw_set("has_store", lua.create_function(|_, ()| Ok(surroundings::env().is_some()))?)?;
    native.raw_set("describe_entity", lua.create_function(describe)?)
}

/// Asks the store: the answer, or nil and an error as a table. The arguments are the workspace, the entity, and what
/// the name wants.
pub fn operation(lua: &Lua, name: &str, mut arguments: MultiValue) -> LocalBoxFuture<'static, Result<MultiValue>> {
    let (lua, name) = (lua.clone(), name.to_owned());
    Box::pin(async move {
        let Some(env) = surroundings::env() else {
            return Err(Error::runtime("there is no database yet, or none any more"));
        };
        if name == "db.query" {
            let text = arguments.pop_front().map(|text| string(&text)).unwrap_or_default();
            return match env.records().query(text).await {
                Ok(outcomes) => to_lua(&lua, &Json::Array(outcomes), Nulls::Kept, None)?.into_lua_multi(&lua),
                Err(error) => (Value::Nil, error.to_string()).into_lua_multi(&lua),
            };
        }
        let workspace = arguments.pop_front().and_then(|id| Uuid::parse_str(&string(&id)).ok()).unwrap_or_default();
        let entity = arguments.pop_front().map(|name| string(&name)).unwrap_or_default();
        let question = Question { records: env.records().clone(), workspace, entity, arguments };
        match question.answer(&name).await? {
            Ok((answer, further)) => (to_lua(&lua, &answer, Nulls::Kept, None)?, further).into_lua_multi(&lua),
            Err(error) => (Value::Nil, to_lua(&lua, &described(&error), Nulls::LeftOut, None)?).into_lua_multi(&lua),
        }
    })
}

impl Question {
    /// What the store says, and the offset of what follows.
    async fn answer(&self, name: &str) -> Result<std::result::Result<(Json, Option<String>), RecordsError>> {
        let Question { records, workspace, entity, .. } = self;
        let (workspace, first, second) = (*workspace, self.string(0), self.string(1));
        let one = |found: std::result::Result<Option<Record>, RecordsError>| {
            found.map(|record| (record.map_or(Json::Null, Json::Object), None))
        };
        Ok(match name {
            "db.get" => one(records.get(workspace, entity, &first).await),
            "db.find" => one(records.find(workspace, entity, &first, &second).await),
            "db.find_all" => {
                let id = Uuid::parse_str(&second).unwrap_or_default();
                records.find_all(workspace, entity, &first, id).await.map(|all| (json!(all), None))
            }
            "db.page" => {
                let size = self.arguments.front().and_then(number).unwrap_or(0.0) as usize;
                let offset = Some(second).filter(|offset| !offset.is_empty());
                records.page(workspace, entity, size, offset).await.map(|(all, offset)| (json!(all), offset))
            }
            "db.insert" => one(records.insert(workspace, entity, self.record(0)?).await.map(Some)),
            "db.update" => one(records.update(workspace, entity, &first, self.record(1)?).await),
            "db.upsert" => one(records.upsert(workspace, entity, &first, self.record(1)?).await.map(Some)),
            "db.validate" => records.validate(entity, self.record(0)?).await.map(|errors| (errors, None)),
            "db.delete" => records.delete(workspace, entity, &first).await.map(|deleted| (json!(deleted), None)),
            other => return Err(Error::runtime(format!("nothing waits for {other}"))),
        })
    }

    fn string(&self, at: usize) -> String {
        self.arguments.get(at).map(string).unwrap_or_default()
    }

    fn record(&self, at: usize) -> Result<Record> {
        match self.arguments.get(at).map(to_json).transpose()? {
            Some(Json::Object(record)) => Ok(record),
            _ => Err(Error::runtime("a record must be a table")),
        }
    }
}

fn string(value: &Value) -> String {
    text(value).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default()
}

/// As Kong's errors of data access are.
fn described(error: &RecordsError) -> Json {
    match error {
        RecordsError::Store(error) => error.body(),
        other => json!({ "code": 8, "name": "database error", "message": other.to_string() }),
    }
}

//! Lists of a configuration as Kong hands them out: what is in a set can be asked by value, and an empty array is one
//! in JSON, too.

use crate::lua::vm::Vm;
use mlua::{Result, Table, Value};
use serde_json::Value as Json;

/// The metatables of both.
struct Marks {
    set: Table,
    array: Table,
}

/// Marks the lists of a configuration, as a plugin's schema has them.
pub fn mark(vm: &Vm, config: &Table, schema: &str) -> Result<()> {
    let schema: Json = serde_json::from_str(schema).map_err(mlua::Error::external)?;
    let native: Table = vm.slot.raw_get("native")?;
    let marks = Marks { set: vm.slot.raw_get("of_sets")?, array: native.raw_get("array_mt")? };
    let fields = schema["fields"].as_array().into_iter().flatten();
    fields.filter_map(|field| field.get("config")).try_for_each(|of| marks.put(config, of))
}

impl Marks {
    fn put(&self, table: &Table, of: &Json) -> Result<()> {
        let elements = match of["type"].as_str() {
            Some("record") => {
                let fields = of["fields"].as_array().into_iter().flatten().filter_map(Json::as_object).flatten();
                for (name, of) in fields {
                    self.put_value(&table.raw_get(name.as_str())?, of)?;
                }
                return Ok(());
            }
            Some("set") => {
                table.set_metatable(Some(self.set.clone()))?;
                &of["elements"]
            }
            Some("array") => {
                table.set_metatable(Some(self.array.clone()))?;
                &of["elements"]
            }
            Some("map") => &of["values"],
            _ => return Ok(()),
        };
        table.pairs::<Value, Value>().try_for_each(|pair| self.put_value(&pair?.1, elements))
    }

    fn put_value(&self, value: &Value, of: &Json) -> Result<()> {
        value.as_table().map_or(Ok(()), |table| self.put(table, of))
    }
}

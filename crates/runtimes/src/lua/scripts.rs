//! Code in the configuration of other plugins (`custom_fields_by_lua`).

use super::turn::evaluate;
use super::vm::Code;
use sdk::{Exchange, Script, Scripts};
use serde_json::Value;
use std::sync::Arc;

/// Lua for other plugins.
pub struct LuaScripts;

struct Loaded(Code);

impl Scripts for LuaScripts {
    fn load(&self, code: &str) -> Result<Arc<dyn Script>, String> {
        Ok(Arc::new(Loaded(Code::new(code)?)))
    }
}

impl Script for Loaded {
    fn value(&self, exchange: &mut Exchange) -> Result<Value, String> {
        evaluate(&self.0, 0, exchange)
    }
}

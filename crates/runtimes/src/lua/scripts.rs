//! Code in the configuration of other plugins (`custom_fields_by_lua`).

use super::turn::{call, evaluate, text_of};
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

    fn call(&self, exchange: &mut Exchange, arguments: &[Value]) -> Result<Vec<Value>, String> {
        call(&self.0, 0, exchange, arguments)
    }

    fn text(&self, exchange: &mut Exchange) -> Result<Vec<u8>, String> {
        text_of(&self.0, 0, exchange)
    }

    fn reads_content(&self) -> bool {
        self.0.reads_content()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    fn called(code: &str, arguments: &[Value]) -> Result<Vec<Value>, String> {
        let mut exchange = testing::exchange("GET", "/path", &[]);
        LuaScripts.load(code)?.call(&mut exchange, arguments)
    }

    #[test]
    fn functions_of_configurations_are_called_with_values() {
        let code = "return function(status, body) body.path = kong.request.get_path() return status + 1, body end";
        let changed = called(code, &[json!(200), json!({ "a": null, "b": [] })]).unwrap();
        assert_eq!(changed, [json!(201), json!({ "a": null, "b": [], "path": "/path" })]);
        assert_eq!(called("return function() end", &[]).unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn texts_are_octets() {
        let text = |code: &str| {
            let mut exchange = testing::exchange("GET", "/", &[("X-In", "in")]);
            LuaScripts.load(code)?.text(&mut exchange)
        };
        let line = "return function() return kong.request.get_headers().x_in .. '\\233' end";
        assert_eq!(text(line).unwrap(), b"in\xe9");
        assert_eq!(text("return function() return 1 end").unwrap(), b"1");
        assert_eq!(text("return function() return {} end").unwrap_err(), "the function returns no text");
    }

    #[test]
    fn what_is_no_function_or_does_not_end_is_an_error() {
        assert_eq!(called("return 1", &[]).unwrap_err(), "the code returns no function");
        assert!(called("return function() error('boom', 0) end", &[]).unwrap_err().contains("boom"));
        assert!(called("return function() while true do end end", &[]).unwrap_err().contains("takes too long"));
        assert!(called("return function(", &[]).is_err());
    }

    #[test]
    fn long_work_of_functions_counts() {
        for work in ["ngx.md5(s)", "ngx.escape_uri(s)", "ngx.encode_base64(s)", "s:find(s .. 'b', 1, true)"] {
            let code = format!("return function() local s = ('a'):rep(1e6) for i = 1, 1e5 do {work} end return 1 end");
            let error = called(&code, &[]).unwrap_err();
            assert!(error.contains("takes too long"), "{work}: {error}");
        }
    }

    #[test]
    fn handlers_of_protected_calls_end_too() {
        let forever = "function() while true do end end";
        for code in [format!("xpcall({forever}, {forever})"), format!("xpcall(error, {forever}, 'boom')")] {
            let error = called(&format!("return function() {code} return 1 end"), &[]).unwrap_err();
            assert!(error.contains("the phase is over"), "{error}");
        }
        let code = "return function() return select(2, xpcall(error, function(e) return e .. '!' end, 'boom')) end";
        assert_eq!(called(code, &[]).unwrap(), [json!("boom!")]);
    }
}

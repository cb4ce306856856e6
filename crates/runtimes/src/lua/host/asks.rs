//! Functions by which code asks the exchange that is lent: one for each name, made once. Those that most plugins call
//! on each request take the short way.

use super::{Host, service::is_framing};
use crate::lua::value::line_of;
use crate::lua::vm::MOST_MEMORY;
use mlua::{BString, Error, Function, Lua, MultiValue, Result, Value};
use sdk::Fields;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// Lifts the limit of memory while texts are made that no exchange has many octets of: a limit has each text made under
/// a protected call.
struct Unlimited<'l>(&'l Lua);

/// The function of that name.
pub fn function(lua: &Lua, host: &Rc<RefCell<Host>>, name: String) -> Result<Function> {
    let host = Rc::clone(host);
    match name.as_str() {
        "request.get_header" => lua.create_function(move |lua, name: String| {
            let host = borrow(&host)?;
            let Some(value) = line_of(host.exchange.client_lines(), &name) else { return Ok(None) };
            let _unlimited = Unlimited::new(lua);
            lua.create_string(value).map(Some)
        }),
        // One line of texts, as most are.
        "service.request.set_line" | "response.set_line" => {
            let is_request = name.starts_with("service");
            lua.create_function(move |lua, (line, value): (BString, BString)| {
                let mut host = borrow(&host)?;
                if !set_line(&mut host, is_request, &line, &value) {
                    let name = if is_request { "service.request.set_header" } else { "response.set_header" };
                    let (line, value) = (lua.create_string(line)?, lua.create_string(value)?);
                    host.call(lua, name, MultiValue::from_iter([Value::String(line), Value::String(value)]))?;
                }
                Ok(())
            })
        }
        _ => {
            let is_short = !["body", "log.", "ngx.say", "ngx.var", "trace."].iter().any(|long| name.contains(long));
            lua.create_function(move |lua, arguments: MultiValue| {
                let mut host = borrow(&host)?;
                let _unlimited = is_short.then(|| Unlimited::new(lua));
                host.call(lua, &name, arguments)
            })
        }
    }
}

/// One text as the only line of a name; false for what is to be looked at more closely.
fn set_line(host: &mut Host, is_request: bool, line: &[u8], value: &[u8]) -> bool {
    let Ok(line) = str::from_utf8(line) else { return false };
    let is_plain = Fields::is_valid_name(line.as_bytes()) && Fields::is_valid_value(value) && host.is_lent;
    let is_special = match is_request {
        true => line.eq_ignore_ascii_case("host") || is_framing(line),
        false => line.contains('_'),
    };
    if !is_plain || is_special {
        return false;
    }
    let fields = if is_request { &mut host.exchange.request.fields } else { host.lines_to_set(line) };
    fields.set(line, value);
    true
}

fn borrow(host: &RefCell<Host>) -> Result<RefMut<'_, Host>> {
    host.try_borrow_mut().map_err(|_| Error::runtime("the gateway is asked already"))
}

impl<'l> Unlimited<'l> {
    fn new(lua: &'l Lua) -> Unlimited<'l> {
        // A machine has a limit always.
        let _ = lua.set_memory_limit(0);
        Unlimited(lua)
    }
}

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_memory_limit(MOST_MEMORY);
    }
}

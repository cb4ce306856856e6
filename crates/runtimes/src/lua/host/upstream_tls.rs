//! `kong.service`: how connections with the service are secured, and what is asked before each further try.

use super::{Arguments, Host};
use crate::lua::Phase;
use crate::lua::turn::Job;
use crate::lua::value::{number, text};
use crate::lua::vm::{Vm, words};
use mlua::{Error, Function, Lua, MultiValue, RegistryKey, Result, Table, Value};
use sdk::{Exchange, OnRetry, ShownCertificate, UpstreamTls};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A function of `set_target_retry_callback`.
struct LuaRetry {
    function: RegistryKey,
    instance: u64,
    plugin_id: Option<String>,
}

impl Host {
    /// `set_tls_cert_key`, `set_tls_verify` and so on.
    pub(super) fn secure(&mut self, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let wish: &mut UpstreamTls = Arc::make_mut(self.exchange.upstream.tls.get_or_insert_default());
        match function {
            "set_tls_verify" => wish.verify = arguments.value(0).as_boolean(),
            "set_tls_verify_depth" => wish.depth = Some(usize::try_from(arguments.integer(0)?).unwrap_or_default()),
            "set_tls_verify_store" => wish.authorities = Some(texts(arguments.table(0)?)?),
            _ => {
                let (chain, key) = (texts(arguments.table(0)?)?, arguments.text(1)?.into());
                wish.identity = Some(ShownCertificate { chain, key });
            }
        }
        Ok(Value::Boolean(true))
    }

    /// `set_target_retry_callback`; the second argument is the id of the plugin.
    pub(super) fn on_retry(&mut self, lua: &Lua, arguments: &Arguments<'_>) -> Result<Value> {
        let function = lua.create_registry_value(arguments.value(0))?;
        let plugin_id = text(arguments.value(1)).map(|id| String::from_utf8_lossy(&id).into_owned());
        let retry = LuaRetry { function, instance: self.instance, plugin_id };
        self.exchange.upstream.on_retry = Some(Rc::new(retry));
        Ok(Value::Nil)
    }
}

/// Octets of a list.
fn texts(list: &Table) -> Result<Vec<Arc<[u8]>>> {
    let one = |value: Result<Value>| {
        let octets = text(&value?).ok_or_else(|| Error::runtime("a certificate is no text"))?;
        Ok(Arc::from(octets))
    };
    list.sequence_values::<Value>().map(one).collect()
}

impl OnRetry for LuaRetry {
    /// It names the target by `set_target`; or, as Kong's documentation has it, by what it returns.
    fn retry(&self, exchange: &mut Exchange) -> std::result::Result<(), String> {
        let vm = Vm::of_thread().map_err(|error| words(&error))?;
        let job = Job {
            phase: Phase::Balancer,
            instance: self.instance,
            plugin_id: self.plugin_id.clone(),
            plugin: None,
            context: None,
            host: None,
            is_plugin: true,
            may_wait: false,
            owner: None,
        };
        let before = (exchange.upstream.host.clone(), exchange.upstream.port);
        let work = || vm.lua.registry_value::<Function>(&self.function)?.call::<MultiValue>(());
        let (_, returned) = vm.during(&job, Some(exchange), None, work).map_err(|error| words(&error))?;
        let returned = returned.map_err(|error| words(&error))?;
        let at = |place: usize| returned.get(place).unwrap_or(&Value::Nil);
        if matches!(at(0), Value::Nil | Value::Boolean(false)) {
            let why = [at(1), at(2)].into_iter().find_map(text).unwrap_or_else(|| b"nil".to_vec());
            return Err(String::from_utf8_lossy(&why).into_owned());
        }
        if let (Value::String(host), Some(port)) = (at(0), number(at(1)))
            && before == (exchange.upstream.host.clone(), exchange.upstream.port)
        {
            exchange.upstream.host = Some(host.to_string_lossy().into());
            exchange.upstream.port = port as u16;
        }
        Ok(())
    }
}

impl fmt::Debug for LuaRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuaRetry").field("instance", &self.instance).finish_non_exhaustive()
    }
}

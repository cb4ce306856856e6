//! Functions of `kong`, called by name for plugins that run elsewhere: they see what plugins in Lua see.

use super::Phase;
use super::handshakes::Loan;
use super::host::Ending;
use super::operations;
use super::turn::Job;
use super::vm::{Vm, words};
use mlua::{Function, Lua, MultiValue, Value};
use sdk::{Answer, Exchange, Handshake};
use std::rc::Rc;

/// The caller: an instance of a plugin, in a phase, on this thread.
pub struct Calls {
    vm: Rc<Vm>,
    job: Job,
    function: Function,
}

/// What has come of a call.
pub enum Called {
    Values(MultiValue),
    /// The client is to get this, and the phase is over.
    Answer(Answer),
    /// The function has refused its arguments, or the phase.
    Error(String),
}

impl Calls {
    /// The instance with that number and id, of that plugin.
    pub fn new(phase: Phase, (instance, plugin_id): (u64, &str), plugin: &'static str) -> Result<Calls, String> {
        let plugin_id = Some(plugin_id.to_owned());
        let job = Job {
            phase,
            instance,
            plugin_id,
            plugin: Some(plugin),
            context: None,
            host: None,
            is_plugin: true,
            may_wait: true,
            owner: None,
        };
        Vm::of_thread().and_then(|vm| Calls::of_job(vm, job)).map_err(|error| words(&error))
    }

    /// The same while a client connects.
    pub fn of_handshake<'h>(
        handshake: &'h mut Handshake,
        instance: u64,
        plugin_id: &str,
    ) -> Result<(Calls, Loan<'h>), String> {
        let failed = |error: mlua::Error| words(&error);
        let vm = Vm::of_thread().map_err(failed)?;
        let (loan, job) = Loan::new(&vm, handshake, instance, Some(plugin_id.to_owned())).map_err(failed)?;
        Ok((Calls::of_job(vm, job).map_err(failed)?, loan))
    }

    fn of_job(vm: Rc<Vm>, job: Job) -> mlua::Result<Calls> {
        let function = match vm.slot.raw_get::<Option<Function>>("call_by_name")? {
            Some(known) => known,
            None => {
                let text = include_str!("code/calls.lua");
                let function: Function = vm.lua.load(text).set_name("=calls").call(&vm.slot)?;
                vm.slot.raw_set("call_by_name", &function)?;
                function
            }
        };
        Ok(Calls { vm, job, function })
    }

    /// The machine that values belong to.
    pub fn lua(&self) -> &Lua {
        &self.vm.lua
    }

    /// Calls the function of that name (`kong.request.get_method`); one that waits lets the worker go on.
    pub async fn call(&self, mut exchange: Option<&mut Exchange>, name: &str, arguments: MultiValue) -> Called {
        let vm = &self.vm;
        let begin = || {
            let count = arguments.len();
            let given = vm.lua.create_table_with_capacity(count, 0)?;
            for (place, argument) in arguments.into_iter().enumerate() {
                given.raw_set(place + 1, argument)?;
            }
            vm.begin.call::<MultiValue>((&self.function, name, given, count))
        };
        let mut turn = vm.during(&self.job, exchange.as_deref_mut(), None, begin);
        loop {
            let (ending, came) = match turn {
                Ok(turn) => turn,
                Err(error) => return Called::Error(words(&error)),
            };
            match ending {
                Some(Ending::Answer(answer)) => return Called::Answer(*answer),
                Some(Ending::Quiet) => return Called::Values(MultiValue::new()),
                None => {}
            }
            let mut came = match came {
                Ok(came) => came,
                Err(error) => return Called::Error(words(&error)),
            };
            if came.front().is_none_or(Value::is_nil) {
                came.pop_front();
                return Called::Values(came);
            }
            let go_on = async {
                let (key, came) = operations::start(&vm.lua, came)?.await;
                Ok((vm.waited(key)?, came?))
            };
            let went_on: mlua::Result<(Value, MultiValue)> = go_on.await;
            let go_on = || vm.go_on.call::<MultiValue>(went_on?);
            turn = vm.during(&self.job, exchange.as_deref_mut(), None, go_on);
        }
    }
}

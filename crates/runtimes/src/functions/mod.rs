//! `pre-function` and `post-function`: code of a configuration, before all other plugins and after them.

#[cfg(test)]
mod tests;

use crate::lua::{self, Begun, Code, Outcome, Phase};
use sdk::{
    Bytes, Config, Env, Exchange, Function, Handshake, LocalBoxFuture, Phases, Plugin, PluginKind, Step, entities,
};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};

/// The plugin that runs before all others.
pub struct PreFunction;

/// The plugin that runs after all others.
pub struct PostFunction;

struct Instance {
    plugin: &'static str,
    /// Tells instances apart in what code keeps (`kong.ctx.plugin`).
    number: u64,
    certificate: Vec<Code>,
    rewrite: Vec<Code>,
    access: Vec<Code>,
    header_filter: Vec<Code>,
    body_filter: Vec<Code>,
    log: Vec<Code>,
}

impl PluginKind for PreFunction {
    fn name(&self) -> &'static str {
        "pre-function"
    }

    fn priority(&self) -> i32 {
        1_000_000
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("lua_code", Function::Validator(|value| is_code_of("pre-function", value)))]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        Instance::configure("pre-function", plugin)
    }

    fn start_worker(&self, index: usize) {
        lua::become_worker(index);
    }

    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(lua::end_worker())
    }
}

impl PluginKind for PostFunction {
    fn name(&self) -> &'static str {
        "post-function"
    }

    fn priority(&self) -> i32 {
        -1000
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("lua_code", Function::Validator(|value| is_code_of("post-function", value)))]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        Instance::configure("post-function", plugin)
    }

    fn start_worker(&self, index: usize) {
        lua::become_worker(index);
    }

    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(lua::end_worker())
    }
}

impl Instance {
    fn configure(name: &'static str, plugin: &entities::Plugin) -> Result<Box<dyn Plugin>, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let config = Config::new(&plugin.config);
        let codes = |phase: Phase| -> Result<Vec<Code>, String> {
            let texts = config.texts(phase.name());
            texts
                .into_iter()
                .map(|text| Code::of(Some(name), &text).map_err(|e| format!("config.{}: {e}", phase.name())))
                .collect()
        };
        Ok(Box::new(Instance {
            plugin: name,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            certificate: codes(Phase::Certificate)?,
            rewrite: codes(Phase::Rewrite)?,
            access: codes(Phase::Access)?,
            header_filter: codes(Phase::HeaderFilter)?,
            body_filter: codes(Phase::BodyFilter)?,
            log: codes(Phase::Log)?,
        }))
    }

    fn step<'a>(&'a self, codes: &'a [Code], phase: Phase, exchange: &'a mut Exchange) -> Step<'a> {
        match lua::begin(codes, phase, self.number, exchange) {
            Ok(Begun::Over(outcome)) => self.end(phase, exchange, Ok(outcome)),
            Ok(Begun::Waits(waiting)) => Step::Wait(Box::pin(async move {
                let plugin = self.plugin;
                let outcome =
                    waiting.follow(exchange, move |exchange, error| report(plugin, phase, exchange, error)).await;
                self.end(phase, exchange, outcome)
            })),
            Err(error) => self.end(phase, exchange, Err(error)),
        }
    }

    fn end(&self, phase: Phase, exchange: &Exchange, outcome: Result<Outcome, String>) -> Step<'static> {
        match outcome {
            Ok(Outcome::Done) => Step::Next,
            Ok(Outcome::Answer(answer)) => Step::Answer(*answer),
            Err(error) => {
                report(self.plugin, phase, exchange, &error);
                Step::Answer(lua::failed(exchange))
            }
        }
    }

    /// A phase in which code cannot wait. An error keeps what was to be filtered from the client.
    fn filter(&self, codes: &[Code], phase: Phase, exchange: &mut Exchange, piece: Option<(&mut Bytes, bool)>) {
        if let Err(error) = lua::run(codes, phase, self.number, exchange, piece) {
            report(self.plugin, phase, exchange, &error);
            exchange.fail_filter();
        }
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let mut phases = Phases::NONE;
        for (codes, phase) in [
            (&self.certificate, Phases::HANDSHAKE),
            (&self.rewrite, Phases::REWRITE),
            (&self.access, Phases::ACCESS),
            (&self.header_filter, Phases::HEADER_FILTER),
            (&self.body_filter, Phases::BODY_FILTER),
            (&self.log, Phases::LOG),
        ] {
            if !codes.is_empty() {
                phases = phases.and(phase);
            }
        }
        if self.header_filter.iter().any(Code::replaces_content) {
            phases = phases.and(Phases::BODY_FILTER);
        }
        phases = phases.looking_back();
        let may_read = phases.has_any(Phases::REWRITE.and(Phases::ACCESS).and(Phases::KEEPS_LINES));
        if may_read { phases.and(Phases::MAY_READ_BODY) } else { phases }
    }

    fn handshake<'a>(&'a self, handshake: &'a mut Handshake) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(lua::run_certificate(&self.certificate, self.number, handshake)))
    }

    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(&self.rewrite, Phase::Rewrite, exchange)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(&self.access, Phase::Access, exchange)
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        self.filter(&self.header_filter, Phase::HeaderFilter, exchange, None);
        lua::settle_replaced(exchange, self.number, self.phases());
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        lua::in_pieces(exchange, self.number, piece, last, |exchange, piece, last| {
            if !self.body_filter.is_empty() {
                self.filter(&self.body_filter, Phase::BodyFilter, exchange, Some((piece, last)));
            }
        })
    }

    fn log(&self, exchange: &mut Exchange) {
        self.filter(&self.log, Phase::Log, exchange, None);
    }
}

fn report(plugin: &str, phase: Phase, exchange: &Exchange, error: &str) {
    let (phase, client, request_id) = (phase.name(), exchange.client.ip, exchange.id_str());
    tracing::error!(plugin, phase, %client, request_id, "{error}");
}

/// Whether Lua can read it.
pub fn is_code(value: &Value) -> Result<(), String> {
    is_code_of("function", value).map_err(|why| why.replacen("error", "Error", 1))
}

/// The same, with that name of what it is for.
fn is_code_of(name: &str, value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    Code::new(text).map(drop).map_err(|error| format!("error parsing {name}: {error}"))
}

//! `jq`: makes other JSON of the content of requests and responses, by programs in the language of jq.
//!
//! Programs and contents are anybody's, and a program may run for ever or take all memory: they meet in processes of
//! their own ([`runner`]), which the node ends when it has to ([`pool`]).

mod pool;
mod printer;
mod program;
mod runner;
#[cfg(test)]
mod tests;
mod updates;

pub use runner::serve;

use crate::gzip;
use pool::{Filtered, Job, Pool};
use printer::Style;
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Fields, Function, Known, MediaType, MemoryBudget, Phases, Plugin, PluginKind,
    RequestBody, Step, Tasks, entities,
};
use serde_json::Value;
use std::sync::Arc;

/// The command of this program that runs as a runner.
pub const COMMAND: &str = "jq-runner";

/// The plugin as the gateway knows it.
pub struct Jq;

struct Instance {
    request: Option<Filter>,
    response: Option<Filter>,
    /// Of responses; `None` for any.
    statuses: Option<Vec<u16>>,
    pool: Arc<Pool>,
    tasks: Tasks,
    memory: MemoryBudget,
}

/// A program, and what it is for.
struct Filter {
    program: Arc<str>,
    style: Style,
    /// The types of content; `None` for any.
    types: Option<Vec<MediaType>>,
}

/// What was compressed is not filtered beyond that.
const MOST_UNZIPPED: usize = 64 << 20;

impl PluginKind for Jq {
    fn name(&self) -> &'static str {
        "jq"
    }

    fn priority(&self) -> i32 {
        811
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("jq_program", Function::Validator(|value| program::check(value.as_str().unwrap_or_default()))),
            ("jq_media_type", Function::Validator(|value| media_type(value.as_str().unwrap_or_default()).map(drop))),
        ]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let statuses = config.list("response_if_status_code").iter().filter_map(Value::as_u64);
        let statuses = statuses.filter_map(|status| status.try_into().ok()).collect();
        Ok(Box::new(Instance {
            request: Filter::read(&config, "request")?,
            response: Filter::read(&config, "response")?,
            statuses: config.is_set("response_if_status_code").then_some(statuses),
            pool: env.shared(),
            tasks: env.tasks().clone(),
            memory: env.memory().clone(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let request = self.request.as_ref().map(|_| Phases::ACCESS.and(Phases::READS_BODY));
        let response = self.response.as_ref().map(|_| Phases::RESPONSE);
        request.unwrap_or_default().and(response.unwrap_or_default())
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let filter = self.request.as_ref().filter(|filter| filter.is_for(&exchange.request.fields));
        match (filter, &exchange.body) {
            (Some(filter), RequestBody::Whole(content)) if !content.is_empty() => {
                let content = content.clone();
                Step::Wait(Box::pin(async move {
                    match self.run(filter, content).await {
                        Ok(Some(content)) => exchange.body = content.into(),
                        Ok(None) => {}
                        Err(why) => return refuse(exchange, &why),
                    }
                    Step::Next
                }))
            }
            (Some(_), RequestBody::TooLarge) => {
                let request_id = exchange.id_str();
                tracing::warn!(
                    request_id,
                    "jq: content is passed on as it is: it is larger than client_body_buffer_size"
                );
                Step::Next
            }
            _ => Step::Next,
        }
    }

    fn wants_response(&self, exchange: &Exchange) -> bool {
        let response = &exchange.response;
        let of_status = self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&response.status));
        of_status && self.response.as_ref().is_some_and(|filter| filter.is_for(&response.fields))
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let content = exchange.response_body.clone().filter(|content| !content.is_empty());
        let (Some(filter), Some(content), true) = (&self.response, content, self.wants_response(exchange)) else {
            return Step::Next;
        };
        Step::Wait(Box::pin(async move {
            let encoding = exchange.response.fields.get("Content-Encoding").map(<[u8]>::trim_ascii);
            let gzip = encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"gzip"));
            // What is not what it says is no JSON either.
            let plain = if gzip { gzip::unzip(&content, &self.memory, MOST_UNZIPPED) } else { Some(content) };
            let Some(plain) = plain else { return Step::Next };
            match self.run(filter, plain).await {
                Ok(Some(content)) => {
                    exchange.response_body = Some(content);
                    if gzip {
                        exchange.response.fields.remove("Content-Encoding");
                    }
                    Step::Next
                }
                Ok(None) => Step::Next,
                Err(why) => refuse(exchange, &why),
            }
        }))
    }
}

impl Instance {
    /// What takes the place of the content; `None` when it stays.
    async fn run(&self, filter: &Filter, content: Bytes) -> Result<Option<Bytes>, String> {
        let job = Job { program: Arc::clone(&filter.program), style: filter.style, content };
        let pool = Arc::clone(&self.pool);
        let filtered = self.tasks.call("jq", async move { pool.filter(job).await }).await;
        match filtered.ok_or("the node ends")?? {
            Filtered::Nothing => Ok(None),
            Filtered::Content(content) => {
                self.memory.hold(content).map(Some).map_err(|_| "there is no memory for what came out".to_owned())
            }
        }
    }
}

impl Filter {
    fn read(config: &Config<'_>, side: &str) -> Result<Option<Filter>, String> {
        let field = |name: &str| format!("{side}_{name}");
        let Some(program) = config.text(&field("jq_program")) else { return Ok(None) };
        program::check(program).map_err(|error| format!("config.{side}_jq_program: {error}"))?;
        let options = config.section(&field("jq_program_options"));
        let types = config.texts(&field("if_media_type"));
        let types = types.iter().map(|text| media_type(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Filter {
            program: program.into(),
            style: Style {
                compact: !options.is_set("compact_output") || options.flag("compact_output"),
                raw: options.flag("raw_output"),
                join: options.flag("join_output"),
                ascii: options.flag("ascii_output"),
                sorted: options.flag("sort_keys"),
            },
            types: config.is_set(&field("if_media_type")).then_some(types),
        }))
    }

    /// Whether content with these lines is of a type that it is for. Parameters count where the configuration has some.
    fn is_for(&self, fields: &Fields) -> bool {
        let Some(types) = &self.types else { return true };
        let Some(kind) = fields.known(Known::ContentType).and_then(MediaType::parse) else { return false };
        let plain = MediaType { parameters: Vec::new(), ..kind.clone() };
        types.iter().any(|one| one.matches(if one.parameters.is_empty() { &plain } else { &kind }))
    }
}

/// What a program was to make is not known, and what it was made of may have to stay hidden.
fn refuse(exchange: &Exchange, why: &str) -> Step<'static> {
    tracing::error!(request_id = exchange.id_str(), "jq: {why}");
    Step::Answer(Answer::unexpected(exchange))
}

fn media_type(text: &str) -> Result<MediaType, String> {
    MediaType::parse(text).ok_or_else(|| format!("'{}' is not a media type", text.escape_debug()))
}

//! `response-transformer` and `response-transformer-advanced`: edit header lines and the members of JSON bodies on
//! their way to the client.

mod content;
mod lines;
mod status;
#[cfg(test)]
mod tests;
mod transform;

use crate::json_edits::{JsonEdits, JsonType, Path};
use content::ContentEdits;
use lines::{Removal, are_header_names, is_line, is_removal, name, pair};
use sdk::{Bytes, Config, Env, Exchange, Function, Phases, Plugin, PluginKind, entities};
use status::{Statuses, is_status};
use transform::Transform;

/// The plugin as the gateway knows it.
pub struct ResponseTransformer;

/// The same for some statuses, with paths into JSON and content in the place of the service's.
pub struct ResponseTransformerAdvanced;

struct Instance {
    remove: (Statuses, Vec<Removal>),
    rename: (Statuses, Vec<(String, String)>),
    replace: (Statuses, Vec<(String, String)>),
    add: (Statuses, Vec<(String, String)>),
    append: (Statuses, Vec<(String, String)>),
    content: ContentEdits,
}

impl PluginKind for ResponseTransformer {
    fn name(&self) -> &'static str {
        "response-transformer"
    }

    fn priority(&self) -> i32 {
        800
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let removals =
            config.section("remove").texts("headers").iter().map(|entry| Removal::all(name(entry))).collect();
        Ok(Box::new(Instance::configure(self.name(), &config, removals, Path::member, env)?))
    }
}

impl PluginKind for ResponseTransformerAdvanced {
    fn name(&self) -> &'static str {
        "response-transformer-advanced"
    }

    fn priority(&self) -> i32 {
        800
    }

    fn schema(&self) -> &'static str {
        include_str!("schema_advanced.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let removals = config.section("remove").texts("headers");
        let removals = removals.iter().map(|entry| Removal::parse(entry)).collect::<Result<_, _>>();
        let removals = removals.map_err(|error| format!("config.remove.headers: {error}"))?;
        let paths = config.is_set("dots_in_keys") && !config.flag("dots_in_keys");
        let path = if paths { Path::parse } else { Path::member };
        let mut instance = Instance::configure(self.name(), &config, removals, path, env)?;
        instance.content.transform = Transform::of(&config, path, env)?;
        if let Some(body) = config.section("replace").text("body") {
            let content = Bytes::copy_from_slice(body.as_bytes());
            instance.content.replace = Some((statuses(&config, "replace")?, content));
        }
        let allow = config.section("allow");
        if allow.is_set("json") {
            let edits = JsonEdits { allow: Some(allow.texts("json")), ..JsonEdits::default() };
            instance.content.json.insert(0, (Statuses::default(), edits));
            instance.content.restricts = true;
        }
        Ok(Box::new(instance))
    }
}

const FUNCTIONS: &[(&str, Function)] = &[
    ("header_names", Function::Validator(are_header_names)),
    ("header_line", Function::Validator(|entry| is_line(entry.as_str().unwrap_or_default()))),
    ("removal", Function::Validator(is_removal)),
    ("status_or_range", Function::Validator(is_status)),
    ("lua_code", Function::Validator(sdk::scripts::is_code)),
];

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.content.is_empty() { Phases::HEADER_FILTER } else { Phases::HEADER_FILTER.and(Phases::BODY_FILTER) }
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        // As Kong, what later steps find present is what was there at the beginning.
        let before = exchange.response.fields.clone();
        let status = exchange.response.status;
        let fields = &mut exchange.response.fields;
        for removal in applying(&self.remove, status) {
            removal.apply(fields);
        }
        for (old, new) in applying(&self.rename, status) {
            let mut values = before.get_all(old).peekable();
            if values.peek().is_some() {
                fields.remove(new);
                values.for_each(|value| fields.append(new, value));
                fields.remove(old);
            }
        }
        for (name, value) in applying(&self.replace, status).iter().filter(|(name, _)| before.contains(name)) {
            fields.set(name, value.as_bytes());
        }
        for (name, value) in applying(&self.add, status).iter().filter(|(name, _)| !before.contains(name)) {
            fields.set(name, value.as_bytes());
        }
        for (name, value) in applying(&self.append, status) {
            fields.append(name, value.as_bytes());
        }
        self.content.begin(exchange, &before);
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        self.content.pass(exchange, piece, last)
    }
}

impl Instance {
    fn configure(
        plugin: &'static str,
        config: &Config<'_>,
        removals: Vec<Removal>,
        path: fn(&str) -> Path,
        env: &Env,
    ) -> Result<Instance, String> {
        let lines = |section: &str| -> Result<(Statuses, Vec<(String, String)>), String> {
            let entries = config.section(section).texts("headers");
            entries
                .iter()
                .try_for_each(|entry| is_line(entry))
                .map_err(|e| format!("config.{section}.headers: {e}"))?;
            Ok((statuses(config, section)?, entries.iter().filter_map(|entry| pair(entry)).collect()))
        };
        let json = |section: &str| config.section(section).texts("json");
        let typed = |section: &str| -> Vec<(Path, Vec<u8>)> {
            let types = config.section(section).texts("json_types");
            let typed = |(at, entry): (usize, &String)| {
                let (name, value) = pair(entry)?;
                let kind = types.get(at).map_or(JsonType::Text, |kind| JsonType::parse(kind));
                Some((path(&name), kind.encode(value.as_bytes())?))
            };
            json(section).iter().enumerate().filter_map(typed).collect()
        };
        let remove = json("remove").iter().map(|entry| path(name(entry))).collect();
        let renamed = |entry: &String| pair(entry).map(|(old, new)| (path(&old), new.into_bytes()));
        let rename = json("rename").iter().filter_map(renamed).collect();
        Ok(Instance {
            remove: (statuses(config, "remove")?, removals),
            rename: lines("rename")?,
            replace: lines("replace")?,
            add: lines("add")?,
            append: lines("append")?,
            content: ContentEdits {
                plugin,
                json: vec![
                    (statuses(config, "remove")?, JsonEdits { remove, ..JsonEdits::default() }),
                    (statuses(config, "rename")?, JsonEdits { rename, ..JsonEdits::default() }),
                    (statuses(config, "replace")?, JsonEdits { replace: typed("replace"), ..JsonEdits::default() }),
                    (statuses(config, "add")?, JsonEdits { add: typed("add"), ..JsonEdits::default() }),
                    (statuses(config, "append")?, JsonEdits { append: typed("append"), ..JsonEdits::default() }),
                ],
                restricts: false,
                replace: None,
                transform: None,
                memory: env.memory().clone(),
            },
        })
    }
}

fn statuses(config: &Config<'_>, section: &str) -> Result<Statuses, String> {
    Statuses::parse(&config.section(section).texts("if_status")).map_err(|e| format!("config.{section}.if_status: {e}"))
}

/// What is done for a status.
fn applying<T>((statuses, all): &(Statuses, Vec<T>), status: u16) -> &[T] {
    if statuses.has(status) { all } else { &[] }
}

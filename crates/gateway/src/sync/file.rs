//! A file as people write it for decK: declarative configuration with a few words more.

use model::schema::FieldType;
use model::{Catalog, Record};
use serde_json::Value;
use std::path::Path;
use store::declarative::{Document, Entities, Notation};

/// What a file wants a node to have.
pub struct Desired {
    pub entities: Entities,
    /// The workspace that the file is for.
    pub workspace: Option<String>,
    /// The tags of everything that the file is about.
    pub select_tags: Vec<String>,
}

/// In the place of a value that a node makes itself.
pub(super) const AUTOMATIC: &str = "made-by-the-node-as-the-file-gives-none";

/// Words for `_info.defaults` are singular.
const DEFAULTS: [(&str, &str); 7] = [
    ("service", "services"),
    ("route", "routes"),
    ("upstream", "upstreams"),
    ("target", "targets"),
    ("consumer", "consumers"),
    ("plugin", "plugins"),
    ("consumer_group", "consumer_groups"),
];

impl Desired {
    /// Reads a file; `-` is standard input.
    pub fn read(path: &Path, catalog: &Catalog) -> Result<Desired, String> {
        let name = path.display();
        let text = if path == Path::new("-") {
            std::io::read_to_string(std::io::stdin()).map_err(|e| format!("cannot read standard input: {e}"))?
        } else {
            std::fs::read_to_string(path).map_err(|e| format!("cannot read {name}: {e}"))?
        };
        let variable = |variable: &str| std::env::var(variable).ok();
        Desired::parse(&text, catalog, variable).map_err(|error| format!("{name}: {error}"))
    }

    /// Reads a text; `variable` is what the environment has.
    pub fn parse(text: &str, catalog: &Catalog, variable: impl Fn(&str) -> Option<String>) -> Result<Desired, String> {
        let text = with_variables(text, variable)?;
        let fields = Document::parse(&text, Notation::Either).map_err(|rejection| rejection.describe())?.into_fields();
        let (mut fields, head) = split(fields)?;
        fields.entry("_format_version").or_insert_with(|| "3.0".into());
        if let Some(configs) = &head.plugin_configs {
            share_configs(&mut fields, configs)?;
        }
        each(&mut fields, catalog, &mut |name, entry| {
            refer_by_text(catalog, name, entry);
            if name == "plugins" {
                mark_automatic(catalog, entry);
            }
        });
        for (singular, entity) in DEFAULTS {
            if let Some(Value::Object(defaults)) = head.defaults.as_ref().and_then(|defaults| defaults.get(singular)) {
                each(&mut fields, catalog, &mut |name, entry| {
                    if name == entity {
                        complete(entry, defaults);
                    }
                });
            }
        }
        if !head.select_tags.is_empty() {
            each(&mut fields, catalog, &mut |name, entry| {
                if catalog.entity(name).is_some_and(|schema| schema.field("tags").is_some()) {
                    tag(entry, &head.select_tags);
                }
            });
        }
        let entities = Document::of_fields(fields).read(catalog).map_err(|rejection| rejection.describe())?;
        Ok(Desired { entities, workspace: head.workspace, select_tags: head.select_tags })
    }
}

/// What only decK's files have.
#[derive(Default)]
struct Head {
    workspace: Option<String>,
    select_tags: Vec<String>,
    defaults: Option<Record>,
    plugin_configs: Option<Record>,
}

fn split(mut fields: Record) -> Result<(Record, Head), String> {
    let object = |value: Option<Value>| match value {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    };
    let looked_up = fields.get("_info").and_then(|info| info.get("default_lookup_tags"));
    if looked_up.is_some_and(|tags| !tags.is_null()) {
        return Err(
            "_info.default_lookup_tags: references to records that are not in the file are not followed".to_owned()
        );
    }
    if fields.contains_key("_konnect") {
        return Err("_konnect: the file is for Konnect, and not for a node".to_owned());
    }
    let mut info = object(fields.shift_remove("_info")).unwrap_or_default();
    let tags = info.remove("select_tags").or_else(|| info.remove("lookup_tags").map(|_| Value::Null));
    let select_tags = match tags {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let head = Head {
        workspace: fields.shift_remove("_workspace").and_then(|name| name.as_str().map(str::to_owned)),
        select_tags,
        defaults: object(info.remove("defaults")),
        plugin_configs: object(fields.shift_remove("_plugin_configs")),
    };
    Ok((fields, head))
}

/// Puts variables in the place of `${{ env "DECK_NAME" }}`. Those that are to be numbers or truth values (`| toInt`)
/// leave quotes around them.
fn with_variables(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    const OPENS: &str = "${{";
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(OPENS) {
        let (inside, mut after) = after.split_once("}}").ok_or("'${{' without '}}'")?;
        let (name, kind) = inside.split_once('|').map_or((inside, None), |(name, kind)| (name, Some(kind.trim())));
        let name = name.trim().strip_prefix("env").map(|name| name.trim().trim_matches('"'));
        let name = name.ok_or_else(|| format!("'${{{{{inside}}}}}' is none of the environment"))?;
        if !name.starts_with("DECK_") {
            return Err(format!("environment variables in a file must begin with DECK_: '{name}'"));
        }
        out.push_str(before);
        match kind {
            None => {}
            Some("toInt" | "toFloat" | "toBool") => {
                let quoted = ['"', '\''].into_iter().find(|quote| out.ends_with(*quote) && after.starts_with(*quote));
                if quoted.is_some() {
                    out.pop();
                    after = &after[1..];
                }
            }
            Some(kind) => return Err(format!("'${{{{{inside}}}}}': '{kind}' is none of toInt, toFloat and toBool")),
        }
        out.push_str(&variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Has an entry refer to others by texts where it does by tables of one name (`service: {name: orders}`).
fn refer_by_text(catalog: &Catalog, entity: &str, entry: &mut Record) {
    let Some(schema) = catalog.entity(entity) else { return };
    for (field, to) in schema.foreign_fields() {
        let key = catalog.entity(to).and_then(|schema| schema.endpoint_key());
        let name = match entry.get(&field.name) {
            Some(Value::Object(reference)) if reference.len() == 1 => key.and_then(|key| reference.get(key)),
            _ => None,
        };
        if let Some(name) = name.cloned() {
            entry.insert(field.name.clone(), name);
        }
    }
}

/// Marks the fields of a plugin that get values of their own where a file gives none, such as namespaces: each sync
/// would give them others.
fn mark_automatic(catalog: &Catalog, plugin: &mut Record) {
    let name = plugin.get("name").and_then(Value::as_str).unwrap_or_default();
    let schema = catalog.plugin(name).and_then(|plugin| plugin.schema.field("config"));
    let Some(FieldType::Record(shape)) = schema.map(|field| &field.kind) else { return };
    for field in shape.fields().iter().filter(|field| field.auto && matches!(field.kind, FieldType::String)) {
        if let Value::Object(config) = plugin.entry("config").or_insert_with(|| Value::Object(Record::new())) {
            config.entry(field.name.clone()).or_insert_with(|| AUTOMATIC.into());
        }
    }
}

/// Visits the entries of a file, and those inside of them.
fn each(fields: &mut Record, catalog: &Catalog, visit: &mut dyn FnMut(&str, &mut Record)) {
    for (name, value) in fields.iter_mut() {
        if catalog.entity(name).is_none() {
            continue;
        }
        for entry in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            visit(name, entry);
            each(entry, catalog, visit);
        }
    }
}

/// Gives plugins the configuration that they name by `_config`; what they say themselves goes before it.
fn share_configs(fields: &mut Record, configs: &Record) -> Result<(), String> {
    for (name, value) in fields.iter_mut() {
        for entry in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            if name == "plugins"
                && let Some(shared) = entry.shift_remove("_config")
            {
                let shared = shared.as_str().unwrap_or_default();
                let Some(Value::Object(config)) = configs.get(shared) else {
                    return Err(format!("_plugin_configs: there is no '{shared}'"));
                };
                let own = entry.entry("config").or_insert_with(|| Value::Object(Record::new()));
                if let Value::Object(own) = own {
                    complete(own, config);
                }
            }
            share_configs(entry, configs)?;
        }
    }
    Ok(())
}

/// Adds what is not there.
fn complete(fields: &mut Record, defaults: &Record) {
    for (name, default) in defaults {
        match (fields.get_mut(name), default) {
            (Some(Value::Object(inner)), Value::Object(default)) => complete(inner, default),
            (Some(_), _) => {}
            (None, default) => drop(fields.insert(name.clone(), default.clone())),
        }
    }
}

fn tag(entry: &mut Record, tags: &[String]) {
    let own = entry.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
    if own.is_null() {
        *own = Value::Array(Vec::new());
    }
    if let Value::Array(own) = own {
        for tag in tags {
            if !own.iter().any(|known| known == tag) {
                own.push(tag.as_str().into());
            }
        }
    }
}

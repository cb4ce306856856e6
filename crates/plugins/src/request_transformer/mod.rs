//! `request-transformer` and `request-transformer-advanced`: edit method, path, header lines, query and body on their
//! way to the service.

mod body;
mod edits;

use crate::templates::{Scope, Template};
use edits::{Edits, Named, Rendered, split};
use sdk::{
    Answer, Args, Config, Content, Env, Exchange, Fields, Function, MemoryBudget, Phases, Plugin, PluginKind, Step,
    entities, path,
};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct RequestTransformer;

/// The same with paths into JSON, types, and members that are let through.
pub struct RequestTransformerAdvanced;

struct Instance {
    plugin: &'static str,
    method: Option<String>,
    uri: Option<Template>,
    headers: Edits,
    query: Edits,
    body: Edits,
    /// Members of bodies that go on; all, where it says nothing.
    allow: Option<Vec<String>>,
    /// Whether the names of members can be paths.
    paths: bool,
    memory: MemoryBudget,
}

impl PluginKind for RequestTransformer {
    fn name(&self) -> &'static str {
        "request-transformer"
    }

    fn priority(&self) -> i32 {
        801
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(Instance::configure(self.name(), &Config::new(&plugin.config), env)?))
    }
}

impl PluginKind for RequestTransformerAdvanced {
    fn name(&self) -> &'static str {
        "request-transformer-advanced"
    }

    fn priority(&self) -> i32 {
        802
    }

    fn schema(&self) -> &'static str {
        include_str!("schema_advanced.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let allow = config.section("allow");
        Ok(Box::new(Instance {
            allow: allow.is_set("body").then(|| allow.texts("body")),
            paths: config.is_set("dots_in_keys") && !config.flag("dots_in_keys"),
            ..Instance::configure(self.name(), &config, env)?
        }))
    }
}

const FUNCTIONS: &[(&str, Function)] = &[
    ("entry_with_value", Function::Validator(has_value)),
    ("header_entry", Function::Validator(names_header)),
    ("header_names", Function::Validator(names_headers)),
];

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let reads_body = !self.body.is_empty() || self.allow.is_some() || self.moves_form() || self.reads_content();
        if reads_body { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(status) = self.refusal(exchange) {
            return Step::Answer(Answer::error(exchange, status, &Answer::status_message(status)));
        }
        match self.transform(exchange) {
            Ok(()) => Step::Next,
            Err(error) => {
                tracing::error!(plugin = self.plugin, "failed to transform a request: {error}");
                Step::Answer(Answer::error(exchange, 500, &Answer::status_message(500)))
            }
        }
    }
}

impl Instance {
    fn configure(plugin: &'static str, config: &Config<'_>, env: &Env) -> Result<Instance, String> {
        let scripts = env.scripts().map(|scripts| &**scripts);
        let template = |text: &str| Template::parse(text, scripts).map_err(|e| format!("value '{text}': {e}"));
        Ok(Instance {
            plugin,
            method: config.text("http_method").map(str::to_ascii_uppercase),
            uri: config.section("replace").text("uri").filter(|uri| !uri.is_empty()).map(template).transpose()?,
            headers: Edits::parse(config, "headers", scripts)?,
            query: Edits::parse(config, "querystring", scripts)?,
            body: Edits::parse(config, "body", scripts)?,
            allow: None,
            paths: false,
            memory: env.memory().clone(),
        })
    }

    /// Whether a form body is put into the query too, because the new method has no body.
    fn moves_form(&self) -> bool {
        matches!(self.method.as_deref(), Some("GET" | "HEAD" | "TRACE"))
    }

    /// Whether a value may look at the content.
    fn reads_content(&self) -> bool {
        let edits = [&self.headers, &self.query, &self.body];
        self.uri.as_ref().is_some_and(Template::reads_content) || edits.into_iter().any(Edits::reads_content)
    }

    fn transform(&self, exchange: &mut Exchange) -> Result<(), String> {
        // Templates speak of the request as it came.
        let mut scope = Scope::new(exchange);
        let uri = self.uri.as_ref().map(|uri| uri.render(&mut scope)).transpose()?;
        let (headers, query) = (self.headers.render(&mut scope)?, self.query.render(&mut scope)?);
        let body = self.body.render(&mut scope)?;
        if let Some(uri) = uri {
            if !uri.starts_with(b"/") {
                return Err(format!("path '{}' must start with /", uri.escape_ascii()));
            }
            exchange.upstream.path = path::escape(&uri);
        }
        let mut args_changed = !self.query.is_empty();
        let query_text = exchange.upstream.query.as_deref().filter(|_| args_changed || self.moves_form());
        let mut args = query_text.map(Args::parse).unwrap_or_default();
        if let Some(method) = &self.method {
            exchange.upstream.method = Some(method.clone());
            if self.moves_form()
                && let Some(Content::Form(form)) = Content::of(exchange)
            {
                form.iter().for_each(|(name, value)| args.append(name, value.as_deref()));
                args_changed |= !form.is_empty();
            }
        }
        edit_headers(exchange, &headers);
        self.edit_body(exchange, &body)?;
        if args_changed {
            query.apply(&mut args);
            exchange.upstream.query = args.to_query();
        }
        Ok(())
    }
}

/// `Host` is not among the lines, but can be replaced.
fn edit_headers(exchange: &mut Exchange, edits: &Rendered<'_>) {
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    let fields = &mut exchange.request.fields;
    for name in edits.remove.iter().filter(|name| !is_host(name)) {
        fields.remove(name);
    }
    for Named { name: old, value: new, .. } in edits.rename.iter().filter(|entry| !is_host(entry.name)) {
        // What is no text is no name either.
        let Ok(new) = std::str::from_utf8(new) else { continue };
        let values: Vec<Vec<u8>> = fields.get_all(old).map(<[u8]>::to_vec).collect();
        if *old != new && !is_host(new) && !values.is_empty() && Fields::is_valid_name(new.as_bytes()) {
            fields.remove(old);
            fields.remove(new);
            values.iter().for_each(|value| fields.append(new, value));
        }
    }
    for Named { name, value, .. } in &edits.replace {
        if is_host(name) {
            exchange.upstream.host_header = Some(as_line(value));
        } else if fields.contains(name) {
            fields.set(name, &as_line(value));
        }
    }
    for Named { name, value, .. } in edits.add.iter().filter(|entry| !is_host(entry.name)) {
        if !fields.contains(name) {
            fields.set(name, &as_line(value));
        }
    }
    for Named { name, value, .. } in edits.append.iter().filter(|entry| !is_host(entry.name)) {
        fields.append(name, &as_line(value));
    }
}

/// A value that can stand in a line: what a client could smuggle in by a template is escaped.
fn as_line(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &octet in value.trim_ascii() {
        match octet {
            b'\t' => out.push(octet),
            octet if octet.is_ascii_control() => out.extend_from_slice(format!("%{octet:02X}").as_bytes()),
            octet => out.push(octet),
        }
    }
    out
}

/// The check that the schema names for entries with a value.
fn has_value(entry: &Value) -> Result<(), String> {
    let (name, value) = split(entry.as_str().unwrap_or_default());
    if value.is_empty() {
        return Err(format!("key '{name}' has no value"));
    }
    Template::check(value).map_err(|e| format!("value '{value}' is not in supported format, error:{e}"))
}

/// The check that the schema names for header lines. As with Kong, a template that cannot be read is no mistake of the
/// configuration here: requests are answered 500.
fn names_header(entry: &Value) -> Result<(), String> {
    let (name, value) = split(entry.as_str().unwrap_or_default());
    is_header_name(name)?;
    is_header_value(value)
}

/// The check that the schema names for renamed header lines.
fn names_headers(entry: &Value) -> Result<(), String> {
    let (name, value) = split(entry.as_str().unwrap_or_default());
    is_header_name(name)?;
    is_header_name(value)
}

fn is_header_value(value: &str) -> Result<(), String> {
    match Fields::is_valid_value(value.as_bytes()) {
        true => Ok(()),
        false => Err(format!("bad header value '{}', control characters are not allowed", value.escape_debug())),
    }
}

fn is_header_name(name: &str) -> Result<(), String> {
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid { Ok(()) } else { Err(format!("'{}' is not a valid header", name.escape_debug())) }
}

#[cfg(test)]
mod tests;

//! `request-transformer`: edits method, path, header lines, query and body on their way to the service.

mod body;
mod lexer;
mod template;

use sdk::{
    Answer, Args, Config, Content, Env, Exchange, Fields, Function, MemoryBudget, Phases, Plugin, PluginKind, Step,
    entities,
};
use serde_json::Value;
use template::{Scope, Template};

/// The plugin as the gateway knows it.
pub struct RequestTransformer;

struct Instance {
    method: Option<String>,
    uri: Option<Template>,
    headers: Edits<Template>,
    query: Edits<Template>,
    body: Edits<Template>,
    memory: MemoryBudget,
}

/// What is done to named things, in this order.
struct Edits<T> {
    remove: Vec<String>,
    rename: Vec<(String, T)>,
    replace: Vec<(String, T)>,
    add: Vec<(String, T)>,
    append: Vec<(String, T)>,
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
        &[
            ("entry_with_value", Function::Validator(has_value)),
            ("header_entry", Function::Validator(names_header)),
            ("header_names", Function::Validator(names_headers)),
        ]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let template = |text: &str| Template::parse(text).map_err(|e| format!("value '{text}': {e}"));
        Ok(Box::new(Instance {
            method: config.text("http_method").map(str::to_ascii_uppercase),
            uri: config.section("replace").text("uri").filter(|uri| !uri.is_empty()).map(template).transpose()?,
            headers: Edits::parse(&config, "headers")?,
            query: Edits::parse(&config, "querystring")?,
            body: Edits::parse(&config, "body")?,
            memory: env.memory().clone(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let reads_body = !self.body.is_empty() || self.moves_form();
        if reads_body { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.transform(exchange) {
            Ok(()) => Step::Next,
            Err(error) => {
                tracing::error!("request-transformer: failed to render a template: {error}");
                Step::Answer(Answer::error(exchange, 500, &Answer::status_message(500)))
            }
        }
    }
}

impl Instance {
    /// Whether a form body is put into the query too, because the new method has no body.
    fn moves_form(&self) -> bool {
        matches!(self.method.as_deref(), Some("GET" | "HEAD" | "TRACE"))
    }

    fn transform(&self, exchange: &mut Exchange) -> Result<(), String> {
        // Templates speak of the request as it came.
        let scope = Scope::new(exchange);
        let uri = self.uri.as_ref().map(|uri| uri.render(&scope)).transpose()?;
        let (headers, query, body) =
            (self.headers.render(&scope)?, self.query.render(&scope)?, self.body.render(&scope)?);
        if let Some(uri) = uri {
            if !uri.starts_with(b"/") {
                return Err(format!("path '{}' must start with /", uri.escape_ascii()));
            }
            exchange.upstream.path = escape_path(&uri);
        }
        let mut args = Args::parse(exchange.upstream.query.as_deref().unwrap_or_default());
        let mut args_changed = !self.query.is_empty();
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
        body::edit(exchange, &body, &self.memory);
        if args_changed {
            query.apply(&mut args);
            exchange.upstream.query = args.to_query();
        }
        Ok(())
    }
}

impl<T> Edits<T> {
    /// Whether nothing is done at all.
    fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }
}

impl Edits<Template> {
    fn parse(config: &Config<'_>, what: &str) -> Result<Edits<Template>, String> {
        let entries = |section: &str| -> Result<Vec<(String, Template)>, String> {
            let texts = config.section(section).texts(what);
            let entry = |text: &String| {
                let (name, value) = split(text);
                let template = || -> Result<Template, String> {
                    if what == "headers" {
                        is_header_name(name)?;
                        is_header_value(value)?;
                    }
                    Template::parse(value)
                };
                // An entry without a value does nothing.
                (!value.is_empty())
                    .then(|| Ok((name.to_owned(), template().map_err(|e| format!("config.{section}.{what}: {e}"))?)))
            };
            texts.iter().filter_map(entry).collect()
        };
        Ok(Edits {
            remove: config.section("remove").texts(what).iter().map(|text| split(text).0.to_owned()).collect(),
            rename: entries("rename")?,
            replace: entries("replace")?,
            add: entries("add")?,
            append: entries("append")?,
        })
    }

    fn render(&self, scope: &Scope<'_>) -> Result<Edits<Vec<u8>>, String> {
        let all = |entries: &[(String, Template)]| {
            entries.iter().map(|(name, value)| Ok((name.clone(), value.render(scope)?))).collect::<Result<_, String>>()
        };
        Ok(Edits {
            remove: self.remove.clone(),
            rename: all(&self.rename)?,
            replace: all(&self.replace)?,
            add: all(&self.add)?,
            append: all(&self.append)?,
        })
    }
}

impl Edits<Vec<u8>> {
    fn apply(&self, args: &mut Args) {
        for name in &self.remove {
            args.remove(name);
        }
        for (old, new) in &self.rename {
            args.rename(old, new);
        }
        for (name, value) in &self.replace {
            if args.contains(name) {
                args.set(name, value);
            }
        }
        for (name, value) in &self.add {
            if !args.contains(name) {
                args.append(name, Some(value));
            }
        }
        for (name, value) in &self.append {
            args.append(name, Some(value));
        }
    }
}

/// `Host` is not among the lines, but can be replaced.
fn edit_headers(exchange: &mut Exchange, edits: &Edits<Vec<u8>>) {
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    let fields = &mut exchange.request.fields;
    for name in edits.remove.iter().filter(|name| !is_host(name)) {
        fields.remove(name);
    }
    for (old, new) in edits.rename.iter().filter(|(old, _)| !is_host(old)) {
        // What is no text is no name either.
        let Ok(new) = std::str::from_utf8(new) else { continue };
        let values: Vec<Vec<u8>> = fields.get_all(old).map(<[u8]>::to_vec).collect();
        if old != new && !is_host(new) && !values.is_empty() && Fields::is_valid_name(new.as_bytes()) {
            fields.remove(old);
            fields.remove(new);
            values.iter().for_each(|value| fields.append(new, value));
        }
    }
    for (name, value) in &edits.replace {
        if is_host(name) {
            exchange.upstream.host_header = Some(as_line(value));
        } else if fields.contains(name) {
            fields.set(name, &as_line(value));
        }
    }
    for (name, value) in edits.add.iter().filter(|(name, _)| !is_host(name)) {
        if !fields.contains(name) {
            fields.set(name, &as_line(value));
        }
    }
    for (name, value) in edits.append.iter().filter(|(name, _)| !is_host(name)) {
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

/// A path as it is sent: what a path cannot hold is escaped, what is escaped already stays.
fn escape_path(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for &octet in path {
        if octet.is_ascii_alphanumeric() || b"!$&'()*+,/:;=@[]-_.~%".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// Name and value of `name:value`.
fn split(entry: &str) -> (&str, &str) {
    let name = entry.split(':').next().unwrap_or_default();
    (name, entry[name.len()..].trim_start_matches(':'))
}

/// The check that the schema names for entries with a value.
fn has_value(entry: &Value) -> Result<(), String> {
    let (name, value) = split(entry.as_str().unwrap_or_default());
    if value.is_empty() {
        return Err(format!("key '{name}' has no value"));
    }
    Template::parse(value).map(|_| ()).map_err(|e| format!("value '{value}' is not in supported format, error:{e}"))
}

/// The check that the schema names for header lines.
fn names_header(entry: &Value) -> Result<(), String> {
    let (name, value) = split(entry.as_str().unwrap_or_default());
    is_header_name(name)?;
    is_header_value(value)?;
    Template::parse(value).map(|_| ()).map_err(|e| format!("value '{value}' is not in supported format, error:{e}"))
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

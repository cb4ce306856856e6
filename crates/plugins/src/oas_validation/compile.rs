//! From an OpenAPI document (Swagger 2, OpenAPI 3.0 and 3.1) to what requests are looked up in.

use super::spec::{Body, Contents, Operation, Path};
use crate::json_schema::{Document, Draft, JsonSchema, Location, Parameter, Shape, Style};
use regex::Regex;
use sdk::MediaType;
use serde_json::{Map, Value, json};

/// Compiles one document.
pub struct Compiler<'d> {
    root: &'d Value,
    document: &'d Document<'d>,
    swagger: bool,
}

/// A part of the document, and where it stands.
struct Part<'d> {
    value: &'d Value,
    pointer: String,
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// References that lead to references.
const MAX_REFERENCES: usize = 16;
/// Parameters of OpenAPI 3 by these names say nothing.
const NO_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

impl Compiler<'_> {
    /// Does something with the compiler of a document.
    pub fn with<T>(mut root: Value, work: impl FnOnce(&Compiler<'_>) -> Result<T, String>) -> Result<T, String> {
        let text = |key: &str| root.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (swagger, openapi) = (text("swagger"), text("openapi"));
        let draft = match (swagger.as_str(), openapi.as_str()) {
            ("2.0", _) => Draft::Draft4,
            (_, version) if version.starts_with("3.0") => Draft::Draft4,
            (_, version) if version.starts_with("3.1") => Draft::Draft202012,
            _ => return Err("api specification is neither Swagger 2.0 nor OpenAPI 3.0 or 3.1".to_owned()),
        };
        if draft == Draft::Draft4 {
            admit_null(&mut root);
        }
        if swagger.is_empty() {
            discriminate(&mut root);
        }
        let document = Document::new(draft, &root)?;
        work(&Compiler { root: &root, document: &document, swagger: swagger == "2.0" })
    }

    /// The paths before all others that the document names: one for each of its servers.
    pub fn base_paths(&self) -> Vec<String> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let servers = self.root.get("servers").and_then(Value::as_array).filter(|servers| !servers.is_empty());
        let bases: Vec<String> = match (self.swagger, servers) {
            (false, Some(servers)) => servers.iter().map(|server| text(server.get("url"))).collect(),
            _ => vec![text(self.root.get("basePath"))],
        };
        // Of a URL the path counts.
        let path = |base: &String| match base.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or_else(String::new, |at| rest[at..].to_owned()),
            None => base.clone(),
        };
        bases.iter().map(path).collect()
    }

    pub fn paths(&self, bases: &[String]) -> Result<Vec<Path>, String> {
        let bases: Vec<String> = bases.iter().map(|base| base_pattern(base)).collect::<Result<_, _>>()?;
        let base = format!("(?:{})", bases.join("|"));
        let paths = self.root.get("paths").and_then(Value::as_object).ok_or("api specification has no paths")?;
        let names = paths.keys().filter(|name| name.starts_with('/'));
        names.map(|name| self.path(&base, name).map_err(|error| format!("{name}: {error}"))).collect()
    }

    fn path(&self, base: &str, name: &str) -> Result<Path, String> {
        let (pattern, names) = pattern(base, name)?;
        let item = self.part(&format!("/paths/{}", escape(name)))?;
        let mut operations = Vec::new();
        for method in METHODS {
            if item.value.get(method).is_some() {
                let operation = self.operation(&item, method).map_err(|error| format!("{method}: {error}"))?;
                operations.push((method.to_ascii_uppercase(), operation));
            }
        }
        Ok(Path { pattern, names, operations })
    }

    fn operation(&self, item: &Part<'_>, method: &str) -> Result<Operation, String> {
        let part = self.part(&format!("{}/{method}", item.pointer))?;
        let mut operation = Operation::default();
        // Those of the operation go before those of the path.
        for owner in [&part, item] {
            for at in 0..owner.value.get("parameters").and_then(Value::as_array).map_or(0, Vec::len) {
                let parameter = self.part(&format!("{}/parameters/{at}", owner.pointer))?;
                self.parameter(&parameter, &mut operation)?;
            }
        }
        if part.value.get("requestBody").is_some() {
            let body = self.part(&format!("{}/requestBody", part.pointer))?;
            let required = body.value.get("required").and_then(Value::as_bool).unwrap_or(false);
            operation.body = Some(Body { required, contents: self.contents(&body)? });
        }
        for status in part.value.get("responses").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let response = self.part(&format!("{}/responses/{}", part.pointer, escape(status)))?;
            let contents =
                if self.swagger { self.produced(&part, "produces", &response)? } else { self.contents(&response)? };
            operation.responses.push((status.clone(), contents));
        }
        if self.swagger
            && let Some(body) = &mut operation.body
        {
            // The schema was found among the parameters; the types stand elsewhere.
            let schema = body.contents.0.pop().and_then(|(_, schema)| schema);
            let mut types = self.types(&part, "consumes")?;
            let at = types.iter().position(MediaType::is_json).unwrap_or(0);
            let first = types.swap_remove(at);
            let rest = types.into_iter().map(|kind| (kind, None));
            body.contents.0 = std::iter::once((first, schema)).chain(rest).collect();
        }
        Ok(operation)
    }

    fn parameter(&self, part: &Part<'_>, operation: &mut Operation) -> Result<(), String> {
        let text = |key: &str| part.value.get(key).and_then(Value::as_str);
        let name = text("name").ok_or("a parameter has no name")?;
        let required = part.value.get("required").and_then(Value::as_bool).unwrap_or(false);
        let place = text("in").unwrap_or_default();
        if place == "body" {
            let schema = self.schema(part)?;
            let json = MediaType { kind: "application".into(), subtype: "json".into(), parameters: Vec::new() };
            operation.body = Some(Body { required, contents: Contents(vec![(json, schema)]) });
            return Ok(());
        }
        // Forms are not looked into.
        if place == "formData" {
            return Ok(());
        }
        let location = Location::parse(place).ok_or_else(|| format!("{name}: unknown place '{place}'"))?;
        let ignored = location == Location::Header && NO_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name));
        let known = operation.parameters.iter().any(|known| known.location == location && known.name == name);
        if ignored || known {
            return Ok(());
        }
        let parameter = Parameter::new(location, name, required);
        let compiled = match self.swagger {
            true => self.plain(part, parameter),
            false => self.styled(part, parameter),
        };
        operation.parameters.push(compiled.map_err(|error| format!("{name}: {error}"))?);
        Ok(())
    }

    /// A parameter of OpenAPI 3.
    fn styled(&self, part: &Part<'_>, parameter: Parameter) -> Result<Parameter, String> {
        if let Some(content) = part.value.get("content").and_then(Value::as_object) {
            let kind = content.keys().find(|kind| MediaType::parse(kind).is_some_and(|kind| kind.is_json()));
            let Some(kind) = kind else { return Ok(parameter) };
            let content = self.part(&format!("{}/content/{}", part.pointer, escape(kind)))?;
            return Ok(match self.schema(&content)? {
                Some(schema) => parameter.with_json(schema),
                None => parameter,
            });
        }
        let Some(schema) = self.schema(part)? else { return Ok(parameter) };
        let usual = match parameter.location {
            Location::Path | Location::Header => Style::Simple,
            Location::Query | Location::Cookie => Style::Form,
        };
        let style = match part.value.get("style").and_then(Value::as_str) {
            Some(name) => Style::parse(name).ok_or_else(|| format!("unknown style '{name}'"))?,
            None => usual,
        };
        let explode = part.value.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        let shape = Shape::of(part.value.get("schema").unwrap_or(&Value::Null), self.root);
        parameter.with_compiled(style, explode, shape, schema)
    }

    /// A parameter of Swagger 2, which is a schema itself.
    fn plain(&self, part: &Part<'_>, parameter: Parameter) -> Result<Parameter, String> {
        let mut schema = part.value.as_object().cloned().unwrap_or_default();
        for key in ["name", "in", "required", "description", "collectionFormat", "allowEmptyValue", "default"] {
            schema.remove(key);
        }
        let schema = Value::Object(schema);
        let (style, explode) = match (parameter.location, part.value.get("collectionFormat").and_then(Value::as_str)) {
            (Location::Query, Some("multi")) => (Style::Form, true),
            (Location::Query, Some("ssv")) => (Style::SpaceDelimited, false),
            (Location::Query, Some("pipes")) => (Style::PipeDelimited, false),
            (Location::Query, None | Some("csv")) => (Style::Form, false),
            (_, None | Some("csv")) => (Style::Simple, false),
            (_, Some(other)) => return Err(format!("collectionFormat '{other}' is not supported")),
        };
        let shape = Shape::of(&schema, self.root);
        parameter.with_compiled(style, explode, shape, JsonSchema::compile(Draft::Draft4, &schema)?)
    }

    /// The contents of a body or response of OpenAPI 3.
    fn contents(&self, owner: &Part<'_>) -> Result<Contents, String> {
        let kinds = owner.value.get("content").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let content = |name: &String| -> Result<_, String> {
            let kind = MediaType::parse(name).ok_or_else(|| format!("'{name}' is not a media type"))?;
            let part = self.part(&format!("{}/content/{}", owner.pointer, escape(name)))?;
            let schema = if kind.is_json() || kind.subtype == "*" { self.schema(&part)? } else { None };
            Ok((kind, schema))
        };
        kinds.map(content).collect::<Result<_, String>>().map(Contents)
    }

    /// The contents of a response of Swagger 2.
    fn produced(&self, operation: &Part<'_>, key: &str, response: &Part<'_>) -> Result<Contents, String> {
        if response.value.get("schema").is_none() {
            return Ok(Contents(Vec::new()));
        }
        let content = |kind: MediaType| -> Result<_, String> {
            let schema = if kind.is_json() { self.schema(response)? } else { None };
            Ok((kind, schema))
        };
        self.types(operation, key)?.into_iter().map(content).collect::<Result<_, String>>().map(Contents)
    }

    /// The media types of an operation of Swagger 2.
    fn types(&self, operation: &Part<'_>, key: &str) -> Result<Vec<MediaType>, String> {
        let named = operation.value.get(key).or_else(|| self.root.get(key)).and_then(Value::as_array);
        let named: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
        let named = if named.is_empty() { vec!["application/json"] } else { named };
        let kind = |name: &str| MediaType::parse(name).ok_or_else(|| format!("'{name}' is not a media type"));
        named.into_iter().map(kind).collect()
    }

    /// What stands under `schema`, compiled.
    fn schema(&self, owner: &Part<'_>) -> Result<Option<JsonSchema>, String> {
        if owner.value.get("schema").is_none() {
            return Ok(None);
        }
        self.document.compile(&format!("{}/schema", owner.pointer)).map(Some)
    }

    /// A part of the document, where references lead.
    fn part(&self, pointer: &str) -> Result<Part<'_>, String> {
        let mut pointer = pointer.to_owned();
        for _ in 0..MAX_REFERENCES {
            let value = self.root.pointer(&pointer).ok_or_else(|| format!("there is nothing at '{pointer}'"))?;
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(Part { value, pointer });
            };
            let target = reference.strip_prefix('#').ok_or_else(|| format!("'{reference}' is not in the document"))?;
            let target = sdk::decode(target.replace('+', "%2B").as_bytes()).into_owned();
            pointer = String::from_utf8(target).map_err(|_| format!("'{reference}' is no text"))?;
        }
        Err(format!("'{pointer}' refers to itself"))
    }
}

/// A name as a segment of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pattern of a path's template behind that of its base, and the names in it.
fn pattern(base: &str, template: &str) -> Result<(Regex, Vec<String>), String> {
    let (path, names) = parts(template, "([^/]+)")?;
    let pattern = Regex::new(&format!("^{base}{path}$")).map_err(|error| error.to_string())?;
    Ok((pattern, names))
}

/// The pattern of a base path, whose variables name nothing.
fn base_pattern(base: &str) -> Result<String, String> {
    parts(base.trim_end_matches('/'), "[^/]+").map(|(pattern, _)| pattern)
}

/// A template as a pattern, with `variable` for what is in braces, and the names in these.
fn parts(template: &str, variable: &str) -> Result<(String, Vec<String>), String> {
    let (mut pattern, mut names) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some((literal, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
        pattern += &format!("{}{variable}", regex::escape(literal));
        names.push(name.to_owned());
        rest = behind;
    }
    Ok((pattern + &regex::escape(rest), names))
}

/// `discriminator` of OpenAPI 3 in the words of JSON Schema: each of the alternatives asks for the values that stand
/// for it.
fn discriminate(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(discriminate),
        Value::Object(object) => {
            object.values_mut().for_each(discriminate);
            let discriminator = object.get("discriminator").cloned().unwrap_or_default();
            let Some(property) = discriminator.get("propertyName").and_then(Value::as_str) else { return };
            let mapping = discriminator.get("mapping").and_then(Value::as_object);
            for key in ["oneOf", "anyOf"] {
                let options = object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten();
                for option in options {
                    let Some(reference) = option.get("$ref").and_then(Value::as_str) else { continue };
                    let name = reference.rsplit('/').next().unwrap_or_default();
                    let leads_here = |target: &Value| target == reference || target == name;
                    let mapped = mapping.into_iter().flatten().filter(|(_, target)| leads_here(target));
                    let mut values: Vec<Value> = mapped.map(|(value, _)| value.as_str().into()).collect();
                    if values.is_empty() {
                        values.push(name.into());
                    }
                    let chosen = json!({ "required": [property], "properties": { property: { "enum": values } } });
                    *option = json!({ "allOf": [chosen, option.take()] });
                }
            }
        }
        _ => {}
    }
}

/// `nullable` of OpenAPI 3.0 in the words of JSON Schema.
fn admit_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(admit_null),
        Value::Object(object) => {
            object.values_mut().for_each(admit_null);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                if let Some(kind @ Value::String(_)) = object.get_mut("type") {
                    *kind = json!([kind.take(), "null"]);
                }
                if let Some(Value::Array(options)) = object.get_mut("enum")
                    && !options.contains(&Value::Null)
                {
                    options.push(Value::Null);
                }
            }
        }
        _ => {}
    }
}

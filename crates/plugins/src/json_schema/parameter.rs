//! Parameters of requests, as OpenAPI describes them: where they are, how lists and objects are written there, and the
//! schema of their values.

use super::shape::Shape;
use super::{Draft, Fault, JsonSchema};
use sdk::{Args, Exchange, decode};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A parameter and what it must be.
pub struct Parameter {
    pub location: Location,
    pub name: String,
    pub required: bool,
    expected: Option<Expected>,
    /// What it must be where it is JSON.
    json: Option<JsonSchema>,
}

/// Names, and what a path has captured for them.
type Captures = [(String, Vec<u8>)];

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Path,
    Query,
    Header,
    Cookie,
}

/// How lists and objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

struct Expected {
    style: Style,
    explode: bool,
    schema: JsonSchema,
    shape: Shape,
}

impl Parameter {
    /// A parameter that is there or not, whatever its value.
    pub fn new(location: Location, name: &str, required: bool) -> Parameter {
        Parameter { location, name: name.to_owned(), required, expected: None, json: None }
    }

    /// With values of that schema, written in that style.
    pub fn with_schema(self, style: Style, explode: bool, draft: Draft, schema: &Value) -> Result<Parameter, String> {
        let compiled = JsonSchema::compile(draft, schema)?;
        self.with_compiled(style, explode, Shape::of(schema, schema), compiled)
    }

    /// As [`Parameter::with_schema`], with one that is compiled, for values of that shape.
    pub fn with_compiled(
        self,
        style: Style,
        explode: bool,
        shape: Shape,
        schema: JsonSchema,
    ) -> Result<Parameter, String> {
        style.check(self.location)?;
        Ok(Parameter { expected: Some(Expected { style, explode, schema, shape }), ..self })
    }

    /// With values that are written as JSON.
    pub fn with_json(self, schema: JsonSchema) -> Parameter {
        Parameter { json: Some(schema), ..self }
    }

    /// Whether a line or argument of that name belongs to it.
    pub fn covers(&self, name: &[u8]) -> bool {
        if self.location == Location::Header {
            return self.name.as_bytes().eq_ignore_ascii_case(name);
        }
        let rest = name.strip_prefix(self.name.as_bytes());
        match &self.expected {
            Some(Expected { style: Style::DeepObject, .. }) => rest.is_some_and(|rest| rest.starts_with(b"[")),
            Some(Expected { style: Style::Form, explode: true, shape: Shape::Object { properties, .. }, .. }) => {
                properties.is_empty() || properties.iter().any(|(member, _)| member.as_bytes() == name)
            }
            _ => rest.is_some_and(<[u8]>::is_empty),
        }
    }

    /// Whether the parameter of a request conforms; the error says what does not. `captures` are what its path has
    /// captured, `args` those of its query.
    pub fn validate(&self, exchange: &Exchange, captures: &Captures, args: &Args) -> Result<(), String> {
        match self.value(exchange, captures, args)? {
            Some((value, schema)) => schema.validate(&value),
            None => Ok(()),
        }
    }

    /// All that does not conform, so many faults at most.
    pub fn faults(&self, exchange: &Exchange, captures: &Captures, args: &Args, most: usize) -> Vec<Fault> {
        match self.value(exchange, captures, args) {
            Ok(Some((value, schema))) => schema.faults(&value, most),
            Ok(None) => Vec::new(),
            Err(words) => vec![words.into()],
        }
    }

    /// The value and what it must be, where there are both.
    fn value(
        &self,
        exchange: &Exchange,
        captures: &Captures,
        args: &Args,
    ) -> Result<Option<(Value, &JsonSchema)>, String> {
        let value = match (&self.expected, &self.json) {
            (Some(expected), _) => self.read(expected, exchange, captures, args)?,
            (None, Some(_)) => self.texts(exchange, captures, args)?.first().map(|text| json(text)).transpose()?,
            (None, None) => self.texts(exchange, captures, args)?.first().map(|_| Value::Null),
        };
        let schema = self.expected.as_ref().map(|expected| &expected.schema).or(self.json.as_ref());
        match (value, schema) {
            (None, _) if self.required => Err("required parameter value not found in request".to_owned()),
            (Some(value), Some(schema)) => Ok(Some((value, schema))),
            _ => Ok(None),
        }
    }

    /// The value, if it is there.
    fn read(
        &self,
        expected: &Expected,
        exchange: &Exchange,
        captures: &Captures,
        args: &Args,
    ) -> Result<Option<Value>, String> {
        if let (Location::Query, Shape::Object { .. }) = (self.location, &expected.shape) {
            match (expected.style, expected.explode) {
                (Style::DeepObject, _) => return self.deep_object(&expected.shape, args),
                (Style::Form, true) => return exploded_object(&expected.shape, args),
                _ => {}
            }
        }
        let texts = self.texts(exchange, captures, args)?;
        let pieces: Vec<String> = match &expected.shape {
            Shape::Plain(_) => texts.iter().map(|text| self.unwrap(expected.style, text).into_owned()).collect(),
            _ => texts.iter().flat_map(|text| self.split(expected, text)).collect(),
        };
        if texts.is_empty() {
            return Ok(None);
        }
        match &expected.shape {
            // Several values for one are a list, which no plain schema lets through.
            Shape::Plain(types) => {
                let mut values: Vec<Value> = pieces.iter().map(|piece| types.convert(piece)).collect();
                Ok(Some(if values.len() == 1 { values.remove(0) } else { Value::Array(values) }))
            }
            Shape::List(types) => Ok(Some(Value::Array(pieces.iter().map(|piece| types.convert(piece)).collect()))),
            Shape::Object { .. } => pairs(&pieces, expected.explode, &expected.shape).map(Some),
        }
    }

    /// The texts under its name, decoded.
    fn texts(&self, exchange: &Exchange, captures: &Captures, args: &Args) -> Result<Vec<String>, String> {
        let octets: Vec<Vec<u8>> = match self.location {
            Location::Path => {
                let named = captures.iter().filter(|(name, _)| *name == self.name);
                named.map(|(_, value)| value.clone()).collect()
            }
            Location::Query => {
                // An argument without a value is a flag that is set.
                let flag = || Cow::Borrowed(&b"true"[..]);
                args.get_all(&self.name).map(|value| value.unwrap_or_else(flag).into_owned()).collect()
            }
            Location::Header => {
                let lines: Vec<&[u8]> = exchange.request.fields.get_all(&self.name).collect();
                if lines.is_empty() { Vec::new() } else { vec![lines.join(&b","[..])] }
            }
            Location::Cookie => {
                let lines = exchange.request.fields.get_all("Cookie");
                let cookies = lines.flat_map(|line| line.split(|&b| b == b';')).map(<[u8]>::trim_ascii);
                let named = cookies.filter_map(|cookie| cookie.strip_prefix(self.name.as_bytes())?.strip_prefix(b"="));
                named.map(<[u8]>::to_vec).collect()
            }
        };
        let text = |octets| String::from_utf8(octets).map_err(|_| "value is not valid UTF-8".to_owned());
        octets.into_iter().map(text).collect()
    }

    /// A text without what its style puts before it; the path's escapes are decoded.
    fn unwrap<'t>(&self, style: Style, text: &'t str) -> Cow<'t, str> {
        let text = match style {
            Style::Label => text.strip_prefix('.').unwrap_or(text),
            Style::Matrix => {
                let named = text.strip_prefix(';').and_then(|text| text.strip_prefix(self.name.as_str()));
                named.and_then(|value| value.strip_prefix('=')).unwrap_or(text)
            }
            _ => text,
        };
        self.unescape(text)
    }

    /// The pieces of a list or object.
    fn split(&self, expected: &Expected, text: &str) -> Vec<String> {
        let all = |separator: char, text: &str| -> Vec<String> {
            text.split(separator).map(|piece| self.unescape(piece.trim_matches(' ')).into_owned()).collect()
        };
        match (expected.style, expected.explode) {
            (Style::Label, explode) => all(if explode { '.' } else { ',' }, text.strip_prefix('.').unwrap_or(text)),
            (Style::Matrix, true) => {
                let is_list = matches!(expected.shape, Shape::List(_));
                let pieces = text.split(';').skip(1);
                let named = |piece: &str| match piece.strip_prefix(self.name.as_str()) {
                    Some(value) if is_list => self.unescape(value.strip_prefix('=').unwrap_or(value)).into_owned(),
                    _ => self.unescape(piece).into_owned(),
                };
                pieces.map(named).collect()
            }
            (Style::Matrix, false) => {
                let named = text.strip_prefix(';').and_then(|text| text.strip_prefix(self.name.as_str()));
                all(',', named.and_then(|value| value.strip_prefix('=')).unwrap_or(text))
            }
            (Style::Simple, _) | (Style::Form, false) => all(',', text),
            (Style::SpaceDelimited, false) => text.split(' ').map(str::to_owned).collect(),
            (Style::PipeDelimited, false) => all('|', text),
            (Style::Form | Style::SpaceDelimited | Style::PipeDelimited, true) | (Style::DeepObject, _) => {
                vec![text.to_owned()]
            }
        }
    }

    /// A captured path keeps the escapes of reserved characters.
    fn unescape<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.location != Location::Path || !text.contains('%') {
            return Cow::Borrowed(text);
        }
        // A plus is a plus in a path.
        let decoded = decode(text.replace('+', "%2B").as_bytes()).into_owned();
        Cow::Owned(String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned()))
    }

    /// The members that arguments such as `name[member]` have.
    fn deep_object(&self, shape: &Shape, args: &Args) -> Result<Option<Value>, String> {
        let mut object = Map::new();
        for (name, value) in args.iter() {
            let member = name.strip_prefix(self.name.as_bytes()).and_then(|rest| rest.strip_prefix(b"["));
            let Some(member) = member.and_then(|rest| rest.strip_suffix(b"]")) else { continue };
            add(&mut object, shape, text(member)?, text(value.as_deref().unwrap_or(b"true"))?);
        }
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }
}

impl Location {
    pub fn parse(name: &str) -> Option<Location> {
        [Location::Path, Location::Query, Location::Header, Location::Cookie].into_iter().find(|l| l.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Location::Path => "path",
            Location::Query => "query",
            Location::Header => "header",
            Location::Cookie => "cookie",
        }
    }
}

impl Style {
    pub fn parse(name: &str) -> Option<Style> {
        const ALL: [Style; 7] = [
            Style::Simple,
            Style::Label,
            Style::Matrix,
            Style::Form,
            Style::SpaceDelimited,
            Style::PipeDelimited,
            Style::DeepObject,
        ];
        ALL.into_iter().find(|style| style.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Style::Simple => "simple",
            Style::Label => "label",
            Style::Matrix => "matrix",
            Style::Form => "form",
            Style::SpaceDelimited => "spaceDelimited",
            Style::PipeDelimited => "pipeDelimited",
            Style::DeepObject => "deepObject",
        }
    }

    /// Whether parameters there can be written so.
    pub fn check(self, location: Location) -> Result<(), String> {
        let suits = match location {
            Location::Path => matches!(self, Style::Simple | Style::Label | Style::Matrix),
            Location::Header => self == Style::Simple,
            Location::Cookie => self == Style::Form,
            Location::Query => !matches!(self, Style::Simple | Style::Label | Style::Matrix),
        };
        if suits {
            Ok(())
        } else {
            Err(format!("style '{}' not supported for '{}' parameter", self.name(), location.name()))
        }
    }
}

/// An object whose members are arguments of their own; it is there when one of its known members is.
fn exploded_object(shape: &Shape, args: &Args) -> Result<Option<Value>, String> {
    let mut object = Map::new();
    for (name, value) in args.iter() {
        add(&mut object, shape, text(&name)?, text(value.as_deref().unwrap_or(b"true"))?);
    }
    let Shape::Object { properties, .. } = shape else { return Ok(None) };
    let known = properties.is_empty() || properties.iter().any(|(name, _)| object.contains_key(name));
    Ok((known && !object.is_empty()).then_some(Value::Object(object)))
}

/// An object from pieces: `name=value` each, or names and values in turn.
fn pairs(pieces: &[String], joined: bool, shape: &Shape) -> Result<Value, String> {
    let mut object = Map::new();
    let broken = || "value is not an object".to_owned();
    if joined {
        for piece in pieces {
            let (name, value) = piece.split_once('=').ok_or_else(broken)?;
            add(&mut object, shape, name, value);
        }
    } else {
        let (pairs, rest) = pieces.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(broken());
        }
        pairs.iter().for_each(|[name, value]| add(&mut object, shape, name, value));
    }
    Ok(Value::Object(object))
}

/// Adds a member; one that comes again makes a list of both.
fn add(object: &mut Map<String, Value>, shape: &Shape, name: &str, value: &str) {
    let value = shape.member(name).convert(value);
    match object.get_mut(name) {
        None => {
            object.insert(name.to_owned(), value);
        }
        Some(Value::Array(several)) => several.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| "value is not valid JSON".to_owned())
}

fn text(octets: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(octets).map_err(|_| "value is not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    /// Whether a request's parameter `p` conforms. The path is what the route captured.
    fn conforms(location: Location, style: Style, explode: bool, schema: Value, written: &str) -> bool {
        let parameter = Parameter::new(location, "p", true);
        let parameter = parameter.with_schema(style, explode, Draft::Draft4, &schema).unwrap();
        let mut exchange = testing::exchange("GET", "/", &[]);
        let mut args = Args::default();
        match location {
            Location::Path => exchange.captures.push(("p".to_owned(), written.as_bytes().to_vec())),
            Location::Query => args = Args::parse(written),
            Location::Header => exchange.request.fields.set("P", written.as_bytes()),
            Location::Cookie => exchange.request.fields.set("Cookie", written.as_bytes()),
        }
        parameter.validate(&exchange, &exchange.captures, &args).is_ok()
    }

    fn numbers() -> Value {
        json!({ "type": "array", "items": { "type": "integer" }, "minItems": 2, "maxItems": 2 })
    }

    fn color() -> Value {
        json!({
            "type": "object", "required": ["r"], "additionalProperties": false,
            "properties": { "r": { "type": "integer" }, "g": { "type": "integer" } }
        })
    }

    #[test]
    fn plain_values() {
        let number = || json!({ "type": "number" });
        for (location, style, good, bad) in [
            (Location::Path, Style::Simple, "5", "five"),
            (Location::Path, Style::Label, ".5", ".five"),
            (Location::Path, Style::Matrix, ";p=5", ";p=five"),
            (Location::Query, Style::Form, "p=5", "p=five"),
            (Location::Header, Style::Simple, "5", "5,6"),
            (Location::Cookie, Style::Form, "x=1; p=5", "p=x"),
        ] {
            assert!(conforms(location, style, false, number(), good), "{good}");
            assert!(!conforms(location, style, false, number(), bad), "{bad}");
        }
        assert!(!conforms(Location::Query, Style::Form, true, number(), "p=5&p=6"));
        assert!(!conforms(Location::Query, Style::Form, true, number(), "p="));
        assert!(!conforms(Location::Query, Style::Form, true, json!({ "type": "string" }), "p=%e9"));
        assert!(conforms(Location::Query, Style::Form, true, json!({ "type": "boolean" }), "p"));
        assert!(conforms(Location::Path, Style::Simple, false, json!({ "enum": ["a/b+c"] }), "a%2Fb+c"));
    }

    #[test]
    fn lists() {
        for (location, style, explode, good) in [
            (Location::Path, Style::Simple, false, "3,4"),
            (Location::Path, Style::Label, false, ".3,4"),
            (Location::Path, Style::Label, true, ".3.4"),
            (Location::Path, Style::Matrix, false, ";p=3,4"),
            (Location::Path, Style::Matrix, true, ";p=3;p=4"),
            (Location::Query, Style::Form, true, "p=3&p=4"),
            (Location::Query, Style::Form, false, "p=3,4"),
            (Location::Query, Style::SpaceDelimited, false, "p=3%204"),
            (Location::Query, Style::PipeDelimited, false, "p=3|4"),
            (Location::Query, Style::PipeDelimited, true, "p=3&p=4"),
            (Location::Header, Style::Simple, false, "3, 4"),
        ] {
            assert!(conforms(location, style, explode, numbers(), good), "{style:?} {good}");
            let more = good.replace('4', "x");
            assert!(!conforms(location, style, explode, numbers(), &more), "{style:?} {more}");
        }
    }

    #[test]
    fn objects() {
        for (location, style, explode, good) in [
            (Location::Path, Style::Simple, false, "r,1,g,2"),
            (Location::Path, Style::Simple, true, "r=1,g=2"),
            (Location::Path, Style::Label, true, ".r=1.g=2"),
            (Location::Path, Style::Matrix, true, ";r=1;g=2"),
            (Location::Path, Style::Matrix, false, ";p=r,1,g,2"),
            (Location::Query, Style::Form, true, "r=1&g=2"),
            (Location::Query, Style::Form, false, "p=r,1,g,2"),
            (Location::Query, Style::DeepObject, true, "p[r]=1&p[g]=2&other=3"),
            (Location::Header, Style::Simple, false, "r,1,g,2"),
        ] {
            assert!(conforms(location, style, explode, color(), good), "{style:?} {good}");
            let bad = good.replace('1', "one");
            assert!(!conforms(location, style, explode, color(), &bad), "{style:?} {bad}");
        }
        assert!(!conforms(Location::Path, Style::Simple, false, color(), "r,1,g"));
    }

    #[test]
    fn references_say_the_type_too() {
        let schema = json!({ "$ref": "#/definitions/n", "definitions": { "n": { "type": "integer" } } });
        assert!(conforms(Location::Query, Style::Form, true, schema.clone(), "p=5"));
        assert!(!conforms(Location::Query, Style::Form, true, schema, "p=x"));
        let circle = json!({ "allOf": [{ "$ref": "#/definitions/n" }], "definitions": { "n": { "type": "integer" } } });
        assert!(conforms(Location::Query, Style::Form, true, circle, "p=5"));
    }

    #[test]
    fn presence() {
        let exchange = testing::exchange("GET", "/", &[("P", "1")]);
        let missing = |location, required| {
            Parameter::new(location, "p", required).validate(&exchange, &[], &Args::default()).err()
        };
        assert_eq!(missing(Location::Header, true), None);
        assert_eq!(missing(Location::Query, false), None);
        assert_eq!(missing(Location::Query, true).as_deref(), Some("required parameter value not found in request"));
    }

    #[test]
    fn styles_belong_to_places() {
        let parameter = Parameter::new(Location::Path, "p", true);
        let error = parameter.with_schema(Style::Form, false, Draft::Draft4, &json!({})).err();
        assert_eq!(error.as_deref(), Some("style 'form' not supported for 'path' parameter"));
    }
}

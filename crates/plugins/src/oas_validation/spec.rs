//! An OpenAPI document as requests are looked up in it: paths, and what their operations take and give.

use super::compile::Compiler;
use crate::json_schema::{JsonSchema, Parameter};
use regex::{Regex, RegexSet, RegexSetBuilder};
use sdk::MediaType;
use serde_json::Value;
use std::borrow::Cow;

/// A document, compiled.
pub struct Spec {
    /// All patterns at once; the first that matches counts.
    patterns: RegexSet,
    paths: Vec<Path>,
}

/// What stands under a path.
pub struct Path {
    pub pattern: Regex,
    /// The names of what the pattern captures, in order.
    pub names: Vec<String>,
    /// By method, in upper case.
    pub operations: Vec<(String, Operation)>,
}

/// What can be done with a path.
#[derive(Default)]
pub struct Operation {
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// By status: `200`, `2XX`, `default`.
    pub responses: Vec<(String, Contents)>,
}

/// What a request carries.
pub struct Body {
    pub required: bool,
    pub contents: Contents,
}

/// Media types, and what content of them must be.
pub struct Contents(pub Vec<(MediaType, Option<JsonSchema>)>);

/// An operation that was found, and what its path has captured.
pub struct Found<'a> {
    pub operation: &'a Operation,
    pub captures: Vec<(String, Vec<u8>)>,
}

/// Why there is no operation.
#[derive(Debug, PartialEq)]
pub enum Missing {
    Path,
    Method,
}

/// Octets that all patterns of a document may take, compiled.
const PATTERNS_SIZE: usize = 64 << 20;

impl Spec {
    /// Compiles a document, JSON or YAML. Its paths begin behind `base`, or behind the base paths of its own where
    /// `own_base` says so.
    pub fn parse(text: &str, encoded: bool, base: Option<&str>, own_base: bool) -> Result<Spec, String> {
        let document = read(text, encoded)?;
        let mut paths = Compiler::with(document, |compiler| {
            compiler.paths(&match base {
                Some(base) => vec![base.to_owned()],
                None if own_base => compiler.base_paths(),
                None => vec![String::new()],
            })
        })?;
        // What is literal goes before what is not, the longer before the shorter.
        paths.sort_by_key(|path| (path.names.len(), std::cmp::Reverse(path.pattern.as_str().len())));
        let patterns = paths.iter().map(|path| path.pattern.as_str());
        let patterns = RegexSetBuilder::new(patterns).size_limit(PATTERNS_SIZE).build();
        Ok(Spec { patterns: patterns.map_err(|error| format!("paths: {error}"))?, paths })
    }

    /// The operation for a method and a path.
    pub fn find(&self, method: &str, path: &str) -> Result<Found<'_>, Missing> {
        let found = self.patterns.matches(path).iter().next().and_then(|at| self.paths.get(at));
        let found = found.ok_or(Missing::Path)?;
        let operation = found.operations.iter().find(|(name, _)| name == method).ok_or(Missing::Method)?;
        let captured = found.pattern.captures(path).ok_or(Missing::Path)?;
        let values = captured.iter().skip(1).flatten().map(|value| value.as_str().as_bytes().to_vec());
        Ok(Found { operation: &operation.1, captures: found.names.iter().cloned().zip(values).collect() })
    }
}

impl Operation {
    /// What a response of that status must be.
    pub fn response(&self, status: u16) -> Option<&Contents> {
        let (exact, range) = (status.to_string(), format!("{}XX", status / 100));
        let named = |name: &str| self.responses.iter().find(|(status, _)| status.eq_ignore_ascii_case(name));
        named(&exact).or_else(|| named(&range)).or_else(|| named("default")).map(|(_, contents)| contents)
    }
}

impl Contents {
    /// The schema of a media type; `None` where the type is not among them.
    pub fn of(&self, kind: &MediaType) -> Option<Option<&JsonSchema>> {
        let bare = |kind: &MediaType| MediaType { parameters: Vec::new(), ..kind.clone() };
        let exact = self.0.iter().find(|(own, _)| own.kind == kind.kind && own.subtype == kind.subtype);
        let found = exact.or_else(|| self.0.iter().find(|(own, _)| bare(own).matches(&bare(kind))));
        found.map(|(_, schema)| schema.as_ref())
    }
}

/// A document from its text, which may be escaped as a part of a URL is.
fn read(text: &str, encoded: bool) -> Result<Value, String> {
    let parse = |text: &str| {
        let json = serde_json::from_str(text).map_err(|error| error.to_string());
        json.or_else(|_| model::yaml::read(text)).ok().filter(Value::is_object)
    };
    let unescaped = || {
        let octets = sdk::decode(text.replace('+', "%2B").as_bytes()).into_owned();
        Cow::<str>::Owned(String::from_utf8(octets).unwrap_or_default())
    };
    parse(text)
        .or_else(|| encoded.then(unescaped).and_then(|text| parse(&text)))
        .ok_or_else(|| "api specification is neither valid json nor valid yaml".to_owned())
}

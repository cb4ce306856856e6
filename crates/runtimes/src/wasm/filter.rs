//! Filters as files: `NAME.wasm` in `wasm_filters_path`, and what `NAME.meta.json` says of it.

use super::engine;
use super::host::{self, Host};
use crate::json_type::JsonType;
use sdk::{Foreign, Record};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wasmtime::{InstancePre, Module};

/// A filter that can be configured. It lasts as long as the process.
pub struct Filter {
    pub name: String,
    pub meta: Meta,
    pub instance: InstancePre<Host>,
    judge: JsonType,
}

/// What is said of a filter beside its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What its configuration is (JSON Schema, draft 4).
    pub config_schema: Value,
    /// Labels that names of its metrics have in them, with the regular expression of each.
    pub label_patterns: Vec<(String, String)>,
}

/// The one draft that Kong goes by.
const DRAFT: &str = "http://json-schema.org/draft-04/schema#";
/// More than any filter has; such a file is none.
const MAX_MODULE: u64 = 256 << 20;

/// What was loaded before: a reload checks settings again.
type Loaded = HashMap<(String, u64, Vec<u8>, Option<String>), &'static Filter>;

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Loads what is in a directory and enabled. The error is all that is wrong.
pub fn load(directory: &str, enabled: &[String]) -> Result<Vec<&'static Filter>, String> {
    if directory.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = || format!("wasm_filters_path '{directory}' is not a valid directory");
    let entries = fs::read_dir(directory).map_err(|_| invalid())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let names = enabled_names(enabled);
    let (mut filters, mut errors) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| is_module(path)) {
        let Some(name) = path.file_stem().and_then(OsStr::to_str) else { continue };
        if names.as_ref().is_some_and(|names| !names.contains(&name)) {
            continue;
        }
        match read(name, path) {
            Ok(filter) => filters.push(filter),
            Err(error) => errors.push(format!("{name} ({}): {error}", path.display())),
        }
    }
    for absent in names.iter().flatten().filter(|name| filters.iter().all(|filter| filter.name != **name)) {
        tracing::warn!("wasm_filters names {absent}, which is not in wasm_filters_path");
    }
    match errors.is_empty() {
        true => Ok(filters),
        false => Err(format!("filters in WebAssembly cannot be loaded: {}", errors.join("; "))),
    }
}

/// The names that `wasm_filters` lets through; `None`: all. There are no bundled ones.
fn enabled_names(enabled: &[String]) -> Option<Vec<&str>> {
    if enabled.iter().any(|name| name == "off") {
        return Some(Vec::new());
    }
    if enabled.iter().any(|name| name == "user") {
        return None;
    }
    Some(enabled.iter().map(String::as_str).filter(|name| *name != "bundled").collect())
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wasm")) && path.is_file()
}

fn read(name: &str, path: &Path) -> Result<&'static Filter, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_MODULE {
        return Err("is too large".to_owned());
    }
    let code = fs::read(path).map_err(|error| error.to_string())?;
    let described = path.with_extension("meta.json");
    let described = described.exists().then(|| fs::read_to_string(&described));
    let described = described.transpose().map_err(|error| format!("meta.json: {error}"))?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &code).as_ref().to_vec();
    let key = (name.to_owned(), size, digest, described.clone());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(known) = loaded.get(&key) {
        return Ok(known);
    }
    let meta = described.as_deref().map_or_else(|| Ok(Meta::default()), Meta::parse)?;
    let filter: &'static Filter = Box::leak(Box::new(Filter::new(name, &code, meta)?));
    loaded.insert(key, filter);
    Ok(filter)
}

impl Filter {
    /// Compiles a module, binary or (in tests) as text.
    pub fn new(name: &str, code: &[u8], meta: Meta) -> Result<Filter, String> {
        let engine = engine::engine()?;
        let words = |error: wasmtime::Error| format!("{error:#}");
        let module = Module::from_binary(engine, code).map_err(words)?;
        let abi =
            module.exports().find_map(|export| export.name().strip_prefix("proxy_abi_version_").map(str::to_owned));
        match abi.as_deref() {
            Some("0_1_0" | "0_2_0" | "0_2_1") => {}
            Some(other) => {
                return Err(format!("speaks proxy-wasm {}, and not 0.1.0 to 0.2.1", other.replace('_', ".")));
            }
            None => return Err("is no proxy-wasm filter: it exports no proxy_abi_version_*".to_owned()),
        }
        if module.get_export("memory").is_none_or(|memory| memory.memory().is_none()) {
            return Err("exports no memory".to_owned());
        }
        let instance = host::linker(engine)?.instantiate_pre(&module).map_err(words)?;
        let judge = JsonType::new(&json!({ "inline": meta.config_schema }), None)
            .map_err(|error| format!("meta.json: config_schema: {error}"))?;
        Ok(Filter { name: name.to_owned(), meta, instance, judge })
    }

    /// What is wrong with a configuration.
    pub fn judge(&self, config: &Value) -> Result<(), String> {
        self.judge.validate(config)
    }
}

impl Default for Meta {
    /// A configuration is text, whose form is the filter's own business.
    fn default() -> Meta {
        Meta { config_schema: json!({ "$schema": DRAFT, "type": ["string", "null"] }), label_patterns: Vec::new() }
    }
}

impl Meta {
    /// From the text of a `meta.json`.
    pub fn parse(text: &str) -> Result<Meta, String> {
        let described: Value = serde_json::from_str(text).map_err(|error| format!("meta.json: {error}"))?;
        let Value::Object(described) = described else { return Err("meta.json: is not an object".to_owned()) };
        let mut meta = Meta::default();
        match described.get("config_schema") {
            None => {}
            Some(Value::Object(schema)) => {
                let mut schema = schema.clone();
                schema.insert("$schema".to_owned(), DRAFT.into());
                meta.config_schema = schema.into();
            }
            Some(_) => return Err("meta.json: config_schema is not an object".to_owned()),
        }
        let patterns = described.get("metrics").and_then(|metrics| metrics.get("label_patterns"));
        for pair in patterns.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| pair.get(name).and_then(Value::as_str).map(str::to_owned);
            let pair = text("label").zip(text("pattern"));
            meta.label_patterns.push(pair.ok_or("meta.json: metrics.label_patterns: label and pattern are texts")?);
        }
        Ok(meta)
    }
}

/// Judges records of filters, as `filter_chains` have them.
#[derive(Debug)]
pub struct Judge(pub &'static [&'static Filter]);

impl Foreign for Judge {
    fn validate(&self, _value: &Value) -> Result<(), String> {
        Ok(())
    }

    fn check(&self, record: &Record) -> Result<(), String> {
        let name = record.get("name").and_then(Value::as_str).unwrap_or_default();
        let filter = self.0.iter().find(|filter| filter.name == name).ok_or("no such filter")?;
        filter.judge(record.get("config").unwrap_or(&Value::Null))
    }

    fn expand(&self, _value: &Value) -> Result<Option<Record>, String> {
        Ok(None)
    }

    fn derive(&self, _record: &mut Record) -> Result<(), String> {
        Ok(())
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("name", &self.name).field("meta", &self.meta).finish()
    }
}

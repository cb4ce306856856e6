//! Each field that a bundled plugin accepts is one that its code asks for, so that none is without effect unseen.
//!
//! The code is searched for the names of fields: a name stands there as a text, or is made of texts that do
//! (`access_token` and `{name}_issuer`). Who reads a field and does nothing with it is not found here.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Fields that no code asks for, by the folder of their plugin, and why that is so.
const UNREAD: &[(&str, &str, &str)] = &[
    ("acme", "tos_accepted", "the schema itself wants it to be true"),
    ("acme", "storage_config.redis.extra_options.scan_count", "a Redis is not searched for keys"),
    ("aws_lambda", "skip_large_bodies", "functions get all content"),
    ("datadog", "retry_count", "of Kong before 3.0"),
    ("jwt_signer", "enable_instrumentation", "nothing is measured"),
    ("openid_connect", "client_jwk.*", "of a key that is not needed to sign"),
    (
        "openid_connect",
        "userinfo_query_args_values",
        "goes with names, of which the node says that they have no effect",
    ),
    ("openid_connect", "session_memcached_*", "memcached is refused as session_storage"),
    ("openid_connect", "redis.*", "of Kong's connections to a Redis"),
    ("openid_connect", "cluster_cache_redis*", "cluster_cache_strategy is refused"),
    ("openid_connect", "jwt_session_claim", "jwt_session_cookie is refused"),
    ("openid_connect", "id_token_param_type", "id_token_param_name is refused"),
    ("openid_connect", "cache_tokens_salt", "tokens are cached in the memory of the node"),
    ("openid_connect", "token_cache_key_include_scope", "a configuration always asks for the same scopes"),
    ("openid_connect", "proof_of_possession_auth_methods_validation", "proofs of possession are refused"),
    ("openid_connect", "dpop_*", "proofs of possession are refused"),
    ("proxy_cache", "redis.*", "of Kong's connections to a Redis"),
    ("rate_limiting_advanced", "*dictionary_name", "counters are in no shared dictionary"),
    ("rate_limiting_advanced", "redis.*", "of Kong's connections to a Redis"),
    ("statsd", "retry_count", "of Kong before 3.0"),
    ("tls_handshake_modifier", "tls_client_certificate", "it has one value"),
    ("functions", "*", "named as phases are"),
];

/// The texts in code, and what names may be made of.
#[derive(Default)]
struct Texts {
    whole: BTreeSet<String>,
    parts: BTreeSet<String>,
}

impl Texts {
    /// Adds those of a file.
    fn read(&mut self, code: &str) {
        // What stands between two texts of a line is taken for one, too: it is no name of a field.
        for text in code.lines().flat_map(|line| line.split('"').skip(1)) {
            self.whole.insert(text.to_owned());
            let parts = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
            let parts = parts.map(|part| part.trim_matches('_')).filter(|part| part.len() > 1);
            self.parts.extend(parts.filter(|part| part.bytes().all(is_of_names)).map(str::to_owned));
        }
    }

    /// Whether a name is made of texts.
    fn make(&self, name: &str) -> bool {
        let rest = |part: &String| name.strip_prefix(part.as_str())?.strip_prefix('_');
        self.parts.contains(name) || self.parts.iter().filter_map(rest).any(|rest| self.make(rest))
    }
}

#[test]
fn every_field_is_asked_for() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders: Vec<PathBuf> =
        ["plugins/src", "runtimes/src"].iter().flat_map(|path| inside(&crates.join(path))).collect();
    let (plugins, shared): (Vec<&PathBuf>, Vec<&PathBuf>) = folders.iter().partition(|path| !schemas(path).is_empty());
    let mut common = Texts::default();
    let shared = shared.into_iter().filter(|path| path.starts_with(crates.join("plugins")));
    shared.flat_map(|path| files(path)).chain(files(&crates.join("sdk/src"))).for_each(|file| add(&mut common, &file));
    let mut unread = Vec::new();
    for folder in plugins {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut own = Texts::default();
        files(folder).iter().for_each(|file| add(&mut own, file));
        for field in schemas(folder).iter().flat_map(|schema| fields(schema, "")) {
            let last = field.rsplit('.').next().unwrap();
            if !own.whole.contains(last) && !common.whole.contains(last) && !own.make(last) {
                unread.push((name.to_owned(), field));
            }
        }
    }
    let excused = |(name, field): &&(String, String)| {
        UNREAD.iter().any(|(folder, pattern, _)| folder == name && matches(pattern, field))
    };
    let strange: Vec<_> = unread.iter().filter(|field| !excused(field)).collect();
    assert_eq!(strange, Vec::<&(String, String)>::new(), "fields for which nobody asks");
    let is_used = |(folder, pattern, _): &&(&str, &str, &str)| {
        unread.iter().any(|(name, field)| folder == name && matches(pattern, field))
    };
    let needless: Vec<_> = UNREAD.iter().filter(|entry| !is_used(entry)).collect();
    assert_eq!(needless, Vec::<&(&str, &str, &str)>::new(), "fields that somebody does ask for");
}

fn is_of_names(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_'
}

/// Whether a name is what the pattern says, in which one star stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    }
}

/// What is in a folder.
fn inside(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// The code in a folder, or the file itself, without tests.
fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_dir() && name != "testing" {
        return inside(path).iter().flat_map(|path| files(path)).collect();
    }
    if name.ends_with(".rs") && name != "tests.rs" { vec![path.to_owned()] } else { Vec::new() }
}

fn add(texts: &mut Texts, file: &Path) {
    let code = fs::read_to_string(file).unwrap();
    texts.read(code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
}

/// The schemas of configurations in a folder.
fn schemas(folder: &Path) -> Vec<Value> {
    let is_schema = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let read = |path: PathBuf| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).ok();
    let all = inside(folder).into_iter().filter(is_schema).filter_map(read);
    all.filter_map(|schema| {
        let config = |field: &Value| field.get("config").cloned();
        schema["fields"].as_array()?.iter().find_map(config)
    })
    .collect()
}

/// The names of all fields of a record, with those of the records around them.
fn fields(record: &Value, around: &str) -> Vec<String> {
    let named = record["fields"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    named
        .flat_map(|(name, field)| {
            let path = format!("{around}{name}");
            let mut inner = field;
            while let Some(element) = inner.get("elements").or_else(|| inner.get("values")) {
                inner = element;
            }
            let mut all = fields(inner, &format!("{path}."));
            all.insert(0, path);
            all
        })
        .collect()
}

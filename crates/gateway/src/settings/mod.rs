//! Settings: `kong.conf`, `KONG_*` variables and what the command line adds, as the values that the program works with.
//!
//! [`table`] defines every key once; everything else here follows from it.

mod access;
mod access_log;
mod audit;
mod check;
mod ciphers;
mod definition;
mod describe;
mod document;
mod file;
mod listen;
mod load;
mod login;
pub mod nginx;
#[cfg(feature = "lua")]
mod plugin_servers;
mod references;
mod site;
mod table;
pub mod tls;
mod value;

pub use access_log::{AccessLogFile, AccessLogs};
pub use document::{default_file, documentation};
pub use listen::Listener;
pub use load::Sources;
pub use login::LoginPlugin;
pub use references::{in_full, is_kind, referred_to};

use admin::{AccessOptions, AuditOptions};
use definition::ValueType;
use load::Loaded;
use model::address::Cidr;
use nginx::Injected;
use proxy::directives::Directives;
use proxy::settings::Limits;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use value::Value;

/// Every setting of a node, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Absolute.
    pub prefix: PathBuf,
    pub proxy_listen: Vec<Listener>,
    pub stream_listen: Vec<Listener>,
    pub admin_listen: Vec<Listener>,
    pub status_listen: Vec<Listener>,
    /// `admin_gui_listen`.
    pub manager_listen: Vec<Listener>,
    /// Threads that serve the proxy.
    pub workers: usize,
    pub daemon: bool,
    /// Headers of responses.
    pub headers: Headers,
    /// Whether requests to services carry `X-Kong-Request-Id`.
    pub request_id_upstream: bool,
    pub trusted_ips: Vec<Cidr>,
    /// nginx's directives that have been given.
    pub injected: Injected,
    /// What the data plane is told of them.
    pub limits: Limits,
    pub directives: Directives,
    /// The origins of `admin_gui_url`.
    pub gui_origins: Vec<String>,
    /// The pages of the manager.
    pub site: manager::SiteOptions,
    /// Own ports and the public ones that stand for them.
    pub port_maps: Vec<(u16, u16)>,
    pub access_logs: AccessLogs,
    /// Who may use the Admin API.
    pub access: AccessOptions,
    /// The plugin by which administrators log in to the manager.
    pub login: Option<LoginPlugin>,
    /// The audit log, if there is one.
    pub audit: Option<Arc<AuditOptions>>,
    #[cfg(feature = "lua")]
    pub plugin_servers: Vec<runtimes::external::PluginServer>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    loaded: Loaded,
}

/// The headers that the node adds to responses (`headers`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub server_tokens: bool,
    pub latency_tokens: bool,
    pub server: bool,
    pub via: bool,
    pub proxy_latency: bool,
    pub response_latency: bool,
    pub admin_latency: bool,
    pub upstream_latency: bool,
    pub upstream_status: bool,
    pub request_id: bool,
}

impl Settings {
    /// The settings that the sources give; or what is wrong with them.
    pub fn load(sources: &Sources) -> Result<Settings, Vec<String>> {
        let loaded = sources.load().map_err(|e| vec![e])?;
        check::check(loaded)
    }

    /// A setting that is a text (or a choice, or `on` and `off`); empty when it is not set.
    pub fn text(&self, name: &str) -> &str {
        match self.loaded.values.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A setting that is on or off.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.loaded.values.get(name), Some(Value::Boolean(true))) || self.text(name) == "on"
    }

    /// A number, if it is set.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.loaded.values.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A whole number; 0 when it is not set or negative.
    pub fn count(&self, name: &str) -> usize {
        self.number(name).map_or(0, |n| n as usize)
    }

    /// A text that gives a size (`128m`), in bytes.
    pub fn size(&self, name: &str) -> Result<usize, String> {
        let size = value::size(name, self.text(name))?;
        usize::try_from(size).map_err(|_| format!("{name}: too large"))
    }

    /// Seconds as a time.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        self.number(name).and_then(|n| Duration::try_from_secs_f64(n).ok())
    }

    /// The items of a list.
    pub fn list(&self, name: &str) -> &[String] {
        match self.loaded.values.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// What a variable of the environment has given, for people: secrets and what may be one are masked.
    pub fn given_by_environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let shown = |key: &str| table::setting(key).is_some_and(|setting| !setting.secret);
        let given = self.loaded.by_environment.iter().filter_map(|key| self.loaded.given.get_key_value(key));
        given.map(move |(key, value)| (&**key, if shown(key) { &**value } else { "******" }))
    }

    /// What was given for vaults (`vault_hcv_token`).
    pub fn of_vaults(&self) -> BTreeMap<String, String> {
        let given = self.loaded.given.iter().filter(|(key, _)| key.starts_with("vault_"));
        given.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// A size for a key that is named freely, where it was given.
    #[cfg(feature = "wasm")]
    pub fn free_size(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(text) = self.loaded.given.get(name) else { return Ok(None) };
        usize::try_from(value::size(name, text)?).map(Some).map_err(|_| format!("{name}: too large"))
    }

    /// Whether the operator gave the setting a value.
    pub fn is_given(&self, name: &str) -> bool {
        self.loaded.given.contains_key(name)
    }

    /// The keys whose values are not the same there, and that a reload does not renew.
    pub fn unrenewed(&self, other: &Settings) -> Vec<String> {
        let (ours, theirs) = (&self.loaded.values, &other.loaded.values);
        let renewed = |key: &str| {
            Injected::is_renewed(key)
                || table::all()
                    .any(|setting| setting.renewed && (setting.name == key || setting.implies.contains(&key)))
        };
        let differ = ours.keys().chain(theirs.keys()).filter(|key| ours.get(*key) != theirs.get(*key));
        let mut keys: Vec<String> = differ.filter(|key| !renewed(key)).cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Whether there is no database, and records come from a file.
    pub fn dbless(&self) -> bool {
        self.text("database") == "off"
    }

    /// A file of the node.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.prefix.join(name)
    }

    /// The file in which a running node's settings are kept, for commands that act on it.
    pub fn own_file(&self) -> PathBuf {
        self.path(".kong_env")
    }

    /// What was given, as a file that leads to the same settings.
    pub fn to_file(&self) -> String {
        self.to_file_with(self)
    }

    /// What was given, or given anew by `newer`, as a file. Texts of several lines (certificates) are written in
    /// base64.
    pub fn to_file_with(&self, newer: &Settings) -> String {
        let mut given = self.loaded.given.clone();
        // As with Kong, a file takes the place of what was loaded since only where it is named anew.
        given.retain(|key, _| !key.starts_with("declarative_config") || newer.loaded.given.contains_key(key));
        given.extend(newer.loaded.given.clone());
        given.insert("prefix".to_owned(), newer.prefix.to_string_lossy().into_owned());
        let mut out =
            String::from("# The settings of the node that runs here, written when it started. Do not edit.\n");
        for (key, value) in given {
            let is_list = table::setting(&key).is_some_and(|setting| setting.kind == ValueType::List);
            let line = if is_list {
                value::split(&value).iter().map(|element| value::one_line(element)).collect::<Vec<_>>().join(",")
            } else {
                value::one_line(&value)
            };
            out.push_str(&format!("{key} = {}\n", file::escape(&line)));
        }
        let newer_given = |key: &String| newer.loaded.given.contains_key(key);
        let kept = self.loaded.references.iter().filter(|(key, _)| !newer_given(key));
        kept.chain(&newer.loaded.references).for_each(|(key, reference)| out.push_str(&reference.to_comment(key)));
        out
    }
}

#[cfg(test)]
mod tests;

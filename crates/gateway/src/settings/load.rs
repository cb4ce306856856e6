//! From the sources of settings to one value for each: the environment goes before the file, the file before the
//! default.

use super::definition::Setting;
use super::file;
use super::references::{self, Reference};
use super::table::{self, FREE_PREFIXES};
use super::value::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file that must exist; without one, Kong's usual places are tried.
    pub file: Option<PathBuf>,
    /// Variables of the environment; only those that begin with `KONG_` are settings.
    pub environment: Vec<(String, String)>,
    /// Values from the command line, which go before everything.
    pub overrides: Vec<(&'static str, String)>,
    /// Which of them are no text, and so cannot be settings.
    pub unreadable: Vec<String>,
}

/// Every setting that has a value, with what is known of its origin.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub values: BTreeMap<String, Value>,
    /// What was given by file, environment or command line, as text.
    pub given: BTreeMap<String, String>,
    /// Which of them the environment has given.
    pub by_environment: Vec<String>,
    /// Values that keys have from others which were given, and the names of those.
    pub implied: BTreeMap<String, (String, &'static str)>,
    /// References to vaults, by setting: shown in place of the value.
    pub references: BTreeMap<String, Reference>,
    /// What the operator should know: unknown keys, old names.
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
}

/// Kong's usual places for the file.
pub const DEFAULT_FILES: &[&str] = &["/etc/kong/kong.conf", "/etc/kong.conf"];

impl Sources {
    /// A file named on the command line, the process' environment, and a prefix named on the command line.
    pub fn of_process(file: Option<&Path>, prefix: Option<&Path>) -> Sources {
        let mut sources = Sources { file: file.map(Path::to_owned), ..Sources::default() };
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => sources.environment.push((name, value)),
                (Ok(name), Err(_)) if name.starts_with("KONG_") => sources.unreadable.push(name),
                // No name of a setting.
                _ => {}
            }
        }
        match prefix.map(Path::to_str) {
            Some(Some(prefix)) => sources.overrides.push(("prefix", prefix.to_owned())),
            Some(None) => sources.unreadable.push("prefix".to_owned()),
            None => {}
        }
        sources
    }

    /// The values; problems with single settings are collected in `errors`.
    pub fn load(&self) -> Result<Loaded, String> {
        let mut loaded = Loaded::default();
        let text = match self.path() {
            Some(path) => std::fs::read_to_string(&path).map_err(|e| match e.kind() {
                ErrorKind::NotFound => format!("no file at: {}", path.display()),
                _ => format!("could not load config file {}: {e}", path.display()),
            })?,
            None => String::new(),
        };
        loaded.references.extend(text.lines().filter_map(Reference::of_comment));
        loaded.take(file::parse(&text), |key| format!("unknown setting '{key}' in the configuration file"));
        let variables = self.environment.iter().filter_map(|(k, v)| Some((key_of(k)?, v.clone())));
        let variables = variables.filter(|(key, value)| !is_of_kubernetes(key, value)).collect();
        loaded.warnings.extend(self.environment.iter().filter_map(|(name, _)| miswritten(name)));
        let variables = loaded.read_files(variables);
        loaded.by_environment = variables.keys().cloned().collect();
        loaded.take(variables, |key| format!("unknown setting 'KONG_{}' in the environment", key.to_ascii_uppercase()));
        loaded.given.extend(self.overrides.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        loaded.errors.extend(self.unreadable.iter().map(|name| format!("{name} is not valid UTF-8")));
        loaded.dereference(&self.environment);
        loaded.imply();
        loaded.evaluate();
        Ok(loaded)
    }

    /// The file that is read, if any.
    pub fn path(&self) -> Option<PathBuf> {
        let usual = || DEFAULT_FILES.iter().map(PathBuf::from).find(|p| p.exists());
        self.file.clone().or_else(usual)
    }
}

impl Loaded {
    /// Adds pairs of one source; keys that nobody knows are left out with a warning.
    fn take(&mut self, pairs: BTreeMap<String, String>, unknown: impl Fn(&str) -> String) {
        for (key, value) in pairs {
            let free = FREE_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
            match table::setting(&key) {
                Some(setting) if setting.deprecated => {
                    self.warnings.push(format!(
                        "the '{key}' configuration property is deprecated, use '{}' instead",
                        setting.implies.join("', '")
                    ));
                }
                Some(Setting { deprecated_value: Some(old), .. }) if value == *old => self
                    .warnings
                    .push(format!("the configuration value '{old}' for configuration property '{key}' is deprecated")),
                None if !free => {
                    self.warnings.push(unknown(&key));
                    continue;
                }
                _ => {}
            }
            self.given.insert(key, value);
        }
    }

    /// Replaces variables that name a file in place of a value (`KONG_PG_PASSWORD_FILE`, as Kong's container image has
    /// them) by what the file holds.
    fn read_files(&mut self, variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (key, value) in &variables {
            let named = key.strip_suffix("_file").filter(|_| table::setting(key).is_none());
            match named.filter(|named| table::setting(named).is_some() && !value.is_empty()) {
                None => drop(values.insert(key.clone(), value.clone())),
                Some(named) if variables.get(named).is_some_and(|given| !given.is_empty()) => {
                    let name = named.to_ascii_uppercase();
                    self.errors.push(format!("both KONG_{name} and KONG_{name}_FILE are set (but are exclusive)"));
                }
                Some(named) => match std::fs::read_to_string(value) {
                    Ok(text) => drop(values.insert(named.to_owned(), text.trim_end_matches('\n').to_owned())),
                    Err(e) => {
                        let name = key.to_ascii_uppercase();
                        self.errors.push(format!("KONG_{name}: cannot read {value}: {e}"));
                    }
                },
            }
        }
        values
    }

    /// Replaces references to vaults by what they stand for: whole settings, or single elements of lists. Settings of
    /// vaults come first, since others may need them.
    fn dereference(&mut self, environment: &[(String, String)]) {
        for of_vaults in [true, false] {
            let named = |key: &str| key.starts_with("vault_") == of_vaults;
            let texts: Vec<(String, Reference)> = self
                .given
                .iter()
                .filter(|(key, value)| named(key) && value.contains(references::START))
                .filter_map(|(key, value)| Some((key.clone(), Reference::find(key, value)?)))
                .collect();
            let all = texts.iter().flat_map(|(_, reference)| reference.texts()).collect();
            let found = references::look_up(all, &self.given, environment, &[]);
            for (key, reference) in texts {
                match reference.resolve(&key, &found) {
                    Ok(value) => {
                        self.given.insert(key.clone(), value);
                        self.references.insert(key, reference);
                    }
                    Err(error) => {
                        self.errors.push(error);
                        // What it is instead is not to be called wrong once more.
                        self.given.remove(&key);
                    }
                }
            }
        }
    }

    /// Hands values on to the keys that follow them, unless those are given themselves.
    fn imply(&mut self) {
        for setting in table::all() {
            let Some(value) = self.told(setting.name).map(str::to_owned) else { continue };
            for key in setting.implies.iter().filter(|key| !self.given.contains_key(**key)) {
                self.implied.entry((*key).to_owned()).or_insert_with(|| (value.clone(), setting.name));
            }
        }
    }

    /// The text of a key that was given or implied.
    fn told(&self, key: &str) -> Option<&str> {
        let implied = || self.implied.get(key).map(|(value, _)| value.as_str());
        self.given.get(key).map(String::as_str).or_else(implied)
    }

    fn evaluate(&mut self) {
        for setting in table::all() {
            let text = self.told(setting.name).unwrap_or(setting.default);
            match Value::parse(setting, text) {
                Ok(Some(value)) => {
                    self.values.insert(setting.name.to_owned(), value);
                }
                Ok(None) => {}
                Err(error) => {
                    self.errors.push(error);
                    // Further checks go on with what it would be if it had not been given.
                    if let Ok(Some(usual)) = Value::parse(setting, setting.default) {
                        self.values.insert(setting.name.to_owned(), usual);
                    }
                }
            }
        }
        let implied = self.implied.iter().map(|(key, (value, _))| (key, value));
        for (key, text) in self.given.iter().chain(implied).filter(|(key, _)| table::setting(key).is_none()) {
            self.values.insert(key.clone(), Value::Text(text.trim().to_owned()));
        }
        let implied: Vec<(&str, Value)> = table::all()
            .flat_map(|s: &Setting| s.implies.iter().filter_map(|key| Some((*key, self.values.get(s.name)?.clone()))))
            .collect();
        for (key, value) in implied {
            self.values.entry(key.to_owned()).or_insert(Value::Text(value.text()));
        }
    }
}

/// The setting that a variable of the environment stands for, which is in upper case.
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("KONG_")?;
    (!name.bytes().any(|b| b.is_ascii_lowercase())).then(|| name.to_ascii_lowercase())
}

/// What is said of a variable that would be a setting, were it in upper case.
fn miswritten(variable: &str) -> Option<String> {
    let key = variable.strip_prefix("KONG_")?.to_ascii_lowercase();
    let meant = variable.to_ascii_uppercase();
    (variable != meant && table::setting(&key).is_some())
        .then(|| format!("'{variable}' in the environment has no effect: the setting '{key}' is '{meant}' there"))
}

/// Whether it is not a setting but what Kubernetes tells containers of a service whose name begins with `kong`.
fn is_of_kubernetes(key: &str, value: &str) -> bool {
    if table::setting(key).is_some() {
        return false;
    }
    let named = format!("_{key}");
    let of_port = ["_tcp", "_udp", "_proto", "_port", "_addr"].iter().any(|end| named.ends_with(end));
    named.ends_with("_service_host")
        || named.contains("_service_port")
        || named.contains("_port_") && of_port
        || named.ends_with("_port") && value.contains("://")
}

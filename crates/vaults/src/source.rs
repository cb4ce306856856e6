//! Which vault a reference names, and how that is configured: by a record of the configuration, or by settings.

use crate::{Reference, Surroundings, Vault, VaultKind};
use model::{Catalog, Record};
use sdk::Config;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The vaults that references can name.
pub struct Sources {
    kinds: Vec<&'static VaultKind>,
    catalog: Arc<Catalog>,
    /// Those that begin with `vault_`.
    settings: BTreeMap<String, String>,
    surroundings: Surroundings,
    /// Kind and configuration, by prefix.
    records: BTreeMap<String, (String, Record)>,
}

/// Where a reference leads.
pub struct Located {
    pub kind: &'static VaultKind,
    pub config: Record,
    pub reference: Reference,
}

/// How long values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// `None`: for ever.
    pub ttl: Option<Duration>,
    /// `None`: as long as is sensible for the next try.
    pub neg_ttl: Option<Duration>,
    /// How long a value is used that cannot be renewed; `None`: for ever.
    pub resurrect_ttl: Option<Duration>,
}

/// The longest time for which anything is kept.
const LONGEST: Duration = Duration::from_secs(100_000_000);

impl Sources {
    /// Those kinds, configured by settings.
    pub fn new(
        kinds: Vec<&'static VaultKind>,
        catalog: Arc<Catalog>,
        settings: BTreeMap<String, String>,
        surroundings: Surroundings,
    ) -> Sources {
        Sources { kinds, catalog, settings, surroundings, records: BTreeMap::new() }
    }

    /// Takes records of `vaults` in place of those there were; the prefixes of those that are not the same now.
    pub fn replace<'r>(&mut self, records: impl Iterator<Item = &'r Record>) -> Vec<String> {
        let text = |record: &Record, field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
        let config = |record: &Record| record.get("config").and_then(Value::as_object).cloned();
        let vault = |record: &Record| (text(record, "name").unwrap_or_default(), config(record).unwrap_or_default());
        let new: BTreeMap<_, _> = records.filter_map(|record| Some((text(record, "prefix")?, vault(record)))).collect();
        let former = std::mem::replace(&mut self.records, new);
        let prefixes = former.keys().chain(self.records.keys());
        let differ = prefixes.filter(|prefix| former.get(*prefix) != self.records.get(*prefix));
        differ.cloned().collect()
    }

    /// Finds the vault of a reference.
    pub fn locate(&self, text: &str) -> Result<Located, String> {
        let reference = Reference::parse(text)?;
        let name = &reference.vault;
        let kind_named = |name: &str| self.kinds.iter().copied().find(|kind| kind.name == name);
        let (kind, config) = match self.records.get(name) {
            Some((of, config)) => {
                let kind = kind_named(of).ok_or_else(|| format!("could not find vault ({of})"))?;
                (kind, config.clone())
            }
            None => {
                let kind = kind_named(name).ok_or_else(|| format!("could not find vault ({name})"))?;
                (kind, self.configured(kind))
            }
        };
        let config = self.completed(kind, config, &reference.options)?;
        Ok(Located { kind, config, reference })
    }

    /// A vault, configured.
    pub fn open(&self, kind: &VaultKind, config: &Record) -> Result<Box<dyn Vault>, String> {
        (kind.open)(Config::new(config), &self.surroundings)
    }

    /// Puts values in the place of references in a vault's own configuration.
    pub fn replace_references(
        &self,
        kind: &VaultKind,
        config: Record,
        replace: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Record {
        let Some(schema) = self.catalog.vault(kind.name) else { return config };
        let mut whole = Record::from_iter([("config".to_owned(), Value::Object(config))]);
        schema.replace_vault_references(&self.catalog, &mut whole, replace);
        match whole.remove("config") {
            Some(Value::Object(config)) => config,
            _ => Record::new(),
        }
    }

    /// What settings say of a kind, as texts (`vault_hcv_token`).
    fn configured(&self, kind: &VaultKind) -> Record {
        let fields = self.fields(kind);
        let given = |field: &String| {
            let value = self.settings.get(&format!("vault_{}_{field}", kind.name).replace('-', "_"));
            let value = value.or_else(|| {
                // The setting is called otherwise than the field.
                let other = format!("vault_{}_decode_base64", kind.name);
                if field == "base64_decode" { self.settings.get(&other) } else { None }
            });
            Some((field.clone(), text_of(value?)))
        };
        fields.iter().filter_map(given).collect()
    }

    /// The names of the fields of a kind's configuration.
    fn fields(&self, kind: &VaultKind) -> Vec<String> {
        let schema = self.catalog.vault(kind.name);
        let shape = schema.and_then(|schema| schema.field("config")).and_then(|config| config.shape());
        shape.map_or_else(Vec::new, |shape| shape.fields().iter().map(|field| field.name.clone()).collect())
    }

    /// A whole configuration: what is given, options of the reference in its place, and defaults.
    fn completed(&self, kind: &VaultKind, mut config: Record, options: &Record) -> Result<Record, String> {
        let fields = self.fields(kind);
        config.extend(options.iter().filter(|(name, _)| fields.contains(name)).map(|(n, v)| (n.clone(), v.clone())));
        let vault = json!({ "name": kind.name, "prefix": "any-vault", "config": config });
        let (Some(schema), Value::Object(vault)) = (self.catalog.entity("vaults"), vault) else {
            return Err("there are no vaults here".to_owned());
        };
        let vault = schema.coerce_form(&self.catalog, vault);
        let mut vault = schema.process_insert(&self.catalog, vault).map_err(|error| error.message)?;
        match vault.remove("config") {
            Some(Value::Object(config)) => Ok(config),
            _ => Ok(Record::new()),
        }
    }
}

impl Located {
    /// The same for all references that are answered by one look-up.
    pub fn identity(&self) -> String {
        let Reference { resource, version, .. } = &self.reference;
        format!("{};{version:?};{resource}", self.vault())
    }

    /// The same for all references to one vault.
    pub fn vault(&self) -> String {
        format!("{};{}", self.kind.name, Value::Object(self.config.clone()))
    }

    /// `own`: what the vault itself has said of the secret, within the limits of the configuration.
    pub fn lifetimes(&self, own: Option<f64>) -> Lifetimes {
        let config = Config::new(&self.config);
        let number = |field: &str| config.number(field).filter(|s| *s > 0.0);
        let own = own.map(|own| match own {
            own if own > 0.0 => {
                let least = own.max(number("min_ttl").unwrap_or_default());
                number("max_ttl").filter(|most| own > *most).unwrap_or(least)
            }
            _ => 0.0,
        });
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
        let ttl = own.map_or_else(|| number("ttl"), |own| Some(own).filter(|own| *own > 0.0)).map(seconds);
        let (neg_ttl, resurrect_ttl) = (number("neg_ttl").map(seconds), number("resurrect_ttl").map(seconds));
        Lifetimes { ttl, neg_ttl, resurrect_ttl }
    }

    /// The value of the reference, out of what the vault has answered.
    pub fn value(&self, secret: &str) -> Result<String, String> {
        let value = match &self.reference.key {
            None => secret.to_owned(),
            Some(key) => field_of(secret, key).map_err(|why| format!("could not get subfield value: {why}"))?,
        };
        let asked = self.reference.options.get("base64_decode").and_then(Value::as_str) == Some("true");
        if !asked && !Config::new(&self.config).flag("base64_decode") {
            return Ok(value);
        }
        let octets = sdk::decode_base64(value.trim()).ok_or("the secret is not base64")?;
        String::from_utf8(octets).map_err(|_| "the secret is no text".to_owned())
    }
}

/// Settings have other words for booleans.
fn text_of(value: &str) -> Value {
    match value {
        "on" => "true".into(),
        "off" => "false".into(),
        other => other.into(),
    }
}

/// A field of a JSON object, which must be a text.
fn field_of(secret: &str, key: &str) -> Result<String, String> {
    let object: Value = serde_json::from_str(secret).map_err(|_| "unable to json decode value")?;
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("the value in JSON secret for subfield {key} is no string")),
        None => Err(format!("subfield {key} not found in JSON secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled;
    use crate::testing::{catalog, surroundings};

    fn sources(settings: &[(&str, &str)]) -> Sources {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sources::new(bundled().iter().collect(), Arc::new(catalog()), settings.collect(), surroundings(&[]))
    }

    #[test]
    fn settings_configure_a_kind_and_options_a_reference() {
        let settings = [("vault_hcv_token", "t"), ("vault_hcv_ssl_verify", "off"), ("vault_hcv_decode_base64", "on")];
        let located = sources(&settings).locate("{vault://hcv/a/b?kv=v2&ttl=60&unknown=1}").unwrap();
        assert_eq!(located.config["token"], "t");
        assert_eq!(located.config["ssl_verify"], false);
        assert_eq!(located.config["base64_decode"], true);
        assert_eq!(located.config["kv"], "v2");
        assert_eq!(located.config["port"], 8200);
        assert_eq!(located.lifetimes(None).ttl, Some(Duration::from_secs(60)));
        assert_eq!(located.lifetimes(Some(5.0)).ttl, Some(Duration::from_secs(5)));
        assert_eq!(located.lifetimes(Some(0.0)).ttl, None);
        assert_eq!(located.lifetimes(Some(f64::INFINITY)).ttl, Some(LONGEST));
        assert_eq!(located.lifetimes(None).neg_ttl, None);
        assert_eq!(located.value(r#"{"b": "c2VjcmV0"}"#).unwrap(), "secret");
        assert_eq!(located.value(r#"{"b": "%"}"#).unwrap_err(), "the secret is not base64");
        assert_eq!(
            located.value("{}").unwrap_err(),
            "could not get subfield value: subfield b not found in JSON secret"
        );
    }

    #[test]
    fn a_record_has_a_prefix_of_its_own() {
        let mut sources = sources(&[]);
        let record = json!({ "name": "env", "prefix": "my-env", "config": { "prefix": "SSL_" } });
        assert_eq!(sources.replace([record.as_object().unwrap()].into_iter()), ["my-env"]);
        assert!(sources.replace([record.as_object().unwrap()].into_iter()).is_empty());
        assert_eq!(sources.locate("{vault://my-env/a}").unwrap().config["prefix"], "SSL_");
        assert_eq!(sources.locate("{vault://env/a}").unwrap().config["prefix"], Value::Null);
        assert_eq!(sources.replace(std::iter::empty()), ["my-env"]);
        assert_eq!(sources.locate("{vault://my-env/a}").err().unwrap(), "could not find vault (my-env)");
        assert!(sources.locate("{vault://hcv/a}").err().unwrap().contains("token"));
    }
}

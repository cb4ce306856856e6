//! References to vaults in settings: looked up once, when settings are read.

use super::Sources;
use super::definition::ValueType;
use super::{table, value};
use crate::app::{certificates, preflight};
use model::{Catalog, Record};
use sdk::{Env, Network};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vaults::{Secrets, Surroundings};

/// What references begin with.
pub const START: &str = "{vault://";
/// What lines begin with that tell where the value of a setting has come from.
const COMMENT: &str = "# reference ";

/// Where a setting names a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Whole(String),
    /// In a list: its elements as they were given, references and others.
    Elements(Vec<String>),
}

/// What references stand for, or why that cannot be said.
pub type Found = BTreeMap<String, Result<String, String>>;

impl Reference {
    /// What of a setting's text is a reference, if anything is.
    pub fn find(key: &str, text: &str) -> Option<Reference> {
        if table::setting(key).is_some_and(|setting| setting.kind == ValueType::List) {
            let elements = value::split(text);
            return elements.iter().any(|text| is_reference(text)).then_some(Reference::Elements(elements));
        }
        is_reference(text).then(|| Reference::Whole(text.trim().to_owned()))
    }

    /// As a file has it in which the setting itself has the value that was found: so that the reference is still what
    /// is shown.
    pub fn to_comment(&self, key: &str) -> String {
        let text = match self {
            Reference::Whole(text) => text.clone(),
            Reference::Elements(elements) => elements.join(","),
        };
        format!("{COMMENT}{key} = {}\n", value::one_line(&text))
    }

    /// The key and the reference that a comment of a file holds.
    pub fn of_comment(line: &str) -> Option<(String, Reference)> {
        let (key, text) = line.strip_prefix(COMMENT)?.split_once(" = ")?;
        Some((key.to_owned(), Reference::find(key, text)?))
    }

    /// The references themselves.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Reference::Whole(text) => vec![text.clone()],
            Reference::Elements(all) => {
                all.iter().filter(|text| is_reference(text)).map(|text| text.trim().to_owned()).collect()
            }
        }
    }

    /// The setting's text with what was found in the place of references.
    pub fn resolve(&self, key: &str, found: &Found) -> Result<String, String> {
        let value = |text: &str, place: &str| match found.get(text.trim()) {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(why)) => {
                let shown = vaults::shown(text.trim());
                Err(format!("failed to dereference '{shown}': {why} for config option '{key}{place}'"))
            }
            None => Ok(text.to_owned()),
        };
        match self {
            Reference::Whole(text) => value(text, ""),
            Reference::Elements(all) => {
                let elements = all.iter().enumerate();
                let values = elements.map(|(at, text)| value(text, &format!("[{}]", at + 1)));
                let values = values.map(|value| value.map(|value| value::one_line(&value)));
                Ok(values.collect::<Result<Vec<_>, _>>()?.join(","))
            }
        }
    }
}

/// Looks references up, with the settings of vaults among those that were given, and records of vaults where there are
/// any. Blocks until that is done: nothing can begin without it.
pub fn look_up(
    references: BTreeSet<String>,
    given: &BTreeMap<String, String>,
    environment: &[(String, String)],
    records: &[Record],
) -> Found {
    if references.is_empty() {
        return Found::new();
    }
    let failed = |why: String| references.iter().map(|text| (text.clone(), Err(why.clone()))).collect();
    // A thread of its own: the caller may be part of a runtime.
    let asked = std::thread::scope(|scope| {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(ask(&references, given, environment, records))
        };
        scope.spawn(ask).join().unwrap_or_else(|_| Err("the look-up has panicked".to_owned()))
    });
    asked.unwrap_or_else(failed)
}

/// A reference that may be written without `{vault://` and `}`, in full.
pub fn in_full(reference: &str) -> String {
    match is_reference(reference) {
        true => reference.trim().to_owned(),
        false => format!("{START}{reference}}}"),
    }
}

/// Whether settings configure a vault, which is called as its kind then.
pub fn is_kind(vault: &str, sources: &Sources) -> Result<bool, String> {
    let own =
        |given: &BTreeMap<String, String>| value::split(text_of(given, "vaults")).iter().any(|name| name == vault);
    Ok(vaults::bundled().iter().any(|kind| kind.name == vault) || own(&sources.load()?.given))
}

/// What a reference stands for in this process, with these records of vaults.
pub fn referred_to(reference: &str, sources: &Sources, records: &[Record]) -> Result<String, String> {
    let given = sources.load()?.given;
    let found = look_up(BTreeSet::from([reference.to_owned()]), &given, &sources.environment, records);
    let found = found.into_values().next().unwrap_or_else(|| Err("nothing was looked up".to_owned()));
    found.map_err(|why| match why.starts_with("could not find vault") {
        true => why,
        false => format!("could not get value from external vault ({why})"),
    })
}

fn is_reference(text: &str) -> bool {
    text.trim().starts_with(START) && text.trim().ends_with('}')
}

async fn ask(
    references: &BTreeSet<String>,
    given: &BTreeMap<String, String>,
    environment: &[(String, String)],
    records: &[Record],
) -> Result<Found, String> {
    let mut catalog = Catalog::core();
    let mut kinds: Vec<_> = vaults::bundled().iter().collect();
    let names = value::split(text_of(given, "vaults"));
    let own = preflight::own_vaults(&names);
    let bundled = |reference: &String| {
        vaults::Reference::parse(reference).is_ok_and(|of| vaults::bundled().iter().any(|kind| kind.name == of.vault))
    };
    if !own.is_empty() && !references.iter().all(bundled) {
        kinds.extend(preflight::vaults_of_files(&own, text_of(given, "lua_package_path"))?);
    }
    vaults::register(&kinds, &mut catalog)?;
    let env = Env::default().with_network(network(given)?);
    let surroundings = Surroundings { env, environment: environment.iter().cloned().collect() };
    // What a vault needs of another one is looked up without it.
    let known = given.iter().filter(|(_, text)| !is_reference(text)).map(|(name, text)| (name.clone(), text.clone()));
    let secrets = Secrets::new(vaults::Sources::new(kinds, Arc::new(catalog), known.collect(), surroundings));
    secrets.set_vaults(records.iter());
    secrets.learn(references).await;
    Ok(references.iter().map(|text| (text.clone(), secrets.value(text))).collect())
}

/// A setting as it was given, or its default.
fn text_of<'a>(given: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let usual = table::setting(name).map_or("", |setting| setting.default);
    given.get(name).map_or(usual, String::as_str)
}

/// The way to vaults before there is a node: names by the system's resolver.
fn network(given: &BTreeMap<String, String>) -> Result<Network, String> {
    const AUTHORITIES: &str = "lua_ssl_trusted_certificate";
    let mut entries = value::split(text_of(given, AUTHORITIES));
    // A vault is asked without those that come from vaults.
    entries.retain(|entry| !is_reference(entry));
    certificates::network(certificates::roots(AUTHORITIES, &entries)?)
}

//! Directives that Kong injects into its nginx configuration (`nginx_<context>_<directive>`): what they are here, and
//! what the operator must be told of those that are nothing.
//!
//! [`table`] defines each once. [`Injected`] holds those that a node has been given and resolves nginx's inheritance:
//! the innermost block that has a directive decides, and of a directive that may be repeated it replaces all that stand
//! further out. `proxy` and `api` turn them into what the data plane and the Admin and Status APIs are told.

mod api;
mod definition;
mod document;
mod proxy;
mod table;
mod words;

pub use api::Api;
pub use definition::Context;
pub use document::documentation;

use super::load::Loaded;
use super::value;
use definition::{Directive, Effect, Syntax};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Directives with effect that a node has been given, by Kong's defaults or by its operator.
#[derive(Clone, Debug, Default)]
pub struct Injected {
    given: Vec<InjectedDirective>,
}

/// What is to be said of directives.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
}

/// Blocks from the innermost outwards.
pub type Scope = &'static [Context];

/// Where requests of the proxy pass through.
pub const LOCATION: Scope = &[Context::Location, Context::Proxy, Context::Http];
/// What holds for connections to an interface.
pub const PROXY_SERVER: Scope = &[Context::Proxy, Context::Http];
pub const ADMIN: Scope = &[Context::Admin, Context::Http];
/// What holds for streams.
pub const STREAM: Scope = &[Context::StreamProxy, Context::Stream];
pub const STATUS: Scope = &[Context::Status, Context::Http];
/// What code of plugins may count on.
#[cfg(feature = "lua")]
pub const LUA: Scope = &[Context::Http];
/// The pages of the manager, for which Kong has no block of its own.
pub const MANAGER: Scope = &[Context::Http];
const MAIN: Scope = &[Context::Main];
const EVENTS: Scope = &[Context::Events];

/// One directive in its block.
#[derive(Clone, Debug)]
struct InjectedDirective {
    /// The key of `kong.conf` that gave it.
    key: String,
    context: Context,
    name: String,
    words: Vec<String>,
    /// By the operator, not by Kong's defaults.
    chosen: bool,
}

/// What becomes of one that is written somewhere.
enum Handling {
    Acts(&'static Directive),
    /// It is named, and has no effect.
    Idle(String),
    /// The start is refused.
    Refused(String),
}

/// For Kong, as if it had not been given.
pub const NONE: &str = "NONE";

impl Injected {
    /// Reads all keys that stand for directives. Paths are relative to `prefix`. Of what has no effect, only that is
    /// said which the operator gave.
    pub fn read(loaded: &Loaded, prefix: &Path) -> (Injected, Diagnostics) {
        let (mut injected, mut diagnostics) = (Injected::default(), Diagnostics::default());
        for (key, value) in &loaded.values {
            let Some((context, name)) = Context::of_key(key) else { continue };
            let value = value.text();
            if value == NONE || value.is_empty() {
                continue;
            }
            let all = match words::read(name, &value) {
                Ok(all) => all,
                Err(error) => {
                    diagnostics.errors.push(format!("{key}: {error}"));
                    continue;
                }
            };
            for written in all {
                match handling(context, &written) {
                    Handling::Acts(directive) => {
                        let chosen = loaded.given.contains_key(key) || loaded.implied.contains_key(key);
                        let (name, words) = (written.name, written.words);
                        let key = loaded.implied.get(key).map_or(key.as_str(), |(_, origin)| origin).to_owned();
                        let mut given = InjectedDirective { key, context, name, words, chosen };
                        let checked = given.check(directive, prefix).and_then(|()| injected.place(directive, &given));
                        match checked {
                            Ok(()) => injected.given.push(given),
                            Err(error) => diagnostics.errors.push(error),
                        }
                    }
                    Handling::Idle(why) if loaded.given.contains_key(key) => {
                        diagnostics.warnings.push(said(key, name, &written.name, &why))
                    }
                    Handling::Idle(_) => {}
                    Handling::Refused(why) => diagnostics.errors.push(said(key, name, &written.name, &why)),
                }
            }
        }
        (injected, diagnostics)
    }

    /// Whether a new value of a key, and what the files that it names hold by then, is taken by a reload.
    pub fn is_renewed(key: &str) -> bool {
        Context::of_key(key).and_then(|(context, name)| table_row(context, name)).is_some_and(|row| row.renewed)
    }

    /// One directive may stand in a block once.
    fn place(&self, directive: &Directive, new: &InjectedDirective) -> Result<(), String> {
        let same = |given: &&InjectedDirective| given.context == new.context && given.name == new.name;
        match self.given.iter().find(same) {
            Some(_) if !directive.repeats => Err(format!("{}: \"{}\" directive is duplicate", new.key, new.name)),
            _ => Ok(()),
        }
    }

    /// All of that name in the innermost block that has any, in their order.
    fn all(&self, scope: Scope, name: &str) -> Vec<&InjectedDirective> {
        let of = |context: Context| {
            self.given.iter().filter(|given| given.context == context && given.name == name).collect::<Vec<_>>()
        };
        scope.iter().map(|context| of(*context)).find(|level| !level.is_empty()).unwrap_or_default()
    }

    fn one(&self, scope: Scope, name: &str) -> Option<&InjectedDirective> {
        self.all(scope, name).pop()
    }

    /// All of a directive that may be repeated: the keys that gave them, and their words.
    pub fn listed(&self, scope: Scope, name: &str) -> Vec<(&str, &[String])> {
        self.all(scope, name).iter().map(|given| (given.key.as_str(), &given.words[..])).collect()
    }

    /// Of a directive that may be repeated, with a name and a size: both, each time.
    #[cfg(feature = "lua")]
    pub fn named_sizes(&self, scope: Scope, name: &str) -> Result<Vec<(&str, usize)>, String> {
        let sized =
            |given: &'_ InjectedDirective| value::size(&given.key, given.words.get(1).map_or("", String::as_str));
        let all = self.all(scope, name).into_iter();
        all.map(|given| {
            let size = usize::try_from(sized(given)?).map_err(|_| format!("{}: the size is too large", given.key))?;
            Ok((given.words.first().map_or("", String::as_str), size))
        })
        .collect()
    }

    /// The words of a directive.
    pub fn words(&self, scope: Scope, name: &str) -> Option<&[String]> {
        self.one(scope, name).map(|given| &given.words[..])
    }

    /// Its first word; empty when it is not there.
    pub fn word(&self, scope: Scope, name: &str) -> &str {
        self.words(scope, name).and_then(<[String]>::first).map_or("", String::as_str)
    }

    /// The block that decides about a directive.
    pub fn context(&self, scope: Scope, name: &str) -> Option<Context> {
        self.one(scope, name).map(|given| given.context)
    }

    /// The key that gave a directive, for messages.
    pub fn key(&self, scope: Scope, name: &str) -> &str {
        self.one(scope, name).map_or("", |given| &given.key)
    }

    pub fn flag(&self, scope: Scope, name: &str) -> Option<bool> {
        Some(self.words(scope, name)?.first()? == "on")
    }

    // The syntax has been checked: what cannot be read is as if it were not there.

    pub fn size(&self, scope: Scope, name: &str) -> Option<u64> {
        value::size(name, self.words(scope, name)?.first()?).ok()
    }

    pub fn number(&self, scope: Scope, name: &str) -> Option<u64> {
        self.words(scope, name)?.first()?.parse().ok()
    }

    pub fn time(&self, scope: Scope, name: &str) -> Option<Duration> {
        value::time(name, &self.words(scope, name)?.join(" ")).ok()
    }

    /// How many there are, and the octets of each.
    pub fn buffers(&self, scope: Scope, name: &str) -> Option<(usize, usize)> {
        match self.words(scope, name)? {
            [number, size] => Some((number.parse().ok()?, usize::try_from(value::size(name, size).ok()?).ok()?)),
            _ => None,
        }
    }

    pub fn path(&self, scope: Scope, name: &str) -> Option<PathBuf> {
        self.words(scope, name)?.first().map(PathBuf::from)
    }
}

impl InjectedDirective {
    /// Looks at the words, and makes a path absolute.
    fn check(&mut self, directive: &Directive, prefix: &Path) -> Result<(), String> {
        let InjectedDirective { key, name, words, .. } = self;
        let invalid =
            |word: &str, must: &str| Err(format!("{key}: invalid value \"{word}\" in \"{name}\" directive{must}"));
        let (least, most) = match directive.syntax {
            Syntax::Words(least, most) => (least, most),
            Syntax::Buffers => (2, 2),
            // One time may be written in several words.
            Syntax::Time => (1, usize::MAX),
            Syntax::Path => (1, 4),
            _ => (1, 1),
        };
        if !(least..=most).contains(&words.len()) {
            return Err(format!("{key}: invalid number of arguments in \"{name}\" directive"));
        }
        match directive.syntax {
            Syntax::Flag if !["on", "off"].contains(&words[0].as_str()) => {
                invalid(&words[0], ", it must be \"on\" or \"off\"")
            }
            Syntax::Size => value::size(key, &words[0]).map(drop),
            Syntax::Buffers if !words[0].parse::<usize>().is_ok_and(|n| n > 0) => invalid(&words[0], ""),
            Syntax::Buffers => match value::size(key, &words[1]) {
                Ok(0) => invalid(&words[1], ""),
                size => size.map(drop),
            },
            Syntax::Time => value::time(key, &words.join(" ")).map(drop),
            Syntax::Number if words[0].parse::<u64>().is_err() => invalid(&words[0], ""),
            Syntax::Choice(choices) if !choices.contains(&words[0].as_str()) => invalid(&words[0], ""),
            Syntax::Path => {
                words[0] = prefix.join(&words[0]).to_string_lossy().into_owned();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn handling(context: Context, written: &words::Written) -> Handling {
    let name = written.name.as_str();
    if let Some(row) = table_row(context, name) {
        let no_block = "it has no block".to_owned();
        return match row.effect {
            Effect::Acts if written.block => Handling::Refused(no_block),
            Effect::Acts => Handling::Acts(row),
            Effect::Overruled => Handling::Idle(format!("has no effect, as in Kong: {}", row.doc)),
            Effect::Absent if row.protective => Handling::Refused(row.doc.to_owned()),
            Effect::Absent => Handling::Idle(format!("has no effect here: {}", row.doc)),
        };
    }
    if let Some(why) = reason(table::REFUSED, name).filter(|_| written.words != ["off"]) {
        return Handling::Refused(why.to_owned());
    }
    if context.is_of_streams() {
        return match reason(table::OF_STREAMS, name) {
            Some("") => Handling::Refused("is not available for streams".to_owned()),
            Some(why) => Handling::Idle(format!("has no effect here: {why}")),
            None => Handling::Idle("is not known for streams and has no effect here".to_owned()),
        };
    }
    if context == Context::Upstream {
        let why = "upstreams and `upstream_keepalive_*` say how services are balanced and their connections kept";
        return Handling::Idle(format!("has no effect, as in Kong: {why}"));
    }
    if name.ends_with("ssl_conf_command") {
        return conf_command(&written.words);
    }
    let of_api = matches!(context, Context::Admin | Context::Status);
    match table::DIRECTIVES.iter().find(|row| row.name == name) {
        Some(row) if of_api && row.contexts.has(Context::Proxy) => {
            let why = "has no effect for the Admin and the Status API";
            if row.protective && !name.starts_with("proxy_") {
                Handling::Refused(why.to_owned())
            } else {
                Handling::Idle(why.to_owned())
            }
        }
        Some(_) => Handling::Refused("is not allowed here".to_owned()),
        None => Handling::Idle(match reason(table::WITHOUT_EFFECT, name) {
            Some(why) => format!("has no effect here: {why}"),
            None => "is not known and has no effect here".to_owned(),
        }),
    }
}

/// Commands to OpenSSL: those that only loosen or tune are of no use, others would be missed.
fn conf_command(words: &[String]) -> Handling {
    let why = "there is no OpenSSL here";
    match words.first().map(String::as_str) {
        Some("Options") => Handling::Idle(format!("has no effect here: {why}")),
        Some("CipherString") if words.get(1).is_some_and(|list| list.contains("@SECLEVEL=")) => {
            Handling::Idle(format!("has no effect here: {why}"))
        }
        _ => Handling::Refused(format!("{why}; use ssl_protocols, ssl_ciphers and ssl_ecdh_curve")),
    }
}

fn table_row(context: Context, name: &str) -> Option<&'static Directive> {
    table::DIRECTIVES.iter().find(|row| row.name == name && row.contexts.has(context))
}

/// The reason of the first line of a list that has the name.
fn reason(lists: &'static [(&[&str], &str)], name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(beginning), _) => name.starts_with(beginning),
        (_, Some(end)) => name.ends_with(end),
        _ => name == pattern,
    };
    lists.iter().find(|(names, _)| names.iter().any(|pattern| fits(pattern))).map(|(_, why)| *why)
}

/// `key` gave `written`, a directive that is its own or stands behind that.
fn said(key: &str, own: &str, written: &str, what: &str) -> String {
    let what = if what.starts_with("has ") || what.starts_with("is ") {
        what.to_owned()
    } else {
        format!("is not available: {what}")
    };
    let inner = if own == written { String::new() } else { format!(" ('{written}')") };
    format!("the nginx directive '{key}'{inner} {}", what.replace('`', "'"))
}

#[cfg(test)]
mod tests;

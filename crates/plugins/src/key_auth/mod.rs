//! `key-auth` and `key-auth-enc`: callers show a key in a header, the query or the body.

use sdk::{
    Anonymous, Answer, Args, Config, Content, CredentialEntity, CredentialKey, Env, Exchange, Phases, Plugin,
    PluginKind, Step, challenge, entities,
};
use std::borrow::Cow;

/// The plugin as the gateway knows it.
pub struct KeyAuth;

/// The same with credentials of its own, which Kong encrypts.
pub struct KeyAuthEnc;

const ENC_ENTITY: &str = "keyauth_enc_credentials";
const ENTITY: &str = "keyauth_credentials";

struct Instance {
    /// The entity of its credentials.
    entity: &'static str,
    key_names: Vec<KeyName>,
    in_header: bool,
    in_query: bool,
    in_body: bool,
    hide: bool,
    on_preflight: bool,
    anonymous: Anonymous,
    challenge: String,
}

/// What a key may be called.
struct KeyName {
    name: String,
    /// The name of header lines that are taken when there is none of that name: the same with dashes in place of its
    /// underscores, in which those of many clients and proxies end.
    dashed: Option<String>,
}

/// Why a caller is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Duplicate,
    Missing,
    Unknown,
    /// The key may be in a body that is too large to be searched.
    TooLarge,
}

/// What was found under the key names.
enum Found<'a> {
    /// A key, and under which name.
    Key(Cow<'a, [u8]>, usize),
    Several,
    Nothing,
}

impl PluginKind for KeyAuth {
    fn name(&self) -> &'static str {
        "key-auth"
    }

    fn priority(&self) -> i32 {
        1250
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("keyauth_credentials.json"),
            entity: ENTITY,
            key: CredentialKey::Field("key"),
            parse: None,
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(Instance::new(self.name(), ENTITY, plugin)?))
    }
}

impl PluginKind for KeyAuthEnc {
    fn name(&self) -> &'static str {
        "key-auth-enc"
    }

    fn priority(&self) -> i32 {
        1250
    }

    fn schema(&self) -> &'static str {
        include_str!("schema_enc.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("keyauth_enc_credentials.json"),
            entity: ENC_ENTITY,
            key: CredentialKey::Field("key"),
            parse: None,
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(Instance::new(self.name(), ENC_ENTITY, plugin)?))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.in_body { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn degraded(&self) -> Option<String> {
        (self.entity == ENC_ENTITY).then(|| "keys are stored as they are: there is no keyring".to_owned())
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !self.on_preflight && exchange.request.method.as_str() == "OPTIONS" {
            return Step::Next;
        }
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        match self.recognise(exchange) {
            Ok(()) => Step::Next,
            Err(refusal) => self.anonymous.or_refuse(exchange, |exchange| match refusal {
                Refusal::TooLarge => Answer::error(exchange, 413, refusal.words()),
                _ => Answer::error(exchange, 401, refusal.words()).with("WWW-Authenticate", self.challenge.as_bytes()),
            }),
        }
    }
}

impl Instance {
    fn new(name: &'static str, entity: &'static str, plugin: &entities::Plugin) -> Result<Instance, String> {
        let config = Config::new(&plugin.config);
        Ok(Instance {
            entity,
            key_names: config.texts("key_names").into_iter().map(KeyName::new).collect(),
            in_header: config.flag("key_in_header"),
            in_query: config.flag("key_in_query"),
            in_body: config.flag("key_in_body"),
            hide: config.flag("hide_credentials"),
            on_preflight: config.flag("run_on_preflight"),
            anonymous: Anonymous::new(name, &config),
            challenge: challenge("Key", &config)?,
        })
    }

    /// Finds the caller by the key of the request.
    fn recognise(&self, exchange: &mut Exchange) -> Result<(), Refusal> {
        let content = if self.in_body { Content::of(exchange) } else { None };
        let (found, name) = match self.find(exchange, content.as_ref()) {
            Found::Key(key, name) if key.is_empty() => (Err(Refusal::Missing), name),
            Found::Key(key, name) => (exchange.find_credential(self.entity, &key).ok_or(Refusal::Unknown), name),
            Found::Several => return Err(Refusal::Duplicate),
            Found::Nothing if self.in_body && Content::is_too_large(exchange) => return Err(Refusal::TooLarge),
            Found::Nothing => return Err(Refusal::Missing),
        };
        if self.hide {
            hide(exchange, &self.key_names[name], content);
        }
        if exchange.authenticate_by(found?) { Ok(()) } else { Err(Refusal::Unknown) }
    }

    /// The first key name that has a value decides; header before query before body.
    fn find<'a>(&'a self, exchange: &'a Exchange, content: Option<&Content>) -> Found<'a> {
        for (at, key_name) in self.key_names.iter().enumerate() {
            let name = &key_name.name;
            if self.in_header {
                let mut lines = exchange.request.fields.get_all(key_name.of_lines(exchange));
                match (lines.next(), lines.next()) {
                    (Some(_), Some(_)) => return Found::Several,
                    (Some(value), None) => return Found::Key(Cow::Borrowed(value), at),
                    _ => {}
                }
            }
            if self.in_query
                && let Some(query) = exchange.request.query()
            {
                let mut values = Args::find(query, name);
                match (values.next(), values.next()) {
                    (Some(_), Some(_)) => return Found::Several,
                    (Some(Some(value)), None) => return Found::Key(value, at),
                    // An argument without `=` is no key, and keeps the body from being searched.
                    (Some(None), None) => continue,
                    _ => {}
                }
            }
            let mut values = content.map(|content| content.get_all(name)).unwrap_or_default();
            match (values.pop(), values.pop()) {
                (Some(_), Some(_)) => return Found::Several,
                (Some(Some(value)), None) => return Found::Key(Cow::Owned(value), at),
                _ => {}
            }
        }
        Found::Nothing
    }
}

impl KeyName {
    fn new(name: String) -> KeyName {
        KeyName { dashed: name.contains('_').then(|| name.replace('_', "-")), name }
    }

    /// The name of the header lines that have the key of this exchange.
    fn of_lines(&self, exchange: &Exchange) -> &str {
        self.dashed.as_deref().filter(|_| !exchange.request.fields.contains(&self.name)).unwrap_or(&self.name)
    }
}

impl Refusal {
    fn words(self) -> &'static str {
        match self {
            Refusal::Duplicate => "Duplicate API key found",
            Refusal::Missing => "No API key found in request",
            Refusal::Unknown => "Unauthorized",
            Refusal::TooLarge => "Request body is too large to be searched for an API key",
        }
    }
}

/// Removes the key from everything that goes to the service.
fn hide(exchange: &mut Exchange, key_name: &KeyName, content: Option<Content>) {
    let name = &*key_name.name;
    exchange.request.fields.remove(name);
    if let Some(dashed) = &key_name.dashed {
        exchange.request.fields.remove(dashed);
    }
    if let Some(query) = &exchange.upstream.query {
        let rest = Args::without(query, name);
        exchange.upstream.query = Some(rest).filter(|rest| !rest.is_empty());
    }
    if let Some(mut content) = content
        && content.remove(name)
    {
        exchange.body = content.encode().into();
    } else if Content::is_too_large(exchange) {
        let id = exchange.id_str();
        tracing::warn!(request_id = id, "key-auth: the content is too large for keys in it to be removed");
    }
}

#[cfg(test)]
mod tests;

//! By what callers are told apart.

use sdk::{Config, Exchange, entities};

/// What of a request names the caller.
pub enum Identifier {
    Consumer(ConsumerKey),
    Credential,
    Address,
    Service,
    /// Of Kong 3.13.
    Route,
    ConsumerGroup,
    Header(String),
    Path(String),
}

/// By what consumers are told apart (`counter_key` of Kong 3.15).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ConsumerKey {
    Id,
    Username,
    CustomId,
}

impl Identifier {
    /// The one of that name; some need another field.
    pub fn read(name: &str, config: &Config<'_>) -> Result<Identifier, String> {
        let need = |field: &str| config.text(field).ok_or_else(|| format!("config.{field}: missing"));
        Ok(match name {
            "consumer" => Identifier::Consumer(match config.text("counter_key") {
                Some("consumer.username") => ConsumerKey::Username,
                Some("consumer.custom_id") => ConsumerKey::CustomId,
                _ => ConsumerKey::Id,
            }),
            "credential" => Identifier::Credential,
            "ip" => Identifier::Address,
            "service" => Identifier::Service,
            "route" => Identifier::Route,
            "consumer-group" => Identifier::ConsumerGroup,
            "header" => Identifier::Header(need("header_name")?.to_owned()),
            "path" => Identifier::Path(need("path")?.to_owned()),
            other => return Err(format!("config.identifier: unknown '{other}'")),
        })
    }

    /// The name of the caller; the client's address when there is no better one.
    pub fn of(&self, exchange: &Exchange) -> Vec<u8> {
        let id = |id: entities::Uuid| id.to_string().into_bytes();
        let named = match self {
            Identifier::Consumer(key) => {
                let named = exchange.consumer.as_ref().and_then(|consumer| match key {
                    ConsumerKey::Id => None,
                    ConsumerKey::Username => consumer.username.clone(),
                    ConsumerKey::CustomId => consumer.custom_id.clone(),
                });
                named.map(String::into_bytes).or_else(|| crate::limits::id_of_caller(exchange, true).map(id))
            }
            Identifier::Credential => crate::limits::id_of_caller(exchange, false).map(id),
            Identifier::Service => exchange.service.as_ref().map(|service| id(service.id)),
            Identifier::Route => exchange.route.as_ref().map(|route| id(route.id)),
            Identifier::ConsumerGroup => exchange.consumer_groups().first().map(|group| id(group.id)),
            Identifier::Header(name) => exchange.request.fields.get(name).map(<[u8]>::to_vec),
            Identifier::Path(path) => (exchange.path() == **path).then(|| path.clone().into_bytes()),
            Identifier::Address => None,
        };
        named.unwrap_or_else(|| exchange.client.ip.to_string().into_bytes())
    }
}

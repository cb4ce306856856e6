//! From what is known of a caller to what the gateway and the service are told.

use super::Instance;
use super::claims::{Claims, text};
use super::provider::{Failure, Tokens};
use super::settings::Told;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk::entities::{Consumer, ConsumerGroup, Credential, Uuid};
use sdk::session::{Session, SetCookie};
use sdk::{Exchange, Fields, Record, SnapshotRef};
use serde_json::Value;

/// A caller whose tokens are good.
#[derive(Debug, Default)]
pub struct Caller {
    /// By which of `auth_methods`.
    pub method: &'static str,
    pub tokens: Tokens,
    pub claims: Claims,
    pub introspection: Option<Record>,
    pub user_info: Option<Record>,
}

/// What an exchange has for its response.
#[derive(Default)]
pub struct Held {
    pub cookies: Vec<SetCookie>,
    pub lines: Fields,
}

/// Why a caller whose tokens are good is not let in.
pub enum Denied {
    Forbidden(&'static str),
    Failure(Failure),
}

impl Instance {
    /// Lets a caller in who may come in.
    pub async fn admit(
        &self,
        exchange: &mut Exchange,
        caller: &Caller,
        session: Option<&Session>,
        held: &mut Held,
    ) -> Result<(), Denied> {
        let settings = &self.provider.settings;
        let claims = &caller.claims;
        let required = [
            (&settings.scopes_required, "the scopes do not suffice"),
            (&settings.audience_required, "the audience is another one"),
            (&settings.groups_required, "the groups do not suffice"),
            (&settings.roles_required, "the roles do not suffice"),
        ];
        if let Some((_, why)) = required.iter().find(|(requirement, _)| !claims.meet(requirement)) {
            return Err(Denied::Forbidden(why));
        }
        let has = |name: &String| claims.find(std::slice::from_ref(name)).is_some();
        if settings.claims_forbidden.iter().any(has) {
            return Err(Denied::Forbidden("a claim is forbidden"));
        }
        let consumer = self.consumer(exchange, claims).await?;
        let groups = self.consumer_groups(exchange, claims)?;
        let key = claims.text(&settings.credential_claim).unwrap_or_default();
        // The same for each of a caller's requests, so that limits can go by it.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}|{key}", settings.issuer_text).as_bytes());
        let owner = consumer.as_ref().map(|consumer| consumer.id);
        let workspace = exchange.workspace();
        let credential =
            Credential { id, workspace, consumer: owner, expiry: None, key: key.as_str().into(), parsed: None };
        exchange.authenticate(consumer, Some(SnapshotRef::from(credential)));
        if groups.is_some() {
            exchange.authenticated_consumer_groups = groups;
        }
        exchange.identify(&key);
        if !settings.authenticated_groups_claim.is_empty() {
            let groups = claims.words(&settings.authenticated_groups_claim);
            put(&mut exchange.request.fields, "X-Authenticated-Groups", &groups.join(", "));
            exchange.authenticated_groups = Some(groups);
        }
        tell(&settings.upstream, caller, session, &mut exchange.request.fields);
        tell(&settings.downstream, caller, session, &mut held.lines);
        if let Some(session) = session {
            for (name, value) in settings.session_lines.iter().filter_map(|name| session.property(name)) {
                put(&mut exchange.request.fields, name, &value);
            }
            for (name, value) in settings.session_response_lines.iter().filter_map(|name| session.property(name)) {
                put(&mut held.lines, name, &value);
            }
        }
        Ok(())
    }

    /// The consumer whom a claim names.
    async fn consumer(&self, exchange: &Exchange, claims: &Claims) -> Result<Option<SnapshotRef<Consumer>>, Denied> {
        let settings = &self.provider.settings;
        if settings.consumer_claims.is_empty() {
            return Ok(None);
        }
        let found = match settings.consumer_claims.iter().find_map(|way| claims.text(way)) {
            Some(name) => self.consumer_by(exchange, &name).await?,
            None => None,
        };
        if found.is_none() && !settings.consumer_optional {
            return Err(Denied::Forbidden("the caller is no consumer"));
        }
        Ok(found)
    }

    /// The consumer groups that a claim names, sorted by name; `None`: those of the consumer.
    fn consumer_groups(
        &self,
        exchange: &Exchange,
        claims: &Claims,
    ) -> Result<Option<Vec<SnapshotRef<ConsumerGroup>>>, Denied> {
        let settings = &self.provider.settings;
        if settings.consumer_groups_claim.is_empty() {
            return Ok(None);
        }
        let mut names = claims.words(&settings.consumer_groups_claim);
        names.sort_unstable();
        names.dedup();
        let workspace = exchange.workspace();
        let find = |name: &String| exchange.directory.consumer_group_by_name(&workspace, name);
        let groups: Vec<_> = names.iter().filter_map(find).collect();
        match (groups.is_empty(), settings.consumer_groups_optional) {
            (true, false) => Err(Denied::Forbidden("the caller is in no consumer group")),
            (true, true) => Ok(None),
            (false, _) => Ok(Some(groups)),
        }
    }

    async fn consumer_by(&self, exchange: &Exchange, name: &str) -> Result<Option<SnapshotRef<Consumer>>, Denied> {
        for by in &self.provider.settings.consumer_by {
            let found = match by.as_str() {
                "id" => Uuid::parse_str(name).ok().and_then(|id| exchange.find_consumer(&id)),
                "username" => exchange.find_consumer_by_username(name),
                _ => {
                    let asked = self.records.find(exchange.workspace(), "consumers", "custom_id", name).await;
                    let record = asked.map_err(|error| Denied::Failure(Failure::Trouble(error.to_string())))?;
                    let id = record.as_ref().and_then(|record| record.get("id")?.as_str()?.parse().ok());
                    id.and_then(|id| exchange.find_consumer(&id))
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Fills lines with what is known of a caller. What the client itself says under their names goes away.
fn tell(told: &Told, caller: &Caller, session: Option<&Session>, fields: &mut Fields) {
    for (way, name) in &told.claims {
        fields.remove(name);
        if let Some(value) = caller.claims.find(way).and_then(text) {
            put(fields, name, &value);
        }
    }
    let encoded = |record: &Record| STANDARD.encode(Value::Object(record.clone()).to_string());
    let tokens = &caller.tokens;
    let session_id = session.and_then(|session| session.property("id")).map(|(_, id)| id);
    for (header, value) in [
        (&told.access_token, tokens.access.clone()),
        (&told.id_token, tokens.id.clone()),
        (&told.refresh_token, tokens.refresh.clone()),
        (&told.user_info, caller.user_info.as_ref().map(encoded)),
        (&told.introspection, caller.introspection.as_ref().map(encoded)),
        (&told.session_id, session_id),
    ] {
        let Some(header) = header else { continue };
        // `authorization:bearer` is a line and its scheme.
        let parts = header.split_once(':');
        let (name, scheme) = parts.map_or((header.as_str(), None), |(name, scheme)| (name, Some(scheme)));
        if let Some(value) = value {
            let capital = |scheme: &str| {
                let (first, rest) = scheme.split_at(scheme.len().min(1));
                format!("{}{rest}", first.to_uppercase())
            };
            put(fields, name, &scheme.map_or_else(|| value.clone(), |scheme| format!("{} {value}", capital(scheme))));
        }
    }
}

fn put(fields: &mut Fields, name: &str, value: &str) {
    if Fields::is_valid_name(name.as_bytes()) && Fields::is_valid_value(value.as_bytes()) {
        fields.set(name, value.as_bytes());
    }
}

//! One request on its way through the handlers.

use crate::access::{Access, User};
use crate::answer::Answer;
use crate::audit::Trail;
use crate::content::Content;
use crate::endpoint::{Endpoints, Method};
use crate::events::{self, Told};
use crate::form;
use crate::node::Node;
use crate::options::Options;
use crate::records::Records;
use crate::resource::{Resource, Subject};
use hyper::HeaderMap;
use hyper::body::Bytes;
use model::{Record, Schema};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use store::{Key, Recorded, Transaction};
use tokio::sync::Mutex;

/// A request that has found its endpoint, with its content parsed as far as that is possible without the schema.
pub struct Call {
    pub state: Arc<State>,
    /// The records of the workspace that the path is about, as far as the user may see them.
    pub store: Records,
    /// What stands before the path of the endpoint: the workspace, as the client wrote it.
    pub prefix: String,
    /// `HEAD` comes as `GET`.
    pub method: Method,
    /// The path without that workspace, as the client wrote it.
    pub path: String,
    /// The name of the workspace.
    pub workspace: String,
    pub headers: HeaderMap,
    /// Whoever asks, where that makes a difference.
    pub user: Option<User>,
    /// What the audit log will have of it, if there is one.
    pub trail: Option<Trail>,
    /// The entities concerned, when the endpoint is about any.
    pub subject: Option<Subject>,
    /// The parameters of the path, as the client wrote them.
    pub parameters: Vec<String>,
    pub query: Query,
    /// The query as it has come.
    pub raw_query: String,
    pub content: Content,
    /// The content as it has come, where a plugin may ask for it.
    pub raw_content: Bytes,
    pub client: IpAddr,
}

/// What all calls share.
pub struct State {
    pub node: Arc<dyn Node>,
    pub options: Options,
    pub access: Access,
    /// Those of the Admin API.
    pub endpoints: Endpoints,
    /// What `GET /openapi.json` answers, once it was asked.
    pub openapi: OnceLock<String>,
    /// What event hooks have been told.
    pub told: Told,
    /// Held while a whole configuration is loaded: one at a time.
    pub loading: Mutex<()>,
}

/// The arguments of a URL, decoded, in their order. Without `=` the value is `None`.
#[derive(Clone, Debug, Default)]
pub struct Query(pub Vec<(String, Option<String>)>);

impl Query {
    /// The first argument of that name (`tags`, or `tags[]` and `tags[1]` as forms write lists).
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(|value| value.unwrap_or("true"))
    }

    /// The argument of that name, which must be given once and with a value that is not empty; else the error.
    pub fn text(&self, name: &str) -> Option<Result<&str, ()>> {
        match self.all(name)[..] {
            [] => None,
            [Some(text)] if !text.is_empty() => Some(Ok(text)),
            _ => Some(Err(())),
        }
    }

    fn all(&self, name: &str) -> Vec<Option<&str>> {
        let named = |key: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
        self.0.iter().filter(|(key, _)| named(key)).map(|(_, value)| value.as_deref()).collect()
    }
}

impl Call {
    /// A parameter of the path, decoded.
    pub fn parameter(&self, index: usize) -> String {
        // A call is made only when all of them are text.
        form::unescape(self.raw_parameter(index).as_bytes()).unwrap_or_default()
    }

    /// A parameter of the path, as the client wrote it.
    pub fn raw_parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// What a parameter of the path names: an id, or a value of the entity's endpoint key.
    pub fn key(&self, resource: &Resource, index: usize) -> Key {
        self.store.key(&resource.name, &self.parameter(index))
    }

    /// The schema of an entity.
    pub fn schema(&self, entity: &str) -> Result<Arc<Schema>, Answer> {
        self.store.catalog().entity(entity).cloned().ok_or_else(Answer::not_found)
    }

    /// Takes the content as input for an entity.
    pub fn input(&mut self, entity: &str) -> Result<Record, Answer> {
        let schema = self.schema(entity)?;
        Ok(std::mem::take(&mut self.content).into_input(self.store.catalog(), &schema, None))
    }

    /// Does what follows from records that have been written already: by others than [`Call::write`].
    pub async fn note(&self, recorded: Vec<Recorded>) -> Result<(), Answer> {
        let log = self.state.options.audit.clone().zip(self.trail.clone());
        let rights = self.store.rights().cloned();
        let hooks = match self.state.options.event_hooks && !recorded.is_empty() {
            true => events::hooks(self.store.whole(), &self.state.told).await?,
            false => Vec::new(),
        };
        events::tell(&*self.state.node, &self.state.told, &hooks, &recorded);
        if recorded.is_empty() || log.is_none() && rights.is_none() {
            return Ok(());
        }
        let noted = self.store.whole().transaction(move |transaction| {
            let mut all = recorded.clone();
            if let Some(rights) = &rights {
                transaction.record();
                rights.follow(transaction, &recorded)?;
                all.extend(transaction.recorded());
            }
            match &log {
                Some((audit, trail)) => Ok(audit.note_objects(transaction, trail, &all)?),
                None => Ok::<_, Answer>(()),
            }
        });
        noted.await.map(drop)
    }

    /// Reads and writes in one transaction, and waits until this node's snapshot has what was written. `work` may be
    /// run again, see [`Store::transaction`].
    pub async fn write<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Transaction<'_>) -> Result<T, Answer> + Send + 'static,
    ) -> Result<T, Answer> {
        let log = self.state.options.audit.clone().zip(self.trail.clone());
        let rights = self.store.rights().cloned();
        let hooks = match self.state.options.event_hooks {
            true => events::hooks(self.store.whole(), &self.state.told).await?,
            false => Vec::new(),
        };
        let is_hooked = !hooks.is_empty();
        let written = self.store.whole().transaction(move |transaction| {
            if log.is_none() && rights.is_none() && !is_hooked {
                return Ok((work(transaction)?, Vec::new()));
            }
            transaction.record();
            let value = work(transaction)?;
            let mut recorded = transaction.recorded();
            if let Some(rights) = &rights {
                rights.check(transaction, &recorded)?;
                transaction.record();
                rights.follow(transaction, &recorded)?;
                recorded.extend(transaction.recorded());
            }
            if let Some((audit, trail)) = &log {
                audit.note_objects(transaction, trail, &recorded)?;
            }
            Ok::<_, Answer>((value, recorded))
        });
        let (revision, (value, recorded)) = written.await?;
        self.state.node.applied(revision).await;
        events::tell(&*self.state.node, &self.state.told, &hooks, &recorded);
        Ok(value)
    }
}

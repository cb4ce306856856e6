//! Whom a certificate stands for.

use super::verified::Verified;
use super::{CertificateAuth, GroupBy, Refusal};
use sdk::certificates::{Attribute, Details, Path};
use sdk::entities::{Consumer, Credential, Uuid};
use sdk::{CredentialKey, Exchange, Fields, Question, SnapshotRef};

const DISTINGUISHED_NAME: &str = "X-Client-Cert-Dn";
const ALTERNATIVE_NAMES: &str = "X-Client-Cert-San";
const GROUPS: &str = "X-Authenticated-Groups";

impl CertificateAuth {
    /// Tells the gateway and the service who the caller is.
    pub(super) async fn identify(&self, exchange: &mut Exchange, found: &Verified) -> Result<(), Refusal> {
        let Verified { path, details, .. } = found;
        for name in [DISTINGUISHED_NAME, ALTERNATIVE_NAMES, GROUPS] {
            exchange.request.fields.remove(name);
        }
        if self.skip_lookup {
            self.tell(exchange, details);
            return Ok(());
        }
        let named = |attribute: &&Attribute| {
            let matcher = self.directory_names.as_ref();
            matcher.is_some_and(|names| names.is_empty() || names.iter().any(|name| attribute.is(name)))
        };
        let attributes = details.directory_names.iter().filter(named).map(|attribute| &attribute.value);
        let mut names: Vec<&String> = details.alternative_names.iter().chain(attributes).collect();
        // As Kong: the common name counts where there are no others.
        if names.is_empty() {
            names.extend(&details.common_name);
        }
        for name in &names {
            if let Some(credential) = self.credential(exchange, path, name)
                && exchange.authenticate_by(credential)
            {
                return Ok(());
            }
        }
        let mut consumer = None;
        for name in &names {
            consumer = self.consumer(exchange, name).await?;
            if consumer.is_some() {
                break;
            }
        }
        let consumer = consumer.or_else(|| self.default(exchange)).ok_or(Refusal::NotVerified)?;
        let credential = credential(exchange, consumer.id, Some(consumer.id));
        exchange.authenticate(Some(consumer), Some(credential));
        Ok(())
    }

    /// The credential for a name: of one of the authorities of the path, else of any.
    fn credential(&self, exchange: &Exchange, path: &Path, name: &str) -> Option<SnapshotRef<Credential>> {
        let find = |authority: Option<&Uuid>| {
            exchange.find_credential(self.entity, CredentialKey::pair(name, authority).as_bytes())
        };
        let vouches = |id: &&Uuid| {
            let authority = exchange.directory.authority(id);
            authority.is_some_and(|authority| path.certificates().contains(&authority))
        };
        let mut vouching = self.authorities.iter().filter(vouches);
        vouching.find_map(|id| find(Some(id))).or_else(|| find(None))
    }

    /// The consumer who has that name.
    async fn consumer(&self, exchange: &Exchange, name: &str) -> Result<Option<SnapshotRef<Consumer>>, Refusal> {
        for by in &self.consumer_by {
            let found = match by.as_str() {
                "username" => exchange.find_consumer_by_username(name),
                _ => self.consumer_by_custom_id(exchange, name).await?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The same by custom id, which only the store can find; for a while it is remembered whose it was.
    async fn consumer_by_custom_id(
        &self,
        exchange: &Exchange,
        name: &str,
    ) -> Result<Option<SnapshotRef<Consumer>>, Refusal> {
        let workspace = exchange.workspace();
        let question = Question::of(&[b"custom_id", workspace.as_bytes(), name.as_bytes()]);
        let find = |id: Option<&str>| {
            let consumer = exchange.find_consumer(&Uuid::parse_str(id?).ok()?)?;
            Some(consumer).filter(|consumer| consumer.custom_id.as_deref() == Some(name))
        };
        if let Some(known) = self.known.find(&question)
            && let Some(consumer) = find(known.as_str())
        {
            return Ok(Some(consumer));
        }
        let asked = self.records.find(workspace, "consumers", "custom_id", name).await;
        let record = asked.map_err(|error| {
            tracing::error!("{}: the consumer of a certificate cannot be looked up: {error}", self.plugin);
            Refusal::Failed
        })?;
        let Some(id) = record.as_ref().and_then(|record| record.get("id")).cloned() else { return Ok(None) };
        let found = find(id.as_str());
        self.known.put(question, id, self.cache_ttl);
        Ok(found)
    }

    /// `default_consumer`, by id or name.
    fn default(&self, exchange: &Exchange) -> Option<SnapshotRef<Consumer>> {
        let name = self.default_consumer.as_deref()?;
        let by_id = Uuid::parse_str(name).ok().and_then(|id| exchange.find_consumer(&id));
        by_id.or_else(|| exchange.find_consumer_by_username(name))
    }

    /// Tells of a caller who is no consumer.
    fn tell(&self, exchange: &mut Exchange, details: &Details) {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_X500, details.subject.as_bytes());
        let credential = credential(exchange, id, None);
        exchange.authenticate(None, Some(credential));
        exchange.identify(&details.subject);
        let group = match self.group_by {
            GroupBy::CommonName => details.common_name.as_deref(),
            GroupBy::DistinguishedName => Some(details.subject.as_str()),
        };
        let names = details.alternative_names.join(",");
        let lines = [
            (DISTINGUISHED_NAME, details.subject.as_str()),
            (ALTERNATIVE_NAMES, names.as_str()),
            (GROUPS, group.unwrap_or_default()),
        ];
        for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
            if Fields::is_valid_value(value.as_bytes()) {
                exchange.request.fields.set(name, value.as_bytes());
            }
        }
        exchange.authenticated_groups = Some(group.map(str::to_owned).into_iter().collect());
    }
}

/// What stands for a credential that is no record.
fn credential(exchange: &Exchange, id: Uuid, consumer: Option<Uuid>) -> SnapshotRef<Credential> {
    let workspace = exchange.workspace();
    SnapshotRef::from(Credential { id, workspace, consumer, expiry: None, key: "".into(), parsed: None })
}

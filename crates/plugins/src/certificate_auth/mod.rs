//! What the plugins that know callers by certificates have in common: who may vouch for callers, whether certificates
//! are revoked, and which consumer they stand for.

mod consumer;
mod verified;

use sdk::certificates::{Revocation, Status, find_path};
use sdk::entities::Uuid;
use sdk::{Anonymous, Answer, AnswerCache, ClientCertificate, Config, Env, Exchange, Proxies, Records, Step, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use verified::{LastAuthorities, Verified, VerifiedPaths};

/// What an instance asks of certificates.
pub struct CertificateAuth {
    plugin: &'static str,
    /// The entity of its credentials.
    entity: &'static str,
    pub authorities: Vec<Uuid>,
    partial: bool,
    paths: Arc<VerifiedPaths>,
    last: LastAuthorities,
    mode: Mode,
    revocation: Revocation,
    pub anonymous: Anonymous,
    /// Callers are let in whoever they are.
    skip_lookup: bool,
    consumer_by: Vec<String>,
    /// Which attributes of alternative names that are distinguished names may name callers, too: all, if it is empty;
    /// `None`: none.
    directory_names: Option<Vec<String>>,
    default_consumer: Option<String>,
    group_by: GroupBy,
    records: Records,
    known: Arc<AnswerCache>,
    cache_ttl: Duration,
}

/// `revocation_check_mode`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Skip,
    /// What nobody says is good.
    IgnoreErrors,
    Strict,
}

/// `authenticated_group_by`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupBy {
    CommonName,
    DistinguishedName,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has shown no certificate.
    Missing,
    NotVerified,
    /// It cannot be found out who the caller is.
    Failed,
}

impl CertificateAuth {
    /// As the configuration has it; `plugin` has credentials of that entity.
    pub fn new(
        plugin: &'static str,
        entity: &'static str,
        config: &Config<'_>,
        env: &Env,
    ) -> Result<CertificateAuth, String> {
        let ids = config.texts("ca_certificates");
        let authorities: Result<Vec<Uuid>, _> = ids.iter().map(|id| Uuid::parse_str(id)).collect();
        let milliseconds = |field: &str| Duration::from_millis(config.integer(field).unwrap_or(0));
        let proxy = |host: &str, port: &str| Some((config.text(host)?.to_owned(), config.integer(port)?));
        let proxies = Proxies {
            http: proxy("http_proxy_host", "http_proxy_port"),
            https: proxy("https_proxy_host", "https_proxy_port"),
            ..Proxies::default()
        };
        let timeout = milliseconds("http_timeout").max(Duration::from_millis(1));
        let verify = config.flag("ssl_verify");
        Ok(CertificateAuth {
            plugin,
            entity,
            authorities: authorities.map_err(|e| format!("config.ca_certificates: {e}"))?,
            partial: config.flag("allow_partial_chain"),
            paths: env.shared(),
            last: LastAuthorities::default(),
            mode: match config.text("revocation_check_mode") {
                Some("SKIP") => Mode::Skip,
                Some("STRICT") => Mode::Strict,
                _ => Mode::IgnoreErrors,
            },
            revocation: Revocation::new(env, milliseconds("cert_cache_ttl"), timeout, verify, proxies),
            anonymous: Anonymous::new(plugin, config),
            skip_lookup: config.flag("skip_consumer_lookup"),
            consumer_by: config.texts("consumer_by"),
            directory_names: config.is_set("san_dirname_matcher").then(|| config.texts("san_dirname_matcher")),
            default_consumer: config.text("default_consumer").filter(|name| !name.is_empty()).map(str::to_owned),
            group_by: match config.text("authenticated_group_by") {
                Some("DN") => GroupBy::DistinguishedName,
                _ => GroupBy::CommonName,
            },
            records: env.records().clone(),
            known: env.shared(),
            cache_ttl: Duration::try_from_secs_f64(config.number("cache_ttl").unwrap_or(0.0)).unwrap_or_default(),
        })
    }

    /// Finds out who has shown that certificate, and says what becomes of the exchange.
    pub async fn access(
        &self,
        exchange: &mut Exchange,
        shown: Result<Arc<ClientCertificate>, Refusal>,
        verified: impl FnOnce(&mut Exchange),
        missing: &str,
    ) -> Step<'static> {
        let refusal = match shown {
            Ok(shown) => match self.verify(exchange, &shown).await {
                Ok(found) => {
                    verified(exchange);
                    match self.identify(exchange, &found).await {
                        Ok(()) => return Step::Next,
                        Err(refusal) => refusal,
                    }
                }
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        let message = match refusal {
            Refusal::Missing => missing,
            Refusal::NotVerified => "TLS certificate failed verification",
            Refusal::Failed => return Step::Answer(Answer::unexpected(exchange)),
        };
        self.anonymous.or_refuse(exchange, |exchange| Answer::error(exchange, 401, message))
    }

    /// The path by which an authority vouches for a certificate that nobody has revoked.
    async fn verify(&self, exchange: &Exchange, shown: &ClientCertificate) -> Result<Arc<Verified>, Refusal> {
        let refused = |why: &str| {
            tracing::info!(request_id = exchange.id_str(), "{}: a certificate is not accepted: {why}", self.plugin);
            Refusal::NotVerified
        };
        let now = UnixTime::now();
        let authorities = self.last.load(&self.authorities, &exchange.directory);
        let question = VerifiedPaths::question(shown, &authorities, self.partial);
        let found = match self.paths.find(&question, now.as_secs().try_into().unwrap_or(i64::MAX)) {
            Some(known) => known,
            None => {
                let path =
                    find_path(shown, &authorities.certificates, self.partial, now).map_err(|why| refused(&why))?;
                let found = Arc::new(Verified::of(path).ok_or(Refusal::NotVerified)?);
                self.paths.put(question, &found);
                found
            }
        };
        if self.mode == Mode::Skip {
            return Ok(found);
        }
        match self.revocation.check(&found.path).await {
            Ok(Status::Good) => Ok(found),
            Ok(Status::Revoked) => Err(refused("it is revoked")),
            Err(why) if self.mode == Mode::Strict => Err(refused(&format!("it may be revoked: {why}"))),
            Err(why) => {
                tracing::debug!("{}: a certificate may be revoked, and is accepted: {why}", self.plugin);
                Ok(found)
            }
        }
    }
}

#[cfg(test)]
pub mod tests;

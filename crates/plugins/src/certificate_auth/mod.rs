//! What the plugins that know callers by certificates have in common: who may vouch for callers, whether certificates
//! are revoked, and which consumer they stand for.

mod consumer;

use sdk::certificates::{Details, Path, Revocation, Status, find_path};
use sdk::entities::Uuid;
use sdk::{
    Anonymous, Answer, AnswerCache, CertificateDer, ClientCertificate, Config, Env, Exchange, Proxies, Records, Step,
    UnixTime,
};
use std::sync::Arc;
use std::time::Duration;

/// What an instance asks of certificates.
pub struct CertificateAuth {
    plugin: &'static str,
    /// The entity of its credentials.
    entity: &'static str,
    pub authorities: Vec<Uuid>,
    partial: bool,
    mode: Mode,
    revocation: Revocation,
    pub anonymous: Anonymous,
    /// Callers are let in whoever they are.
    skip_lookup: bool,
    consumer_by: Vec<String>,
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
        };
        let timeout = milliseconds("http_timeout").max(Duration::from_millis(1));
        let verify = config.flag("ssl_verify");
        Ok(CertificateAuth {
            plugin,
            entity,
            authorities: authorities.map_err(|e| format!("config.ca_certificates: {e}"))?,
            partial: config.flag("allow_partial_chain"),
            mode: match config.text("revocation_check_mode") {
                Some("SKIP") => Mode::Skip,
                Some("STRICT") => Mode::Strict,
                _ => Mode::IgnoreErrors,
            },
            revocation: Revocation::new(env, milliseconds("cert_cache_ttl"), timeout, verify, proxies),
            anonymous: Anonymous::new(plugin, config),
            skip_lookup: config.flag("skip_consumer_lookup"),
            consumer_by: config.texts("consumer_by"),
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
        shown: Result<ClientCertificate, Refusal>,
        verified: impl FnOnce(&mut Exchange),
        missing: &str,
    ) -> Step<'static> {
        let refusal = match shown {
            Ok(shown) => match self.verify(exchange, &shown).await {
                Ok(path) => {
                    verified(exchange);
                    match self.identify(exchange, &path).await {
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
    async fn verify(&self, exchange: &Exchange, shown: &ClientCertificate) -> Result<Path, Refusal> {
        let refused = |why: &str| {
            tracing::info!(request_id = exchange.id_str(), "{}: a certificate is not accepted: {why}", self.plugin);
            Refusal::NotVerified
        };
        let authority = |id: &Uuid| exchange.directory.authority(id).map(|authority| (*authority).clone());
        let authorities: Vec<CertificateDer<'static>> = self.authorities.iter().filter_map(authority).collect();
        let path = find_path(shown, &authorities, self.partial, UnixTime::now()).map_err(|why| refused(&why))?;
        if self.mode == Mode::Skip {
            return Ok(path);
        }
        match self.revocation.check(&path).await {
            Ok(Status::Good) => Ok(path),
            Ok(Status::Revoked) => Err(refused("it is revoked")),
            Err(why) if self.mode == Mode::Strict => Err(refused(&format!("it may be revoked: {why}"))),
            Err(why) => {
                tracing::debug!("{}: a certificate may be revoked, and is accepted: {why}", self.plugin);
                Ok(path)
            }
        }
    }

    /// What is known of the certificate at the beginning of a path.
    fn details(path: &Path) -> Result<Details, Refusal> {
        let own = path.certificates().first().ok_or(Refusal::NotVerified)?;
        Details::of(own).map_err(|_| Refusal::NotVerified)
    }
}

#[cfg(test)]
pub mod tests;

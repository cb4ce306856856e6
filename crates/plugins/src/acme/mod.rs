//! `acme`: gets certificates for names by the ACME protocol, as clients ask for them, and renews them.
//!
//! With a database, certificates become records of `certificates` and `snis`; without one they stay where the rest is
//! kept, and are found there when a client connects.

mod admin;
mod client;
mod issue;
mod key;
mod remote;
mod storage;

use issue::Issuer;
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, Answer, BoxFuture, CertifiedKey, Config, Env, Exchange, LocalBoxFuture,
    OwnedTask, Phases, Plugin, PluginKind, Step, entities,
};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct Acme;

struct Instance {
    issuer: Arc<Issuer>,
    _renewal: Option<OwnedTask>,
}

/// Where challenges are answered.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// How often certificates are looked at that may have to be renewed.
const RENEWAL: Duration = Duration::from_secs(60 * 60);

impl PluginKind for Acme {
    fn name(&self) -> &'static str {
        "acme"
    }

    fn priority(&self) -> i32 {
        1705
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn entities(&self) -> &'static [&'static str] {
        &[include_str!("acme_storage.json")]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let issuer = Arc::new(Issuer::new(plugin, env)?);
        let renewing = Arc::clone(&issuer);
        let renewal = env.tasks().every("renewal of certificates", RENEWAL, move || {
            let issuer = Arc::clone(&renewing);
            async move { issuer.renew().await }
        });
        Ok(Box::new(Instance { issuer, _renewal: renewal }))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { admin::answer(&request, &env).await })
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::CERTIFICATE)
    }

    fn certificate<'a>(&'a self, server_name: &'a str) -> LocalBoxFuture<'a, Option<Arc<CertifiedKey>>> {
        Box::pin(async move {
            if !self.issuer.allows(server_name) {
                return None;
            }
            match self.issuer.kept(server_name).await {
                Ok(Some(key)) => return Some(key),
                Ok(None) => Issuer::begin(&self.issuer, server_name),
                Err(error) => tracing::warn!("acme: the certificate of {server_name} cannot be looked up: {error}"),
            }
            None
        })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // Servers ask by plain HTTP (RFC 8555, section 8.3).
        if exchange.client.https || !self.issuer.allows(&exchange.host()) {
            return Step::Next;
        }
        let Some(token) = exchange.path().strip_prefix(CHALLENGES).filter(|token| !token.is_empty()).map(str::to_owned)
        else {
            return Step::Next;
        };
        if token == "x" {
            // As Kong, whose own check of the way to here asks for this.
            return Step::Answer(plain(404, "Not found\n".to_owned()));
        }
        Step::Wait(Box::pin(async move {
            Step::Answer(match self.issuer.challenge(&token).await {
                Ok(Some(value)) => plain(200, value + "\n"),
                Ok(None) => Answer::gateway_error(exchange, 404, "Not found"),
                Err(error) => {
                    tracing::error!("acme: a challenge cannot be looked up: {error}");
                    Answer::gateway_error(exchange, 500, "An unexpected error occurred")
                }
            })
        }))
    }
}

fn plain(status: u16, text: String) -> Answer {
    Answer::new(status, text).with("Content-Type", b"text/plain")
}

/// The settings of an instance.
fn config(plugin: &entities::Plugin) -> Config<'_> {
    Config::new(&plugin.config)
}

#[cfg(test)]
mod tests;

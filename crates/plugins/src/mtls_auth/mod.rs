//! `mtls-auth`: callers are known by the certificates that they show when they connect.

use crate::certificate_auth::{CertificateAuth, Refusal};
use sdk::{
    Answer, CertificateRequest, Config, CredentialEntity, CredentialKey, Env, Exchange, Phases, Plugin, PluginKind,
    Step, entities,
};

/// The plugin as the gateway knows it.
pub struct MtlsAuth;

pub const ENTITY: &str = "mtls_auth_credentials";

struct Instance {
    auth: CertificateAuth,
    /// Clients are told whose certificates are wanted.
    send_names: bool,
}

impl PluginKind for MtlsAuth {
    fn name(&self) -> &'static str {
        "mtls-auth"
    }

    fn priority(&self) -> i32 {
        1600
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("mtls_auth_credentials.json"),
            entity: ENTITY,
            key: CredentialKey::Pair("subject_name", "ca_certificate"),
            parse: None,
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let auth = CertificateAuth::new(self.name(), ENTITY, &config, env)?;
        Ok(Box::new(Instance { auth, send_names: config.flag("send_ca_dn") }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn certificate_request(&self) -> Option<CertificateRequest> {
        let authorities = if self.send_names { self.auth.authorities.clone() } else { Vec::new() };
        Some(CertificateRequest { authorities })
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.auth.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        let client = &exchange.client;
        if client.tls.is_some() && client.certificate.is_none() && !client.certificate_asked {
            // The connection is not for this route: clients that know so make another one (RFC 9110, section 15.5.20).
            let misdirected = |exchange: &Exchange| Answer::error(exchange, 421, &Answer::status_message(421));
            return self.auth.anonymous.or_refuse(exchange, misdirected);
        }
        let shown = exchange.client.certificate.clone().ok_or(Refusal::Missing);
        let verified = |exchange: &mut Exchange| {
            if let Some(tls) = &mut exchange.client.tls {
                tls.client_verify = "SUCCESS";
            }
        };
        Step::Wait(Box::pin(self.auth.access(exchange, shown, verified, "No required TLS certificate was sent")))
    }
}

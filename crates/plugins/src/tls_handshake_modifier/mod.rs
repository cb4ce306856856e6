//! `tls-handshake-modifier`: clients are asked for a certificate when they connect. Other plugins say what it is worth.

use sdk::{CertificateRequest, Env, Phases, Plugin, PluginKind, entities};

/// The plugin as the gateway knows it.
pub struct TlsHandshakeModifier;

struct Instance;

impl PluginKind for TlsHandshakeModifier {
    fn name(&self) -> &'static str {
        "tls-handshake-modifier"
    }

    fn priority(&self) -> i32 {
        997
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, _plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(Instance))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::NONE
    }

    fn certificate_request(&self) -> Option<CertificateRequest> {
        Some(CertificateRequest::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    #[test]
    fn clients_are_asked_for_any_certificate() {
        let config = json!({ "tls_client_certificate": "REQUEST" });
        let plugin = testing::configure(&TlsHandshakeModifier, config, &Env::default());
        assert_eq!(plugin.certificate_request(), Some(CertificateRequest::default()));
    }
}

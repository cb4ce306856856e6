//! `tls-metadata-headers`: tells services what certificate a client has shown. It is not looked at otherwise.

use sdk::certificates::{Details, escaped_pem};
use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};

/// The plugin as the gateway knows it.
pub struct TlsMetadataHeaders;

struct Instance {
    /// The names of the lines, in the order of [`FIELDS`]; none where nothing is told.
    lines: Vec<String>,
}

/// The settings that name a line.
const FIELDS: [&str; 5] = [
    "client_cert_header_name",
    "client_serial_header_name",
    "client_cert_issuer_dn_header_name",
    "client_cert_subject_dn_header_name",
    "client_cert_fingerprint_header_name",
];

impl PluginKind for TlsMetadataHeaders {
    fn name(&self) -> &'static str {
        "tls-metadata-headers"
    }

    fn priority(&self) -> i32 {
        996
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let name =
            |field: &&str| config.text(field).map(str::to_owned).ok_or_else(|| format!("config.{field}: missing"));
        let lines = match config.flag("inject_client_cert_details") {
            true => FIELDS.iter().map(name).collect::<Result<_, _>>()?,
            false => Vec::new(),
        };
        Ok(Box::new(Instance { lines }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.lines.is_empty() { Phases::NONE } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // What a client itself says under these names is never passed on.
        for name in &self.lines {
            exchange.request.fields.remove(name);
        }
        let Some(shown) = exchange.client.certificate.clone() else { return Step::Next };
        let Ok(details) = Details::of(shown.own()) else { return Step::Next };
        let values = [escaped_pem(shown.own()), details.serial, details.issuer, details.subject, details.fingerprint];
        for (name, value) in self.lines.iter().zip(values) {
            exchange.request.fields.set(name, value.as_bytes());
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::{CertificateDer, ClientCertificate, testing};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn config(inject: bool) -> Value {
        let mut config = json!({ "inject_client_cert_details": inject });
        for field in FIELDS {
            config[field] = format!("x-{field}").into();
        }
        config
    }

    #[test]
    fn services_are_told_what_was_shown() {
        let plugin = testing::configure(&TlsMetadataHeaders, config(true), &Env::default());
        let line = format!("x-{}", FIELDS[3]);
        let mut exchange = testing::exchange("GET", "/", &[(line.as_str(), "forged")]);
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        assert_eq!(exchange.request.fields.get_str(&line), None, "nothing was shown");
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        exchange.client.certificate = ClientCertificate::new(chain).map(Arc::new);
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        assert_eq!(exchange.request.fields.get_str(&line), Some("CN=rcgen self signed cert"));
        let pem = exchange.request.fields.get_str(&format!("x-{}", FIELDS[0])).unwrap();
        assert!(pem.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{pem}");
    }

    #[test]
    fn nothing_is_told_unless_it_is_wanted() {
        let plugin = testing::configure(&TlsMetadataHeaders, config(false), &Env::default());
        assert_eq!(plugin.phases(), Phases::NONE);
    }
}

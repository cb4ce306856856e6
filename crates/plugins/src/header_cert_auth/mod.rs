//! `header-cert-auth`: callers are known by certificates that a proxy in front of us has seen, and tells in a line.

use crate::certificate_auth::{CertificateAuth, Refusal};
use sdk::{
    CertificateDer, ClientCertificate, Config, CredentialEntity, CredentialKey, Env, Exchange, Phases, Plugin,
    PluginKind, Step, decode_base64, entities,
};
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct HeaderCertAuth;

const ENTITY: &str = "header_cert_auth_credentials";

struct Instance {
    auth: CertificateAuth,
    line: String,
    format: Format,
    /// Only those of `trusted_ips` are believed.
    trusted_only: bool,
}

/// `certificate_header_format`.
#[derive(Clone, Copy)]
enum Format {
    Base64,
    /// PEM, escaped as in a URL.
    Url,
}

impl PluginKind for HeaderCertAuth {
    fn name(&self) -> &'static str {
        "header-cert-auth"
    }

    fn priority(&self) -> i32 {
        1009
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("header_cert_auth_credentials.json"),
            entity: ENTITY,
            key: CredentialKey::Pair("subject_name", "ca_certificate"),
            parse: None,
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let format = match config.text("certificate_header_format") {
            Some("base64_encoded") => Format::Base64,
            Some("url_encoded") => Format::Url,
            _ => return Err("config.certificate_header_format: missing".to_owned()),
        };
        Ok(Box::new(Instance {
            auth: CertificateAuth::new(self.name(), ENTITY, &config, env)?,
            line: config.text("certificate_header_name").ok_or("config.certificate_header_name: missing")?.to_owned(),
            format,
            trusted_only: config.flag("secure_source"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.auth.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        let shown = self.shown(exchange);
        Step::Wait(Box::pin(self.auth.access(exchange, shown, |_| {}, "No required TLS certificate header was sent")))
    }
}

impl Instance {
    /// The certificate that the line tells.
    fn shown(&self, exchange: &Exchange) -> Result<Arc<ClientCertificate>, Refusal> {
        if self.trusted_only && !exchange.client.trusted {
            tracing::info!(request_id = exchange.id_str(), "header-cert-auth: the line is not a trusted proxy's");
            return Err(Refusal::Missing);
        }
        let mut lines = exchange.request.fields.get_all(&self.line);
        // Of two lines it is not known who has sent which.
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(Refusal::Missing) };
        self.read(line).and_then(ClientCertificate::new).map(Arc::new).ok_or(Refusal::NotVerified)
    }

    fn read(&self, line: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
        let pem = match self.format {
            Format::Base64 => {
                let decoded = decode_base64(line)?;
                if !decoded.starts_with(b"-----BEGIN") {
                    return Some(vec![CertificateDer::from(decoded)]);
                }
                decoded
            }
            Format::Url => unescaped(line),
        };
        model::pem::certificates(std::str::from_utf8(&pem).ok()?).ok()
    }
}

/// Undoes the escapes of a URL. A plus sign is itself: it is a digit of Base64.
fn unescaped(line: &[u8]) -> Vec<u8> {
    let digit = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let (mut out, mut rest) = (Vec::with_capacity(line.len()), line);
    while let Some((&octet, after)) = rest.split_first() {
        let escaped = (octet == b'%').then(|| digit(after.first()).zip(digit(after.get(1)))).flatten();
        match escaped {
            Some((high, low)) => {
                out.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            None => {
                out.push(octet);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate_auth::tests::{World, config};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sdk::certificates::escaped_pem;
    use sdk::testing;
    use serde_json::json;

    fn instance(world: &World, format: &str) -> Box<dyn Plugin> {
        let mut config = config(world);
        config["certificate_header_name"] = json!("X-Cert");
        config["certificate_header_format"] = json!(format);
        config["secure_source"] = json!(true);
        testing::configure(&HeaderCertAuth, config, &world.env)
    }

    #[tokio::test]
    async fn a_trusted_proxy_tells_the_certificate() {
        let world = World::new();
        let own = world.client("ada").own().clone();
        let pem = escaped_pem(&own);
        let (url, base64) = (instance(&world, "url_encoded"), instance(&world, "base64_encoded"));
        let base64_pem = BASE64_STANDARD.encode(unescaped(pem.as_bytes()));
        for (plugin, line, trusted, expected) in [
            (&url, pem.clone(), true, None),
            (&url, pem.replace("%2B", "+"), true, None),
            (&url, pem.clone(), false, Some(401)),
            (&url, "nonsense".to_owned(), true, Some(401)),
            (&base64, BASE64_STANDARD.encode(&own), true, None),
            (&base64, base64_pem, true, None),
            (&base64, pem.clone(), true, Some(401)),
        ] {
            let mut exchange = world.exchange(&[("X-Cert", &line)]);
            exchange.client.trusted = trusted;
            let answer = testing::access_waiting(&**plugin, &mut exchange).await;
            assert_eq!(answer.map(|answer| answer.status), expected, "{line}");
            let known = exchange.consumer.as_ref().and_then(|consumer| consumer.username.as_deref());
            assert_eq!(known, expected.is_none().then_some("ada"));
        }
        let mut exchange = world.exchange(&[("X-Cert", &pem), ("X-Cert", &pem)]);
        exchange.client.trusted = true;
        assert_eq!(testing::access_waiting(&*url, &mut exchange).await.map(|answer| answer.status), Some(401));
    }
}

//! Who is let in by which certificate.

use crate::mtls_auth::{ENTITY, MtlsAuth};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use sdk::entities::Uuid;
use sdk::testing::{self, Entries, Kept};
use sdk::{CertificateDer, ClientCertificate, CredentialKey, Env, Exchange, Plugin};
use serde_json::{Value, json};
use std::sync::Arc;

/// An authority that is a record of `ca_certificates`, and consumers.
pub struct World {
    pub env: Env,
    root: (CertificateParams, KeyPair),
    authority: CertificateDer<'static>,
}

const AUTHORITY: Uuid = Uuid::from_u128(77);

impl World {
    pub fn new() -> World {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertificateDer::from(params.self_signed(&key).unwrap().der().to_vec());
        let env = Env::default().with_records(testing::records(Kept::default()));
        World { env, root: (params, key), authority }
    }

    /// A certificate with that common name.
    pub fn client(&self, name: &str) -> ClientCertificate {
        self.named(name, &[])
    }

    fn named(&self, common: &str, names: &[&str]) -> ClientCertificate {
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        let issuer = Issuer::from_params(&self.root.0, &self.root.1);
        let made = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        ClientCertificate::new(vec![CertificateDer::from(made.der().to_vec())]).unwrap()
    }

    /// One with an alternative name that is a distinguished name.
    fn directory_named(&self, common: &str, attributes: &[(&[u8], &str)]) -> ClientCertificate {
        let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let attribute = |(oid, value): &(&[u8], &str)| {
            let parts = [element(0x06, oid), element(0x0c, value.as_bytes())].concat();
            element(0x31, &element(0x30, &parts))
        };
        let name = element(0x30, &attributes.iter().flat_map(attribute).collect::<Vec<_>>());
        let names = element(0x30, &element(0xa4, &name));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
        let issuer = Issuer::from_params(&self.root.0, &self.root.1);
        let made = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        ClientCertificate::new(vec![CertificateDer::from(made.der().to_vec())]).unwrap()
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.authorities.push((AUTHORITY, self.authority.clone()));
        for name in ["ada", "bob", "guest"] {
            entries.consumer(name, None);
        }
        let bob = entries.consumers[1].clone();
        entries.credential(ENTITY, &CredentialKey::pair("any.test", None), &bob);
        entries.credential(ENTITY, &CredentialKey::pair("one.test", Some(&AUTHORITY)), &bob);
        entries.credential(ENTITY, &CredentialKey::pair("other.test", Some(&Uuid::nil())), &bob);
        entries
    }

    pub fn exchange(&self, lines: &[(&str, &str)]) -> Exchange {
        testing::exchange_with("GET", "/", lines, self.entries().into())
    }
}

/// A configuration that trusts that authority.
pub fn config(_: &World) -> Value {
    json!({
        "ca_certificates": [AUTHORITY.to_string()], "consumer_by": ["username", "custom_id"],
        "revocation_check_mode": "SKIP", "cache_ttl": 60, "cert_cache_ttl": 60000, "http_timeout": 1000,
        "authenticated_group_by": "CN"
    })
}

fn instance(world: &World, changes: Value) -> Box<dyn Plugin> {
    let mut config = config(world);
    let Value::Object(changes) = changes else { panic!("no object") };
    config.as_object_mut().unwrap().extend(changes);
    testing::configure(&MtlsAuth, config, &world.env)
}

/// The consumer that the caller is taken for, or the message of the refusal.
async fn known(
    plugin: &dyn Plugin,
    exchange: &mut Exchange,
    shown: Option<ClientCertificate>,
) -> Result<Option<String>, String> {
    exchange.client.certificate = shown.map(Arc::new);
    match testing::access_waiting(plugin, exchange).await {
        Some(answer) => {
            assert_eq!(answer.status, 401);
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            Err(body["message"].as_str().unwrap().to_owned())
        }
        None => Ok(exchange.consumer.as_ref().and_then(|consumer| consumer.username.clone())),
    }
}

const NOT_VERIFIED: &str = "TLS certificate failed verification";

#[tokio::test]
async fn names_stand_for_consumers() {
    let world = World::new();
    let plugin = instance(&world, json!({}));
    for (common, names, expected) in [
        ("ada", &[][..], Some("ada")),
        ("any.test", &[], Some("bob")),
        ("one.test", &[], Some("bob")),
        ("other.test", &[], None),
        ("nobody", &[], None),
        ("ada", &["nobody"], None),
        ("nobody", &["x", "ada"], Some("ada")),
        ("nobody", &["ada", "any.test"], Some("bob")),
    ] {
        let shown = world.named(common, names);
        let found = known(&*plugin, &mut world.exchange(&[]), Some(shown)).await;
        let expected = expected.map(|name| Some(name.to_owned())).ok_or_else(|| NOT_VERIFIED.to_owned());
        assert_eq!(found, expected, "{common} {names:?}");
    }
}

#[tokio::test]
async fn attributes_of_directory_names_stand_for_consumers() {
    let world = World::new();
    let directory = || world.directory_named("guest", &[(&[0x55, 4, 3], "ada"), (&[0x55, 4, 10], "bob")]);
    for (matcher, expected) in [
        (json!(null), Some("guest")),
        (json!([]), Some("ada")),
        (json!(["CN"]), Some("ada")),
        (json!(["organizationName"]), Some("bob")),
        (json!(["2.5.4.10"]), Some("bob")),
        (json!(["cn", "UID"]), Some("guest")),
    ] {
        let plugin = instance(&world, json!({ "san_dirname_matcher": matcher }));
        let found = known(&*plugin, &mut world.exchange(&[]), Some(directory())).await;
        assert_eq!(found, Ok(expected.map(str::to_owned)), "{matcher}");
    }
}

#[tokio::test]
async fn what_was_verified_counts_for_these_authorities_alone() {
    let world = World::new();
    let plugin = instance(&world, json!({}));
    let shown = world.client("ada");
    for _ in 0..2 {
        let found = known(&*plugin, &mut world.exchange(&[]), Some(shown.clone())).await;
        assert_eq!(found, Ok(Some("ada".to_owned())));
    }
    let changed = World { env: world.env.clone(), ..World::new() };
    let found = known(&*plugin, &mut changed.exchange(&[]), Some(shown.clone())).await;
    assert_eq!(found, Err(NOT_VERIFIED.to_owned()), "the authority has another certificate now");
    let found = known(&*plugin, &mut world.exchange(&[]), Some(shown)).await;
    assert_eq!(found, Ok(Some("ada".to_owned())));
}

#[tokio::test]
async fn who_is_not_vouched_for_is_refused() {
    let (world, stranger) = (World::new(), World::new().client("ada"));
    let plugin = instance(&world, json!({}));
    let none = known(&*plugin, &mut world.exchange(&[]), None).await;
    assert_eq!(none, Err("No required TLS certificate was sent".to_owned()));
    let unknown = known(&*plugin, &mut world.exchange(&[]), Some(stranger.clone())).await;
    assert_eq!(unknown, Err(NOT_VERIFIED.to_owned()));
    let anonymous = instance(&world, json!({ "anonymous": "guest" }));
    for shown in [None, Some(stranger)] {
        let found = known(&*anonymous, &mut world.exchange(&[]), shown).await;
        assert_eq!(found, Ok(Some("guest".to_owned())));
    }
    let nobody = instance(&world, json!({ "ca_certificates": [Uuid::nil().to_string()] }));
    assert!(known(&*nobody, &mut world.exchange(&[]), Some(world.client("ada"))).await.is_err());
}

#[tokio::test]
async fn a_default_consumer_stands_for_those_whom_nobody_knows() {
    let world = World::new();
    let plugin = instance(&world, json!({ "default_consumer": "guest" }));
    let found = known(&*plugin, &mut world.exchange(&[]), Some(world.client("nobody"))).await;
    assert_eq!(found, Ok(Some("guest".to_owned())));
    let stranger = World::new().client("nobody");
    assert!(known(&*plugin, &mut world.exchange(&[]), Some(stranger)).await.is_err());
}

#[tokio::test]
async fn callers_need_not_be_consumers() {
    let world = World::new();
    for (by, group) in [("CN", "eve"), ("DN", "CN=eve")] {
        let plugin = instance(&world, json!({ "skip_consumer_lookup": true, "authenticated_group_by": by }));
        let mut exchange = world.exchange(&[("X-Client-Cert-Dn", "forged"), ("X-Client-Cert-San", "forged")]);
        let found = known(&*plugin, &mut exchange, Some(world.client("eve"))).await;
        assert_eq!(found, Ok(None));
        assert_eq!(exchange.request.fields.get_str("X-Client-Cert-Dn"), Some("CN=eve"));
        assert_eq!(exchange.request.fields.get_str("X-Client-Cert-San"), None);
        assert_eq!(exchange.authenticated_groups, Some(vec![group.to_owned()]));
        assert!(exchange.credential.is_some());
    }
}

#[tokio::test]
async fn what_nobody_says_of_a_certificate_counts_where_it_must() {
    let world = World::new();
    for (mode, accepted) in [("SKIP", true), ("IGNORE_CA_ERROR", true), ("STRICT", false)] {
        let plugin = instance(&world, json!({ "revocation_check_mode": mode }));
        let found = known(&*plugin, &mut world.exchange(&[]), Some(world.client("ada"))).await;
        assert_eq!(found.is_ok(), accepted, "{mode}");
    }
}

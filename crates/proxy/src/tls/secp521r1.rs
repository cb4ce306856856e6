//! Key exchange by secp521r1 (NIST P-521), which aws-lc-rs has and rustls does not offer: some services that speak
//! TLS 1.2 take no other curve.

use aws_lc_rs::agreement::{self, ECDH_P521, PrivateKey, PublicKey, UnparsedPublicKey};
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// The group, for [`rustls::crypto::CryptoProvider::kx_groups`].
pub static SECP521R1: &dyn SupportedKxGroup = &Secp521r1;

#[derive(Debug)]
struct Secp521r1;

/// Our half of an exchange.
struct Started {
    private: PrivateKey,
    public: PublicKey,
}

/// Both coordinates, behind the octet that says so: the only form that TLS has.
const UNCOMPRESSED: (u8, usize) = (4, 133);

impl SupportedKxGroup for Secp521r1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let private = PrivateKey::generate(&ECDH_P521).map_err(|_| GetRandomFailed)?;
        let public = private.compute_public_key().map_err(|_| Error::General("no public key".to_owned()))?;
        Ok(Box::new(Started { private, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let wrong = || Error::from(PeerMisbehaved::InvalidKeyShare);
        if (peer.first(), peer.len()) != (Some(&UNCOMPRESSED.0), UNCOMPRESSED.1) {
            return Err(wrong());
        }
        let peer = UnparsedPublicKey::new(&ECDH_P521, peer);
        agreement::agree(&self.private, peer, wrong(), |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_ref()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use std::sync::Arc;

    #[test]
    fn both_halves_agree_on_a_secret() {
        let (ours, theirs) = (SECP521R1.start().unwrap(), SECP521R1.start().unwrap());
        let (our_key, their_key) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
        let (ours, theirs) = (ours.complete(&their_key).unwrap(), theirs.complete(&our_key).unwrap());
        assert_eq!(ours.secret_bytes(), theirs.secret_bytes());
        assert_eq!(ours.secret_bytes().len(), 66);
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let point = SECP521R1.start().unwrap().pub_key().to_vec();
        let mut off_the_curve = point.clone();
        off_the_curve[132] ^= 1;
        let mut compressed = point[..67].to_vec();
        compressed[0] = 2;
        for wrong in [&[][..], &[0], &point[..132], &off_the_curve, &compressed, &[point.clone(), vec![0]].concat()] {
            assert!(SECP521R1.start().unwrap().complete(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_service_that_takes_no_other_group_is_reached() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let roots = Arc::new(roots);
        for version in [&TLS12, &TLS13] {
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            provider.kx_groups = vec![SECP521R1];
            let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
            let server = ServerConfig::builder_with_provider(Arc::new(provider));
            let server = server.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
            let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
            let client = ClientConfig::builder_with_provider(super::super::provider(&[]));
            let client = client.with_safe_default_protocol_versions().unwrap();
            let client = client.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
            let mut client = ClientConnection::new(Arc::new(client), "a.test".try_into().unwrap()).unwrap();
            let mut server = ServerConnection::new(Arc::new(server)).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                let (mut up, mut down) = (Vec::new(), Vec::new());
                client.write_tls(&mut up).unwrap();
                server.read_tls(&mut &up[..]).unwrap();
                server.process_new_packets().unwrap();
                server.write_tls(&mut down).unwrap();
                client.read_tls(&mut &down[..]).unwrap();
                client.process_new_packets().unwrap();
            }
            let group = client.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, NamedGroup::secp521r1, "{version:?}");
        }
    }
}

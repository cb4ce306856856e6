//! How connections with the service of one exchange are secured, where a plugin says so in place of the service's
//! record.

use std::fmt;
use std::sync::Arc;

/// What a plugin wants of the connections with a service. What it does not say is as the record has it. Connections
/// under different wishes never stand in for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// Whether the service's certificate is verified.
    pub verify: Option<bool>,
    /// The most certificates between that of the service and that of its authority.
    pub depth: Option<usize>,
    /// Certificates of who may vouch for it, in DER.
    pub authorities: Option<Vec<Arc<[u8]>>>,
    /// What the service is shown.
    pub identity: Option<ShownCertificate>,
}

/// A certificate with those that lead to its root, and its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ShownCertificate {
    /// In DER, the own one first.
    pub chain: Vec<Arc<[u8]>>,
    /// In DER: PKCS #8, PKCS #1 or SEC 1.
    pub key: Arc<[u8]>,
}

impl fmt::Debug for ShownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is nobody's to read.
        f.debug_struct("ShownCertificate").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

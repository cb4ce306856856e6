//! Paths that were found for certificates: a client that shows the same ones again, on one connection or on many,
//! costs no signatures.

use arc_swap::ArcSwapOption;
use sdk::certificates::{self, Details, Path};
use sdk::entities::Uuid;
use sdk::{CertificateDer, ClientCertificate, Directory, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A path that was found, and what is known of the certificate at its beginning.
#[derive(Debug)]
pub struct Verified {
    pub path: Path,
    pub details: Details,
    /// The time in which all certificates of the path are good, in seconds since 1970.
    begins: i64,
    ends: i64,
    octets: usize,
}

/// What a node has found.
#[derive(Debug, Default)]
pub struct VerifiedPaths {
    known: papaya::HashMap<Question, Arc<Verified>>,
    octets: AtomicUsize,
}

/// Who vouches, and the hash of their certificates.
#[derive(Debug)]
pub struct Authorities {
    pub certificates: Vec<CertificateDer<'static>>,
    digest: [u8; 32],
}

/// The authorities of an instance, as they were for the last request.
#[derive(Debug, Default)]
pub struct LastAuthorities(ArcSwapOption<Authorities>);

/// How much is kept; when it is used up, all of it is forgotten.
const MOST_OCTETS: usize = 16 << 20;

impl Verified {
    /// Of a path; `None`: nothing can be made of it.
    pub fn of(path: Path) -> Option<Verified> {
        let all = path.certificates().iter().map(|certificate| Details::of(certificate).ok());
        let all = all.collect::<Option<Vec<_>>>()?;
        let begins = all.iter().map(|details| details.not_before).max()?;
        let ends = all.iter().map(|details| details.not_after).min()?;
        // What was read of a certificate is no longer than it is.
        let octets =
            path.certificates().iter().map(|der| der.len()).sum::<usize>() + path.certificates()[0].len() + 512;
        Some(Verified { details: all.into_iter().next()?, path, begins, ends, octets })
    }
}

impl VerifiedPaths {
    /// The question of a client to authorities.
    pub fn question(client: &ClientCertificate, authorities: &Authorities, partial: bool) -> Question {
        Question::of(&[b"certificate path", client.digest(), &authorities.digest, &[u8::from(partial)]])
    }

    /// What was found, where it is good at that time.
    pub fn find(&self, question: &Question, now: i64) -> Option<Arc<Verified>> {
        let known = self.known.pin();
        known.get(question).filter(|known| (known.begins..=known.ends).contains(&now)).cloned()
    }

    pub fn put(&self, question: Question, verified: &Arc<Verified>) {
        let known = self.known.pin();
        if self.octets.fetch_add(verified.octets, Relaxed) + verified.octets > MOST_OCTETS {
            known.clear();
            self.octets.store(verified.octets, Relaxed);
        }
        if let Some(former) = known.insert(question, Arc::clone(verified)) {
            self.octets.fetch_sub(former.octets, Relaxed);
        }
    }
}

impl LastAuthorities {
    /// The authorities by these ids, as far as there are such.
    pub fn load(&self, ids: &[Uuid], directory: &Directory) -> Arc<Authorities> {
        let now: Vec<_> = ids.iter().filter_map(|id| directory.authority(id)).collect();
        if let Some(last) = self.0.load_full()
            && last.certificates.iter().eq(now.iter().map(|authority| &**authority))
        {
            return last;
        }
        let certificates: Vec<_> = now.iter().map(|authority| (**authority).clone()).collect();
        let digest = certificates::digest(certificates.iter());
        let authorities = Arc::new(Authorities { certificates, digest });
        self.0.store(Some(Arc::clone(&authorities)));
        authorities
    }
}

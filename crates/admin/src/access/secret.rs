//! Tokens and passwords: kept as bcrypt hashes, compared without telling how far they agree.

use crate::answer::Answer;
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Error;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The work that a hash takes, as Kong has it (`$2b$09$…`).
const COST: u32 = 9;
/// bcrypt looks at no more.
const LONGEST: usize = 72;
/// How many that were found right are remembered: comparing takes some 20 ms of processor time.
const REMEMBERED: usize = 1000;
/// What is compared with where there is no hash, so that this takes as long.
const DECOY: &str = "$2b$09$gZnMKK/mm/d2rAXN7gL63uL43mjdX/62iwMqdyCQwLyC0af3ce/1K";
/// How many are compared at a time, so that guessing leaves processors for others.
const AT_ONCE: usize = 2;

/// Compares secrets, and remembers for which hash one was right.
pub struct Verifier {
    key: hmac::Key,
    right: Mutex<HashMap<[u8; 32], String>>,
    turns: Semaphore,
}

/// The hash of a secret, in Kong's form.
pub async fn hash(field: &str, secret: &str) -> Result<String, Answer> {
    if secret.len() > LONGEST || secret.contains('\0') {
        let words = format!("must have at most {LONGEST} octets, and no NUL among them");
        return Err(Error::field_violation(field, words).into());
    }
    let secret = secret.to_owned();
    let hashed = spawn_blocking(move || bcrypt::hash_with_result(secret, COST)).await;
    let hashed = hashed.map_err(Error::database)?.map_err(Error::database)?;
    Ok(hashed.format_for_version(bcrypt::Version::TwoB))
}

/// What narrows down whose token it is.
pub fn ident(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref()[..3].iter().map(|octet| format!("{octet:02x}")).collect::<String>()[..5].to_owned()
}

/// A new secret, which nobody can guess.
pub fn generate() -> Result<String, Answer> {
    let mut octets = [0; 24];
    rand::fill(&mut octets).map_err(|_| Error::database("the system has no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

impl Verifier {
    pub fn new() -> Verifier {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.expect("a process that has no random numbers cannot serve TLS either");
        Verifier { key, right: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }

    /// Whether that is the secret of a hash; without one it is not, and this takes as long.
    pub async fn is_right(&self, secret: &str, hash: Option<&str>) -> bool {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.key, secret.as_bytes()).as_ref());
        if hash.is_some() && self.right().get(&key).map(String::as_str) == hash {
            return true;
        }
        let Ok(_turn) = self.turns.acquire().await else { return false };
        let (given, against) = (secret.to_owned(), hash.unwrap_or(DECOY).to_owned());
        let compared =
            spawn_blocking(move || given.len() <= LONGEST && matches!(bcrypt::verify(given, &against), Ok(true)));
        let right = compared.await.unwrap_or(false) && hash.is_some();
        if let (true, Some(hash)) = (right, hash) {
            let mut remembered = self.right();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, hash.to_owned());
        }
        right
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn right(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], String>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_are_compared_with_their_hashes() {
        let hash = hash("password", "secret").await.unwrap();
        assert!(hash.starts_with("$2b$09$"), "{hash}");
        let verifier = Verifier::new();
        assert!(verifier.is_right("secret", Some(&hash)).await);
        assert!(verifier.is_right("secret", Some(&hash)).await, "as remembered");
        assert!(!verifier.is_right("Secret", Some(&hash)).await);
        assert!(!verifier.is_right("secret", Some("$2b$09$")).await, "another hash than the remembered one");
        assert!(!verifier.is_right("", None).await, "where there is no hash");
    }

    #[tokio::test]
    async fn what_bcrypt_would_cut_off_is_refused() {
        assert_eq!(hash("password", &"x".repeat(73)).await.unwrap_err().status, 400);
        assert_eq!(hash("password", "a\0b").await.unwrap_err().status, 400);
    }

    #[test]
    fn idents_are_short() {
        assert_eq!(ident("secret").len(), 5);
        assert_ne!(ident("secret"), ident("Secret"));
    }
}

//! Tokens that vaults take, kept as long as they are valid.

use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A token, and when to get another one.
#[derive(Clone)]
pub struct Token {
    pub text: String,
    /// `None`: it does not end.
    pub renew: Option<Instant>,
}

/// The token that is in use. Who needs one while it is renewed waits for that.
#[derive(Default)]
pub struct Bearer(Mutex<Option<Token>>);

impl Token {
    /// One that is valid for that long from now on; it is renewed when a tenth of that is left.
    pub fn new(text: &str, valid: Option<Duration>) -> Token {
        let valid = valid.filter(|valid| !valid.is_zero());
        Token { text: text.to_owned(), renew: valid.map(|valid| Instant::now() + valid * 9 / 10) }
    }
}

impl Bearer {
    /// The token as it is now, for whoever renews it where [`fresh`] finds none.
    pub async fn lock(&self) -> MutexGuard<'_, Option<Token>> {
        self.0.lock().await
    }

    /// Has another one fetched for the next request.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// The text of a token that need not be renewed.
pub fn fresh(token: &Option<Token>) -> Option<String> {
    let token = token.as_ref()?;
    token.renew.is_none_or(|renew| Instant::now() < renew).then(|| token.text.clone())
}

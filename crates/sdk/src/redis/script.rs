//! Scripts that Redis runs as a whole, between two commands of anybody else.

use super::{Cmd, cmd};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt::Write;

/// A script in Redis' Lua. A server that knows it is sent its digest only.
#[derive(Clone, Debug)]
pub struct RedisScript {
    code: &'static str,
    digest: String,
}

impl RedisScript {
    /// That script.
    pub fn new(code: &'static str) -> RedisScript {
        let octets = digest(&SHA1_FOR_LEGACY_USE_ONLY, code.as_bytes());
        let mut digest = String::with_capacity(40);
        for octet in octets.as_ref() {
            let _ = write!(digest, "{octet:02x}");
        }
        RedisScript { code, digest }
    }

    pub(super) fn by_digest(&self, keys: &[Vec<u8>], arguments: &[String]) -> Cmd {
        invoke("EVALSHA", &self.digest, keys, arguments)
    }

    /// The server knows it afterwards.
    pub(super) fn by_code(&self, keys: &[Vec<u8>], arguments: &[String]) -> Cmd {
        invoke("EVAL", self.code, keys, arguments)
    }
}

fn invoke(command: &str, script: &str, keys: &[Vec<u8>], arguments: &[String]) -> Cmd {
    let mut command = cmd(command);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}

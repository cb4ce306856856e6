//! Contents that services have compressed, for plugins that edit them.

use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use sdk::{Bytes, Held, MemoryBudget};
use std::io::Read;

/// What was compressed; `None` when it is broken, or more than that.
pub fn unzip(content: &[u8], memory: &MemoryBudget, most: usize) -> Option<Bytes> {
    let mut decoder = MultiGzDecoder::new(content);
    let mut plain = Held::new(memory);
    let mut piece = vec![0; 32 << 10];
    loop {
        match decoder.read(&mut piece).ok()? {
            0 => return Some(plain.into_bytes()),
            n if plain.octets().len() + n > most => return None,
            n => plain.try_extend(&piece[..n]).ok()?,
        }
    }
}

/// The same content compressed.
pub fn zip(plain: &[u8]) -> Vec<u8> {
    let mut zipped = Vec::new();
    // Writing to memory does not fail.
    let _ = GzEncoder::new(plain, Compression::default()).read_to_end(&mut zipped);
    zipped
}

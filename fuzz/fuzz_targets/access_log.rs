//! Any octets × every variable of the access log, after each piece in which they come: nothing panics, and a line stays
//! a line.
//!
//! `cargo +nightly fuzz run access_log`

#![no_main]

#[path = "../../crates/proxy/tests/every_variable/line.rs"]
mod line;

use libfuzzer_sys::fuzz_target;
use line::Formats;

thread_local! {
    static FORMATS: Formats = Formats::every_variable();
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    FORMATS.with(|formats| formats.write(data, 1 + usize::from(step)));
});

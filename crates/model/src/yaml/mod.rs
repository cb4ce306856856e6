//! YAML as Kong reads and writes it: JSON's values, and the plain scalars of YAML 1.1 (`yes`, `on`, `0o17` …).

mod reader;
mod relaxed;
mod scalar;
mod writer;

pub use reader::read;
pub use writer::write;

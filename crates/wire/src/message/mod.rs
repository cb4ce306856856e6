//! The message model: heads and their field lines, the same for HTTP/1.1, HTTP/2 and HTTP/3.

pub mod field_value;
mod fields;
mod head;
mod known;
mod last_head;
pub(crate) mod scan;

pub use fields::Fields;
pub use head::{Framing, Method, RequestHead, ResponseHead, Version};
pub use known::Known;
pub(crate) use last_head::Comparison;

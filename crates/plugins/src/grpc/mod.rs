//! What the plugins for gRPC have in common: messages as they are framed, and as `.proto` files describe them.

mod frames;
mod schema;

pub use frames::{Frames, TRAILERS, frame};
pub use schema::{Method, Schema};

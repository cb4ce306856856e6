//! Sockets and timers of one worker: the only part of the engine that knows the event loop.

mod buffer;
mod free_list;
mod incoming;
mod linger;
mod local_fault;
mod log_limiter;
mod overhead;
mod pipe;
mod stream;
mod timer;
mod wheel;

pub use buffer::{BUFFER_SIZE, Buffer, BufferPool};
pub use free_list::FreeList;
pub use incoming::{Incoming, LOCAL};
pub use linger::{Lingering, begins_tls, refuse_plain_http};
pub use local_fault::{is_local_fault, out_of_descriptors};
pub use log_limiter::LogLimiter;
pub(crate) use overhead::Overhead;
pub use pipe::Pipe;
pub use stream::Stream;
pub use timer::{Clock, Deadline, TimedOut, Timer, Timers};

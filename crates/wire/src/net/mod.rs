//! Sockets and timers of one worker: the only part of the engine that knows the event loop.

mod buffer;
mod log_limiter;
mod stream;
mod timer;
mod wheel;

pub use buffer::{BUFFER_SIZE, Buffer, BufferPool};
pub use log_limiter::LogLimiter;
pub use stream::Stream;
pub use timer::{Clock, Deadline, TimedOut, Timer, Timers};

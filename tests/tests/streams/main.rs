//! Streams: routes and services of layer 4 through a real node.

mod code;
mod faults;
mod setup;
mod tcp;
mod udp;

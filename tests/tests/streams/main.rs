//! Streams: routes and services of layer 4 through a real node.

mod setup;
mod tcp;
mod udp;

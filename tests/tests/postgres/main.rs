//! Nodes on Postgres: servers that vanish and come back, and nodes that share one.

mod away;
mod killed;
mod nodes;
mod replica;
mod setup;
mod upgraded;

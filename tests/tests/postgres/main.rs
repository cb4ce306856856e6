//! Nodes on Postgres: servers that vanish and come back, and nodes that share one.

mod access;
mod away;
mod hosts;
mod killed;
mod nodes;
mod passwords;
mod plugin_migrations;
mod pooler;
mod queries;
mod replica;
mod setup;
mod tls;
mod upgraded;

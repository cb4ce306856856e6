//! One suite for all backends: each test runs on every one of them.

#[path = "suite/core.rs"]
mod core;
#[path = "suite/declarative.rs"]
mod declarative;
#[path = "suite/expiry.rs"]
mod expiry;
#[path = "suite/feed.rs"]
mod feed;
#[path = "suite/joint_keys.rs"]
mod joint_keys;
#[path = "suite/keys.rs"]
mod keys;
#[path = "suite/lengths.rs"]
mod lengths;
#[path = "suite/mirror.rs"]
mod mirror;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/postgres.rs"]
mod postgres;
#[path = "suite/references.rs"]
mod references;
#[path = "suite/requests.rs"]
mod requests;
#[path = "suite/scale.rs"]
mod scale;
#[path = "suite/server.rs"]
mod server;
#[path = "suite/setup.rs"]
mod setup;
#[path = "suite/sqlite.rs"]
mod sqlite;
#[path = "suite/upgrades.rs"]
mod upgrades;
#[path = "suite/workspaces.rs"]
mod workspaces;

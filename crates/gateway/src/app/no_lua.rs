//! A build without Lua: nothing to tell code, for there is none.

use crate::settings::Settings;
use model::Catalog;
use std::sync::Arc;
use store::Change;

pub fn with_scripts(env: sdk::Env) -> sdk::Env {
    env
}

pub fn surround(_settings: &Settings, _env: &sdk::Env, _plugins: &[&str]) {}

pub fn open_vaults(_secrets: &vaults::Secrets) {}

pub fn leave() {}

pub fn forget(_catalog: &Catalog, _commits: &[Arc<[Change]>]) {}

pub fn forget_all() {}

pub fn removed(_commits: &[Arc<[Change]>]) {}

pub fn instances_so_far() -> u64 {
    0
}

pub fn replaced(_before: u64) {}

pub fn kept_value(_key: &str) -> Option<serde_json::Value> {
    None
}

pub fn forget_value(_key: &str) {}

pub fn hear(_channel: &str, _data: &str) {}

pub async fn call_dao(_request: sdk::AdminRequest, _call: sdk::DaoCall) -> sdk::DaoAnswer {
    sdk::DaoAnswer::Said(sdk::AdminAnswer::not_found())
}

//! Functions of data access that plugins have in the place of the store's (`dao` of an entity in `daos.lua`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The module of an entity's own functions, and the plugin that has brought it along.
#[derive(Clone, Copy)]
pub struct DaoModule {
    pub plugin: &'static str,
    pub module: &'static str,
}

static MODULES: Mutex<Option<HashMap<String, DaoModule>>> = Mutex::new(None);

/// Notes what a plugin says of an entity.
pub fn learn(entity: &str, plugin: &str, module: &str) {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let leak = |text: &str| Box::leak(text.to_owned().into_boxed_str());
    let known = modules.get_or_insert_default();
    known.entry(entity.to_owned()).or_insert_with(|| DaoModule { plugin: leak(plugin), module: leak(module) });
}

/// The module of an entity, if it has one.
pub fn of(entity: &str) -> Option<DaoModule> {
    let modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    modules.as_ref()?.get(entity).copied()
}

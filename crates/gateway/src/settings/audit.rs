//! The audit log (`audit_log`).

use super::Settings;
use admin::{AuditOptions, SigningKey};
use regex::Regex;
use std::sync::Arc;

/// What the settings say, if there is to be one.
pub fn options(settings: &Settings) -> Result<Option<Arc<AuditOptions>>, String> {
    if !settings.flag("audit_log") {
        return Ok(None);
    }
    if settings.dbless() {
        return Err("audit_log: records need a database, and database is off".to_owned());
    }
    let pattern = |text: &String| Regex::new(text).map_err(|error| format!("audit_log_ignore_paths: {error}"));
    let key = match settings.text("audit_log_signing_key") {
        "" => None,
        path => {
            let failed = |error: &dyn std::fmt::Display| format!("audit_log_signing_key: {path}: {error}");
            let pem = std::fs::read(path).map_err(|error| failed(&error))?;
            Some(Arc::new(SigningKey::from_pem(&pem).map_err(|error| failed(&error))?))
        }
    };
    Ok(Some(Arc::new(AuditOptions {
        ignore_methods: settings.list("audit_log_ignore_methods").to_vec(),
        ignore_paths: settings.list("audit_log_ignore_paths").iter().map(pattern).collect::<Result<_, _>>()?,
        ignore_tables: settings.list("audit_log_ignore_tables").to_vec(),
        payload_exclude: settings.list("audit_log_payload_exclude").to_vec(),
        record_ttl: settings.seconds("audit_log_record_ttl").unwrap_or_default(),
        key,
    })))
}

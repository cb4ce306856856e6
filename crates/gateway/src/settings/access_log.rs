//! `*_access_log` and `nginx_http_log_format`: where requests are noted, and how.

use super::Settings;
use proxy::access_log::Format;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The access log of each interface that has one.
#[derive(Clone, Debug, Default)]
pub struct AccessLogs {
    pub proxy: Option<AccessLogFile>,
    pub admin: Option<AccessLogFile>,
    pub status: Option<AccessLogFile>,
}

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLogFile {
    /// Absolute.
    pub path: PathBuf,
    pub format: Arc<Format>,
}

/// The access logs that the settings name; what the operator should know goes to `warnings`.
pub fn parse(settings: &Settings, warnings: &mut Vec<String>) -> Result<AccessLogs, String> {
    const SETTING: &str = "nginx_http_log_format";
    let own = match settings.text(SETTING) {
        "" => Vec::new(),
        text => Format::parse(text).map_err(|e| format!("{SETTING}: {e}"))?,
    };
    for (name, format) in &own {
        for variable in format.unknown() {
            warnings.push(format!(
                "{SETTING}: the variable '${variable}' of '{name}' is not known here, '-' stands for it"
            ));
        }
    }
    let own = own.into_iter().map(|(name, format)| (name, Arc::new(format))).collect();
    let mut file =
        |setting, usual, used: bool| if used { one(settings, setting, usual, &own, warnings) } else { Ok(None) };
    Ok(AccessLogs {
        proxy: file("proxy_access_log", "kong_log_format", !settings.proxy_listen.is_empty())?,
        admin: file("admin_access_log", "combined", !settings.admin_listen.is_empty())?,
        status: file("status_access_log", "combined", !settings.status_listen.is_empty())?,
    })
}

/// `path [format] [parameters of nginx]`, or `off`.
fn one(
    settings: &Settings,
    setting: &str,
    usual: &str,
    own: &HashMap<String, Arc<Format>>,
    warnings: &mut Vec<String>,
) -> Result<Option<AccessLogFile>, String> {
    let mut words = settings.text(setting).split_whitespace().peekable();
    let Some(path) = words.next().filter(|path| *path != "off") else { return Ok(None) };
    if path.starts_with("syslog:") {
        warnings.push(format!("{setting}: logging to syslog is not available in this version, nothing is logged"));
        return Ok(None);
    }
    let name = words.next_if(|word| !word.contains('=') && *word != "gzip").unwrap_or(usual);
    let format = match own.get(name) {
        Some(format) => Arc::clone(format),
        None => Arc::new(Format::known(name).ok_or_else(|| format!("{setting}: unknown log format '{name}'"))?),
    };
    for word in words {
        match word.split_once('=').map_or(word, |(parameter, _)| parameter) {
            // Lines are gathered and written as it suits.
            "buffer" | "flush" => {}
            "if" | "gzip" => warnings.push(format!("{setting}: '{word}' has no effect in this version")),
            _ => return Err(format!("{setting}: invalid parameter '{word}'")),
        }
    }
    Ok(Some(AccessLogFile { path: settings.path(path), format }))
}

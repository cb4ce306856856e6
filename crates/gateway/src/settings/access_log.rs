//! `*_access_log`, `access_log` and `log_format`: where requests are noted, and how.

use super::Settings;
use super::nginx::{self, Scope};
use proxy::access_log::Format;
use proxy::log_writer::Destination;
use proxy::syslog::Syslog;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The access log of each interface that has one.
#[derive(Clone, Debug, Default)]
pub struct AccessLogs {
    pub proxy: Option<AccessLogFile>,
    pub stream: Option<AccessLogFile>,
    pub admin: Option<AccessLogFile>,
    pub status: Option<AccessLogFile>,
    pub manager: Option<AccessLogFile>,
}

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLogFile {
    place: Place,
    pub format: Arc<Format>,
}

/// Where a log is.
#[derive(Clone, Debug)]
enum Place {
    /// Absolute.
    Path(PathBuf),
    Syslog(Syslog),
    /// The URL of an OTLP server.
    Otlp(String),
}

impl AccessLogFile {
    /// Where its lines are written, by what its path is now; `None`: they are sent by [`AccessLogFile::otlp_server`].
    pub fn destination(&self) -> Option<Destination> {
        match &self.place {
            Place::Path(path) => Some(Destination::of(path)),
            Place::Syslog(syslog) => Some(Destination::Syslog(syslog.clone())),
            Place::Otlp(_) => None,
        }
    }

    /// The OTLP server that gets its lines.
    pub fn otlp_server(&self) -> Option<&str> {
        match &self.place {
            Place::Otlp(url) => Some(url),
            _ => None,
        }
    }
}

/// The access logs that the settings name; what the operator should know goes to `warnings`.
pub fn parse(settings: &Settings, warnings: &mut Vec<String>) -> Result<AccessLogs, String> {
    let own = formats(settings, nginx::LOCATION, warnings)?;
    // Those of requests can be named for streams, too; of two with one name, streams have their own.
    let mut of_streams = own.clone();
    of_streams.extend(formats(settings, nginx::STREAM, warnings)?);
    for (directive, scope) in [
        ("add_header", nginx::LOCATION),
        ("add_header", nginx::ADMIN),
        ("add_header", nginx::STATUS),
        ("proxy_set_header", nginx::LOCATION),
    ] {
        for (key, words) in settings.injected.listed(scope, directive) {
            // One that cannot be read stops the start elsewhere.
            let values = words.iter().skip(1).filter_map(|text| Format::value(text).ok());
            for (variable, why) in values.flat_map(|value| value.absent().to_vec()) {
                let warning = format!("{key}: the variable '${variable}' has no value here: {why}");
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    let mut file = |interface: (&str, &str), scope: Scope, used: bool| {
        let own = if scope == nginx::STREAM { &of_streams } else { &own };
        if used { one(settings, interface, scope, own, warnings) } else { Ok(None) }
    };
    let proxy = ("proxy_access_log", "kong_log_format");
    Ok(AccessLogs {
        proxy: file(proxy, nginx::LOCATION, !settings.proxy_listen.is_empty())?,
        stream: file(("proxy_stream_access_log", "basic"), nginx::STREAM, !settings.stream_listen.is_empty())?,
        admin: file(("admin_access_log", "combined"), nginx::ADMIN, !settings.admin_listen.is_empty())?,
        status: file(("status_access_log", "combined"), nginx::STATUS, !settings.status_listen.is_empty())?,
        manager: file(("admin_gui_access_log", "combined"), nginx::MANAGER, !settings.manager_listen.is_empty())?,
    })
}

/// Formats that are defined in these blocks, by their names.
fn formats(
    settings: &Settings,
    scope: Scope,
    warnings: &mut Vec<String>,
) -> Result<HashMap<String, Arc<Format>>, String> {
    let mut formats = HashMap::new();
    for (key, words) in settings.injected.listed(scope, "log_format") {
        let (name, format) = Format::define(words).map_err(|e| format!("{key}: {e}"))?;
        for variable in format.unknown() {
            warnings
                .push(format!("{key}: the variable '${variable}' of '{name}' is not known here, '-' stands for it"));
        }
        for (variable, why) in format.absent() {
            warnings.push(format!("{key}: the variable '${variable}' of '{name}' has no value here: {why}"));
        }
        formats.insert(name, Arc::new(format));
    }
    Ok(formats)
}

/// The log of an interface, by its setting (and usual format) and by `access_log` in its blocks.
fn one(
    settings: &Settings,
    (setting, usual): (&str, &str),
    scope: Scope,
    own: &HashMap<String, Arc<Format>>,
    warnings: &mut Vec<String>,
) -> Result<Option<AccessLogFile>, String> {
    let mut log = Some((setting, settings.text(setting).split_whitespace().map(str::to_owned).collect::<Vec<_>>()));
    for (key, words) in settings.injected.listed(scope, "access_log") {
        match words.first().map(String::as_str) {
            Some("off") => log = None,
            // Kong's location has none of its own: one there takes the place of the server's.
            Some(_) if key.starts_with("nginx_location_") => log = Some((key, words.to_vec())),
            _ => warnings.push(format!("{key} has no effect here: an interface has one log, which {setting} names")),
        }
    }
    let Some((key, words)) = log else { return Ok(None) };
    file(settings, key, &words, usual, own, warnings)
}

/// `path [format] [parameters of nginx]`, or `off`.
fn file(
    settings: &Settings,
    setting: &str,
    words: &[String],
    usual: &str,
    own: &HashMap<String, Arc<Format>>,
    warnings: &mut Vec<String>,
) -> Result<Option<AccessLogFile>, String> {
    let mut words = words.iter().map(String::as_str).peekable();
    let Some(path) = words.next().filter(|path| *path != "off") else { return Ok(None) };
    let place = match (path.strip_prefix("syslog:"), path.strip_prefix("otlp:")) {
        (Some(server), _) => Place::Syslog(Syslog::parse(server).map_err(|e| format!("{setting}: {e}"))?),
        (_, Some(url)) => {
            sdk::Url::parse(url).map_err(|e| format!("{setting}: {e}"))?;
            Place::Otlp(url.to_owned())
        }
        _ => Place::Path(settings.path(path)),
    };
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
    Ok(Some(AccessLogFile { place, format }))
}

//! The directory in which a node keeps its files.

use crate::program::Program;
use crate::settings::Settings;
use proxy::log_writer::Destination;
use proxy::syslog::Syslog;
use rustix::fs::{Access, Mode};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The directories in a prefix that a start makes.
pub const FOLDERS: [&str; 3] = ["pids", "logs", "ssl"];

/// Makes the directories of a node. Only its user can look into them: there are keys and credentials inside.
pub fn prepare(settings: &Settings) -> Result<(), String> {
    let failed = |path: &Path, e: io::Error| {
        format!("could not prepare {} prefix at {}: {e}", Program::current(), path.display())
    };
    std::fs::create_dir_all(&settings.prefix).map_err(|e| failed(&settings.prefix, e))?;
    let own = FOLDERS.map(|name| settings.path(name));
    let temporary = [&settings.limits.temporary_files, &settings.limits.proxy_temporary_files];
    for path in own.iter().map(PathBuf::as_path).chain(temporary.into_iter().map(AsRef::as_ref)) {
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(failed(path, e.into())),
        }
    }
    Ok(())
}

/// Why the prefix cannot be prepared, as far as that can be told without doing so.
pub fn check(settings: &Settings) -> Option<String> {
    let there = settings.prefix.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    let fault = if !there.is_dir() {
        "is not a directory"
    } else if rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        "cannot be written to"
    } else {
        return None;
    };
    Some(format!("prefix: {} {fault}", there.display()))
}

/// Replaces a file that only the node's user may read, in one step.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    std::fs::rename(&new, path)
}

/// Where messages go by a setting; `None` when it says `off`.
pub fn error_log(settings: &Settings, setting: &str) -> Result<Option<Destination>, String> {
    let Some(place) = settings.text(setting).split_whitespace().next() else { return Ok(None) };
    Ok(match (place, place.strip_prefix("syslog:")) {
        ("off", _) => None,
        ("stderr", _) => Some(Destination::Stderr),
        (_, Some(server)) => Some(Destination::Syslog(Syslog::parse(server).map_err(|e| format!("{setting}: {e}"))?)),
        _ => Some(Destination::of(&settings.path(place))),
    })
}

/// The node's id: the one in the settings, or one that is made once and kept.
pub fn node_id(settings: &Settings) -> io::Result<uuid::Uuid> {
    if let Ok(id) = uuid::Uuid::parse_str(settings.text("node_id")) {
        return Ok(id);
    }
    let path = settings.path("kong.id");
    if let Some(id) = std::fs::read_to_string(&path).ok().and_then(|text| uuid::Uuid::parse_str(text.trim()).ok()) {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4();
    write_private(&path, &format!("{id}\n"))?;
    Ok(id)
}

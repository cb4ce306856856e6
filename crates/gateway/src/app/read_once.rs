//! What a process reads once: where that has changed, a reload has a successor read it anew.

use crate::settings::Settings;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files that settings name, as they were when they were read.
#[derive(PartialEq, Eq)]
pub struct ReadOnce(Vec<(PathBuf, Option<Version>)>);

/// Size, time of the last change, and which file it is.
type Version = (u64, i64, i64, u64);

impl ReadOnce {
    /// As the files are now.
    pub fn of(settings: &Settings) -> ReadOnce {
        let names = ["json", "html", "xml", "plain"].map(|format| format!("error_template_{format}"));
        let hosts = ["dns_hostsfile", "resolver_hosts_file"].map(str::to_owned);
        let paths = names.iter().chain(&hosts).map(|name| settings.text(name)).filter(|path| !path.is_empty());
        let version = |path: &Path| {
            let file = fs::metadata(path).ok()?;
            Some((file.size(), file.mtime(), file.mtime_nsec(), file.ino()))
        };
        let paths = paths.map(PathBuf::from).chain(filters(settings));
        ReadOnce(paths.map(|path| (path.clone(), version(&path))).collect())
    }
}

/// Filters in WebAssembly, and what is said of them.
fn filters(settings: &Settings) -> Vec<PathBuf> {
    let folder = settings.text("wasm_filters_path");
    if !settings.flag("wasm") || folder.is_empty() {
        return Vec::new();
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm" || extension == "json"));
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    #[test]
    fn files_that_change_are_others() {
        let directory = tempfile::tempdir().unwrap();
        let (conf, template) = (directory.path().join("kong.conf"), directory.path().join("t.json"));
        fs::write(&template, "{}").unwrap();
        fs::write(&conf, format!("error_template_json = {}\n", template.display())).unwrap();
        let settings = Settings::load(&Sources { file: Some(conf), ..Sources::default() }).unwrap();
        let before = ReadOnce::of(&settings);
        assert!(before == ReadOnce::of(&settings));
        fs::write(&template, "{ }").unwrap();
        assert!(before != ReadOnce::of(&settings));
    }
}

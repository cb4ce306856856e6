//! What a process holds: memory and file descriptors.

use std::path::PathBuf;

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Its own memory in KiB. Pages of files, such as the program's, are not counted: other processes share them now
    /// and then.
    pub memory: usize,
    /// Open file descriptors.
    pub files: usize,
}

impl Usage {
    /// Of a running process.
    pub fn of(pid: u32) -> Usage {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let rollup = std::fs::read_to_string(process.join("smaps_rollup")).expect("the process runs");
        let own = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("smaps_rollup says so");
        let memory = own.trim().trim_end_matches(" kB").parse().expect("a number");
        Usage { memory, files: std::fs::read_dir(process.join("fd")).expect("the process runs").count() }
    }
}

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

    /// Fails unless the last third of the samples holds no more than the first, but for so much.
    #[track_caller]
    pub fn assert_flat(samples: &[Usage], memory_kib: usize, files: usize) {
        let third = samples.len() / 3;
        let most = |part: &[Usage]| Usage {
            memory: part.iter().map(|u| u.memory).max().expect("there are samples"),
            files: part.iter().map(|u| u.files).max().expect("there are samples"),
        };
        let (first, last) = (most(&samples[..third]), most(&samples[samples.len() - third..]));
        assert!(
            last.memory <= first.memory + memory_kib,
            "memory grows from {} to {} KiB: {samples:?}",
            first.memory,
            last.memory
        );
        assert!(
            last.files <= first.files + files,
            "open files grow from {} to {}: {samples:?}",
            first.files,
            last.files
        );
    }
}

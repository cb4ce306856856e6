//! The few functions of WASI (preview 1) that run times of languages import: what they write goes to the log; there are
//! no files, no arguments and no environment.

use super::memory::{read, write, write_u32};
use super::{Guest, Host, Status};
use aws_lc_rs::rand;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime::{Linker, Result};

const MODULE: &str = "wasi_snapshot_preview1";

/// Error numbers of WASI.
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const FAULT: i32 = 21;
const INVALID: i32 = 28;
const NOT_SUPPORTED: i32 = 58;

/// How much random a filter gets at once.
const MOST_RANDOM: u32 = 1 << 16;
/// How many pieces are written at once, and how much: less than was asked for is a usual answer.
const MOST_VECTORS: u32 = 1024;
const LONGEST: usize = 1 << 16;

/// The filter has ended its machine by itself.
#[derive(Debug)]
pub struct Exited(pub i32);

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the filter has ended itself with code {}", self.0)
    }
}

impl std::error::Error for Exited {}

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut guest: Guest<'_>, file: i32, vectors: u32, count: u32, written: u32| {
            number((|| {
                if !matches!(file, 1 | 2) {
                    return Ok(BAD_DESCRIPTOR);
                }
                let vectors = read(&mut guest, vectors, count.min(MOST_VECTORS) * 8)?;
                let mut text = Vec::new();
                for vector in vectors.chunks_exact(8) {
                    let (at, size) = vector.split_at(4);
                    let [at, size] = [at, size].map(|four| four.try_into().map_or(0, u32::from_le_bytes));
                    text.extend(read(&mut guest, at, size)?);
                    if text.len() > LONGEST {
                        break;
                    }
                }
                let lines = String::from_utf8_lossy(&text);
                for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                    guest.data().log(if file == 1 { 2 } else { 4 }, line);
                }
                write_u32(&mut guest, written, text.len() as u32)?;
                Ok(SUCCESS)
            })())
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut guest: Guest<'_>, at: u32, size: u32| {
        number((|| {
            if size > MOST_RANDOM {
                return Ok(INVALID);
            }
            let mut octets = vec![0; size as usize];
            if rand::fill(&mut octets).is_err() {
                return Ok(FAULT);
            }
            write(&mut guest, at, &octets)?;
            Ok(SUCCESS)
        })())
    })?;
    linker.func_wrap(MODULE, "clock_time_get", |mut guest: Guest<'_>, _clock: i32, _precision: i64, place: u32| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        number(write(&mut guest, place, &(now.as_nanos() as u64).to_le_bytes()).map(|()| SUCCESS))
    })?;
    linker.func_wrap(MODULE, "clock_res_get", |mut guest: Guest<'_>, _clock: i32, place: u32| {
        number(write(&mut guest, place, &1u64.to_le_bytes()).map(|()| SUCCESS))
    })?;
    for none in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(MODULE, none, |mut guest: Guest<'_>, count: u32, size: u32| {
            number(write_u32(&mut guest, count, 0).and_then(|()| write_u32(&mut guest, size, 0)).map(|()| SUCCESS))
        })?;
    }
    for none in ["environ_get", "args_get"] {
        linker.func_wrap(MODULE, none, |_: Guest<'_>, _: u32, _: u32| SUCCESS)?;
    }
    linker.func_wrap(MODULE, "proc_exit", |_: Guest<'_>, status: i32| -> Result<()> { Err(Exited(status).into()) })?;
    linker.func_wrap(MODULE, "sched_yield", |_: Guest<'_>| SUCCESS)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: Guest<'_>, _: i32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_: Guest<'_>, _: i32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_close", |_: Guest<'_>, _: i32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_seek", |_: Guest<'_>, _: i32, _: i64, _: i32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_read", |_: Guest<'_>, _: i32, _: u32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_fdstat_set_flags", |_: Guest<'_>, _: i32, _: i32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_filestat_get", |_: Guest<'_>, _: i32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_readdir", |_: Guest<'_>, _: i32, _: u32, _: u32, _: i64, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut guest: Guest<'_>, file: i32, place: u32| {
        if !matches!(file, 0..=2) {
            return BAD_DESCRIPTOR;
        }
        // A character device without any flags or rights.
        let mut described = [0; 24];
        described[0] = 2;
        number(write(&mut guest, place, &described).map(|()| SUCCESS))
    })?;
    linker.func_wrap(MODULE, "poll_oneoff", |_: Guest<'_>, _: u32, _: u32, _: u32, _: u32| NOT_SUPPORTED)?;
    linker.func_wrap(
        MODULE,
        "path_open",
        |_: Guest<'_>, _: i32, _: i32, _: u32, _: u32, _: i32, _: i64, _: i64, _: i32, _: u32| BAD_DESCRIPTOR,
    )?;
    linker.func_wrap(MODULE, "path_filestat_get", |_: Guest<'_>, _: i32, _: i32, _: u32, _: u32, _: u32| {
        BAD_DESCRIPTOR
    })?;
    // What AssemblyScript calls before it traps.
    linker.func_wrap("env", "abort", |guest: Guest<'_>, _: u32, _: u32, line: u32, column: u32| -> Result<()> {
        guest.data().log(4, &format!("aborted at line {line}, column {column}"));
        Err(Exited(134).into())
    })?;
    Ok(())
}

fn number(result: std::result::Result<i32, Status>) -> i32 {
    result.unwrap_or(FAULT)
}

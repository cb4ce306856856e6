//! What `lfs` asks of the file system.

use mlua::{Lua, Result, Table, Value};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Names in a folder, at most.
const MOST: usize = 1 << 16;

type Outcome = (Option<bool>, Option<String>);

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("file_attributes", lua.create_function(attributes)?)?;
    native.raw_set("folder", lua.create_function(folder)?)?;
    native.raw_set("make_folder", lua.create_function(|_, path: String| Ok(done(fs::create_dir(path))))?)?;
    native.raw_set("remove_folder", lua.create_function(|_, path: String| Ok(done(fs::remove_dir(path))))?)?;
    let current = |_: &Lua, ()| Ok(std::env::current_dir().ok().map(|path| path.display().to_string()));
    native.raw_set("current_folder", lua.create_function(current)?)
}

fn done(outcome: std::io::Result<()>) -> Outcome {
    match outcome {
        Ok(()) => (Some(true), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

fn attributes(lua: &Lua, path: String) -> Result<(Value, Option<String>)> {
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(error) => return Ok((Value::Nil, Some(format!("cannot obtain information from file '{path}': {error}")))),
    };
    let kind = found.file_type();
    let mode = match kind {
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "file",
        kind if kind.is_fifo() => "named pipe",
        kind if kind.is_socket() => "socket",
        kind if kind.is_char_device() => "char device",
        kind if kind.is_block_device() => "block device",
        _ => "other",
    };
    let table = lua.create_table()?;
    table.raw_set("mode", mode)?;
    for (name, value) in [
        ("dev", found.dev() as i64),
        ("ino", found.ino() as i64),
        ("nlink", found.nlink() as i64),
        ("uid", found.uid().into()),
        ("gid", found.gid().into()),
        ("size", found.size() as i64),
        ("access", found.atime()),
        ("modification", found.mtime()),
        ("change", found.ctime()),
    ] {
        table.raw_set(name, value)?;
    }
    Ok((Value::Table(table), None))
}

fn folder(lua: &Lua, path: String) -> Result<(Value, Option<String>)> {
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) => return Ok((Value::Nil, Some(error.to_string()))),
    };
    let mut names = vec![".".to_owned(), "..".to_owned()];
    names.extend(entries.flatten().take(MOST).map(|entry| entry.file_name().to_string_lossy().into_owned()));
    Ok((Value::Table(lua.create_sequence_from(names)?), None))
}

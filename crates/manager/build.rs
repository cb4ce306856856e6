//! Puts the files under `ui/` into the program, compressed, and names them by what is in them: a browser keeps the
//! files of one build for good and never mixes those of two.

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("ui");
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    list(&folder, &mut files)?;
    files.sort();
    let (mut table, mut whole) = (String::from("pub const FILES: &[File] = &[\n"), Sha256::new());
    for (number, path) in files.iter().enumerate() {
        let content = fs::read(path)?;
        let name = path.strip_prefix(&folder).map_err(io::Error::other)?.display().to_string().replace('\\', "/");
        whole.update(name.as_bytes());
        whole.update(&content);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        let compressed = out.join(format!("{number}.gz"));
        fs::write(&compressed, encoder.finish()?)?;
        let (kind, plain) = (kind(&name)?, path.display().to_string());
        let gzip = compressed.display().to_string();
        table.push_str(&format!(
            "    File {{ name: {name:?}, kind: {kind:?}, plain: include_bytes!({plain:?}), \
             gzip: include_bytes!({gzip:?}) }},\n"
        ));
    }
    let hash = whole.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    table.push_str(&format!("];\n/// Names this build of the files.\npub const BUILD: &str = {hash:?};\n"));
    fs::write(out.join("files.rs"), table)
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(io::Error::other)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn kind(name: &str) -> io::Result<&'static str> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(io::Error::other(format!("{name}: no media type is known for it"))),
    }
}

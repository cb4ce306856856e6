//! How `bascule reload` hands settings to a running node and learns what became of them.
//!
//! The command leaves the settings in a file with a number and sends SIGHUP. The node takes them, or has a successor
//! begin with them ([`super::succession`]), or refuses them and goes on with the old ones, and leaves its answer under
//! that number. It alone decides which settings are kept for the next command. A SIGHUP without such a file takes anew
//! what the settings name.

use super::instance::Running;
use super::prefix::write_private;
use crate::settings::Settings;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The new settings, until the node has taken or refused them.
const REQUEST: &str = ".kong_env.reload";
const ANSWER: &str = "pids/reload.json";
const LOCK: &str = "pids/reload.lock";
/// What the first line of a request begins with; its number follows.
const NUMBER: &str = "# reload ";
/// What the second line begins with where the command is of another program than the node; the program follows.
const PROGRAM: &str = "# program ";

/// How long the node may take to answer. It reads some files; this is for when it cannot.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its answer is looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// Settings that a command has left for this node.
pub struct Request {
    prefix: PathBuf,
    number: String,
    /// The program that is to go on, if it is not the one that runs.
    pub program: Option<PathBuf>,
}

/// Has a running node take settings; what it warns of, or why it refuses them.
pub fn request(node: &Running, settings: &Settings, text: &str) -> Result<Vec<String>, String> {
    let failed = |path: &Path, e: std::io::Error| format!("cannot write {}: {e}", path.display());
    let (file, lock) = (settings.path(REQUEST), settings.path(LOCK));
    // Two commands at a time would take each other's answers. The lock ends with the process.
    let lock_file: File =
        OpenOptions::new().create(true).write(true).truncate(false).open(&lock).map_err(|e| failed(&lock, e))?;
    fcntl_lock(&lock_file, FlockOperation::LockExclusive).map_err(|e| failed(&lock, e.into()))?;
    // Another command may have had a successor begin meanwhile.
    let succeeded = Running::find(&settings.prefix);
    let node = succeeded.as_ref().unwrap_or(node);
    let number = uuid::Uuid::new_v4().to_string();
    let program = other_program(node).map(|program| format!("{PROGRAM}{}\n", program.display())).unwrap_or_default();
    write_private(&file, &format!("{NUMBER}{number}\n{program}{text}")).map_err(|e| failed(&file, e))?;
    let answer = node
        .signal(Signal::HUP)
        .map_err(|e| format!("cannot reach process {}: {e}", node.pid))
        .and_then(|()| wait(node, settings, &number));
    // The node has taken it away when it has answered; otherwise nobody is to take it later.
    let _ = std::fs::remove_file(&file);
    answer
}

/// This program, if the node runs another one: another file, or what was in its place before.
fn other_program(node: &Running) -> Option<PathBuf> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = std::env::current_exe().ok()?;
    let theirs = identity(Path::new(&format!("/proc/{}/exe", node.pid)))?;
    (identity(&own)? != theirs).then_some(own)
}

fn wait(node: &Running, settings: &Settings, number: &str) -> Result<Vec<String>, String> {
    let end = Instant::now() + PATIENCE;
    let texts = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut has_ended = false;
    loop {
        let answer = std::fs::read(settings.path(ANSWER)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(answer) = answer.filter(|answer: &Value| answer["number"] == number) {
            let errors = texts(&answer["errors"]);
            return if errors.is_empty() { Ok(texts(&answer["warnings"])) } else { Err(refusal(&errors)) };
        }
        if has_ended {
            return Err(format!("the node (process {}) ended without taking the new settings", node.pid));
        }
        // One that has answered may end at once.
        has_ended = node.wait(INTERVAL).map_err(|e| format!("cannot watch process {}: {e}", node.pid))?;
        if Instant::now() > end {
            let seconds = PATIENCE.as_secs();
            return Err(format!("the node (process {}) has not answered for {seconds} seconds; see its log", node.pid));
        }
    }
}

fn refusal(errors: &[String]) -> String {
    format!("the node refuses the new settings and goes on with the old ones:\n  {}", errors.join("\n  "))
}

impl Request {
    /// What has been left in a prefix.
    pub fn find(prefix: &Path) -> Option<Request> {
        let text = std::fs::read_to_string(prefix.join(REQUEST)).ok()?;
        let mut lines = text.lines();
        let number = lines.next()?.strip_prefix(NUMBER)?.to_owned();
        let program = lines.next().and_then(|line| line.strip_prefix(PROGRAM)).map(PathBuf::from);
        Some(Request { prefix: prefix.to_owned(), number, program })
    }

    /// What was left when no node ran is for none.
    pub fn discard(prefix: &Path) {
        let _ = std::fs::remove_file(prefix.join(REQUEST));
    }

    /// Where the settings are.
    pub fn file(&self) -> PathBuf {
        self.prefix.join(REQUEST)
    }

    /// Tells the command that the settings are in force.
    pub fn accept(&self, warnings: &[String]) -> std::io::Result<()> {
        self.answer(json!({ "number": self.number, "warnings": warnings }))
    }

    /// Tells the command why the settings are not taken.
    pub fn refuse(&self, errors: &[String]) -> std::io::Result<()> {
        self.answer(json!({ "number": self.number, "errors": errors }))
    }

    fn answer(&self, answer: Value) -> std::io::Result<()> {
        let _ = std::fs::remove_file(self.prefix.join(REQUEST));
        write_private(&self.prefix.join(ANSWER), &answer.to_string())
    }
}

//! `file-log`: appends an entry for each request to a file, a line each.

use crate::log_entries::LogEntries;
use sdk::{
    BoxFuture, Bytes, Config, Deliver, Env, Exchange, Function, Phases, Plugin, PluginKind, Queue, Tasks, entities,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The plugin as the gateway knows it.
pub struct FileLog;

struct Instance {
    entries: LogEntries,
    queue: Queue,
}

/// How lines are written. Disks may be slow: that is for the threads that may block.
struct Delivery {
    file: Arc<LogFile>,
    tasks: Tasks,
}

struct LogFile {
    path: PathBuf,
    /// The file is opened for each batch, so that one that was moved away is made again.
    reopen: bool,
    file: Mutex<Option<File>>,
}

impl PluginKind for FileLog {
    fn name(&self) -> &'static str {
        "file-log"
    }

    fn priority(&self) -> i32 {
        9
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[LogEntries::IS_CODE]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let path = PathBuf::from(config.text("path").ok_or("config.path: missing")?);
        let reopen = config.flag("reopen");
        let key = format!("{reopen} {}", path.display());
        let queue = Queue::open(env, plugin, &key, LogEntries::queue_settings(), || {
            let file = Arc::new(LogFile { path, reopen, file: Mutex::default() });
            Arc::new(Delivery { file, tasks: env.tasks().clone() })
        });
        Ok(Box::new(Instance { entries: LogEntries::of(config, env)?, queue }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        LogEntries::PHASES
    }

    fn degraded(&self) -> Option<String> {
        self.entries.degraded()
    }

    fn log(&self, exchange: &mut Exchange) {
        let mut entry = self.entries.write(exchange);
        entry.push(b'\n');
        self.queue.put(entry);
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let (file, lines) = (Arc::clone(&self.file), batch.concat());
            let written = self
                .tasks
                .blocking(move || file.append(&lines))
                .await
                .unwrap_or_else(|| Err(io::Error::other("interrupted")));
            written.map_err(|error| format!("{}: {error}", self.file.path.display()))
        })
    }
}

impl LogFile {
    /// Appends whole lines in one go: others may write to the same file.
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match kept.take().filter(|_| !self.reopen) {
            Some(file) => file,
            None => OpenOptions::new().create(true).append(true).mode(0o644).open(&self.path)?,
        };
        file.write_all(lines)?;
        *kept = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};
    use std::time::Duration;

    /// Writes entries, and the end of the node.
    async fn log(config: Value, targets: &[&str]) {
        let env = Env::default();
        let plugin = testing::configure(&FileLog, config, &env);
        for target in targets {
            testing::respond(&*plugin, &mut testing::exchange("GET", target, &[]), 200, &[], &[]);
        }
        env.tasks().drain(Duration::from_secs(30)).await;
    }

    #[tokio::test]
    async fn lines_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        log(json!({ "path": path }), &["/a", "/b"]).await;
        log(json!({ "path": path, "reopen": true }), &["/c"]).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n'));
        let uri = |line: &str| serde_json::from_str::<Value>(line).unwrap()["request"]["uri"].clone();
        assert_eq!(text.lines().map(uri).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again_with_reopen() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        for reopen in [false, true] {
            let log = LogFile { path: path.clone(), reopen, file: Mutex::default() };
            log.append(b"one\n").unwrap();
            std::fs::rename(&path, &moved).unwrap();
            log.append(b"two\n").unwrap();
            assert_eq!(path.exists(), reopen);
            assert_eq!(std::fs::read_to_string(&moved).unwrap(), if reopen { "one\n" } else { "one\ntwo\n" });
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_named() {
        let file = LogFile { path: PathBuf::from("/no/such/a.log"), reopen: false, file: Mutex::default() };
        let delivery = Delivery { file: Arc::new(file), tasks: Tasks::default() };
        let told = delivery.deliver(&[Bytes::from_static(b"{}\n")]).await.unwrap_err();
        assert!(told.starts_with("/no/such/a.log: "), "{told}");
    }
}

//! The one node that may run in a prefix: how it claims the prefix, and how commands find it, signal it and wait for
//! its end.
//!
//! The claim is a lock on the file with the process id. The system releases it when the process ends, however it
//! ends, so that a file left behind never passes for a running node.

use crate::program::Program;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{
    Flock, FlockOffsetType, FlockType, PidfdFlags, Signal, fcntl_getlk, pidfd_open, pidfd_send_signal,
};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PID_FILE: &str = "pids/bascule.pid";
/// The same number where scripts that are written for Kong look for it.
const KONG_PID_FILE: &str = "pids/nginx.pid";
const ADDRESSES_FILE: &str = "pids/bascule.json";

/// The right to be the node of a prefix; given up when dropped or when the process ends.
pub struct Claim {
    prefix: PathBuf,
    /// Holds the lock; opening the file a second time in this process would release it.
    file: File,
    held: Cell<bool>,
}

/// A running node, as another process sees it.
pub struct Running {
    pub pid: u32,
    process: OwnedFd,
}

/// Where a node listens, with the ports that the system chose.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub proxy: Vec<SocketAddr>,
    pub proxy_tls: Vec<SocketAddr>,
    pub quic: Vec<SocketAddr>,
    /// In the order of `stream_listen`.
    pub stream: Vec<SocketAddr>,
    pub admin: Vec<SocketAddr>,
    pub status: Vec<SocketAddr>,
    pub manager: Vec<SocketAddr>,
    /// Sockets in the file system, of all interfaces, as settings name them.
    pub local: Vec<String>,
}

impl Claim {
    /// Claims a prefix whose directories exist; fails when a node runs there.
    pub fn take(prefix: &Path) -> Result<Claim, String> {
        let claim = Claim::prepare(prefix)?;
        claim.hold().map(|()| claim)
    }

    /// What can become a claim with [`Claim::hold`].
    pub fn prepare(prefix: &Path) -> Result<Claim, String> {
        let path = prefix.join(PID_FILE);
        let opened = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let file = opened.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(Claim { prefix: prefix.to_owned(), file, held: Cell::new(false) })
    }

    /// Makes this process the node of the prefix; fails when another one is.
    pub fn hold(&self) -> Result<(), String> {
        if fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!("{} is already running in {}", Program::current(), self.prefix.display()));
        }
        self.held.set(true);
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(own_pid().as_bytes(), 0));
        written.map_err(|e| format!("cannot write {}: {e}", self.prefix.join(PID_FILE).display()))
    }

    /// Leaves the prefix, with the files in it, to the process that takes this one's place.
    pub fn cede(&self) {
        self.held.set(false);
        // Fails for no lock that is held.
        let _ = fcntl_lock(&self.file, FlockOperation::Unlock);
    }

    /// Leaves word where the node listens.
    pub fn announce(&self, addresses: &Addresses) -> io::Result<()> {
        let text = |list: &[SocketAddr]| list.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
        let body = serde_json::json!({
            "pid": std::process::id(),
            "proxy": text(&addresses.proxy),
            "proxy_tls": text(&addresses.proxy_tls),
            "quic": text(&addresses.quic),
            "stream": text(&addresses.stream),
            "admin": text(&addresses.admin),
            "status": text(&addresses.status),
            "manager": text(&addresses.manager),
            "local": addresses.local,
        });
        std::fs::write(self.prefix.join(ADDRESSES_FILE), body.to_string())?;
        // Not before the ports are ours: until then it may be that of a Kong which runs here.
        std::fs::write(self.prefix.join(KONG_PID_FILE), own_pid())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.held.get() {
            return;
        }
        let kong_pid = self.prefix.join(KONG_PID_FILE);
        if std::fs::read_to_string(&kong_pid).is_ok_and(|pid| pid == own_pid()) {
            let _ = std::fs::remove_file(kong_pid);
        }
        for name in [ADDRESSES_FILE, PID_FILE] {
            // A file that stays is harmless: nobody holds its lock.
            let _ = std::fs::remove_file(self.prefix.join(name));
        }
    }
}

/// As files have it.
fn own_pid() -> String {
    format!("{}\n", std::process::id())
}

impl Running {
    /// The node of a prefix, if one runs.
    pub fn find(prefix: &Path) -> Option<Running> {
        let file = File::open(prefix.join(PID_FILE)).ok()?;
        let probe =
            Flock { start: 0, length: 0, pid: None, typ: FlockType::WriteLock, offset_type: FlockOffsetType::Set };
        let pid = fcntl_getlk(&file, &probe).ok()??.pid?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Running { pid: pid.as_raw_nonzero().get().unsigned_abs(), process })
    }

    /// Sends a signal; to this very process, never to one that has got its number since.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.process, signal)?)
    }

    /// Waits until the process has ended; whether it has.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let time = left.try_into().unwrap_or(rustix::event::Timespec { tv_sec: 3600, tv_nsec: 0 });
            match poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&time)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Addresses {
    /// For people.
    pub fn describe(&self) -> String {
        let text = |list: &[SocketAddr]| list.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ");
        let interfaces = [
            ("proxy", &self.proxy),
            ("proxy (TLS)", &self.proxy_tls),
            ("proxy (HTTP/3)", &self.quic),
            ("streams", &self.stream),
            ("Admin API", &self.admin),
            ("Status API", &self.status),
            ("manager", &self.manager),
        ];
        let open = interfaces.iter().filter(|(_, list)| !list.is_empty());
        let open = open.map(|(name, list)| format!("{name} on {}", text(list)));
        open.chain(self.local.iter().cloned()).collect::<Vec<_>>().join(", ")
    }

    /// Where the node of a prefix listens.
    pub fn of(prefix: &Path) -> Option<Addresses> {
        let body: serde_json::Value = serde_json::from_slice(&std::fs::read(prefix.join(ADDRESSES_FILE)).ok()?).ok()?;
        let list =
            |name: &str| body[name].as_array().into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok()).collect();
        Some(Addresses {
            proxy: list("proxy"),
            proxy_tls: list("proxy_tls"),
            quic: list("quic"),
            stream: list("stream"),
            admin: list("admin"),
            status: list("status"),
            manager: list("manager"),
            local: body["local"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|a| Some(a.as_str()?.to_owned()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_left_behind_is_no_node() {
        let prefix = tempfile::tempdir().unwrap();
        assert!(Running::find(prefix.path()).is_none());
        std::fs::create_dir(prefix.path().join("pids")).unwrap();
        std::fs::write(prefix.path().join(PID_FILE), "1\n").unwrap();
        assert!(Running::find(prefix.path()).is_none());
        let claim = Claim::take(prefix.path()).unwrap();
        assert_eq!(std::fs::read_to_string(prefix.path().join(PID_FILE)).unwrap(), format!("{}\n", std::process::id()));
        drop(claim);
        assert!(!prefix.path().join(PID_FILE).exists());
    }

    #[test]
    fn who_cedes_a_prefix_leaves_its_files() {
        let prefix = tempfile::tempdir().unwrap();
        std::fs::create_dir(prefix.path().join("pids")).unwrap();
        let claim = Claim::take(prefix.path()).unwrap();
        claim.announce(&Addresses::default()).unwrap();
        claim.cede();
        drop(claim);
        assert!(prefix.path().join(PID_FILE).exists());
        assert!(Addresses::of(prefix.path()).is_some());
    }

    #[test]
    fn addresses_are_read_back() {
        let prefix = tempfile::tempdir().unwrap();
        std::fs::create_dir(prefix.path().join("pids")).unwrap();
        let claim = Claim::take(prefix.path()).unwrap();
        let admin: Vec<SocketAddr> = vec!["127.0.0.1:8001".parse().unwrap(), "[::1]:8001".parse().unwrap()];
        claim.announce(&Addresses { admin: admin.clone(), ..Addresses::default() }).unwrap();
        assert_eq!(Addresses::of(prefix.path()).unwrap().admin, admin);
        assert_eq!(std::fs::read_to_string(prefix.path().join(KONG_PID_FILE)).unwrap(), own_pid());
        drop(claim);
        assert!(!prefix.path().join(KONG_PID_FILE).exists());
    }
}

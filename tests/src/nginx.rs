//! nginx, as the measure of what users are used to.

use crate::eventually;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running nginx.
pub struct Nginx {
    pub address: SocketAddr,
    pub version: String,
    process: Child,
    prefix: TempDir,
}

impl Nginx {
    /// `configuration` gets its folder and where it shall listen, and says the whole of `nginx.conf`.
    pub fn start(configuration: impl Fn(&str, SocketAddr) -> String) -> Nginx {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let program = program.expect("nginx is needed (Debian package nginx-light; `cargo xtask test` installs it)");
        let version = Command::new(program).arg("-v").output().expect("it can be run").stderr;
        let version = String::from_utf8_lossy(&version).trim().rsplit('/').next().unwrap_or_default().to_owned();
        let prefix = TempDir::new().expect("a directory");
        let folder = prefix.path().display().to_string();
        // It cannot choose a free port itself: one that was free a moment ago is taken, and another one when it was
        // not. It has its port once it has written its number, and nobody else's is disturbed by trying.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
            std::fs::write(prefix.path().join("nginx.conf"), configuration(&folder, address)).expect("a file");
            let mut process = Command::new(program)
                .args(["-c", &format!("{folder}/nginx.conf"), "-p", &folder])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it can be run");
            let mut ended = false;
            eventually("nginx listens", || {
                ended = process.try_wait().expect("it was started").is_some();
                ended || prefix.path().join("pid").exists()
            });
            if !ended {
                return Nginx { address, version, process, prefix };
            }
        }
        panic!(
            "nginx does not start: {}",
            std::fs::read_to_string(prefix.path().join("error.log")).unwrap_or_default()
        );
    }

    /// Its folder.
    pub fn prefix(&self) -> &Path {
        self.prefix.path()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

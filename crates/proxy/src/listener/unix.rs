//! Listening sockets in the file system.

use rustix::fs::{Mode, chmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Who may connect to a socket, beyond what its directory says: everybody, as with nginx.
pub(super) const EVERYBODY: Mode = Mode::from_raw_mode(0o666);
/// Only the user and the group of the node.
pub(super) const GROUP: Mode = Mode::from_raw_mode(0o660);

/// Binds a path at which nobody listens. What a process has left there that has ended is taken away.
pub(super) fn bind(path: &Path, mode: Mode) -> io::Result<Socket> {
    let failed =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on unix:{}: {error}", path.display()));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    let address = SockAddr::unix(path).map_err(failed)?;
    remove_stale(path, &address).map_err(failed)?;
    socket.bind(&address).map_err(failed)?;
    chmod(path, mode).map_err(|error| failed(error.into()))?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket)
}

/// Takes a socket away whose process has ended.
pub(super) fn remove(path: &Path) {
    // It may be gone, with its directory.
    let _ = std::fs::remove_file(path);
}

fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else than a socket")),
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Somebody listens, whether or not there is room for another connection.
        Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "it is in use by another process")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "it is in use by another process"))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_a_process_has_left_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let first = bind(&path, GROUP).unwrap();
        first.listen(1).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let error = bind(&path, EVERYBODY).unwrap_err().to_string();
        assert!(error.ends_with("it is in use by another process"), "{error}");
        drop(first);
        let second = bind(&path, EVERYBODY).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(bind(&path, EVERYBODY).unwrap_err().to_string().contains("something else than a socket"));
        assert!(path.exists());
    }
}

//! Whose fault it is that a connection cannot be made.

use rustix::io::Errno;
use std::io;

/// Whether this process or machine lacks something (descriptors, memory, ports of its own), so that the error says
/// nothing about the other side.
pub fn is_local_fault(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}

/// The error of a process that has as many descriptors as it may have for this.
pub fn out_of_descriptors() -> io::Error {
    Errno::MFILE.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_not_blamed_for_what_is_missing_here() {
        assert!(is_local_fault(&out_of_descriptors()));
        for errno in [Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert!(is_local_fault(&errno.into()), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::TIMEDOUT] {
            assert!(!is_local_fault(&errno.into()), "{errno}");
        }
        assert!(!is_local_fault(&io::Error::other("x")));
    }
}

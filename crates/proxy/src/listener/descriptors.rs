//! How many descriptors connections may take: new clients are refused first, then connections to services, so that
//! requests under way can be finished, and the Admin API, the Status API, logs and the database have what they need.
//!
//! The system gives out the lowest number that is free, so that a socket's own number says how many descriptors are
//! open: nothing has to be counted.

use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use tokio::net::TcpSocket;
use wire::net::out_of_descriptors;

/// The shares of clients and services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    clients: u64,
    services: u64,
    reserve: u64,
}

/// The reserve at most, and at least unless there is hardly anything.
const RESERVE: (u64, u64) = (1024, 32);

impl Descriptors {
    /// The shares by the limit of this process.
    pub fn of_process() -> Descriptors {
        Descriptors::of(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// The shares where a process may have that many (RLIMIT_NOFILE).
    pub fn of(limit: u64) -> Descriptors {
        let reserve = (limit / 8).min(RESERVE.0).max(RESERVE.1.min(limit / 4));
        let services = limit - reserve;
        // Clients that were idle may all ask at once.
        Descriptors { clients: services - services / 8, services, reserve }
    }

    /// Whether a client's connection that was just accepted may stay.
    pub fn allow_client(&self, socket: &impl AsRawFd) -> bool {
        number(socket) < self.clients
    }

    /// Whether a new socket may become a connection to a service.
    pub fn allow_service(&self, socket: &impl AsRawFd) -> bool {
        number(socket) < self.services
    }

    /// A socket for a connection to a service, unless it would be one too many.
    pub(crate) fn service_socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.allow_service(&socket) { Ok(socket) } else { Err(out_of_descriptors()) }
    }

    /// How many are left to everything else.
    pub fn reserve(&self) -> usize {
        usize::try_from(self.reserve).unwrap_or(usize::MAX)
    }
}

fn number(socket: &impl AsRawFd) -> u64 {
    u64::try_from(socket.as_raw_fd()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_room_for_services_and_these_for_the_rest() {
        for limit in [0, 1, 20, 64, 256, 1024, 20_000, 1 << 20, u64::MAX] {
            let shares = Descriptors::of(limit);
            assert!(shares.clients <= shares.services, "{limit}");
            assert_eq!(shares.services + shares.reserve, limit, "{limit}");
            assert!(shares.reserve <= 1024, "{limit}");
        }
        assert_eq!(Descriptors::of(1024), Descriptors { clients: 784, services: 896, reserve: 128 });
        assert_eq!(Descriptors::of(64).reserve, 16);
    }

    #[test]
    fn a_descriptor_tells_how_many_are_open() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Descriptors::of(u64::MAX).allow_client(&file));
        let few = Descriptors { clients: number(&file), services: number(&file) + 1, reserve: 0 };
        assert!(!few.allow_client(&file));
        assert!(few.allow_service(&file));
    }
}

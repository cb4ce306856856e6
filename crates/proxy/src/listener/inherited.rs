//! Listening sockets on their way from one process of a node to the one that takes its place.

use super::{ListenAddress, unix};
use socket2::Socket;
use std::os::fd::OwnedFd;

/// The sockets of one address of a setting.
#[derive(Debug)]
pub struct Offer {
    /// The setting, and the address as it stands there: with port 0 it is not the one that is bound.
    pub name: String,
    pub sockets: Vec<OwnedFd>,
}

/// What a process has from its predecessor; nothing, unless there is one.
#[derive(Default, Debug)]
pub struct Inherited(Vec<Offer>);

impl Offer {
    /// The sockets of that address of a setting.
    pub fn new(setting: &str, address: &ListenAddress, sockets: Vec<OwnedFd>) -> Offer {
        Offer { name: name(setting, address), sockets }
    }
}

impl Inherited {
    /// Adds what was offered.
    pub fn put(&mut self, offer: Offer) {
        self.0.push(offer);
    }

    /// The sockets of that address of a setting, none where it is new; the next ones of the same name the next time.
    pub(crate) fn take(&mut self, setting: &str, address: &ListenAddress) -> Vec<Socket> {
        let name = name(setting, address);
        let found = self.0.iter().position(|offer| offer.name == name);
        let sockets = found.map(|at| self.0.remove(at).sockets).unwrap_or_default();
        sockets.into_iter().map(Socket::from).collect()
    }

    /// Lets go of what nobody has taken, since it is no longer in the settings.
    pub fn discard(self) {
        for offer in self.0 {
            if let Some((_, path)) = offer.name.split_once(" unix:") {
                unix::remove(path.as_ref());
            }
        }
    }
}

fn name(setting: &str, address: &ListenAddress) -> String {
    format!("{setting} {address}")
}

//! The listeners of the Admin API, the Status API and the manager.

use super::certificates::{Interface, InterfaceTls};
use crate::settings::Settings;
use admin::{Admin, Connections, Listener};
use proxy::listener::{Alone, Descriptors, Inherited, ListenAddress, Offer, listen_alone};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;
use wire::net::Incoming;

/// Sockets that are bound and, later, served.
pub struct Interfaces {
    sockets: Vec<Socket>,
    /// Servers that have not ended yet.
    serving: Arc<AtomicUsize>,
}

struct Socket {
    interface: Interface,
    /// As the settings have it.
    wanted: ListenAddress,
    address: ListenAddress,
    listener: Alone,
    tls: Option<InterfaceTls>,
    proxy_protocol: bool,
    http2: bool,
}

/// Connections to each interface at most, if the process may have many descriptors; the oldest idle ones make room.
const MAX_CONNECTIONS: usize = 4096;

/// What is to take the place of a socket's TLS.
pub struct RenewedTls<'a> {
    former: &'a InterfaceTls,
    new: InterfaceTls,
}

impl RenewedTls<'_> {
    /// Takes it into force.
    pub fn take(self) {
        self.former.renew(&self.new);
    }
}

impl Interfaces {
    /// Binds what the settings name and is not inherited, so that errors show before the node serves.
    pub async fn bind(settings: &Settings, inherited: &mut Inherited) -> Result<Interfaces, String> {
        let mut sockets = Vec::new();
        for (interface, listeners) in [
            (Interface::Admin, &settings.admin_listen),
            (Interface::Status, &settings.status_listen),
            (Interface::Manager, &settings.manager_listen),
        ] {
            let tls =
                if listeners.iter().any(|l| l.ssl) { Some(InterfaceTls::new(settings, interface)?) } else { None };
            // As in nginx, for all listeners of a server.
            let http2 = listeners.iter().any(|entry| entry.http2);
            for entry in listeners {
                let setting = interface.setting();
                let addresses = entry.addresses().map_err(|e| format!("{setting}: {}: {e}", entry.host))?;
                for wanted in addresses {
                    // Whatever the flags say: two nodes must not share an Admin API by accident.
                    let listener = match listen_alone((setting, &wanted), &entry.socket(), inherited) {
                        Ok(listener) => listener,
                        // Nobody asked for it: a node that serves is worth more.
                        Err(e) if interface == Interface::Manager && settings.manager_may_lack() => {
                            tracing::warn!("the manager is not served there: {e}; say where with {setting}, or off");
                            continue;
                        }
                        Err(e) => return Err(format!("{setting}: {e}")),
                    };
                    let address = listener.local_addr().map_err(|e| format!("{setting}: {e}"))?;
                    let address = address.map_or_else(|| wanted.clone(), ListenAddress::Ip);
                    sockets.push(Socket {
                        interface,
                        wanted,
                        address,
                        listener,
                        tls: if entry.ssl { tls.clone() } else { None },
                        proxy_protocol: entry.proxy_protocol,
                        http2,
                    });
                }
            }
        }
        Ok(Interfaces { sockets, serving: Arc::default() })
    }

    /// Serves all of them until `stopped` says so.
    pub fn serve(&self, tasks: &mut JoinSet<()>, admin: &Arc<Admin>, stopped: &watch::Receiver<bool>) {
        // Neither takes from the other, nor all from files and the database.
        let reserve = Descriptors::of_process().reserve();
        let connections = |share: usize| Arc::new(Connections::new(share.min(MAX_CONNECTIONS)));
        let (of_admin, of_status) = (connections(reserve / 2), connections(reserve / 4));
        let of_manager = connections(reserve / 8);
        for socket in &self.sockets {
            let listener = match socket.listener.try_clone().and_then(Incoming::try_from) {
                Ok(listener) => listener,
                Err(e) => {
                    tracing::error!("cannot serve {}: {e}", socket.address);
                    continue;
                }
            };
            let listener = Listener {
                socket: listener,
                tls: socket.tls.clone().map(|tls| Arc::new(tls) as Arc<dyn admin::Tls>),
                proxy_protocol: socket.proxy_protocol,
                http2: socket.http2,
            };
            let (admin, mut stopped) = (Arc::clone(admin), stopped.clone());
            let shutdown = async move {
                // An error means that the node is gone, which is an end too.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let (interface, connections) = match socket.interface {
                Interface::Status => (admin::Interface::Status, Arc::clone(&of_status)),
                Interface::Manager => (admin::Interface::Manager, Arc::clone(&of_manager)),
                _ => (admin::Interface::Admin, Arc::clone(&of_admin)),
            };
            let serving = Arc::clone(&self.serving);
            serving.fetch_add(1, Ordering::Relaxed);
            tasks.spawn(async move {
                let served = admin::serve(admin, interface, listener, connections, shutdown);
                served.instrument(interface.span()).await;
                serving.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// The listening sockets, for a process that takes this one's place.
    pub fn offer(&self) -> std::io::Result<Vec<Offer>> {
        let offer = |socket: &Socket| {
            let listener = socket.listener.try_clone()?;
            Ok(Offer::new(socket.interface.setting(), &socket.wanted, vec![listener.into()]))
        };
        self.sockets.iter().map(offer).collect()
    }

    /// TLS with the certificates that the settings name as they are now, to be taken when all else is in order.
    pub fn renewed_tls(&self, settings: &Settings) -> Result<Vec<RenewedTls<'_>>, String> {
        let sockets = self.sockets.iter().filter_map(|socket| Some((socket.interface, socket.tls.as_ref()?)));
        sockets
            .map(|(interface, former)| Ok(RenewedTls { former, new: InterfaceTls::new(settings, interface)? }))
            .collect()
    }

    /// Waits until the servers have ended, among other tasks that never do.
    pub async fn ended(&self, tasks: &mut JoinSet<()>) {
        while self.serving.load(Ordering::Relaxed) > 0 && tasks.join_next().await.is_some() {}
    }

    /// The sockets in the file system.
    pub fn local(&self) -> impl Iterator<Item = &ListenAddress> {
        self.sockets.iter().map(|socket| &socket.address).filter(|address| address.ip().is_none())
    }

    /// Takes away what stands for them in the file system: nobody accepts there any more.
    pub fn remove(&self) {
        for address in self.local() {
            if let ListenAddress::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// The addresses of the Admin API, those without TLS first.
    pub fn admin(&self) -> Vec<SocketAddr> {
        self.addresses(Interface::Admin)
    }

    /// The ports of the Admin API, without TLS and with it, by their schemes.
    pub fn admin_ports(&self) -> Vec<(&'static str, u16)> {
        self.ports(Interface::Admin)
    }

    /// The same of the manager.
    pub fn manager_ports(&self) -> Vec<(&'static str, u16)> {
        self.ports(Interface::Manager)
    }

    fn ports(&self, interface: Interface) -> Vec<(&'static str, u16)> {
        let of_interface = self.sockets.iter().filter(|socket| socket.interface == interface);
        let scheme = |socket: &Socket| if socket.tls.is_some() { "https" } else { "http" };
        of_interface.filter_map(|socket| Some((scheme(socket), socket.address.ip()?.port()))).collect()
    }

    /// The addresses of the Status API, those without TLS first.
    pub fn status(&self) -> Vec<SocketAddr> {
        self.addresses(Interface::Status)
    }

    /// The addresses of the manager, those without TLS first.
    pub fn manager(&self) -> Vec<SocketAddr> {
        self.addresses(Interface::Manager)
    }

    fn addresses(&self, interface: Interface) -> Vec<SocketAddr> {
        let mut sockets: Vec<&Socket> = self.sockets.iter().filter(|s| s.interface == interface).collect();
        sockets.sort_by_key(|s| s.tls.is_some());
        sockets.iter().filter_map(|s| s.address.ip()).collect()
    }
}

//! The certificate phase: code that runs while a client connects by TLS, and what it asks and decides there.

use super::Phase;
use super::owners::Owner;
use super::turn::Job;
use super::value::{number, text};
use super::vm::{Code, Vm, words};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, RegistryKey, Table, Value};
use sdk::certificates::certified_key_of_der;
use sdk::{CertificateDer, DistinguishedName, Handshake, PrivateKeyDer};
use std::cell::RefCell;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A handshake on loan to code; given back when this is dropped, with nothing decided unless it has ended well.
pub struct Loan<'h> {
    owner: &'h mut Handshake,
    lent: Rc<RefCell<Lent>>,
}

#[derive(Default)]
struct Lent {
    handshake: Handshake,
    /// The client is asked for a certificate, and told these names.
    asks: bool,
    names: Vec<DistinguishedName>,
    /// What it is to be shown, as far as code has said.
    chain: Option<Vec<CertificateDer<'static>>>,
    key: Option<PrivateKeyDer<'static>>,
    /// Code has taken away what it would be shown.
    is_cleared: bool,
    /// With what it has ended the phase (`ngx.exit`).
    exit: Option<i64>,
}

/// What the code of one handshake keeps (`kong.ctx`, `ngx.ctx`) until it is over.
struct Kept(RegistryKey);

/// Runs code of a configuration, which does not wait.
pub fn run_certificate(codes: &[Code], instance: u64, handshake: &mut Handshake) -> Result<(), String> {
    let mut run = || {
        let vm = Vm::of_thread()?;
        let (loan, job) = Loan::new(&vm, handshake, instance, None)?;
        let work = || codes.iter().try_for_each(|code| vm.call(code));
        let (_, ran) = vm.during(&job, None, None, work)?;
        loan.end(ran)
    };
    run().map_err(|error: Error| words(&error))
}

/// Runs the phase of a plugin, which may wait. `begin` starts it.
pub async fn run(
    handshake: &mut Handshake,
    instance: u64,
    plugin_id: String,
    begin: impl FnOnce(&Vm) -> mlua::Result<MultiValue>,
) -> mlua::Result<()> {
    let vm = Vm::of_thread()?;
    let (loan, job) = Loan::new(&vm, handshake, instance, Some(plugin_id))?;
    let (_, waits) = vm.turn(&job, None, None, || begin(&vm))?;
    let ran = match waits {
        Ok(waits) => vm.follow(&job, waits).await.map(drop),
        Err(error) => Err(error),
    };
    loan.end(ran)
}

impl Loan<'_> {
    /// Lends a handshake to the code of that instance, which runs in the job.
    pub fn new<'h>(
        vm: &Vm,
        owner: &'h mut Handshake,
        instance: u64,
        plugin_id: Option<String>,
    ) -> mlua::Result<(Loan<'h>, Job)> {
        let kept = match owner.kept.as_ref().and_then(|kept| kept.downcast_ref::<Kept>()) {
            Some(Kept(key)) => vm.lua.registry_value::<Table>(key)?,
            None => {
                let key = vm.new_context()?;
                let kept = vm.lua.registry_value(&key)?;
                owner.kept = Some(Rc::new(Kept(key)));
                kept
            }
        };
        let lent = Rc::new(RefCell::new(Lent { handshake: mem::take(owner), ..Lent::default() }));
        let asked = Rc::clone(&lent);
        let host = vm.lua.create_function(move |lua, (name, given): (String, MultiValue)| {
            asked.borrow_mut().answer(lua, &name, &given)
        })?;
        let job = Job {
            phase: Phase::Certificate,
            instance,
            is_plugin: plugin_id.is_some(),
            may_wait: plugin_id.is_some(),
            plugin_id,
            plugin: None,
            context: Some(vm.lua.create_registry_value(kept)?),
            host: Some(host),
            owner: Some(Owner::new()),
        };
        Ok((Loan { owner, lent }, job))
    }

    /// Gives the handshake back, with what code has decided.
    pub fn end(self, ran: mlua::Result<()>) -> mlua::Result<()> {
        let mut lent = self.lent.borrow_mut();
        let Lent { handshake, asks, names, chain, key, is_cleared, exit } = &mut *lent;
        let (chain, key, names) = (chain.take(), key.take(), mem::take(names));
        match exit {
            Some(0) => {}
            Some(_) => return Err(Error::runtime("the code has ended the handshake")),
            None => ran?,
        }
        match (chain, key) {
            (Some(chain), Some(key)) => {
                handshake.certificate = Some(certified_key_of_der(chain, &key).map_err(Error::runtime)?);
            }
            (None, None) if *is_cleared => {
                return Err(Error::runtime("the certificate was taken away, and no other one set"));
            }
            (None, None) => {}
            _ => return Err(Error::runtime("a certificate and its private key are to be set together")),
        }
        if *asks {
            handshake.request.get_or_insert_default().extend(names);
        }
        Ok(())
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        *self.owner = mem::take(&mut self.lent.borrow_mut().handshake);
    }
}

impl Lent {
    /// What code asks of a handshake, by the names that it has for requests and by some of its own.
    fn answer(&mut self, lua: &Lua, name: &str, given: &MultiValue) -> mlua::Result<MultiValue> {
        let Handshake { server_name, peer, local, .. } = &self.handshake;
        match name {
            "client.get_ip" | "client.get_forwarded_ip" => peer.ip().to_canonical().to_string().into_lua_multi(lua),
            "client.get_port" | "client.get_forwarded_port" => peer.port().into_lua_multi(lua),
            "request.get_port" => local.port().into_lua_multi(lua),
            "ngx.var" => {
                let variable = given.front().and_then(text).unwrap_or_default();
                self.variable(&variable).into_lua_multi(lua)
            }
            "ngx.exit" => {
                self.exit = given.front().and_then(number).map(|code| code as i64);
                Ok(MultiValue::new())
            }
            "ssl.server_name" => server_name.as_deref().into_lua_multi(lua),
            "ssl.raw_client_addr" => raw(lua, peer),
            "ssl.raw_server_addr" => raw(lua, local),
            "ssl.server_port" => local.port().into_lua_multi(lua),
            "ssl.clear_certs" => {
                (self.chain, self.key, self.is_cleared) = (None, None, true);
                true.into_lua_multi(lua)
            }
            "ssl.set_cert" => {
                self.chain = Some(listed(given)?.into_iter().map(CertificateDer::from).collect());
                true.into_lua_multi(lua)
            }
            "ssl.set_priv_key" => {
                let octets = given.front().and_then(text).unwrap_or_default();
                match PrivateKeyDer::try_from(octets) {
                    Ok(key) => {
                        self.key = Some(key);
                        true.into_lua_multi(lua)
                    }
                    Err(_) => (Value::Nil, "d2i_PrivateKey_bio() failed").into_lua_multi(lua),
                }
            }
            "tls.request_client_certificate" => {
                self.asks = true;
                true.into_lua_multi(lua)
            }
            "tls.set_client_ca_list" => {
                let names = listed(given)?.iter().map(|der| subject(der)).collect::<Result<_, String>>();
                self.names = names.map_err(Error::runtime)?;
                true.into_lua_multi(lua)
            }
            "tls.disable_session_reuse" => {
                self.handshake.resumes = false;
                true.into_lua_multi(lua)
            }
            "tls.disable_http2_alpn" => {
                self.handshake.http2 = false;
                true.into_lua_multi(lua)
            }
            // There is no request yet of which something could be known.
            "client.get_consumer"
            | "client.get_credential"
            | "router.get_route"
            | "router.get_service"
            | "request.get_uri_captures"
            | "ngx.workspace" => Ok(MultiValue::new()),
            _ => Err(Error::runtime(format!("API disabled in the context of {}", Phase::Certificate.context()))),
        }
    }

    fn variable(&self, name: &[u8]) -> Option<String> {
        let Handshake { server_name, peer, local, .. } = &self.handshake;
        match name {
            b"remote_addr" | b"realip_remote_addr" => Some(peer.ip().to_canonical().to_string()),
            b"remote_port" | b"realip_remote_port" => Some(peer.port().to_string()),
            b"server_addr" => Some(local.ip().to_canonical().to_string()),
            b"server_port" => Some(local.port().to_string()),
            b"ssl_server_name" => server_name.as_deref().map(str::to_owned),
            b"scheme" => Some("https".to_owned()),
            b"https" => Some("on".to_owned()),
            b"pid" => Some(std::process::id().to_string()),
            _ => None,
        }
    }
}

/// The octets of an address, and of which kind it is.
fn raw(lua: &Lua, address: &SocketAddr) -> mlua::Result<MultiValue> {
    match address.ip().to_canonical() {
        IpAddr::V4(address) => (lua.create_string(address.octets())?, "inet").into_lua_multi(lua),
        IpAddr::V6(address) => (lua.create_string(address.octets())?, "inet6").into_lua_multi(lua),
    }
}

/// A list of certificates in DER.
fn listed(given: &MultiValue) -> mlua::Result<Vec<Vec<u8>>> {
    match given.front() {
        Some(Value::Table(list)) => {
            list.sequence_values::<mlua::LuaString>().map(|der| Ok(der?.as_bytes().to_vec())).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// The name of an authority.
fn subject(der: &[u8]) -> Result<DistinguishedName, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    Ok(DistinguishedName::from(certificate.subject().as_raw().to_vec()))
}

//! What plugins wait for: the worker goes on with something else meanwhile.

use super::turn::Waited;
use super::value::{number, text};
use super::{events, records, sockets, surroundings};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};
use sdk::LocalBoxFuture;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// Something that a coroutine waits for.
pub type Operation = LocalBoxFuture<'static, Waited>;

thread_local! {
    /// Coroutines that wait for another one of this worker.
    static PARKED: RefCell<HashMap<u64, oneshot::Sender<()>>> = RefCell::new(HashMap::new());
}

/// A place among those that wait, given up when this is dropped.
struct Place(u64);

/// Starts what a coroutine has asked for: itself, a name, arguments.
pub fn start(lua: &Lua, mut asked: MultiValue) -> Result<Operation> {
    // Those whose exchanges have ended meanwhile.
    lua.expire_registry_values();
    let coroutine = lua.create_registry_value(asked.pop_front().unwrap_or(Value::Nil))?;
    let name = asked.pop_front().and_then(|name| text(&name)).unwrap_or_default();
    let work = operation(lua, &String::from_utf8_lossy(&name), asked);
    Ok(Box::pin(async move { (coroutine, work.await) }))
}

/// Lets a coroutine go on that waits for this number; whether there was one.
pub fn wake(number: u64) -> bool {
    let waiting = PARKED.with_borrow_mut(|parked| parked.remove(&number));
    waiting.is_some_and(|waiting| waiting.send(()).is_ok())
}

pub fn operation(lua: &Lua, name: &str, arguments: MultiValue) -> LocalBoxFuture<'static, Result<MultiValue>> {
    match name {
        "sleep" => {
            let time = seconds(arguments.front());
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(MultiValue::new())
            })
        }
        "yield" => Box::pin(async {
            tokio::task::yield_now().await;
            Ok(MultiValue::new())
        }),
        "park" => {
            let number = arguments.front().and_then(number).unwrap_or_default() as u64;
            let limit = arguments.get(1).filter(|limit| !limit.is_nil()).map(|limit| seconds(Some(limit)));
            let (wake, woken) = oneshot::channel();
            PARKED.with_borrow_mut(|parked| parked.insert(number, wake));
            let place = Place(number);
            let lua = lua.clone();
            Box::pin(async move {
                let came = match limit {
                    None => woken.await.is_ok(),
                    Some(limit) => tokio::time::timeout(limit, woken).await.is_ok(),
                };
                drop(place);
                came.into_lua_multi(&lua)
            })
        }
        name if ["tcp.", "udp.", "client."].iter().any(|kind| name.starts_with(kind)) => {
            sockets::operation(lua, name, arguments)
        }
        "secret" => {
            let reference = arguments.front().and_then(text).unwrap_or_default();
            let (lua, reference) = (lua.clone(), String::from_utf8_lossy(&reference).into_owned());
            Box::pin(async move {
                let secret = surroundings::secret(reference).await;
                let seconds =
                    [secret.ttl, secret.neg_ttl, secret.resurrect_ttl].map(|time| time.map(|t| t.as_secs_f64()));
                let [ttl, neg_ttl, resurrect_ttl] = seconds;
                match secret.value {
                    Ok(value) => (value, Value::Nil, ttl, resurrect_ttl).into_lua_multi(&lua),
                    Err(why) => (Value::Nil, why, neg_ttl).into_lua_multi(&lua),
                }
            })
        }
        "dns" => {
            let name = arguments.front().and_then(text).unwrap_or_default();
            let port = arguments.get(1).and_then(number).unwrap_or_default() as u16;
            let (lua, name) = (lua.clone(), String::from_utf8_lossy(&name).into_owned());
            Box::pin(async move {
                match surroundings::addresses(name, port).await {
                    Ok(found) => described(&lua, &found)?.into_lua_multi(&lua),
                    Err(why) => (Value::Nil, why).into_lua_multi(&lua),
                }
            })
        }
        "broadcast" => events::broadcast(lua, &arguments),
        name if name.starts_with("db.") => records::operation(lua, name, arguments),
        other => {
            let words = format!("nothing waits for {other}");
            Box::pin(async move { Err(Error::runtime(words)) })
        }
    }
}

/// Addresses as code gets them.
fn described(lua: &Lua, found: &[SocketAddr]) -> Result<Vec<Table>> {
    let one = |address: &SocketAddr| {
        let table = lua.create_table()?;
        table.raw_set("address", address.ip().to_string())?;
        table.raw_set("port", address.port())?;
        Ok(table)
    };
    found.iter().map(one).collect()
}

/// A time that code gives in seconds.
pub fn seconds(value: Option<&Value>) -> Duration {
    const LONGEST: f64 = 86_400.0 * 365.0;
    let seconds = value.and_then(number).unwrap_or_default();
    Duration::from_secs_f64(if seconds.is_finite() { seconds.clamp(0.0, LONGEST) } else { 0.0 })
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = PARKED.try_with(|parked| parked.borrow_mut().remove(&self.0));
    }
}

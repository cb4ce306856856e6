//! Somebody who writes to the Admin API whatever comes to mind, and remembers what was taken.

use crate::random::Random;
use crate::records::Maker;
use blackbox::http::{Connection, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Collections with a schema of their own.
const ENTITIES: &[&str] = &[
    "services",
    "routes",
    "consumers",
    "upstreams",
    "plugins",
    "certificates",
    "snis",
    "ca_certificates",
    "vaults",
    "keys",
    "key-sets",
];
/// What belongs to another record: its collection, its schema, and whose it is.
const NESTED: &[(&str, &str, &str)] =
    &[("upstreams", "targets", "targets"), ("consumers", "key-auth", "keyauth_credentials")];

/// What is stored, as far as is known.
#[derive(Default)]
pub struct Stored {
    /// By path.
    records: BTreeMap<String, Value>,
    /// Whose change has not been answered.
    doubt: Option<String>,
    pub writes: u64,
    pub taken: u64,
}

/// Writes until it shall stop. Whatever it cannot be sure of, such as an answer that a dying node did not send, is not
/// remembered.
pub fn write(admin: SocketAddr, maker: &mut Maker, stored: &mut Stored, stop: &AtomicBool) -> Result<(), String> {
    let mut admin = Admin::new(admin);
    let Some(answer) = admin.ask("GET", "/", &Value::Null)? else { return Ok(()) };
    let available = answer.json()["plugins"]["available_on_server"].as_object().cloned().unwrap_or_default();
    let plugins: Vec<String> = available.keys().cloned().collect();
    let mut schemas = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        if step(&mut admin, maker, stored, &plugins, &mut schemas)?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// What is stored must be what was taken, also after the node was killed.
pub fn check(admin: SocketAddr, stored: &Stored) -> Result<(), String> {
    let mut admin = Admin::new(admin);
    for (path, record) in &stored.records {
        let answer = admin.insist("GET", path)?;
        if answer.status != 200 || answer.json() != *record {
            return Err(format!("{path} was {record:#} and is {} {}", answer.status, answer.text()));
        }
    }
    for entity in ENTITIES {
        let mut next = format!("/{entity}?size=1000");
        while !next.is_empty() {
            let page = admin.insist("GET", &next)?;
            if page.status != 200 {
                return Err(format!("GET {next}: {} {}", page.status, page.text()));
            }
            next = page.json()["next"].as_str().unwrap_or_default().to_owned();
        }
    }
    Ok(())
}

/// The same after a death in the middle of a write, of which nobody knows whether it was taken.
pub fn check_after_death(admin: SocketAddr, stored: &mut Stored) -> Result<(), String> {
    if let Some(id) = stored.doubt.take() {
        stored.records.retain(|path, record| !path.contains(&id) && !record.to_string().contains(&id));
    }
    check(admin, stored)
}

/// Takes away all that was stored, whatever it was, so that a node is as it was in the beginning.
pub fn clear(admin: SocketAddr, stored: &mut Stored) -> Result<(), String> {
    let mut admin = Admin::new(admin);
    let order = ["plugins", "snis", "routes", "services", "consumers", "upstreams", "certificates", "ca_certificates"];
    for entity in order.iter().chain(&["keys", "key-sets", "vaults"]) {
        loop {
            let page = admin.insist("GET", &format!("/{entity}"))?.json();
            let ids: Vec<_> = page["data"].as_array().into_iter().flatten().filter_map(|r| r["id"].as_str()).collect();
            if ids.is_empty() {
                break;
            }
            for id in ids {
                let path = format!("/{entity}/{id}");
                let answer = admin.insist("DELETE", &path)?;
                if answer.status != 204 {
                    return Err(format!("DELETE {path}: {} {}", answer.status, answer.text()));
                }
            }
        }
    }
    stored.records.clear();
    Ok(())
}

/// One write. `None`: the node has ended.
fn step(
    admin: &mut Admin,
    maker: &mut Maker,
    stored: &mut Stored,
    plugins: &[String],
    schemas: &mut BTreeMap<String, Value>,
) -> Result<Option<()>, String> {
    let known: Vec<String> = stored.records.keys().cloned().collect();
    let parent = |random: &mut Random, entity: &str| {
        let of: Vec<_> =
            known.iter().filter(|path| path.rsplit_once('/').is_some_and(|(c, _)| c == format!("/{entity}"))).collect();
        if of.is_empty() { None } else { Some(random.pick(&of).to_string()) }
    };
    if !known.is_empty() && maker.random.one_in(5) {
        let path = maker.random.pick(&known).clone();
        stored.doubt = path.rsplit('/').next().map(str::to_owned);
        let Some(answer) = admin.ask("DELETE", &path, &Value::Null)? else {
            return Err(format!("DELETE {path} is not answered"));
        };
        stored.doubt = None;
        if answer.status == 204 {
            // What belonged to it went with it.
            let id = path.rsplit('/').next().unwrap_or_default().to_owned();
            stored.records.retain(|other, record| *other != path && !record.to_string().contains(&id));
        }
        return Ok(Some(()));
    }
    let (collection, schema) = match maker.random.below(5) {
        0 => {
            let (owner, name, schema) = *maker.random.pick(NESTED);
            let Some(owner) = parent(&mut maker.random, owner) else { return Ok(Some(())) };
            (format!("{owner}/{name}"), schema.to_owned())
        }
        1 if !plugins.is_empty() => ("/plugins".to_owned(), format!("plugins/{}", maker.random.pick(plugins))),
        _ => {
            let entity = *maker.random.pick(ENTITIES);
            (format!("/{entity}"), entity.to_owned())
        }
    };
    if !schemas.contains_key(&schema) {
        let Some(answer) = admin.ask("GET", &format!("/schemas/{schema}"), &Value::Null)? else {
            return Ok(None);
        };
        schemas.insert(schema.clone(), answer.json());
    }
    let mut record = maker.record(&schemas[&schema], 0);
    if let Some(plugin) = schema.strip_prefix("plugins/") {
        record["name"] = json!(plugin);
        // Mostly on one route, so that the others go on.
        if !maker.random.one_in(10)
            && let Some(route) = parent(&mut maker.random, "routes")
        {
            record["route"] = json!({ "id": route.rsplit('/').next() });
        }
    }
    if collection == "/services" && maker.random.one_in(2) {
        let address = maker.services[maker.random.below(maker.services.len())];
        (record["host"], record["port"]) = (json!("127.0.0.1"), json!(address.port()));
    }
    if collection == "/routes"
        && let Some(service) = parent(&mut maker.random, "services")
    {
        record["service"] = json!({ "id": service.rsplit('/').next() });
    }
    let mine: Vec<_> = known.iter().filter(|p| p.rsplit_once('/').is_some_and(|(c, _)| c == collection)).collect();
    let (method, path) = match maker.random.below(4) {
        0 if !mine.is_empty() => ("PATCH", maker.random.pick(&mine).to_string()),
        1 if !mine.is_empty() && collection.matches('/').count() == 1 => ("PUT", maker.random.pick(&mine).to_string()),
        _ => ("POST", collection.clone()),
    };
    stored.writes += 1;
    stored.doubt = path.rsplit('/').next().filter(|_| method != "POST").map(str::to_owned);
    let Some(answer) = admin.ask(method, &path, &record)? else {
        return Err(format!("{method} {path} is not answered: {record:.2000}"));
    };
    stored.doubt = None;
    if !matches!(answer.status, 200 | 201) {
        return Ok(Some(()));
    }
    stored.taken += 1;
    let taken = answer.json();
    let Some(id) = taken["id"].as_str() else { return Err(format!("{method} {path}: no id: {}", answer.text())) };
    let path = format!("{collection}/{id}");
    // What was answered is stored, whether the node dies now or not. What ends by itself is not missed.
    if taken.get("ttl").is_none_or(Value::is_null) {
        stored.records.insert(path.clone(), taken.clone());
    } else {
        stored.records.remove(&path);
    }
    let Some(again) = admin.ask("GET", &path, &Value::Null)? else { return Ok(None) };
    if again.status != 200 || again.json() != taken {
        return Err(format!("{method} {path}: answered {taken:#} and is {} {}", again.status, again.text()));
    }
    Ok(Some(()))
}

/// A connection, made again when it has ended.
struct Admin {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Admin {
    fn new(address: SocketAddr) -> Admin {
        Admin { address, connection: None }
    }

    /// `None`: it does not answer.
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Option<Response>, String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers: &[(&str, &str)] = if body.is_null() { &[] } else { &[("Content-Type", "application/json")] };
        let Some(mut connection) = self.connection.take().or_else(|| Connection::open(self.address).ok()) else {
            return Ok(None);
        };
        if connection.send(method, path, headers, text.as_bytes()).is_err() {
            return Ok(None);
        }
        let Ok(answer) = connection.receive(method == "HEAD") else { return Ok(None) };
        if answer.status >= 500 {
            return Err(format!("{method} {path}: {} {}\n{text:.3000}", answer.status, answer.text()));
        }
        if answer.header("Connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(Some(answer))
    }

    /// What may be asked twice, when the connection has been idle for too long.
    fn insist(&mut self, method: &str, path: &str) -> Result<Response, String> {
        for _ in 0..2 {
            if let Some(answer) = self.ask(method, path, &Value::Null)? {
                return Ok(answer);
            }
        }
        Err(format!("{method} {path} is not answered"))
    }
}

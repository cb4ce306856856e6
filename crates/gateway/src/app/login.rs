//! Logging in to the manager by an authentication plugin: it sees a request to the Admin API as it would see one to a
//! service, and what it makes of it says who has sent it.

use super::preflight;
use crate::settings::LoginPlugin;
use admin::{Identity, LoginOutcome, LoginRequest};
use model::Catalog;
use sdk::entities::{self, Uuid};
use sdk::{Answer, Client, Directory, Env, Exchange, Phases, Plugin, RequestHead, Step, Timing};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// An instance of the plugin.
pub struct Login {
    plugin: Arc<dyn Plugin>,
    places: Arc<Semaphore>,
}

/// So many log in at once.
const MOST: usize = 32;
/// How long it may take to find out who somebody is.
const LIMIT: Duration = Duration::from_secs(30);

impl Login {
    /// The plugin with its configuration, which need not be enabled for requests to services.
    pub fn new(wanted: &LoginPlugin, env: &Env) -> Result<Login, String> {
        let invalid = |why: String| format!("admin_gui_auth_conf: {why}");
        let kind = preflight::bundled().find(|kind| kind.name() == wanted.name);
        let kind = kind.ok_or_else(|| format!("admin_gui_auth: there is no plugin {}", wanted.name))?;
        let mut catalog = Catalog::core();
        sdk::register(kind, &mut catalog)?;
        let schema = catalog.entity("plugins").cloned().ok_or_else(|| invalid("there are no plugins".to_owned()))?;
        let input = json!({ "name": wanted.name, "config": wanted.config });
        let input = input.as_object().cloned().unwrap_or_default();
        let record = schema.process_insert(&catalog, input).map_err(|error| invalid(error.message))?;
        let plugin = kind.configure(&entities::Plugin::from_record(&record)?, env).map_err(invalid)?;
        if let Some(why) = plugin.degraded() {
            tracing::warn!("admin_gui_auth_conf: {why}");
        }
        Ok(Login { plugin: plugin.into(), places: Arc::new(Semaphore::new(MOST)) })
    }

    /// Finds out who has sent a request.
    pub async fn identify(&self, request: LoginRequest) -> admin::Login {
        let unavailable = || admin::Login { outcome: LoginOutcome::Unavailable, cookies: Vec::new() };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!("too many administrators log in at once");
            return unavailable();
        };
        let (plugin, runtime) = (Arc::clone(&self.plugin), Handle::current());
        // What a plugin waits for belongs to one thread.
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            runtime.block_on(async { timeout(LIMIT, ask(&*plugin, request)).await })
        });
        match asked.await {
            Ok(Ok(login)) => login,
            Ok(Err(_)) => {
                tracing::error!("who logs in was not found out in {} seconds", LIMIT.as_secs());
                unavailable()
            }
            // It has panicked, which was logged.
            Err(_) => unavailable(),
        }
    }
}

/// Runs the phases in which the plugin finds out who calls, and tells the caller.
async fn ask(plugin: &dyn Plugin, request: LoginRequest) -> admin::Login {
    let mut exchange = exchange(&request);
    let answer = decided(plugin.access(&mut exchange)).await;
    if let Some(answer) = &answer {
        exchange.response.status = answer.status;
        exchange.response.fields = answer.fields.clone();
    }
    let filtered = match plugin.phases() {
        phases if phases.has(Phases::HEADER_FILTER_WAITS) => {
            plugin.header_filter_waiting(&mut exchange).settled().await
        }
        phases if phases.has(Phases::HEADER_FILTER) => {
            plugin.header_filter(&mut exchange);
            if exchange.filter_has_failed() { Err("the header filter has failed".to_owned()) } else { Ok(()) }
        }
        _ => Ok(()),
    };
    if let Err(why) = filtered {
        tracing::error!("who logs in cannot be told: {why}");
        return admin::Login { outcome: LoginOutcome::Unavailable, cookies: Vec::new() };
    }
    let lines = &exchange.response.fields;
    let cookies = lines.get_all("Set-Cookie").filter_map(|line| String::from_utf8(line.to_vec()).ok()).collect();
    let outcome = match answer.map(|answer| answer.status) {
        None => {
            let name = exchange.credential.as_ref().map(|credential| credential.key.to_string()).unwrap_or_default();
            let groups = exchange.authenticated_groups.take().unwrap_or_default();
            if name.is_empty() { LoginOutcome::Refused } else { LoginOutcome::Known(Identity { name, groups }) }
        }
        Some(300..400) => {
            let there = lines.get_str("Location").map(str::to_owned);
            there.map_or(LoginOutcome::Refused, LoginOutcome::Redirect)
        }
        Some(500..) => LoginOutcome::Unavailable,
        Some(_) => LoginOutcome::Refused,
    };
    admin::Login { outcome, cookies }
}

/// The answer of a phase, if it gives one.
async fn decided(step: Step<'_>) -> Option<Answer> {
    let mut step = step;
    while let Step::Wait(waits) = step {
        step = waits.await;
    }
    if let Step::Answer(answer) = step { Some(answer) } else { None }
}

/// The request as the plugin sees it.
fn exchange(request: &LoginRequest) -> Exchange {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = Client {
        peer: ip,
        peer_port: 0,
        ip,
        port: 0,
        trusted: false,
        https: false,
        local_ip: ip,
        local_port: 0,
        public_port: 0,
        tls: None,
        certificate: None,
        certificate_asked: false,
        connected: Instant::now(),
        connection: 0,
        request: 0,
        sni: None,
    };
    let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = RequestHead { target: request.target.clone(), fields, ..RequestHead::default() };
    let mut id = [0; 32];
    Uuid::new_v4().simple().encode_lower(&mut id);
    let started_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let timing = Timing { started: Instant::now(), started_unix_ms, upstream: None, proxy: None };
    let mut exchange = Exchange::new(id, client, request, timing, Directory::empty());
    exchange.upstream.path = exchange.request.path().to_owned();
    exchange.upstream.query = exchange.request.query().map(str::to_owned);
    exchange
}

//! The life of a node: build everything from the settings, serve, take signals, drain.
//!
//! The proxy's workers are threads of their own. Everything else (Admin API, store, compiling of snapshots, health
//! checks) runs on the control runtime, so that it never delays a request.

mod access_logs;
pub mod certificates;
pub mod database;
pub mod declarative;
mod expressions;
mod facts;
mod filters;
mod hooks;
pub mod instance;
mod interfaces;
mod live;
mod login;
#[cfg_attr(not(feature = "lua"), path = "no_lua.rs")]
mod lua;
#[cfg(feature = "lua")]
mod lua_vaults;
mod node;
mod passwords;
mod plane;
mod plugin_servers;
pub mod prefix;
pub mod preflight;
mod publisher;
mod read_once;
mod records;
mod references;
pub mod reload;
mod renewal;
mod request_debug;
mod signals;
pub mod succession;
mod trace;

pub use plane::peer_tls;

use crate::logging::{Destinations, Logging};
use crate::settings::{Settings, nginx};
use access_logs::AccessLogs;
use database::Database;
use instance::{Addresses, Claim};
use interfaces::{Interfaces, RenewedTls};
use login::Login;
use node::{RunningNode, Served};
use plane::Plane;
use proxy::listener::Inherited;
use proxy::log_writer::Destination;
use publisher::{Progress, Publisher};
use read_once::ReadOnce;
use references::References;
use sdk::PluginKind;
use sdk::certificates::Stapler;
use signals::{Request, Signals};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use succession::{Manner, Predecessor};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The version of Kong whose behaviour this is.
pub const KONG_VERSION: &str = "3.10.0";

/// The SQLite database of a node, in its prefix.
pub const DATABASE: &str = "bascule.db";

/// How long requests may take to finish after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(5);
/// The same after SIGQUIT; whoever sends it decides how long to wait.
const QUIT_TIME: Duration = Duration::from_secs(3600);
/// How long what is cut off may take to end.
const CUT_TIME: Duration = Duration::from_secs(1);
/// How long background tasks of plugins may take after that, to deliver what they have.
const FLUSH_TIME: Duration = Duration::from_secs(3);

/// Whether the node has somebody's terminal to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    Kept,
    Left,
}

/// How a process comes to be a node.
pub struct Launch {
    pub manner: Manner,
    /// The node whose place it takes.
    pub predecessor: Option<Predecessor>,
}

impl Launch {
    /// Of a process that is started by itself.
    pub fn alone(manner: Manner) -> Launch {
        Launch { manner, predecessor: None }
    }

    /// Whether this process is the one that its starter waits for, which it is as long as the node runs.
    fn is_awaited(&self) -> bool {
        match self.manner {
            Manner::Foreground => self.predecessor.is_none(),
            // Whoever ends with it ends with the process that has started it.
            Manner::Attended => true,
            Manner::Detached => false,
        }
    }

    fn console(&self) -> Console {
        if self.manner == Manner::Foreground { Console::Kept } else { Console::Left }
    }
}

/// Runs a node until a signal ends it; `ready` is called when it serves. The error is why it could not start.
pub fn run(settings: Settings, launch: &Launch, ready: impl FnOnce(&Addresses)) -> Result<(), String> {
    // Before anything else can take its place on disk.
    succession::program()?;
    preflight::check(&settings).map_err(|errors| errors.join("\n"))?;
    prefix::prepare(&settings)?;
    let claim = match launch.predecessor {
        Some(_) => Claim::prepare(&settings.prefix)?,
        None => {
            let claim = Claim::take(&settings.prefix)?;
            reload::Request::discard(&settings.prefix);
            keep(&settings)?;
            claim
        }
    };
    let error_logs = error_logs(&settings, launch.console());
    let logging = Logging::start(settings.text("log_level"), &error_logs)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let outcome = serve(settings, launch, logging.clone(), &claim, ready);
    logging.finish();
    drop(claim);
    outcome
}

/// Leaves the settings for commands that act on the node.
fn keep(settings: &Settings) -> Result<(), String> {
    let kept = settings.own_file();
    prefix::write_private(&kept, &settings.to_file()).map_err(|e| format!("cannot write {}: {e}", kept.display()))
}

/// Runs the node whose prefix has been claimed, or is to be when its predecessor gives the word.
fn serve(
    settings: Settings,
    launch: &Launch,
    logging: Logging,
    claim: &Claim,
    ready: impl FnOnce(&Addresses),
) -> Result<(), String> {
    signals::raise_file_limit(settings.injected.open_files()?);
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the control runtime: {e}"))?;
    let outcome = control.block_on(async {
        let mut signals = Signals::listen().map_err(|e| format!("cannot listen for signals: {e}"))?;
        let predecessor = launch.predecessor.as_ref();
        let mut inherited = predecessor.map_or_else(|| Ok(Inherited::default()), Predecessor::sockets)?;
        let mut node = Running::start(settings, logging, launch.console(), &mut inherited).await?;
        if let Some(predecessor) = predecessor {
            predecessor.await_word()?;
            claim.hold()?;
            node.catch_up().await;
            keep(&node.settings)?;
        }
        node.serve()?;
        let addresses = node.addresses();
        request_debug::keep(&node.settings, node.plane.debug_token());
        claim.announce(&addresses).map_err(|e| format!("cannot write to the prefix: {e}"))?;
        tracing::info!("started, {}", addresses.describe());
        ready(&addresses);
        if let Some(predecessor) = predecessor {
            predecessor.tell_serving();
            inherited.discard();
        }
        let (prefix, logging) = (node.settings.prefix.clone(), node.logging.clone());
        let is_succeeded = node.serve_until_told(&mut signals, claim, launch).await;
        if is_succeeded && launch.is_awaited() {
            return succession::attend(&prefix, &mut signals, &logging).await;
        }
        Ok(())
    });
    // Nothing that is left has anything to finish.
    control.shutdown_background();
    outcome
}

/// A node that serves.
struct Running {
    settings: Settings,
    /// Those that it was started with: what a reload does not renew is still theirs.
    started: Settings,
    read_once: ReadOnce,
    logging: Logging,
    access_logs: AccessLogs,
    store: Store,
    progress: watch::Receiver<Progress>,
    plane: Arc<Plane>,
    interfaces: Interfaces,
    admin: Arc<admin::Admin>,
    stop: watch::Sender<bool>,
    background: sdk::Tasks,
    tasks: tokio::task::JoinSet<()>,
    /// What only one process of a node may do at a time.
    alone: tokio::task::JoinSet<()>,
    /// What it was told while something else was under way.
    told: Option<Request>,
}

impl Running {
    /// Makes everything ready; nothing is accepted yet.
    async fn start(
        settings: Settings,
        logging: Logging,
        console: Console,
        inherited: &mut Inherited,
    ) -> Result<Running, String> {
        let read_once = ReadOnce::of(&settings);
        // The list lives as long as the process, as the plugins themselves do.
        let kinds: &'static [&'static dyn PluginKind] = preflight::enabled_plugins(&settings)?.leak();
        let id = prefix::node_id(&settings).map_err(|e| format!("cannot keep the node's id: {e}"))?;
        let catalog = Arc::new(preflight::catalog(&settings, kinds)?);
        let Database { store, mirror, kept } = database::start(&settings, catalog, id).await?;
        let env = sdk::Env::new(sdk::NodeInfo { id, ..sdk::NodeInfo::default() })
            .with_cache_size(settings.size("mem_cache_size")?)
            .with_log(logging.node_log());
        let env = lua::with_scripts(env);
        let background = env.tasks().clone();
        let env = env.with_records(records::of(store.clone(), &settings, background.clone()));
        let access_logs = AccessLogs::open(&settings, console)?;
        let control = Handle::current();
        let acting = filters::acting(&settings, kinds)?;
        let plane = Plane::bind(&settings, acting, env.clone(), control, &access_logs, inherited)?;
        let plane = Arc::new(plane);
        let interfaces = Interfaces::bind(&settings, inherited).await?;
        if kept.is_none() {
            prepare_access(&settings, &store).await?;
        }
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let env = env.with_network(plane.network().clone());
        access_logs.connect(&env)?;
        let login = settings.login.as_ref().map(|plugin| Login::new(plugin, &env)).transpose()?;
        lua::surround(&settings, &env, &names);
        filters::surround(&settings, &env, &names);
        let secrets = preflight::secrets(&settings, store.catalog(), env.clone())?;
        lua::open_vaults(&secrets);
        let stapler = Stapler::new(&env, plane::responder(&settings)?);
        let references = References::new(secrets.clone(), Arc::clone(store.catalog()));
        let publisher = Publisher::start(store.clone(), kept, Arc::clone(&plane), references, names).await?;
        let node = RunningNode::new(
            &settings,
            kinds,
            env,
            store.clone(),
            Arc::clone(&plane),
            publisher.progress(),
            logging.clone(),
        )?;
        let (of_admin, of_status) = (settings.injected.api(nginx::ADMIN)?, settings.injected.api(nginx::STATUS)?);
        let of_manager = settings.injected.api(nginx::MANAGER)?;
        let (limits, status_limits, site_limits) = (of_admin.limits, of_status.limits, of_manager.limits);
        let node = node.logging_in(login).serving(
            Served::new(of_admin, access_logs.admin.clone())?,
            Served::new(of_status, access_logs.status.clone())?,
            Served::new(of_manager, access_logs.manager.clone())?,
        );
        let site = manager::SiteOptions { api_ports: interfaces.admin_ports(), ..settings.site.clone() };
        let options = admin::Options {
            server_header: settings.headers.server,
            latency_header: settings.headers.admin_latency,
            max_content: settings
                .injected
                .api_max_body_size(nginx::ADMIN)
                .unwrap_or(admin::Options::default().max_content),
            limits,
            status_limits,
            site: Some(Arc::new(manager::Site::new(site)?)),
            site_limits,
            origins: settings.gui_origins.clone(),
            pages: interfaces.manager_ports(),
            hosts: settings.list("admin_allowed_hosts").to_vec(),
            dbless: settings.dbless(),
            access: settings.access.clone(),
            audit: settings.audit.clone(),
            event_hooks: settings.flag("event_hooks_enabled"),
            ..admin::Options::default()
        };
        let admin = Arc::new(admin::Admin::new(store.clone(), Arc::new(node), options));
        let (mut tasks, mut alone) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
        let progress = publisher.progress();
        tasks.spawn(publisher.run());
        tasks.spawn(secrets.run());
        tasks.spawn(publisher::remind(Arc::clone(&plane)));
        let stapled = Arc::clone(&plane);
        let all = settings.injected.flag(nginx::PROXY_SERVER, "ssl_stapling").unwrap_or_default();
        tasks.spawn(async move { stapled.staple(stapler, all).await });
        if let Some(mirror) = mirror {
            alone.spawn(mirror.run(store.clone()));
        }
        if settings.flag("event_hooks_enabled") && !settings.dbless() {
            let admin = Arc::clone(&admin);
            alone.spawn(async move { admin.watch_health().await });
        }
        let hearing = Arc::clone(&admin);
        tasks.spawn(async move { hearing.hear().await });
        let expiring = store.clone();
        alone.spawn(async move { expiring.run_expiry().await });
        tasks.spawn(logging.clone().run_reports());
        let started = settings.clone();
        Ok(Running {
            settings,
            started,
            read_once,
            logging,
            access_logs,
            store,
            progress,
            plane,
            interfaces,
            admin,
            stop: watch::Sender::new(false),
            background,
            tasks,
            alone,
            told: None,
        })
    }

    /// Takes in what the predecessor has written while this process made itself ready, so that what it has answered is
    /// in force. Postgres tells by itself.
    async fn catch_up(&mut self) {
        if self.settings.text("database") == "postgres" {
            return;
        }
        // With a transaction it is looked whether another process has written.
        let looked = self.store.transaction(|_| Ok::<_, model::Error>(())).await;
        if let Ok((revision, ())) = looked {
            let taken = self.progress.wait_for(|at| at.tried >= revision);
            let _ = tokio::time::timeout(node::PATIENCE, taken).await;
        }
    }

    /// Lets connections come in.
    fn serve(&mut self) -> Result<(), String> {
        plugin_servers::run(&self.settings, &self.background);
        self.serve_interfaces();
        self.plane.serve().map_err(|e| format!("cannot start the workers: {e}"))
    }

    fn serve_interfaces(&mut self) {
        self.stop.send_replace(false);
        self.interfaces.serve(&mut self.tasks, &self.admin, &self.stop.subscribe());
    }

    fn addresses(&self) -> Addresses {
        let (proxy, proxy_tls) = self.plane.addresses();
        let (stream, admin, status) = (self.plane.streams(), self.interfaces.admin(), self.interfaces.status());
        let local = self.plane.local().chain(self.interfaces.local()).map(ToString::to_string).collect();
        let (quic, manager) = (self.plane.quic(), self.interfaces.manager());
        Addresses { proxy, proxy_tls, quic, stream, admin, status, manager, local }
    }

    /// Takes signals until one of them ends the node or a successor serves, which is the result; then lets requests
    /// finish.
    async fn serve_until_told(mut self, signals: &mut Signals, claim: &Claim, launch: &Launch) -> bool {
        let patience = |node: &Running| node.settings.injected.shutdown_timeout().unwrap_or(QUIT_TIME);
        let mut successor = None;
        let time = loop {
            let request = match self.told.take() {
                Some(request) => request,
                None => signals.next().await,
            };
            match request {
                Request::Stop => break STOP_TIME,
                Request::Quit => break patience(&self),
                Request::Reload => successor = self.reload(signals, claim, launch).await,
                Request::Replace => successor = self.replace(signals, claim, launch).await,
                Request::Reopen => {}
            }
            if successor.is_some() {
                break patience(&self);
            }
            if matches!(request, Request::Reload | Request::Reopen) {
                self.access_logs.reopen();
                self.logging.reopen();
            }
        };
        tracing::info!("stopping, requests under way have up to {} seconds", time.as_secs());
        let (plane, leaves) = (Arc::clone(&self.plane), successor.is_some());
        let mut drained =
            tokio::task::spawn_blocking(move || if leaves { plane.leave(time) } else { plane.drain(time) });
        match &successor {
            Some(successor) => self.finish_beside(successor, drained, signals, launch).await,
            None => {
                let told_again = async {
                    // Only a request to end at once cuts a patient end short.
                    while signals.next().await != Request::Stop {}
                };
                tokio::select! {
                    _ = &mut drained => {}
                    () = told_again => self.cut_off(drained).await,
                }
            }
        }
        self.background.drain(FLUSH_TIME).await;
        // The Admin API goes last: until now it could be asked how things stand.
        self.stop.send_replace(true);
        self.interfaces.ended(&mut self.tasks).await;
        if successor.is_none() {
            self.interfaces.remove();
        }
        self.tasks.shutdown().await;
        self.alone.shutdown().await;
        self.access_logs.finish();
        lua::leave();
        tracing::info!("stopped");
        successor.is_some()
    }

    /// Waits no longer for requests under way.
    async fn cut_off(&self, drained: JoinHandle<()>) {
        tracing::warn!("stopping at once, requests under way are cut off");
        self.plane.cut_off();
        let _ = tokio::time::timeout(CUT_TIME, drained).await;
    }

    /// Takes settings into force that this process can take; what the operator should know of them, or why they cannot
    /// be taken.
    async fn take(&mut self, new: Settings) -> Result<Vec<String>, Vec<String>> {
        let configuration = match new.dbless() {
            true => declarative::blocking(&new, self.store.catalog()).await.map_err(|error| vec![error])?,
            false => None,
        };
        // The files may hold something else though the settings are the same.
        let interfaces = self.interfaces.renewed_tls(&new).map_err(|error| vec![error])?;
        if let Some(configuration) = configuration {
            let revision = declarative::load(&new, &self.store, configuration).await.map_err(|error| vec![error])?;
            // Who has the node reload is told when it serves the new one; a failure to is on `/status`.
            let served = self.progress.wait_for(|at| at.tried >= revision);
            let _ = tokio::time::timeout(node::PATIENCE, served).await;
        }
        self.plane.reload_tls(&new).map_err(|error| vec![error])?;
        interfaces.into_iter().for_each(RenewedTls::take);
        self.logging.configure(new.text("log_level"));
        let warnings = new.warnings.clone();
        self.settings = new;
        Ok(warnings)
    }
}

/// Sees to it that a database has the default roles, and an administrator where the settings have a password for one.
async fn prepare_access(settings: &Settings, store: &Store) -> Result<(), String> {
    if settings.dbless() {
        return Ok(());
    }
    let failed = |e| format!("cannot prepare the users of the Admin API: {e}");
    let users = admin::prepare_access(store, Some(settings.text("password"))).await.map_err(failed)?;
    if settings.access.enforcement.is_on() && !users {
        tracing::warn!(
            "nobody can use the Admin API: enforce_rbac is on and there is no user; start once with a 'password' \
            (KONG_PASSWORD) to have an administrator kong_admin"
        );
    }
    Ok(())
}

/// Where messages go.
fn error_logs(settings: &Settings, console: Console) -> Destinations {
    // What is no place was refused before.
    let of = |setting| match (console, prefix::error_log(settings, setting).ok().flatten()) {
        // Whoever started it has given it what is meant as its standard error, and waits for a word on its standard
        // output.
        (Console::Left, Some(Destination::Stdout)) | (_, None) => Destination::Stderr,
        (_, Some(destination)) => destination,
    };
    let on_console = console == Console::Kept && !settings.is_given("proxy_error_log");
    let node = if on_console { Destination::Stderr } else { of("proxy_error_log") };
    let own = |setting| settings.is_given(setting).then(|| of(setting));
    let admin = own("admin_error_log");
    let status = own("status_error_log").or_else(|| admin.clone());
    Destinations { node, admin, status, manager: own("admin_gui_error_log") }
}

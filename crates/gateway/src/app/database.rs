//! The database of a node: the one that the settings name, and what must be true of it before the node uses it.

use super::{DATABASE, certificates, declarative, passwords};
use crate::program::Program;
use crate::settings::Settings;
use model::{Catalog, Code, Error};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;
use store::backend::postgres::{Listed, Migrations, Neighbour, PasswordSource, Server, State, Tls};
use store::{Mirror, Store};
use uuid::Uuid;

/// Connections to Postgres where the settings do not say how many.
const POOL_SIZE: usize = 16;
/// How long an idle one is kept where they do not say, as in Kong.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How often a node looks for changes of Kong nodes where the settings do not say.
const FREQUENCY: Duration = Duration::from_secs(5);

/// The database of a node that starts.
pub struct Database {
    pub store: Store,
    /// The copy from which the node starts while the database is away.
    pub mirror: Option<Mirror>,
    /// What the copy has, where the database is away.
    pub kept: Option<Store>,
}

/// A certificate with those that vouch for it, and its key.
type Identity = (Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>);

/// The copy of a Postgres database, in the prefix.
const MIRROR: &str = "postgres.db";

/// Opens the database that the settings name, for a command; `node` is who it is to others on the same database.
pub async fn open(settings: &Settings, catalog: Arc<Catalog>, node: Uuid) -> Result<Store, String> {
    match settings.text("database") {
        "off" => declarative::open(settings, catalog).await,
        "postgres" => {
            let server = server(settings)?;
            check_tables(&server, &catalog).await?.map_err(unreachable)?;
            open_postgres(settings, &server, catalog, node).await
        }
        _ => {
            let path = settings.path(DATABASE);
            Store::open_sqlite(catalog, &path).await.map_err(|e| format!("cannot open {}: {e}", path.display()))
        }
    }
}

/// The same for a node that starts.
pub async fn start(settings: &Settings, catalog: Arc<Catalog>, node: Uuid) -> Result<Database, String> {
    if settings.text("database") != "postgres" {
        return Ok(Database { store: open(settings, catalog, node).await?, mirror: None, kept: None });
    }
    let server = server(settings)?;
    let mirror = open_mirror(settings, &catalog, &server).await;
    let Err(away) = check_tables(&server, &catalog).await? else {
        return Ok(Database { store: open_postgres(settings, &server, catalog, node).await?, mirror, kept: None });
    };
    let whole = match &mirror {
        Some(mirror) => mirror.whole().await.map_err(|e| unusable(settings, &e))?,
        None => None,
    };
    let Some((kept, workspace)) = whole else { return Err(unreachable(away)) };
    let path = settings.path(MIRROR);
    tracing::warn!("the database does not answer, serving what {} has of it: {away}", path.display());
    let store = Store::await_postgres(catalog, &server, Some(neighbour(settings, node)), workspace).await;
    Ok(Database { store: store.map_err(|e| postgres_error(&e))?, mirror, kept: Some(kept) })
}

async fn open_postgres(
    settings: &Settings,
    server: &Server,
    catalog: Arc<Catalog>,
    node: Uuid,
) -> Result<Store, String> {
    let store = Store::open_postgres(catalog, server, Some(neighbour(settings, node))).await;
    store.map_err(|e| postgres_error(&e))
}

/// Whether the tables are as this program needs them. An error within is that the server is away.
async fn check_tables(server: &Server, catalog: &Catalog) -> Result<Result<(), Error>, String> {
    let state = async { Migrations::connect(server, catalog).await?.state().await };
    let state = match state.await {
        Err(error) if error.code == Code::DatabaseUnavailable => return Ok(Err(error)),
        state => state.map_err(unreachable)?,
    };
    check(&state)?;
    for (list, what) in [(&state.pending, "database has pending"), (&state.missing, "database is missing some")] {
        if !list.is_empty() {
            tracing::warn!("{what} migrations:\n{}", Listed(list));
        }
    }
    Ok(Ok(()))
}

fn neighbour(settings: &Settings, node: Uuid) -> Neighbour {
    Neighbour {
        node,
        frequency: settings.seconds("db_update_frequency").unwrap_or(FREQUENCY),
        propagation: settings.seconds("db_update_propagation").unwrap_or_default(),
    }
}

/// The copy of the database; a file that cannot be used is replaced.
async fn open_mirror(settings: &Settings, catalog: &Arc<Catalog>, server: &Server) -> Option<Mirror> {
    let path = settings.path(MIRROR);
    let origin = format!("{}:{}/{}/{}", server.host, server.port, server.database, server.schema);
    let open = || Mirror::open(catalog.clone(), &path, origin.clone());
    let opened = match open().await {
        Err(error) => {
            tracing::warn!("{}; it is replaced", unusable(settings, &error));
            if let Err(error) = declarative::remove(&path) {
                tracing::error!("cannot remove {}: {error}", path.display());
            }
            open().await
        }
        opened => opened,
    };
    let kept = opened.inspect_err(|error| tracing::error!("{}; no copy is kept", unusable(settings, error)));
    kept.ok()
}

fn unusable(settings: &Settings, error: &Error) -> String {
    let path = settings.path(MIRROR);
    format!("cannot use {}, a copy of the database for its absence: {error}", path.display())
}

/// Whether a node can use the database; the error is in Kong's words.
pub fn check(state: &State) -> Result<(), String> {
    if state.needs_bootstrap {
        return Err(needs_bootstrap());
    }
    if !state.new.is_empty() {
        let program = Program::current().command();
        return Err(format!("New migrations available; run '{program} migrations up' to proceed"));
    }
    Ok(())
}

/// What is said of a database without Kong's tables.
pub fn needs_bootstrap() -> String {
    let program = Program::current().command();
    format!(
        "Database needs bootstrapping or is older than Kong 1.0.\n\nTo start a new installation from scratch, run \
         '{program} migrations bootstrap'.\n\nTo migrate from a version older than 1.0, migrated to Kong 1.5.0 first. \
         \nIf you still have 'apis' entities, you can convert them to Routes and Services\nusing the \
         'kong migrations migrate-apis' command in Kong 1.5.0.\n\n"
    )
}

/// An error of the database, as Kong words it.
pub fn postgres_error(error: &Error) -> String {
    format!("[PostgreSQL error] {}", error.message)
}

/// The same, when nothing could be asked at all.
pub fn unreachable(error: Error) -> String {
    format!("[PostgreSQL error] failed to retrieve PostgreSQL server_version_num: {}", error.message)
}

/// How the Postgres server of the settings is reached, and its replica. To be called on the runtime on which it is.
pub fn server(settings: &Settings) -> Result<Server, String> {
    let replica = match settings.text("pg_ro_host") {
        "" => None,
        _ => Some(Box::new(reached(settings, true)?)),
    };
    Ok(Server { replica, ..reached(settings, false)? })
}

/// What is not said of the replica is as with the server itself.
fn reached(settings: &Settings, replica: bool) -> Result<Server, String> {
    let key = |name: &str| {
        let of_replica = format!("pg_ro_{name}");
        if replica && settings.is_given(&of_replica) { of_replica } else { format!("pg_{name}") }
    };
    let text = |name: &str| settings.text(&key(name)).to_owned();
    let milliseconds = |name: &str| settings.number(&key(name)).map(|n| Duration::from_millis(n.max(0.0) as u64));
    let count = |name: &str| settings.number(&key(name)).map(|n| n as usize).filter(|n| *n > 0);
    let is_iam = settings.flag(&key("iam_auth"));
    let tls = match is_iam || settings.flag(&key("ssl")) {
        true => Some(Tls {
            roots: match settings.flag(&key("ssl_verify")) {
                true => Some(certificates::trusted_roots(settings)?),
                false => None,
            },
            identity: identity(&key("ssl_cert"), &text("ssl_cert"), &text("ssl_cert_key"))?,
            version: version(&key("ssl_version"), &text("ssl_version"))?,
            // A password that is a token goes to nobody who might be another.
            optional: !is_iam && !settings.flag(&key("ssl_required")),
        }),
        false => None,
    };
    let (host, user) = (text("host"), text("user"));
    let port = settings.number(&key("port")).map_or(5432, |n| n as u16);
    let passwords: Option<Arc<dyn PasswordSource>> = match text("password_command").as_str() {
        _ if is_iam => Some(Arc::new(passwords::of_iam(settings, (&host, port), &user, &key)?)),
        "" => None,
        command => Some(Arc::new(passwords::of_command(command))),
    };
    Ok(Server {
        host,
        port,
        user,
        password: text("password"),
        passwords,
        database: text("database"),
        schema: text("schema"),
        timeout: milliseconds("timeout").unwrap_or(Duration::from_secs(5)),
        tls,
        pool_size: count("pool_size").unwrap_or(POOL_SIZE),
        backlog: count("backlog"),
        keepalive: milliseconds("keepalive_timeout").unwrap_or(KEEPALIVE),
        max_queries: count("max_concurrent_queries"),
        semaphore_timeout: milliseconds("semaphore_timeout").unwrap_or(Duration::from_secs(60)),
        writable: !replica,
        replica: None,
    })
}

/// What a node shows to a server of itself.
fn identity(setting: &str, cert: &str, key: &str) -> Result<Option<Identity>, String> {
    if cert.is_empty() && key.is_empty() {
        return Ok(None);
    }
    let (chain, key) = certificates::given(setting, cert, key)?;
    Ok(Some((chain, Arc::new(key))))
}

fn version(setting: &str, version: &str) -> Result<Option<&'static SupportedProtocolVersion>, String> {
    match version {
        "" | "any" => Ok(None),
        "tlsv1_2" => Ok(Some(&rustls::version::TLS12)),
        "tlsv1_3" => Ok(Some(&rustls::version::TLS13)),
        other => Err(format!("{setting} = {other}: there are 'any', 'tlsv1_2' and 'tlsv1_3'")),
    }
}

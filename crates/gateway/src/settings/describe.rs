//! The `configuration` object of `GET /`.

use super::listen::{self, Listener};
use super::references::Reference;
use super::table;
use super::{Headers, Settings};
use crate::app::preflight;
use serde_json::{Map, Value as Json, json};

const SECRET: &str = "******";

/// Groups of nginx directives that are shown as lists of name and value.
const DIRECTIVES: &[&str] =
    &["main", "events", "http", "upstream", "proxy", "location", "status", "admin", "stream", "supstream", "sproxy"];

/// Files of a node, by the names that Kong shows them under.
const PATHS: &[(&str, &str)] = &[
    ("admin_acc_logs", "logs/admin_access.log"),
    ("admin_gui_ssl_cert_default", "ssl/admin-gui-kong-default.crt"),
    ("admin_gui_ssl_cert_default_ecdsa", "ssl/admin-gui-kong-default-ecdsa.crt"),
    ("admin_gui_ssl_cert_key_default", "ssl/admin-gui-kong-default.key"),
    ("admin_gui_ssl_cert_key_default_ecdsa", "ssl/admin-gui-kong-default-ecdsa.key"),
    ("admin_ssl_cert_default", "ssl/admin-kong-default.crt"),
    ("admin_ssl_cert_default_ecdsa", "ssl/admin-kong-default-ecdsa.crt"),
    ("admin_ssl_cert_key_default", "ssl/admin-kong-default.key"),
    ("admin_ssl_cert_key_default_ecdsa", "ssl/admin-kong-default-ecdsa.key"),
    ("client_ssl_cert_default", "ssl/kong-default.crt"),
    ("client_ssl_cert_key_default", "ssl/kong-default.key"),
    ("kong_env", ".kong_env"),
    ("nginx_acc_logs", "logs/access.log"),
    ("nginx_err_logs", "logs/error.log"),
    ("nginx_pid", "pids/nginx.pid"),
    ("ssl_cert_default", "ssl/kong-default.crt"),
    ("ssl_cert_default_ecdsa", "ssl/kong-default-ecdsa.crt"),
    ("ssl_cert_key_default", "ssl/kong-default.key"),
    ("ssl_cert_key_default_ecdsa", "ssl/kong-default-ecdsa.key"),
    ("status_ssl_cert_default", "ssl/status-kong-default.crt"),
    ("status_ssl_cert_default_ecdsa", "ssl/status-kong-default-ecdsa.crt"),
    ("status_ssl_cert_key_default", "ssl/status-kong-default.key"),
    ("status_ssl_cert_key_default_ecdsa", "ssl/status-kong-default-ecdsa.key"),
];

impl Settings {
    /// All settings as `GET /` shows them: by name, secrets masked, with what follows from them. `plugins` are those
    /// that are loaded.
    pub fn describe(&self, plugins: &[&str]) -> Json {
        let mut shown = Map::new();
        shown.extend(self.values_shown().map(|(name, value)| (name.to_owned(), value)));
        for (name, listeners, flag) in [
            ("proxy_listeners", &self.proxy_listen, "proxy_ssl_enabled"),
            ("admin_listeners", &self.admin_listen, "admin_ssl_enabled"),
            ("status_listeners", &self.status_listen, "status_ssl_enabled"),
            ("admin_gui_listeners", &self.manager_listen, "admin_gui_ssl_enabled"),
        ] {
            shown.insert(name.to_owned(), list(listeners.iter().map(Listener::describe).collect()));
            shown.insert(flag.to_owned(), json!(listeners.iter().any(|l| l.ssl)));
        }
        let streams = self.stream_listen.iter().map(Listener::describe_stream).collect();
        shown.insert("stream_listeners".to_owned(), list(streams));
        shown.insert("stream_proxy_ssl_enabled".to_owned(), json!(self.stream_listen.iter().any(|l| l.ssl)));
        // Nothing listens there in this version, so that nobody has checked them.
        let cluster = listen::parse("cluster_listen", self.list("cluster_listen")).unwrap_or_default();
        shown.insert("cluster_listeners".to_owned(), list(cluster.iter().map(Listener::describe).collect()));
        for block in DIRECTIVES {
            shown.insert(format!("nginx_{block}_directives"), self.directives(&format!("nginx_{block}_")));
        }
        for (name, path) in PATHS {
            shown.insert((*name).to_owned(), json!(self.path(path)));
        }
        // Clients go by this name to know whether there are users.
        shown.insert("rbac".to_owned(), json!(self.text("enforce_rbac")));
        shown.insert("prefix".to_owned(), json!(self.prefix));
        if self.text("database") == "sqlite" {
            // Clients know two kinds of nodes, and go by the name: those that are written to, and those that are not.
            shown.insert("database".to_owned(), json!("postgres"));
            shown.insert("bascule_database".to_owned(), json!("sqlite"));
        }
        shown.insert("enabled_headers".to_owned(), self.headers.describe());
        shown.insert("enabled_headers_upstream".to_owned(), json!({ "X-Kong-Request-Id": self.request_id_upstream }));
        shown.insert(
            "loaded_plugins".to_owned(),
            plugins.iter().map(|name| ((*name).to_owned(), json!(true))).collect::<Map<_, _>>().into(),
        );
        #[cfg(feature = "lua")]
        shown.insert("pluginservers".to_owned(), list(self.plugin_servers.iter().map(describe_server).collect()));
        let vaults = preflight::enabled_vaults(self).unwrap_or_default();
        let vaults = vaults.iter().map(|kind| (kind.name.to_owned(), json!(true)));
        shown.insert("loaded_vaults".to_owned(), vaults.collect::<Map<_, _>>().into());
        let ports = self.port_maps.iter().map(|(own, public)| (own.to_string(), json!(public)));
        shown.insert("host_ports".to_owned(), ports.collect::<Map<_, _>>().into());
        shown.sort_keys();
        Json::Object(shown)
    }

    /// The values of all settings by name, secrets masked.
    pub fn values_shown(&self) -> impl Iterator<Item = (&str, Json)> {
        self.loaded.values.iter().map(|(name, value)| {
            let shown = match self.loaded.references.get(name) {
                _ if is_secret(name) => json!(SECRET),
                None => value.json(),
                Some(reference) => reference.describe(),
            };
            (&**name, shown)
        })
    }

    fn directives(&self, prefix: &str) -> Json {
        let named = self.loaded.values.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
        let named = named.filter(|(_, value)| value.text() != super::nginx::NONE);
        list(named.map(|(name, value)| json!({ "name": name, "value": value.text() })).collect())
    }
}

#[cfg(feature = "lua")]
fn describe_server(server: &runtimes::external::PluginServer) -> Json {
    json!({
        "name": server.name,
        "socket": server.socket,
        "start_command": server.start_command,
        "query_command": server.query_command,
    })
}

/// Whether a value is never shown. Of vaults it is what proves who it is that asks.
fn is_secret(name: &str) -> bool {
    let of_vault =
        || name.starts_with("vault_") && ["_token", "_secret", "_secret_id"].iter().any(|e| name.ends_with(e));
    table::setting(name).map_or_else(of_vault, |setting| setting.secret)
}

impl Reference {
    /// As it is shown in place of the value.
    fn describe(&self) -> Json {
        match self {
            Reference::Whole(reference) => json!(reference),
            Reference::Elements(given) => json!(given),
        }
    }
}

impl Headers {
    fn describe(&self) -> Json {
        json!({
            "Server": self.server,
            "Via": self.via,
            "X-Kong-Admin-Latency": self.admin_latency,
            "X-Kong-Proxy-Latency": self.proxy_latency,
            "X-Kong-Request-Id": self.request_id,
            "X-Kong-Response-Latency": self.response_latency,
            "X-Kong-Upstream-Latency": self.upstream_latency,
            "X-Kong-Upstream-Status": self.upstream_status,
            "latency_tokens": self.latency_tokens,
            "server_tokens": self.server_tokens,
        })
    }
}

/// A list; an empty one is an empty object, as in Kong's answers.
fn list(items: Vec<Json>) -> Json {
    if items.is_empty() { json!({}) } else { Json::Array(items) }
}

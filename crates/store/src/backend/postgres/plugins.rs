//! Plugins are kept in two tables. What a Kong beside this node would misread (it would run a plugin for a group of
//! consumers for everybody, and refuse to start for a plugin that it does not have) is in a table of our own, which no
//! Kong looks at; the rest is in Kong's. Both are read as one.

use super::fields::has_column;
use crate::backend::Row;
use crate::backend::sql::{POSTGRES, Statements, columns, quote};
use crate::layout::Table;
use serde_json::Value;

/// The table of our own.
pub const OWN: &str = "bascule_plugins";

/// The plugins of Kong 3.10.
const KNOWN: [&str; 45] = [
    "acl",
    "acme",
    "ai-prompt-decorator",
    "ai-prompt-guard",
    "ai-prompt-template",
    "ai-proxy",
    "ai-request-transformer",
    "ai-response-transformer",
    "aws-lambda",
    "azure-functions",
    "basic-auth",
    "bot-detection",
    "correlation-id",
    "cors",
    "datadog",
    "file-log",
    "grpc-gateway",
    "grpc-web",
    "hmac-auth",
    "http-log",
    "ip-restriction",
    "jwt",
    "key-auth",
    "ldap-auth",
    "loggly",
    "oauth2",
    "opentelemetry",
    "post-function",
    "pre-function",
    "prometheus",
    "proxy-cache",
    "rate-limiting",
    "redirect",
    "request-size-limiting",
    "request-termination",
    "request-transformer",
    "response-ratelimiting",
    "response-transformer",
    "session",
    "standard-webhooks",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

/// Whether a table's rows are in two.
pub fn is_split(table: &Table) -> bool {
    table.name == "plugins"
}

/// Where all rows are found: what Kong's table has no column for is null in its rows.
pub fn source(table: &Table) -> String {
    let all: Vec<&str> = columns(table).into_iter().map(|(column, _)| column).collect();
    let own = all.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
    let kongs = all.iter().map(|column| if has_column(table, column) { quote(column) } else { "NULL".to_owned() });
    let kongs = kongs.collect::<Vec<_>>().join(", ");
    format!("(SELECT {own} FROM {OWN} UNION ALL SELECT {kongs} FROM {})", quote(&table.relation))
}

/// The tables that rows are in, by the names that they have among tags.
pub fn relations(table: &Table) -> Vec<&str> {
    if is_split(table) { vec![&table.relation, OWN] } else { vec![&table.relation] }
}

/// Whether a row means the same to a Kong.
pub fn is_kongs(table: &Table, row: &Row) -> bool {
    let name = row.record.get("name").and_then(Value::as_str).unwrap_or_default();
    let unset = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(values)) => values.is_empty(),
        Some(_) => false,
    };
    let own = table.columns.iter().filter(|column| !has_column(table, &column.name));
    KNOWN.contains(&name) && own.map(|column| row.record.get(&column.field)).all(unset)
}

/// The statements of the table of our own.
pub fn own(table: &Table) -> Option<Statements> {
    is_split(table).then(|| Statements::at(table, POSTGRES, OWN, |_| true))
}

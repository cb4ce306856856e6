//! The layout of entities is that of Kong's tables, where Kong has them.

use model::{Catalog, RouterFlavor};
use serde_json::Value;
use store::layout::{COMPOSITE, ColumnType, Layout, Table, WORKSPACE};

/// As Postgres describes the tables of Kong 3.10.
const KONG: &str = include_str!("../../store/tests/kong-3.10-tables.json");

/// What Kong's tables have no column for.
const OWN: [&str; 14] = [
    "plugins.condition",
    "plugins.consumer_group_id",
    "plugins.ordering",
    "plugins.partials",
    "services.http2",
    "services.tls_sans",
    "targets.failover",
    "targets.priority",
    "upstreams.max_connections",
    "upstreams.max_pending_requests",
    "upstreams.recovery_time",
    "upstreams.slow_start",
    "upstreams.sticky_sessions_cookie",
    "upstreams.sticky_sessions_cookie_path",
];

#[test]
fn fields_are_columns_of_kongs_tables() {
    let kong: Value = serde_json::from_str(KONG).unwrap();
    for flavor in [RouterFlavor::Traditional, RouterFlavor::Expressions] {
        let mut catalog = Catalog::core_with(flavor);
        plugins::bundled().iter().for_each(|kind| sdk::register(*kind, &mut catalog).unwrap());
        let layout = Layout::new(&catalog).unwrap();
        let kongs = layout.tables().iter().filter(|table| kong.get(&table.relation).is_some());
        let deviations: Vec<String> =
            kongs.flat_map(|table| deviations(table, &kong[&table.relation]["columns"])).collect();
        assert_eq!(deviations, Vec::<String>::new());
    }
}

/// What of a table is not as in Kong's.
fn deviations(table: &Table, kong: &Value) -> Vec<String> {
    let type_of = |column: &str| {
        let columns = kong.as_array().into_iter().flatten();
        columns.clone().find(|c| c["name"] == column).and_then(|c| c["type"].as_str()).unwrap_or("missing")
    };
    let mut columns: Vec<(&str, ColumnType)> = table.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    columns.extend(table.composite().map(|_| (COMPOSITE, ColumnType::Text)));
    columns.extend(table.per_workspace.then_some((WORKSPACE, ColumnType::Uuid)));
    columns.extend(table.has_ttl.then_some(("ttl", ColumnType::Expiry)));
    let own = |column: &str| OWN.contains(&format!("{}.{column}", table.relation).as_str());
    let kongs = columns.into_iter().filter(|(column, _)| !own(column));
    let wrong = kongs.filter(|(column, kind)| !types(*kind).contains(&type_of(column)));
    wrong.map(|(column, kind)| format!("{}.{column}: {kind:?}, not {}", table.relation, type_of(column))).collect()
}

/// Postgres' names of the types that hold a kind.
fn types(kind: ColumnType) -> &'static [&'static str] {
    match kind {
        ColumnType::Text => &["text"],
        ColumnType::Uuid | ColumnType::Foreign => &["uuid"],
        ColumnType::Integer => &["int2", "int4", "int8"],
        ColumnType::Number => &["float8"],
        ColumnType::Boolean => &["bool"],
        ColumnType::Seconds | ColumnType::Time | ColumnType::Expiry => &["timestamptz"],
        ColumnType::Texts => &["_text"],
        ColumnType::Uuids => &["_uuid"],
        ColumnType::Jsons => &["_jsonb"],
        ColumnType::Json => &["jsonb"],
    }
}

//! The tags of all entities, which Kong keeps as one array for each record.

use super::session::Question;
use super::{fields, plugins};
use crate::TagEntry;
use crate::backend::TagSelection;
use crate::backend::cells::Cell;
use crate::layout::{Layout, Table, WORKSPACE};
use uuid::Uuid;

/// The question for a page of tags, in the order of (id, entity, place). What belongs to no workspace is listed with
/// the tags of any.
pub fn page(layout: &Layout, selection: &TagSelection<'_>) -> Question {
    let mut parameters: Vec<Cell> = Vec::new();
    let mut bind = |cell: Cell| {
        parameters.push(cell);
        format!("${}", parameters.len())
    };
    let tagged = || layout.tables().iter().filter(|table| table.has_tags);
    let mut conditions: Vec<String> = Vec::new();
    if let Some(tag) = selection.tag {
        let (one, all) = (bind(Cell::Text(tag.to_owned())), bind(Cell::Texts(vec![tag.to_owned()])));
        conditions.push(format!("g.tags @> {all} AND p.tag = {one}"));
    }
    // A record has one row, whatever its entity.
    if let Some((id, _, place)) = selection.after {
        let id = bind(Uuid::try_parse(id).map_or(Cell::Null, Cell::Uuid));
        let place = bind(Cell::Integer(i64::from(place) + 1));
        conditions.push(format!("(g.entity_id, p.place) > ({id}, {place})"));
    }
    let apart = tagged().filter(|table| table.per_workspace && selection.workspace.is_some());
    let mut places: Vec<String> = Vec::new();
    for table in apart {
        let workspace = bind(selection.workspace.map_or(Cell::Null, Cell::Uuid));
        let (names, relation) = (bind(Cell::Texts(relations(table))), fields::source(table));
        places.push(format!(
            "g.entity_name = ANY ({names}) AND \
             EXISTS (SELECT 1 FROM {relation} r WHERE r.id = g.entity_id AND r.{WORKSPACE} = {workspace})"
        ));
    }
    let shared = tagged().filter(|table| !table.per_workspace || selection.workspace.is_none());
    let shared = bind(Cell::Texts(shared.flat_map(relations).collect()));
    places.push(format!("g.entity_name = ANY ({shared})"));
    conditions.push(format!("({})", places.join(" OR ")));
    let limit = bind(Cell::Integer(i64::try_from(selection.limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT p.tag, g.entity_name, g.entity_id, p.place - 1 \
         FROM tags g CROSS JOIN LATERAL unnest(g.tags) WITH ORDINALITY p (tag, place) WHERE {} \
         ORDER BY g.entity_id, p.place LIMIT {limit}",
        conditions.join(" AND ")
    );
    (sql, parameters)
}

fn relations(table: &Table) -> Vec<String> {
    plugins::relations(table).into_iter().map(str::to_owned).collect()
}

/// One row of the answer.
pub fn entry(layout: &Layout, row: &tokio_postgres::Row) -> Result<TagEntry, String> {
    let read = || Ok((row.try_get(0)?, row.try_get::<_, String>(1)?, row.try_get::<_, Uuid>(2)?, row.try_get(3)?));
    let (tag, relation, id, place): (String, String, Uuid, i64) =
        read().map_err(|e: tokio_postgres::Error| e.to_string())?;
    let entity = layout.tables().iter().find(|table| plugins::relations(table).contains(&relation.as_str()));
    let entity = entity.map(|table| table.name.clone());
    Ok(TagEntry { tag, entity: entity.unwrap_or(relation), id: id.to_string(), place: place.max(0) as u32 })
}

//! What single entities ask beyond their schemas: the few places where Kong's data access knows an entity by name.

use crate::Key;
use crate::backend::{Reader, Row};
use crate::layout::{Layout, OnDelete, Table, foreign_id};
use crate::read;
use crate::write::Session;
use model::{Error, Record};
use serde_json::Value;

const CERTIFICATES: &str = "certificates";

/// Foreign keys that cascade although their schemas do not say so: certificates take their SNIs with them.
pub fn on_delete(entity: &str, field: &str, declared: OnDelete) -> OnDelete {
    match (entity, field) {
        ("snis", "certificate") => OnDelete::Cascade,
        _ => declared,
    }
}

/// Fields that have a default, are not required and yet cannot be cleared: the columns of Kong's tables are not
/// nullable, and this is how that is reported.
pub fn check_not_null(table: &Table, key: Option<&Key>, record: &Record) -> Result<(), Error> {
    let field = match table.name.as_str() {
        "upstreams" => "slots",
        "targets" => "weight",
        _ => return Ok(()),
    };
    if !record.get(field).is_some_and(Value::is_null) {
        return Ok(());
    }
    let (field, value) = match key {
        Some(Key::Name(name)) => (table.endpoint.as_ref().unwrap_or(&table.primary), name.as_str()),
        _ => (&table.primary, table.id(record)),
    };
    Err(Error::primary_key_violation(Record::from_iter([(field.clone(), value.into())])))
}

/// The model's rules between a record and those that it refers to, before `input` is processed.
pub fn check_references(
    session: &mut Session<'_>,
    table: &Table,
    input: &Record,
    current: Option<&Record>,
) -> Result<(), Error> {
    let (layout, now) = (session.layout, session.now);
    let transaction = &mut *session.transaction;
    let mut lookup = |entity: &str, field: &str, value: &Value| {
        let (Some(table), Some(value)) = (layout.table(entity), value.as_str()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        if let Some(foreign) = table.foreign(field) {
            read::each(transaction, table, Some((foreign, value)), now, |row| {
                found.push(row.record);
                Ok(true)
            })?;
        } else {
            found.extend(read::by_field(transaction, table, field, value, now)?.map(|row| row.record));
        }
        Ok(found)
    };
    session.catalog.check_references(&table.name, input, current, &mut lookup)
}

/// Rules about deletions that no foreign key expresses.
pub fn check_delete(session: &mut Session<'_>, table: &Table, row: &Row) -> Result<(), Error> {
    if table.name != "ca_certificates" {
        return Ok(());
    }
    let id = table.id(&row.record);
    let names = |value: Option<&Value>| {
        value.and_then(Value::as_array).is_some_and(|ids| ids.iter().any(|i| i.as_str() == Some(id)))
    };
    for (entity, config) in [("services", false), ("plugins", true)] {
        let Some(holders) = session.layout.table(entity) else { continue };
        let mut holder = None;
        read::each(session.transaction, holders, None, session.now, |row| {
            let part = if config { row.record.get("config").and_then(Value::as_object) } else { Some(&row.record) };
            if names(part.and_then(|part| part.get("ca_certificates"))) {
                holder = Some(holders.id(&row.record).to_owned());
            }
            Ok(holder.is_none())
        })?;
        if let Some(holder) = holder {
            return Err(Error::referenced_by_others(format!(
                "ca certificate {id} is still referenced by {entity} (id = {holder})"
            )));
        }
    }
    Ok(())
}

/// Other records that were given inside a record: the `snis` of a certificate.
pub struct Attached {
    snis: Option<Vec<String>>,
}

impl Attached {
    /// Takes them out of the input of a record; `id` is its primary key, unless it gets a new one.
    pub fn take(
        session: &mut Session<'_>,
        table: &Table,
        input: &mut Record,
        id: Option<&str>,
    ) -> Result<Attached, Error> {
        if table.name != CERTIFICATES {
            return Ok(Attached { snis: None });
        }
        let snis = match input.get("snis") {
            None => None,
            Some(Value::Null) => Some(Vec::new()),
            // What is no list of strings is the schema's to refuse.
            Some(snis) => snis
                .as_array()
                .map(|list| list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()),
        };
        let Some(mut snis) = snis else { return Ok(Attached { snis: None }) };
        snis.sort();
        if let Some(pair) = snis.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::field_violation("snis", format!("{} is duplicated", pair[0])));
        }
        let Some(table) = session.layout.table("snis") else { return Ok(Attached { snis: None }) };
        for name in &snis {
            table.schema.check_unique(session.catalog, "name", &name.as_str().into())?;
            let Some(sni) = read::by_field(session.transaction, table, "name", name, session.now)? else { continue };
            let owner = sni.record.get("certificate").and_then(foreign_id).unwrap_or_default();
            if Some(owner) != id {
                return Err(Error::field_violation(
                    "snis",
                    format!("{name} already associated with existing certificate '{owner}'"),
                ));
            }
        }
        Ok(Attached { snis: Some(snis) })
    }

    /// Makes them what the stored record has, and shows them with it.
    pub fn store(self, session: &mut Session<'_>, table: &Table, mut record: Record) -> Result<Record, Error> {
        if let (Some(wanted), Some(snis)) = (self.snis, session.layout.table("snis")) {
            let id = table.id(&record).to_owned();
            let present = snis_of(session.transaction, snis, &id, session.now)?;
            for sni in present.iter().filter(|sni| !wanted.iter().any(|name| name == sni_name(sni))) {
                session.delete(snis, &Key::Id(snis.id(&sni.record).to_owned()))?;
            }
            for name in wanted.iter().filter(|name| !present.iter().any(|sni| *name == sni_name(sni))) {
                let reference = Record::from_iter([("id".to_owned(), id.as_str().into())]);
                let sni = Record::from_iter([
                    ("name".to_owned(), name.as_str().into()),
                    ("certificate".to_owned(), reference.into()),
                ]);
                session.insert(snis, sni)?;
            }
        }
        attach(session.transaction, session.layout, table, &mut record, session.now)?;
        Ok(record)
    }
}

/// Adds to a record what is shown with it: the names of a certificate's SNIs.
pub fn attach(
    reader: &mut dyn Reader,
    layout: &Layout,
    table: &Table,
    record: &mut Record,
    now: i64,
) -> Result<(), Error> {
    if let (CERTIFICATES, Some(snis)) = (table.name.as_str(), layout.table("snis")) {
        let mut names: Vec<String> =
            snis_of(reader, snis, table.id(record), now)?.iter().map(|sni| sni_name(sni).to_owned()).collect();
        names.sort();
        record.insert("snis".to_owned(), names.into());
    }
    Ok(())
}

/// Whether records are named in paths by something other than a field of theirs: certificates by their SNIs.
pub fn has_other_names(table: &Table) -> bool {
    table.name == CERTIFICATES
}

/// The row that such a name stands for.
pub fn by_other_name(
    reader: &mut dyn Reader,
    layout: &Layout,
    table: &Table,
    name: &str,
    now: i64,
) -> Result<Option<Row>, Error> {
    let Some(snis) = layout.table("snis") else { return Ok(None) };
    let sni = read::by_field(reader, snis, "name", name, now)?;
    match sni.as_ref().and_then(|sni| sni.record.get("certificate")).and_then(foreign_id) {
        Some(id) => reader.get(table, id),
        None => Ok(None),
    }
}

fn snis_of(reader: &mut dyn Reader, snis: &Table, certificate: &str, now: i64) -> Result<Vec<Row>, Error> {
    let Some(foreign) = snis.foreign("certificate") else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    read::each(reader, snis, Some((foreign, certificate)), now, |row| {
        found.push(row);
        Ok(true)
    })?;
    Ok(found)
}

fn sni_name(sni: &Row) -> &str {
    sni.record.get("name").and_then(Value::as_str).unwrap_or_default()
}

//! Certificates and their SNIs: two entities that clients write and see as one. A certificate is named in a path by
//! one of its SNIs, shows the names of all, and takes them as a list.

use crate::Key;
use crate::backend::{Reader, Row, Selection};
use crate::layout::{Layout, Table, foreign_id};
use model::{Catalog, Error, Record};
use serde_json::Value;

const CERTIFICATES: &str = "certificates";
const SNIS: &str = "snis";

/// Whether records of that entity are named in paths by SNIs.
pub fn named_by_snis(table: &Table) -> bool {
    table.name == CERTIFICATES
}

/// The certificate that an SNI belongs to.
pub fn by_sni(
    reader: &mut dyn Reader,
    (catalog, layout, now): (&Catalog, &Layout, i64),
    table: &Table,
    name: &str,
) -> Result<Option<Row>, Error> {
    let Some(snis) = layout.table(SNIS) else { return Ok(None) };
    snis.schema.check_unique(catalog, "name", &name.into())?;
    match find(reader, snis, name, now)?.as_ref().map(owner) {
        Some(id) => reader.get(table, id),
        None => Ok(None),
    }
}

/// Adds to a certificate the names of its SNIs.
pub fn show_names(
    reader: &mut dyn Reader,
    layout: &Layout,
    table: &Table,
    record: &mut Record,
    now: i64,
) -> Result<(), Error> {
    if let (true, Some(snis)) = (named_by_snis(table), layout.table(SNIS)) {
        let mut names: Vec<String> =
            all(reader, snis, table.id(record), now)?.iter().map(|sni| name(sni).to_owned()).collect();
        names.sort();
        record.insert(SNIS.to_owned(), names.into());
    }
    Ok(())
}

/// The names that a certificate is to have.
pub struct Names(Vec<String>);

/// What makes SNIs those that a certificate is to have.
pub struct SniChanges {
    pub delete: Vec<Key>,
    pub insert: Vec<Record>,
}

impl Names {
    /// Reads them from the input of a certificate; `id` is its primary key, unless it gets a new one. `None`: they are
    /// not given, or are no list, which is the schema's to refuse.
    pub fn read(
        reader: &mut dyn Reader,
        (catalog, layout, now): (&Catalog, &Layout, i64),
        table: &Table,
        input: &Record,
        id: Option<&str>,
    ) -> Result<Option<Names>, Error> {
        if !named_by_snis(table) {
            return Ok(None);
        }
        let mut names = match input.get(SNIS) {
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => {
                list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
            }
            _ => return Ok(None),
        };
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::field_violation(SNIS, format!("{} is duplicated", pair[0])));
        }
        let Some(snis) = layout.table(SNIS) else { return Ok(None) };
        for name in &names {
            snis.schema.check_unique(catalog, "name", &name.as_str().into())?;
            let Some(sni) = find(reader, snis, name, now)? else { continue };
            if Some(owner(&sni)) != id {
                let why = format!("{name} already associated with existing certificate '{}'", owner(&sni));
                return Err(Error::field_violation(SNIS, why));
            }
        }
        Ok(Some(Names(names)))
    }

    /// What has to be done so that a certificate has them.
    pub fn changes(
        &self,
        reader: &mut dyn Reader,
        layout: &Layout,
        certificate: &str,
        now: i64,
    ) -> Result<SniChanges, Error> {
        let Some(snis) = layout.table(SNIS) else { return Ok(SniChanges { delete: Vec::new(), insert: Vec::new() }) };
        let present = all(reader, snis, certificate, now)?;
        let gone = present.iter().filter(|sni| !self.0.iter().any(|wanted| wanted == name(sni)));
        let new = self.0.iter().filter(|wanted| !present.iter().any(|sni| *wanted == name(sni)));
        let record = |name: &String| {
            let reference = Record::from_iter([("id".to_owned(), certificate.into())]);
            Record::from_iter([("name".to_owned(), name.as_str().into()), ("certificate".to_owned(), reference.into())])
        };
        Ok(SniChanges {
            delete: gone.map(|sni| Key::Id(snis.id(&sni.record).to_owned())).collect(),
            insert: new.map(record).collect(),
        })
    }
}

impl SniChanges {
    /// The entity that they are about.
    pub const ENTITY: &str = SNIS;
}

fn find(reader: &mut dyn Reader, snis: &Table, name: &str, now: i64) -> Result<Option<Row>, Error> {
    let Some(lookup) = snis.lookup("name") else { return Ok(None) };
    Ok(reader.find(snis, &lookup.column, name)?.filter(|row| row.is_live(now)))
}

/// The SNIs of a certificate.
fn all(reader: &mut dyn Reader, snis: &Table, certificate: &str, now: i64) -> Result<Vec<Row>, Error> {
    let Some(foreign) = snis.foreign("certificate") else { return Ok(Vec::new()) };
    let selection =
        Selection { after: None, limit: usize::MAX, foreign: Some((foreign, certificate)), tags: None, now };
    reader.scan(snis, &selection)
}

fn owner(sni: &Row) -> &str {
    sni.record.get("certificate").and_then(foreign_id).unwrap_or_default()
}

fn name(sni: &Row) -> &str {
    sni.record.get("name").and_then(Value::as_str).unwrap_or_default()
}

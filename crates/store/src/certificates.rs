//! Certificates and their SNIs: two entities that clients write and see as one. A certificate is named in a path by
//! one of its SNIs, shows the names of all, and takes them as a list.

use crate::Key;
use crate::backend::{By, Reader, Row, Selection, Wanted};
use crate::layout::{Table, foreign_id};
use crate::read::{View, by_id};
use model::{Error, Record};
use serde_json::Value;

const CERTIFICATES: &str = "certificates";
const SNIS: &str = "snis";

/// Whether records of that entity are named in paths by SNIs.
pub fn named_by_snis(table: &Table) -> bool {
    table.name == CERTIFICATES
}

/// The certificate that an SNI belongs to.
pub fn by_sni(reader: &mut dyn Reader, view: &View<'_>, table: &Table, name: &str) -> Result<Option<Row>, Error> {
    let Some(snis) = view.layout.table(SNIS) else { return Ok(None) };
    snis.schema.check_unique(view.catalog, "name", &name.into())?;
    match find(reader, view, snis, &[name])?.pop().flatten() {
        Some(sni) if view.has(snis, &sni) => by_id(reader, view, table, owner(&sni)),
        _ => Ok(None),
    }
}

/// Adds to a certificate the names of its SNIs.
pub fn show_names(reader: &mut dyn Reader, view: &View<'_>, table: &Table, record: &mut Record) -> Result<(), Error> {
    if let (true, Some(snis)) = (named_by_snis(table), view.layout.table(SNIS)) {
        let mut names: Vec<String> =
            all(reader, view, snis, &table.id(record))?.iter().map(|sni| name(sni).to_owned()).collect();
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
        view: &View<'_>,
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
        let Some(snis) = view.layout.table(SNIS) else { return Ok(None) };
        for name in &names {
            snis.schema.check_unique(view.catalog, "name", &name.as_str().into())?;
        }
        // Those of other workspaces count too: a name is shown by one certificate.
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        for sni in find(reader, view, snis, &wanted)?.into_iter().flatten() {
            if Some(owner(&sni)) != id {
                let name = name(&sni);
                let why = format!("{name} already associated with existing certificate '{}'", owner(&sni));
                return Err(Error::field_violation(SNIS, why));
            }
        }
        Ok(Some(Names(names)))
    }

    /// What has to be done so that a certificate has them.
    pub fn changes(&self, reader: &mut dyn Reader, view: &View<'_>, certificate: &str) -> Result<SniChanges, Error> {
        let nothing = SniChanges { delete: Vec::new(), insert: Vec::new() };
        let Some(snis) = view.layout.table(SNIS) else { return Ok(nothing) };
        let present = all(reader, view, snis, certificate)?;
        let gone = present.iter().filter(|sni| !self.0.iter().any(|wanted| wanted == name(sni)));
        let new = self.0.iter().filter(|wanted| !present.iter().any(|sni| *wanted == name(sni)));
        let record = |name: &String| {
            let reference = Record::from_iter([("id".to_owned(), certificate.into())]);
            Record::from_iter([("name".to_owned(), name.as_str().into()), ("certificate".to_owned(), reference.into())])
        };
        Ok(SniChanges {
            delete: gone.map(|sni| Key::Id(snis.id(&sni.record).into_owned())).collect(),
            insert: new.map(record).collect(),
        })
    }
}

impl SniChanges {
    /// The entity that they are about.
    pub const ENTITY: &str = SNIS;
}

/// The SNIs of those names, of any workspace.
fn find(reader: &mut dyn Reader, view: &View<'_>, snis: &Table, names: &[&str]) -> Result<Vec<Option<Row>>, Error> {
    let Some(lookup) = snis.lookup("name") else { return Ok(Vec::new()) };
    let workspace = view.scope.workspace();
    let by = names.iter().map(|value| By::Value { lookup, workspace, value });
    let mut found = reader.find(&by.map(|by| Wanted { table: snis, by }).collect::<Vec<_>>())?;
    found.iter_mut().for_each(|sni| *sni = sni.take().filter(|sni| sni.is_live(view.now)));
    Ok(found)
}

/// The SNIs of a certificate.
fn all(reader: &mut dyn Reader, view: &View<'_>, snis: &Table, certificate: &str) -> Result<Vec<Row>, Error> {
    let Some(foreign) = snis.foreign("certificate") else { return Ok(Vec::new()) };
    let selection = Selection { foreign: Some((foreign, &[certificate])), ..Selection::all(snis) };
    Ok(reader.scan(&[Selection { now: view.now, ..selection }])?.pop().unwrap_or_default())
}

fn owner(sni: &Row) -> &str {
    sni.record.get("certificate").and_then(foreign_id).unwrap_or_default()
}

fn name(sni: &Row) -> &str {
    sni.record.get("name").and_then(Value::as_str).unwrap_or_default()
}

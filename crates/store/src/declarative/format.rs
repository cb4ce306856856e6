//! What a declarative file can have: the entities of the catalog, and which of them may stand inside of others.

use model::declarative::Head;
use model::{Catalog, Schema};
use std::collections::HashMap;

/// The form of files, as it follows from a catalog.
pub struct Format<'c> {
    pub catalog: &'c Catalog,
    pub head: Head,
    /// All entities, those that are referred to before those that refer to them.
    pub kinds: Vec<Kind<'c>>,
    by_name: HashMap<&'c str, usize>,
}

/// One entity.
pub struct Kind<'c> {
    pub schema: &'c Schema,
    /// The foreign keys: field, and place of the entity that it refers to.
    pub references: Vec<(&'c str, usize)>,
    /// What may stand inside: place of the entity, and its field that refers to the one around it.
    pub inside: Vec<(usize, &'c str)>,
}

impl<'c> Format<'c> {
    pub fn new(catalog: &'c Catalog) -> Format<'c> {
        let mut format = Format { catalog, head: Head::default(), kinds: Vec::new(), by_name: HashMap::new() };
        // Tags belong to the records that have them.
        for schema in catalog.entities().filter(|schema| schema.name != "tags") {
            let place = format.kinds.len();
            let known = |(field, entity): (&'c model::schema::Field, &str)| {
                format.by_name.get(entity).map(|&to| (field.name.as_str(), to))
            };
            let references: Vec<_> = schema.foreign_fields().filter_map(known).collect();
            for &(field, to) in &references {
                // A field of the record's own goes before what could stand inside under the same name.
                if format.kinds[to].schema.field(&schema.name).is_none_or(|field| field.transient) {
                    format.kinds[to].inside.push((place, field));
                }
            }
            format.by_name.insert(&schema.name, place);
            format.kinds.push(Kind { schema, references, inside: Vec::new() });
        }
        format
    }

    /// An entity by its name at the top of a file.
    pub fn kind(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// An entity by its name inside of another: its place, and its field that refers to the one around it.
    pub fn inside(&self, outer: usize, name: &str) -> Option<(usize, &'c str)> {
        let place = self.kind(name)?;
        self.kinds[outer].inside.iter().find(|(inner, _)| *inner == place).copied()
    }
}

impl Kind<'_> {
    /// The only field of the primary key; `None` for entities with several.
    pub fn primary(&self) -> Option<&str> {
        match self.schema.primary_key() {
            [primary] => Some(primary),
            _ => None,
        }
    }

    /// The unique field by which others may refer to its entries.
    pub fn name_field(&self) -> Option<&str> {
        let field = self.schema.field(self.schema.endpoint_key()?)?;
        field.unique.then_some(field.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_inside_follows_from_foreign_keys() {
        let catalog = Catalog::core();
        let format = Format::new(&catalog);
        let inside = |outer: &str, inner: &str| format.inside(format.kind(outer).unwrap(), inner).map(|(_, f)| f);
        assert_eq!(inside("services", "routes"), Some("service"));
        assert_eq!(inside("routes", "plugins"), Some("route"));
        assert_eq!(inside("certificates", "snis"), Some("certificate"));
        assert_eq!(inside("services", "ca_certificates"), None);
        assert_eq!(inside("routes", "services"), None);
        assert_eq!(format.kind("tags"), None);
    }
}

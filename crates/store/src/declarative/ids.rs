//! Ids of entries that have none: the same each time that a file is read, and the same as Kong's wherever Kong's are.

use super::format::{Format, Kind};
use model::Record;
use serde_json::Value;
use std::collections::HashMap;
use uuid::{Uuid, uuid};

/// Kong's namespace for the names of entities.
const ENTITIES: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");
/// Stands for the workspace in names: files have no other than the default one.
const WORKSPACE: &str = "*";

/// Makes ids for the entries of one file.
pub struct Ids {
    /// By place of the entity.
    namespaces: Vec<Uuid>,
    /// How often the same content has been seen.
    seen: HashMap<Uuid, u32>,
}

/// The entry around another one.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The field by which what is inside refers to it.
    pub field: &'a str,
    pub id: &'a str,
}

impl Ids {
    pub fn new(format: &Format<'_>) -> Ids {
        let namespace = |kind: &Kind<'_>| Uuid::new_v5(&ENTITIES, kind.schema.name.as_bytes());
        Ids { namespaces: format.kinds.iter().map(namespace).collect(), seen: HashMap::new() }
    }

    /// An id for an entry with these fields.
    pub fn id(&mut self, format: &Format<'_>, place: usize, fields: &Record, around: Option<Around<'_>>) -> String {
        let kind = &format.kinds[place];
        let id = match name(kind, fields, around) {
            Some(name) => Uuid::new_v5(&self.namespaces[place], name.as_bytes()),
            None => self.by_content(kind, place, fields, around),
        };
        id.to_string()
    }

    /// Where Kong's ids are random: by what sets the entry apart, so that its id stays as long as that does.
    fn by_content(&mut self, kind: &Kind<'_>, place: usize, fields: &Record, around: Option<Around<'_>>) -> Uuid {
        let namespace = Uuid::new_v5(&self.namespaces[place], b"content");
        let named = kind.name_field().and_then(|field| fields.get(field)).and_then(Value::as_str);
        let content = match named {
            Some(name) => name.to_owned(),
            None => serde_json::json!([around.map(|around| around.id), fields]).to_string(),
        };
        let id = Uuid::new_v5(&namespace, content.as_bytes());
        let times = self.seen.entry(id).and_modify(|times| *times += 1).or_insert(0);
        if *times == 0 { id } else { Uuid::new_v5(&id, &times.to_be_bytes()) }
    }
}

/// What Kong makes an id of; `None` where it takes a random one.
fn name(kind: &Kind<'_>, fields: &Record, around: Option<Around<'_>>) -> Option<String> {
    let schema = kind.schema;
    if !schema.cache_key().is_empty() {
        return cache_key(kind, fields, around);
    }
    let endpoint = schema.field(schema.endpoint_key()?)?;
    let mut name = fields.get(&endpoint.name)?.as_str()?.to_owned();
    if !endpoint.unique {
        // Names are unique among those that belong together.
        for (field, _) in schema.foreign_fields().filter(|(f, _)| f.on_delete == model::schema::OnDelete::Cascade) {
            let owner = around.map(|around| around.id).or_else(|| fields.get(&field.name)?.as_str())?;
            name = format!("{name}:{owner}");
        }
        if !endpoint.unique_across_ws {
            name = format!("{name}:{WORKSPACE}");
        }
    }
    Some(name)
}

fn cache_key(kind: &Kind<'_>, fields: &Record, around: Option<Around<'_>>) -> Option<String> {
    let mut parts = vec![kind.schema.name.as_str(), WORKSPACE];
    for key in kind.schema.cache_key() {
        let field = kind.schema.field(key)?;
        if field.auto {
            return None;
        }
        match (fields.get(key), around) {
            (Some(Value::String(text)), _) => parts.push(text),
            (Some(Value::Object(reference)), _) => parts.extend(reference.get("id").and_then(Value::as_str)),
            (Some(_), _) => {}
            (None, Some(around)) if around.field == key => parts.push(around.id),
            // The open-source edition, whose ids these are, does not know it.
            (None, _) if field.omit_null => {}
            (None, _) if field.required => return None,
            (None, _) => parts.push(""),
        }
    }
    Some(parts.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Catalog;
    use serde_json::json;

    fn id(entity: &str, fields: Value, around: Option<Around<'_>>) -> String {
        let catalog = Catalog::core();
        let format = Format::new(&catalog);
        let fields = fields.as_object().cloned().unwrap_or_default();
        Ids::new(&format).id(&format, format.kind(entity).unwrap_or_default(), &fields, around)
    }

    #[test]
    fn ids_are_those_of_kong() {
        // Recorded from Kong.
        assert_eq!(id("services", json!({"name": "s"}), None), "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
        let of = |namespace: &str, name: &str| {
            Uuid::new_v5(&Uuid::new_v5(&ENTITIES, namespace.as_bytes()), name.as_bytes()).to_string()
        };
        let plugin = json!({"name": "cors", "route": "r"});
        assert_eq!(id("plugins", plugin, None), of("plugins", "plugins:*:cors:r::"));
        let around = Around { field: "service", id: "5" };
        assert_eq!(id("plugins", json!({"name": "cors"}), Some(around)), of("plugins", "plugins:*:cors::5:"));
        let around = Around { field: "consumer_group", id: "g" };
        assert_eq!(id("plugins", json!({"name": "cors"}), Some(around)), of("plugins", "plugins:*:cors::::g"));
        let around = Around { field: "upstream", id: "u" };
        assert_eq!(id("targets", json!({"target": "h:80"}), Some(around)), of("targets", "targets:*:u:h:80"));
    }

    #[test]
    fn other_entries_keep_theirs_too() {
        let catalog = Catalog::core();
        let format = Format::new(&catalog);
        let place = format.kind("certificates").unwrap_or_default();
        let content = |text: &str| json!({"cert": text}).as_object().cloned().unwrap_or_default();
        let mut first = Ids::new(&format);
        let a = first.id(&format, place, &content("a"), None);
        let again = first.id(&format, place, &content("a"), None);
        assert_ne!(a, again);
        let mut second = Ids::new(&format);
        assert_eq!(second.id(&format, place, &content("a"), None), a);
        assert_ne!(second.id(&format, place, &content("b"), None), again);
        assert_eq!(second.id(&format, place, &content("a"), None), again);
    }
}

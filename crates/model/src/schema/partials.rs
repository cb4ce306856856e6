//! Partials: what configurations of plugins have in common is stored once, and plugins refer to it. A plugin's record
//! is stored and shown without what comes from partials, and checked and used with it.

use super::{Schema, path};
use crate::{Catalog, Error, Record};
use serde_json::{Value, json};

/// Finds a partial by the value of its `id` or `name`.
pub type FindPartial<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Option<Record>, Error>;

/// A plugin's reference to a partial.
pub struct Link<'r> {
    /// Empty while the link goes by name.
    pub id: &'r str,
    /// Where the partial's fields belong, such as `config.redis`.
    pub path: &'r str,
}

/// The links of a stored plugin.
pub fn links(plugin: &Record) -> impl Iterator<Item = Link<'_>> {
    let links = plugin.get("partials").and_then(Value::as_array);
    links.into_iter().flatten().map(|link| Link { id: text(link, "id"), path: text(link, "path") })
}

fn text<'v>(link: &'v Value, field: &str) -> &'v str {
    link.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Lays what a partial says into a plugin's record.
pub fn lay(plugin: &mut Record, path: &str, partial: &Record) {
    for (name, value) in partial.get("config").and_then(Value::as_object).into_iter().flatten() {
        path::set(plugin, &format!("{path}.{name}"), value.clone());
    }
}

impl Schema {
    /// The types of partials that a plugin can refer to, each with the places where it can be laid.
    pub fn supported_partials(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.supported_partials.iter().map(|(kind, paths)| (kind.as_str(), paths.as_slice()))
    }

    /// Completes the links of a plugin's input, and lays the partials' fields into it, so that it can be processed.
    /// `current` is the record that it changes.
    pub fn link_partials(
        &self,
        catalog: &Catalog,
        input: &mut Record,
        current: Option<&Record>,
        find: FindPartial,
    ) -> Result<(), Error> {
        let value = |field: &str| input.get(field).or_else(|| current?.get(field));
        let Some(Value::Array(links)) = value("partials") else { return Ok(()) };
        if links.is_empty() {
            input.insert("partials".to_owned(), Value::Null);
            return Ok(());
        }
        // What is wrong with either is for the checks to say.
        let plugin = value("name").and_then(Value::as_str).and_then(|name| catalog.plugin(name));
        let Some(plugin) = plugin.filter(|_| links.iter().all(is_link)) else { return Ok(()) };
        let mut linked = Vec::with_capacity(links.len());
        let mut laid = Vec::with_capacity(links.len());
        for link in links.clone() {
            let given = |field: &'static str| Some((field, link.get(field)?.as_str()?));
            let Some((field, name)) = given("id").or_else(|| given("name")) else { continue };
            let partial = find(field, name)?
                .ok_or_else(|| Error::field_violation("partials", format!("there is no partial '{name}'")))?;
            let place = plugin.schema.place_of(&partial, given("path").map(|(_, path)| path))?;
            linked.push(json!({ "id": partial.get("id"), "path": place }));
            laid.push((place, partial));
        }
        for (place, mut partial) in laid {
            plugin.schema.keep_known(catalog, &place, &mut partial);
            refuse_beside(input, &place, &partial)?;
            lay(input, &place, &partial);
        }
        input.insert("partials".to_owned(), Value::Array(linked));
        Ok(())
    }

    /// A stored plugin with what comes from partials, as clients see it who ask for that.
    pub fn expand_partials(&self, catalog: &Catalog, mut plugin: Record, find: FindPartial) -> Result<Record, Error> {
        let mut laid = Vec::new();
        for link in links(&plugin) {
            laid.extend(find("id", link.id)?.map(|partial| (link.path.to_owned(), partial)));
        }
        laid.iter().for_each(|(path, partial)| lay(&mut plugin, path, partial));
        Ok(self.select(catalog, plugin))
    }

    /// Takes out of a plugin's record what comes from partials.
    pub fn strip_partials(&self, catalog: &Catalog, record: &mut Record) {
        if !record.contains_key("partials") {
            return;
        }
        let Some(plugin) = record.get("name").and_then(Value::as_str).and_then(|name| catalog.plugin(name)) else {
            return;
        };
        let paths: Vec<String> = links(record).map(|link| link.path.to_owned()).collect();
        for path in paths {
            let kinds = plugin.schema.supported_partials().filter(|(_, paths)| paths.contains(&path));
            let fields = kinds.filter_map(|(kind, _)| catalog.partial(kind)?.field("config")?.shape());
            let names: Vec<&str> = fields.flat_map(|shape| shape.fields()).map(|field| field.name.as_str()).collect();
            strip(record, &path, &names);
            plugin.schema.strip_shorthands(record, &path);
        }
    }

    /// Shorthands of a configuration are shown with values of what they stand for.
    fn strip_shorthands(&self, record: &mut Record, path: &str) {
        let Some(shape) = self.field("config").and_then(|config| config.shape()) else { return };
        let Some(Value::Object(config)) = record.get_mut("config") else { return };
        for shorthand in &shape.shorthands {
            let within = |target: &Vec<String>| format!("config.{}", target.join(".")).starts_with(&format!("{path}."));
            if shorthand.replaced_with.iter().any(within) {
                config.shift_remove(&shorthand.field.name);
            }
        }
    }

    /// Where a plugin's link lays that partial.
    fn place_of(&self, partial: &Record, given: Option<&str>) -> Result<String, Error> {
        let kind = partial.get("type").and_then(Value::as_str).unwrap_or_default();
        let refused = |why: String| Error::field_violation("partials", why);
        let paths = self.supported_partials.get(kind).map_or(&[][..], Vec::as_slice);
        match (given, paths) {
            (_, []) => Err(refused(format!("plugin '{}' does not support partials of type '{kind}'", self.name))),
            (Some(path), paths) if paths.iter().any(|known| known == path) => Ok(path.to_owned()),
            (Some(path), _) => Err(refused(format!("'{path}' is no place for partials of type '{kind}'"))),
            (None, [path]) => Ok(path.clone()),
            (None, _) => Err(refused(format!("a link to a partial of type '{kind}' needs a path"))),
        }
    }

    /// What a plugin does not know and the partial does not set means nothing to either.
    fn keep_known(&self, catalog: &Catalog, place: &str, partial: &mut Record) {
        let kind = partial.get("type").and_then(Value::as_str).and_then(|kind| catalog.partial(kind));
        let fields = kind.and_then(|schema| schema.field("config")?.shape());
        let Some(Value::Object(config)) = partial.get_mut("config") else { return };
        config.retain(|name, value| {
            let default = fields.and_then(|fields| fields.field(name)?.default.as_ref());
            let unset = value.is_null() || default == Some(value);
            !unset || self.shape.field_at(&format!("{place}.{name}")).is_some()
        });
    }
}

fn is_link(link: &Value) -> bool {
    let given = |field: &str| link.get(field).is_some_and(Value::is_string);
    given("id") || given("name")
}

/// A field is the plugin's own or the partial's.
fn refuse_beside(input: &Record, place: &str, partial: &Record) -> Result<(), Error> {
    let mut errors = Record::new();
    for name in partial.get("config").and_then(Value::as_object).into_iter().flat_map(Record::keys) {
        let path = format!("{place}.{name}");
        if path::get(input, &path).is_some_and(|value| !value.is_null()) {
            path::set(&mut errors, &path, "must not be set beside a partial that has it".into());
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::schema_violation(errors)) }
}

/// Takes fields out of the record at a path; it goes too when nothing remains in it.
fn strip(record: &mut Record, path: &str, names: &[&str]) {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let Some(Value::Object(inner)) = record.get_mut(head) else { return };
    match rest {
        Some(rest) => strip(inner, rest, names),
        None => {
            inner.retain(|name, _| !names.contains(&name.as_str()));
            if inner.is_empty() {
                record.shift_remove(head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::{record, with_plugin};

    const ID: &str = "5b1484f2-5209-49d9-b43e-92ba09dd9d52";

    fn partial(catalog: &Catalog) -> Record {
        let input = json!({"id": ID, "name": "p", "type": "redis-ce", "config": {"host": "h.test", "port": 1}});
        catalog.entity("partials").unwrap().process_insert(catalog, record(input)).unwrap()
    }

    /// What is stored of a plugin that uses Redis, with that configuration and these links; or the fields of the
    /// refusal.
    fn plugin(config: Value, links: Value) -> Result<Record, Value> {
        let catalog = with_plugin();
        let schema = catalog.entity("plugins").unwrap();
        let mut input = record(json!({"name": "limits", "config": {"minute": 1, "policy": "redis"}}));
        input.insert("partials".to_owned(), links);
        input["config"].as_object_mut().unwrap().extend(record(config));
        let known = partial(&catalog);
        let mut find = |field: &str, value: &str| Ok(Some(known.clone()).filter(|known| known[field] == value));
        let linked = schema.link_partials(&catalog, &mut input, None, &mut find);
        linked.and_then(|()| schema.process_insert(&catalog, input)).map_err(|error| error.fields)
    }

    #[test]
    fn what_comes_from_a_partial_is_checked_and_not_stored() {
        for link in [json!({"name": "p"}), json!({"id": ID}), json!({"id": ID, "path": "config.redis"})] {
            let stored = plugin(json!({}), json!([link])).unwrap();
            assert_eq!(stored["partials"], json!([{"id": ID, "path": "config.redis"}]));
            assert_eq!(stored["config"].get("redis"), None);
            assert_eq!(stored["config"].get("redis_host"), None);
        }
        let missing = json!({"config": {"redis": {"host": "required field missing"}}});
        assert_eq!(plugin(json!({}), json!([])).unwrap_err()["config"], missing["config"]);
        let own = plugin(json!({"redis": {"host": "own.test"}}), json!([])).unwrap();
        assert_eq!(own.get("partials"), None);
        assert_eq!(own["config"]["redis"]["host"], "own.test");
    }

    #[test]
    fn a_plugin_is_shown_with_its_partials_to_whoever_asks() {
        let catalog = with_plugin();
        let schema = catalog.entity("plugins").unwrap();
        let stored = plugin(json!({}), json!([{"id": ID}])).unwrap();
        let mut find = |_: &str, id: &str| Ok(Some(partial(&catalog)).filter(|_| id == ID));
        let shown = schema.expand_partials(&catalog, stored.clone(), &mut find).unwrap();
        assert_eq!(shown["config"]["redis"]["host"], "h.test");
        assert_eq!(shown["config"]["redis_host"], "h.test");
        assert_eq!(shown["config"]["redis"]["port"], 1);
        assert_eq!(schema.process_select(&catalog, shown), stored);
    }

    #[test]
    fn a_plugin_can_do_without_its_partial() {
        let catalog = with_plugin();
        let schema = catalog.entity("plugins").unwrap();
        let stored = plugin(json!({}), json!([{"id": ID}])).unwrap();
        let without = |config: Value| {
            let change = record(json!({"name": "limits", "partials": null, "config": config}));
            schema.process_update(&catalog, change, &stored)
        };
        assert!(without(json!({})).is_err(), "it has no host then");
        let own = without(json!({"redis": {"host": "own.test"}})).unwrap();
        assert_eq!(own["config"]["redis"]["port"], 6379);
        assert_eq!(own.get("partials"), None);
    }

    #[test]
    fn links_lead_to_partials_that_the_plugin_supports() {
        let refused = |links: Value| plugin(json!({}), links).unwrap_err();
        assert_eq!(refused(json!([{"name": "q"}])), json!({"partials": "there is no partial 'q'"}));
        assert_eq!(
            refused(json!([{"name": "p", "path": "config"}])),
            json!({"partials": "'config' is no place for partials of type 'redis-ce'"})
        );
        assert_eq!(
            plugin(json!({"redis": {"host": "own.test"}}), json!([{"name": "p"}])).unwrap_err(),
            json!({"config": {"redis": {"host": "must not be set beside a partial that has it"}}})
        );
        assert!(refused(json!([{}])).get("partials").is_some());
        assert!(refused(json!("x")).get("partials").is_some());
    }
}

//! Filters in WebAssembly, as `filter_chains` may name them.

use crate::catalog::Catalog;
use crate::schema::{Foreign, Function, Schema};
use serde_json::{Value, json};

/// A filter that the node has.
#[derive(Clone, Debug)]
pub struct FilterSchema {
    pub name: String,
    /// What its configuration is, as JSON Schema.
    pub config_schema: Value,
}

const ENTITY: &str = "filter_chains";

impl Catalog {
    /// Lets `filter_chains` name these filters. `judge` checks a record of one (`name` and `config`), whose name is
    /// that of one of them.
    pub fn enable_filters(&mut self, filters: Vec<FilterSchema>, judge: &'static dyn Foreign) -> Result<(), String> {
        let mut text: Value =
            serde_json::from_str(crate::entities::FILTER_CHAIN).map_err(|error| format!("{ENTITY}: {error}"))?;
        let names: Vec<&str> = filters.iter().map(|filter| filter.name.as_str()).collect();
        let fields = text["fields"].as_array_mut().into_iter().flatten();
        for field in fields.filter_map(|field| field.get_mut("filters")) {
            for part in field["elements"]["fields"].as_array_mut().into_iter().flatten() {
                if let Some(name) = part.get_mut("name") {
                    name["one_of"] = json!(names);
                }
                if let Some(config) = part.get_mut("config") {
                    config["record_validator"] = json!("filter_config");
                }
            }
        }
        if filters.is_empty() {
            for check in text["entity_checks"].as_array_mut().into_iter().flatten() {
                if let Some(check) = check.get_mut("custom_entity_check") {
                    check["check"] = json!("any_filter");
                }
            }
        }
        // Schemas last as long as the process, and so do the functions that they name.
        let functions = Box::leak(Box::new([
            ("filter_config", Function::Foreign(judge)),
            ("any_filter", Function::Check(|_| Err("no wasm filters are available".to_owned()))),
        ]));
        self.replace_entity(Schema::parse_with(&text.to_string(), functions)?);
        self.set_filters(filters);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::schema::tests::{accepted, fields, insert};

    #[derive(Debug)]
    struct Judge;

    impl Foreign for Judge {
        fn validate(&self, _value: &Value) -> Result<(), String> {
            Ok(())
        }

        fn check(&self, record: &Record) -> Result<(), String> {
            match (record["name"].as_str(), record.get("config").and_then(Value::as_str)) {
                (Some("strict"), None) => Err("a config is required".to_owned()),
                _ => Ok(()),
            }
        }

        fn expand(&self, _value: &Value) -> Result<Option<Record>, String> {
            Ok(None)
        }

        fn derive(&self, _record: &mut Record) -> Result<(), String> {
            Ok(())
        }
    }

    fn catalog(names: &[&str]) -> Catalog {
        let mut catalog = Catalog::core();
        let filter = |name: &&str| FilterSchema { name: (*name).to_owned(), config_schema: json!({}) };
        catalog.enable_filters(names.iter().map(filter).collect(), &Judge).unwrap();
        catalog
    }

    fn chain(filters: Value) -> Value {
        json!({ "route": { "id": uuid::Uuid::nil().to_string() }, "filters": filters })
    }

    #[test]
    fn chains_name_filters_that_there_are() {
        let catalog = catalog(&["strict", "easy"]);
        let stored = accepted(insert(&catalog, ENTITY, chain(json!([{ "name": "easy" }]))));
        assert_eq!(stored["filters"][0], json!({ "name": "easy", "enabled": true, "config": null }));
        let refused = |filters: Value| fields(insert(&catalog, ENTITY, chain(filters)));
        assert_eq!(refused(json!([{ "name": "x" }])), json!({ "filters": [{ "name": "no such filter" }] }));
        let lacking = json!([{ "name": "strict", "config": "c" }, { "name": "strict" }]);
        assert_eq!(refused(lacking), json!({ "filters": [null, { "config": "a config is required" }] }));
        let description = catalog.entity(ENTITY).unwrap().describe().to_string();
        assert!(description.contains(r#""one_of":["strict","easy"]"#) && !description.contains("record_validator"));
    }

    #[test]
    fn without_any_filter_the_record_says_so() {
        let refused = fields(insert(&catalog(&[]), ENTITY, chain(json!([{ "name": "x" }]))));
        let expected = json!({
            "filters": [{ "name": "no such filter" }],
            "@entity": ["no wasm filters are available"],
        });
        assert_eq!(refused, expected);
    }
}

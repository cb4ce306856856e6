//! Kong's error objects: code, name, message and the tree of fields.

use crate::{Record, pretty};
use serde_json::{Value, json};

/// The kinds of failure of a data access, numbered as Kong numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    InvalidPrimaryKey = 1,
    SchemaViolation = 2,
    PrimaryKeyViolation = 3,
    ForeignKeyViolation = 4,
    UniqueViolation = 5,
    NotFound = 6,
    InvalidOffset = 7,
    DatabaseError = 8,
    InvalidSize = 9,
    InvalidUnique = 10,
    InvalidOptions = 11,
    OperationUnsupported = 12,
    ForeignKeysUnresolved = 13,
    DeclarativeConfig = 14,
    Transformation = 15,
    InvalidForeignKey = 16,
    InvalidWorkspace = 17,
    InvalidUniqueGlobal = 18,
    ReferencedByOthers = 19,
    InvalidSearchQuery = 20,
    /// Another transaction was in the way, so that the same is tried again; clients see it as an error of the database.
    DatabaseConflict = 409,
    /// Kong has no number for it: to a Kong whose database is away, that is an unexpected error.
    DatabaseUnavailable = 503,
    /// The same of one that is full.
    DatabaseFull = 507,
}

/// A failure with the words that the client sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub code: Code,
    /// Without Kong's `[postgres]`-like prefix.
    pub message: String,
    /// The `fields` tree of the body, or null; of an `invalid unique` error the name of the field, which is part of its
    /// name.
    pub fields: Value,
}

impl Error {
    /// An error without fields.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), fields: Value::Null }
    }

    /// The body of an Admin API answer: `{"code", "name", "message", "fields"}`; `fields` only when there are any
    /// (they are called `options` in errors about options).
    pub fn body(&self) -> Value {
        let mut body = json!({ "code": self.code as u16, "name": self.name(), "message": self.message });
        if !self.fields.is_null() && self.code != Code::InvalidUnique {
            body[if self.code == Code::InvalidOptions { "options" } else { "fields" }] = self.fields.clone();
        }
        body
    }

    /// The `name` of the body.
    pub fn name(&self) -> String {
        match (&self.fields, self.code) {
            (Value::String(field), Code::InvalidUnique) => format!("invalid unique {field}"),
            _ => self.code.name().to_owned(),
        }
    }

    /// The HTTP status with which the Admin API answers.
    pub fn status(&self) -> u16 {
        match self.code {
            Code::NotFound => 404,
            Code::UniqueViolation => 409,
            Code::OperationUnsupported => 405,
            Code::DatabaseError | Code::DatabaseConflict => 500,
            Code::DatabaseUnavailable => 503,
            Code::DatabaseFull => 507,
            _ => 400,
        }
    }

    /// A record breaks its schema. `errors` is the tree of fields; `@entity` holds errors of the record as a whole.
    pub fn schema_violation(errors: Record) -> Error {
        let mut lines = Vec::new();
        match errors.get("@entity") {
            Some(Value::Array(entity)) => lines.extend(entity.iter().map(text)),
            Some(single) => lines.push(text(single)),
            None => {}
        }
        let mut fields: Vec<_> = errors.iter().filter(|(name, _)| *name != "@entity").collect();
        fields.sort_by_key(|(name, _)| *name);
        for (name, error) in fields {
            match error {
                Value::Object(inner) => {
                    let mut inner: Vec<_> = inner.iter().collect();
                    inner.sort_by_key(|(name, _)| *name);
                    lines.extend(inner.into_iter().map(|(sub, error)| format!("{name}.{sub}: {}", text(error))));
                }
                Value::Array(items) => {
                    let items = items.iter().enumerate().filter(|(_, error)| !error.is_null());
                    lines.extend(items.map(|(i, error)| format!("{name}.{}: {}", i + 1, text(error))));
                }
                other => lines.push(format!("{name}: {}", text(other))),
            }
        }
        Error {
            fields: Value::Object(errors),
            ..Error::new(Code::SchemaViolation, counted("schema violation", "schema violations", &lines))
        }
    }

    /// A schema violation by one field.
    pub fn field_violation(field: &str, message: impl Into<Value>) -> Error {
        Error::schema_violation(Record::from_iter([(field.to_owned(), message.into())]))
    }

    /// A schema violation by the record as a whole.
    pub fn entity_violation(message: &str) -> Error {
        Error::field_violation("@entity", json!([message]))
    }

    /// The key in the path is malformed. `errors` says what is wrong with each of its fields.
    pub fn invalid_primary_key(errors: Record) -> Error {
        Error::about(Code::InvalidPrimaryKey, errors, |key| format!("invalid primary key: '{key}'"))
    }

    /// A foreign key in the path is malformed.
    pub fn invalid_foreign_key(errors: Record) -> Error {
        Error::about(Code::InvalidForeignKey, errors, |key| format!("invalid foreign key: '{key}'"))
    }

    /// A record with that primary key exists.
    pub fn primary_key_violation(key: Record) -> Error {
        Error::about(Code::PrimaryKeyViolation, key, |key| format!("primary key violation on key '{key}'"))
    }

    /// `field` refers to a record of `parent` (an entity's name) that does not exist.
    pub fn foreign_key_violation(field: &str, key: Record, parent: &str) -> Error {
        let key = Value::Object(key);
        let message =
            format!("the foreign key '{}' does not reference an existing '{parent}' entity.", pretty::compact(&key));
        Error { fields: json!({ field: key }), ..Error::new(Code::ForeignKeyViolation, message) }
    }

    /// There is no workspace of that id to put a record into.
    pub fn invalid_workspace(id: &str) -> Error {
        Error::new(Code::InvalidWorkspace, format!("invalid workspace '{id}'"))
    }

    /// A record of `parent` cannot be deleted while records of `child` (entities' names) refer to it.
    pub fn still_referenced(parent: &str, child: &str) -> Error {
        let message = format!("an existing '{child}' entity references this '{parent}' entity");
        Error { fields: json!({ "@referenced_by": child }), ..Error::new(Code::ForeignKeyViolation, message) }
    }

    /// Several references that name no record, as a tree of [`Error::unresolved_text`] by field and unique field.
    pub fn foreign_keys_unresolved(errors: Record) -> Error {
        let mut error = Error::schema_violation(errors);
        error.code = Code::ForeignKeysUnresolved;
        error.message = error.message.replacen("schema violation", "foreign key unresolved", 1).replacen(
            "foreign key unresolveds",
            "foreign keys unresolved",
            1,
        );
        error
    }

    /// The words for one reference that names no record.
    pub fn unresolved_text(by: &str, value: &Value, parent: &str) -> String {
        let key = pretty::compact(&json!({ by: value }));
        format!("the foreign key cannot be resolved with '{key}' for an existing '{parent}' entity")
    }

    /// Another record has these values of a unique field or combination.
    pub fn unique_violation(key: Record) -> Error {
        Error::about(Code::UniqueViolation, key, |key| format!("UNIQUE violation detected on '{key}'"))
    }

    /// No record has that primary key.
    pub fn not_found(key: Record) -> Error {
        Error::about(Code::NotFound, key, |key| format!("could not find the entity with primary key '{key}'"))
    }

    /// No record has that value of a unique field.
    pub fn not_found_by_field(field: &str, value: impl Into<Value>) -> Error {
        let key = Record::from_iter([(field.to_owned(), value.into())]);
        Error::about(Code::NotFound, key, |key| format!("could not find the entity with '{key}'"))
    }

    /// An `offset` that no page has given out; `reason` as in `bad json encoding`.
    pub fn invalid_offset(offset: &str, reason: &str) -> Error {
        Error::new(Code::InvalidOffset, format!("'{offset}' is not a valid offset: {reason}"))
    }

    /// A page size that is no number (`None`) or outside of 1 to that maximum.
    pub fn invalid_size(max: Option<usize>) -> Error {
        let message = max.map_or_else(
            || "size must be a number".to_owned(),
            |max| format!("size must be an integer between 1 and {max}"),
        );
        Error::new(Code::InvalidSize, message)
    }

    /// The value in the path can not be one of that unique field; `reason` is the field's error.
    pub fn invalid_unique(field: &str, reason: impl Into<String>) -> Error {
        Error { fields: field.into(), ..Error::new(Code::InvalidUnique, reason) }
    }

    /// What is said of a value with more octets, or elements, than there may be.
    pub fn too_long(most: usize) -> String {
        format!("length must be at most {most}")
    }

    /// Bad options of a call such as `tags` or `ttl`; a tree like that of a schema violation.
    pub fn invalid_options(errors: Record) -> Error {
        let mut error = Error::schema_violation(errors);
        error.code = Code::InvalidOptions;
        error.message = error.message.replacen("schema violations", "option violations", 1).replacen(
            "schema violation",
            "invalid option",
            1,
        );
        error
    }

    /// One bad option.
    pub fn invalid_option(name: &str, reason: &str) -> Error {
        Error::invalid_options(Record::from_iter([(name.to_owned(), reason.into())]))
    }

    /// Something that this database cannot do.
    pub fn operation_unsupported(message: impl Into<String>) -> Error {
        Error::new(Code::OperationUnsupported, message)
    }

    /// Nothing changes single records of a node whose records come from a file. `verb`: what was asked for; `field`: by
    /// what the record was named, if not by its key.
    pub fn without_database(verb: &str, entity: &str, field: Option<&str>) -> Error {
        let by = field.map(|field| format!(" by '{field}'")).unwrap_or_default();
        Error::operation_unsupported(format!("cannot {verb} '{entity}' entities{by} when not using a database"))
    }

    /// The database failed; the cause is for the log, clients get it too as Kong's do.
    pub fn database(cause: impl std::fmt::Display) -> Error {
        Error::new(Code::DatabaseError, cause.to_string())
    }

    /// Another transaction was in the way.
    pub fn conflict(cause: impl std::fmt::Display) -> Error {
        Error::new(Code::DatabaseConflict, cause.to_string())
    }

    /// The database does not answer: nothing is wrong with what it was asked, which may be tried again.
    pub fn unavailable(cause: impl std::fmt::Display) -> Error {
        Error::new(Code::DatabaseUnavailable, cause.to_string())
    }

    /// The database has no room for what was to be written.
    pub fn database_full(cause: impl std::fmt::Display) -> Error {
        Error::new(Code::DatabaseFull, cause.to_string())
    }

    /// A value derived from the record could not be computed.
    pub fn transformation(cause: impl std::fmt::Display) -> Error {
        Error::new(Code::Transformation, format!("transformation failed: {cause}"))
    }

    /// Bad declarative configuration; `errors` by entity and position.
    pub fn declarative_config(errors: Record) -> Error {
        Error::about(Code::DeclarativeConfig, errors, |tree| format!("declarative config is invalid: {tree}"))
    }

    /// Still referred to from where no foreign key says so (a list of ids).
    pub fn referenced_by_others(message: impl Into<String>) -> Error {
        Error::new(Code::ReferencedByOthers, message)
    }

    fn about(code: Code, fields: Record, message: impl FnOnce(String) -> String) -> Error {
        let fields = Value::Object(fields);
        Error { fields: fields.clone(), ..Error::new(code, message(pretty::compact(&fields))) }
    }
}

impl Code {
    /// The `name` of the error body.
    pub fn name(self) -> &'static str {
        match self {
            Code::InvalidPrimaryKey => "invalid primary key",
            Code::SchemaViolation => "schema violation",
            Code::PrimaryKeyViolation => "primary key violation",
            Code::ForeignKeyViolation => "foreign key violation",
            Code::UniqueViolation => "unique constraint violation",
            Code::NotFound => "not found",
            Code::InvalidOffset => "invalid offset",
            Code::DatabaseError | Code::DatabaseConflict => "database error",
            Code::InvalidSize => "invalid size",
            Code::InvalidUnique => "invalid unique",
            Code::InvalidOptions => "invalid options",
            Code::OperationUnsupported => "operation unsupported",
            Code::ForeignKeysUnresolved => "foreign keys unresolved",
            Code::DeclarativeConfig => "invalid declarative configuration",
            Code::Transformation => "transformation error",
            Code::InvalidForeignKey => "invalid foreign key",
            Code::InvalidWorkspace => "invalid workspace",
            Code::InvalidUniqueGlobal => "invalid global query",
            Code::ReferencedByOthers => "referenced by others",
            Code::InvalidSearchQuery => "invalid search query",
            Code::DatabaseUnavailable => "database unavailable",
            Code::DatabaseFull => "database full",
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

fn text(error: &Value) -> String {
    match error {
        Value::String(text) => text.clone(),
        other => pretty::indented(other),
    }
}

fn counted(one: &str, many: &str, lines: &[String]) -> String {
    match lines {
        [line] => format!("{one} ({line})"),
        lines => format!("{} {many} ({})", lines.len(), lines.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Value) -> Record {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn schema_violations_list_entity_errors_first_then_fields_by_name() {
        let error = Error::schema_violation(record(
            json!({"path": "value must be null", "@entity": ["failed"], "host": "required field missing"}),
        ));
        assert_eq!(
            error.message,
            "3 schema violations (failed; host: required field missing; path: value must be null)"
        );
        let error =
            Error::schema_violation(record(json!({"tags": [null, "bad"], "config": {"redis": {"host": "missing"}}})));
        assert_eq!(error.message, "2 schema violations (config.redis: {\n  host = \"missing\"\n}; tags.2: bad)");
        assert_eq!(
            Error::field_violation("id", "expected a valid UUID").message,
            "schema violation (id: expected a valid UUID)"
        );
    }

    #[test]
    fn keys_are_shown_as_lua_tables() {
        let key = record(json!({"name": "a", "service": null, "route": {"id": "r"}}));
        assert_eq!(
            Error::unique_violation(key).message,
            r#"UNIQUE violation detected on '{name="a",route={id="r"},service=null}'"#
        );
        let words = Error::unresolved_text("name", &json!("nope"), "services");
        let error = Error::foreign_keys_unresolved(record(json!({"service": {"name": words}})));
        assert_eq!(
            error.message,
            "foreign key unresolved (service.name: the foreign key cannot be resolved with '{name=\"nope\"}' for an \
             existing 'services' entity)"
        );
        assert_eq!(error.body()["code"], 13);
        let error = Error::foreign_keys_unresolved(record(json!({"route": {"name": "a"}, "service": {"name": "b"}})));
        assert_eq!(error.message, "2 foreign keys unresolved (route.name: a; service.name: b)");
    }

    #[test]
    fn bodies_have_fields_or_options_or_neither() {
        let body = Error::invalid_option("tags", "cannot be null").body();
        assert_eq!(
            body,
            json!({"code": 11, "name": "invalid options", "message": "invalid option (tags: cannot be null)",
                "options": {"tags": "cannot be null"}})
        );
        assert_eq!(
            Error::invalid_unique("name", "bad").body(),
            json!({"code": 10, "name": "invalid unique name", "message": "bad"})
        );
        assert_eq!(Error::invalid_size(Some(1000)).body()["message"], "size must be an integer between 1 and 1000");
    }
}

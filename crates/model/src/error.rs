//! Kong's error objects: code, name, message and the tree of fields.

use serde_json::{Value, json};

/// The kinds of failure of a data access, numbered as Kong numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
}

/// A failure with the words that the client sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub code: Code,
    /// Without Kong's `[postgres]`-like prefix.
    pub message: String,
    /// The `fields` tree of the body, or null.
    pub fields: Value,
}

impl Error {
    /// The body of an Admin API answer: `{"code", "name", "message", "fields"}`.
    pub fn body(&self) -> Value {
        json!({ "code": self.code as u8, "name": self.code.name(), "message": self.message, "fields": self.fields })
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
            Code::DatabaseError => "database error",
            Code::InvalidSize => "invalid size",
            Code::InvalidUnique => "invalid unique %s",
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
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

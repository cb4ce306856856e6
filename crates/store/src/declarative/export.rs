//! Everything in a store as one file, written record by record.

use super::records::{HASH, PARAMETERS};
use super::{OWN_PARAMETER, version, yaml};
use crate::layout::{WORKSPACE, WORKSPACES};
use crate::{Revision, Store};
use model::{Catalog, Error, Record};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// A file that is being written.
struct Writing {
    catalog: Arc<Catalog>,
    text: String,
    /// Where the text goes; without it, it stays.
    file: Option<File>,
    failure: Option<io::Error>,
    /// The entity of the last record.
    entity: String,
    workspace: Option<String>,
    /// In Unix seconds.
    now: i64,
}

/// What has been written.
pub struct Export {
    /// The text, unless it went to a file.
    pub text: String,
    /// The state of the store that it shows.
    pub revision: Revision,
}

/// So much is written to a file at once.
const CHUNK: usize = 256 << 10;

impl Store {
    /// Writes all records as Kong exports them, to a file or into a text. Workspaces are left out, and entities that
    /// mean nothing elsewhere.
    pub async fn export(&self, file: Option<File>) -> Result<Export, Error> {
        let mut writing = Writing {
            catalog: Arc::clone(self.catalog()),
            text: String::new(),
            file,
            failure: None,
            entity: String::new(),
            workspace: self.scope().workspace().or(self.default_workspace()).map(|id| id.to_string()),
            now: self.inner.shared.clock.now() / 1000,
        };
        yaml::write(&mut writing.text, &json!({ "_format_version": version::NEWEST, "_transform": false }), 0);
        let (revision, mut writing) = self.replay(writing, Writing::take).await?;
        writing.flush();
        match writing.failure {
            Some(failure) => Err(Error::database(format!("cannot write the file: {failure}"))),
            None => Ok(Export { text: writing.text, revision }),
        }
    }
}

impl Writing {
    fn take(&mut self, entity: &str, record: &Record) {
        let Some(schema) = self.catalog.entity(entity) else { return };
        let key = record.get("key").and_then(Value::as_str).unwrap_or_default();
        let own = entity == PARAMETERS && (key == HASH || key.starts_with(OWN_PARAMETER));
        if !schema.db_export() || own || entity == WORKSPACES {
            return;
        }
        let mut record = record.clone();
        // A file is about one workspace.
        let workspace = record.shift_remove(WORKSPACE);
        if workspace.is_some_and(|workspace| workspace.as_str() != self.workspace.as_deref()) {
            return;
        }
        for (field, _) in schema.foreign_fields() {
            if let Some(id) = record.get(&field.name).and_then(|key| key.get("id")).cloned() {
                record.insert(field.name.clone(), id);
            }
        }
        // How long a record has yet to live would be wrong a moment later.
        if let Some(ttl) = record.get("ttl").and_then(Value::as_i64) {
            record.insert("ttl".to_owned(), (self.now + ttl).into());
        }
        if entity != self.entity {
            self.entity = entity.to_owned();
            self.text.push_str(entity);
            self.text.push_str(":\n");
        }
        yaml::write(&mut self.text, &Value::Array(vec![Value::Object(record)]), 0);
        if self.text.len() > CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let (Some(file), None) = (&mut self.file, &self.failure) {
            self.failure = file.write_all(self.text.as_bytes()).err();
            self.text.clear();
        }
    }
}

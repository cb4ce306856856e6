//! Workspaces: which one's records are seen, and the one that there always is.

use crate::layout::WORKSPACES;
use model::entities::DEFAULT_WORKSPACE;
use model::{Catalog, Error, Record};
use uuid::Uuid;

/// Whose records are seen. What belongs to no workspace is seen from everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of the workspace with that id.
    Workspace(Uuid),
    /// Those of all workspaces. They can be read, changed and deleted by id; what is new needs a workspace.
    All,
}

/// The name of the workspace that there always is: paths without a workspace are about it.
pub const DEFAULT: &str = "default";

/// Its id where no other node has made it: the one by which Kong's declarative configurations know it.
pub const DEFAULT_ID: Uuid = DEFAULT_WORKSPACE;

impl Scope {
    pub fn workspace(self) -> Option<Uuid> {
        match self {
            Scope::Workspace(id) => Some(id),
            Scope::All => None,
        }
    }
}

/// The record of the default workspace, to be written when there is none; `None` where the catalog has no workspaces.
pub fn default_workspace(catalog: &Catalog) -> Result<Option<Record>, Error> {
    let Some(schema) = catalog.entity(WORKSPACES) else { return Ok(None) };
    let input = [("id", DEFAULT_ID.to_string()), ("name", DEFAULT.to_owned())];
    let input = input.map(|(field, value)| (field.to_owned(), value.into()));
    schema.process_insert(catalog, Record::from_iter(input)).map(Some)
}

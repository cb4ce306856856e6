//! Changes, as the feed hands them out.

use model::Record;

/// A point in the history of the store; grows with every committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(pub u64);

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was created or changed: `record` is what it is now.
    Put,
    /// It was deleted, itself or by cascade: `record` is what it was.
    Delete,
}

/// One record that changed.
#[derive(Clone, Debug)]
pub struct Change {
    pub operation: Operation,
    /// The entity's name, such as `routes`.
    pub entity: String,
    pub record: Record,
    /// What a changed record was before, where this node has changed it.
    pub before: Option<Record>,
    /// Whether this node has made it.
    pub is_new: bool,
}

impl Change {
    /// A change of which it is not known what was before.
    pub fn new(operation: Operation, entity: String, record: Record) -> Change {
        Change { operation, entity, record, before: None, is_new: false }
    }

    /// What Kong calls the operation.
    pub fn verb(&self) -> &'static str {
        match self.operation {
            Operation::Put if self.is_new => "create",
            Operation::Put => "update",
            Operation::Delete => "delete",
        }
    }
}

/// A record that a transaction has written, for whoever keeps a record of that.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub operation: Operation,
    /// The entity's name, such as `routes`.
    pub entity: String,
    pub record: Record,
    /// What a changed record was before.
    pub before: Option<Record>,
}

impl Recorded {
    /// What Kong calls the operation.
    pub fn verb(&self) -> &'static str {
        match (self.operation, &self.before) {
            (Operation::Put, None) => "create",
            (Operation::Put, Some(_)) => "update",
            (Operation::Delete, _) => "delete",
        }
    }
}

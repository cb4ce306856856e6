//! Pages of a collection.

use model::Record;

/// Which records of a collection to list.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// 1 to 1000; 0 means the default of 100.
    pub size: usize,
    /// The opaque `offset` of the page before.
    pub offset: Option<String>,
    pub tags: Option<TagFilter>,
    /// Only records whose foreign key field points at that id.
    pub foreign: Option<(String, String)>,
}

/// A selection by tags: `a,b` (all of them) or `a/b` (any of them).
#[derive(Clone, Debug)]
pub enum TagFilter {
    All(Vec<String>),
    Any(Vec<String>),
}

/// A page and the way to the next.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub data: Vec<Record>,
    /// What `offset` must be for the next page; `None` on the last one.
    pub offset: Option<String>,
}

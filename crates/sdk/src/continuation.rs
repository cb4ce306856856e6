//! Content of an answer that is still being made while the client gets what there is of it.

use crate::{Bytes, Exchange, LocalBoxFuture};

/// What makes the content of an answer piece by piece ([`Exchange::continuation`]).
pub trait Continuation {
    /// What comes next. It is asked for when all that came before has been sent to the client, and dropped when the
    /// client has gone.
    fn next<'a>(&'a mut self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Portion>;
}

/// A step of a [`Continuation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Portion {
    /// Octets that are sent at once; perhaps none, when only the head is to go out.
    Content(Bytes),
    /// The last ones: the client is told of the end, though there is still something to be done.
    Last(Bytes),
    /// Nothing more is to come, or to be done.
    End,
    /// The rest cannot be made, and why was logged: the client must not take what it has for the whole.
    Failed,
}

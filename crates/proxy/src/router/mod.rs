//! Finding the route of a request.
//!
//! A [`Router`] is immutable; a change makes a new one that shares what did not change, so that one write costs
//! what it touches and not what exists.

use model::entities::{Route, Service, Uuid};
use std::sync::Arc;
use wire::Fields;

/// Which of Kong's matching rules apply (`router_flavor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flavor {
    #[default]
    TraditionalCompatible,
    Traditional,
    Expressions,
}

/// What is matched of a request.
pub struct Query<'a> {
    pub method: &'a str,
    /// `https`, or `http`; with TLS or a trusted `X-Forwarded-Proto: https`.
    pub https: bool,
    /// The `Host` field as sent, possibly with a port; empty when there was none.
    pub host: &'a str,
    /// The path as routes see it: normalised, without query.
    pub path: &'a str,
    pub sni: Option<&'a str>,
    pub fields: &'a Fields,
}

/// A route that fits.
#[derive(Clone, Debug)]
pub struct Match {
    pub route: Arc<Route>,
    pub service: Option<Arc<Service>>,
    /// How much of `Query::path` the route's path matched; `None` when it has no paths.
    pub matched_path: Option<usize>,
    /// Groups of a regex path, by name and by position (`"1"`).
    pub captures: Vec<(String, String)>,
    /// The protocol does not fit (an http request for an https route): answer with the route's redirect status.
    pub wrong_protocol: bool,
}

/// All routes, in the order in which they are tried.
#[derive(Clone, Default)]
pub struct Router {
    flavor: Flavor,
}

impl Router {
    /// No routes.
    pub fn new(flavor: Flavor) -> Router {
        Router { flavor }
    }

    /// A router with these routes put (added or replaced, by id) and those removed. Errors name the routes that
    /// could not be compiled and are left out; the others take effect.
    pub fn apply(&self, put: &[(Arc<Route>, Option<Arc<Service>>)], remove: &[Uuid]) -> (Router, Vec<(Uuid, String)>) {
        todo!("{put:?} {remove:?} {:?}", self.flavor)
    }

    /// The route of a request.
    pub fn find(&self, query: &Query<'_>) -> Option<Match> {
        todo!("{}", query.path)
    }
}

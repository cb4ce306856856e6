//! The tree of endpoints: put together once, then matched segment by segment.

use crate::answer::HandlerResult;
use crate::call::Call;
use crate::resource::Subject;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The methods that an endpoint can have; `HEAD` and `OPTIONS` follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Delete,
    Get,
    Patch,
    Post,
    Put,
}

/// Answers one method of an endpoint.
pub type Handler = fn(Call) -> BoxFuture<'static, HandlerResult>;

/// A path and what it answers.
pub struct Endpoint {
    /// What the `Allow` header says.
    pub allow: String,
    /// The entities concerned, when the endpoint follows from the schemas.
    pub subject: Option<Subject>,
    methods: Vec<(Method, Handler)>,
    /// What plugins have taken the place of.
    replaced: Vec<(Method, Handler)>,
    /// Whether the content of `DELETE` says what is to be deleted.
    names_what_it_deletes: bool,
    /// Whether the audit log keeps nothing of the content of requests.
    pub keeps_no_content: bool,
    /// Whether it is a plugin's that acts in the workspace of the path.
    pub in_workspaces: bool,
    /// Whether a plugin answers any of its methods.
    pub of_plugin: bool,
}

/// All endpoints of a listener.
pub struct Endpoints {
    root: Branch,
    /// With their paths, in the order in which `GET /endpoints` lists them.
    list: Vec<(String, Arc<Endpoint>)>,
}

#[derive(Default)]
struct Branch {
    literals: HashMap<String, Branch>,
    parameter: Option<Box<Branch>>,
    endpoint: Option<Arc<Endpoint>>,
    /// Of whatever follows, as one parameter.
    remainder: Option<Arc<Endpoint>>,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Method> {
        [Method::Delete, Method::Get, Method::Patch, Method::Post, Method::Put].into_iter().find(|m| m.name() == name)
    }

    /// Whether a request with it has a body that counts.
    pub fn has_body(self) -> bool {
        matches!(self, Method::Patch | Method::Post | Method::Put)
    }
}

impl Endpoint {
    pub fn handler(&self, method: Method) -> Option<Handler> {
        self.methods.iter().find(|(m, _)| *m == method).map(|(_, handler)| *handler)
    }

    /// What answered a method before a plugin has taken its place.
    pub fn replaced(&self, method: Method) -> Option<Handler> {
        self.replaced.iter().find(|(m, _)| *m == method).map(|(_, handler)| *handler)
    }

    /// The methods that it has, but for those that follow from them.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        self.methods.iter().map(|(method, _)| *method)
    }

    /// Whether content matters though the method usually has none.
    pub fn takes_content(&self, method: Method) -> bool {
        method == Method::Delete && self.names_what_it_deletes
    }

    /// Without methods the endpoint exists by name only, as Kong's disabled ones do.
    pub fn disabled(&self) -> bool {
        self.methods.is_empty()
    }
}

impl Endpoints {
    /// The endpoint of a path (without query) and the values of its parameters, still encoded. One trailing slash is
    /// ignored.
    pub fn find<'a>(&self, path: &'a str) -> Option<(&Arc<Endpoint>, Vec<&'a str>)> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parameters = Vec::new();
        let path = (!path.is_empty()).then_some(path);
        self.root.find(path, MAX_SEGMENTS, &mut parameters).map(|endpoint| (endpoint, parameters))
    }

    /// Whether the path of an endpoint begins with that segment.
    pub fn has_first(&self, segment: &str) -> bool {
        self.root.literals.contains_key(segment)
    }

    /// All paths, in the order in which `GET /endpoints` lists them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(path, _)| path.as_str())
    }

    /// All endpoints with their paths.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Endpoint)> {
        self.list.iter().map(|(path, endpoint)| (path.as_str(), &**endpoint))
    }
}

/// No endpoint is deeper; also bounds the recursion below.
const MAX_SEGMENTS: usize = 8;

impl Branch {
    /// `path` is what follows here.
    fn find<'a>(&self, path: Option<&'a str>, deeper: usize, parameters: &mut Vec<&'a str>) -> Option<&Arc<Endpoint>> {
        let Some(path) = path else { return self.endpoint.as_ref() };
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        if !first.is_empty() && deeper > 0 {
            if let Some(found) = self.literals.get(first).and_then(|node| node.find(rest, deeper - 1, parameters)) {
                return Some(found);
            }
            if let Some(node) = &self.parameter {
                parameters.push(first);
                if let Some(found) = node.find(rest, deeper - 1, parameters) {
                    return Some(found);
                }
                parameters.pop();
            }
        }
        let remainder = self.remainder.as_ref()?;
        parameters.push(path);
        Some(remainder)
    }
}

/// Endpoints while they are put together.
#[derive(Default)]
pub struct Drafts {
    drafts: BTreeMap<String, Draft>,
}

#[derive(Default)]
struct Draft {
    subject: Option<Subject>,
    methods: BTreeMap<Method, Handler>,
    replaced: Vec<(Method, Handler)>,
    names_what_it_deletes: bool,
    keeps_no_content: bool,
    in_workspaces: bool,
    of_plugin: bool,
}

impl Drafts {
    /// Adds methods to an endpoint, or replaces those that it has.
    pub fn add(&mut self, path: &str, methods: &[(Method, Handler)]) {
        self.drafts.entry(path.to_owned()).or_default().methods.extend(methods.iter().copied());
    }

    /// As [`Drafts::add`], for a plugin; what is replaced can still be called.
    pub fn replace(&mut self, path: &str, methods: &[(Method, Handler)]) {
        let draft = self.drafts.entry(path.to_owned()).or_default();
        draft.of_plugin = true;
        for (method, handler) in methods {
            draft.replaced.extend(draft.methods.insert(*method, *handler).map(|replaced| (*method, replaced)));
        }
    }

    /// Says that what a plugin is about to add there acts in the workspace of the path. Where there is an endpoint
    /// already, that one's rules go on to hold.
    pub fn in_workspaces(&mut self, path: &str) {
        let draft = self.drafts.entry(path.to_owned()).or_default();
        draft.in_workspaces |= draft.methods.is_empty();
    }

    /// Replaces methods of an endpoint that was generated; without effect when the catalog has no such entity.
    pub fn change(&mut self, path: &str, methods: &[(Method, Handler)]) {
        if let Some(draft) = self.drafts.get_mut(path) {
            draft.methods.extend(methods.iter().copied());
        }
    }

    /// Takes all methods from an endpoint.
    pub fn disable(&mut self, path: &str) {
        if let Some(draft) = self.drafts.get_mut(path) {
            draft.methods.clear();
        }
    }

    /// What the endpoint is about.
    pub fn subject(&self, path: &str) -> Option<Subject> {
        self.drafts.get(path).and_then(|draft| draft.subject.clone())
    }

    /// As [`Drafts::add`], for an endpoint that is about entities.
    pub fn add_about(&mut self, subject: Subject, path: &str, methods: &[(Method, Handler)]) {
        let draft = self.drafts.entry(path.to_owned()).or_default();
        draft.subject = Some(subject);
        draft.methods.extend(methods.iter().copied());
    }

    /// Says that the content of `DELETE` names what is to be deleted.
    pub fn names_what_it_deletes(&mut self, path: &str) {
        if let Some(draft) = self.drafts.get_mut(path) {
            draft.names_what_it_deletes = true;
        }
    }

    /// Has the audit log keep nothing of the content of requests to an endpoint.
    pub fn keeps_no_content(&mut self, path: &str) {
        if let Some(draft) = self.drafts.get_mut(path) {
            draft.keeps_no_content = true;
        }
    }

    /// Drops all but these endpoints, and of these all but `GET`.
    pub fn keep_reading(&mut self, paths: &[&str]) {
        self.drafts.retain(|path, _| paths.contains(&path.as_str()));
        for draft in self.drafts.values_mut() {
            draft.methods.retain(|method, _| *method == Method::Get);
        }
    }

    pub fn build(self) -> Endpoints {
        let mut list = Vec::new();
        let mut root = Branch::default();
        for (path, draft) in self.drafts {
            let mut node = &mut root;
            let to_node = path.strip_suffix("/*").unwrap_or(&path);
            for segment in to_node.split('/').filter(|segment| !segment.is_empty()) {
                node = match segment.starts_with('{') {
                    true => node.parameter.get_or_insert_default(),
                    false => node.literals.entry(segment.to_owned()).or_default(),
                };
            }
            let methods: Vec<(Method, Handler)> = draft.methods.into_iter().collect();
            let endpoint = Arc::new(Endpoint {
                allow: allow(&methods),
                subject: draft.subject,
                methods,
                replaced: draft.replaced,
                names_what_it_deletes: draft.names_what_it_deletes,
                keeps_no_content: draft.keeps_no_content,
                in_workspaces: draft.in_workspaces,
                of_plugin: draft.of_plugin,
            });
            let slot = if to_node == path { &mut node.endpoint } else { &mut node.remainder };
            *slot = Some(endpoint.clone());
            list.push((path, endpoint));
        }
        list.sort_by_cached_key(|(path, _)| path.replace('/', "\0"));
        Endpoints { root, list }
    }
}

fn allow(methods: &[(Method, Handler)]) -> String {
    let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.name()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    names.join(", ")
}

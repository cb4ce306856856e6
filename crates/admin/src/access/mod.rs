//! Who uses the Admin API, and what they may do with it (`enforce_rbac`): users with tokens, administrators who log in
//! to the GUI, and the rules of their roles.
//!
//! What is not known to be allowed is refused: a user is looked for before anything else is told, and whatever fails on
//! the way ends the request.

mod attempts;
mod bootstrap;
pub mod complexity;
pub mod options;
pub mod provider;
pub mod rights;
pub mod rules;
pub mod secret;
pub mod session;

use crate::answer::Answer;
use crate::endpoint::Endpoint;
use crate::form;
use crate::node::Node;
use crate::workspace::Place;
use attempts::Attempts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use bootstrap::{give, prepare};
use hyper::header::{self, HeaderMap};
use model::{Catalog, Record, Schema};
use options::{AccessOptions, GuiAuth, ProviderKind};
use provider::{Login, LoginOutcome, LoginRequest};
use rights::{RecordRules, Rights};
use rules::{Action, Rules};
use secret::Verifier;
use serde_json::Value;
use std::sync::Arc;
use store::{DEFAULT_WORKSPACE, Key, Scope, Store};

/// Knows users, and decides about their requests.
pub struct Access {
    pub options: AccessOptions,
    /// The records of all workspaces.
    store: Store,
    node: Arc<dyn Node>,
    pub verifier: Verifier,
    attempts: Attempts,
}

/// Whoever has sent a request.
#[derive(Clone, Debug)]
pub struct User {
    /// The id of its record in `rbac_users`.
    pub id: String,
    pub name: String,
    /// The ids of its roles, those of its groups among them.
    pub roles: Vec<String>,
    /// The groups that a provider has named.
    pub groups: Vec<String>,
    /// The administrator whose user it is.
    pub admin: Option<Record>,
    /// The cookie of a session that is due for renewal.
    pub cookie: Option<String>,
}

/// An administrator who has shown who that is.
pub struct Known {
    pub admin: Record,
    /// The groups that a provider has named.
    pub groups: Vec<String>,
}

/// The status of an administrator who has registered.
pub const APPROVED: u64 = 0;
/// The status of one who has yet to.
pub const INVITED: u64 = 4;

/// Anybody may ask these: they find out for themselves who asks.
const OPEN: &[&str] = &["/auth", "/admins/register", "/admins/password_resets"];
/// Every user may ask these: they are about the user that asks.
const OWN: &[&str] = &["/userinfo", "/admins/self/password", "/admins/self/token"];
/// First segments of paths that are about no record, and change nothing.
const OPEN_TO_READ: &[&str] = &["", "endpoints", "plugins", "schemas", "status", "tags", "timers"];
/// First segments of paths that are about what belongs to a workspace, or about nothing that can be changed, beside
/// those of entities that belong to workspaces.
const OF_WORKSPACES: &[&str] = &["", "endpoints", "openapi.json", "schemas", "status", "tags", "timers"];

impl Access {
    pub fn new(store: &Store, node: Arc<dyn Node>, options: AccessOptions) -> Access {
        let attempts = Attempts::new(options.gui.as_ref());
        Access { options, store: store.of(Scope::All), node, verifier: Verifier::new(), attempts }
    }

    /// The user that a request is from; `None` where it makes no difference.
    pub async fn user(&self, path: &str, headers: &HeaderMap) -> Result<Option<User>, Answer> {
        if !self.options.enforcement.is_on() || OPEN.contains(&path.trim_end_matches('/')) {
            return Ok(None);
        }
        self.authenticate(headers).await.map(Some)
    }

    /// The user that a request says it is from, by a token, by the session of the GUI or by name and password.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<User, Answer> {
        let mut tokens = headers.get_all(&self.options.token_header).iter();
        let found = match (tokens.next(), tokens.next(), &self.options.gui) {
            (Some(token), None, _) => match token.to_str() {
                Ok(token) if !token.is_empty() => self.by_token(token).await?,
                _ => None,
            },
            (None, _, Some(gui)) => self.by_gui(gui, headers).await?,
            _ => None,
        };
        found.ok_or_else(|| Answer::message(401, "Invalid RBAC credentials"))
    }

    /// Whether the GUI has sent a request.
    pub fn is_gui(&self, headers: &HeaderMap) -> bool {
        let gui = self.options.gui.as_ref();
        gui.is_some_and(|gui| headers.contains_key(&gui.user_header) || headers.contains_key(header::COOKIE))
    }

    /// Whether a user may do what a request asks for.
    pub async fn authorize(
        &self,
        user: Option<&User>,
        place: &Place<'_>,
        endpoint: Option<&Endpoint>,
        method: &str,
    ) -> Result<(), Answer> {
        let Some(user) = user.filter(|_| !OWN.contains(&place.path.trim_end_matches('/'))) else { return Ok(()) };
        let segments = place.path.split('/').filter(|segment| !segment.is_empty());
        // As the handlers read them, so that no other spelling is another endpoint.
        let path: Option<Vec<String>> = segments.map(|segment| form::unescape(segment.as_bytes())).collect();
        let path = path.ok_or_else(|| Answer::message(400, "Path is not valid UTF-8"))?;
        let action = Action::of_method(method).ok_or_else(Answer::method_not_allowed)?;
        let catalog = self.store.catalog();
        if !self.options.enforcement.asks_endpoints() && is_about_records(catalog, endpoint, &path) {
            return Ok(());
        }
        let workspace = judged_in(catalog, place, endpoint, &path);
        match self.rules(&user.roles).await?.allow(workspace, &path, action) {
            true => Ok(()),
            false => Err(user.refusal(action)),
        }
    }

    /// What a user may do with single records of a workspace, if these are looked at.
    pub fn rights(&self, user: Option<&User>, store: &Store) -> Option<Arc<Rights>> {
        let user = user.filter(|_| self.options.enforcement.asks_records())?;
        Some(Arc::new(Rights::new(user, store)))
    }

    /// The ids of the roles of a user, and of its groups.
    pub async fn roles(&self, user: &str) -> Result<Vec<String>, Answer> {
        let links = self.store.all_for("rbac_user_roles", "user", user).await?;
        let mut roles: Vec<String> = links.iter().map(|link| foreign(link, "role")).collect();
        for link in self.store.all_for("rbac_user_groups", "user", user).await? {
            let of_group = self.store.all_for("group_rbac_roles", "group", &foreign(&link, "group")).await?;
            roles.extend(of_group.iter().map(|link| foreign(link, "rbac_role")));
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(roles)
    }

    /// The rules of some roles about endpoints.
    pub async fn rules(&self, roles: &[String]) -> Result<Rules, Answer> {
        let mut rules = Rules::default();
        for role in roles {
            self.store.all_for("rbac_role_endpoints", "role", role).await?.iter().for_each(|rule| rules.add(rule));
        }
        Ok(rules)
    }

    /// The rules of some roles about single records.
    pub async fn record_rules(&self, roles: &[String]) -> Result<RecordRules, Answer> {
        let mut rules = RecordRules::default();
        for role in roles {
            self.store.all_for(rights::ENTITY, "role", role).await?.iter().for_each(|rule| rules.add(rule));
        }
        Ok(rules)
    }

    /// Who has that token, in whatever workspace.
    pub async fn by_token(&self, token: &str) -> Result<Option<User>, Answer> {
        for record in self.store.all_by("rbac_users", "user_token_ident", &[secret::ident(token)]).await? {
            if !self.verifier.is_right(token, Some(text(&record, "user_token"))).await {
                continue;
            }
            let Some(user) = self.enabled(record, Vec::new()).await? else { continue };
            let may_use_tokens = |admin: &Record| admin.get("rbac_token_enabled") == Some(&Value::Bool(true));
            return Ok(Some(user).filter(|user| user.admin.as_ref().is_none_or(may_use_tokens)));
        }
        Ok(None)
    }

    async fn by_gui(&self, gui: &GuiAuth, headers: &HeaderMap) -> Result<Option<User>, Answer> {
        match session::find(&self.store, &gui.session, headers).await? {
            Some(session) => {
                let Some(admin) = self.store.get("admins", &Key::Id(session.admin)).await? else { return Ok(None) };
                let user = self.of_admin(Known { admin, groups: session.groups }).await?;
                let cookie = session.renewed;
                Ok(user.filter(|user| says_so(gui, headers, user)).map(|user| User { cookie, ..user }))
            }
            None => {
                let Some(known) = self.by_password(gui, headers).await? else { return Ok(None) };
                Ok(self.of_admin(known).await?.filter(|user| says_so(gui, headers, user)))
            }
        }
    }

    /// Who gives its name and its password (`Authorization: Basic`).
    pub async fn by_password(&self, gui: &GuiAuth, headers: &HeaderMap) -> Result<Option<Known>, Answer> {
        let Some((name, password)) = basic(headers) else { return Ok(None) };
        let Some(provider) = &gui.provider else {
            let admin = self.admin(&name).await?;
            let right = self.is_password(admin.as_ref(), &password).await;
            return Ok(admin.filter(|_| right).map(|admin| Known { admin, groups: Vec::new() }));
        };
        if provider.kind != ProviderKind::Ldap {
            return Ok(None);
        }
        let line =
            (header::AUTHORIZATION.to_string(), format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))));
        let Login { outcome, .. } =
            self.node.identify(LoginRequest { target: "/auth".to_owned(), headers: vec![line] }).await;
        let identity = match outcome {
            LoginOutcome::Known(identity) => Some(identity),
            LoginOutcome::Unavailable => return Err(Answer::message(503, "The identity provider does not answer")),
            LoginOutcome::Refused | LoginOutcome::Redirect(_) => None,
        };
        // Whoever is no administrator here was asked about all the same, so that nobody learns who is.
        let Some(admin) = self.known_as(provider, &name).await? else { return Ok(None) };
        let right = self.attempts.allow(text(&admin, "id"), identity.is_some());
        let Some(identity) = identity.filter(|_| right) else { return Ok(None) };
        Ok(Some(Known { admin, groups: self.known_groups(identity.groups).await? }))
    }

    /// Whether that is the password of an administrator. Too many wrong ones refuse the right one; it takes as long
    /// then, and where there is no such administrator.
    pub async fn is_password(&self, admin: Option<&Record>, password: &str) -> bool {
        let hash = admin.and_then(|admin| admin.get("password")).and_then(Value::as_str);
        let right = self.verifier.is_right(password, hash).await;
        admin.is_some_and(|admin| self.attempts.allow(text(admin, "id"), right))
    }

    /// An administrator has a new password: wrong ones of before do not count.
    pub fn forget_attempts(&self, admin: &str) {
        self.attempts.forget(admin);
    }

    /// The administrator of that name, address or id elsewhere, in whatever workspace.
    pub async fn admin(&self, name: &str) -> Result<Option<Record>, Answer> {
        for field in ["username", "email", "custom_id"] {
            if let Some(admin) = self.store.get_by("admins", field, name).await? {
                return Ok(Some(admin));
            }
        }
        Ok(None)
    }

    /// The user of an administrator who has registered.
    pub async fn of_admin(&self, known: Known) -> Result<Option<User>, Answer> {
        let Known { admin, groups } = known;
        if admin.get("status").and_then(Value::as_u64) != Some(APPROVED) {
            return Ok(None);
        }
        match self.store.get("rbac_users", &Key::Id(foreign(&admin, "rbac_user"))).await? {
            Some(record) => self.enabled(record, groups).await,
            None => Ok(None),
        }
    }

    async fn enabled(&self, record: Record, groups: Vec<String>) -> Result<Option<User>, Answer> {
        if record.get("enabled") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let id = text(&record, "id").to_owned();
        let admin = self.store.all_for("admins", "rbac_user", &id).await?.pop();
        let mut roles = self.roles(&id).await?;
        for group in &groups {
            roles.extend(self.roles_of_group(group).await?);
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(Some(User { id, name: text(&record, "name").to_owned(), roles, groups, admin, cookie: None }))
    }
}

impl User {
    /// The answer to what it may not do.
    pub fn refusal(&self, action: Action) -> Answer {
        let words = format!("{}, you do not have permissions to {} this resource", self.name, action.name());
        Answer::message(403, words)
    }
}

/// Whether an endpoint is about records that there are rules about, or tells what is nobody's secret: where only single
/// records are looked at, nothing is asked about it but these. Who may do what, and the node, is never among them.
fn is_about_records(catalog: &Catalog, endpoint: Option<&Endpoint>, path: &[String]) -> bool {
    let first = path.first().map_or("", String::as_str);
    let Some(endpoint) = endpoint else { return true };
    let Some(subject) = &endpoint.subject else { return OPEN_TO_READ.contains(&first) };
    let about = |name: &str| catalog.entity(name).is_some_and(|schema| rights::are_about(schema));
    about(&subject.outer.name) && subject.inner.as_ref().is_none_or(|inner| about(&inner.name))
}

/// The name of the workspace by whose rules a request is judged. What is about the node, or about all workspaces, is
/// the default one's, whatever workspace the path names; of itself, a workspace can be asked.
fn judged_in<'p>(catalog: &Catalog, place: &'p Place<'_>, endpoint: Option<&Endpoint>, path: &[String]) -> &'p str {
    let first = path.first().map_or("", String::as_str);
    let of_workspaces = match endpoint {
        // There is nothing.
        None => true,
        Some(endpoint) if endpoint.in_workspaces => true,
        Some(endpoint) => match endpoint.subject.as_ref().and_then(|subject| catalog.entity(&subject.outer.name)) {
            Some(schema) => schema.workspaceable(),
            None => {
                let begins = |schema: &Arc<Schema>| schema.path_name().split('/').next() == Some(first);
                OF_WORKSPACES.contains(&first)
                    || catalog.entities().any(|schema| schema.workspaceable() && begins(schema))
            }
        },
    };
    let of_itself = first == "workspaces" && path.get(1).is_some_and(|name| *name == place.workspace);
    if of_workspaces || of_itself { &place.workspace } else { DEFAULT_WORKSPACE }
}

/// Whether the GUI means that user too, if it says whom it means: by its name, or by what it has logged in as.
pub fn says_so(gui: &GuiAuth, headers: &HeaderMap, user: &User) -> bool {
    let username = user.admin.as_ref().map_or("", |admin| text(admin, "username"));
    let said = headers.get(&gui.user_header);
    let logs_in_as = || basic(headers).is_some_and(|(name, _)| said.is_some_and(|said| *said == *name));
    said.is_none_or(|said| *said == *username) || logs_in_as()
}

/// Name and password of `Authorization: Basic`.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// A field that is text.
pub fn text<'r>(record: &'r Record, field: &str) -> &'r str {
    record.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The id that a foreign key holds.
pub fn foreign(record: &Record, field: &str) -> String {
    let id = record.get(field).and_then(|key| key.get("id")).and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

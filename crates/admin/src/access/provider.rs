//! Administrators who are known elsewhere: to an LDAP server, or to an issuer of OpenID Connect. An authentication
//! plugin finds out who somebody is ([`crate::Node::identify`]). Which administrator that is, and what it may do, is
//! decided here: a provider's groups stand for groups of the same name, and `workspace:role` of an issuer for a role.

use super::options::{Provider, ProviderKind};
use super::{Access, foreign, rights, text};
use crate::answer::Answer;
use model::Record;
use store::{DEFAULT_WORKSPACE, Key, PageQuery, Scope};

/// What an authentication plugin sees of a request.
#[derive(Debug)]
pub struct LoginRequest {
    /// Path and query.
    pub target: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
}

/// What it has found out.
#[derive(Debug)]
pub struct Login {
    pub outcome: LoginOutcome,
    /// Values of `Set-Cookie`.
    pub cookies: Vec<String>,
}

#[derive(Debug)]
pub enum LoginOutcome {
    Known(Identity),
    /// The browser has to go there.
    Redirect(String),
    Refused,
    /// The provider does not answer.
    Unavailable,
}

/// Somebody whom a provider knows.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub name: String,
    pub groups: Vec<String>,
}

/// Octets of a name that can be an administrator's or a group's.
const LONGEST_NAME: usize = 256;
/// So many of a provider's groups are looked for.
const MOST_GROUPS: usize = 1000;

impl Access {
    /// The administrator whom a provider knows by that name.
    pub async fn known_as(&self, provider: &Provider, name: &str) -> Result<Option<Record>, Answer> {
        if !is_name(name) {
            return Ok(None);
        }
        let field = if provider.by_custom_id { "custom_id" } else { "username" };
        let found = self.store.get_by("admins", field, name).await?;
        if found.is_some() || !provider.ignore_case {
            return Ok(found);
        }
        let mut query = PageQuery { size: 1000, ..PageQuery::default() };
        let mut alike = Vec::new();
        loop {
            let page = self.store.page("admins", &query).await?;
            let is_alike = |admin: &Record| text(admin, field).to_lowercase() == name.to_lowercase();
            alike.extend(page.data.into_iter().filter(is_alike));
            match page.offset {
                Some(offset) => query.offset = Some(offset),
                // Of two that differ by case only, nobody knows which one is meant.
                None => return Ok(alike.pop().filter(|_| alike.is_empty())),
            }
        }
    }

    /// Those of a provider's groups that stand for something here.
    pub async fn known_groups(&self, groups: Vec<String>) -> Result<Vec<String>, Answer> {
        if groups.len() > MOST_GROUPS {
            tracing::warn!("an administrator is in {} groups, of which {MOST_GROUPS} are looked for", groups.len());
        }
        let mut known = Vec::new();
        for group in groups.into_iter().take(MOST_GROUPS) {
            if !known.contains(&group) && !self.roles_of_group(&group).await?.is_empty() {
                known.push(group);
            }
        }
        Ok(known)
    }

    /// The ids of the roles that a provider's group stands for.
    pub async fn roles_of_group(&self, group: &str) -> Result<Vec<String>, Answer> {
        let provider = self.options.gui.as_ref().and_then(|gui| gui.provider.as_ref());
        let Some(provider) = provider.filter(|_| is_name(group)) else { return Ok(Vec::new()) };
        let mut roles = Vec::new();
        if let Some(group) = self.store.get_by("groups", "name", group).await? {
            let links = self.store.all_for("group_rbac_roles", "group", text(&group, "id")).await?;
            roles.extend(links.iter().map(|link| foreign(link, "rbac_role")));
        }
        if let Some((workspace, role)) = group.split_once(':').filter(|_| provider.kind == ProviderKind::OpenidConnect)
        {
            roles.extend(self.role_of(workspace, role).await?);
        }
        Ok(roles)
    }

    async fn role_of(&self, workspace: &str, role: &str) -> Result<Option<String>, Answer> {
        let id = match workspace {
            DEFAULT_WORKSPACE => self.store.default_workspace(),
            name => {
                let found = self.store.get_by("workspaces", "name", name).await?;
                found.and_then(|workspace| text(&workspace, "id").parse().ok())
            }
        };
        let Some(id) = id.filter(|_| !role.is_empty()) else { return Ok(None) };
        let found = self.store.of(Scope::Workspace(id)).get("rbac_roles", &Key::Name(role.to_owned())).await?;
        Ok(found.filter(|role| !rights::is_own(role)).map(|role| text(&role, "id").to_owned()))
    }
}

/// Whether a provider's word can be a name here.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME
}

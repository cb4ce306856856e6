//! What `ldap-auth-advanced` takes from a caller's entry.

use sdk::entities::Consumer;
use sdk::{Config, Env, Exchange, Fields, LdapEntry, Records, SnapshotRef};
use serde_json::Value;

/// What it has beside what `ldap-auth` has.
pub struct Advanced {
    /// Who looks for entries, and the password.
    pub searcher: Option<(String, String)>,
    /// The attribute that says in which groups a caller is.
    member_attribute: String,
    group_base: String,
    group_attribute: String,
    /// One of these lists of groups; none: no groups are required.
    required: Vec<Vec<String>>,
    pub consumer_optional: bool,
    consumer_by: Vec<String>,
    records: Records,
}

/// The check that the schema names: without its password nobody can look for entries.
pub fn check(config: &Value) -> Result<(), String> {
    let text = |field: &str| config.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let flag = |field: &str| config.get(field).and_then(Value::as_bool).unwrap_or(false);
    if flag("ldaps") && flag("start_tls") {
        return Err("'ldaps' and 'start_tls' cannot be enabled simultaneously".to_owned());
    }
    if flag("log_search_results") {
        return Err("log_search_results is not available".to_owned());
    }
    match (text("bind_dn"), text("ldap_password")) {
        (Some(_), None) => Err("bind_dn needs ldap_password".to_owned()),
        _ => Ok(()),
    }
}

impl Advanced {
    pub fn new(config: &Config<'_>, env: &Env) -> Advanced {
        let text = |field: &str| config.text(field).filter(|text| !text.is_empty()).map(str::to_owned);
        let searcher = text("bind_dn").zip(text("ldap_password"));
        let words = |entry: &String| entry.split_whitespace().map(str::to_owned).collect();
        let usual = |field: &str| text(field).unwrap_or_default();
        Advanced {
            searcher,
            member_attribute: text("group_member_attribute").unwrap_or_else(|| "memberOf".to_owned()),
            group_base: text("group_base_dn").unwrap_or_else(|| usual("base_dn")),
            group_attribute: text("group_name_attribute").unwrap_or_else(|| usual("attribute")),
            required: config.texts("groups_required").iter().map(words).collect(),
            consumer_optional: config.flag("consumer_optional"),
            consumer_by: config.texts("consumer_by"),
            records: env.records().clone(),
        }
    }

    /// What tells its answers from those of others.
    pub fn source(&self) -> String {
        let searcher = self.searcher.as_ref().map_or("", |(dn, _)| dn);
        format!("{searcher}|{}", self.member_attribute)
    }

    /// The attribute that is wanted of entries.
    pub fn wanted(&self) -> Option<String> {
        Some(self.member_attribute.clone())
    }

    /// The names of a caller's groups: those of entries below the groups' base.
    pub fn groups(&self, entry: &LdapEntry) -> Vec<String> {
        let is_wanted = |name: &str| name.eq_ignore_ascii_case(&self.member_attribute);
        let attributes = entry.attributes.iter().filter(|(name, _)| is_wanted(name));
        attributes.flat_map(|(_, values)| values).filter_map(|dn| self.group_in(dn)).collect()
    }

    /// Whether a caller is in the groups that are required.
    pub fn suffice(&self, groups: &[String]) -> bool {
        let mut lists = self.required.iter();
        self.required.is_empty() || lists.any(|list| list.iter().all(|group| groups.contains(group)))
    }

    /// The consumer of that name.
    pub async fn consumer(&self, exchange: &Exchange, username: &str) -> Result<Option<SnapshotRef<Consumer>>, String> {
        for by in &self.consumer_by {
            let found = if by == "username" {
                exchange.find_consumer_by_username(username)
            } else {
                let asked = self.records.find(exchange.workspace(), "consumers", "custom_id", username).await;
                let record = asked.map_err(|error| error.to_string())?;
                let id = record.as_ref().and_then(|record| record.get("id")?.as_str()?.parse().ok());
                id.and_then(|id| exchange.find_consumer(&id))
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Tells the gateway and the service of a caller's groups.
    pub fn tell(&self, exchange: &mut Exchange, groups: Vec<String>) {
        const GROUPS: &str = "X-Authenticated-Groups";
        exchange.request.fields.remove(GROUPS);
        let line = groups.join(", ");
        if !groups.is_empty() && Fields::is_valid_value(line.as_bytes()) {
            exchange.request.fields.set(GROUPS, line.as_bytes());
        }
        exchange.authenticated_groups = Some(groups);
    }

    /// The name in `cn=name,ou=groups,dc=test`.
    fn group_in(&self, dn: &str) -> Option<String> {
        let (first, base) = dn.split_once(',')?;
        let (attribute, name) = first.split_once('=')?;
        let spaceless = |dn: &str| dn.split(',').map(|part| part.trim().to_lowercase()).collect::<Vec<_>>();
        let is_below = spaceless(base).ends_with(&spaceless(&self.group_base));
        let is_name = attribute.trim().eq_ignore_ascii_case(&self.group_attribute);
        (is_below && is_name).then(|| name.trim().to_owned())
    }
}

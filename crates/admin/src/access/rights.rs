//! What a user may do with single records (`enforce_rbac = entity | both`): rules that name a record, all records of a
//! workspace, or all there are. What a user has created, it may do everything with.

use super::rules::{ACTIONS, ANY, Action};
use super::{User, foreign, text};
use crate::answer::Answer;
use model::schema::links;
use model::{Catalog, Record, Schema};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use store::{Key, Operation, Recorded, Scope, Store, Transaction};

/// The entity of such rules.
pub const ENTITY: &str = "rbac_role_entities";
/// Connects consumers with their groups: it goes by the rules about these.
const MEMBERSHIPS: &str = "consumer_group_consumers";

/// A user, whose roles are asked about records.
#[derive(Clone)]
pub struct Rights {
    user: User,
    /// The records of the workspace that is asked about.
    store: Store,
}

/// The rules that roles have about some records, by what they are about.
#[derive(Debug, Default)]
pub struct RecordRules {
    rules: HashMap<String, Vec<RecordRule>>,
}

#[derive(Debug)]
struct RecordRule {
    actions: Vec<Action>,
    negative: bool,
    /// Where a role is not the default workspace's, it speaks of its own only.
    within: Option<String>,
}

/// Something that is done to a record.
struct Deed<'a> {
    id: &'a str,
    workspace: Option<&'a str>,
    action: Action,
}

/// Whether there are rules about single records of an entity.
pub fn are_about(schema: &Schema) -> bool {
    schema.generate_admin_api()
}

impl Rights {
    pub fn new(user: &User, store: &Store) -> Rights {
        Rights { user: user.clone(), store: store.clone() }
    }

    /// What is said about some records of a workspace.
    pub async fn rules(&self, ids: &[&str], workspace: Option<&str>) -> Result<RecordRules, Answer> {
        let about = about(ids.iter().copied().chain(workspace));
        Ok(self.of_roles(self.store.all_by(ENTITY, "entity_id", &about).await?))
    }

    /// The answer to what is not allowed.
    pub fn refusal(&self, action: Action) -> Answer {
        self.user.refusal(action)
    }

    /// Whether all may be done that a transaction has written, and whether what it newly refers to may be seen.
    pub fn check(&self, transaction: &mut Transaction<'_>, written: &[Recorded]) -> Result<(), Answer> {
        let catalog = transaction.catalog();
        let created: HashSet<&str> = written.iter().filter(|one| one.verb() == "create").map(id).collect();
        let here = self.store.scope().workspace().map(|id| id.to_string());
        let here = here.as_deref();
        let mut deeds = Vec::new();
        let mut of_members = Vec::new();
        for one in written {
            let Some(schema) = catalog.entity(&one.entity) else { continue };
            if one.entity == MEMBERSHIPS {
                of_members.push(references(catalog, schema, &one.record, here).collect::<Vec<_>>());
            } else if !are_about(schema) {
                continue;
            } else if !created.contains(id(one)) {
                let action = if one.operation == Operation::Delete { Action::Delete } else { Action::Update };
                deeds.push(Deed { id: id(one), workspace: place(schema, &one.record, here), action });
            }
            if one.operation == Operation::Put {
                let before: Vec<&str> =
                    one.before.iter().flat_map(|b| references(catalog, schema, b, here)).map(|deed| deed.id).collect();
                let new = references(catalog, schema, &one.record, here);
                deeds.extend(new.filter(|deed| !created.contains(deed.id) && !before.contains(&deed.id)));
            }
        }
        let all = || deeds.iter().chain(of_members.iter().flatten());
        let about = about(all().map(|deed| deed.id).chain(all().filter_map(|deed| deed.workspace)));
        let rules = self.of_roles(transaction.all_by(ENTITY, "entity_id", &about)?);
        if let Some(refused) = deeds.iter().find(|deed| !rules.allow(deed.id, deed.workspace, deed.action)) {
            return Err(self.refusal(refused.action));
        }
        // Who may change or delete one side may end the connection, or make it.
        let may = |deed: &Deed<'_>| {
            let changes = [Action::Update, Action::Delete];
            changes.iter().any(|action| rules.allow(deed.id, deed.workspace, *action)) || created.contains(deed.id)
        };
        match of_members.iter().all(|sides| sides.iter().any(may)) {
            true => Ok(()),
            false => Err(self.refusal(Action::Update)),
        }
    }

    /// Gives the user all rights to what it has created, and takes away what was said about records that are gone.
    pub fn follow(&self, transaction: &mut Transaction<'_>, written: &[Recorded]) -> Result<(), Answer> {
        let catalog = transaction.catalog();
        let about = |one: &&Recorded| catalog.entity(&one.entity).is_some_and(|schema| are_about(schema));
        let gone: Vec<String> =
            written.iter().filter(about).filter(|one| one.verb() == "delete").map(|one| id(one).to_owned()).collect();
        for rule in transaction.all_by(ENTITY, "entity_id", &gone)? {
            transaction.delete(ENTITY, &Key::Id(text(&rule, "id").to_owned()))?;
        }
        let created: Vec<&Recorded> = written.iter().filter(about).filter(|one| one.verb() == "create").collect();
        if created.is_empty() {
            return Ok(());
        }
        let role = self.own_role(transaction)?;
        let actions: Vec<&str> = ACTIONS.into_iter().map(Action::name).collect();
        for one in created {
            let rule = json!({
                "role": { "id": role },
                "entity_id": id(one),
                "entity_type": one.entity,
                "actions": actions,
            });
            transaction.insert(ENTITY, rule.as_object().cloned().unwrap_or_default())?;
        }
        Ok(())
    }

    /// The id of the role that is the user's alone, which it gets when it needs one. It has the user's name if it can.
    fn own_role(&self, transaction: &mut Transaction<'_>) -> Result<String, Answer> {
        transaction.enter(Scope::All);
        let user = &self.user;
        for link in transaction.all_for("rbac_user_roles", "user", &user.id)? {
            let role = transaction.get("rbac_roles", &Key::Id(foreign(&link, "role")))?;
            if let Some(role) = role.filter(is_own) {
                return Ok(text(&role, "id").to_owned());
            }
        }
        let default = self.store.default_workspace().ok_or_else(Answer::unexpected)?;
        transaction.enter(Scope::Workspace(default));
        let taken = transaction.get("rbac_roles", &Key::Name(user.name.clone()))?.is_some();
        let role = json!({
            "name": if taken { &user.id } else { &user.name },
            "comment": format!("Default user role generated for {}", user.name),
            "is_default": true,
        });
        let role = transaction.insert("rbac_roles", role.as_object().cloned().unwrap_or_default())?;
        let link = json!({ "user": { "id": user.id }, "role": { "id": role["id"] } });
        transaction.insert("rbac_user_roles", link.as_object().cloned().unwrap_or_default())?;
        Ok(text(&role, "id").to_owned())
    }

    fn of_roles(&self, records: Vec<Record>) -> RecordRules {
        let mut rules = RecordRules::default();
        let of_user = |rule: &&Record| self.user.roles.contains(&foreign(rule, "role"));
        records.iter().filter(of_user).for_each(|rule| rules.add(rule));
        rules
    }
}

impl RecordRules {
    /// Adds a record of `rbac_role_entities`.
    pub fn add(&mut self, record: &Record) {
        let actions = record.get("actions").and_then(Value::as_array).into_iter().flatten();
        let within = record.get("within").and_then(Value::as_str).map(str::to_owned);
        let rule = RecordRule {
            actions: actions.filter_map(|action| Action::of_name(action.as_str()?)).collect(),
            negative: record.get("negative").and_then(Value::as_bool).unwrap_or(true),
            within,
        };
        self.rules.entry(text(record, "entity_id").to_owned()).or_default().push(rule);
    }

    /// Whether that may be done to a record. What is said of it and of its workspace goes before what is said of all;
    /// a rule that forbids goes before those that allow, and what no rule allows is refused.
    pub fn allow(&self, id: &str, workspace: Option<&str>, action: Action) -> bool {
        for level in [&[Some(id), workspace][..], &[Some(ANY)]] {
            let rules = level.iter().flatten().filter_map(|about| self.rules.get(*about)).flatten();
            let counts = |rule: &&RecordRule| {
                let speaks = rule.within.is_none() || rule.within.as_deref() == workspace;
                speaks && rule.actions.contains(&action)
            };
            let said: Vec<bool> = rules.filter(counts).map(|rule| !rule.negative).collect();
            if !said.is_empty() {
                return said.into_iter().all(|allowed| allowed);
            }
        }
        false
    }

    /// The rules as `GET …/permissions` shows them: by what they are about.
    pub fn describe(&self) -> Value {
        let describe = |(about, rules): (&String, &Vec<RecordRule>)| {
            // As with endpoints: what forbids is shown in the place of what allows.
            let negative = rules.iter().any(|rule| rule.negative);
            let named = |action: &Action| rules.iter().any(|r| r.negative == negative && r.actions.contains(action));
            let actions: Vec<&str> = ACTIONS.into_iter().filter(named).map(Action::name).collect();
            (about.clone(), json!({ "actions": actions, "negative": negative }))
        };
        Value::Object(self.rules.iter().map(describe).collect::<Map<_, _>>())
    }
}

/// Whether a role is that of one user alone.
pub fn is_own(role: &Record) -> bool {
    role.get("is_default") == Some(&Value::Bool(true))
}

/// The workspace that a record of an entity is in: that of a record that the feed has, or the present one.
fn place<'r>(schema: &Schema, record: &'r Record, here: Option<&'r str>) -> Option<&'r str> {
    record.get("ws_id").and_then(Value::as_str).or(here).filter(|_| schema.workspaceable())
}

/// What a record refers to, to be seen.
fn references<'r>(
    catalog: &'r Catalog,
    schema: &'r Schema,
    record: &'r Record,
    here: Option<&'r str>,
) -> impl Iterator<Item = Deed<'r>> {
    let foreign = schema.foreign_fields().filter_map(|(field, entity)| {
        let target = catalog.entity(entity).filter(|target| are_about(target))?;
        Some((target, record.get(&field.name)?.get("id")?.as_str()?))
    });
    let partials = catalog.entity("partials").into_iter().filter(|_| schema.name == "plugins");
    let partials = partials.flat_map(|target| links(record).map(move |link| (target, link.id)));
    foreign.chain(partials).map(move |(target, id)| Deed {
        id,
        workspace: place(target, record, here),
        action: Action::Read,
    })
}

/// What rules about records are found by.
fn about<'a>(named: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut about: Vec<String> = named.chain([ANY]).map(str::to_owned).collect();
    about.sort_unstable();
    about.dedup();
    about
}

fn id(one: &Recorded) -> &str {
    text(&one.record, "id")
}

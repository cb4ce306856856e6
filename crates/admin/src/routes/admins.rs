//! `/admins`: people with a user of their own, who are invited, register with a password and log in to the GUI. Links
//! to register and to choose a new password are valid for `admin_invitation_expiry`; no mail is sent, who may read
//! administrators gives them away.

use super::rbac::{check_reach, delete_user, give_roles, names, roles_of, take_roles};
use crate::access::rules::Action;
use crate::access::{self, APPROVED, INVITED, secret, session, text};
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::{Drafts, Method};
use crate::resource::{Resource, Subject};
use crate::{entity, nested, page};
use model::{Catalog, Error, Record};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use store::{DEFAULT_WORKSPACE, Key, Scope};

pub const ENTITY: &str = "admins";
const ONE: &str = "/admins/{admins}";
/// What is nobody's business.
const SECRETS: &[&str] = &["password", "invitation", "invited_at", "reset", "reset_at", "rbac_user"];

pub fn add(drafts: &mut Drafts, catalog: &Catalog) {
    let Some(outer) = Resource::all(catalog).remove(ENTITY) else { return };
    let subject = Subject { outer, inner: None, field: String::new() };
    drafts.add_about(
        subject.clone(),
        "/admins",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(invite(call)))],
    );
    drafts.add_about(
        subject.clone(),
        ONE,
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    let roles = format!("{ONE}/roles");
    drafts.add_about(
        subject.clone(),
        &roles,
        &[
            (Method::Get, |call| Box::pin(roles_shown(call, 200))),
            (Method::Post, |call| Box::pin(add_roles(call))),
            (Method::Delete, |call| Box::pin(remove_roles(call))),
        ],
    );
    drafts.names_what_it_deletes(&roles);
    drafts.add_about(subject, &format!("{ONE}/workspaces"), &[(Method::Get, |call| Box::pin(workspaces(call)))]);
    drafts.add("/admins/register", &[(Method::Post, |call| Box::pin(register(call)))]);
    drafts.add(
        "/admins/password_resets",
        &[(Method::Post, |call| Box::pin(request_reset(call))), (Method::Patch, |call| Box::pin(reset_password(call)))],
    );
    drafts.add("/admins/self/password", &[(Method::Patch, |call| Box::pin(change_password(call)))]);
    drafts.add("/admins/self/token", &[(Method::Patch, |call| Box::pin(renew_token(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let all = call.query.first("all_workspaces") == Some("true") && call.workspace == DEFAULT_WORKSPACE;
    let here = call.store.whole();
    let store = if all { here.of(Scope::All) } else { here.clone() };
    let found = store.page(&resource.name, &page::query(&call.query, &resource)?).await?;
    let carried = format!("{}{}", page::carried(&call.query), if all { "&all_workspaces=true" } else { "" });
    let shown = found.data.into_iter().map(shown).collect();
    Ok(Answer::new(200, page::answer(shown, found.offset, &format!("{}/admins", call.prefix), &carried)))
}

/// Nobody knows the token of the new user before its owner has made one.
async fn invite(mut call: Call) -> HandlerResult {
    let mut input = call.input(ENTITY)?;
    refuse_secrets(&input)?;
    if !input.get("email").is_some_and(Value::is_string) {
        return Err(Error::field_violation("email", "required field missing").into());
    }
    let token = secret::generate()?;
    let hash = secret::hash("user_token", &token).await?;
    input.insert("status".to_owned(), INVITED.into());
    let record = call.write(move |transaction| {
        let user =
            json!({ "name": input.get("username"), "user_token": hash, "user_token_ident": secret::ident(&token) });
        let user = transaction.insert("rbac_users", user.as_object().cloned().unwrap_or_default())?;
        let mut input = input.clone();
        input.insert("rbac_user".to_owned(), json!({ "id": user["id"] }));
        Ok(transaction.insert(ENTITY, input)?)
    });
    Ok(Answer::new(200, json!({ "admin": shown(record.await?) })))
}

/// With `generate_register_url=true`, a new link to register, and with `generate_reset_url=true` one to choose a new
/// password, which take the place of the one before.
async fn read(call: Call) -> HandlerResult {
    let admin = of_workspace(&call).await?;
    let asks = |name: &str| call.query.first(name) == Some("true");
    let registers = asks("generate_register_url");
    if !registers && !asks("generate_reset_url") {
        return Ok(Answer::new(200, shown(admin)));
    }
    check_passwords(&call)?;
    // A link is worth a password: who may only look at administrators does not get one.
    if let Some(user) = &call.user {
        let path = ["admins", text(&admin, "id")].map(str::to_owned);
        if !call.state.access.rules(&user.roles).await?.allow(&call.workspace, &path, Action::Update) {
            return Err(user.refusal(Action::Update));
        }
    }
    check_reach(&call, &access::foreign(&admin, "rbac_user")).await?;
    let status = admin.get("status").and_then(Value::as_u64);
    let (fields, link, page) = match registers {
        true if status != Some(INVITED) => return Err(Answer::message(400, "the admin has registered already")),
        false if status != Some(APPROVED) => return Err(Answer::message(400, "the admin has not registered yet")),
        true => (["invitation", "invited_at"], "register_url", "register"),
        false => (["reset", "reset_at"], "reset_url", "account/reset-password"),
    };
    let token = secret::generate()?;
    let change = json!({ fields[0]: secret::hash("token", &token).await?, fields[1]: now() });
    let (id, change) = (nested::id(&admin), change.as_object().cloned().unwrap_or_default());
    call.write(move |transaction| Ok(transaction.update(ENTITY, &Key::Id(id.clone()), change.clone())?)).await?;
    let escaped = |field: &str| utf8_percent_encode(text(&admin, field), NON_ALPHANUMERIC).to_string();
    let base = call.state.access.options.gui_url.as_deref().unwrap_or_default().trim_end_matches('/');
    let url = format!("{base}/{page}?email={}&username={}&token={token}", escaped("email"), escaped("username"));
    let mut answer = shown(admin.clone());
    answer[link] = url.into();
    answer["token"] = token.into();
    Ok(Answer::new(200, answer))
}

async fn change(mut call: Call) -> HandlerResult {
    let admin = of_workspace(&call).await?;
    let input = call.input(ENTITY)?;
    refuse_secrets(&input)?;
    if input.get("status").is_some_and(|status| Some(status) != admin.get("status")) {
        return Err(Error::field_violation("status", "changes when the admin registers").into());
    }
    let (id, user) = (nested::id(&admin), access::foreign(&admin, "rbac_user"));
    check_reach(&call, &user).await?;
    let record = call.write(move |transaction| {
        if let Some(name) = input.get("username").filter(|name| name.is_string()) {
            let rename = Record::from_iter([("name".to_owned(), name.clone())]);
            transaction.update("rbac_users", &Key::Id(user.clone()), rename)?;
        }
        let changed = transaction.update(ENTITY, &Key::Id(id.clone()), input.clone())?;
        changed.ok_or_else(Answer::not_found)
    });
    Ok(Answer::new(200, shown(record.await?)))
}

/// With its user, and with that all else that is its own.
async fn delete(call: Call) -> HandlerResult {
    match of_workspace(&call).await {
        Ok(admin) => {
            let user = access::foreign(&admin, "rbac_user");
            check_reach(&call, &user).await?;
            let user = Key::Id(user);
            call.write(move |transaction| delete_user(transaction, &user)).await?;
        }
        Err(answer) if answer.status == 404 => {}
        Err(answer) => return Err(answer),
    }
    Ok(Answer::empty(204))
}

async fn roles_shown(call: Call, status: u16) -> HandlerResult {
    let user = access::foreign(&anywhere(&call).await?, "rbac_user");
    Ok(Answer::new(status, json!({ "roles": roles_of(&call, &user).await? })))
}

async fn add_roles(call: Call) -> HandlerResult {
    let user = access::foreign(&anywhere(&call).await?, "rbac_user");
    give_roles(&call, &user, names(&call.content, "roles")?).await?;
    roles_shown(call, 201).await
}

async fn remove_roles(call: Call) -> HandlerResult {
    let user = access::foreign(&anywhere(&call).await?, "rbac_user");
    take_roles(&call, &user, names(&call.content, "roles")?).await?;
    Ok(Answer::empty(204))
}

/// The workspaces about which the administrator's roles say something.
async fn workspaces(call: Call) -> HandlerResult {
    let access = &call.state.access;
    let roles = access.roles(&access::foreign(&anywhere(&call).await?, "rbac_user")).await?;
    let rules = access.rules(&roles).await?;
    let mut found = page::all(&call.store, "workspaces").await?;
    found.retain(|workspace| rules.speak_of(text(workspace, "name")));
    Ok(Answer::new(200, found.into_iter().map(Value::Object).collect()))
}

/// What an invited administrator answers, with the token of the invitation.
async fn register(mut call: Call) -> HandlerResult {
    check_passwords(&call)?;
    let content = std::mem::take(&mut call.content);
    let (admin, password) = of_link(&call, &content, INVITED, ["invitation", "invited_at"]).await?;
    let change = json!({ "password": password, "status": APPROVED, "invitation": null, "invited_at": null });
    update_anywhere(&call, ENTITY, nested::id(&admin), change).await?;
    Ok(Answer::empty(201))
}

/// An administrator has forgotten the password. The answer does not tell whether there is one; the log tells those who
/// may give a link away.
async fn request_reset(call: Call) -> HandlerResult {
    check_gui(&call)?;
    let email = content_field(&call.content, "email")?;
    let admin = call.state.access.admin(email).await?;
    let registered = |admin: &Record| admin.get("status").and_then(Value::as_u64) == Some(APPROVED);
    if let Some(admin) = admin.filter(registered) {
        let id = text(&admin, "id");
        tracing::warn!(
            "an administrator asks for a new password: GET /admins/{id}?generate_reset_url=true (in its workspace) \
             gives a link to choose one"
        );
    }
    Ok(Answer::empty(201))
}

/// What an administrator with such a link answers. All sessions end.
async fn reset_password(mut call: Call) -> HandlerResult {
    check_gui(&call)?;
    let content = std::mem::take(&mut call.content);
    let (admin, password) = of_link(&call, &content, APPROVED, ["reset", "reset_at"]).await?;
    let (id, change) = (nested::id(&admin), json!({ "password": password, "reset": null, "reset_at": null }));
    update_anywhere(&call, ENTITY, id.clone(), change).await?;
    let access = &call.state.access;
    if let Some(gui) = &access.options.gui {
        session::end_others(call.store.whole(), &gui.session, None, &id).await?;
    }
    access.forget_attempts(&id);
    Ok(Answer::empty(200))
}

/// The administrator whom content names, with the hash of its new password, if it has the token of a link. The fields
/// hold the token's hash, and when it was made.
async fn of_link(
    call: &Call,
    content: &Content,
    status: u64,
    [hash, made]: [&str; 2],
) -> Result<(Record, String), Answer> {
    let name = content_field(content, "username").or_else(|_| content_field(content, "email"))?;
    let (token, password) = (content_field(content, "token")?, content_field(content, "password")?);
    let access = &call.state.access;
    let admin = access.admin(name).await?;
    let number = |admin: &Record, field: &str| admin.get(field).and_then(Value::as_u64);
    let valid = admin.as_ref().filter(|admin| {
        let since = now().saturating_sub(number(admin, made).unwrap_or_default());
        number(admin, "status") == Some(status) && since <= access.options.invitation.as_secs()
    });
    let hash = valid.and_then(|admin| admin.get(hash)).and_then(Value::as_str);
    let right = access.verifier.is_right(token, hash).await;
    let admin = admin.filter(|_| right).ok_or_else(|| Answer::message(401, "Unauthorized"))?;
    check_password(call, password)?;
    Ok((admin, secret::hash("password", password).await?))
}

/// A password that is chosen must be as `admin_gui_auth_password_complexity` says.
fn check_password(call: &Call, password: &str) -> Result<(), Answer> {
    match &call.state.access.options.gui {
        Some(gui) if !gui.complexity.allows(password) => {
            Err(Answer::message(400, "password is too long, too short or of too few kinds of characters"))
        }
        _ => Ok(()),
    }
}

fn content_field<'c>(content: &'c Content, name: &str) -> Result<&'c str, Answer> {
    let given = content.field(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    given.ok_or_else(|| Answer::message(400, format!("{name} is required")))
}

/// Without `admin_gui_auth` there is nothing to log in to.
fn check_gui(call: &Call) -> Result<(), Answer> {
    check_passwords(call)?;
    call.state.access.options.gui.as_ref().map(drop).ok_or_else(Answer::not_found)
}

/// Where a provider knows administrators, passwords are its own.
fn check_passwords(call: &Call) -> Result<(), Answer> {
    match call.state.access.options.gui.as_ref().and_then(|gui| gui.provider.as_ref()) {
        Some(_) => Err(Answer::message(404, "Passwords are those of the identity provider")),
        None => Ok(()),
    }
}

/// An administrator's own password, which ends all other sessions.
async fn change_password(mut call: Call) -> HandlerResult {
    check_passwords(&call)?;
    let admin = own(&call)?;
    let content = std::mem::take(&mut call.content);
    let field = |name: &str| content.field(name).and_then(Value::as_str).unwrap_or_default();
    if !call.state.access.is_password(Some(&admin), field("old_password")).await {
        return Err(Answer::message(400, "old_password is wrong"));
    }
    if field("password").is_empty() {
        return Err(Answer::message(400, "password is required"));
    }
    check_password(&call, field("password"))?;
    let change = json!({ "password": secret::hash("password", field("password")).await? });
    update_anywhere(&call, ENTITY, nested::id(&admin), change).await?;
    if let Some(gui) = &call.state.access.options.gui {
        session::end_others(call.store.whole(), &gui.session, Some(&call.headers), &nested::id(&admin)).await?;
    }
    Ok(Answer::empty(204))
}

/// A new token for an administrator's own user, shown this once.
async fn renew_token(call: Call) -> HandlerResult {
    let admin = own(&call)?;
    if admin.get("rbac_token_enabled") != Some(&Value::Bool(true)) {
        return Err(Answer::message(403, "the admin may not use tokens"));
    }
    let token = secret::generate()?;
    let change = json!({
        "user_token": secret::hash("user_token", &token).await?,
        "user_token_ident": secret::ident(&token),
    });
    update_anywhere(&call, "rbac_users", access::foreign(&admin, "rbac_user"), change).await?;
    Ok(Answer::new(200, json!({ "token": token, "message": "Token reset successfully" })))
}

/// Changes what need not be in the workspace that the call is about.
pub async fn update_anywhere(call: &Call, entity: &str, id: String, change: Value) -> Result<(), Answer> {
    let (entity, change) = (entity.to_owned(), change.as_object().cloned().unwrap_or_default());
    let updated = call.write(move |transaction| {
        transaction.enter(Scope::All);
        Ok(transaction.update(&entity, &Key::Id(id.clone()), change.clone())?)
    });
    updated.await.map(drop)
}

/// The administrator who asks.
fn own(call: &Call) -> Result<Record, Answer> {
    call.user.as_ref().and_then(|user| user.admin.clone()).ok_or_else(Answer::not_found)
}

/// The administrator that the path names, by id, name, address or id elsewhere, in whatever workspace.
async fn anywhere(call: &Call) -> Result<Record, Answer> {
    let named = call.parameter(0);
    let found = match store::is_uuid(&named) {
        true => call.store.whole().of(Scope::All).get(ENTITY, &Key::Id(named)).await?,
        false => call.state.access.admin(&named).await?,
    };
    found.ok_or_else(Answer::not_found)
}

/// The same, in the workspace of the call only.
async fn of_workspace(call: &Call) -> Result<Record, Answer> {
    let id = nested::id(&anywhere(call).await?);
    call.store.get(ENTITY, &Key::Id(id)).await?.ok_or_else(Answer::not_found)
}

fn refuse_secrets(input: &Record) -> Result<(), Answer> {
    match SECRETS.iter().find(|field| input.contains_key(**field)) {
        Some(field) => Err(Error::field_violation(field, "cannot be set").into()),
        None => Ok(()),
    }
}

/// As it is shown.
pub fn shown(mut admin: Record) -> Value {
    admin.retain(|field, _| !SECRETS.contains(&field.as_str()));
    Value::Object(admin)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

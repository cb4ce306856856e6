//! `/auth` and `/userinfo`: how administrators log in to the GUI, and what it has to know of them.

use super::admins;
use crate::access::options::{GuiAuth, Provider, ProviderKind};
use crate::access::provider::{Identity, Login, LoginOutcome, LoginRequest, is_name};
use crate::access::{self, APPROVED, INVITED, Known, secret, session, text};
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::{nested, page};
use hyper::header::{self, HeaderName};
use model::Record;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The argument of `/auth` with which a session ends at the issuer, too, as Kong Manager has it.
pub const PROVIDER_LOGOUT: &str = "openid_logout";
/// What a plugin sees of a browser's request.
const SEEN: [HeaderName; 3] = [header::HOST, header::ACCEPT, header::COOKIE];

pub fn add(drafts: &mut Drafts) {
    drafts.add(
        "/auth",
        &[(Method::Get, |call| Box::pin(log_in(call))), (Method::Delete, |call| Box::pin(log_out(call)))],
    );
    drafts.add("/userinfo", &[(Method::Get, |call| Box::pin(info(call)))]);
}

/// Name and password in `Authorization`, or a browser on its way to an issuer and back; a session begins in the end.
async fn log_in(call: Call) -> HandlerResult {
    let gui = gui(&call)?;
    match &gui.provider {
        Some(provider) if provider.kind == ProviderKind::OpenidConnect => by_issuer(&call, gui, provider).await,
        provider => {
            let known = call.state.access.by_password(gui, &call.headers).await?.ok_or_else(unauthorized)?;
            let known = if provider.is_some() { approved(&call, known).await? } else { known };
            let cookie = enter(&call, gui, known).await?;
            Ok(Answer::new(200, json!({})).with_header("set-cookie", cookie))
        }
    }
}

/// Begins the session of an administrator; the cookie.
async fn enter(call: &Call, gui: &GuiAuth, known: Known) -> Result<String, Answer> {
    let user = call.state.access.of_admin(known).await?.filter(|user| access::says_so(gui, &call.headers, user));
    let user = user.ok_or_else(unauthorized)?;
    let admin = user.admin.ok_or_else(unauthorized)?;
    // A session that the browser has had, from whomever, does not go on beside the new one.
    session::end(call.store.whole(), &gui.session, &call.headers).await?;
    session::begin(call.store.whole(), &gui.session, text(&admin, "id"), &user.groups).await
}

/// Where an issuer knows administrators: sends the browser there, and takes it in when it comes back.
async fn by_issuer(call: &Call, gui: &GuiAuth, provider: &Provider) -> HandlerResult {
    let Login { outcome, cookies } = call.state.node.identify(seen(call)).await;
    let answer = match outcome {
        LoginOutcome::Known(identity) => match come_back(call, gui, provider, identity).await {
            Ok(cookie) => Ok(to(&provider.gui_url).with_header("set-cookie", cookie)),
            Err(answer) => Err(answer),
        },
        LoginOutcome::Redirect(uri) => Ok(to(&uri)),
        LoginOutcome::Refused => Err(unauthorized()),
        LoginOutcome::Unavailable => Err(Answer::message(503, "The identity provider does not answer")),
    };
    let answer = match answer {
        Err(refusal) if shows_pages(call) => {
            let mark = if provider.gui_url.contains('?') { '&' } else { '?' };
            let outcome = if refusal.status == 401 { "refused" } else { "failed" };
            to(&format!("{}{mark}login={outcome}", provider.gui_url))
        }
        Ok(answer) | Err(answer) => answer,
    };
    let mut answer = cookies.into_iter().fold(answer, |answer, cookie| answer.with_header("set-cookie", cookie));
    if call.query.first(PROVIDER_LOGOUT).is_some() && session::is_named(&gui.session, &call.headers) {
        let ended = session::end(call.store.whole(), &gui.session, &call.headers).await?;
        answer = answer.with_header("set-cookie", ended);
    }
    Ok(answer)
}

/// Begins the session of somebody whom the issuer knows, and who may have become an administrator by that.
async fn come_back(call: &Call, gui: &GuiAuth, provider: &Provider, identity: Identity) -> Result<String, Answer> {
    let access = &call.state.access;
    let known = access.known_as(provider, &identity.name).await?;
    let admin = match known {
        Some(admin) => admin,
        None if provider.creates && is_name(&identity.name) => create(call, provider, &identity.name).await?,
        None => {
            tracing::info!("{} has logged in with the issuer, and is no administrator", identity.name);
            return Err(unauthorized());
        }
    };
    let groups = access.known_groups(identity.groups).await?;
    let known = approved(call, Known { admin, groups }).await?;
    enter(call, gui, known).await
}

/// An administrator who was invited, and has come by a provider, need not choose a password.
async fn approved(call: &Call, known: Known) -> Result<Known, Answer> {
    if known.admin.get("status").and_then(Value::as_u64) != Some(INVITED) {
        return Ok(known);
    }
    let change = json!({ "status": APPROVED, "invitation": null, "invited_at": null });
    admins::update_anywhere(call, admins::ENTITY, nested::id(&known.admin), change.clone()).await?;
    let mut admin = known.admin;
    admin.extend(change.as_object().cloned().unwrap_or_default());
    Ok(Known { admin, ..known })
}

/// Makes somebody an administrator, without roles. Who has the name of a user does not become that user.
async fn create(call: &Call, provider: &Provider, name: &str) -> Result<Record, Answer> {
    let token = secret::generate()?;
    let hash = secret::hash("user_token", &token).await?;
    let (name, called, field) = (name.to_owned(), name, if provider.by_custom_id { "custom_id" } else { "username" });
    let with_token = provider.with_token;
    let made = call.write(move |transaction| {
        let user = json!({ "name": name, "user_token": hash, "user_token_ident": secret::ident(&token) });
        let user = transaction.insert("rbac_users", user.as_object().cloned().unwrap_or_default())?;
        let mut admin = json!({
            "username": name, "status": APPROVED, "rbac_token_enabled": with_token, "rbac_user": { "id": user["id"] }
        });
        admin[field] = name.clone().into();
        Ok(transaction.insert(admins::ENTITY, admin.as_object().cloned().unwrap_or_default())?)
    });
    made.await.map_err(|answer| match answer.status {
        400..500 => {
            tracing::warn!(
                "{called} has logged in with the issuer, and cannot become an administrator: {:?}",
                answer.body
            );
            unauthorized()
        }
        _ => answer,
    })
}

/// What a plugin sees of a request.
fn seen(call: &Call) -> LoginRequest {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pair = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("{}={}", escape(name), escape(value)),
        None => escape(name),
    };
    let query: Vec<String> = call.query.0.iter().map(pair).collect();
    let target = if query.is_empty() { call.path.clone() } else { format!("{}?{}", call.path, query.join("&")) };
    let headers = SEEN.iter().flat_map(|name| call.headers.get_all(name).iter().map(move |value| (name, value)));
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    LoginRequest { target, headers: headers.collect() }
}

/// Sends a browser elsewhere.
fn to(uri: &str) -> Answer {
    Answer::empty(302).with_header("location", uri).with_header("cache-control", "no-store")
}

/// Whether a browser shows the answer to somebody.
fn shows_pages(call: &Call) -> bool {
    let accepted = call.headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

async fn log_out(call: Call) -> HandlerResult {
    let gui = gui(&call)?;
    if call.query.first("session_logout") != Some("true") {
        return Err(Answer::message(400, "session_logout must be true"));
    }
    let cookie = session::end(call.store.whole(), &gui.session, &call.headers).await?;
    Ok(Answer::empty(200).with_header("set-cookie", cookie))
}

async fn info(call: Call) -> HandlerResult {
    let user = call.user.as_ref().ok_or_else(Answer::not_found)?;
    let access = &call.state.access;
    let (rules, records) = (access.rules(&user.roles).await?, access.record_rules(&user.roles).await?);
    let mut workspaces = page::all(&call.store, "workspaces").await?;
    workspaces.retain(|workspace| rules.speak_of(text(workspace, "name")));
    Ok(Answer::new(
        200,
        json!({
            "admin": user.admin.clone().map_or(json!({ "username": user.name }), admins::shown),
            "groups": user.groups,
            "permissions": { "endpoints": rules.describe(), "entities": records.describe() },
            "workspaces": workspaces.into_iter().map(Value::Object).collect::<Vec<_>>(),
        }),
    ))
}

fn unauthorized() -> Answer {
    Answer::message(401, "Unauthorized")
}

/// Without `admin_gui_auth` nobody logs in.
fn gui(call: &Call) -> Result<&GuiAuth, Answer> {
    call.state.access.options.gui.as_ref().ok_or_else(Answer::not_found)
}

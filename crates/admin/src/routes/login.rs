//! `/auth` and `/userinfo`: how administrators log in to the GUI, and what it has to know of them.

use super::admins;
use crate::access::options::GuiAuth;
use crate::access::{session, text};
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::page;
use serde_json::{Value, json};

pub fn add(drafts: &mut Drafts) {
    drafts.add(
        "/auth",
        &[(Method::Get, |call| Box::pin(log_in(call))), (Method::Delete, |call| Box::pin(log_out(call)))],
    );
    drafts.add("/userinfo", &[(Method::Get, |call| Box::pin(info(call)))]);
}

/// Name and password in `Authorization`; the answer begins a session.
async fn log_in(call: Call) -> HandlerResult {
    let gui = gui(&call)?;
    let user = call.state.access.by_password(gui, &call.headers).await?;
    let admin = user.and_then(|user| user.admin).ok_or_else(|| Answer::message(401, "Unauthorized"))?;
    // A session that the browser has had, from whomever, does not go on beside the new one.
    session::end(call.store.whole(), &gui.session, &call.headers).await?;
    let cookie = session::begin(call.store.whole(), &gui.session, text(&admin, "id")).await?;
    Ok(Answer::new(200, json!({})).with_header("set-cookie", cookie))
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
            "groups": [],
            "permissions": { "endpoints": rules.describe(), "entities": records.describe() },
            "workspaces": workspaces.into_iter().map(Value::Object).collect::<Vec<_>>(),
        }),
    ))
}

/// Without `admin_gui_auth` nobody logs in.
fn gui(call: &Call) -> Result<&GuiAuth, Answer> {
    call.state.access.options.gui.as_ref().ok_or_else(Answer::not_found)
}

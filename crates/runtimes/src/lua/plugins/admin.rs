//! Endpoints of the Admin API and the Status API that plugins bring along (`api.lua`, `status_api.lua`), on a thread
//! with a machine of its own: their code may wait, and keeps neither workers nor the functions of schemas waiting.

use crate::lua::Phase;
use crate::lua::turn::Job;
use crate::lua::value::{Nulls, text, to_json, to_lua};
use crate::lua::vm::{Vm, words};
use mlua::{Function, Table, Value};
use sdk::{AdminAnswer, AdminContent, AdminEndpoint, AdminRequest};
use serde_json::{Map, Value as Json, json};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// How long an endpoint may take in all.
const LONGEST: Duration = Duration::from_secs(60);
/// Requests that wait for the thread, at most.
const WAITING: usize = 256;

/// A request, and who waits for the answer.
struct Asked {
    plugin: &'static str,
    request: AdminRequest,
    reply: oneshot::Sender<AdminAnswer>,
}

static THREAD: Mutex<Option<mpsc::Sender<Asked>>> = Mutex::new(None);

/// Answers a request to an endpoint of a plugin.
pub async fn answer(plugin: &'static str, request: AdminRequest) -> AdminAnswer {
    let (reply, answered) = oneshot::channel();
    let sent = match thread() {
        Ok(thread) => thread.try_send(Asked { plugin, request, reply }).is_ok(),
        Err(error) => {
            tracing::error!(plugin, "cannot start the thread of Lua's endpoints: {error}");
            false
        }
    };
    let answer = if sent { answered.await.ok() } else { None };
    answer.unwrap_or_else(unexpected)
}

/// The endpoints that a plugin's routes make, on the one API or on the other.
pub fn endpoints(vm: &Vm, routes: &Table, of_status: bool) -> mlua::Result<Vec<AdminEndpoint>> {
    let listed: Vec<Table> = vm.slot.raw_get::<Function>("endpoints")?.call(routes)?;
    let mut endpoints = Vec::new();
    for endpoint in listed {
        let path: String = endpoint.raw_get(1)?;
        let names: Vec<String> = endpoint.raw_get(2)?;
        let known = ["DELETE", "GET", "PATCH", "POST", "PUT"];
        let methods: Vec<&'static str> =
            known.into_iter().filter(|method| names.iter().any(|name| name == method)).collect();
        let (path, methods): (&'static str, &'static [&'static str]) = (path.leak(), methods.leak());
        let (on_admin, on_status) = (!of_status, of_status);
        let (with_instances, in_workspaces) = (false, true);
        endpoints.push(AdminEndpoint { path, methods, on_admin, on_status, with_instances, in_workspaces });
    }
    Ok(endpoints)
}

fn thread() -> std::io::Result<mpsc::Sender<Asked>> {
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*thread {
        return Ok(sender.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (sender, mut asked) = mpsc::channel::<Asked>(WAITING);
    std::thread::Builder::new().name("lua-admin".to_owned()).stack_size(sdk::STACK).spawn(move || {
        let tasks = LocalSet::new();
        let serving = tasks.run_until(async move {
            while let Some(Asked { plugin, request, reply }) = asked.recv().await {
                tokio::task::spawn_local(async move {
                    let endpoint = request.endpoint;
                    let answer = match tokio::time::timeout(LONGEST, run(plugin, request)).await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(error)) => {
                            tracing::error!(plugin, endpoint, phase = "admin_api", "{}", words(&error));
                            unexpected()
                        }
                        Err(_) => {
                            tracing::error!(plugin, endpoint, phase = "admin_api", "the endpoint takes too long");
                            unexpected()
                        }
                    };
                    // Who has asked may have gone.
                    drop(reply.send(answer));
                });
            }
        });
        runtime.block_on(serving);
    })?;
    Ok(thread.insert(sender).clone())
}

fn unexpected() -> AdminAnswer {
    AdminAnswer::json(500, json!({ "message": "An unexpected error occurred" }))
}

async fn run(plugin: &'static str, request: AdminRequest) -> mlua::Result<AdminAnswer> {
    let vm = Vm::of_thread()?;
    let asked = to_lua(&vm.lua, &described(&request), Nulls::Kept, None)?;
    let (host, answer): (Function, Table) = vm.slot.raw_get::<Function>("admin_host")?.call(&asked)?;
    let context = Some(vm.new_context()?);
    let mut job = Job {
        phase: Phase::AdminApi,
        instance: 0,
        plugin_id: None,
        plugin: Some(plugin),
        context,
        host: None,
        is_plugin: true,
        may_wait: true,
    };
    job.host = Some(host);
    let done = follow(&vm, &job, plugin, request.endpoint, asked, answer.clone()).await;
    let (body, status): (Value, Option<u16>) = (answer.raw_get("body")?, answer.raw_get("status")?);
    let (content, usual) = match (answer.raw_get::<Value>("parent")?, text(&body)) {
        (Value::Nil, Some(body)) => match serde_json::from_slice(&body) {
            Ok(json) => (AdminContent::Json(json), 200),
            Err(_) => (AdminContent::Text(String::from_utf8_lossy(&body).into_owned()), 200),
        },
        (Value::Nil, None) => (AdminContent::None, 204),
        (changed, _) => {
            let changed = if changed.is_table() { to_json(&changed)? } else { Json::Null };
            (AdminContent::Replaced(changed.as_object().cloned()), 200)
        }
    };
    if status.is_none() && content == AdminContent::None {
        // Without an answer there may have been an error.
        done?;
    }
    let mut said = AdminAnswer::new(status.unwrap_or(usual), content);
    for pair in answer.raw_get::<Table>("headers")?.pairs::<String, Value>() {
        let (name, value) = pair?;
        let lines = value.as_table().map_or_else(|| vec![text(&value)], lines_of);
        let lines = lines.into_iter().flatten().map(|line| String::from_utf8_lossy(&line).into_owned());
        if name == "set-cookie" {
            said.headers.extend(lines.map(|line| (name.clone(), line)));
        } else {
            said.headers.push((name, lines.collect::<Vec<_>>().join(", ")));
        }
    }
    Ok(said)
}

fn lines_of(values: &Table) -> Vec<Option<Vec<u8>>> {
    values.sequence_values::<Value>().map(|value| value.ok().and_then(|value| text(&value))).collect()
}

/// Runs the endpoint to its end, which an answer is, too.
async fn follow(vm: &Rc<Vm>, job: &Job, plugin: &str, endpoint: &str, asked: Value, answer: Table) -> mlua::Result<()> {
    let admin: Function = vm.slot.raw_get("admin")?;
    let (_, waits) = vm.turn(job, None, None, || vm.begin.call((admin, plugin, endpoint, asked, answer)))?;
    vm.follow(job, None, waits?).await.map(drop)
}

/// A request as the code gets it.
fn described(request: &AdminRequest) -> Json {
    let query: Map<String, Json> = request.query.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let segments = request.endpoint.split('/').skip(1).zip(&request.path);
    let named = segments.filter_map(|(segment, value)| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some((name.to_owned(), json!(value)))
    });
    let params: Map<String, Json> = named.collect();
    json!({
        "method": request.method,
        "path": format!("/{}", request.path.join("/")),
        "query": query,
        "params": params,
        "body": request.body,
        "of_status": request.of_status,
        // What the code does is about the workspace of the path, as roles are checked for that one.
        "workspace": request.workspace.to_string(),
    })
}

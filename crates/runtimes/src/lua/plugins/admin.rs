//! Endpoints of the Admin API and the Status API that plugins bring along (`api.lua`, `status_api.lua`), on a thread
//! with a machine of its own: their code may wait, and keeps neither workers nor the functions of schemas waiting.

use super::{Definition, daos, instance};
use crate::lua::turn::Job;
use crate::lua::value::{Nulls, text, to_json, to_lua};
use crate::lua::vm::{Vm, words};
use crate::lua::{Phase, timers};
use mlua::{Function, IntoLuaMulti, Table, Value};
use sdk::{AdminAnswer, AdminContent, AdminEndpoint, AdminRequest, DaoAnswer, DaoCall};
use serde_json::{Map, Value as Json, json};
use std::cell::RefCell;
use std::collections::HashSet;
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

/// A request, what is to be done for it, and who waits for the answer.
struct Asked {
    plugin: &'static str,
    request: AdminRequest,
    work: Work,
}

enum Work {
    Endpoint(&'static Definition, oneshot::Sender<AdminAnswer>),
    Dao(DaoCall, oneshot::Sender<DaoAnswer>),
}

thread_local! {
    /// Plugins whose handlers have begun on this thread.
    static STARTED: RefCell<HashSet<&'static str>> = RefCell::default();
}

static THREAD: Mutex<Option<mpsc::Sender<Asked>>> = Mutex::new(None);

/// Answers a request to an endpoint of a plugin.
pub(super) async fn answer(definition: &'static Definition, request: AdminRequest) -> AdminAnswer {
    let (reply, answered) = oneshot::channel();
    let sent = hand(Asked { plugin: definition.name, request, work: Work::Endpoint(definition, reply) });
    let answer = if sent { answered.await.ok() } else { None };
    answer.unwrap_or_else(unexpected)
}

/// Calls a function of data access that a plugin has in the place of the store's.
pub async fn call_dao(request: AdminRequest, call: DaoCall) -> DaoAnswer {
    let (reply, answered) = oneshot::channel();
    let plugin = daos::of(&call.entity).map_or("", |dao| dao.plugin);
    let sent = hand(Asked { plugin, request, work: Work::Dao(call, reply) });
    let answer = if sent { answered.await.ok() } else { None };
    answer.unwrap_or_else(|| DaoAnswer::Said(unexpected()))
}

/// Has the thread do something; whether it will.
fn hand(asked: Asked) -> bool {
    let plugin = asked.plugin;
    match thread() {
        Ok(thread) => thread.try_send(asked).is_ok(),
        Err(error) => {
            tracing::error!(plugin, "cannot start the thread of Lua's endpoints: {error}");
            false
        }
    }
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
        timers::run_here();
        let serving = tasks.run_until(async move {
            while let Some(asked) = asked.recv().await {
                tokio::task::spawn_local(serve(asked));
            }
        });
        runtime.block_on(serving);
    })?;
    Ok(thread.insert(sender).clone())
}

fn unexpected() -> AdminAnswer {
    AdminAnswer::json(500, json!({ "message": "An unexpected error occurred" }))
}

/// Who has asked may have gone.
async fn serve(Asked { plugin, request, work }: Asked) {
    match work {
        Work::Endpoint(definition, reply) => {
            let endpoint = request.endpoint;
            let answer = within(plugin, endpoint, run(definition, request)).await;
            drop(reply.send(answer.unwrap_or_else(unexpected)));
        }
        Work::Dao(call, reply) => {
            let name = format!("{}:{}", call.entity, call.function);
            let answer = within(plugin, &name, run_dao(plugin, request, call)).await;
            drop(reply.send(answer.unwrap_or_else(|| DaoAnswer::Said(unexpected()))));
        }
    }
}

/// What has come of code in its time; nothing if it has failed, which is logged.
async fn within<T>(plugin: &str, endpoint: &str, work: impl Future<Output = mlua::Result<T>>) -> Option<T> {
    match tokio::time::timeout(LONGEST, work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!(plugin, endpoint, phase = "admin_api", "{}", words(&error));
            None
        }
        Err(_) => {
            tracing::error!(plugin, endpoint, phase = "admin_api", "the endpoint takes too long");
            None
        }
    }
}

/// A request as code gets it, what answers its questions, and the answer that is put together.
struct Begun {
    vm: Rc<Vm>,
    job: Job,
    asked: Value,
    answer: Table,
}

impl Begun {
    fn new(plugin: &'static str, request: &AdminRequest) -> mlua::Result<Begun> {
        let vm = Vm::of_thread()?;
        let asked = to_lua(&vm.lua, &described(request), Nulls::Kept, None)?;
        if let Some(asked) = asked.as_table() {
            asked.raw_set("content", vm.lua.create_string(&request.head.content)?)?;
        }
        let (host, answer): (Function, Table) = vm.slot.raw_get::<Function>("admin_host")?.call(&asked)?;
        let job = Job { host: Some(host), ..Job::apart(&vm, Phase::AdminApi, Some(plugin))? };
        Ok(Begun { vm, job, asked, answer })
    }

    /// Runs a function to its end, which an answer is, too.
    async fn follow(&self, function: &str, arguments: impl IntoLuaMulti) -> mlua::Result<()> {
        let vm = &self.vm;
        let mut arguments = arguments.into_lua_multi(&vm.lua)?;
        arguments.push_front(vm.slot.raw_get(function)?);
        let (_, waits) = vm.turn(&self.job, None, None, || vm.begin.call(arguments))?;
        vm.follow(&self.job, waits?).await.map(drop)
    }
}

/// Calls a function of data access.
async fn run_dao(plugin: &'static str, request: AdminRequest, call: DaoCall) -> mlua::Result<DaoAnswer> {
    let begun = Begun::new(plugin, &request)?;
    let (lua, answer) = (&begun.vm.lua, &begun.answer);
    let lists: Table = begun.vm.slot.raw_get::<Table>("native")?.raw_get("array_mt")?;
    let mut given = (call.entity, call.function, answer).into_lua_multi(lua)?;
    for value in call.arguments.iter().chain([&call.options]) {
        given.push_back(match value {
            Json::Null => Value::Nil,
            value => to_lua(lua, value, Nulls::Kept, Some(&lists))?,
        });
    }
    let done = begun.follow("admin_dao", given).await;
    if answer.raw_get::<bool>("returned")? {
        let found = to_json(&answer.raw_get("found")?)?;
        return Ok(DaoAnswer::Returned(found, answer.raw_get("offset")?));
    }
    said(answer, done).map(DaoAnswer::Said)
}

/// Begins what the plugin's handler begins on workers (`init_worker`, `configure`), once: endpoints may ask for what it
/// has made there, since those of Kong run on workers.
async fn start(definition: &'static Definition) {
    let is_new = STARTED.with_borrow_mut(|started| started.insert(definition.name));
    if is_new {
        instance::start_worker(definition);
        // What it has begun has its first turn now.
        tokio::task::yield_now().await;
    }
}

async fn run(definition: &'static Definition, request: AdminRequest) -> mlua::Result<AdminAnswer> {
    start(definition).await;
    let plugin = definition.name;
    let begun = Begun::new(plugin, &request)?;
    let done = begun.follow("admin", (plugin, request.endpoint, &begun.asked, &begun.answer)).await;
    said(&begun.answer, done)
}

/// The answer that code has put together before its end.
fn said(answer: &Table, done: mlua::Result<()>) -> mlua::Result<AdminAnswer> {
    let (body, status): (Value, Option<u16>) = (answer.raw_get("body")?, answer.raw_get("status")?);
    let (content, usual) = match (answer.raw_get::<Value>("parent")?, text(&body)) {
        (Value::Nil, Some(body)) => match serde_json::from_slice(&body) {
            Ok(json) => (AdminContent::Json(json), 200),
            Err(_) => (AdminContent::Text(String::from_utf8_lossy(&body).into_owned()), 200),
        },
        (Value::Nil, None) => (AdminContent::None, 200),
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

/// A request as the code gets it.
fn described(request: &AdminRequest) -> Json {
    let mut query: Map<String, Json> = Map::new();
    for (name, value) in &request.query {
        match query.get_mut(name) {
            None => drop(query.insert(name.clone(), json!(value))),
            Some(Json::Array(values)) => values.push(json!(value)),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
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
        "raw_path": request.head.path,
        "raw_query": request.head.query,
        "headers": request.head.headers,
        "client": request.head.client.map(|client| client.to_string()).unwrap_or_default(),
        "params": params,
        "body": request.body,
        "of_status": request.of_status,
        // What the code does is about the workspace of the path, as roles are checked for that one.
        "workspace": request.workspace.to_string(),
    })
}

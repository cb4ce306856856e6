//! Loading a plugin's files: what it says of itself, and its schema.

use super::admin;
use super::daos;
use super::functions::{self, LONGEST, LONGEST_IN_ALL, LONGEST_LOAD, Migrating, Returned, SchemaFunction};
use super::migrations;
use super::schema::Description;
use crate::lua::operations::operation;
use crate::lua::value::{Nulls, to_json, to_lua};
use crate::lua::vaults::Described;
use crate::lua::vm::{Vm, words};
use crate::lua::{Phase, replaces_content};
use mlua::{Error as LuaError, Function as LuaFunction, IntoLua, MultiValue, Result as LuaResult, Table, Value};
use sdk::entities::Uuid;
use sdk::{AdminEndpoint, Foreign, Function, Migration, Phases};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;
use tokio::runtime::Builder;

/// What a plugin's files say. It lasts as long as the process.
pub struct Loaded {
    pub priority: i32,
    pub version: &'static str,
    /// In the schema language of `model`.
    pub schema: &'static str,
    pub functions: &'static [(&'static str, Function)],
    pub phases: Phases,
    /// The schemas of its entities, likewise.
    pub entities: &'static [&'static str],
    pub entity_names: &'static [&'static str],
    /// What makes their tables in Postgres; the error says which migration cannot be read.
    pub migrations: Option<&'static Result<Vec<Migration>, String>>,
    /// What it adds to the Admin API and to the Status API.
    pub endpoints: &'static [AdminEndpoint],
    pub has_configure: bool,
    /// The phases for which its handler has functions, by their numbers.
    acts_in: u32,
}

/// The machine in which schemas are read.
pub struct Reader {
    vm: Vm,
    functions: RefCell<Vec<LuaFunction>>,
    /// What functions of schemas wait by, and when they have waited enough.
    wait: LuaFunction,
    until: Rc<Cell<Instant>>,
}

/// What functions of schemas cannot do.
const WRITES: [&str; 6] = ["db.insert", "db.update", "db.upsert", "db.delete", "db.query", "park"];

/// Loads a plugin, in the machine of schemas.
pub fn load(name: &str) -> Result<Loaded, String> {
    functions::load(name)
}

impl Loaded {
    /// Whether its handler has a function for a phase.
    pub fn acts_in(&self, phase: Phase) -> bool {
        self.acts_in & phase.bit() != 0
    }
}

impl Reader {
    pub fn new(vm: Vm) -> LuaResult<Reader> {
        let until = Rc::new(Cell::new(Instant::now()));
        let wait = waiting(&vm, until.clone())?;
        Ok(Reader { vm, functions: RefCell::default(), wait, until })
    }

    /// Reads the files of a plugin.
    pub fn load(&self, name: &str) -> Result<Loaded, String> {
        self.vm.limit(Some(LONGEST_LOAD));
        let loaded = self.read(name);
        self.vm.limit(None);
        loaded
    }

    /// Reads the files of a vault, and has it begin, as Kong does before it serves: what it lacks is known at the
    /// start.
    pub fn load_vault(&self, name: &str) -> Result<Described, String> {
        self.vm.limit(Some(LONGEST_LOAD));
        let described = self.read_vault(name);
        self.vm.limit(None);
        described
    }

    fn read_vault(&self, name: &str) -> Result<Described, String> {
        let strategy = match self.module(&format!("kong.vaults.{name}"))? {
            Ok(Value::Table(strategy)) => strategy,
            Ok(_) => return Err(format!("{name} vault is not a table")),
            Err(tried) => return Err(format!("{name} vault is enabled but not installed;\n{tried}")),
        };
        let schema = match self.module(&format!("kong.vaults.{name}.schema"))? {
            Ok(Value::Table(schema)) => schema,
            Ok(_) => return Err("its schema is not a table".to_owned()),
            Err(_) => return Err(format!("no configuration schema found for vault: {name}")),
        };
        if !matches!(strategy.get::<Value>("get"), Ok(Value::Function(_))) {
            return Err(format!("{name} vault has no function 'get'"));
        }
        if let Ok(Value::Function(init)) = strategy.get::<Value>("init") {
            init.call::<()>(()).map_err(|error| words(&error))?;
        }
        let mut description = Description::new(&self.functions);
        let mut schema = description.of_plugin(&schema)?;
        schema["name"] = name.into();
        Ok(Described { schema: leak(schema.to_string()), functions: leak_functions(description.found) })
    }

    /// Calls a function of a schema, for a record in that workspace.
    pub fn call(&self, number: usize, given: &[Json], workspace: Option<Uuid>) -> Result<Returned, String> {
        let function = self.functions.borrow().get(number).cloned().ok_or("there is no such function")?;
        let lua = &self.vm.lua;
        let call = || {
            let given: MultiValue =
                given.iter().map(|value| to_lua(lua, value, Nulls::Kept, None)).collect::<mlua::Result<_>>()?;
            let (first, second) = function.call::<(Value, Value)>(given)?;
            Ok((to_json(&first)?, to_json(&second)?))
        };
        let workspace = workspace.map(|id| id.to_string());
        let surround = |wait: Option<&LuaFunction>, workspace: Option<String>| {
            self.vm
                .slot
                .raw_set("caller_workspace", workspace.map_or(Ok(Value::Boolean(false)), |id| id.into_lua(lua))?)?;
            self.vm.slot.raw_set("wait_here", wait.map_or(Value::Boolean(false), |wait| Value::Function(wait.clone())))
        };
        self.until.set(Instant::now() + LONGEST_IN_ALL);
        surround(Some(&self.wait), workspace).map_err(|error| words(&error))?;
        self.vm.limit(Some(LONGEST));
        let returned = call().map_err(|error| words(&error));
        self.vm.limit(None);
        surround(None, None).map_err(|error| words(&error))?;
        // A function that took too long has ended what called it, too.
        self.vm.slot.raw_set("over", false).map_err(|error| words(&error))?;
        returned
    }

    fn read(&self, name: &str) -> Result<Loaded, String> {
        let failed = |error: mlua::Error| words(&error);
        self.vm.slot.raw_set("read", self.vm.lua.create_table().map_err(failed)?).map_err(failed)?;
        self.vm.slot.raw_set("has_asked", false).map_err(failed)?;
        let module = format!("kong.plugins.{name}.handler");
        let handler = match self.module(&module)? {
            Ok(handler) => handler,
            Err(tried) => return Err(format!("{name} plugin is enabled but not installed;\n{tried}")),
        };
        let Value::Table(handler) = handler else { return Err("its handler is not a table".to_owned()) };
        let again: LuaFunction = self.vm.slot.raw_get("handler_of_streams").map_err(failed)?;
        let of_streams: Option<Table> = again.call(module).map_err(failed)?;
        let schema = match self.module(&format!("kong.plugins.{name}.schema"))? {
            Ok(Value::Table(schema)) => schema,
            Ok(_) => return Err("its schema is not a table".to_owned()),
            Err(_) => return Err(format!("no configuration schema found for plugin: {name}")),
        };
        let priority = match handler.get::<Value>("PRIORITY").map_err(failed)? {
            Value::Integer(priority) => i32::try_from(priority).ok(),
            Value::Number(priority) if priority.fract() == 0.0 => Some(priority as i32),
            _ => None,
        };
        let priority = priority.ok_or_else(|| {
            format!("Plugin \"{name}\" cannot be loaded because its PRIORITY field is not a valid integer number")
        })?;
        let version = handler.get::<Value>("VERSION").map_err(failed)?;
        let version = version.as_string().and_then(|version| parse_version(&version.to_str().ok()?));
        let version = version.ok_or_else(|| {
            format!("Plugin \"{name}\" cannot be loaded because its VERSION field does not follow the \"x.y.z\" format")
        })?;
        let has_function = |handler: &Table, phase: &str| matches!(handler.get::<Value>(phase), Ok(Value::Function(_)));
        let is_for_streams = |phase: &str| matches!(phase, "init_worker" | "configure" | "preread" | "log");
        let has = |phase: &str| {
            let also = of_streams.as_ref().filter(|_| is_for_streams(phase));
            has_function(&handler, phase) || also.is_some_and(|handler| has_function(handler, phase))
        };
        if has("response") && (has("header_filter") || has("body_filter")) {
            return Err(format!(
                "Plugin \"{name}\" can't be loaded because it implements both `response` and `header_filter` or \
                `body_filter` methods"
            ));
        }
        let mut description = Description::new(&self.functions);
        let schema = description.of_plugin(&schema)?;
        let entities = self.entities(name, &mut description)?;
        let migrations = self.migrations(name)?;
        Ok(Loaded {
            priority,
            version: leak(version),
            schema: leak(schema.to_string()),
            functions: leak_functions(description.found),
            entity_names: entities.iter().map(|text| named(text)).collect::<Vec<_>>().leak(),
            entities,
            migrations,
            endpoints: self.endpoints(name)?,
            phases: self.phases(&has).map_err(failed)?,
            has_configure: has("configure"),
            acts_in: Phase::ALL.iter().filter(|phase| has(phase.name())).fold(0, |all, phase| all | phase.bit()),
        })
    }

    /// The entities of `daos.lua`: a list of schemas, or a table of them by name.
    fn entities(&self, name: &str, description: &mut Description<'_>) -> Result<&'static [&'static str], String> {
        let daos = match self.module(&format!("kong.plugins.{name}.daos"))? {
            Ok(Value::Table(daos)) => daos,
            Ok(_) => return Err("daos: it is not a table".to_owned()),
            Err(_) => return Ok(&[]),
        };
        let mut all: Vec<(String, Table)> = Vec::new();
        for pair in daos.pairs::<Value, Value>() {
            let (key, schema) = pair.map_err(|error| words(&error))?;
            let Value::Table(schema) = schema else { continue };
            let named = schema.get::<Option<String>>("name").map_err(|error| words(&error))?;
            all.push((named.or_else(|| key.to_string().ok()).unwrap_or_default(), schema));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut schemas: Vec<Json> = Vec::new();
        for (_, schema) in &all {
            let mut described = description.of_entity(schema)?;
            if let Some(module) = described["dao"].as_str() {
                let (entity, functions) = (described["name"].as_str().unwrap_or_default(), self.functions_of(module)?);
                daos::learn(entity, name, module);
                described["dao_functions"] = functions.into();
            }
            schemas.push(described);
        }
        // What is referred to comes first.
        let mut in_order: Vec<&'static str> = Vec::new();
        while let Some(at) = schemas.iter().position(|schema| !refers_to_any(schema, &schemas)) {
            in_order.push(leak(schemas.remove(at).to_string()));
        }
        match circular(&schemas) {
            Some(circular) => Err(format!("daos: {circular} refers to itself, perhaps by way of others")),
            None => Ok(Box::leak(in_order.into_boxed_slice())),
        }
    }

    /// The names of the functions of data access that a module has.
    fn functions_of(&self, module: &str) -> Result<Vec<String>, String> {
        let functions = match self.module(module)? {
            Ok(Value::Table(functions)) => functions,
            Ok(_) => return Err(format!("daos: {module} is not a table")),
            Err(tried) => return Err(format!("daos: {tried}")),
        };
        let mut names = Vec::new();
        for pair in functions.pairs::<Value, Value>() {
            let (name, value) = pair.map_err(|error| words(&error))?;
            if value.is_function() {
                names.extend(name.to_string().ok());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The endpoints of `api.lua`, and those of `status_api.lua`.
    fn endpoints(&self, name: &str) -> Result<&'static [AdminEndpoint], String> {
        let mut endpoints = Vec::new();
        for (file, of_status) in [("api", false), ("status_api", true)] {
            match self.module(&format!("kong.plugins.{name}.{file}"))? {
                Ok(Value::Table(routes)) => {
                    let added = admin::endpoints(&self.vm, &routes, of_status);
                    endpoints.extend(added.map_err(|error| words(&error))?);
                }
                Ok(_) => return Err(format!("{file}: it is not a table")),
                Err(_) => {}
            }
        }
        Ok(endpoints.leak())
    }

    fn phases(&self, has: &impl Fn(&str) -> bool) -> mlua::Result<Phases> {
        self.vm.slot.raw_get::<LuaFunction>("reach")?.call::<()>(())?;
        let read: Vec<String> = self.vm.slot.raw_get("read")?;
        let mut phases = Phases::NONE;
        for (name, phase) in [
            ("certificate", Phases::HANDSHAKE),
            ("rewrite", Phases::REWRITE),
            ("access", Phases::ACCESS),
            ("preread", Phases::ACCESS),
            ("response", Phases::RESPONSE),
            ("header_filter", Phases::HEADER_FILTER),
            ("body_filter", Phases::BODY_FILTER),
            ("log", Phases::LOG),
            ("ws_handshake", Phases::ACCESS),
            ("ws_client_frame", Phases::WS_CLIENT_FRAME),
            ("ws_upstream_frame", Phases::WS_UPSTREAM_FRAME),
            ("ws_close", Phases::LOG),
        ] {
            if has(name) {
                phases = phases.and(phase);
            }
        }
        // Who reads messages obeys limits.
        if read.iter().any(|text| text.contains("set_max_payload_size")) {
            phases = phases.and(Phases::WS_CLIENT_FRAME).and(Phases::WS_UPSTREAM_FRAME);
        }
        if has("header_filter") && read.iter().any(|text| replaces_content(text)) {
            phases = phases.and(Phases::BODY_FILTER);
        }
        phases = phases.looking_back();
        // Whether code looks at content cannot be told from its text: what is not asked for is not read, and what is in
        // memory anyway is kept for later phases.
        let may_read = has("rewrite") || has("access") || phases.has(Phases::KEEPS_LINES);
        Ok(if may_read { phases.and(Phases::MAY_READ_BODY) } else { phases })
    }

    /// What makes the plugin's tables in Postgres. Other databases do without, and need not be able to read it.
    fn migrations(&self, name: &str) -> Result<Option<&'static Result<Vec<Migration>, String>>, String> {
        let namespace = format!("kong.plugins.{name}.migrations");
        let index = match self.module(&namespace)? {
            // `?/init.lua` need not be among the places where modules are.
            Err(_) => self.module(&format!("{namespace}.init"))?,
            found => found,
        };
        let Ok(index) = index else { return Ok(None) };
        let read = migrations::read(
            &index,
            (name, &namespace),
            |module| self.module(module),
            |function| {
                let mut functions = self.functions.borrow_mut();
                functions.push(function);
                Box::leak(Box::new(SchemaFunction { number: functions.len() - 1, input: Vec::new() }))
            },
        );
        Ok(Some(Box::leak(Box::new(read))))
    }

    /// Runs a part of a migration, whose statements somebody else runs.
    pub fn migrate(&self, number: usize, tell: &SyncSender<Migrating>) -> Result<(), String> {
        let function = self.functions.borrow().get(number).cloned().ok_or("there is no such function")?;
        migrations::run(&self.vm, &function, tell).map_err(|error| words(&error))?
    }

    /// A module; the inner error says where it was looked for, the outer one why it cannot be loaded.
    fn module(&self, name: &str) -> Result<Result<Value, String>, String> {
        let require: LuaFunction = self.vm.lua.globals().get("require").map_err(|error| words(&error))?;
        match require.call::<Value>(name) {
            Ok(module) => Ok(Ok(module)),
            Err(error) => {
                let error = words(&error);
                let absent = format!("module '{name}' not found");
                match error.find(&absent) {
                    Some(at) => Ok(Err(error[at..].to_owned())),
                    None => Err(error),
                }
            }
        }
    }
}

/// What code calls to wait, on the thread of schemas: it reads, and changes nothing.
fn waiting(vm: &Vm, until: Rc<Cell<Instant>>) -> LuaResult<LuaFunction> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let anew = vm.clock();
    vm.lua.create_function(move |lua, (name, arguments): (String, MultiValue)| {
        if WRITES.contains(&name.as_str()) {
            return Err(LuaError::runtime("functions of schemas can only read"));
        }
        let left = until.get().saturating_duration_since(Instant::now());
        let came = runtime.block_on(async { tokio::time::timeout(left, operation(lua, &name, arguments)).await });
        anew();
        came.map_err(|_| LuaError::runtime("the code takes too long"))?
    })
}

/// Whether an entity refers to one of these.
fn refers_to_any(schema: &Json, entities: &[Json]) -> bool {
    referred(schema, entities).is_some()
}

/// The first one of the entities that a schema refers to.
fn referred<'e>(schema: &Json, entities: &'e [Json]) -> Option<&'e Json> {
    let fields = schema["fields"].as_array().into_iter().flatten().filter_map(Json::as_object);
    let mut references = fields.flat_map(|field| field.values()).filter_map(|field| field["reference"].as_str());
    references.find_map(|to| entities.iter().find(|entity| entity["name"] == to))
}

/// Of entities that all refer to some of them, one that does so to itself in the end: as many steps as there are
/// entities lead to one that has been there before.
fn circular(entities: &[Json]) -> Option<&Json> {
    let last = (0..entities.len()).try_fold(entities.first()?, |at, _| referred(at, entities));
    last.map(|entity| &entity["name"])
}

/// `x.y.z`, without what follows.
fn parse_version(text: &str) -> Option<String> {
    let numbers: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let parts: Vec<&str> = numbers.trim_end_matches('.').split('.').collect();
    let valid = (1..=3).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty());
    valid.then(|| parts.join("."))
}

fn named(schema: &str) -> &'static str {
    let schema: Json = serde_json::from_str(schema).unwrap_or_default();
    leak(schema["name"].as_str().unwrap_or_default().to_owned())
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn leak_functions(found: Vec<(String, &'static dyn Foreign)>) -> &'static [(&'static str, Function)] {
    let named = found.into_iter().map(|(name, function)| (leak(name), Function::Foreign(function)));
    Box::leak(named.collect())
}

/// The table of a handler in a machine, and the one for streams if it is another.
pub fn handler(vm: &Vm, name: &str) -> mlua::Result<(Table, Option<Table>)> {
    let load: LuaFunction = vm.slot.raw_get("load_handler")?;
    load.call(format!("kong.plugins.{name}.handler"))
}

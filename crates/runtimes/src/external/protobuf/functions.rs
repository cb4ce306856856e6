//! The functions that plugins may call in this protocol, with the messages of their arguments and results.

use super::messages as m;
use crate::lua::{json_of, octets_of};
use mlua::{IntoLua, Lua, MultiValue, Result, Value};
use prost::Message;
use serde_json::Value as Json;

/// What a function is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Nothing,
    Flag,
    Integer,
    Text,
    List,
    Struct,
    KeyValue,
    Target,
    Exit,
    Consumer,
    Authenticate,
}

/// What it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Nothing,
    Flag,
    Integer,
    Number,
    Text,
    Value,
    Struct,
    Content,
    Captures,
    Consumer,
    Credential,
    Route,
    Service,
    Memory,
}

use Input as I;
use Output as O;

const FUNCTIONS: &[(&str, Input, Output)] = &[
    ("kong.client.authenticate", I::Authenticate, O::Nothing),
    ("kong.client.get_consumer", I::Nothing, O::Consumer),
    ("kong.client.get_credential", I::Nothing, O::Credential),
    ("kong.client.get_forwarded_ip", I::Nothing, O::Text),
    ("kong.client.get_forwarded_port", I::Nothing, O::Integer),
    ("kong.client.get_ip", I::Nothing, O::Text),
    ("kong.client.get_port", I::Nothing, O::Integer),
    ("kong.client.get_protocol", I::Flag, O::Text),
    ("kong.client.load_consumer", I::Consumer, O::Consumer),
    ("kong.ctx.shared.get", I::Text, O::Value),
    ("kong.ctx.shared.set", I::KeyValue, O::Nothing),
    ("kong.ip.is_trusted", I::Text, O::Flag),
    ("kong.log.alert", I::List, O::Nothing),
    ("kong.log.crit", I::List, O::Nothing),
    ("kong.log.debug", I::List, O::Nothing),
    ("kong.log.err", I::List, O::Nothing),
    ("kong.log.info", I::List, O::Nothing),
    ("kong.log.notice", I::List, O::Nothing),
    ("kong.log.serialize", I::Nothing, O::Text),
    ("kong.log.set_serialize_value", I::KeyValue, O::Nothing),
    ("kong.log.warn", I::List, O::Nothing),
    ("kong.nginx.get_ctx", I::Text, O::Value),
    ("kong.nginx.get_subsystem", I::Nothing, O::Text),
    ("kong.nginx.get_tls1_version_str", I::Nothing, O::Text),
    ("kong.nginx.get_var", I::Text, O::Text),
    ("kong.nginx.req_start_time", I::Nothing, O::Number),
    ("kong.nginx.set_ctx", I::KeyValue, O::Text),
    ("kong.node.get_id", I::Nothing, O::Text),
    ("kong.node.get_memory_stats", I::Nothing, O::Memory),
    ("kong.request.get_forwarded_host", I::Nothing, O::Text),
    ("kong.request.get_forwarded_port", I::Nothing, O::Integer),
    ("kong.request.get_forwarded_scheme", I::Nothing, O::Text),
    ("kong.request.get_header", I::Text, O::Text),
    ("kong.request.get_headers", I::Integer, O::Struct),
    ("kong.request.get_host", I::Nothing, O::Text),
    ("kong.request.get_http_version", I::Nothing, O::Number),
    ("kong.request.get_method", I::Nothing, O::Text),
    ("kong.request.get_path", I::Nothing, O::Text),
    ("kong.request.get_path_with_query", I::Nothing, O::Text),
    ("kong.request.get_port", I::Nothing, O::Integer),
    ("kong.request.get_query", I::Integer, O::Struct),
    ("kong.request.get_query_arg", I::Text, O::Text),
    ("kong.request.get_raw_body", I::Nothing, O::Content),
    ("kong.request.get_raw_query", I::Nothing, O::Text),
    ("kong.request.get_scheme", I::Nothing, O::Text),
    ("kong.request.get_uri_captures", I::Nothing, O::Captures),
    ("kong.response.add_header", I::KeyValue, O::Nothing),
    ("kong.response.clear_header", I::Text, O::Nothing),
    ("kong.response.exit", I::Exit, O::Nothing),
    ("kong.response.get_header", I::Text, O::Text),
    ("kong.response.get_headers", I::Integer, O::Struct),
    ("kong.response.get_source", I::Nothing, O::Text),
    ("kong.response.get_status", I::Nothing, O::Integer),
    ("kong.response.set_header", I::KeyValue, O::Nothing),
    ("kong.response.set_headers", I::Struct, O::Nothing),
    ("kong.response.set_status", I::Integer, O::Nothing),
    ("kong.router.get_route", I::Nothing, O::Route),
    ("kong.router.get_service", I::Nothing, O::Service),
    ("kong.service.request.add_header", I::KeyValue, O::Nothing),
    ("kong.service.request.clear_header", I::Text, O::Nothing),
    ("kong.service.request.set_header", I::KeyValue, O::Nothing),
    ("kong.service.request.set_headers", I::Struct, O::Nothing),
    ("kong.service.request.set_method", I::Text, O::Nothing),
    ("kong.service.request.set_path", I::Text, O::Nothing),
    ("kong.service.request.set_query", I::Struct, O::Nothing),
    ("kong.service.request.set_raw_body", I::Text, O::Nothing),
    ("kong.service.request.set_raw_query", I::Text, O::Nothing),
    ("kong.service.request.set_scheme", I::Text, O::Nothing),
    ("kong.service.response.get_header", I::Text, O::Text),
    ("kong.service.response.get_headers", I::Integer, O::Struct),
    ("kong.service.response.get_raw_body", I::Nothing, O::Content),
    ("kong.service.response.get_status", I::Nothing, O::Integer),
    ("kong.service.set_target", I::Target, O::Nothing),
    ("kong.service.set_upstream", I::Text, O::Flag),
];

/// The function of that name.
pub fn find(name: &[u8]) -> Option<(&'static str, Input, Output)> {
    let place = FUNCTIONS.binary_search_by(|(own, ..)| own.as_bytes().cmp(name)).ok()?;
    Some(FUNCTIONS[place])
}

/// Why octets are no arguments, or values no result.
pub type Unusable = String;

impl Input {
    /// The arguments in a message.
    pub fn read(self, lua: &Lua, octets: &[u8]) -> std::result::Result<MultiValue, Unusable> {
        let wrong = |error: prost::DecodeError| error.to_string();
        let read = match self {
            Input::Nothing => Ok(Vec::new()),
            Input::Flag => Ok(vec![Value::Boolean(m::Flag::decode(octets).map_err(wrong)?.value)]),
            // Zero is how Go says that it does not say.
            Input::Integer => Ok(match m::Integer::decode(octets).map_err(wrong)?.value {
                0 => Vec::new(),
                number => vec![Value::Integer(number.into())],
            }),
            Input::Text => text(lua, &m::Text::decode(octets).map_err(wrong)?.value).map(|text| vec![text]),
            Input::List => {
                m::List::decode(octets).map_err(wrong)?.values.iter().map(|item| to_lua(lua, item)).collect()
            }
            Input::Struct => table(lua, &m::Struct::decode(octets).map_err(wrong)?).map(|table| vec![table]),
            Input::KeyValue => {
                let pair = m::KeyValue::decode(octets).map_err(wrong)?;
                let value = pair.value.as_ref().map_or(Ok(Value::Nil), |value| to_lua(lua, value));
                value.and_then(|value| Ok(vec![text(lua, &pair.key)?, value]))
            }
            Input::Target => {
                let target = m::Target::decode(octets).map_err(wrong)?;
                text(lua, &target.host).map(|host| vec![host, Value::Integer(target.port.into())])
            }
            Input::Exit => {
                let exit = m::Exit::decode(octets).map_err(wrong)?;
                let headers = table(lua, &exit.headers.unwrap_or_default());
                let status = Value::Integer(exit.status.into());
                headers.and_then(|headers| Ok(vec![status, text(lua, &exit.body)?, headers]))
            }
            Input::Consumer => {
                let consumer = m::ConsumerSpec::decode(octets).map_err(wrong)?;
                text(lua, &consumer.id).map(|id| vec![id, Value::Boolean(consumer.by_username)])
            }
            Input::Authenticate => authenticated(lua, m::Authenticate::decode(octets).map_err(wrong)?),
        };
        read.map(MultiValue::from_vec).map_err(|error| error.to_string())
    }
}

impl Output {
    /// The message for what a function has returned; nothing is an empty one.
    pub fn write(self, returned: &MultiValue) -> std::result::Result<Vec<u8>, Unusable> {
        let nil = Value::Nil;
        let (first, second) = (returned.front().unwrap_or(&nil), returned.get(1).unwrap_or(&nil));
        if first.is_nil() && self != Output::Content {
            return Ok(Vec::new());
        }
        let record = || json_of(first).map_err(|error| error.to_string());
        let octets = || octets_of(first).unwrap_or_default();
        let number = || first.as_number().or(first.as_integer().map(|number| number as f64)).unwrap_or_default();
        Ok(match self {
            Output::Nothing => Vec::new(),
            Output::Flag => m::Flag { value: first.as_boolean().unwrap_or_default() }.encode_to_vec(),
            Output::Integer => m::Integer { value: number() as i32 }.encode_to_vec(),
            Output::Number => m::Number { value: number() }.encode_to_vec(),
            // An argument of a query that has no value is true.
            Output::Text if first.is_boolean() => Vec::new(),
            Output::Text => m::Text { value: octets() }.encode_to_vec(),
            Output::Value => from_lua(first, MAX_DEPTH)?.encode_to_vec(),
            Output::Struct => match from_lua(first, MAX_DEPTH)?.kind {
                Some(m::Kind::Struct(fields)) => fields.encode_to_vec(),
                _ => Vec::new(),
            },
            Output::Content => {
                let kind = match first {
                    Value::Nil => m::ContentKind::Error(
                        octets_of(second)
                            .and_then(|error| String::from_utf8(error).ok())
                            .unwrap_or_else(|| "Can't read request body".to_owned()),
                    ),
                    _ => m::ContentKind::Octets(octets()),
                };
                m::Content { kind: Some(kind) }.encode_to_vec()
            }
            Output::Captures => captures(first).map_err(|error| error.to_string())?.encode_to_vec(),
            Output::Consumer => consumer(&record()?).encode_to_vec(),
            Output::Credential => {
                let record = record()?;
                let own = string(&record, "consumer_id");
                let consumer_id = if own.is_empty() { string(&record["consumer"], "id") } else { own };
                m::Credential { id: string(&record, "id"), consumer_id }.encode_to_vec()
            }
            Output::Route => route(&record()?).encode_to_vec(),
            Output::Service => service(&record()?).encode_to_vec(),
            Output::Memory => {
                let of = |worker: &Json| m::WorkerMemory {
                    allocated: integer(worker, "http_allocated_gc"),
                    pid: integer(worker, "pid"),
                };
                let record = record()?;
                let workers = record["workers_lua_vms"].as_array().into_iter().flatten().map(of).collect();
                m::MemoryStats { workers }.encode_to_vec()
            }
        })
    }
}

/// Tables inside each other, at most.
const MAX_DEPTH: usize = 48;

fn text(lua: &Lua, octets: &[u8]) -> Result<Value> {
    lua.create_string(octets)?.into_lua(lua)
}

fn to_lua(lua: &Lua, value: &m::Value) -> Result<Value> {
    Ok(match &value.kind {
        None | Some(m::Kind::Null(_)) => Value::Nil,
        Some(m::Kind::Number(number)) => Value::Number(*number),
        Some(m::Kind::Text(octets)) => text(lua, octets)?,
        Some(m::Kind::Flag(flag)) => Value::Boolean(*flag),
        Some(m::Kind::Struct(fields)) => table(lua, fields)?,
        Some(m::Kind::List(list)) => {
            let items: Vec<Value> = list.values.iter().map(|item| to_lua(lua, item)).collect::<Result<_>>()?;
            lua.create_sequence_from(items)?.into_lua(lua)?
        }
    })
}

fn table(lua: &Lua, fields: &m::Struct) -> Result<Value> {
    let table = lua.create_table()?;
    for m::Entry { name, value } in &fields.fields {
        let value = value.as_ref().map_or(Ok(Value::Nil), |value| to_lua(lua, value))?;
        table.raw_set(text(lua, name)?, value)?;
    }
    table.into_lua(lua)
}

fn from_lua(value: &Value, deeper: usize) -> std::result::Result<m::Value, Unusable> {
    let kind = match value {
        Value::Boolean(flag) => m::Kind::Flag(*flag),
        Value::Integer(number) => m::Kind::Number(*number as f64),
        Value::Number(number) => m::Kind::Number(*number),
        Value::String(text) => m::Kind::Text(text.as_bytes().to_vec()),
        Value::Table(table) => {
            let deeper = deeper.checked_sub(1).ok_or("tables are nested too deeply")?;
            let wrong = |error: mlua::Error| error.to_string();
            if table.raw_len() > 0 {
                let items = table.sequence_values::<Value>();
                let values = items.map(|item| from_lua(&item.map_err(wrong)?, deeper));
                m::Kind::List(m::List { values: values.collect::<std::result::Result<_, _>>()? })
            } else {
                let mut fields = Vec::new();
                for pair in table.pairs::<Value, Value>() {
                    let (name, value) = pair.map_err(wrong)?;
                    if let Some(name) = octets_of(&name) {
                        fields.push(m::Entry { name, value: Some(from_lua(&value, deeper)?) });
                    }
                }
                m::Kind::Struct(m::Struct { fields })
            }
        }
        _ => m::Kind::Null(0),
    };
    Ok(m::Value { kind: Some(kind) })
}

fn authenticated(lua: &Lua, given: m::Authenticate) -> Result<Vec<Value>> {
    let named = |fields: &[(&str, String)]| {
        let table = lua.create_table()?;
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            table.raw_set(*name, value.as_str())?;
        }
        Ok::<_, mlua::Error>(table)
    };
    let consumer = given.consumer.map(|consumer| {
        let m::Consumer { id, created_at, username, custom_id, tags } = consumer;
        let table = named(&[("id", id), ("username", username), ("custom_id", custom_id)])?;
        table.raw_set("created_at", created_at)?;
        table.raw_set("tags", tags)?;
        table.into_lua(lua)
    });
    let credential = given.credential.map(|credential| {
        let m::Credential { id, consumer_id } = credential;
        let table = named(&[("id", id), ("consumer_id", consumer_id.clone())])?;
        if !consumer_id.is_empty() {
            table.raw_set("consumer", named(&[("id", consumer_id)])?)?;
        }
        table.into_lua(lua)
    });
    Ok(vec![consumer.unwrap_or(Ok(Value::Nil))?, credential.unwrap_or(Ok(Value::Nil))?])
}

fn captures(value: &Value) -> Result<m::Captures> {
    let Value::Table(table) = value else { return Ok(m::Captures::default()) };
    let mut captures = m::Captures::default();
    if let Value::Table(unnamed) = table.raw_get("unnamed")? {
        for item in unnamed.sequence_values::<Value>() {
            captures.unnamed.push(octets_of(&item?).unwrap_or_default());
        }
    }
    if let Value::Table(named) = table.raw_get("named")? {
        for pair in named.pairs::<Value, Value>() {
            let (name, value) = pair?;
            let (name, value) = (octets_of(&name).unwrap_or_default(), octets_of(&value).unwrap_or_default());
            captures.named.push(m::Capture { name, value });
        }
    }
    Ok(captures)
}

fn string(record: &Json, name: &str) -> String {
    record[name].as_str().unwrap_or_default().to_owned()
}

fn strings(record: &Json, name: &str) -> Vec<String> {
    record[name].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn integer(record: &Json, name: &str) -> i64 {
    record[name].as_i64().or(record[name].as_f64().map(|number| number as i64)).unwrap_or_default()
}

fn small(record: &Json, name: &str) -> i32 {
    i32::try_from(integer(record, name)).unwrap_or(i32::MAX)
}

fn flag(record: &Json, name: &str) -> bool {
    record[name].as_bool().unwrap_or_default()
}

fn consumer(record: &Json) -> m::Consumer {
    m::Consumer {
        id: string(record, "id"),
        created_at: integer(record, "created_at"),
        username: string(record, "username"),
        custom_id: string(record, "custom_id"),
        tags: strings(record, "tags"),
    }
}

fn route(record: &Json) -> m::Route {
    m::Route {
        id: string(record, "id"),
        created_at: integer(record, "created_at"),
        updated_at: integer(record, "updated_at"),
        name: string(record, "name"),
        protocols: strings(record, "protocols"),
        methods: strings(record, "methods"),
        hosts: strings(record, "hosts"),
        paths: strings(record, "paths"),
        https_redirect_status_code: small(record, "https_redirect_status_code"),
        regex_priority: small(record, "regex_priority"),
        strip_path: flag(record, "strip_path"),
        preserve_host: flag(record, "preserve_host"),
        snis: strings(record, "snis"),
        tags: strings(record, "tags"),
        service: record["service"]["id"].as_str().map(|id| m::Reference { id: id.to_owned() }),
    }
}

fn service(record: &Json) -> m::Service {
    m::Service {
        id: string(record, "id"),
        created_at: integer(record, "created_at"),
        updated_at: integer(record, "updated_at"),
        name: string(record, "name"),
        retries: small(record, "retries"),
        protocol: string(record, "protocol"),
        host: string(record, "host"),
        port: small(record, "port"),
        path: string(record, "path"),
        connect_timeout: small(record, "connect_timeout"),
        write_timeout: small(record, "write_timeout"),
        read_timeout: small(record, "read_timeout"),
        tags: strings(record, "tags"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(find(b"kong.request.get_header"), Some(("kong.request.get_header", I::Text, O::Text)));
        assert_eq!(find(b"kong.request.get_nothing"), None);
    }

    #[test]
    fn values_come_back_as_they_were() {
        let lua = Lua::new();
        let value: Value = lua.load("{ a = { 'x', 'y' }, b = true, c = 1.5, d = { e = '\\255' } }").eval().unwrap();
        let octets = Output::Struct.write(&MultiValue::from_vec(vec![value])).unwrap();
        let read = Input::Struct.read(&lua, &octets).unwrap();
        lua.globals().set("t", read.front().cloned()).unwrap();
        let holds = |what: &str| lua.load(what).eval::<bool>().unwrap();
        assert!(holds("t.a[1] == 'x' and t.a[2] == 'y'"));
        assert!(holds("t.b == true and t.c == 1.5"));
        assert!(holds("t.d.e == '\\255'"), "octets stay what they are");
    }

    #[test]
    fn credentials_know_their_consumers() {
        let lua = Lua::new();
        let given = m::Authenticate {
            consumer: Some(m::Consumer { id: "1".to_owned(), ..m::Consumer::default() }),
            credential: Some(m::Credential { id: "2".to_owned(), consumer_id: "1".to_owned() }),
        };
        let read = Input::Authenticate.read(&lua, &given.encode_to_vec()).unwrap();
        let credential = read.get(1).cloned().unwrap();
        assert_eq!(json_of(&credential).unwrap()["consumer"]["id"], "1");
        let written = Output::Credential.write(&MultiValue::from_vec(vec![credential])).unwrap();
        assert_eq!(m::Credential::decode(&written[..]).unwrap().consumer_id, "1");
    }

    #[test]
    fn content_that_is_not_there_says_why() {
        let written = Output::Content.write(&MultiValue::new()).unwrap();
        let content = m::Content::decode(&written[..]).unwrap();
        assert_eq!(content.kind, Some(m::ContentKind::Error("Can't read request body".to_owned())));
    }
}

//! MessagePack-RPC, as the kits for JavaScript and Python speak it.

use super::{Kong, act, garble, note, start};
use rmpv::Value;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex};

static INSTANCES: LazyLock<Mutex<HashMap<i64, String>>> = LazyLock::new(Mutex::default);

/// Answers calls until the connection ends.
pub fn serve(mut stream: UnixStream, place: &str) -> io::Result<()> {
    loop {
        let (number, method, argument) = receive(&mut stream)?;
        match method.as_str() {
            "plugin.StartInstance" => {
                let (id, greeting) = start(place, field(&argument, "Config").as_str().expect("JSON"));
                INSTANCES.lock().expect("no panic").insert(id, greeting);
                answer(&mut stream, number, Ok(map([("Id", id.into())])))?;
            }
            "plugin.CloseInstance" => {
                note(
                    place,
                    &format!("close {}", INSTANCES.lock().expect("no panic").remove(&id_of(&argument)).is_some()),
                );
                answer(&mut stream, number, Ok(map([])))?;
            }
            "plugin.HandleEvent" => {
                let id = id_of(field(&argument, "InstanceId"));
                let known = INSTANCES.lock().expect("no panic").get(&id).cloned();
                let Some(greeting) = known else {
                    answer(&mut stream, number, Err(format!("no plugin instance #{id}")))?;
                    continue;
                };
                let event = field(&argument, "EventName").as_str().expect("a name").to_owned();
                let mut kong = Steps { stream: &mut stream, number };
                let done = act(place, &event, &greeting, &mut kong)?;
                let number = kong.number;
                if done {
                    answer(&mut stream, number, Ok(step("ret".into())))?;
                }
            }
            other => answer(&mut stream, number, Err(format!("no method {other}")))?,
        }
    }
}

/// An event: each call of a function is an answer, whose result is the next call.
struct Steps<'s> {
    stream: &'s mut UnixStream,
    number: u64,
}

impl Kong for Steps<'_> {
    fn call(&mut self, name: &str, arguments: &[Json]) -> io::Result<Json> {
        self.want(name, arguments)?;
        let (number, method, argument) = receive(self.stream)?;
        self.number = number;
        if method == "plugin.StepError" {
            return Ok(Json::Null);
        }
        Ok(match field(&argument, "Data") {
            Value::Integer(number) => Json::from(number.as_i64()),
            Value::String(text) => Json::from(text.as_str()),
            Value::Binary(octets) => Json::from(String::from_utf8_lossy(octets)),
            _ => Json::Null,
        })
    }

    fn exit(&mut self, status: u16, body: &str, headers: &Json) -> io::Result<()> {
        self.want("kong.response.exit", &[status.into(), body.into(), headers.clone()])
    }

    fn garble(&mut self) -> io::Result<()> {
        garble(self.stream)
    }
}

impl Steps<'_> {
    fn want(&mut self, name: &str, arguments: &[Json]) -> io::Result<()> {
        let arguments = Value::Array(arguments.iter().map(to_value).collect());
        let wanted = map([("Method", name.into()), ("Args", arguments)]);
        answer(self.stream, self.number, Ok(step(wanted)))
    }
}

fn step(data: Value) -> Value {
    map([("Data", data), ("EventId", 1.into())])
}

fn receive(stream: &mut UnixStream) -> io::Result<(u64, String, Value)> {
    let message = rmpv::decode::read_value(stream).map_err(io::Error::other)?;
    let parts = message.as_array().expect("a call");
    let method = parts[2].as_str().expect("a method").to_owned();
    Ok((parts[1].as_u64().expect("a number"), method, parts[3][0].clone()))
}

fn answer(stream: &mut UnixStream, number: u64, result: Result<Value, String>) -> io::Result<()> {
    let (error, result) = match result {
        Ok(result) => (Value::Nil, result),
        Err(error) => (error.into(), Value::Nil),
    };
    let message = Value::Array(vec![1.into(), number.into(), error, result]);
    rmpv::encode::write_value(stream, &message).map_err(io::Error::other)
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    let found = value.as_map().and_then(|fields| fields.iter().find(|(key, _)| key.as_str() == Some(name)));
    found.map_or(&Value::Nil, |(_, value)| value)
}

fn id_of(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

fn to_value(value: &Json) -> Value {
    match value {
        Json::Number(number) => number.as_i64().unwrap_or_default().into(),
        Json::String(text) => text.as_str().into(),
        Json::Object(fields) => {
            Value::Map(fields.iter().map(|(name, value)| (name.as_str().into(), to_value(value))).collect())
        }
        _ => Value::Nil,
    }
}

//! The protocol of plugins in JavaScript and Python: calls in MessagePack-RPC, all of them ours. An event's answer is
//! the first function that the plugin calls; each result is a call of ours, too, whose answer is the next one.

use super::connection::{Connection, Failure};
use super::host::{Event, Host};
use super::values;
use crate::lua::Called;
use mlua::{Lua, MultiValue};
use rmpv::Value;

/// Values in a message: each takes some 30 octets of memory, however few it has on the wire.
const MOST_VALUES: u64 = 1 << 18;
/// The kinds of messages.
const CALL: u8 = 0;
const ANSWER: u64 = 1;
const NOTICE: u64 = 2;

/// Starts an instance; its number.
pub async fn start(connection: &mut Connection, name: &str, config: &str) -> Result<i64, Failure> {
    let asked = map([("Name", name.into()), ("Config", config.into())]);
    let started = call(connection, "plugin.StartInstance", asked).await?.map_err(Failure::Failed)?;
    field(&started, "Id").as_i64().ok_or_else(|| Failure::Failed("it has started an instance without Id".to_owned()))
}

/// Ends an instance.
pub async fn close(connection: &mut Connection, instance: i64) -> Result<(), Failure> {
    call(connection, "plugin.CloseInstance", instance.into()).await?.map(drop).map_err(Failure::Failed)
}

/// Tells an instance of an event.
pub async fn event(
    connection: &mut Connection,
    instance: i64,
    name: &str,
    mut host: Host<'_>,
) -> Result<Event, Failure> {
    let asked = map([("InstanceId", instance.into()), ("EventName", name.into())]);
    let mut step = match call(connection, "plugin.HandleEvent", asked).await? {
        Err(error) if error.to_ascii_lowercase().contains("no plugin instance") => return Err(Failure::NoInstance),
        answer => answer.map_err(Failure::Failed)?,
    };
    loop {
        let wanted = field(&step, "Data");
        if wanted.as_str() == Some("ret") {
            return host.finish().map_err(Failure::Failed);
        }
        let Some(name) = field(wanted, "Method").as_str() else {
            return Err(Failure::Failed("it wants something that is no function".to_owned()));
        };
        let arguments = arguments(host.lua(), field(wanted, "Args")).map_err(not_convertible)?;
        let (method, result) = match host.call(name, arguments).await {
            Called::Values(values) => result(name, &values).map_err(not_convertible)?,
            Called::Error(error) => ("plugin.StepError", error.into()),
            Called::Answer(answer) => return Ok(Event::Answer(answer)),
        };
        let mut asked = vec![("EventId", field(&step, "EventId").clone())];
        if !result.is_nil() {
            asked.push(("Data", result));
        }
        step = call(connection, method, map(asked)).await.map_err(Failure::midway)?.map_err(Failure::Failed)?;
    }
}

/// Calls a method of the server; the inner error is what it says itself.
async fn call(connection: &mut Connection, method: &str, argument: Value) -> Result<Result<Value, String>, Failure> {
    connection.sequence = connection.sequence.wrapping_add(1);
    let sequence = connection.sequence;
    let message = Value::Array(vec![CALL.into(), sequence.into(), method.into(), Value::Array(vec![argument])]);
    let mut octets = Vec::new();
    rmpv::encode::write_value(&mut octets, &message).map_err(|error| Failure::Failed(error.to_string()))?;
    connection.send(&octets).await?;
    loop {
        let Value::Array(answer) = receive(connection).await? else {
            return Err(Failure::Failed("it says something that is no message".to_owned()));
        };
        match (answer.as_slice(), answer.first().and_then(Value::as_u64)) {
            ([_, _, _], Some(NOTICE)) => {}
            ([_, number, error, result], Some(ANSWER)) if number.as_u64() == Some(sequence.into()) => {
                return Ok(match error {
                    Value::Nil => Ok(result.clone()),
                    Value::String(text) => Err(String::from_utf8_lossy(text.as_bytes()).into_owned()),
                    other => Err(other.to_string()),
                });
            }
            _ => return Err(Failure::Failed("it says something that is no answer".to_owned())),
        }
    }
}

/// The next message.
async fn receive(connection: &mut Connection) -> Result<Value, Failure> {
    let mut extent = Extent::default();
    loop {
        if let Some(length) = extent.find(&connection.buffer)? {
            let mut message = &connection.buffer[..length];
            let value = rmpv::decode::read_value(&mut message)
                .map_err(|error| Failure::Failed(format!("it says something that is no message: {error}")))?;
            connection.buffer.drain(..length);
            return Ok(value);
        }
        let begun = !connection.buffer.is_empty();
        let filled = connection.fill().await;
        filled.map_err(|failure| if begun { failure.midway() } else { failure })?;
    }
}

/// Where a message ends, found as its octets come.
#[derive(Default)]
struct Extent {
    /// How far it has been looked at, in whole values without what is in them.
    seen: usize,
    values: u64,
    /// Values that are still to come; none has been seen when it is zero.
    left: u64,
}

impl Extent {
    /// The length of the message, when all of it is there.
    fn find(&mut self, octets: &[u8]) -> Result<Option<usize>, Failure> {
        if self.seen == 0 {
            self.left = 1;
        }
        while self.left > 0 {
            let Some((length, inside)) = octets.get(self.seen..).and_then(value) else { return Ok(None) };
            let Some(end) = self.seen.checked_add(length).filter(|end| *end <= octets.len()) else { return Ok(None) };
            self.seen = end;
            self.values += 1;
            self.left = self.left - 1 + inside;
            if self.values.saturating_add(self.left) > MOST_VALUES {
                return Err(Failure::Failed("a message has too many values".to_owned()));
            }
        }
        Ok(Some(self.seen))
    }
}

/// How many octets the value at the beginning has, and how many values are in it behind these octets.
fn value(octets: &[u8]) -> Option<(usize, u64)> {
    let sized = |width: usize| {
        let digits = octets.get(1..=width)?;
        Some(digits.iter().fold(0u64, |number, digit| number << 8 | u64::from(*digit)))
    };
    let plain = |length: u64, width: usize| usize::try_from(length).ok()?.checked_add(1 + width);
    Some(match *octets.first()? {
        0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => (1, 0),
        first @ 0x80..=0x8f => (1, u64::from(first & 15) * 2),
        first @ 0x90..=0x9f => (1, u64::from(first & 15)),
        first @ 0xa0..=0xbf => (1 + usize::from(first & 31), 0),
        0xc4 | 0xd9 => (plain(sized(1)?, 1)?, 0),
        0xc5 | 0xda => (plain(sized(2)?, 2)?, 0),
        0xc6 | 0xdb => (plain(sized(4)?, 4)?, 0),
        0xc7 => (plain(sized(1)? + 1, 1)?, 0),
        0xc8 => (plain(sized(2)? + 1, 2)?, 0),
        0xc9 => (plain(sized(4)? + 1, 4)?, 0),
        0xcc | 0xd0 => (2, 0),
        0xcd | 0xd1 => (3, 0),
        0xca | 0xce | 0xd2 => (5, 0),
        0xcb | 0xcf | 0xd3 => (9, 0),
        first @ 0xd4..=0xd8 => (2 + (1 << (first - 0xd4)), 0),
        0xdc => (3, sized(2)?),
        0xdd => (5, sized(4)?),
        0xde => (3, sized(2)? * 2),
        0xdf => (5, sized(4)? * 2),
    })
}

fn map<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    let found = value.as_map().and_then(|fields| fields.iter().find(|(key, _)| key.as_str() == Some(name)));
    found.map_or(&Value::Nil, |(_, value)| value)
}

fn arguments(lua: &Lua, given: &Value) -> mlua::Result<MultiValue> {
    match given {
        Value::Nil => Ok(MultiValue::new()),
        Value::Array(items) => items.iter().map(|item| values::to_lua(lua, item)).collect(),
        single => values::to_lua(lua, single).map(|value| MultiValue::from_iter([value])),
    }
}

/// What a function has returned, and the method that takes values of its kind.
fn result(name: &str, returned: &MultiValue) -> mlua::Result<(&'static str, Value)> {
    let nil = mlua::Value::Nil;
    let (first, second) = (returned.front().unwrap_or(&nil), returned.get(1).unwrap_or(&nil));
    if let (mlua::Value::Nil, mlua::Value::String(error)) = (first, second) {
        return Ok(("plugin.StepError", error.to_string_lossy().into()));
    }
    Ok(match name {
        "kong.client.get_credential" | "kong.client.authenticate" => {
            ("plugin.StepCredential", values::from_lua(first)?)
        }
        "kong.client.load_consumer" | "kong.client.get_consumer" => ("plugin.StepConsumer", values::from_lua(first)?),
        "kong.node.get_memory_stats" => ("plugin.StepMemoryStats", values::from_lua(first)?),
        "kong.router.get_route" => ("plugin.StepRoute", values::from_lua(first)?),
        "kong.router.get_service" => ("plugin.StepService", values::from_lua(first)?),
        "kong.request.get_query"
        | "kong.request.get_headers"
        | "kong.response.get_headers"
        | "kong.service.response.get_headers" => ("plugin.StepMultiMap", values::multi_map(first)?),
        "kong.request.get_raw_body" | "kong.response.get_raw_body" | "kong.service.response.get_raw_body" => {
            ("plugin.Step", values::binary(first)?)
        }
        _ => ("plugin.Step", values::from_lua(first)?),
    })
}

fn not_convertible(error: mlua::Error) -> Failure {
    Failure::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(octets: &[u8], piece: usize) -> Result<Option<usize>, Failure> {
        let mut extent = Extent::default();
        let mut last = Ok(None);
        for end in (0..=octets.len()).step_by(piece) {
            last = extent.find(&octets[..end]);
        }
        last
    }

    #[test]
    fn the_end_of_a_message_is_found_in_any_pieces() {
        let long = "x".repeat(70_000);
        let value = map([
            ("a", Value::Array(vec![1.into(), (-5).into(), 70_000.into(), Value::F64(1.5), Value::Nil, true.into()])),
            ("b", long.as_str().into()),
            ("c", Value::Binary(vec![7; 300])),
            ("d", Value::Ext(1, vec![1, 2, 3])),
            ("e", Value::Ext(1, vec![1, 2, 3, 4])),
            ("f", Value::Array(vec![Value::Nil; 20])),
            ("g", map([("h", "y".repeat(40).as_str().into())])),
            ("i", i64::MIN.into()),
        ]);
        let mut octets = Vec::new();
        rmpv::encode::write_value(&mut octets, &value).unwrap();
        assert_eq!(found(&octets, 1).unwrap(), Some(octets.len()));
        assert_eq!(found(&octets[..octets.len() - 1], 1).unwrap(), None);
        assert_eq!(rmpv::decode::read_value(&mut &octets[..]).unwrap(), value);
    }

    #[test]
    fn more_values_than_memory_are_refused() {
        let claim = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(found(&claim, 5).is_err());
    }
}

//! The protocol of plugins in Go: messages of Protocol Buffers behind their length. An event takes the connection until
//! it is over: the plugin sends names of functions and arguments, and gets results.

mod functions;
mod messages;

use super::connection::{Connection, Failure};
use super::host::{Event, Host};
use crate::lua::Called;
use messages::{Call, CloseInstance, Command, HandleEvent, Return, StartInstance};
use prost::Message;

/// Starts an instance; its number.
pub async fn start(connection: &mut Connection, name: &str, config: &str) -> Result<i64, Failure> {
    let command = StartInstance { name: name.to_owned(), config: config.as_bytes().to_vec() };
    let sequence = ask(connection, Command::StartInstance(command)).await?;
    let started = answer(connection, sequence).await?.instance;
    let started = started.ok_or_else(|| Failure::Failed("it has not said which instance it has started".to_owned()))?;
    Ok(started.instance.into())
}

/// Ends an instance.
pub async fn close(connection: &mut Connection, instance: i64) -> Result<(), Failure> {
    let sequence = ask(connection, Command::CloseInstance(CloseInstance { instance: number(instance) })).await?;
    answer(connection, sequence).await.map(drop)
}

/// Tells an instance of an event; the connection is of no further use when the plugin answers.
pub async fn event(
    connection: &mut Connection,
    instance: i64,
    name: &str,
    mut host: Host<'_>,
) -> Result<Event, Failure> {
    let command = HandleEvent { instance: number(instance), event: name.to_owned() };
    let sequence = ask(connection, Command::HandleEvent(command)).await?;
    let mut name = connection.frame().await?;
    while !name.is_empty() {
        let arguments = connection.frame().await.map_err(Failure::midway)?;
        let Some((function, input, output)) = functions::find(&name) else {
            let name = String::from_utf8_lossy(&name[..name.len().min(80)]).into_owned();
            return Err(Failure::Failed(format!("it wants {name:?}, which is no function")));
        };
        let arguments =
            input.read(host.lua(), &arguments).map_err(|error| Failure::Failed(format!("{function}: {error}")))?;
        match host.call(function, arguments).await {
            Called::Values(values) => {
                let result = output.write(&values).map_err(|error| Failure::Failed(format!("{function}: {error}")))?;
                connection.send_frame(&result).await.map_err(Failure::midway)?;
            }
            Called::Answer(answer) => return Ok(Event::Answer(answer)),
            Called::Error(error) => return Err(Failure::Failed(format!("{function}: {error}"))),
        }
        name = connection.frame().await.map_err(Failure::midway)?;
    }
    answer(connection, sequence).await.map_err(Failure::midway)?;
    host.finish().map_err(Failure::Failed)
}

async fn ask(connection: &mut Connection, command: Command) -> Result<i64, Failure> {
    connection.sequence = connection.sequence.wrapping_add(1);
    let sequence = connection.sequence.into();
    connection.send_frame(&Call { sequence, command: Some(command) }.encode_to_vec()).await?;
    Ok(sequence)
}

async fn answer(connection: &mut Connection, sequence: i64) -> Result<Return, Failure> {
    let frame = connection.frame().await?;
    let answer = Return::decode(&frame[..]);
    let answer = answer.map_err(|error| Failure::Failed(format!("it says something that is no answer: {error}")))?;
    if answer.sequence != sequence {
        return Err(Failure::Failed("it answers something else than what it was asked".to_owned()));
    }
    Ok(answer)
}

fn number(instance: i64) -> i32 {
    // It has come as such a number.
    i32::try_from(instance).unwrap_or_default()
}

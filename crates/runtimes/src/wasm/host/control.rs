//! What a filter says of itself and of the course of an exchange.

use super::memory::{decode_pairs, give, read, read_text, write, write_u32};
use super::{Guest, Host, Stage, Status, code};
use sdk::{Answer, Bytes, Fields, Known};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::Level;
use wasmtime::{Linker, Result};

/// How often a filter may be called beside exchanges at most.
const SHORTEST_TICK: Duration = Duration::from_millis(1);
/// What a line of the log is not longer than.
const LONGEST_LINE: usize = 8192;

/// Streams, as `proxy_continue_stream` and `proxy_close_stream` name them.
const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap("env", "proxy_log", |mut guest: Guest<'_>, level: u32, at: u32, size: u32| {
        code((|| {
            let text = read(&mut guest, at, size)?;
            let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST_LINE)]).into_owned();
            guest.data().log(level, &text);
            Ok(())
        })())
    })?;
    linker.func_wrap("env", "proxy_get_log_level", |mut guest: Guest<'_>, place: u32| {
        code(write_u32(&mut guest, place, log_level()))
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut guest: Guest<'_>, place: u32| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        code(write(&mut guest, place, &(now.as_nanos() as u64).to_le_bytes()))
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        let period = Duration::from_millis(period.into());
        guest.data_mut().tick = (!period.is_zero()).then_some(period.max(SHORTEST_TICK));
        Status::Ok as i32
    })?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        let host = guest.data_mut();
        if context != super::ROOT && !host.streams.contains_key(&context) {
            return Status::BadArgument as i32;
        }
        host.context = context;
        Status::Ok as i32
    })?;
    linker.func_wrap("env", "proxy_done", |mut guest: Guest<'_>| {
        let host = guest.data_mut();
        let context = host.context;
        if !host.unfinished.remove(&context) {
            return Status::NotFound as i32;
        }
        host.finished.push(context);
        Status::Ok as i32
    })?;
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, stream: u32| go_on(&mut guest, stream))?;
    linker.func_wrap("env", "proxy_continue_request", |mut guest: Guest<'_>| go_on(&mut guest, REQUEST))?;
    linker.func_wrap("env", "proxy_continue_response", |mut guest: Guest<'_>| go_on(&mut guest, RESPONSE))?;
    linker.func_wrap("env", "proxy_close_stream", |mut guest: Guest<'_>, _stream: u32| {
        let host = guest.data_mut();
        let Some(stream) = host.streams.get_mut(&host.context) else { return Status::BadArgument as i32 };
        stream.reset = true;
        stream.wake.notify_one();
        Status::Ok as i32
    })?;
    linker.func_wrap("env", "proxy_clear_route_cache", |_: Guest<'_>| Status::Ok as i32)?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut guest: Guest<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         fields: u32,
         fields_size: u32,
         _grpc: i32| {
            code((|| {
                let details = read(&mut guest, details, details_size)?;
                let body = read(&mut guest, body, body_size)?;
                let fields = decode_pairs(&read(&mut guest, fields, fields_size)?).ok_or(Status::ParseFailure)?;
                answer(guest.data_mut(), status, &details, body.into(), &fields)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>, name: u32, size: u32, _given: u32, _given_size: u32, place: u32, length: u32| {
            code((|| {
                let name = read_text(&mut guest, name, size)?;
                guest.data().log(3, &format!("there is no foreign function {name}"));
                give(&mut guest, b"", place, length)?;
                Err(Status::NotFound)
            })())
        },
    )?;
    Ok(())
}

fn go_on(guest: &mut Guest<'_>, stream: u32) -> i32 {
    let host = guest.data_mut();
    let Some(known) = host.streams.get_mut(&host.context).filter(|_| matches!(stream, REQUEST | RESPONSE)) else {
        return Status::BadArgument as i32;
    };
    known.resumed = true;
    known.wake.notify_one();
    Status::Ok as i32
}

/// The client is to get this.
fn answer(
    host: &mut Host,
    status: u32,
    details: &[u8],
    body: Bytes,
    given: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Status> {
    let has_begun = host.has_exchange() && host.stage > Stage::ResponseHeaders;
    if host.context == super::ROOT || has_begun {
        return Err(host.misplaced("a local response can be sent before a response's content only"));
    }
    let status = u16::try_from(status).ok().filter(|status| (100..=999).contains(status)).ok_or(Status::BadArgument)?;
    let mut answer = Answer::new(status, body);
    for (name, value) in given {
        let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
        if name.starts_with(':') || is_framing(name) {
            continue;
        }
        if !Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(value) {
            return Err(Status::BadArgument);
        }
        answer.fields.append(name, value);
    }
    if !answer.body.is_empty() && !answer.fields.has(Known::ContentType) {
        answer.fields.set_known(Known::ContentType, b"text/plain");
    }
    let answer = match host.has_exchange() {
        true => answer.for_call(&host.exchange, (!details.is_empty()).then_some(details)),
        false => answer,
    };
    let stream = host.streams.get_mut(&host.context).ok_or(Status::BadArgument)?;
    stream.answer = Some(answer);
    stream.wake.notify_one();
    Ok(())
}

/// The gateway frames content itself.
pub fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"].iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

/// What is logged here, as proxy-wasm counts.
fn log_level() -> u32 {
    if tracing::enabled!(Level::TRACE) {
        0
    } else if tracing::enabled!(Level::DEBUG) {
        1
    } else if tracing::enabled!(Level::INFO) {
        2
    } else if tracing::enabled!(Level::WARN) {
        3
    } else {
        4
    }
}

//! Contents: of the request, of the response piece by piece, of responses to calls; and the configuration.

use super::memory::{give, read, write_u32};
use super::{Guest, Host, Stage, Status, code};
use sdk::{Bytes, RequestBody};
use wasmtime::{Linker, Result};

/// Buffers, as proxy-wasm counts them.
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_RESPONSE_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, size: u32, place: u32, length: u32| {
            code((|| {
                let content = content(guest.data(), buffer)?;
                let start = (start as usize).min(content.len());
                let end = start.saturating_add(size as usize).min(content.len());
                give(&mut guest, &content[start..end], place, length)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut guest: Guest<'_>, buffer: u32, length: u32, flags: u32| {
            code((|| {
                let size = content(guest.data(), buffer)?.len();
                write_u32(&mut guest, length, u32::try_from(size).unwrap_or(u32::MAX))?;
                write_u32(&mut guest, flags, 0)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, size: u32, at: u32, length: u32| {
            code((|| {
                let given = read(&mut guest, at, length)?;
                replace(guest.data_mut(), buffer, start as usize, size as usize, &given)
            })())
        },
    )?;
    // As the first filters read their configuration.
    linker.func_wrap("env", "proxy_get_configuration", |mut guest: Guest<'_>, place: u32, length: u32| {
        let config = guest.data().config.clone();
        code(give(&mut guest, &config, place, length))
    })?;
    Ok(())
}

fn content(host: &Host, buffer: u32) -> Result<Bytes, Status> {
    match buffer {
        REQUEST_BODY if host.has_exchange() => host.exchange.body.bytes().cloned().ok_or(Status::NotFound),
        RESPONSE_BODY if host.has_exchange() && host.stage == Stage::ResponseBody => Ok(host.piece.clone()),
        CALL_RESPONSE_BODY => host.response.as_ref().map(|response| response.content.clone()).ok_or(Status::NotFound),
        PLUGIN_CONFIGURATION => Ok(Bytes::copy_from_slice(&host.config)),
        // Kong gives machines no configuration of their own.
        VM_CONFIGURATION => Err(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

/// Puts octets in the place of a part of a buffer.
fn replace(host: &mut Host, buffer: u32, start: usize, size: usize, given: &[u8]) -> Result<(), Status> {
    let has_exchange = host.has_exchange();
    let edited = |content: &Bytes| -> Bytes {
        let start = start.min(content.len());
        let end = start.saturating_add(size).min(content.len());
        [&content[..start], given, &content[end..]].concat().into()
    };
    match buffer {
        REQUEST_BODY if has_exchange && host.stage <= Stage::RequestBody => {
            let edited = match &host.exchange.body {
                RequestBody::Whole(content) => edited(content),
                RequestBody::TooLarge => return Err(host.misplaced("content that is in a file cannot be edited")),
                RequestBody::Unread | RequestBody::OnDemand(_) => edited(&Bytes::new()),
            };
            host.exchange.body = RequestBody::Whole(edited);
            Ok(())
        }
        RESPONSE_BODY if has_exchange && host.stage == Stage::ResponseBody => {
            host.piece = edited(&host.piece);
            Ok(())
        }
        REQUEST_BODY => Err(host.misplaced("can only set request body before \"on_response_headers\"")),
        RESPONSE_BODY => Err(host.misplaced("can only set response body during \"on_response_body\"")),
        _ => Err(Status::BadArgument),
    }
}

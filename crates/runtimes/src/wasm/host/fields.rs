//! Field lines: of the request, of the response, of its trailers, and of responses to calls. What is no line (`:path`,
//! `:status`) has a name of its own among them, as in HTTP/2.

use super::control::is_framing;
use super::memory::{decode_pairs, encode_pairs, give, read, read_text, write_u32};
use super::{Guest, Host, Stage, Status, code};
use sdk::entities::Protocol;
use sdk::{Exchange, Fields, path};
use std::borrow::Cow;
use wasmtime::{Linker, Result};

/// Maps, as proxy-wasm counts them.
const REQUEST: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;
const CALL_RESPONSE: u32 = 6;
const CALL_RESPONSE_TRAILERS: u32 = 7;

/// The path that a filter has set, as it was given.
struct GivenPath(Vec<u8>);

/// What is done to a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Add,
    Replace,
    Remove,
}

type Pairs<'h> = Vec<(Cow<'h, [u8]>, Cow<'h, [u8]>)>;

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut guest: Guest<'_>, map: u32, place: u32, length: u32| {
            code((|| {
                let pairs = pairs(guest.data_mut(), map)?;
                let encoded = encode_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
                give(&mut guest, &encoded, place, length)
            })())
        },
    )?;
    linker.func_wrap("env", "proxy_get_header_map_size", |mut guest: Guest<'_>, map: u32, place: u32| {
        code((|| {
            let pairs = pairs(guest.data_mut(), map)?;
            let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
            write_u32(&mut guest, place, u32::try_from(size).unwrap_or(u32::MAX))
        })())
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, size: u32, place: u32, length: u32| {
            code((|| {
                let name = read_text(&mut guest, name, size)?;
                let found = value(guest.data_mut(), map, &name)?.map(Cow::into_owned);
                give(&mut guest, &found.ok_or(Status::NotFound)?, place, length)
            })())
        },
    )?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", |mut guest: Guest<'_>, map: u32, at: u32, size: u32| {
        code((|| {
            let pairs = decode_pairs(&read(&mut guest, at, size)?).ok_or(Status::ParseFailure)?;
            set_pairs(guest.data_mut(), map, &pairs)
        })())
    })?;
    for (name, change) in [("proxy_add_header_map_value", Edit::Add), ("proxy_replace_header_map_value", Edit::Replace)]
    {
        linker.func_wrap(
            "env",
            name,
            move |mut guest: Guest<'_>, map: u32, name: u32, size: u32, value: u32, length: u32| {
                code((|| {
                    let name = read_text(&mut guest, name, size)?;
                    let value = read(&mut guest, value, length)?;
                    edit(guest.data_mut(), map, change, &name, &value)
                })())
            },
        )?;
    }
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, size: u32| {
            code((|| {
                let name = read_text(&mut guest, name, size)?;
                edit(guest.data_mut(), map, Edit::Remove, &name, b"")
            })())
        },
    )?;
    Ok(())
}

/// How many lines there are in a map, for the callback that is told so.
pub(in crate::wasm) fn count(host: &mut Host, map: u32) -> u32 {
    pairs(host, map).map_or(0, |pairs| pairs.len() as u32)
}

/// The map of a stage's own lines.
pub(in crate::wasm) fn map_of(stage: Stage) -> u32 {
    match stage {
        Stage::ResponseHeaders => RESPONSE,
        Stage::ResponseTrailers => RESPONSE_TRAILERS,
        _ => REQUEST,
    }
}

/// All lines of a map, with what is no line before them.
fn pairs(host: &mut Host, map: u32) -> Result<Pairs<'_>, Status> {
    let pseudo: &[&str] = match map {
        REQUEST => &[":method", ":path", ":authority", ":scheme"],
        RESPONSE | CALL_RESPONSE => &[":status"],
        _ => &[],
    };
    let mut pairs = Pairs::new();
    for name in pseudo {
        if let Some(value) = value(host, map, name)? {
            pairs.push((name.as_bytes().into(), value.into_owned().into()));
        }
    }
    let fields = lines(host, map)?;
    pairs.extend(fields.iter().map(|(name, value)| (name.as_bytes().into(), value.into())));
    Ok(pairs)
}

fn lines(host: &Host, map: u32) -> Result<&Fields, Status> {
    static NONE: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(Fields::new);
    let exchange = Some(&host.exchange).filter(|_| host.has_exchange());
    match map {
        REQUEST => exchange.map(Exchange::client_lines).ok_or(Status::BadArgument),
        // Before there is a response, a filter has its own lines of it.
        RESPONSE if host.stage < Stage::ResponseHeaders => {
            exchange.map(|exchange| &*exchange.reply).ok_or(Status::BadArgument)
        }
        RESPONSE => exchange.map(|exchange| &exchange.response.fields).ok_or(Status::BadArgument),
        RESPONSE_TRAILERS => match exchange.ok_or(Status::BadArgument)?.trailers.as_deref() {
            Some(trailers) => Ok(trailers),
            None => Ok(&NONE),
        },
        REQUEST_TRAILERS | CALL_RESPONSE_TRAILERS => Ok(&NONE),
        CALL_RESPONSE => host.response.as_ref().map(|response| &response.fields).ok_or(Status::BadArgument),
        _ => Err(Status::BadArgument),
    }
}

/// The first line of that name, or all of them in one.
fn value<'h>(host: &'h mut Host, map: u32, name: &'h str) -> Result<Option<Cow<'h, [u8]>>, Status> {
    let has_exchange = host.has_exchange();
    if name.starts_with(':') {
        if map == REQUEST && name == ":path" && has_exchange {
            let given = host.exchange.state::<GivenPath>().map(|given| given.0.clone());
            return Ok(Some(given.map_or_else(|| host.exchange.request.target.as_bytes().into(), Cow::Owned)));
        }
        let host = &*host;
        let exchange = &host.exchange;
        return Ok(match (map, name) {
            (REQUEST, ":method") if has_exchange => {
                let method = exchange.upstream.method.as_deref().unwrap_or(exchange.request.method.as_str());
                Some(method.as_bytes().into())
            }
            (REQUEST, ":authority") if has_exchange => {
                let given = exchange.upstream.host_header.as_deref();
                given.or_else(|| exchange.client_lines().get("Host")).map(Cow::from)
            }
            (REQUEST, ":scheme") if has_exchange => {
                Some(if exchange.client.tls.is_some() { &b"https"[..] } else { b"http" }.into())
            }
            (RESPONSE, ":status") if has_exchange && host.stage >= Stage::ResponseHeaders => {
                Some(exchange.response.status.to_string().into_bytes().into())
            }
            (CALL_RESPONSE, ":status") => {
                host.response.as_ref().map(|response| response.status.to_string().into_bytes().into())
            }
            _ => None,
        });
    }
    let fields = lines(host, map)?;
    let mut all = fields.get_all(name);
    Ok(match (all.next(), all.next()) {
        (first, None) => first.map(Cow::from),
        (None, Some(_)) => None,
        (Some(_), Some(_)) => Some(Cow::Owned(fields.get_all(name).collect::<Vec<_>>().join(&b", "[..]))),
    })
}

/// Whether the lines of a map may be edited, and those.
fn editable(host: &mut Host, map: u32) -> Result<&mut Fields, Status> {
    let stage = if host.has_exchange() { host.stage } else { Stage::Root };
    match (map, stage) {
        (REQUEST, Stage::RequestHeaders | Stage::RequestBody) => Ok(&mut host.exchange.request.fields),
        (RESPONSE, Stage::RequestHeaders | Stage::RequestBody) => Ok(&mut host.exchange.reply),
        (RESPONSE, Stage::ResponseHeaders) => Ok(&mut host.exchange.response.fields),
        (RESPONSE_TRAILERS, Stage::ResponseTrailers) => {
            host.exchange.trailers.as_deref_mut().ok_or(Status::BadArgument)
        }
        (REQUEST, _) => Err(host.misplaced("can only set request headers before \"on_response_headers\"")),
        (RESPONSE, _) => Err(host.misplaced("can only set response headers before \"on_response_body\"")),
        (RESPONSE_TRAILERS, _) => Err(host.misplaced("can only set trailers during \"on_response_trailers\"")),
        _ => Err(Status::BadArgument),
    }
}

fn edit(host: &mut Host, map: u32, edit: Edit, name: &str, value: &[u8]) -> Result<(), Status> {
    if name.starts_with(':') {
        editable(host, map)?;
        return match edit {
            Edit::Remove => Err(Status::BadArgument),
            Edit::Add | Edit::Replace => set_pseudo(host, map, name, value),
        };
    }
    if !Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(value) {
        return Err(host.misplaced("a header line has octets that no line can have"));
    }
    let is_request = map == REQUEST;
    let fields = editable(host, map)?;
    match edit {
        // A filter that changes content takes its length away; what there is in its place is the gateway's business.
        Edit::Remove if !is_request && name.eq_ignore_ascii_case("content-length") => drop(fields.remove(name)),
        _ if is_framing(name) => {}
        Edit::Remove => drop(fields.remove(name)),
        Edit::Add | Edit::Replace if is_request && name.eq_ignore_ascii_case("host") => {
            host.exchange.upstream.host_header = Some(value.to_vec());
        }
        Edit::Add => fields.append(name, value),
        Edit::Replace => fields.set(name, value),
    }
    Ok(())
}

/// Replaces all lines but those that frame content.
fn set_pairs(host: &mut Host, map: u32, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Status> {
    let mut named = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
        if !name.starts_with(':') && (!Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(value)) {
            return Err(host.misplaced("a header line has octets that no line can have"));
        }
        named.push((name, value));
    }
    let is_kept = |name: &str| is_framing(name) || map == REQUEST && name.eq_ignore_ascii_case("host");
    editable(host, map)?.retain(|_, name, _| is_kept(name));
    named.into_iter().try_for_each(|(name, value)| edit(host, map, Edit::Add, name, value))
}

fn set_pseudo(host: &mut Host, map: u32, name: &str, value: &[u8]) -> Result<(), Status> {
    let exchange = &mut host.exchange;
    let text = std::str::from_utf8(value).map_err(|_| Status::BadArgument)?;
    let is_plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
    match (map, name) {
        (REQUEST, ":method") if text.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'-') && is_plain => {
            exchange.upstream.method = Some(text.to_owned());
        }
        (REQUEST, ":path") if text.starts_with('/') && is_plain && !text.contains('#') => {
            let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
            exchange.upstream.path = path::escape(path.as_bytes());
            exchange.upstream.query = query.map(str::to_owned);
            exchange.put(GivenPath(value.to_vec()));
        }
        (REQUEST, ":authority") if is_plain => exchange.upstream.host_header = Some(value.to_vec()),
        (REQUEST, ":scheme") => set_scheme(exchange, text)?,
        (RESPONSE, ":status") if host.stage == Stage::ResponseHeaders => {
            let status = text.parse().ok().filter(|status| (200..=999).contains(status));
            set_status(exchange, status.ok_or(Status::BadArgument)?);
        }
        _ => return Err(Status::BadArgument),
    }
    Ok(())
}

/// How the service is spoken to.
pub(super) fn set_scheme(exchange: &mut Exchange, scheme: &str) -> Result<(), Status> {
    exchange.upstream.protocol = match scheme {
        "http" => Protocol::Http,
        "https" => Protocol::Https,
        _ => return Err(Status::BadArgument),
    };
    Ok(())
}

pub(super) fn set_status(exchange: &mut Exchange, status: u16) {
    exchange.response.status = status;
    exchange.response.reason.clear();
}

//! Requests of filters to other servers, by the gateway's own client.

use super::memory::{decode_pairs, read, read_text, write_u32};
use super::{Guest, Host, Status, code};
use sdk::{Fields, HttpRequest, HttpResponse, LocalBoxFuture, Url};
use std::time::Duration;
use wasmtime::{Linker, Result};

/// A request that is under way.
pub struct Call {
    pub token: u32,
    /// The context whose it is.
    pub context: u32,
    /// `None`: there is no response, for whatever reason.
    pub response: LocalBoxFuture<'static, Option<HttpResponse>>,
}

/// How long a response may take where the filter does not say.
const USUAL: Duration = Duration::from_secs(60);
/// How many requests one call of a filter may begin.
const MOST: usize = 64;

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut guest: Guest<'_>,
         server: u32,
         server_size: u32,
         fields: u32,
         fields_size: u32,
         body: u32,
         body_size: u32,
         _trailers: u32,
         _trailers_size: u32,
         timeout: u32,
         token: u32| {
            code((|| {
                let server = read_text(&mut guest, server, server_size)?;
                let pairs = decode_pairs(&read(&mut guest, fields, fields_size)?).ok_or(Status::ParseFailure)?;
                let body = read(&mut guest, body, body_size)?;
                let request = match request(&server, &pairs, body) {
                    Ok(request) => request,
                    Err(why) => return Err(guest.data().misplaced(&format!("dispatch failed: {why}"))),
                };
                let began = begin(guest.data_mut(), request, Duration::from_millis(timeout.into()))?;
                write_u32(&mut guest, token, began)
            })())
        },
    )?;
    let unavailable = || Status::Unimplemented as i32;
    // Calls of gRPC are of no use to filters of Kong either.
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        move |_: Guest<'_>,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32,
              _: u32| unavailable(),
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        move |_: Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| unavailable(),
    )?;
    linker.func_wrap("env", "proxy_grpc_send", move |_: Guest<'_>, _: u32, _: u32, _: u32, _: u32| unavailable())?;
    linker.func_wrap("env", "proxy_grpc_cancel", move |_: Guest<'_>, _: u32| unavailable())?;
    linker.func_wrap("env", "proxy_grpc_close", move |_: Guest<'_>, _: u32| unavailable())?;
    linker.func_wrap("env", "proxy_get_status", move |_: Guest<'_>, _: u32, _: u32, _: u32| unavailable())?;
    Ok(())
}

/// The request that a filter asks for; the server is a host with a port or without.
fn request(server: &str, pairs: &[(Vec<u8>, Vec<u8>)], body: Vec<u8>) -> std::result::Result<HttpRequest, String> {
    let pseudo = |wanted: &str| {
        let found = pairs.iter().find(|(name, _)| name == wanted.as_bytes());
        found.map(|(_, value)| String::from_utf8(value.clone()).map_err(|_| format!("{wanted} is no text"))).transpose()
    };
    let method = pseudo(":method")?.ok_or("no :method")?;
    let path = pseudo(":path")?.ok_or("no :path")?;
    let authority = pseudo(":authority")?.ok_or("no :authority")?;
    let scheme = pseudo(":scheme")?.unwrap_or_else(|| "http".to_owned());
    if !matches!(scheme.as_str(), "http" | "https") || !path.starts_with('/') {
        return Err("neither http nor https, or no path".to_owned());
    }
    let url = Url::parse(&format!("{scheme}://{server}{path}"))?;
    let mut fields = Fields::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let name = std::str::from_utf8(name).map_err(|_| "a name is no text")?;
        if !Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(value) {
            return Err("a line has octets that no line can have".to_owned());
        }
        if !super::control::is_framing(name) {
            fields.append(name, value);
        }
    }
    if !authority.eq_ignore_ascii_case(server) {
        fields.set("Host", authority.as_bytes());
    }
    Ok(HttpRequest { method, url, fields, content: body.into() })
}

fn begin(host: &mut Host, request: HttpRequest, timeout: Duration) -> std::result::Result<u32, Status> {
    if host.calls.len() >= MOST {
        return Err(Status::InternalFailure);
    }
    host.last_call = host.last_call.wrapping_add(1).max(1);
    let token = host.last_call;
    let Some(client) = host.client.clone().filter(|_| !host.rehearses) else { return Ok(token) };
    let timeout = if timeout.is_zero() { USUAL } else { timeout };
    let (filter, place) = (&*host.filter.name, request.url.uri().to_string());
    let response = async move {
        let failure = match tokio::time::timeout(timeout, client.send(request)).await {
            Ok(Ok(response)) => return Some(response),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::error!(filter, "dispatch failed: {place}: {failure}");
        None
    };
    host.calls.push(Call { token, context: host.context, response: Box::pin(response) });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        given.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn requests_are_made_of_pairs() {
        let usual = [(":method", "GET"), (":path", "/a?b"), (":authority", "other.test"), ("X-A", "1")];
        let request = request("127.0.0.1:8080", &pairs(&usual), b"body".to_vec()).unwrap();
        assert_eq!(request.url.uri().to_string(), "http://127.0.0.1:8080/a?b");
        assert_eq!(request.fields.get_str("Host"), Some("other.test"));
        assert_eq!(request.fields.get_str("X-A"), Some("1"));
        assert_eq!(request.content, "body");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let why = |given: &[(&str, &str)]| request("h", &pairs(given), Vec::new()).unwrap_err();
        assert_eq!(why(&[]), "no :method");
        assert_eq!(why(&[(":method", "GET"), (":path", "/")]), "no :authority");
        let line = [(":method", "GET"), (":path", "/"), (":authority", "h"), ("a", "b\r\nc")];
        assert_eq!(why(&line), "a line has octets that no line can have");
    }
}

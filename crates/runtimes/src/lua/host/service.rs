//! `kong.service`: where the request goes, how it looks there, and what came back.

use super::request::args_of;
use super::{Arguments, Host, maybe, set_lines, unknown};
use crate::lua::Phase;
use crate::lua::value::{Named, line_of};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Value};
use sdk::entities::{Protocol, Service};
use sdk::{Bytes, Known, SnapshotRef, Source, path};
use std::time::Duration;

impl Host {
    pub(super) fn service(&mut self, name: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let upstream = &mut self.exchange.upstream;
        let fields = &mut self.exchange.request.fields;
        match name {
            "service.set_upstream" => {
                let name = arguments.str(0)?;
                let workspace = self.exchange.workspace();
                let is_known = self.exchange.directory.has_upstream(&workspace, &name);
                if is_known {
                    self.exchange.upstream.host = Some(name.into());
                }
                return Ok(Value::Boolean(is_known));
            }
            "service.set_target" => {
                let port = u16::try_from(arguments.integer(1)?);
                let port = port.map_err(|_| Error::runtime("port must be an integer between 0 and 65535"))?;
                (upstream.host, upstream.port) = (Some(arguments.str(0)?.into()), port);
            }
            "service.set_retries" => {
                let retries = u16::try_from(arguments.integer(0)?).unwrap_or_default();
                self.change_service(|service| service.retries = retries);
            }
            "service.set_timeouts" => {
                let time = |at: usize| arguments.integer(at).map(|ms| Duration::from_millis(ms.unsigned_abs()));
                let (connect, write, read) = (time(0)?, time(1)?, time(2)?);
                self.change_service(|service| {
                    service.connect_timeout = connect;
                    (service.write_timeout, service.read_timeout) = (write, read);
                });
            }
            "service.request.disable_tls" => {
                upstream.protocol = if self.exchange.stream.is_some() { Protocol::Tcp } else { Protocol::Http };
                return Ok(Value::Boolean(true));
            }
            "service.request.enable_tls" => {
                upstream.protocol = if self.exchange.stream.is_some() { Protocol::Tls } else { Protocol::Https };
                return Ok(Value::Boolean(true));
            }
            "service.request.set_scheme" => {
                upstream.protocol = match arguments.str(0)?.as_str() {
                    "http" => Protocol::Http,
                    "https" => Protocol::Https,
                    _ => return Err(Error::runtime("invalid scheme")),
                }
            }
            "service.request.set_path" => {
                let path = arguments.text(0)?;
                if path.first() != Some(&b'/') {
                    return Err(Error::runtime("path must start with /"));
                }
                upstream.path = path::escape(&path);
            }
            "service.request.set_raw_query" => {
                self.set_query(Some(sendable(&arguments.text(0)?)?));
            }
            "service.request.set_query" => self.set_query(args_of(arguments.table(0)?)?.to_query()),
            "service.request.clear_query_arg" => {
                let name = arguments.text(0)?;
                let edited = match self.phase {
                    Phase::Rewrite => self.query(),
                    _ => self.exchange.upstream.query.as_deref(),
                };
                let left = edited.map(|query| without_argument(query, &name));
                self.set_query(left);
            }
            "service.request.set_method" => {
                let method = arguments.str(0)?;
                if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                    return Err(Error::runtime(format!("invalid method: {method}")));
                }
                upstream.method = Some(method);
            }
            "service.request.set_header" => {
                let (line, values) = (arguments.header(0)?, arguments.lines(1)?);
                match values.first().filter(|_| line.eq_ignore_ascii_case("host")) {
                    Some(host) => upstream.host_header = Some(host.clone()),
                    None if is_framing(&line) => {}
                    None => set_lines(fields, &line, &values),
                }
            }
            "service.request.add_header" => {
                let (line, values) = (arguments.header(0)?, arguments.lines(1)?);
                match values.first().filter(|_| line.eq_ignore_ascii_case("host")) {
                    Some(host) => upstream.host_header = Some(host.clone()),
                    None if is_framing(&line) => {}
                    None => values.iter().for_each(|value| fields.append(&line, value)),
                }
            }
            "service.request.clear_header" => {
                let line = arguments.header(0)?;
                if !is_framing(&line) && !line.eq_ignore_ascii_case("host") {
                    fields.remove(&line);
                }
            }
            "service.request.set_headers" => {
                for (line, values) in arguments.headers(0)? {
                    match values.first().filter(|_| line.eq_ignore_ascii_case("host")) {
                        Some(host) => upstream.host_header = Some(host.clone()),
                        None if is_framing(&line) => {}
                        None => set_lines(fields, &line, &values),
                    }
                }
            }
            "service.request.enable_buffering" => self.exchange.holds_response = true,
            "service.request.set_raw_body" => self.exchange.body = Bytes::from(arguments.text(0)?).into(),
            "service.request.set_body" => {
                let (content, kind) = self.content_of(arguments)?;
                self.exchange.request.fields.set_known(Known::ContentType, kind.as_bytes());
                self.exchange.body = Bytes::from(content).into();
            }
            _ => return Err(unknown(name)),
        }
        Ok(Value::Nil)
    }

    /// The service as this exchange has it.
    pub(super) fn change_service(&mut self, change: impl FnOnce(&mut Service)) {
        if let Some(service) = &self.exchange.service {
            let mut own = Service::clone(service);
            change(&mut own);
            self.exchange.service = Some(SnapshotRef::from(own));
        }
    }

    pub(super) fn service_response(
        &mut self,
        lua: &Lua,
        function: &str,
        arguments: &Arguments<'_>,
    ) -> Result<MultiValue> {
        if self.exchange.source != Source::Service {
            return Ok(MultiValue::new());
        }
        match function {
            "get_status" => self.exchange.tries.last().map(|last| last.status).into_lua_multi(lua),
            "get_header" => {
                let name = arguments.str(0)?;
                let is_own = !self.is_of_service(&name) || !self.is_of_service(&name.replace('_', "-"));
                let line = line_of(&self.exchange.response.fields, &name).filter(|_| !is_own);
                maybe(lua, line)?.into_lua_multi(lua)
            }
            "get_raw_body" | "get_body" if self.exchange.response_body.is_none() => Err(Error::runtime(
                "service body is only available with buffered proxying (see: kong.service.request.enable_buffering \
                function)",
            )),
            "get_raw_body" => maybe(lua, self.exchange.response_body.as_ref())?.into_lua_multi(lua),
            "get_body" => self.response_content(lua, arguments),
            "get_headers" => {
                let lines: Vec<(String, Vec<u8>)> =
                    self.exchange.response.fields.iter().map(|(name, line)| (name.to_owned(), line.to_vec())).collect();
                let sent = lines.iter().filter(|(name, _)| self.is_of_service(name));
                Named::of_fields(lua, sent.map(|(name, line)| (&**name, &**line)), arguments.max(0))
            }
            _ => Err(unknown(arguments.name)),
        }
    }
}

/// The gateway frames content itself.
pub(super) fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"].iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

/// A query as code gives it, with what would end it escaped. What is no text of UTF-8 is escaped, too; control
/// characters are refused, as by `ngx.req.set_uri_args`.
fn sendable(query: &[u8]) -> Result<String> {
    if let Some(octet) = query.iter().find(|octet| octet.is_ascii_control() && **octet != b'\t') {
        return Err(Error::runtime(format!("unsafe byte \"0x{octet:02x}\" in uri \"{}\"", query.escape_ascii())));
    }
    let mut out = String::with_capacity(query.len());
    for chunk in query.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                ' ' | '\t' | '#' => out.push_str(&format!("%{:02X}", u32::from(letter))),
                letter => out.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|octet| out.push_str(&format!("%{octet:02X}")));
    }
    Ok(out)
}

/// A query without the arguments of that name, with what stays as it is but for blanks, as Kong writes it.
fn without_argument(query: &str, name: &[u8]) -> String {
    let is_other = |argument: &&str| *sdk::decode(argument.split('=').next().unwrap_or_default().as_bytes()) != *name;
    let left: Vec<&str> = query.split('&').filter(is_other).collect();
    left.join("&").replace('+', "%20")
}

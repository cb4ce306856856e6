//! The part of OpenResty's `ngx` that is about the exchange.

use super::response::dashed;
use super::said::{choose_status, chosen_status, is_begun, lines_of_service, said, take_status};
use super::{Arguments, Ending, Host, maybe, octets, set_lines, unknown};
use crate::lua::{Phase, value};
use mlua::{Lua, Result, Value};
use sdk::entities::Protocol;
use sdk::{Answer, Args, Exchange, Fields, Known, Source, Try, Version};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// nginx's variables that code has set and that mean nothing here.
#[derive(Default)]
struct Variables(HashMap<String, Vec<u8>>);

/// What nginx says beside the new place of what was asked for.
fn redirection(status: u16) -> Option<Answer> {
    let title = match status {
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        _ => return None,
    };
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         </body>\r\n</html>\r\n"
    );
    let mut answer = Answer::new(status, page.into_bytes());
    answer.fields.set_known(Known::ContentType, b"text/html; charset=UTF-8");
    Some(answer)
}

impl Host {
    pub(super) fn ngx(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "var" => self.variable(lua, &arguments.str(0)?),
            "set_var" => self.set_variable(arguments),
            "response_header" => {
                let name = dashed(&arguments.str(0)?);
                let values: Vec<_> = self
                    .response_lines()
                    .get_all(&name)
                    .map(|value| lua.create_string(value))
                    .collect::<Result<_>>()?;
                match values.len() {
                    0 => Ok(Value::Nil),
                    1 => Ok(values.into_iter().next().map_or(Value::Nil, Value::String)),
                    _ => Ok(Value::Table(lua.create_sequence_from(values)?)),
                }
            }
            "set_response_header" => {
                let name = dashed(&arguments.header(0)?);
                // What a line cannot have is escaped, as OpenResty does it.
                let values = value::values(arguments.value(1))?.iter().map(|value| escaped(value)).collect::<Vec<_>>();
                set_lines(self.lines_to_set(&name), &name, &values);
                Ok(Value::Nil)
            }
            "say" => self.say(lua, arguments),
            "send" => self.send(lua, arguments),
            "has_sent_head" => Ok(Value::Boolean(self.has_sent_head())),
            // Before there is a route: the host that it is looked for by.
            "set_host" => {
                set_lines(&mut self.exchange.request.fields, "Host", &arguments.lines(0)?);
                Ok(Value::Nil)
            }
            "balancer_data" => self.balancer_data(lua),
            "set_balancer_data" => self.set_balancer_data(arguments),
            "exit" => self.end(arguments),
            "workspace" => octets(lua, self.exchange.workspace().to_string()),
            "get_status" => {
                let chosen = chosen_status(&mut self.exchange).unwrap_or(0);
                let status = self.exchange.response.status;
                Ok(Value::Integer(if status == 0 { chosen } else { status }.into()))
            }
            "set_status" => {
                self.set_status(super::response::status(arguments)?);
                Ok(Value::Nil)
            }
            "raw_header" => {
                let head = &self.exchange.request;
                let mut raw =
                    format!("{} {} {}\r\n", head.method.as_str(), head.target, protocol_of(head.version)).into_bytes();
                for (name, value) in self.exchange.client_lines().iter() {
                    raw.extend_from_slice(name.as_bytes());
                    raw.extend_from_slice(b": ");
                    raw.extend_from_slice(value);
                    raw.extend_from_slice(b"\r\n");
                }
                raw.extend_from_slice(b"\r\n");
                octets(lua, raw)
            }
            _ => Err(unknown(arguments.name)),
        }
    }

    /// Before there is a response, that of what code writes itself: the one of a service comes with its own.
    pub(super) fn set_status(&mut self, status: u16) {
        match self.phase {
            Phase::Response | Phase::HeaderFilter => self.change_status(status),
            _ => choose_status(&mut self.exchange, status),
        }
    }

    /// `ngx.exit`: with what has been written; 0 only ends the code.
    fn end(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let code = arguments.integer(0)?;
        let (chosen, is_begun) = (take_status(&mut self.exchange), is_begun(&mut self.exchange));
        let said = said(&mut self.exchange);
        // By these statuses, too, nginx closes the connection; nothing that was cut off may look whole.
        if code < 0 || (is_begun && matches!(code, 408 | 444 | 499)) {
            return Err(mlua::Error::runtime("the code has given up"));
        }
        if is_begun {
            // The client has the status already.
            self.ending = Some(Ending::Answer(Box::new(Answer::new(200, said.unwrap_or_default()))));
            return Ok(Value::Nil);
        }
        // The response is no more what the client gets: neither its lines, as in nginx, nor its content.
        if self.phase == Phase::HeaderFilter && code >= 300 {
            self.exchange.response.fields.clear();
            return self.describe(super::response::status(arguments)?);
        } else if self.phase == Phase::HeaderFilter && code >= 100 {
            return self.give(Answer::new(super::response::status(arguments)?, Vec::new()));
        }
        let is_open = matches!(self.phase, Phase::Rewrite | Phase::Access | Phase::Response | Phase::Preread);
        if !is_open || (code == 0 && said.is_none()) {
            self.ending = Some(Ending::Quiet);
            return Ok(Value::Nil);
        }
        // What is written goes out with the status that was chosen before.
        let status = match said {
            Some(_) => chosen.unwrap_or(200),
            None => super::response::status(arguments)?,
        };
        let answer = match (said, redirection(status)) {
            (Some(content), _) => {
                let fields = lines_of_service(&mut self.exchange);
                Answer { fields, ..Answer::new(status, content) }
            }
            (None, Some(page)) => page,
            (None, None) if status >= 300 && status != 444 => {
                Answer::error(&self.exchange, status, &Answer::status_message(status))
            }
            (None, None) => Answer::new(status, Vec::new()),
        };
        self.ending = Some(Ending::Answer(Box::new(answer)));
        Ok(Value::Nil)
    }

    /// nginx's variables, as far as they are about the request.
    fn variable(&mut self, lua: &Lua, name: &str) -> Result<Value> {
        if let Some(set) = self.exchange.state::<Variables>().and_then(|variables| variables.0.get(name)) {
            return octets(lua, set);
        }
        let exchange = &self.exchange;
        let (head, client, lines) = (&exchange.request, &exchange.client, exchange.client_lines());
        let is_over =
            exchange.service.is_some() && !matches!(self.phase, Phase::Rewrite | Phase::Access | Phase::WsHandshake);
        match name {
            "request_method" => octets(lua, self.method()),
            "request_uri" => octets(lua, &*head.target),
            "uri" | "document_uri" => octets(lua, &*sdk::path::uri(head.path())),
            "request" => octets(lua, format!("{} {} {}", head.method.as_str(), head.target, protocol_of(head.version))),
            "args" | "query_string" => maybe(lua, self.query()),
            "is_args" => octets(lua, if self.query().is_some() { "?" } else { "" }),
            "scheme" => octets(lua, if client.tls.is_some() { "https" } else { "http" }),
            "https" => octets(lua, if client.tls.is_some() { "on" } else { "" }),
            "server_protocol" => octets(lua, protocol_of(head.version)),
            "protocol" => maybe(
                lua,
                exchange.stream.as_ref().map(|stream| match stream.protocol {
                    Protocol::Udp => "UDP",
                    _ => "TCP",
                }),
            ),
            "host" => octets(lua, exchange.host()),
            "http_host" => maybe(lua, lines.get("Host")),
            "content_type" => maybe(lua, lines.known(Known::ContentType)),
            "content_length" => match exchange.body.bytes() {
                Some(content) if !content.is_empty() => octets(lua, content.len().to_string()),
                _ => maybe(lua, lines.known(Known::ContentLength)),
            },
            "binary_remote_addr" => match client.ip {
                IpAddr::V4(address) => octets(lua, address.octets()),
                IpAddr::V6(address) => octets(lua, address.octets()),
            },
            "remote_user" => maybe(lua, user_of(exchange)),
            "remote_addr" => octets(lua, client.ip.to_string()),
            "realip_remote_addr" => octets(lua, client.peer.to_string()),
            "realip_remote_port" => octets(lua, client.peer_port.to_string()),
            "remote_port" => octets(lua, client.port.to_string()),
            "server_addr" => octets(lua, client.local_ip.to_string()),
            "server_port" => octets(lua, client.local_port.to_string()),
            "ssl_server_name" => maybe(lua, client.sni.as_deref()),
            "request_id" | "kong_request_id" => octets(lua, exchange.id_str()),
            "connection" => octets(lua, client.connection.to_string()),
            "connection_requests" => octets(lua, client.request.to_string()),
            "bytes_received" if exchange.stream.is_some() => {
                octets(lua, exchange.stream.as_ref().map_or(0, |stream| stream.to_service).to_string())
            }
            "request_length" | "bytes_received" => octets(lua, exchange.traffic.received.to_string()),
            "status" if [Phase::Rewrite, Phase::Access].contains(&self.phase) => octets(lua, "000"),
            "body_bytes_sent" => octets(lua, exchange.traffic.sent.saturating_sub(exchange.traffic.heads).to_string()),
            "bytes_sent" => octets(lua, exchange.traffic.sent.to_string()),
            "request_time" | "session_time" => {
                octets(lua, format!("{:.3}", exchange.timing.started.elapsed().as_secs_f64()))
            }
            "msec" => octets(lua, format!("{:.3}", exchange.timing.started_unix_ms as f64 / 1000.0)),
            "status" => octets(lua, exchange.response.status.to_string()),
            // What has gone to the service is told by what follows.
            "upstream_uri" if !is_over => octets(lua, &exchange.upstream.path),
            "upstream_host" if !is_over => maybe(lua, exchange.upstream.host_header.as_ref()),
            // As nginx lists tries.
            "upstream_addr" => maybe(lua, each_try(exchange, |one| one.address.to_string())),
            "upstream_status" => maybe(lua, each_try(exchange, |one| one.status_text().into_owned())),
            "upstream_session_time" if exchange.stream.is_some() => {
                let last = exchange.tries.last();
                maybe(lua, last.map(|last| format!("{:.3}", last.started.elapsed().as_secs_f64())))
            }
            "upstream_first_byte_time" if exchange.stream.is_some() => {
                let last = exchange.tries.last().filter(|last| last.answered);
                maybe(lua, last.map(|last| format!("{:.3}", last.waited.as_secs_f64())))
            }
            "upstream_response_time"
            | "upstream_header_time"
            | "upstream_session_time"
            | "upstream_first_byte_time" => {
                maybe(lua, exchange.timing.upstream.map(|time| format!("{:.3}", time.as_secs_f64())))
            }
            "request_body" => maybe(lua, self.content()),
            "pid" => octets(lua, std::process::id().to_string()),
            _ => match (name.strip_prefix("http_"), name.strip_prefix("arg_")) {
                (Some(line), _) => maybe(lua, lines.get(&line.replace('_', "-"))),
                (_, Some(argument)) => {
                    let args = Args::parse(self.query().unwrap_or_default());
                    maybe(lua, args.get_all(argument).next().flatten())
                }
                _ if name.starts_with("upstream_http_") => {
                    let line = name["upstream_http_".len()..].replace('_', "-");
                    maybe(lua, exchange.response.fields.get(&line).filter(|_| exchange.source == Source::Service))
                }
                _ => match (name.strip_prefix("sent_http_"), name.strip_prefix("cookie_")) {
                    (Some(line), _) => maybe(lua, exchange.response.fields.get(&line.replace('_', "-"))),
                    (_, Some(cookie)) => maybe(lua, cookie_of(exchange, cookie)),
                    _ => {
                        let variable = sdk::variables::Variable::parse(name);
                        maybe(lua, variable.and_then(|variable| variable.value(exchange, lines)))
                    }
                },
            },
        }
    }

    fn set_variable(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let name = arguments.str(0)?;
        let value = match arguments.value(1) {
            Value::Nil => Vec::new(),
            _ => arguments.text(1)?,
        };
        match name.as_str() {
            "upstream_uri" => self.exchange.upstream.path = of_one_line(&value),
            "upstream_scheme" if value == b"http" => self.exchange.upstream.protocol = Protocol::Http,
            "upstream_scheme" if value == b"https" => self.exchange.upstream.protocol = Protocol::Https,
            "upstream_host" if !Fields::is_valid_value(&value) || value.contains(&b' ') => {
                return Err(mlua::Error::runtime("upstream_host: not a host"));
            }
            "upstream_host" => self.exchange.upstream.host_header = Some(value).filter(|host| !host.is_empty()),
            "args" => self.set_query(Some(of_one_line(&value))),
            _ => {
                if let Some(line) = FORWARDED.iter().find_map(|(own, line)| (*own == name).then_some(*line)) {
                    if !Fields::is_valid_value(&value) {
                        return Err(mlua::Error::runtime(format!("{name}: not the value of a line")));
                    }
                    self.exchange.upstream.forwarded.push((line, value.clone()));
                }
                if self.exchange.state::<Variables>().is_none() {
                    self.exchange.put(Variables::default());
                }
                if let Some(variables) = self.exchange.state::<Variables>() {
                    variables.0.insert(name, value);
                }
            }
        }
        Ok(Value::Nil)
    }
}

/// Variables by which a service is told where a request comes from.
const FORWARDED: [(&str, &str); 6] = [
    ("upstream_x_forwarded_for", "X-Forwarded-For"),
    ("upstream_x_forwarded_host", "X-Forwarded-Host"),
    ("upstream_x_forwarded_path", "X-Forwarded-Path"),
    ("upstream_x_forwarded_port", "X-Forwarded-Port"),
    ("upstream_x_forwarded_prefix", "X-Forwarded-Prefix"),
    ("upstream_x_forwarded_proto", "X-Forwarded-Proto"),
];

/// What there is to say of each try; nothing before the first one.
fn each_try(exchange: &Exchange, say: impl Fn(&Try) -> String) -> Option<String> {
    let texts: Vec<String> = exchange.tries.iter().map(say).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// The version of HTTP as a request line has it.
fn protocol_of(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
        Version::Http3 => "HTTP/3.0",
    }
}

/// A part of a request line, in which what would end it is escaped: else a client could have a service take one request
/// for two.
fn of_one_line(value: &[u8]) -> String {
    let mut line = String::with_capacity(value.len());
    for part in String::from_utf8_lossy(value).chars() {
        match part {
            '\0'..=' ' | '\x7f' => drop(write!(line, "%{:02X}", u32::from(part))),
            part => line.push(part),
        }
    }
    line
}

/// The value of a line, in which control characters are escaped, as OpenResty does it: a line feed ends no line.
pub(super) fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &octet in value {
        match octet {
            b'\t' | 0x20..=0x7e | 0x80.. => out.push(octet),
            _ => out.extend_from_slice(format!("%{octet:02X}").as_bytes()),
        }
    }
    out
}

/// The name that a client gives by the Basic scheme.
fn user_of(exchange: &Exchange) -> Option<Vec<u8>> {
    let given = sdk::after_scheme(exchange.client_lines().known(Known::Authorization)?, "basic ")?;
    let pair = sdk::decode_base64(given.trim_ascii())?;
    let colon = pair.iter().position(|octet| *octet == b':')?;
    Some(pair[..colon].to_vec())
}

fn cookie_of(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    let lines = exchange.client_lines().get_all("Cookie");
    let pairs = lines.flat_map(|line| line.split(|octet| *octet == b';'));
    let named = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|octet| *octet == b'=')?;
        Some((&pair[..at], &pair[at + 1..]))
    });
    named.into_iter().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value.to_vec())
}

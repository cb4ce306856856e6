//! `ngx.ctx.balancer_data`: where the request goes, and the tries so far.

use super::{Arguments, Host, octets};
use mlua::{Error, Lua, Result, Table, Value};
use sdk::Source;
use sdk::entities::Protocol;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

impl Host {
    /// What Kong has there, or nil where there is no service.
    pub(super) fn balancer_data(&self, lua: &Lua) -> Result<Value> {
        let Some(service) = &self.exchange.service else { return Ok(Value::Nil) };
        let upstream = &self.exchange.upstream;
        let table = lua.create_table()?;
        let host = upstream.host.as_deref().unwrap_or(&service.host);
        table.raw_set("scheme", upstream.protocol.as_str())?;
        table.raw_set("type", kind_of(host))?;
        table.raw_set("host", octets(lua, host)?)?;
        table.raw_set("port", upstream.port)?;
        table.raw_set("retries", service.retries)?;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        table.raw_set("connect_timeout", milliseconds(service.connect_timeout))?;
        table.raw_set("send_timeout", milliseconds(service.write_timeout))?;
        table.raw_set("read_timeout", milliseconds(service.read_timeout))?;
        let tries = self.tries(lua)?;
        table.raw_set("try_count", tries.raw_len())?;
        table.raw_set("tries", tries)?;
        if let Some(last) = self.exchange.tries.last() {
            table.raw_set("ip", last.address.ip().to_string())?;
            table.raw_set("port", last.address.port())?;
            if kind_of(host) == "name" {
                table.raw_set("hostname", octets(lua, host)?)?;
            }
        }
        Ok(Value::Table(table))
    }

    fn tries(&self, lua: &Lua) -> Result<Table> {
        let (now, clock) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let tries = lua.create_table()?;
        let count = self.exchange.tries.len();
        for (at, attempt) in self.exchange.tries.iter().enumerate() {
            let one = lua.create_table()?;
            let started = clock.saturating_sub(now.saturating_duration_since(attempt.started));
            one.raw_set("balancer_start", started.as_millis() as f64)?;
            one.raw_set("balancer_start_ns", started.as_nanos() as f64)?;
            one.raw_set("balancer_latency", 0)?;
            one.raw_set("ip", attempt.address.ip().to_string())?;
            one.raw_set("port", attempt.address.port())?;
            // Of a last one that goes on, or was ended by its client, nothing is known.
            if at + 1 < count || (self.exchange.source == Source::Error && attempt.status != 0) {
                one.raw_set("state", if matches!(attempt.status, 403 | 404) { "next" } else { "failed" })?;
                one.raw_set("code", attempt.status)?;
            }
            tries.raw_push(one)?;
        }
        Ok(tries)
    }

    /// Changes where the request goes, as plugins of Kong's do it there.
    pub(super) fn set_balancer_data(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let name = arguments.str(0)?;
        let time = || arguments.integer(1).map(|ms| Duration::from_millis(ms.unsigned_abs()));
        match name.as_str() {
            "host" => self.exchange.upstream.host = Some(arguments.str(1)?.into()),
            "port" => {
                let port = u16::try_from(arguments.integer(1)?);
                self.exchange.upstream.port =
                    port.map_err(|_| Error::runtime("port must be an integer between 0 and 65535"))?;
            }
            "scheme" => {
                self.exchange.upstream.protocol = match arguments.str(1)?.as_str() {
                    "http" => Protocol::Http,
                    "https" => Protocol::Https,
                    _ => return Err(Error::runtime("invalid scheme")),
                }
            }
            "retries" => {
                let retries = u8::try_from(arguments.integer(1)?).unwrap_or(u8::MAX);
                self.change_service(|service| service.retries = retries.into());
            }
            "connect_timeout" => {
                let time = time()?;
                self.change_service(|service| service.connect_timeout = time);
            }
            "send_timeout" | "write_timeout" => {
                let time = time()?;
                self.change_service(|service| service.write_timeout = time);
            }
            "read_timeout" => {
                let time = time()?;
                self.change_service(|service| service.read_timeout = time);
            }
            _ => return Ok(Value::Boolean(false)),
        }
        Ok(Value::Boolean(true))
    }
}

/// As Kong tells hosts apart.
fn kind_of(host: &str) -> &'static str {
    match host.parse() {
        Ok(std::net::IpAddr::V4(_)) => "ipv4",
        Ok(std::net::IpAddr::V6(_)) => "ipv6",
        Err(_) => "name",
    }
}

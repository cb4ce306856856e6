//! What the data plane is told of nginx's directives.

use super::{EVENTS, Injected, LOCATION, MAIN, PROXY_SERVER, STREAM, Scope};
use crate::settings::Settings;
use proxy::directives::{
    AccessRules, AddHeaders, Charset, Coding, Compression, Directives, FieldNames, Gzip, HiddenFields, LimitRate,
    NextUpstream, SetHeaders,
};
use proxy::settings::{Limits, Streams};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Directories of temporary files that are nginx's default.
const BODY_FILES: &str = "client_body_temp";
const RESPONSE_FILES: &str = "proxy_temp";

impl Injected {
    /// How streams are relayed.
    pub fn streams(&self) -> Streams {
        let usual = Streams::default();
        Streams {
            proxy_protocol: self.flag(STREAM, "proxy_protocol").unwrap_or(usual.proxy_protocol),
            half_close: self.flag(STREAM, "proxy_half_close").unwrap_or(usual.half_close),
            preread_timeout: self.time(STREAM, "preread_timeout").unwrap_or(usual.preread_timeout),
        }
    }

    /// Bounds on clients and services.
    pub fn limits(&self, settings: &Settings) -> Result<Limits, String> {
        let usual = Limits::default();
        let time = |name, usual| self.time(LOCATION, name).unwrap_or(usual);
        let octets = |name| self.size(LOCATION, name).map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let (keepalive_timeout, keepalive_header) = self.keepalive_timeout(LOCATION)?;
        let buffers = self.buffers(LOCATION, "proxy_buffers");
        let ignored = self.words(LOCATION, "proxy_ignore_headers").unwrap_or_default();
        Ok(Limits {
            client_max_body_size: self.max_body_size(LOCATION),
            // Kong's default is small, since nginx copies nothing into memory that it need not hold.
            client_body_buffer_size: octets("client_body_buffer_size")
                .filter(|_| self.one(LOCATION, "client_body_buffer_size").is_some_and(|given| given.chosen)),
            client_header_timeout: self
                .time(PROXY_SERVER, "client_header_timeout")
                .unwrap_or(usual.client_header_timeout),
            client_body_timeout: time("client_body_timeout", usual.client_body_timeout),
            send_timeout: time("send_timeout", usual.send_timeout),
            lingering_close: self.word(LOCATION, "lingering_close") != "off",
            lingering_time: time("lingering_time", usual.lingering_time),
            lingering_timeout: time("lingering_timeout", usual.lingering_timeout),
            keepalive_requests: self.keepalive_requests(LOCATION),
            http2_max_concurrent_streams: self
                .number(PROXY_SERVER, "http2_max_concurrent_streams")
                .map_or(usual.http2_max_concurrent_streams, |streams| u32::try_from(streams).unwrap_or(u32::MAX)),
            http3_max_concurrent_streams: self
                .number(PROXY_SERVER, "http3_max_concurrent_streams")
                .map_or(usual.http3_max_concurrent_streams, |streams| u32::try_from(streams).unwrap_or(u32::MAX)),
            quic_retry: self.flag(PROXY_SERVER, "quic_retry").unwrap_or_default(),
            keepalive_timeout,
            keepalive_header,
            keepalive_time: time("keepalive_time", usual.keepalive_time),
            client_header_buffer_size: self
                .size(PROXY_SERVER, "client_header_buffer_size")
                .map_or(usual.client_header_buffer_size, |size| usize::try_from(size).unwrap_or(usize::MAX)),
            large_client_header_buffers: self
                .buffers(PROXY_SERVER, "large_client_header_buffers")
                .unwrap_or(usual.large_client_header_buffers),
            proxy_ignore_client_abort: self.flag(LOCATION, "proxy_ignore_client_abort").unwrap_or_default(),
            ignore_accel_buffering: ignored.iter().any(|name| name.eq_ignore_ascii_case("X-Accel-Buffering")),
            proxy_buffer_size: octets("proxy_buffer_size"),
            proxy_socket_keepalive: self.flag(LOCATION, "proxy_socket_keepalive").unwrap_or_default(),
            proxy_bind: self.proxy_bind()?,
            proxy_buffers: buffers.map_or(usual.proxy_buffers, |(number, size)| number.saturating_mul(size)),
            proxy_max_temp_file_size: self
                .size(LOCATION, "proxy_max_temp_file_size")
                .unwrap_or(usual.proxy_max_temp_file_size),
            temporary_files: self.directory("client_body_temp_path", || settings.path(BODY_FILES)).into(),
            proxy_temporary_files: self.directory("proxy_temp_path", || settings.path(RESPONSE_FILES)).into(),
            connections: self.worker_connections()?.unwrap_or(usual.connections),
            ..usual
        })
    }

    /// What acts on requests and responses of the proxy.
    pub fn directives(&self) -> Result<Directives, String> {
        let mut set_header = SetHeaders::default();
        for given in self.all(LOCATION, "proxy_set_header") {
            if let [name, value] = &given.words[..] {
                set_header.add(name, value).map_err(|e| format!("{}: {e}", given.key))?;
            }
        }
        let first = |name| self.all(LOCATION, name).iter().map(|given| given.words[0].as_str()).collect::<Vec<_>>();
        let mut next_upstream = match self.words(LOCATION, "proxy_next_upstream") {
            None => NextUpstream::default(),
            Some(words) => NextUpstream::parse(words).map_err(|e| self.wrong("proxy_next_upstream", &e))?,
        };
        next_upstream.tries = self.number(LOCATION, "proxy_next_upstream_tries").unwrap_or_default();
        next_upstream.timeout_after = self.time(LOCATION, "proxy_next_upstream_timeout").unwrap_or_default();
        Ok(Directives {
            access: self.access_rules(LOCATION)?,
            field_names: FieldNames {
                drop_underscores: self.flag(PROXY_SERVER, "underscores_in_headers") == Some(false),
                drop_unusual: self.flag(PROXY_SERVER, "ignore_invalid_headers") == Some(true),
            },
            set_header,
            hidden: HiddenFields::new(&first("proxy_hide_header"), &first("proxy_pass_header")),
            charset: Charset::new(self.word(LOCATION, "charset"), self.words(LOCATION, "charset_types")),
            add_header: self.add_headers(LOCATION)?,
            compression: self.compression()?,
            limit_rate: LimitRate::new(
                self.size(LOCATION, "limit_rate").unwrap_or_default(),
                self.size(LOCATION, "limit_rate_after").unwrap_or_default(),
            ),
            next_upstream,
        })
    }

    /// Whose word about a client's address counts beside `trusted_ips`, which Kong writes into the proxy's blocks:
    /// with them, what stands further out is replaced.
    pub fn real_ip_from(&self, scope: Scope, trusted_ips: &[String]) -> Vec<String> {
        let given = self.all(scope, "set_real_ip_from");
        let outer = |given: &&&super::InjectedDirective| {
            matches!(given.context, super::Context::Http | super::Context::Stream) && !trusted_ips.is_empty()
        };
        given.iter().filter(|given| !outer(given)).map(|given| given.words[0].clone()).collect()
    }

    /// How long requests may take to finish when the node is told to quit, unless the operator does not mind.
    pub fn shutdown_timeout(&self) -> Option<Duration> {
        self.time(MAIN, "worker_shutdown_timeout").filter(|time| !time.is_zero())
    }

    /// How many files may be open; `None`: as many as the system allows.
    pub fn open_files(&self) -> Result<Option<u64>, String> {
        self.number_or_auto(MAIN, "worker_rlimit_nofile")
    }

    /// `allow` and `deny`. Kong sorts directives by name.
    pub fn access_rules(&self, scope: Scope) -> Result<AccessRules, String> {
        let mut rules = AccessRules::default();
        let of = |context: super::Context| {
            let rule = |given: &&super::InjectedDirective| {
                given.context == context && (given.name == "allow" || given.name == "deny")
            };
            self.given.iter().filter(rule).collect::<Vec<_>>()
        };
        let level = scope.iter().map(|context| of(*context)).find(|level| !level.is_empty()).unwrap_or_default();
        for given in level {
            rules.add(given.name == "allow", &given.words[0]).map_err(|e| format!("{}: {e}", given.key))?;
        }
        Ok(rules)
    }

    /// `add_header`.
    pub fn add_headers(&self, scope: Scope) -> Result<AddHeaders, String> {
        let mut headers = AddHeaders::default();
        for given in self.all(scope, "add_header") {
            headers.add(&given.words).map_err(|e| format!("{}: {e}", given.key))?;
        }
        Ok(headers)
    }

    /// How long a connection may be idle, and what clients are told.
    pub fn keepalive_timeout(&self, scope: Scope) -> Result<(Duration, Option<u64>), String> {
        let words = self.words(scope, "keepalive_timeout").unwrap_or_default();
        let time = |word: &String| super::value::time(self.key(scope, "keepalive_timeout"), word);
        let timeout = words.first().map_or(Ok(Limits::default().keepalive_timeout), time)?;
        Ok((timeout, words.get(1).map(time).transpose()?.map(|told| told.as_secs()).filter(|told| *told > 0)))
    }

    pub fn keepalive_requests(&self, scope: Scope) -> u64 {
        // nginx's own default, where Kong's has been taken away.
        self.number(scope, "keepalive_requests").unwrap_or(1000)
    }

    /// Octets; 0: no limit.
    pub fn max_body_size(&self, scope: Scope) -> u64 {
        self.size(scope, "client_max_body_size").unwrap_or(1 << 20)
    }

    fn compression(&self) -> Result<Compression, String> {
        Ok(Compression {
            gzip: self.gzip()?,
            brotli: self.coding("brotli", Coding::for_brotli(), 0..=11)?,
            zstd: self.coding("zstd", Coding::for_zstd(), 1..=22)?,
            vary: self.flag(LOCATION, "gzip_vary").unwrap_or_default(),
        })
    }

    /// `brotli` or `zstd`, where it is on.
    fn coding(&self, name: &str, usual: Coding, levels: RangeInclusive<u32>) -> Result<Option<Coding>, String> {
        if self.flag(LOCATION, name) != Some(true) {
            return Ok(None);
        }
        let key = |part: &str| format!("{name}_{part}");
        let mut coding = usual;
        if let Some(types) = self.words(LOCATION, &key("types")) {
            coding = coding.with_types(types);
        }
        if let Some(length) = self.size(LOCATION, &key("min_length")) {
            coding = coding.with_min_length(length);
        }
        if let Some(level) = self.number(LOCATION, &key("comp_level")) {
            coding = coding.with_level(level, levels).map_err(|e| self.wrong(&key("comp_level"), &e))?;
        }
        if let Some(window) = self.size(LOCATION, &key("window")) {
            coding = coding.with_window(window).map_err(|e| self.wrong(&key("window"), &e))?;
        }
        Ok(Some(coding))
    }

    fn gzip(&self) -> Result<Option<Gzip>, String> {
        if self.flag(LOCATION, "gzip") != Some(true) {
            return Ok(None);
        }
        let mut gzip = Gzip::default();
        if let Some(types) = self.words(LOCATION, "gzip_types") {
            gzip = gzip.with_types(types);
        }
        if let Some(level) = self.number(LOCATION, "gzip_comp_level") {
            gzip = gzip.with_level(level).map_err(|e| self.wrong("gzip_comp_level", &e))?;
        }
        if let Some(length) = self.size(LOCATION, "gzip_min_length") {
            gzip = gzip.with_min_length(length);
        }
        gzip = gzip.with_http_version(self.word(LOCATION, "gzip_http_version"));
        if let Some(words) = self.words(LOCATION, "gzip_proxied") {
            gzip = gzip.with_proxied(words).map_err(|e| self.wrong("gzip_proxied", &e))?;
        }
        if let Some(words) = self.words(LOCATION, "gzip_disable") {
            gzip = gzip.with_disabled(words).map_err(|e| self.wrong("gzip_disable", &e))?;
        }
        Ok(Some(gzip))
    }

    fn proxy_bind(&self) -> Result<Option<IpAddr>, String> {
        match self.words(LOCATION, "proxy_bind").unwrap_or_default() {
            [] => Ok(None),
            [off] if off == "off" => Ok(None),
            [address] => {
                address.parse().map(Some).map_err(|_| self.wrong("proxy_bind", &format!("'{address}' is no address")))
            }
            _ => Err(self.wrong("proxy_bind", "'transparent' is not available")),
        }
    }

    fn worker_connections(&self) -> Result<Option<usize>, String> {
        let number = self.number_or_auto(EVENTS, "worker_connections")?;
        Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
    }

    fn number_or_auto(&self, scope: Scope, name: &str) -> Result<Option<u64>, String> {
        match self.word(scope, name) {
            "" | "auto" => Ok(None),
            word => match word.parse::<u64>() {
                Ok(number @ 1..) => Ok(Some(number)),
                _ => Err(format!("{}: invalid value \"{word}\" in \"{name}\" directive", self.key(scope, name))),
            },
        }
    }

    fn directory(&self, name: &str, usual: impl FnOnce() -> PathBuf) -> PathBuf {
        self.path(LOCATION, name).unwrap_or_else(usual)
    }

    fn wrong(&self, name: &str, error: &str) -> String {
        format!("{}: {error}", self.key(LOCATION, name))
    }
}

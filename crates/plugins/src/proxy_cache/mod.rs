//! `proxy-cache`: keeps responses of services in memory and answers from there.

mod admin;
mod control;
mod key;
mod store;

use control::Directives;
use key::{Digest, Vary};
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, Answer, BoxFuture, Bytes, Config, Env, Exchange, Fields, Function, Held,
    Known, MediaType, MemoryBudget, Phases, Plugin, PluginKind, Record, Source, Step, entities, field_value,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use store::{CachedResponse, Store, Stores};

/// The plugin as the gateway knows it.
pub struct ProxyCache;

const DEFAULT_DICTIONARY: &str = "kong_db_cache";

/// The layout of stored responses, as Kong numbers it.
const VERSION: u32 = 1;

/// The shared memories that Kong defines, by whose names configurations choose a store, with their sizes in its
/// template (MiB); those without have `mem_cache_size`.
const DICTIONARIES: [(&str, Option<usize>); 11] = [
    ("kong", Some(5)),
    ("kong_cluster_events", Some(5)),
    ("kong_core_db_cache", None),
    ("kong_core_db_cache_miss", Some(12)),
    (DEFAULT_DICTIONARY, None),
    ("kong_db_cache_miss", Some(12)),
    ("kong_healthchecks", Some(5)),
    ("kong_locks", Some(8)),
    ("kong_rate_limiting_counters", Some(12)),
    ("kong_secrets", Some(5)),
    ("prometheus_metrics", Some(5)),
];

struct Instance {
    store: Arc<Store>,
    memory: MemoryBudget,
    vary: Vary,
    methods: Vec<String>,
    statuses: Vec<u16>,
    types: Vec<MediaType>,
    cache_ttl: u64,
    storage_ttl: Option<u64>,
    cache_control: bool,
    show_age: bool,
    show_status: bool,
    show_key: bool,
}

/// A request whose response is to be kept if it can be.
struct Wanted(Digest);

/// A response that is being gathered.
struct Gathering {
    key: Digest,
    entry: CachedResponse,
    /// A copy: pieces may be parts of larger buffers that belong to a connection.
    content: Held,
    /// How long the content must be, when the service said so and sends content.
    expected: Option<usize>,
}

impl PluginKind for ProxyCache {
    fn name(&self) -> &'static str {
        "proxy-cache"
    }

    fn priority(&self) -> i32 {
        100
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("proxy_cache_dictionary", Function::Check(dictionary_exists))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let shown = config.section("response_headers");
        Ok(Box::new(Instance {
            store: store_of(&config, env),
            memory: env.memory().clone(),
            vary: Vary {
                query: config.texts("vary_query_params"),
                headers: config.texts("vary_headers"),
                ignore_case: config.flag("ignore_uri_case"),
            },
            methods: config.texts("request_method"),
            statuses: config.list("response_code").iter().filter_map(|v| v.as_u64()?.try_into().ok()).collect(),
            types: config.texts("content_type").iter().filter_map(MediaType::parse).collect(),
            cache_ttl: config.integer::<i64>("cache_ttl").map_or(300, |ttl| ttl.max(0) as u64),
            storage_ttl: config.integer::<i64>("storage_ttl").map(|ttl| ttl.max(0) as u64),
            cache_control: config.flag("cache_control"),
            show_age: shown.flag("age"),
            show_status: shown.flag("X-Cache-Status"),
            show_key: shown.flag("X-Cache-Key"),
        }))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { admin::answer(&request, &env) })
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::BODY_FILTER)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let wishes = if self.cache_control { Directives::of(&exchange.request.fields) } else { Directives::default() };
        if !self.may_be_cached(exchange, &wishes) {
            self.tell(exchange, "Bypass");
            return Step::Next;
        }
        let key = self.vary.key(exchange);
        if self.show_key || debugging(exchange) {
            exchange.reply.set("X-Cache-Key", key::to_hex(&key).as_bytes());
        }
        let now_ms = exchange.timing.started_unix_ms;
        match self.store.get(&key, now_ms) {
            None if wishes.has("only-if-cached") => {
                Step::Answer(Answer::gateway_error(exchange, 504, &Answer::gateway_message(504)))
            }
            None => self.want(exchange, key, "Miss"),
            Some(entry) if self.is_fresh(&entry, &wishes, now_ms / 1_000) => {
                Step::Answer(self.hit(exchange, &entry, now_ms / 1_000))
            }
            Some(_) => self.want(exchange, key, "Refresh"),
        }
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(Wanted(key)) = exchange.take() else { return };
        let now_ms = now_ms(exchange);
        match self.lifetime(exchange, now_ms / 1_000) {
            Some(ttl) => {
                let keep_for = self.storage_ttl.unwrap_or(ttl);
                let entry = CachedResponse {
                    status: exchange.response.status,
                    fields: kept_fields(&exchange.response.fields, exchange.request.method.is_head()),
                    body: Bytes::new(),
                    stored_at: now_ms / 1_000,
                    ttl,
                    drop_at_ms: now_ms.saturating_add(keep_for.saturating_mul(1_000)),
                };
                let length = exchange
                    .response
                    .fields
                    .known(Known::ContentLength)
                    .and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
                let expected = length.filter(|_| !exchange.request.method.is_head());
                exchange.put(Gathering { key, entry, content: Held::new(&self.memory), expected });
            }
            None if self.show_status || debugging(exchange) => {
                exchange.response.fields.set("X-Cache-Status", b"Bypass");
                exchange.reply.set("X-Cache-Status", b"Bypass");
            }
            None => {}
        }
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        let Some(gathering) = exchange.state::<Gathering>() else { return piece };
        if gathering.content.octets().len() + piece.len() > self.store.largest() {
            exchange.take::<Gathering>();
            return piece;
        }
        if gathering.content.try_extend(&piece).is_err() {
            exchange.take::<Gathering>();
            let id = exchange.id_str();
            tracing::warn!(request_id = id, "proxy-cache: there is no memory to hold a response, it is not stored");
            return piece;
        }
        if last && let Some(whole) = exchange.take::<Gathering>() {
            self.keep(whole);
        }
        piece
    }
}

impl Instance {
    fn may_be_cached(&self, exchange: &Exchange, wishes: &Directives) -> bool {
        let refused =
            || wishes.has("no-store") || wishes.has("no-cache") || exchange.request.fields.has(Known::Authorization);
        self.methods.iter().any(|m| m == exchange.request.method.as_str()) && !(self.cache_control && refused())
    }

    /// Whether a stored response may be used for a request with these wishes.
    fn is_fresh(&self, entry: &CachedResponse, wishes: &Directives, now: u64) -> bool {
        let age = now.saturating_sub(entry.stored_at);
        if !self.cache_control {
            return age <= self.cache_ttl;
        }
        let too_old = wishes.seconds("max-age").is_some_and(|most| age > most);
        let too_stale = wishes.seconds("max-stale").is_some_and(|most| age.saturating_sub(entry.ttl) > most);
        let not_fresh_enough = wishes.seconds("min-fresh").is_some_and(|least| entry.ttl.saturating_sub(age) < least);
        !(too_old || too_stale || not_fresh_enough)
    }

    /// Asks the service, and for its response to be kept.
    fn want(&self, exchange: &mut Exchange, key: Digest, status: &str) -> Step<'static> {
        exchange.put(Wanted(key));
        self.tell(exchange, status);
        Step::Next
    }

    fn tell(&self, exchange: &mut Exchange, status: &str) {
        if self.show_status || debugging(exchange) {
            exchange.reply.set("X-Cache-Status", status.as_bytes());
        }
    }

    /// A stored response, passed on as if the service had just sent it.
    fn hit(&self, exchange: &mut Exchange, entry: &CachedResponse, now: u64) -> Answer {
        self.tell(exchange, "Hit");
        exchange.timing.upstream = Some(Duration::ZERO);
        let mut answer = Answer {
            status: entry.status,
            fields: entry.fields.clone(),
            body: entry.body.clone(),
            source: Source::Service,
        };
        if self.show_age || debugging(exchange) {
            answer.fields.set("Age", itoa::Buffer::new().format(now.saturating_sub(entry.stored_at)).as_bytes());
        }
        answer
    }

    /// For how many seconds the response can be used; `None` when it must not be kept.
    fn lifetime(&self, exchange: &Exchange, now: u64) -> Option<u64> {
        let response = &exchange.response;
        if exchange.source != Source::Service || !self.statuses.contains(&response.status) {
            return None;
        }
        let content_type = MediaType::parse(response.fields.known(Known::ContentType)?)?;
        if !self.types.iter().any(|t| t.matches(&content_type)) {
            return None;
        }
        if !self.cache_control {
            return Some(self.cache_ttl);
        }
        let directives = Directives::of(&response.fields);
        if ["private", "no-store", "no-cache"].iter().any(|d| directives.has(d)) {
            return None;
        }
        Some(directives.lifetime(&response.fields, now)).filter(|ttl| *ttl > 0)
    }

    fn keep(&self, gathering: Gathering) {
        let Gathering { key, mut entry, content, expected } = gathering;
        if expected.is_some_and(|length| length != content.octets().len()) {
            return;
        }
        entry.body = content.into_vec().into_boxed_slice().into();
        self.store.put(key, Arc::new(entry));
    }
}

/// The store that a configuration chooses.
fn store_of(config: &Config<'_>, env: &Env) -> Arc<Store> {
    let name = config.section("memory").text("dictionary_name").unwrap_or(DEFAULT_DICTIONARY);
    let mebibytes = DICTIONARIES.iter().find(|(known, _)| *known == name).and_then(|(_, size)| *size);
    env.shared::<Stores>().open(name, mebibytes.map_or(env.cache_size(), |size| size << 20))
}

/// The check that the schema names.
fn dictionary_exists(record: &Record) -> Result<(), String> {
    let config = record.get("config").and_then(Value::as_object);
    let name =
        config.and_then(|c| Config::new(c).section("memory").text("dictionary_name")).unwrap_or(DEFAULT_DICTIONARY);
    if DICTIONARIES.iter().any(|(known, _)| *known == name) {
        Ok(())
    } else {
        Err(format!("missing shared dict '{name}'"))
    }
}

/// Whether the client asks for all the diagnostic lines.
fn debugging(exchange: &Exchange) -> bool {
    exchange.request.fields.contains("Kong-Debug")
}

fn now_ms(exchange: &Exchange) -> u64 {
    exchange.timing.started_unix_ms + exchange.timing.started.elapsed().as_millis() as u64
}

/// The lines that are stored: not those of one connection, nor those that each answer gets anew. The length of
/// content is that of the stored one, but a response to HEAD has none to measure.
fn kept_fields(fields: &Fields, head: bool) -> Fields {
    let named = |name: &str| fields.known_all(Known::Connection).any(|line| field_value::list_has(line, name));
    let kept = |known: Known, name: &str| match known {
        Known::Connection
        | Known::KeepAlive
        | Known::Te
        | Known::TransferEncoding
        | Known::Upgrade
        | Known::Trailer => false,
        Known::ContentLength => head,
        Known::XKongRequestId => false,
        _ => {
            let name = name.to_ascii_lowercase();
            !matches!(
                name.as_str(),
                "proxy-authenticate" | "proxy-authorization" | "trailers" | "age" | "x-cache-status" | "x-cache-key"
            ) && !name.contains("ratelimit-remaining")
                && !name.starts_with("x-kong-")
                && !named(&name)
        }
    };
    fields.iter_known().filter(|(known, name, _)| kept(*known, name)).map(|(_, name, value)| (name, value)).collect()
}

#[cfg(test)]
mod tests;

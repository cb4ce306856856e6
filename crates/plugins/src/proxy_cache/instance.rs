//! An instance: which requests are answered from the storage, and which responses are kept there.

use super::control::Directives;
use super::key::{self, Digest, Vary};
use super::redis;
use super::storage::Storage;
use super::store::CachedResponse;
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Fields, Held, Known, MediaType, MemoryBudget, Phases, Plugin, Source, Step,
    field_value,
};
use std::sync::Arc;
use std::time::Duration;

/// A configured `proxy-cache` or `proxy-cache-advanced`.
pub struct Instance {
    pub vary: Vary,
    /// Whether requests go on to the service when the storage cannot be asked; else they are refused.
    pub bypass_on_error: bool,
    storage: Storage,
    memory: MemoryBudget,
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
    /// What of it is the stored form of the head, for a Redis.
    head: usize,
    /// How long the content must be, when the service said so and sends content.
    expected: Option<usize>,
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
        match &self.storage {
            Storage::Memory(store) => {
                let found = store.get(&key, exchange.timing.started_unix_ms);
                self.decide(exchange, key, found.as_deref(), &wishes)
            }
            Storage::Redis(store) => Step::Wait(Box::pin(async move {
                match store.get(&key).await {
                    Ok(found) => self.decide(exchange, key, found.as_ref(), &wishes),
                    Err(error) => self.without_storage(exchange, &error),
                }
            })),
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
                // Nobody could say later how long the content is that HEAD is about.
                if exchange.request.method.is_head() && length.is_none() {
                    return;
                }
                let expected = length.filter(|_| !exchange.request.method.is_head());
                let mut content = Held::new(&self.memory);
                if matches!(self.storage, Storage::Redis(_)) {
                    content.extend_anyway(&redis::head(&entry));
                }
                let head = content.octets().len();
                exchange.put(Gathering { key, entry, content, head, expected });
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
        if gathering.content.octets().len() + piece.len() > self.storage.largest() {
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
    /// An instance with that storage that refuses requests when it cannot be asked, unless it is to let them pass.
    pub fn new(config: &Config<'_>, storage: Storage, env: &Env) -> Instance {
        let shown = config.section("response_headers");
        Instance {
            vary: Vary {
                query: config.texts("vary_query_params"),
                headers: config.texts("vary_headers"),
                ignore_case: config.flag("ignore_uri_case"),
                groups: false,
            },
            bypass_on_error: config.flag("bypass_on_err"),
            storage,
            memory: env.memory().clone(),
            methods: config.texts("request_method"),
            statuses: config.list("response_code").iter().filter_map(|v| v.as_u64()?.try_into().ok()).collect(),
            types: config.texts("content_type").iter().filter_map(MediaType::parse).collect(),
            cache_ttl: config.integer::<i64>("cache_ttl").map_or(300, |ttl| ttl.max(0) as u64),
            storage_ttl: config.integer::<i64>("storage_ttl").map(|ttl| ttl.max(0) as u64),
            cache_control: config.flag("cache_control"),
            show_age: shown.flag("age"),
            show_status: shown.flag("X-Cache-Status"),
            show_key: shown.flag("X-Cache-Key"),
        }
    }

    /// What becomes of a request for which that is stored.
    fn decide(
        &self,
        exchange: &mut Exchange,
        key: Digest,
        found: Option<&CachedResponse>,
        wishes: &Directives,
    ) -> Step<'static> {
        let now = exchange.timing.started_unix_ms / 1_000;
        match found {
            None if wishes.has("only-if-cached") => {
                Step::Answer(Answer::gateway_error(exchange, 504, &Answer::gateway_message(504)))
            }
            None => self.want(exchange, key, "Miss"),
            Some(entry) if self.is_fresh(entry, wishes, now) => Step::Answer(self.hit(exchange, entry, now)),
            Some(_) => self.want(exchange, key, "Refresh"),
        }
    }

    /// What becomes of a request while the Redis cannot be asked.
    fn without_storage(&self, exchange: &mut Exchange, error: &sdk::redis::RedisError) -> Step<'static> {
        tracing::error!(request_id = exchange.id_str(), "proxy-cache: stored responses cannot be read: {error}");
        if self.bypass_on_error {
            self.tell(exchange, "Bypass");
            return Step::Next;
        }
        Step::Answer(Answer::error(exchange, 500, "An unexpected error occurred"))
    }

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
        let Gathering { key, mut entry, content, head, expected } = gathering;
        if expected.is_some_and(|length| length != content.octets().len() - head) {
            return;
        }
        match &self.storage {
            Storage::Memory(store) => {
                entry.body = content.into_vec().into_boxed_slice().into();
                store.put(key, Arc::new(entry));
            }
            Storage::Redis(store) => {
                let kept = (entry.drop_at_ms / 1_000).saturating_sub(entry.stored_at);
                store.put(&key, content.into_bytes(), Duration::from_secs(kept));
            }
        }
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
                && !named(&name)
        }
    };
    fields.iter_known().filter(|(known, name, _)| kept(*known, name)).map(|(_, name, value)| (name, value)).collect()
}

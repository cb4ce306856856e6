//! Sessions of browsers, in the cookies of lua-resty-session 4: those that Kong has made open here, and the other way
//! round.
//!
//! A session's content is encrypted; it lies in the cookie itself, in records of the entity `sessions`, or in a Redis.
//! A cookie can hold content for several audiences, each with a subject of its own.

mod cookies;
mod header;
mod keys;
mod origin;
mod storage;

pub use cookies::{Attributes, SetCookie, apply as apply_cookies};
pub use origin::Origin;
pub use storage::Storage;

use crate::Fields;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookies::{count, end, join, split};
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use header::{DEFLATED, Header, ID, STORED};
use keys::{Secret, TAG};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use storage::{Former, Write};
use wire::field_value;

/// How sessions are made and kept.
pub struct Sessions {
    secret: Secret,
    options: Options,
    attributes: String,
}

/// What a plugin's configuration says of sessions. Times are in seconds, and 0 is for ever.
#[derive(Clone, Debug)]
pub struct Options {
    pub audience: String,
    /// Where content is kept; `None`: in the cookie.
    pub storage: Option<Storage>,
    pub cookie_name: String,
    pub attributes: Attributes,
    pub idling_timeout: u64,
    pub rolling_timeout: u64,
    pub absolute_timeout: u64,
    /// How long a session can still be used that was renewed.
    pub stale_ttl: u64,
    /// A second cookie outlives the browser, and opens a session where there is none.
    pub remember: Option<Remember>,
    /// Subjects are told to the store (`session_metadatas`).
    pub store_metadata: bool,
    pub hash_subject: bool,
    /// What sessions are bound to: `ip`, `scheme`, `user-agent`.
    pub bind: Vec<String>,
}

/// The cookie that outlives the browser.
#[derive(Clone, Debug)]
pub struct Remember {
    pub cookie_name: String,
    pub rolling_timeout: u64,
    pub absolute_timeout: u64,
}

/// A session as a request has it, and what is to become of it.
pub struct Session {
    sessions: Arc<Sessions>,
    origin: Origin,
    entries: Vec<Entry>,
    /// The place of the own audience among the entries.
    own: usize,
    /// What the client's cookie said, or says from now on.
    header: Option<Header>,
    remembered: Option<Header>,
    /// What followed the header in the first cookie.
    chunk: String,
    is_open: bool,
    now: u64,
    cookies: Vec<SetCookie>,
    writes: Vec<Write>,
}

/// The content of one audience.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    data: Value,
    audience: String,
    subject: Option<String>,
}

/// The longest life of a cookie, in seconds.
const LONGEST: u64 = 34_560_000;
/// Content of more octets is compressed.
const COMPRESSED_FROM: usize = 1024;
/// As much content as a header can tell of.
const MOST_CONTENT: usize = (1 << 24) - 1;
/// How often a client is told that its session was used.
const TOUCHED_EVERY: u64 = 60;

impl Sessions {
    pub fn new(secret: &str, options: Options) -> Sessions {
        let attributes = options.attributes.text();
        Sessions { secret: Secret::new(secret.as_bytes()), options, attributes }
    }

    /// Whether a request may have a session.
    pub fn may_open(&self, fields: &Fields) -> bool {
        let has = |name: &str| field_value::cookie(fields, name).is_some();
        has(&self.options.cookie_name)
            || self.options.remember.as_ref().is_some_and(|remember| has(&remember.cookie_name))
    }

    /// A session without content for a client.
    pub fn create(self: &Arc<Sessions>, origin: Origin, now: u64) -> Session {
        let own = Entry { data: json!({}), audience: self.options.audience.clone(), subject: None };
        Session {
            sessions: Arc::clone(self),
            origin,
            entries: vec![own],
            own: 0,
            header: None,
            remembered: None,
            chunk: String::new(),
            is_open: false,
            now,
            cookies: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// The session of a request; one without content when it has none. `now` in Unix seconds.
    pub async fn open(self: &Arc<Sessions>, fields: &Fields, origin: Origin, now: u64) -> Session {
        let mut session = self.create(origin, now);
        let name = &self.options.cookie_name;
        if let Some((header, chunk, entries)) = self.read(fields, name, &session.origin, now, false).await {
            session.header = Some(header);
            session.chunk = chunk;
            session.take(entries);
            return session;
        }
        if let Some(remember) = &self.options.remember
            && let Some((header, _, entries)) =
                self.read(fields, &remember.cookie_name, &session.origin, now, true).await
        {
            session.remembered = Some(header);
            session.take(entries);
            if session.is_open && session.save().is_err() {
                return self.create(session.origin, now);
            }
        }
        session
    }

    async fn read(
        &self,
        fields: &Fields,
        name: &str,
        origin: &Origin,
        now: u64,
        lasting: bool,
    ) -> Option<(Header, String, Vec<Entry>)> {
        let cookie = field_value::cookie(fields, name)?;
        let header = Header::read(cookie, &self.secret, origin)?;
        if (header.flags & STORED != 0) != self.options.storage.is_some() || self.is_over(&header, now, lasting) {
            return None;
        }
        let content = match &self.options.storage {
            Some(storage) => storage.find(name, &header.id()).await?,
            None => join(fields, name, cookie, header.size)?,
        };
        if content.len() != header.size {
            return None;
        }
        let sealed = crate::decode_base64url(&content)?;
        let plain = self.secret.cipher(&header.id, lasting)?.open(&header.context(), &sealed, &header.tag)?;
        let plain = if header.flags & DEFLATED != 0 { inflate(&plain)? } else { plain };
        let chunk = match self.options.storage {
            Some(_) => String::new(),
            None => String::from_utf8(cookie[header::ENCODED..].to_vec()).ok()?,
        };
        Some((header, chunk, entries(&plain)?))
    }

    fn is_over(&self, header: &Header, now: u64, lasting: bool) -> bool {
        let Options { idling_timeout, rolling_timeout, absolute_timeout, remember, .. } = &self.options;
        let limits = match remember.as_ref().filter(|_| lasting) {
            Some(remember) => [remember.absolute_timeout, remember.rolling_timeout, 0],
            None => [*absolute_timeout, *rolling_timeout, *idling_timeout],
        };
        header.ages(now).into_iter().zip(limits).any(|(age, limit)| limit != 0 && age > limit)
    }
}

impl Session {
    /// Whether the client has shown it, or it was saved.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The content for the own audience.
    pub fn data(&self) -> &Value {
        &self.entries[self.own].data
    }

    pub fn set_data(&mut self, data: Value) {
        self.entries[self.own].data = data;
    }

    /// Whose it is, in the plugin's words.
    pub fn set_subject(&mut self, subject: Option<String>) {
        self.entries[self.own].subject = subject;
    }

    /// A property by the name that `request_headers` and `response_headers` have for it, and the name of the line that
    /// tells it.
    pub fn property(&self, name: &str) -> Option<(&'static str, String)> {
        let header = self.header.as_ref()?;
        let Options { idling_timeout, rolling_timeout, absolute_timeout, .. } = self.sessions.options;
        let ages = header.ages(self.now);
        let limits = [absolute_timeout, rolling_timeout, idling_timeout];
        let left = |at: usize| (limits[at] != 0).then(|| limits[at].saturating_sub(ages[at]));
        let seconds = |at: usize| left(at).map(|left| left.to_string());
        let own = &self.entries[self.own];
        match name {
            "id" => Some(("Session-Id", header.id())),
            "audience" => Some(("Session-Audience", own.audience.clone())),
            "subject" => Some(("Session-Subject", own.subject.clone()?)),
            "timeout" => Some(("Session-Timeout", (0..3).filter_map(left).min()?.to_string())),
            "idling-timeout" => Some(("Session-Idling-Timeout", seconds(2)?)),
            "rolling-timeout" => Some(("Session-Rolling-Timeout", seconds(1)?)),
            "absolute-timeout" => Some(("Session-Absolute-Timeout", seconds(0)?)),
            _ => None,
        }
    }

    /// Makes it the client's session from now on, under another id than before.
    pub fn save(&mut self) -> Result<(), &'static str> {
        let former = self.header.clone();
        self.header = Some(self.write(former, false)?);
        self.is_open = true;
        if self.sessions.options.remember.is_some() {
            let former = self.remembered.clone();
            self.remembered = Some(self.write(former, true)?);
        }
        Ok(())
    }

    /// Renews it when most of its time is over, or notes that it was used.
    pub fn refresh(&mut self) -> Result<(), &'static str> {
        let Options { idling_timeout, rolling_timeout, .. } = self.sessions.options;
        let Some(header) = self.header.clone() else { return Ok(()) };
        let [_, rolled, idle] = header.ages(self.now);
        if rolling_timeout > 0 && rolled > (rolling_timeout * 3).div_ceil(4) {
            self.header = Some(self.write(Some(header), false)?);
        } else if idling_timeout > 0 && idle > TOUCHED_EVERY {
            self.touch(Header { touched: rolled.min((1 << 24) - 1), ..header });
        }
        Ok(())
    }

    /// Ends it for the own audience; without another one it is gone.
    pub fn logout(&mut self) -> Result<(), &'static str> {
        self.is_open = false;
        if self.entries.len() > 1 {
            self.entries.remove(self.own);
            self.own = 0;
            self.save()?;
            self.is_open = false;
            return Ok(());
        }
        let sessions = Arc::clone(&self.sessions);
        let Options { cookie_name, remember, .. } = &sessions.options;
        self.destroy(cookie_name, self.header.clone());
        if let Some(remember) = remember {
            self.destroy(&remember.cookie_name, self.remembered.clone());
        }
        Ok(())
    }

    /// The cookies that the client is to get.
    pub fn take_cookies(&mut self) -> Vec<SetCookie> {
        std::mem::take(&mut self.cookies)
    }

    /// What is to be done where content is kept, if there is something.
    pub fn take_writes(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let writes = std::mem::take(&mut self.writes);
        let storage = self.sessions.options.storage.clone().filter(|_| !writes.is_empty())?;
        let now = self.now;
        Some(async move {
            for write in writes {
                if let Err(error) = storage.write(write, now).await {
                    tracing::warn!("a session cannot be kept: {error}");
                }
            }
        })
    }

    /// Takes what was found in a cookie.
    fn take(&mut self, mut entries: Vec<Entry>) {
        match entries.iter().position(|entry| entry.audience == self.sessions.options.audience) {
            Some(own) => (self.own, self.is_open) = (own, true),
            None => {
                entries.append(&mut self.entries);
                self.own = entries.len() - 1;
            }
        }
        self.entries = entries;
    }

    /// Writes a cookie, and the record behind it.
    fn write(&mut self, former: Option<Header>, lasting: bool) -> Result<Header, &'static str> {
        let sessions = Arc::clone(&self.sessions);
        let Options { storage, cookie_name, rolling_timeout, stale_ttl, remember, .. } = &sessions.options;
        let remember = remember.as_ref().filter(|_| lasting);
        let name = remember.map_or(cookie_name, |remember| &remember.cookie_name);
        let mut id = [0; ID];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| "there is no randomness")?;
        let created = former.as_ref().map_or(self.now, |former| former.created);
        let mut flags = origin::flags(&sessions.options.bind) | if storage.is_some() { STORED } else { 0 };
        let mut content = self.encode();
        if content.len() > COMPRESSED_FROM
            && let Some(deflated) = deflate(&content).filter(|deflated| deflated.len() < content.len())
        {
            (content, flags) = (deflated, flags | DEFLATED);
        }
        let size = (content.len() * 4).div_ceil(3);
        if size > MOST_CONTENT {
            return Err("there is more content than sessions can have");
        }
        let rolled = self.now.saturating_sub(created);
        let mut header = Header { flags, id, created, rolled, size, tag: [0; TAG], touched: 0 };
        let cipher = sessions.secret.cipher(&id, lasting).ok_or("there is no cipher")?;
        header.tag = cipher.seal(&header.context(), &mut content).ok_or("the content cannot be encrypted")?;
        let payload = URL_SAFE_NO_PAD.encode(content);
        let attributes = match remember {
            Some(remember) => format!("{}{}", sessions.attributes, expires(created, remember.rolling_timeout)),
            None => sessions.attributes.clone(),
        };
        let in_cookie = if storage.is_some() { "" } else { &payload };
        let all = split(name, &header.encode(&sessions.secret, &self.origin), in_cookie, &attributes);
        let all = all.ok_or("there is more content than cookies can hold")?;
        let former_count = former.as_ref().filter(|_| storage.is_none()).and_then(|f| count(name, f.size)).unwrap_or(1);
        let ended = end(name, all.len() + 1, former_count, &sessions.attributes);
        if !lasting {
            self.chunk = in_cookie.get(..in_cookie.len().min(chunk_of(&all[0], name))).unwrap_or_default().to_owned();
        }
        self.set_cookies(all.into_iter().chain(ended).collect());
        if storage.is_some() {
            let ttl = remember.map_or(*rolling_timeout, |remember| remember.rolling_timeout);
            let kept = if lasting { 0 } else { *stale_ttl };
            self.writes.push(Write::Put {
                name: name.clone(),
                key: header.id(),
                data: json!([payload]).to_string(),
                ttl: if ttl == 0 { LONGEST } else { ttl.min(LONGEST) },
                former: former.map(|former| Former { key: former.id(), kept }),
                metadata: self.metadata(),
            });
        }
        Ok(header)
    }

    /// Tells the client that the session was used, with the same content.
    fn touch(&mut self, header: Header) {
        let Sessions { secret, options, attributes } = &*self.sessions;
        let value = format!("{}{}", header.encode(secret, &self.origin), self.chunk);
        let line = format!("{}={value}{attributes}", options.cookie_name);
        let cookie = SetCookie { name: options.cookie_name.clone(), line };
        self.header = Some(header);
        self.set_cookies(vec![cookie]);
    }

    fn destroy(&mut self, name: &str, header: Option<Header>) {
        let stored = self.sessions.options.storage.is_some();
        let number = header.as_ref().filter(|_| !stored).and_then(|header| count(name, header.size)).unwrap_or(1);
        let cookies = end(name, 1, number, &self.sessions.attributes).collect();
        self.set_cookies(cookies);
        if let Some(header) = header.filter(|_| stored) {
            self.writes.push(Write::Remove { name: name.to_owned(), key: header.id() });
        }
    }

    fn set_cookies(&mut self, cookies: Vec<SetCookie>) {
        for cookie in cookies {
            self.cookies.retain(|other| other.name != cookie.name);
            self.cookies.push(cookie);
        }
    }

    fn encode(&self) -> Vec<u8> {
        let entry = |entry: &Entry| match &entry.subject {
            Some(subject) => json!([entry.data, entry.audience, subject]),
            None => json!([entry.data, entry.audience]),
        };
        Value::Array(self.entries.iter().map(entry).collect()).to_string().into_bytes()
    }

    /// Audiences and subjects as the store is told them.
    fn metadata(&self) -> Vec<(String, String)> {
        let options = &self.sessions.options;
        let told = |entry: &Entry| {
            let subject = entry.subject.as_deref()?;
            let subject = if options.hash_subject { hashed(subject) } else { URL_SAFE_NO_PAD.encode(subject) };
            Some((URL_SAFE_NO_PAD.encode(&entry.audience), subject))
        };
        self.entries.iter().filter(|_| options.store_metadata).filter_map(told).collect()
    }
}

fn entries(plain: &[u8]) -> Option<Vec<Entry>> {
    let all: Value = serde_json::from_slice(plain).ok()?;
    let entry = |entry: &Value| {
        let audience = entry.get(1)?.as_str()?.to_owned();
        let subject = entry.get(2).and_then(Value::as_str).map(str::to_owned);
        Some(Entry { data: entry.get(0)?.clone(), audience, subject })
    };
    all.as_array()?.iter().map(entry).collect()
}

/// How much of a cookie's value comes after the header.
fn chunk_of(cookie: &SetCookie, name: &str) -> usize {
    let value = cookie.line[name.len() + 1..].split(';').next().unwrap_or_default();
    value.len().saturating_sub(header::ENCODED)
}

/// When a cookie ends that outlives the browser.
fn expires(created: u64, timeout: u64) -> String {
    let age = if timeout == 0 { LONGEST } else { timeout.min(LONGEST) };
    let end = UNIX_EPOCH + Duration::from_secs(created.saturating_add(age));
    format!("; Expires={}; Max-Age={age}", httpdate::fmt_http_date(end))
}

fn hashed(subject: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, subject.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16])
}

fn deflate(content: &[u8]) -> Option<Vec<u8>> {
    let mut deflated = Vec::new();
    DeflateEncoder::new(content, Compression::default()).read_to_end(&mut deflated).ok()?;
    Some(deflated)
}

fn inflate(content: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    DeflateDecoder::new(content).take(MOST_CONTENT as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= MOST_CONTENT).then_some(plain)
}

#[cfg(test)]
mod tests;

//! What becomes of the content of responses.

use super::lines::is_json;
use super::status::Statuses;
use super::transform::Transform;
use crate::gzip::{unzip, zip};
use crate::json_edits::{self, JsonEdits};
use sdk::{Bytes, Exchange, Fields, Held, Known, MemoryBudget};
use serde::de::IgnoredAny;

/// Edits to JSON, for some statuses each, and content in its place.
pub struct ContentEdits {
    pub plugin: &'static str,
    pub json: Vec<(Statuses, JsonEdits)>,
    /// Whether what the edits leave is all that clients may see: what cannot be edited is withheld.
    pub restricts: bool,
    pub replace: Option<(Statuses, Bytes)>,
    /// What is done to what the edits leave.
    pub transform: Option<Transform>,
    pub memory: MemoryBudget,
}

/// What is done to the content of a response, kept for its plugin.
struct Work {
    plugin: &'static str,
    kind: Kind,
}

enum Kind {
    /// This is sent in its place.
    Replace(Bytes),
    /// It is gathered to be edited.
    Edit { content: Held, status: u16, gzip: bool },
    /// Nothing of it is sent.
    Withhold,
}

/// The work of all plugins on a response.
#[derive(Default)]
struct Works(Vec<Work>);

/// Larger bodies are not edited.
const MOST: usize = 64 << 20;

impl ContentEdits {
    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.replace.is_none() && self.transform.is_none() && self.json.iter().all(|(_, edits)| edits.is_empty())
    }

    /// Prepares for the content, by the head as it `was` before it was edited.
    pub fn begin(&self, exchange: &mut Exchange, was: &Fields) {
        let status = exchange.response.status;
        let fields = &mut exchange.response.fields;
        if let Some((statuses, content)) = &self.replace
            && statuses.has(status)
        {
            fields.remove_known(Known::ContentLength);
            fields.remove("Content-Encoding");
            return self.put(exchange, Kind::Replace(content.clone()));
        }
        let does = self.transform(status).is_some() || self.edits(status).any(|edits| !edits.is_empty());
        if !does || !is_json(was) {
            return;
        }
        let encoding = was.get("Content-Encoding").map(<[u8]>::trim_ascii).unwrap_or(b"identity");
        let gzip = encoding.eq_ignore_ascii_case(b"gzip");
        if gzip || encoding.eq_ignore_ascii_case(b"identity") {
            fields.remove_known(Known::ContentLength);
            let content = Held::new(&self.memory);
            self.put(exchange, Kind::Edit { content, status, gzip });
        } else if self.restricts {
            fields.remove_known(Known::ContentLength);
            self.warn(exchange, "content is withheld: its encoding is not known");
            self.put(exchange, Kind::Withhold);
        } else {
            self.warn(exchange, "content is passed on as it is: its encoding is not known");
        }
    }

    /// What is sent in the place of a piece of content.
    pub fn pass(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        let Some(kind) = self.take(exchange) else { return piece };
        match kind {
            Kind::Edit { content, status, gzip } => self.gather(exchange, content, (status, gzip), piece, last),
            Kind::Replace(content) if last => content,
            kind => {
                self.put(exchange, kind);
                Bytes::new()
            }
        }
    }

    fn gather(
        &self,
        exchange: &mut Exchange,
        mut content: Held,
        (status, gzip): (u16, bool),
        piece: Bytes,
        last: bool,
    ) -> Bytes {
        let refusal = if content.octets().len() + piece.len() > MOST {
            Some("it is too large")
        } else {
            content.try_extend(&piece).err().map(|_| "there is no memory for it")
        };
        match refusal {
            Some(why) if self.restricts => {
                self.warn(exchange, &format!("content is withheld: {why}"));
                self.put(exchange, Kind::Withhold);
                Bytes::new()
            }
            Some(why) => {
                self.warn(exchange, &format!("content is passed on as it is: {why}"));
                content.extend_anyway(&piece);
                content.into_bytes()
            }
            None if last => self.finish(exchange, content, status, gzip),
            None => {
                self.put(exchange, Kind::Edit { content, status, gzip });
                Bytes::new()
            }
        }
    }

    /// The edited content.
    fn finish(&self, exchange: &mut Exchange, content: Held, status: u16, gzip: bool) -> Bytes {
        let mut done = false;
        let edited = content.edit(|content| {
            let edited = if gzip {
                let plain = unzip(content, &self.memory, MOST)?;
                plain.is_empty().then(Vec::new).or_else(|| self.edit(exchange, &plain, status)).map(|text| zip(&text))
            } else {
                self.edit(exchange, content, status)
            };
            done = edited.is_some() || content.is_empty();
            edited
        });
        if !done && self.restricts {
            self.warn(exchange, "content is withheld: it is not what its type says, or too large");
            return Bytes::new();
        }
        edited
    }

    fn edit(&self, exchange: &mut Exchange, text: &Bytes, status: u16) -> Option<Vec<u8>> {
        let edits: Vec<&JsonEdits> = self.edits(status).collect();
        let edited = json_edits::apply(&edits, text);
        // A list or a single value has no members that it may not have.
        let edited = edited.or_else(|| serde_json::from_slice::<IgnoredAny>(text).is_ok().then(|| text.to_vec()))?;
        let Some(transform) = self.transform(status) else { return Some(edited) };
        // Functions may be there to hide something.
        Some(transform.apply(exchange, &edited).unwrap_or_else(|error| {
            let request_id = exchange.id_str();
            tracing::error!(plugin = self.plugin, request_id, "content is withheld: {error}");
            Vec::new()
        }))
    }

    fn transform(&self, status: u16) -> Option<&Transform> {
        self.transform.as_ref().filter(|transform| transform.statuses.has(status))
    }

    fn edits(&self, status: u16) -> impl Iterator<Item = &JsonEdits> {
        self.json.iter().filter(move |(statuses, _)| statuses.has(status)).map(|(_, edits)| edits)
    }

    fn put(&self, exchange: &mut Exchange, kind: Kind) {
        let mut works = exchange.take::<Works>().unwrap_or_default();
        works.0.push(Work { plugin: self.plugin, kind });
        exchange.put(works);
    }

    fn take(&self, exchange: &mut Exchange) -> Option<Kind> {
        let works = &mut exchange.state::<Works>()?.0;
        let at = works.iter().position(|work| work.plugin == self.plugin)?;
        Some(works.swap_remove(at).kind)
    }

    fn warn(&self, exchange: &Exchange, words: &str) {
        tracing::warn!(plugin = self.plugin, request_id = exchange.id_str(), "{words}");
    }
}

//! Edits to request bodies: forms, JSON objects, multipart forms.

use super::Instance;
use super::edits::{Named, Rendered};
use crate::json_edits::{JsonEdits, Path};
use sdk::{Args, Content, Exchange, JsonObject, Known, MediaType, Multipart, RequestBody};
use serde::de::IgnoredAny;

impl Instance {
    /// Edits the body when it is of a kind that has members.
    pub fn edit_body(&self, exchange: &mut Exchange, edits: &Rendered<'_>) -> Result<(), String> {
        if edits.is_empty() && self.allow.is_none() {
            return Ok(());
        }
        let Some(content) = self.content(exchange) else { return Ok(()) };
        let edited = match content {
            Content::Form(mut args) => {
                self.keep_allowed(args.iter().map(|(name, _)| name.into_owned()).collect(), |name| {
                    args.remove(name);
                });
                edits.apply(&mut args);
                args.encode()
            }
            Content::Json(mut object) => {
                self.json_edits(edits).apply_to(&mut object);
                object.encode()
            }
            Content::Multipart(mut form) => {
                self.keep_allowed(form.iter().map(|(name, _)| name.to_vec()).collect(), |name| {
                    form.remove(name);
                });
                edit_multipart(&mut form, edits);
                if form.is_empty() && exchange.body.bytes().is_some_and(|body| body.is_empty()) {
                    return Ok(());
                }
                form.encode()
            }
        };
        match self.memory.hold(edited) {
            Ok(edited) => exchange.body = edited.into(),
            Err(_) if self.allow.is_some() => return Err("there is no memory for edited content".to_owned()),
            Err(_) => self.warn(exchange, "there is no memory for edited content, it is passed on as it is"),
        }
        Ok(())
    }

    /// The status of the answer to a body of which it cannot be seen what is in it, where only some members go on.
    pub fn refusal(&self, exchange: &Exchange) -> Option<u16> {
        self.allow.as_ref()?;
        let Some(body) = exchange.body.bytes() else { return Some(413) };
        let is_json = exchange.request.fields.known(Known::ContentType).and_then(MediaType::parse)?.is_json();
        let is_broken = || serde_json::from_slice::<IgnoredAny>(body).is_err() && Content::of(exchange).is_none();
        (is_json && !body.is_empty() && is_broken()).then_some(400)
    }

    /// The body; an empty one counts as one without members, if something can be added to it.
    fn content(&self, exchange: &Exchange) -> Option<Content> {
        match &exchange.body {
            RequestBody::Whole(body) if body.is_empty() => {}
            RequestBody::Whole(_) => return Content::of(exchange),
            RequestBody::TooLarge => {
                self.warn(exchange, "the content is too large to be edited and is passed on");
                return None;
            }
            RequestBody::Unread | RequestBody::OnDemand(_) => return None,
        }
        let content_type = exchange.request.fields.get("content-type")?.to_ascii_lowercase();
        let names = |kind: &str| memchr::memmem::find(&content_type, kind.as_bytes()).is_some();
        if names("application/json") {
            Some(Content::Json(JsonObject::default()))
        } else if names("application/x-www-form-urlencoded") {
            Some(Content::Form(Args::default()))
        } else if names("multipart/form-data") {
            Multipart::empty(exchange.request.fields.get("content-type")?).map(Content::Multipart)
        } else {
            None
        }
    }

    /// Removes what is not let through.
    fn keep_allowed(&self, names: Vec<Vec<u8>>, mut remove: impl FnMut(&[u8])) {
        let Some(allow) = &self.allow else { return };
        for name in names.iter().filter(|name| !allow.iter().any(|allowed| allowed.as_bytes() == **name)) {
            remove(name);
        }
    }

    fn json_edits(&self, edits: &Rendered<'_>) -> JsonEdits {
        let path = |name: &str| if self.paths { Path::parse(name) } else { Path::member(name) };
        let typed = |entries: &[Named<'_>]| {
            entries.iter().filter_map(|entry| Some((path(entry.name), entry.kind.encode(&entry.value)?))).collect()
        };
        JsonEdits {
            allow: self.allow.clone(),
            remove: edits.remove.iter().map(|name| path(name)).collect(),
            rename: edits.rename.iter().map(|entry| (path(entry.name), entry.value.to_vec())).collect(),
            replace: typed(&edits.replace),
            add: typed(&edits.add),
            append: typed(&edits.append),
            keeps_false: true,
        }
    }

    fn warn(&self, exchange: &Exchange, words: &str) {
        tracing::warn!(plugin = self.plugin, request_id = exchange.id_str(), "{words}");
    }
}

fn edit_multipart(form: &mut Multipart, edits: &Rendered<'_>) {
    // As Kong: renaming comes first here, and nothing is appended.
    for Named { name: old, value: new, .. } in
        edits.rename.iter().filter(|entry| entry.name.as_bytes() != &*entry.value)
    {
        let first = form.get_all(old).next().map(<[u8]>::to_vec);
        if let Some(value) = first {
            form.remove(old);
            form.set(new, &value);
        }
    }
    for name in edits.remove {
        form.remove(name);
    }
    for Named { name, value, .. } in &edits.replace {
        if form.get_all(name).next().is_some() {
            form.set(name, value);
        }
    }
    for Named { name, value, .. } in &edits.add {
        if form.get_all(name).next().is_none() {
            form.set(name, value);
        }
    }
}

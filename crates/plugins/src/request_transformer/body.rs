//! Edits to request bodies: forms, JSON objects, multipart forms.

use super::Edits;
use sdk::{Args, Content, Exchange, JsonObject, MemoryBudget, Multipart, RequestBody, json};

/// Edits the body when it is of a kind that has members.
pub fn edit(exchange: &mut Exchange, edits: &Edits<Vec<u8>>, memory: &MemoryBudget) {
    if edits.is_empty() {
        return;
    }
    let Some(content) = content(exchange) else { return };
    let edited = match content {
        Content::Form(mut args) => {
            edits.apply(&mut args);
            args.encode()
        }
        Content::Json(mut object) => {
            edit_json(&mut object, edits);
            object.encode()
        }
        Content::Multipart(mut form) => {
            edit_multipart(&mut form, edits);
            form.encode()
        }
    };
    match memory.hold(edited) {
        Ok(edited) => exchange.body = edited.into(),
        Err(_) => tracing::warn!(
            request_id = exchange.id_str(),
            "request-transformer: there is no memory for edited content, it is passed on as it is"
        ),
    }
}

/// The body; an empty one counts as one without members, if something can be added to it.
fn content(exchange: &mut Exchange) -> Option<Content> {
    match &exchange.body {
        RequestBody::Whole(body) if body.is_empty() => {}
        RequestBody::Whole(_) => return Content::of(exchange),
        RequestBody::TooLarge => {
            let id = exchange.id_str();
            tracing::warn!(
                request_id = id,
                "request-transformer: the content is too large to be edited and is passed on"
            );
            return None;
        }
        RequestBody::Unread => return None,
    }
    let content_type = exchange.request.fields.get("content-type")?.to_ascii_lowercase();
    let names = |kind: &str| memchr::memmem::find(&content_type, kind.as_bytes()).is_some();
    if names("application/json") {
        Some(Content::Json(JsonObject::default()))
    } else if names("application/x-www-form-urlencoded") {
        Some(Content::Form(Args::default()))
    } else {
        None
    }
}

fn edit_json(object: &mut JsonObject, edits: &Edits<Vec<u8>>) {
    let string = |value: &[u8]| {
        let mut text = Vec::with_capacity(value.len() + 2);
        json::quote(value, &mut text);
        text
    };
    for name in &edits.remove {
        object.remove(name);
    }
    for (old, new) in edits.rename.iter().filter(|(old, new)| old.as_bytes() != new) {
        if object.is_present(old) {
            object.rename(old, new);
        }
    }
    for (name, value) in &edits.replace {
        if object.is_present(name) {
            object.set(name, &string(value));
        }
    }
    for (name, value) in &edits.add {
        if !object.is_present(name) {
            object.set(name, &string(value));
        }
    }
    for (name, value) in &edits.append {
        object.append(name, &string(value));
    }
}

fn edit_multipart(form: &mut Multipart, edits: &Edits<Vec<u8>>) {
    // As Kong: renaming comes first here, and nothing is appended.
    for (old, new) in edits.rename.iter().filter(|(old, new)| old.as_bytes() != new) {
        let first = form.get_all(old).next().map(<[u8]>::to_vec);
        if let Some(value) = first {
            form.remove(old);
            form.set(new, &value);
        }
    }
    for name in &edits.remove {
        form.remove(name);
    }
    for (name, value) in &edits.replace {
        if form.get_all(name).next().is_some() {
            form.set(name, value);
        }
    }
    for (name, value) in &edits.add {
        if form.get_all(name).next().is_none() {
            form.set(name, value);
        }
    }
}

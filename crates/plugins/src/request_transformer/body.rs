//! Edits to request bodies: forms, JSON objects, multipart forms.

use super::Edits;
use sdk::{Args, Bytes, Content, Exchange, Multipart, Record, RequestBody};
use serde_json::Value;

/// Edits the body when it is of a kind that has members.
pub fn edit(exchange: &mut Exchange, edits: &Edits<String>) {
    if edits.is_empty() {
        return;
    }
    let Some(content) = content(exchange) else { return };
    let edited: Bytes = match content {
        Content::Form(mut args) => {
            edits.apply(&mut args);
            args.encode().into()
        }
        Content::Json(mut members) => {
            edit_json(&mut members, edits);
            serde_json::to_vec(&members).unwrap_or_default().into()
        }
        Content::Multipart(mut form) => {
            edit_multipart(&mut form, edits);
            form.encode().into()
        }
    };
    exchange.body = edited.into();
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
    let content_type = exchange.request.fields.get_str("content-type")?.to_ascii_lowercase();
    if content_type.contains("application/json") {
        Some(Content::Json(Record::new()))
    } else if content_type.contains("application/x-www-form-urlencoded") {
        Some(Content::Form(Args::default()))
    } else {
        None
    }
}

fn edit_json(members: &mut Record, edits: &Edits<String>) {
    // In Lua, false does not count as present; null does.
    let present = |members: &Record, name: &str| !matches!(members.get(name), None | Some(Value::Bool(false)));
    for name in &edits.remove {
        members.shift_remove(name);
    }
    for (old, new) in edits.rename.iter().filter(|(old, new)| old != new) {
        if present(members, old)
            && let Some(value) = members.shift_remove(old)
        {
            members.insert(new.clone(), value);
        }
    }
    for (name, value) in &edits.replace {
        if present(members, name) {
            members.insert(name.clone(), value.as_str().into());
        }
    }
    for (name, value) in &edits.add {
        if !present(members, name) {
            members.insert(name.clone(), value.as_str().into());
        }
    }
    for (name, value) in &edits.append {
        let value = Value::from(value.as_str());
        let appended = match members.get_mut(name).map(Value::take) {
            Some(first @ Value::String(_)) => vec![first, value],
            Some(Value::Array(mut values)) => {
                values.push(value);
                values
            }
            _ => vec![value],
        };
        members.insert(name.clone(), appended.into());
    }
}

fn edit_multipart(form: &mut Multipart, edits: &Edits<String>) {
    // As Kong: renaming comes first here, and nothing is appended.
    for (old, new) in edits.rename.iter().filter(|(old, new)| old != new) {
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
            form.set(name, value.as_bytes());
        }
    }
    for (name, value) in &edits.add {
        if form.get_all(name).next().is_none() {
            form.set(name, value.as_bytes());
        }
    }
}

//! Request bodies whose members plugins read and edit: forms, JSON objects, multipart forms.

use crate::{Args, Bytes, Exchange, Known, Multipart, Record};
use serde_json::Value;

/// A parsed request body.
#[derive(Clone, Debug)]
pub enum Content {
    Form(Args),
    Json(Record),
    Multipart(Multipart),
}

impl Content {
    /// The request's body as its `Content-Type` says; `None` when it has no such body or is broken. The plugin must
    /// have asked for the body by [`crate::Phases::READS_BODY`].
    pub fn of(exchange: &Exchange) -> Option<Content> {
        let content_type = std::str::from_utf8(exchange.request.fields.known(Known::ContentType)?).ok()?;
        let body = exchange.body.bytes()?;
        let is = |kind: &str| content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        if is("application/x-www-form-urlencoded") {
            Some(Content::Form(Args::parse(std::str::from_utf8(body).ok()?)))
        } else if is("application/json") {
            serde_json::from_slice(body).ok().map(Content::Json)
        } else if is("multipart/form-data") {
            Multipart::parse(content_type, body).map(Content::Multipart)
        } else {
            None
        }
    }

    /// The string values of a member; `None` for a value that is something else. A list or an object in JSON counts as
    /// several values, whatever it holds.
    pub fn get_all(&self, name: &str) -> Vec<Option<String>> {
        match self {
            Content::Form(args) => args.get_all(name).map(|v| v.map(str::to_owned)).collect(),
            Content::Multipart(form) => form.get_all(name).map(|v| String::from_utf8(v.to_vec()).ok()).collect(),
            Content::Json(members) => match members.get(name) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(_) | Value::Object(_)) => vec![None, None],
                Some(value) => vec![value.as_str().map(str::to_owned)],
            },
        }
    }

    /// Drops a member; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        match self {
            Content::Form(args) => args.remove(name),
            Content::Json(members) => members.shift_remove(name).is_some(),
            Content::Multipart(form) => form.remove(name),
        }
    }

    /// As it is sent.
    pub fn encode(&self) -> Bytes {
        match self {
            Content::Form(args) => args.encode().into(),
            Content::Json(members) => serde_json::to_vec(members).unwrap_or_default().into(),
            Content::Multipart(form) => form.encode().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn content(kind: &str, body: &str) -> Option<Content> {
        let mut exchange = testing::exchange("POST", "/", &[("Content-Type", kind)]);
        exchange.body = Bytes::copy_from_slice(body.as_bytes()).into();
        Content::of(&exchange)
    }

    #[test]
    fn reads_each_kind() {
        let mut form = content("application/x-www-form-urlencoded; charset=x", "a=1&b=2").unwrap();
        assert_eq!(form.get_all("a"), [Some("1".to_owned())]);
        assert!(form.remove("a"));
        assert_eq!(form.encode(), "b=2");
        let mut json = content("Application/JSON", r#"{"z":1,"k":"v","l":["x"]}"#).unwrap();
        assert_eq!(
            (json.get_all("k"), json.get_all("z"), json.get_all("l").len()),
            (vec![Some("v".to_owned())], vec![None], 2)
        );
        json.remove("k");
        assert_eq!(json.encode(), r#"{"z":1,"l":["x"]}"#);
        let multipart = content(
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=k\r\n\r\nv\r\n--b--",
        )
        .unwrap();
        assert_eq!(multipart.get_all("k"), [Some("v".to_owned())]);
        assert!(content("text/plain", "a=1").is_none() && content("application/json", "[1]").is_none());
    }
}

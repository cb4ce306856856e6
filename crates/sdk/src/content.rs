//! Request bodies whose members plugins read and edit: forms, JSON objects, multipart forms.

use crate::{Args, Bytes, Exchange, JsonObject, Known, Multipart, json};

/// A parsed request body.
#[derive(Clone, Debug)]
pub enum Content {
    Form(Args),
    Json(JsonObject),
    Multipart(Multipart),
}

impl Content {
    /// The request's body as its `Content-Type` says; `None` when it has no such body or is broken. The plugin must
    /// have asked for the body by [`crate::Phases::READS_BODY`].
    pub fn of(exchange: &Exchange) -> Option<Content> {
        let content_type = exchange.request.fields.known(Known::ContentType)?;
        let body = exchange.body.bytes()?;
        match Kind::of(content_type)? {
            Kind::Form => Some(Content::Form(Args::parse(body))),
            Kind::Json => JsonObject::parse(body).map(Content::Json),
            Kind::Multipart => Multipart::parse(content_type, body).map(Content::Multipart),
        }
    }

    /// Whether the request's body is of a type that has members, although it is too large to be read.
    pub fn is_too_large(exchange: &Exchange) -> bool {
        exchange.body.is_too_large() && exchange.request.fields.known(Known::ContentType).and_then(Kind::of).is_some()
    }

    /// The string values of a member, as octets; `None` for a value that is something else. A list or an object in JSON
    /// counts as several values, whatever it holds.
    pub fn get_all(&self, name: &str) -> Vec<Option<Vec<u8>>> {
        match self {
            Content::Form(args) => args.get_all(name).map(|value| value.map(Into::into)).collect(),
            Content::Multipart(form) => form.get_all(name).map(|value| Some(value.to_vec())).collect(),
            Content::Json(object) => match object.get(name) {
                None | Some(b"null") => Vec::new(),
                Some([b'[' | b'{', ..]) => vec![None, None],
                Some(value) => vec![json::string(value).map(Into::into)],
            },
        }
    }

    /// Drops a member; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        match self {
            Content::Form(args) => args.remove(name),
            Content::Json(object) => object.remove(name),
            Content::Multipart(form) => form.remove(name),
        }
    }

    /// As it is sent.
    pub fn encode(&self) -> Bytes {
        match self {
            Content::Form(args) => args.encode().into(),
            Content::Json(object) => object.encode().into(),
            Content::Multipart(form) => form.encode().into(),
        }
    }
}

enum Kind {
    Form,
    Json,
    Multipart,
}

impl Kind {
    fn of(content_type: &[u8]) -> Option<Kind> {
        let is = |kind: &str| {
            content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        };
        Some(if is("application/x-www-form-urlencoded") {
            Kind::Form
        } else if is("application/json") {
            Kind::Json
        } else if is("multipart/form-data") {
            Kind::Multipart
        } else {
            return None;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn content(kind: &str, body: &[u8]) -> Option<Content> {
        let mut exchange = testing::exchange("POST", "/", &[("Content-Type", kind)]);
        exchange.body = Bytes::copy_from_slice(body).into();
        Content::of(&exchange)
    }

    fn strings(values: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| Some(value.to_vec())).collect()
    }

    #[test]
    fn forms() {
        let mut form = content("application/x-www-form-urlencoded; charset=x", b"a=%E9+1&b=2+%e9&c=\xe9").unwrap();
        assert_eq!(form.get_all("a"), strings(&[b"\xe9 1"]));
        assert_eq!(form.get_all("c"), strings(&[b"\xe9"]));
        assert!(form.remove("a"));
        assert_eq!(form.encode(), &b"b=2+%e9&c=\xe9"[..]);
    }

    #[test]
    fn json_objects() {
        let mut json = content("Application/JSON", b"{\"z\":1.0,\"k\":\"\xe9\\u00e9\",\"l\":[\"x\"]}").unwrap();
        assert_eq!(json.get_all("k"), strings(&[b"\xe9\xc3\xa9"]));
        assert_eq!(json.get_all("z"), [None]);
        assert_eq!(json.get_all("l").len(), 2);
        assert!(json.remove("k"));
        assert_eq!(json.encode(), &br#"{"z":1.0,"l":["x"]}"#[..]);
    }

    #[test]
    fn multipart_forms() {
        let body = b"--b\r\nContent-Disposition: form-data; name=k\r\n\r\n\xe9\r\n--b--";
        assert_eq!(content("multipart/form-data; boundary=b", body).unwrap().get_all("k"), strings(&[b"\xe9"]));
    }

    #[test]
    fn other_content_has_no_members() {
        assert!(content("text/plain", b"a=1").is_none());
        assert!(content("application/json", b"[1]").is_none());
    }
}

//! Writing JSON text, member by member.

use crate::{Exchange, json};
use model::entities::Uuid;

/// Text under way. Whoever writes an object calls what writes its members within it, and so on.
pub struct Writer {
    out: Vec<u8>,
    /// The next member or item is not the first one.
    follows: bool,
}

impl Writer {
    /// Nothing yet.
    pub fn with_capacity(octets: usize) -> Writer {
        Writer { out: Vec::with_capacity(octets), follows: false }
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// An object with the members that are written in it.
    pub fn object(&mut self, members: impl FnOnce(&mut Writer)) {
        self.enclosed(b'{', b'}', members);
    }

    /// A list of the items that are written in it.
    pub fn list(&mut self, items: impl FnOnce(&mut Writer)) {
        self.enclosed(b'[', b']', items);
    }

    /// A member with the value that is written in it.
    pub fn member(&mut self, name: &str, value: impl FnOnce(&mut Writer)) {
        self.octet_member(name.as_bytes(), value);
    }

    /// The same for a name that may be no text.
    pub fn octet_member(&mut self, name: &[u8], value: impl FnOnce(&mut Writer)) {
        self.item(|out| {
            out.string(name);
            out.out.push(b':');
            value(out);
        });
    }

    /// An item of a list with the value that is written in it.
    pub fn item(&mut self, value: impl FnOnce(&mut Writer)) {
        if self.follows {
            self.out.push(b',');
        }
        value(self);
        self.follows = true;
    }

    /// A string.
    pub fn string(&mut self, octets: &[u8]) {
        json::quote(octets, &mut self.out);
    }

    /// A value that is JSON text already.
    pub fn literal(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// A member that is a string.
    pub fn text(&mut self, name: &str, value: &[u8]) {
        self.member(name, |out| out.string(value));
    }

    /// A member that is a string, where there is one.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) {
        value.iter().for_each(|value| self.text(name, value.as_bytes()));
    }

    /// A member that is a list of strings, unless there are none.
    pub fn texts(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.member(name, |out| {
                out.list(|out| values.iter().for_each(|value| out.item(|out| out.string(value.as_bytes()))));
            });
        }
    }

    /// A member that is an id.
    pub fn id(&mut self, name: &str, id: &Uuid) {
        self.text(name, id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    }

    /// A member with the id of a caller, as code has given it.
    pub fn caller(&mut self, name: &str, exchange: &Exchange, id: &Uuid) {
        match exchange.given_ids.text(id) {
            Some(text) => self.text(name, text.as_bytes()),
            None => self.id(name, id),
        }
    }

    /// A member that refers to a record.
    pub fn reference(&mut self, name: &str, id: Option<&Uuid>) {
        id.iter().for_each(|id| self.member(name, |out| out.object(|out| out.id("id", id))));
    }

    /// A member that is a number without a fraction.
    pub fn number(&mut self, name: &str, number: impl itoa::Integer) {
        self.raw(name, itoa::Buffer::new().format(number).as_bytes());
    }

    /// A member that is true or false.
    pub fn flag(&mut self, name: &str, flag: bool) {
        self.raw(name, if flag { b"true" } else { b"false" });
    }

    /// A member whose value is JSON text already.
    pub fn raw(&mut self, name: &str, text: &[u8]) {
        self.member(name, |out| out.literal(text));
    }

    fn enclosed(&mut self, open: u8, close: u8, inner: impl FnOnce(&mut Writer)) {
        self.out.push(open);
        self.follows = false;
        inner(self);
        self.out.push(close);
        self.follows = true;
    }
}

//! JSON that is put together from octets as they came: what is no text stays what it is, as in Kong (lua-cjson).

use sdk::{Args, Exchange, JsonObject, json};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// A value's text.
pub type Text = Vec<u8>;

/// An object of these members.
pub fn object<const N: usize>(members: [(&str, Text); N]) -> JsonObject {
    let mut object = JsonObject::default();
    members.iter().for_each(|(name, value)| object.set(name, value));
    object
}

pub fn plain(value: &Value) -> Text {
    value.to_string().into()
}

pub fn string(octets: &[u8]) -> Text {
    let mut text = Vec::with_capacity(octets.len() + 2);
    json::quote(octets, &mut text);
    text
}

/// An argument without value is `true`.
pub fn arguments(args: &Args) -> Text {
    let value = |value: Option<Cow<'_, [u8]>>| value.map_or_else(|| plain(&true.into()), |value| string(&value));
    collect(args.iter().map(|(name, text)| (name.into_owned(), value(text))))
}

/// What a route's regular expression has captured of the path, as `kong.request.get_uri_captures` has it: `named` and
/// `unnamed`, without the whole.
pub fn captures(exchange: &Exchange) -> Text {
    let number = |name: &str| name.parse::<usize>().ok();
    let named = exchange.captures.iter().filter(|(name, _)| number(name).is_none());
    let named = collect(named.map(|(name, value)| (name.clone().into_bytes(), string(value))));
    let unnamed = exchange.captures.iter().filter(|(name, _)| number(name).is_some_and(|place| place > 0));
    let unnamed: Vec<Text> = unnamed.map(|(_, value)| string(value)).collect();
    object([("named", named), ("unnamed", [b"[", &unnamed.join(&b","[..])[..], b"]"].concat())]).encode()
}

/// An object whose repeated names have arrays.
pub fn collect(pairs: impl Iterator<Item = (Vec<u8>, Text)>) -> Text {
    let mut members: Vec<(Vec<u8>, Vec<Text>)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in pairs {
        let at = *places.entry(name.clone()).or_insert(members.len());
        if at == members.len() {
            members.push((name, Vec::new()));
        }
        members[at].1.push(value);
    }
    let mut out = vec![b'{'];
    for (at, (name, values)) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::quote(name, &mut out);
        out.push(b':');
        match &values[..] {
            [one] => out.extend_from_slice(one),
            several => out.extend_from_slice(&[b"[", &several.join(&b","[..])[..], b"]"].concat()),
        }
    }
    out.push(b'}');
    out
}

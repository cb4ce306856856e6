//! Values of a request by which an index finds routes: those that ask for one of a few values are looked at only by
//! requests that have it.

use super::Query;
use super::rule;
use super::subject::Subject;
use model::address::Cidr;
use model::hostname;
use sdk::Args;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// By its name as rules spell it.
    Header(Box<str>),
    Query(Box<str>),
    /// Segments of the path, from and to these positions.
    Segments(usize, Option<usize>),
    Sni,
    /// The network of that size around the client's address, or around ours.
    Source(Network),
    Destination(Network),
}

/// What networks have in common that one look-up can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    is_ipv4: bool,
    length: u8,
}

/// A key with a value, in which letters of ASCII are small.
pub type KeyValue = (Key, Box<[u8]>);

/// So many values are listed for a route at most.
pub const MOST: usize = 64;

impl Key {
    /// Shows the values that a request has, as an index has them.
    pub fn each_value(&self, query: &Query<'_>, mut show: impl FnMut(&[u8])) {
        let mut show_text = |octets: &[u8]| {
            let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(octets);
            lower.make_ascii_lowercase();
            show(&lower);
            if !octets.is_ascii() {
                // As `lower()` of an expression sees it.
                show(&Subject::from_octets(octets).to_lowercase().octets());
            }
        };
        match self {
            Key::Header(name) => rule::values_of(name, query.fields).for_each(show_text),
            Key::Query(name) => {
                let values = Args::find(query.query.unwrap_or_default(), &**name);
                values.for_each(|value| show_text(&value.unwrap_or(Cow::Borrowed(b""))));
            }
            Key::Segments(from, to) => {
                let range = super::segments::segment_range(query.path, *from, *to);
                range.into_iter().for_each(|range| show_text(&Subject::of_path(range).octets()));
            }
            // The index has names without the dot of the root, a comparison may ask for one.
            Key::Sni => query.sni.into_iter().for_each(|name| show_text(hostname::without_root(name).as_bytes())),
            Key::Source(network) => show_address(*network, query.source.map(|source| source.ip()), show),
            Key::Destination(network) => show_address(*network, query.destination, show),
        }
    }

    /// The value by which an index has a text.
    pub fn of_text(&self, text: &str) -> Box<[u8]> {
        let text = if *self == Key::Sni { hostname::without_root(text) } else { text };
        text.to_ascii_lowercase().into_bytes().into()
    }
}

impl Network {
    /// The kind of a network, and the value by which an index has it.
    pub fn of(network: Cidr) -> (Network, Box<[u8]>) {
        let kind = Network { is_ipv4: network.is_ipv4(), length: network.length() };
        (kind, kind.around(network.address()).unwrap_or_default())
    }

    /// That of an address alone.
    pub fn of_address(address: IpAddr) -> (Network, Box<[u8]>) {
        let kind = Network { is_ipv4: address.is_ipv4(), length: if address.is_ipv4() { 32 } else { 128 } };
        (kind, kind.around(address).unwrap_or_default())
    }

    /// The first octets of the network around an address; `None`: it is of another family.
    fn around(self, address: IpAddr) -> Option<Box<[u8]>> {
        let mask = |bits: u128, width: u32| {
            let rest = width - u32::from(self.length);
            bits.checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)
        };
        match address {
            IpAddr::V4(ip) if self.is_ipv4 => Some(mask(u32::from(ip).into(), 32).to_be_bytes()[12..].into()),
            IpAddr::V6(ip) if !self.is_ipv4 => Some(mask(ip.into(), 128).to_be_bytes().into()),
            _ => None,
        }
    }
}

fn show_address(network: Network, address: Option<IpAddr>, mut show: impl FnMut(&[u8])) {
    let value = address.and_then(|address| network.around(address.to_canonical()));
    value.iter().for_each(|value| show(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::Ask;

    fn values(key: &Key, ask: &Ask) -> Vec<String> {
        let mut values = Vec::new();
        key.each_value(&ask.query(), |value| values.push(String::from_utf8_lossy(value).into_owned()));
        values
    }

    #[test]
    fn what_a_request_has() {
        let mut ask = Ask::get("h", "/A/b/c").header("X-A", "One").header("x-a", "two");
        ask.search = Some("q=%41&q=b&flag");
        ask.source = "10.1.2.3:9";
        ask.sni = Some("A.test.");
        assert_eq!(values(&Key::Header("x_a".into()), &ask), ["one", "two"]);
        assert_eq!(values(&Key::Query("q".into()), &ask), ["a", "b"]);
        assert_eq!(values(&Key::Query("flag".into()), &ask), [""]);
        assert_eq!(values(&Key::Segments(0, None), &ask), ["a"]);
        assert_eq!(values(&Key::Segments(1, Some(2)), &ask), ["b/c"]);
        assert_eq!(values(&Key::Segments(3, None), &ask), [""; 0]);
        assert_eq!(values(&Key::Sni, &ask), ["a.test"]);
        let (kind, value) = Network::of(Cidr::parse("10.1.0.0/16").unwrap());
        let mut found = Vec::new();
        Key::Source(kind).each_value(&ask.query(), |value| found.push(value.to_vec()));
        assert_eq!(found, [value.to_vec()]);
        let (other, _) = Network::of(Cidr::parse("2001:db8::/32").unwrap());
        assert_eq!(values(&Key::Source(other), &ask), [""; 0]);
    }

    #[test]
    fn networks_are_whole() {
        let of = |text: &str| Network::of(Cidr::parse(text).unwrap()).1.to_vec();
        assert_eq!(of("10.0.0.0/8"), [10, 0, 0, 0]);
        assert_eq!(of("0.0.0.0/0"), [0; 4]);
        assert_eq!(of("::/0"), [0; 16]);
        assert_eq!(Network::of_address("10.1.2.3".parse().unwrap()).1.to_vec(), of("10.1.2.3"));
    }
}

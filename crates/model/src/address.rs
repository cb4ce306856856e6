//! Addresses: hosts with ports as records write them, IP addresses, and networks (CIDR blocks).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    Ipv4,
    Ipv6,
    Name,
}

/// A host with an optional port. IPv4 has no leading zeros, IPv6 is written in full without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub kind: AddressKind,
    pub host: String,
    pub port: Option<u16>,
}

/// The error of [`HostPort::parse`] for a port above 65535.
pub const INVALID_PORT: &str = "invalid port number";

impl HostPort {
    /// Reads `name`, `name:port`, `1.2.3.4`, `1.2.3.4:port`, `::1`, `[::1]` or `[::1]:port`.
    pub fn parse(text: &str) -> Result<HostPort, String> {
        let colons = text.matches(':').count();
        let kind = if colons > 1 {
            AddressKind::Ipv6
        } else if text.len() > colons && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':') {
            AddressKind::Ipv4
        } else {
            AddressKind::Name
        };
        let (host, port) = match kind {
            AddressKind::Ipv4 => ipv4(text)?,
            AddressKind::Ipv6 => ipv6(text)?,
            AddressKind::Name => name(text)?,
        };
        Ok(HostPort { kind, host, port })
    }

    /// `host:port` with a default port; IPv6 in brackets.
    pub fn with_port(&self, default: u16) -> String {
        let port = self.port.unwrap_or(default);
        match self.kind {
            AddressKind::Ipv6 => format!("[{}]:{port}", self.host),
            _ => format!("{}:{port}", self.host),
        }
    }
}

/// A network, such as `10.0.0.0/8`; a single address is one of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads an address, or an address and the length of the network's prefix without leading zeros.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(digits) => digits.parse().ok().filter(|n: &u8| *n <= longest && n.to_string() == digits)?,
        };
        Some(Cidr { address, length })
    }

    /// An address in it.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How long its prefix is.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether it is one of IPv4.
    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether its address is the first one in it.
    pub fn is_first(self) -> bool {
        bits(self.address) == self.range().0
    }

    /// Whether an address is in it; families do not mix.
    pub fn contains(self, address: IpAddr) -> bool {
        let (first, last) = self.range();
        address.is_ipv4() == self.is_ipv4() && (first..=last).contains(&bits(address))
    }

    /// Its first and last address.
    fn range(self) -> (u128, u128) {
        let width: u32 = if self.is_ipv4() { 32 } else { 128 };
        let hosts = 1u128.checked_shl(width - u32::from(self.length)).map_or(u128::MAX, |size| size - 1);
        let address = bits(self.address);
        (address & !hosts, address | hosts)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Many networks, in which an address is looked up by halving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet {
    /// First and last addresses, in order, without overlaps.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl CidrSet {
    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) => is_within(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_within(&self.v6, ip.to_bits()),
        }
    }
}

impl FromIterator<Cidr> for CidrSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(networks: I) -> CidrSet {
        let mut set = CidrSet::default();
        for network in networks {
            let (first, last) = network.range();
            match network.is_ipv4() {
                // Addresses of IPv4 are the numbers up to 2^32.
                true => set.v4.push((first as u32, last as u32)),
                false => set.v6.push((first, last)),
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        set
    }
}

/// Whether it is an IPv4 or IPv6 address.
pub fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// The address as a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// Sorts ranges and joins those that overlap.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}

fn is_within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after > 0 && value <= ranges[after - 1].1
}

fn port(digits: &str) -> Result<u16, String> {
    digits.parse().map_err(|_| INVALID_PORT.to_owned())
}

fn ipv4(text: &str) -> Result<(String, Option<u16>), String> {
    let invalid = || format!("invalid ipv4 address: {text}");
    let (address, digits) = text.split_once(':').map_or((text, None), |(a, p)| (a, Some(p)));
    let parts: Vec<&str> = address.split('.').collect();
    if parts.len() != 4
        || !parts.iter().all(|p| (1..=3).contains(&p.len()))
        || digits.is_some_and(|d| d.is_empty() || d.contains('.'))
    {
        return Err(invalid());
    }
    let numbers: Result<Vec<u8>, _> = parts.iter().map(|p| p.parse::<u8>()).collect();
    let numbers = numbers.map_err(|_| invalid())?;
    let port = digits.map(port).transpose()?;
    Ok((format!("{}.{}.{}.{}", numbers[0], numbers[1], numbers[2], numbers[3]), port))
}

fn ipv6(text: &str) -> Result<(String, Option<u16>), String> {
    let mut digits = None;
    let address = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, "")) => inner,
        Some((inner, rest)) => {
            let rest = rest.strip_prefix(':').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
            digits = Some(rest.ok_or("invalid ipv6 address")?);
            inner
        }
        None => text,
    };
    let port = digits.map(port).transpose()?;
    // An embedded IPv4 address is not taken, as Kong does not take it.
    let parsed = Some(address).filter(|a| !a.contains('.')).and_then(|a| a.parse::<Ipv6Addr>().ok());
    let segments = parsed.ok_or_else(|| format!("invalid ipv6 address: {text}"))?.segments();
    Ok((segments.iter().map(|s| format!("{s:04x}")).collect::<Vec<_>>().join(":"), port))
}

fn name(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port(digits)?))
        }
        _ => (text, None),
    };
    let characters =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    // One dot may end a name; labels are not empty and do not end with a dash.
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.len().saturating_sub(1);
    if !characters
        || labels.iter().enumerate().any(|(i, label)| label.ends_with('-') || (label.is_empty() && i != last))
    {
        return Err(format!("invalid hostname: {text}"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_get_a_port() {
        let cases = [
            ("h.test", "h.test:8000"),
            ("h.test:80", "h.test:80"),
            ("001.2.3.4", "1.2.3.4:8000"),
            ("1.2.3.4:5", "1.2.3.4:5"),
            ("::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"),
            ("[fe80::A]:9", "[fe80:0000:0000:0000:0000:0000:0000:000a]:9"),
            ("a_b.test.", "a_b.test.:8000"),
        ];
        for (text, formatted) in cases {
            assert_eq!(HostPort::parse(text).map(|a| a.with_port(8000)).as_deref(), Ok(formatted), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in
            ["", "a b", "h.test:x", "http://x.test", "a..b", "a-.b", "300.1.1.1", "1.2.3", "::g", "*.a", "[::1]x"]
        {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
        assert_eq!(HostPort::parse("h.test:99999"), Err(INVALID_PORT.to_owned()));
    }

    fn network(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_the_addresses_of_their_family() {
        for (text, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.0.0.0", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "ffff::1", true),
            ("::/0", "1.2.3.4", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::", false),
            ("::1", "::1", true),
        ] {
            assert_eq!(network(text).contains(ip(address)), inside, "{text} {address}");
        }
    }

    #[test]
    fn what_is_no_network() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "10.0.0/8", "::/129", "a/8", "10.0.0.0/8/8", "/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_set_holds_what_one_of_its_networks_holds() {
        let mut seed = 7u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            seed >> 8
        };
        for _ in 0..200 {
            let networks: Vec<Cidr> = (0..next() % 6)
                .map(|_| match next() % 2 {
                    0 => network(&format!("10.0.{}.{}/{}", next() % 3, next() % 256, 20 + next() % 13)),
                    _ => network(&format!("fd00::{:x}/{}", next() % 4096, 112 + next() % 17)),
                })
                .collect();
            let set: CidrSet = networks.iter().copied().collect();
            assert_eq!(set.is_empty(), networks.is_empty());
            for _ in 0..50 {
                let address = match next() % 2 {
                    0 => ip(&format!("10.0.{}.{}", next() % 3, next() % 256)),
                    _ => ip(&format!("fd00::{:x}", next() % 4096)),
                };
                let expected = networks.iter().any(|network| network.contains(address));
                assert_eq!(set.contains(address), expected, "{address} in {networks:?}");
            }
        }
    }
}

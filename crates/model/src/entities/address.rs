//! Host names, addresses and ports in the forms that records accept.

use std::net::{Ipv4Addr, Ipv6Addr};

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

/// Whether it is an IPv4 or IPv6 address.
pub fn is_ip(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}

/// Whether it is an address, or a network such as `10.0.0.0/8`.
pub fn is_ip_or_cidr(text: &str) -> bool {
    match text.split_once('/') {
        None => is_ip(text),
        Some((ip, bits)) => is_ipv4_cidr(text) || (ip.parse::<Ipv6Addr>().is_ok() && prefix(bits, 128)),
    }
}

/// Whether it is an IPv4 address or network.
pub fn is_ipv4_or_cidr(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || is_ipv4_cidr(text)
}

fn is_ipv4_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| ip.parse::<Ipv4Addr>().is_ok() && prefix(bits, 32))
}

fn prefix(bits: &str, max: u8) -> bool {
    bits.parse::<u8>().is_ok_and(|n| n <= max && n.to_string() == bits)
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
        assert!(
            is_ip_or_cidr("10.0.0.0/8")
                && is_ip_or_cidr("::/0")
                && !is_ip_or_cidr("10.0.0.0/33")
                && !is_ip_or_cidr("10.0.0.0/08")
        );
    }
}

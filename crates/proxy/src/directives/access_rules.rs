//! `allow` and `deny`: which clients are let in.

use model::address::Cidr;
use std::net::IpAddr;

/// Rules in their order; the first that fits decides, and who fits none is let in.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    allow: bool,
    /// `None`: everybody.
    network: Option<Cidr>,
}

impl AccessRules {
    /// Adds `allow address` or `deny address`: an address, a CIDR block, `all`, or `unix:`, which stands for sockets
    /// that there are none of.
    pub fn add(&mut self, allow: bool, address: &str) -> Result<(), String> {
        let network = match address {
            "all" => None,
            "unix:" => return Ok(()),
            address => Some(Cidr::parse(address).ok_or_else(|| format!("invalid parameter \"{address}\""))?),
        };
        self.rules.push(Rule { allow, network });
        Ok(())
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a client is let in; otherwise it is answered 403.
    pub fn allows(&self, ip: IpAddr) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let ip = ip.to_canonical();
        self.rules
            .iter()
            .find(|rule| rule.network.is_none_or(|network| network.contains(ip)))
            .is_none_or(|rule| rule.allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> AccessRules {
        let mut rules = AccessRules::default();
        for line in text.split(';') {
            let (verb, address) = line.trim().split_once(' ').unwrap();
            rules.add(verb == "allow", address).unwrap();
        }
        rules
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let usual = rules("allow 10.0.0.0/8; allow 2001:db8::/32; deny all");
        for (ip, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(usual.allows(ip.parse().unwrap()), allowed, "{ip}");
        }
        assert!(!rules("deny 10.0.0.1; allow all").allows("10.0.0.1".parse().unwrap()));
        assert!(rules("deny 10.0.0.1; allow all").allows("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn who_fits_none_is_let_in() {
        assert!(rules("deny 10.0.0.1").allows("::1".parse().unwrap()));
        assert!(AccessRules::default().allows("::1".parse().unwrap()));
        assert!(rules("deny unix:").is_empty());
    }

    #[test]
    fn mistakes() {
        for address in ["", "localhost", "10.0.0.0/33", "10.0.0.1:80", "::1/x"] {
            assert!(AccessRules::default().add(false, address).is_err(), "{address}");
        }
    }
}

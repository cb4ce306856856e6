//! OpenSSL's lists of ciphers, in terms of those that rustls has.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as suite;

/// What a list comes to.
#[derive(Debug, Default)]
pub struct Selection {
    /// For TLS 1.2, in order of preference. The suites of TLS 1.3 are no part of such lists.
    pub suites: Vec<SupportedCipherSuite>,
    /// Parts of the list that ask for what there is not.
    pub absent: Vec<String>,
}

/// OpenSSL's name, what else lists call it, and the suite.
struct Cipher {
    name: &'static str,
    words: &'static [&'static str],
    suite: SupportedCipherSuite,
}

/// What every suite for TLS 1.2 is: ephemeral elliptic curves, authenticated encryption.
const ALL: &[&str] = &["ALL", "DEFAULT", "HIGH", "TLSv1.2", "AEAD", "ECDHE", "EECDH", "kECDHE", "kEECDH"];

const CIPHERS: &[Cipher] = &[
    Cipher {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "FIPS"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Cipher {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["RSA", "aRSA", "AES", "AES256", "AESGCM", "FIPS"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Cipher {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["ECDSA", "aECDSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Cipher {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: &["RSA", "aRSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Cipher {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "FIPS"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Cipher {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["RSA", "aRSA", "AES", "AES128", "AESGCM", "FIPS"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
];

impl Cipher {
    /// Whether all words of `A+B+C` apply.
    fn is(&self, term: &str) -> bool {
        let is = |word: &str| {
            word == self.name
                || ALL.contains(&word)
                || self.words.contains(&word)
                || format!("{:?}", self.suite.suite()) == word
        };
        term.split('+').all(is)
    }
}

/// Evaluates a list as `openssl ciphers` does: terms add in their order, `!` bars, `-` takes away, `+` moves to the
/// end.
pub fn select(list: &str) -> Selection {
    let (mut chosen, mut barred): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut absent = Vec::new();
    for term in list.split([':', ',', ' ']).filter(|t| !t.is_empty()) {
        let (sign, words) = match term.as_bytes()[0] {
            // `@STRENGTH` and `@SECLEVEL=n`: all of these are equally strong.
            b'@' => continue,
            sign @ (b'!' | b'-' | b'+') => (sign, &term[1..]),
            _ => (b' ', term),
        };
        let meant: Vec<usize> = (0..CIPHERS.len()).filter(|&at| CIPHERS[at].is(words)).collect();
        match sign {
            b'!' => {
                chosen.retain(|at| !meant.contains(at));
                barred.extend(meant);
            }
            b'-' => chosen.retain(|at| !meant.contains(at)),
            b'+' => chosen.sort_by_key(|at| meant.contains(at)),
            _ if meant.is_empty() && !words.starts_with("TLS_AES_") && !words.starts_with("TLS_CHACHA20_") => {
                absent.push(term.to_owned())
            }
            _ => {
                for at in meant {
                    if !chosen.contains(&at) && !barred.contains(&at) {
                        chosen.push(at);
                    }
                }
            }
        }
    }
    Selection { suites: chosen.into_iter().map(|at| CIPHERS[at].suite).collect(), absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> (Vec<&'static str>, Vec<String>) {
        let selection = select(list);
        let name = |suite: &SupportedCipherSuite| CIPHERS.iter().find(|c| c.suite == *suite).unwrap().name;
        (selection.suites.iter().map(name).collect(), selection.absent)
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        let (chosen, absent) = names(
            "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256:\
             ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA",
        );
        assert_eq!(chosen, ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
        assert_eq!(absent, ["DHE-RSA-AES128-GCM-SHA256", "AES128-SHA"]);
        assert_eq!(names("HIGH:!aNULL:!MD5:@STRENGTH").0.len(), 6);
        assert_eq!(names("ECDHE+CHACHA20+aRSA").0, ["ECDHE-RSA-CHACHA20-POLY1305"]);
        let (chosen, absent) = names("TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL");
        assert_eq!(chosen.len(), 4);
        assert_eq!(absent, vec!["kRSA+FIPS".to_owned()]);
        assert_eq!(names("AES128:+ECDSA:AES256:-AES256:!RSA:RSA").0, ["ECDHE-ECDSA-AES128-GCM-SHA256"]);
        assert_eq!(names("AES128:+ECDSA").0, ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
        assert_eq!(names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").0, ["ECDHE-RSA-AES128-GCM-SHA256"]);
        let (chosen, absent) = names("");
        assert!(chosen.is_empty());
        assert!(absent.is_empty());
    }
}

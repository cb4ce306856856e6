//! The migrations of Kong 3.10, by their names, with the tables that each subsystem has made with them.

/// A part of Kong that has tables, or rows to change.
#[derive(Debug)]
pub struct Known {
    pub subsystem: &'static str,
    /// The oldest first.
    pub migrations: &'static [&'static str],
    /// Its tables, but those of [`super::BASE`].
    pub tables: &'static [&'static str],
}

/// The core, then plugins by name.
pub const KONG: &[Known] = &[
    Known {
        subsystem: "core",
        migrations: &[
            "000_base",
            "003_100_to_110",
            "004_110_to_120",
            "005_120_to_130",
            "006_130_to_140",
            "007_140_to_150",
            "008_150_to_200",
            "009_200_to_210",
            "010_210_to_211",
            "011_212_to_213",
            "012_213_to_220",
            "013_220_to_230",
            "014_230_to_270",
            "015_270_to_280",
            "016_280_to_300",
            "017_300_to_310",
            "018_310_to_320",
            "019_320_to_330",
            "020_330_to_340",
            "021_340_to_350",
            "022_350_to_360",
            "023_360_to_370",
            "024_380_to_390",
            "025_390_to_3100",
        ],
        tables: &[
            "workspaces",
            "ca_certificates",
            "certificates",
            "snis",
            "services",
            "routes",
            "consumers",
            "plugins",
            "upstreams",
            "targets",
            "sm_vaults",
            "key_sets",
            "keys",
            "filter_chains",
        ],
    },
    Known {
        subsystem: "acl",
        migrations: &["000_base_acl", "002_130_to_140", "003_200_to_210", "004_212_to_213"],
        tables: &["acls"],
    },
    Known {
        subsystem: "acme",
        migrations: &["000_base_acme", "001_280_to_300", "002_320_to_330", "003_350_to_360"],
        tables: &["acme_storage"],
    },
    Known { subsystem: "ai-proxy", migrations: &["001_360_to_370"], tables: &[] },
    Known {
        subsystem: "basic-auth",
        migrations: &["000_base_basic_auth", "002_130_to_140", "003_200_to_210"],
        tables: &["basicauth_credentials"],
    },
    Known { subsystem: "bot-detection", migrations: &["001_200_to_210"], tables: &[] },
    Known {
        subsystem: "hmac-auth",
        migrations: &["000_base_hmac_auth", "002_130_to_140", "003_200_to_210"],
        tables: &["hmacauth_credentials"],
    },
    Known { subsystem: "http-log", migrations: &["001_280_to_300"], tables: &[] },
    Known { subsystem: "ip-restriction", migrations: &["001_200_to_210"], tables: &[] },
    Known {
        subsystem: "jwt",
        migrations: &["000_base_jwt", "002_130_to_140", "003_200_to_210"],
        tables: &["jwt_secrets"],
    },
    Known {
        subsystem: "key-auth",
        migrations: &["000_base_key_auth", "002_130_to_140", "003_200_to_210", "004_320_to_330"],
        tables: &["keyauth_credentials"],
    },
    Known {
        subsystem: "oauth2",
        migrations: &[
            "000_base_oauth2",
            "003_130_to_140",
            "004_200_to_210",
            "005_210_to_211",
            "006_320_to_330",
            "007_320_to_330",
        ],
        tables: &["oauth2_credentials", "oauth2_authorization_codes", "oauth2_tokens"],
    },
    Known { subsystem: "opentelemetry", migrations: &["001_331_to_332"], tables: &[] },
    Known { subsystem: "post-function", migrations: &["001_280_to_300"], tables: &[] },
    Known { subsystem: "pre-function", migrations: &["001_280_to_300"], tables: &[] },
    Known {
        subsystem: "rate-limiting",
        migrations: &["000_base_rate_limiting", "003_10_to_112", "004_200_to_210", "005_320_to_330", "006_350_to_360"],
        tables: &["ratelimiting_metrics"],
    },
    Known {
        subsystem: "response-ratelimiting",
        migrations: &["000_base_response_rate_limiting", "001_350_to_360"],
        tables: &["response_ratelimiting_metrics"],
    },
    Known {
        subsystem: "session",
        migrations: &["000_base_session", "001_add_ttl_index", "002_320_to_330", "003_330_to_3100"],
        tables: &["sessions", "session_metadatas"],
    },
];

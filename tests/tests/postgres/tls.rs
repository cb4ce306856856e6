//! Encrypted connections to a server.

use crate::setup::{bootstrapped, look, node, with};
use blackbox::Postgres;
use blackbox::http::get;
use blackbox::tls::Pair;

/// The settings of nodes that reach the server by TCP.
fn by_tcp(postgres: &Postgres, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = with(&bootstrapped(postgres, &[]), &[("pg_host", &postgres.address())]);
    with(&settings, more)
}

#[test]
fn a_server_is_verified_and_another_is_refused() {
    let (authority, other) = (Pair::authority("the authority"), Pair::authority("another"));
    let postgres = Postgres::start_on_network("hostssl all all 127.0.0.0/8 trust", Some(&authority));
    let plain = by_tcp(&postgres, &[]);
    let refused = look(&plain).unwrap_err();
    assert!(refused.contains("no encryption"), "{refused}");
    look(&with(&plain, &[("pg_ssl", "on")])).unwrap();
    let verified = |authority: &Pair| {
        with(
            &plain,
            &[("pg_ssl", "on"), ("pg_ssl_verify", "on"), ("lua_ssl_trusted_certificate", authority.chain.as_str())],
        )
    };
    let refused = look(&verified(&other)).unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    let node = node(&with(&verified(&authority), &[("pg_ssl_version", "tlsv1_2")]));
    get(node.admin(), "/services").expect(200);
    let database = &plain.iter().find(|(name, _)| name == "pg_database").unwrap().1;
    let versions = "SELECT DISTINCT s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                    WHERE a.application_name = 'bascule'";
    assert_eq!(postgres.sql(database, versions), "TLSv1.2", "all connections are encrypted, the listening one too");
    look(&with(&verified(&authority), &[("pg_ssl_version", "tlsv1_3")])).unwrap();
    let refused = look(&with(&verified(&authority), &[("pg_ssl_version", "tlsv1_1")])).unwrap_err();
    assert!(refused.contains("there are 'any', 'tlsv1_2' and 'tlsv1_3'"), "{refused}");
}

#[test]
fn a_server_may_ask_for_a_certificate() {
    let authority = Pair::authority("the authority");
    // Its common name is the user.
    let postgres = Postgres::start_on_network("hostssl all all 127.0.0.0/8 cert", Some(&authority));
    let settings = by_tcp(&postgres, &[("pg_ssl", "on")]);
    assert!(look(&settings).is_err());
    let shown = |pair: &Pair| with(&settings, &[("pg_ssl_cert", &pair.chain), ("pg_ssl_cert_key", &pair.key)]);
    let refused = look(&shown(&authority.issue(&["somebody"]))).unwrap_err();
    assert!(refused.contains("certificate authentication failed"), "{refused}");
    let node = node(&shown(&authority.issue(&["kong"])));
    get(node.admin(), "/services").expect(200);
    let refused = look(&with(&settings, &[("pg_ssl_cert", &authority.chain)])).unwrap_err();
    assert!(refused.contains("pg_ssl_cert_key"), "{refused}");
}

#[test]
fn a_server_without_tls_is_refused_unless_it_may_be() {
    let postgres = Postgres::start_on_network("host all all 127.0.0.0/8 trust", None);
    let settings = by_tcp(&postgres, &[("pg_ssl", "on")]);
    let refused = look(&settings).unwrap_err();
    assert!(refused.contains("server does not support TLS"), "{refused}");
    look(&with(&settings, &[("pg_ssl_required", "off")])).unwrap();
}

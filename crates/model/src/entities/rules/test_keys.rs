//! Keys and certificates for tests, of kinds that only OpenSSL makes: what `openssl genpkey`, `openssl pkey -pubout`
//! and `openssl req -x509` have written.

/// The `private`, `public` or `certificate` of a kind.
pub fn made(name: &str, part: &str) -> &'static str {
    let begin = format!("# {name} {part}\n");
    let (_, section) = include_str!("test_keys.pem").split_once(&begin).expect("the file has it");
    section.split("# ").next().unwrap_or(section)
}

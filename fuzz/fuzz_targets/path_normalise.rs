//! Normalising a request path, and what is built from it for the service.
//!
//! `cargo +nightly fuzz run path_normalise`

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::entities::PathHandling;
use proxy::path::{Target, join, normalise};

fuzz_target!(|data: &[u8]| {
    // The first byte says how much of the path a route matched; the codec passes on text only, without control
    // characters.
    let Some((&matched, data)) = data.split_first() else { return };
    let Ok(target) = std::str::from_utf8(data) else { return };
    if target.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return;
    }
    let Target { path, query } = Target::split(target);
    assert!(!path.contains(['?', '#']) && !query.unwrap_or_default().contains('#'));

    let Ok(normal) = normalise(path) else { return };
    assert!(normal.starts_with('/'));
    assert!(!normal.contains("//"), "{normal:?}");
    assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."), "{normal:?}");
    assert_eq!(normalise(&normal).as_deref(), Ok(&*normal), "not idempotent: {path:?}");

    let mut sent = String::new();
    let matched = normal.is_char_boundary(matched.into()).then_some(matched.into());
    for handling in [PathHandling::V0, PathHandling::V1] {
        for (base, strip) in [("/", true), ("/", false), ("/svc", true), ("/svc/", false), ("/svc/", true)] {
            sent.clear();
            join(handling, base, &normal, matched, strip, &mut sent);
            assert!(handling == PathHandling::V1 || sent.starts_with('/'), "{sent:?}");
            assert!(sent.bytes().all(|b| b.is_ascii_graphic()), "{sent:?}");
        }
    }
    // What is kept whole reaches the service with the same meaning.
    sent.clear();
    join(PathHandling::V0, "/", &normal, None, false, &mut sent);
    assert_eq!(normalise(&sent).as_deref(), Ok(&*normal));
});

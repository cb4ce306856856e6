//! What other web sites may not make an administrator's browser do: write anything, unless `admin_gui_url` says so. A
//! form that a page posts here needs nobody's leave, so that of pages on the same host only the manager's may send one:
//! a session would go with that of any other, too. And names that this node does not go by: a page can
//! have its own name resolve to this machine, and is then no other site to the browser.

use crate::answer::Answer;
use crate::options::Options;
use hyper::header::{self, HeaderMap};

/// Refuses a request that a page of another site has made a browser send, and one to a name that is not ours.
/// `authority` is the host of an absolute URL in the request line, which goes before `Host`.
pub fn check(options: &Options, method: &str, authority: Option<&str>, headers: &HeaderMap) -> Result<(), Answer> {
    let host = authority.or_else(|| text(headers, header::HOST.as_str())).map(without_port);
    if !options.hosts.is_empty() && !host.is_some_and(|host| options.hosts.iter().any(|entry| covers(entry, host))) {
        return Err(Answer::message(403, "Host is not allowed"));
    }
    let refused = match origin_of(options, host, headers) {
        Origin::Own => false,
        Origin::SameHost => method == "POST" && needs_no_leave(headers),
        Origin::Other => !["GET", "HEAD", "OPTIONS"].contains(&method),
    };
    if refused { Err(Answer::message(403, "Cross-site request is not allowed")) } else { Ok(()) }
}

/// Where a request comes from.
enum Origin {
    /// No page, one of the manager, or one that may call this node.
    Own,
    /// A page of somebody else on this host, or in the same domain.
    SameHost,
    Other,
}

/// Whether a browser sends such a request without asking first (by `OPTIONS`) whether the page may, as the Fetch
/// standard has it. All of a request's other parts that matter here have been looked at.
fn needs_no_leave(headers: &HeaderMap) -> bool {
    let kind = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"].contains(&kind.as_str())
}

/// What browsers say of the page that has caused a request. Clients that are no browsers say nothing.
fn origin_of(options: &Options, host: Option<&str>, headers: &HeaderMap) -> Origin {
    let origin = text(headers, header::ORIGIN.as_str());
    if origin.is_some_and(|origin| options.origins.iter().any(|allowed| allowed == origin)) {
        return Origin::Own;
    }
    match (text(headers, "sec-fetch-site"), origin) {
        (None, None) | (Some("same-origin" | "none"), _) => Origin::Own,
        (_, origin) if options.origins.is_empty() && options.is_own_page(origin, host) => Origin::Own,
        (Some("same-site"), _) => Origin::SameHost,
        (Some(_), _) => Origin::Other,
        // A browser of before 2023.
        (None, Some(origin)) => {
            let of_page = origin.split_once("://").map(|(_, authority)| without_port(authority));
            let is_here = of_page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host));
            if is_here { Origin::SameHost } else { Origin::Other }
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if host.ends_with(']') || !host.contains(':') => host,
        _ => authority,
    }
}

/// Whether an entry of the list stands for a host; `*.example.test` for all names below that one.
fn covers(entry: &str, host: &str) -> bool {
    match entry.strip_prefix('*') {
        Some(suffix) => {
            let at = host.len().saturating_sub(suffix.len());
            at > 0 && host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(suffix)
        }
        None => entry.trim_matches(['[', ']']).eq_ignore_ascii_case(host.trim_matches(['[', ']'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn refused(options: &Options, method: &str, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check(options, method, None, &headers).is_err()
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const HOST: (&str, &str) = ("host", "127.0.0.1:8001");
    const CROSS_SITE: (&str, &str) = ("sec-fetch-site", "cross-site");
    const SAME_SITE: (&str, &str) = ("sec-fetch-site", "same-site");

    #[test]
    fn a_form_of_another_site_is_refused() {
        let options = Options::default();
        assert!(refused(&options, "POST", &[HOST, FORM, CROSS_SITE]));
        assert!(refused(&options, "POST", &[HOST, CROSS_SITE]), "without content");
        assert!(refused(&options, "POST", &[HOST, ("content-type", "text/plain; charset=utf-8"), CROSS_SITE]));
        assert!(refused(&options, "POST", &[HOST, FORM, ("origin", "http://evil.test")]), "an older browser");
        assert!(refused(&options, "POST", &[HOST, FORM, ("origin", "null")]), "a page from nowhere");
    }

    #[test]
    fn what_another_site_has_asked_leave_for_is_refused() {
        let options = Options::default();
        let json = ("content-type", "application/json");
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(refused(&options, method, &[HOST, json, CROSS_SITE]), "{method}");
            assert!(refused(&options, method, &[HOST, json, ("origin", "http://evil.test")]), "{method}");
            assert!(!refused(&options, method, &[HOST, json, SAME_SITE]), "{method}");
        }
    }

    #[test]
    fn a_form_of_another_page_on_this_host_is_refused() {
        let options = Options { pages: vec![("http", 8002)], ..Options::default() };
        let (manager, other) = (("origin", "http://127.0.0.1:8002"), ("origin", "http://127.0.0.1:9999"));
        assert!(refused(&options, "POST", &[HOST, FORM, SAME_SITE, other]));
        assert!(refused(&options, "POST", &[HOST, FORM, other]), "an older browser");
        assert!(!refused(&options, "POST", &[HOST, FORM, SAME_SITE, manager]));
        assert!(!refused(&options, "POST", &[HOST, FORM, manager]), "an older browser");
    }

    #[test]
    fn other_clients_are_not_disturbed() {
        let options = Options::default();
        assert!(!refused(&options, "POST", &[HOST, FORM]), "curl");
        assert!(!refused(&options, "POST", &[HOST, FORM, ("sec-fetch-site", "none")]));
        assert!(!refused(&options, "POST", &[HOST, FORM, ("sec-fetch-site", "same-origin")]));
        assert!(!refused(&options, "GET", &[HOST, CROSS_SITE]), "which changes nothing");
        let gui = Options { origins: vec!["https://gui.test".to_owned()], ..Options::default() };
        assert!(!refused(&gui, "POST", &[HOST, FORM, CROSS_SITE, ("origin", "https://gui.test")]));
    }

    #[test]
    fn only_listed_hosts_are_served() {
        let list = ["localhost", "[::1]", "*.example.test"].map(str::to_owned).to_vec();
        let options = Options { hosts: list, ..Options::default() };
        for host in ["localhost", "LOCALHOST:8001", "[::1]:8001", "a.example.test"] {
            assert!(!refused(&options, "GET", &[("host", host)]), "{host}");
        }
        for host in ["example.test", "evil.test", "127.0.0.1", ".example.test.evil"] {
            assert!(refused(&options, "GET", &[("host", host)]), "{host}");
        }
        assert!(refused(&options, "GET", &[]), "none at all");
    }
}

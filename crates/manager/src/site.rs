//! Answers to requests for pages.

use crate::files::{self, BUILD, FILES, File};
use crate::kconfig;
use crate::policy::{self, Connections};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};

/// What the settings say about the pages.
#[derive(Clone, Debug, Default)]
pub struct SiteOptions {
    /// `admin_gui_path`: begins with a slash.
    pub path: String,
    /// The names and values of `kconfig.js`.
    pub kconfig: Vec<(String, String)>,
    /// `admin_gui_csp_header`: the pages may talk to the Admin API alone.
    pub strict: bool,
    /// `admin_gui_csp_header_value`: a policy in the place of our own.
    pub policy: Option<String>,
    /// The origins of the Admin API that are known: that of `admin_gui_api_url`.
    pub api_origins: Vec<String>,
    /// Its ports with their schemes, where it is on the host that the pages are on.
    pub api_ports: Vec<(&'static str, u16)>,
}

/// The pages, ready to be sent.
#[derive(Debug)]
pub struct Site {
    /// What all paths begin with, with a slash at the end.
    base: String,
    index: Bytes,
    kconfig: Bytes,
    connections: Connections,
}

/// Names that do not change while what is behind them may.
const REVALIDATE: &str = "no-cache";
/// For what has its build in its path.
const FOREVER: &str = "public, max-age=31536000, immutable";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

impl Site {
    /// The site by those settings; the error names what is wrong with them.
    pub fn new(options: SiteOptions) -> Result<Site, String> {
        let kconfig = kconfig::script(&kconfig(&options)).into();
        let base = format!("{}/", options.path.trim_end_matches('/'));
        let connections = match options.policy {
            Some(policy) => Connections::Own(
                HeaderValue::from_str(&policy).map_err(|_| "admin_gui_csp_header_value: not the value of a header")?,
            ),
            None if options.strict => Connections::Listed { origins: options.api_origins, ports: options.api_ports },
            None => Connections::Any,
        };
        Ok(Site { index: index(&base).into(), kconfig, connections, base })
    }

    /// Answers a request.
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = match *method {
            Method::GET | Method::HEAD => self.page(path, headers),
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        };
        for (name, value) in policy::ALWAYS {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.connections.policy(host));
        response
    }

    /// Any path that is no file's is one of the pages, which find out for themselves what to show.
    fn page(&self, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if path == "/" && self.base != "/" || path == self.base.trim_end_matches('/') && !path.is_empty() {
            let mut response = text(StatusCode::FOUND, "");
            if let Ok(base) = HeaderValue::from_str(&self.base) {
                response.headers_mut().insert(header::LOCATION, base);
            }
            return response;
        }
        let Some(path) = path.strip_prefix(&self.base) else { return text(StatusCode::NOT_FOUND, "Not found\n") };
        match path {
            "kconfig.js" => content(headers, SCRIPT, &self.kconfig),
            "robots.txt" => content(headers, TEXT, &Bytes::from_static(b"User-agent: *\nDisallow: /\n")),
            "favicon.ico" => files::find("favicon.svg").map_or_else(missing, |file| sent(headers, file, REVALIDATE)),
            _ => match path.strip_prefix("assets/") {
                None => content(headers, HTML, &self.index),
                Some(asset) => {
                    let file = asset.strip_prefix(BUILD).and_then(|name| files::find(name.strip_prefix('/')?));
                    file.map_or_else(missing, |file| sent(headers, file, FOREVER))
                }
            },
        }
    }
}

/// The names and values of `kconfig.js`, with where the Admin API is.
fn kconfig(options: &SiteOptions) -> Vec<(String, String)> {
    let port = |scheme: &str| options.api_ports.iter().find(|(named, _)| *named == scheme).map(|(_, port)| *port);
    let shown = |scheme: &str| port(scheme).map(|port| port.to_string()).unwrap_or_default();
    let ports = [("ADMIN_API_PORT", shown("http")), ("ADMIN_API_SSL_PORT", shown("https"))];
    options.kconfig.iter().cloned().chain(ports.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// The page that loads all others, for pages below `base`.
fn index(base: &str) -> String {
    let modules = FILES.iter().filter(|file| file.name.ends_with(".js"));
    // All at once, instead of one after the other as they name each other.
    let preload = |file: &File| format!("<link rel=\"modulepreload\" href=\"assets/{BUILD}/{}\">\n", file.name);
    let template = files::find("index.html").map_or("", |file| std::str::from_utf8(file.plain).unwrap_or_default());
    let base: String = base.chars().filter(|c| c.is_ascii_alphanumeric() || "/-_".contains(*c)).collect();
    template
        .replace("{base}", &base)
        .replace("{assets}", &format!("assets/{BUILD}"))
        .replace("{preload}", &modules.map(preload).collect::<String>())
}

/// A file, compressed for who takes it so.
fn sent(headers: &HeaderMap, file: &'static File, kept: &'static str) -> Response<Full<Bytes>> {
    let gzip = accepts_gzip(headers);
    let octets = if gzip { file.gzip } else { file.plain };
    // Two forms of one file are told apart.
    let tag = format!("\"{BUILD}{}\"", if gzip { "-gzip" } else { "" });
    let mut response = tagged(headers, &tag, Bytes::from_static(octets));
    let lines = response.headers_mut();
    lines.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    lines.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    lines.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        lines.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// What follows from the settings; it is small and asked for anew each time.
fn content(headers: &HeaderMap, kind: &'static str, content: &Bytes) -> Response<Full<Bytes>> {
    let mut response = tagged(headers, &format!("\"{BUILD}-{:x}\"", checksum(content)), content.clone());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(REVALIDATE));
    response
}

/// The octets, or the word that the client has them (304).
fn tagged(headers: &HeaderMap, tag: &str, octets: Bytes) -> Response<Full<Bytes>> {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let known = known.flat_map(|line| line.split(','));
    let has_it = known.map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag);
    let (status, octets) = if has_it { (StatusCode::NOT_MODIFIED, Bytes::new()) } else { (StatusCode::OK, octets) };
    let mut response = Response::new(Full::new(octets));
    *response.status_mut() = status;
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Whether the client takes gzip, which a weight of 0 refuses.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        named && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// FNV-1a: it only has to differ where contents do.
fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

fn text(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn missing() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "Not found\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn site(path: &str) -> Site {
        Site::new(SiteOptions { path: path.to_owned(), ..SiteOptions::default() }).unwrap()
    }

    fn get(site: &Site, path: &str, lines: &[(&'static str, &str)]) -> Response<Full<Bytes>> {
        let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        site.answer(&Method::GET, path, &HeaderMap::from_iter(lines))
    }

    fn header<'r>(response: &'r Response<Full<Bytes>>, name: &str) -> &'r str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Bodies of memory are there at once.
    fn body(response: Response<Full<Bytes>>) -> String {
        let runtime = std::pin::pin!(response.into_body().collect());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match runtime.poll(&mut cx) {
            std::task::Poll::Ready(Ok(all)) => String::from_utf8(all.to_bytes().to_vec()).unwrap(),
            _ => panic!("not there"),
        }
    }

    #[test]
    fn pages_of_any_path_are_one_page() {
        let site = site("/");
        for path in ["/", "/default/services", "/default/services/a.b", "/../../etc/passwd", "/%2e%2e/x"] {
            let response = get(&site, path, &[]);
            assert_eq!(header(&response, "content-type"), HTML, "{path}");
            assert!(body(response).contains("<base href=\"/\">"), "{path}");
        }
    }

    #[test]
    fn files_are_found_by_name_only() {
        let site = site("/");
        let style = format!("/assets/{BUILD}/style.css");
        assert_eq!(header(&get(&site, &style, &[]), "cache-control"), FOREVER);
        let missing = ["/assets/", "/assets/old/style.css"].map(str::to_owned);
        let climbing = ["../Cargo.toml", "./style.css", "/style.css", "..%2fbuild.rs", ""];
        let climbing = climbing.map(|name| format!("/assets/{BUILD}/{name}"));
        for path in missing.into_iter().chain(climbing) {
            assert_eq!(get(&site, &path, &[]).status(), 404, "{path}");
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let (site, path) = (site("/"), format!("/assets/{BUILD}/style.css"));
        let first = get(&site, &path, &[("accept-encoding", "br, gzip;q=0.8")]);
        assert_eq!(header(&first, "content-encoding"), "gzip");
        let again = [("accept-encoding", "gzip"), ("if-none-match", header(&first, "etag"))];
        assert_eq!(get(&site, &path, &again).status(), 304);
        assert_eq!(get(&site, &path, &again[1..]).status(), 200, "another form of it");
        assert_eq!(header(&get(&site, &path, &[("accept-encoding", "gzip;q=0")]), "content-encoding"), "");
    }

    #[test]
    fn a_path_of_its_own() {
        let site = site("/manager");
        assert_eq!(header(&get(&site, "/", &[]), "location"), "/manager/");
        assert_eq!(header(&get(&site, "/manager", &[]), "location"), "/manager/");
        assert_eq!(get(&site, "/managers/", &[]).status(), 404);
        assert!(body(get(&site, "/manager/default", &[])).contains("<base href=\"/manager/\">"));
    }

    #[test]
    fn every_answer_is_guarded() {
        let site = site("/");
        for (method, path) in [(Method::GET, "/"), (Method::GET, "/assets/x"), (Method::POST, "/")] {
            let response = site.answer(&method, path, &HeaderMap::new());
            assert!(header(&response, "content-security-policy").starts_with("default-src 'none'"), "{path}");
            assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
        }
        let refused = site.answer(&Method::DELETE, "/", &HeaderMap::new());
        assert_eq!(refused.status(), 405);
        assert_eq!(header(&refused, "allow"), "GET, HEAD");
    }
}

//! Single requests as they end, for whoever looks at them. While nobody does, a request costs a look at one number.

use super::Live;
use sdk::Exchange;
use sdk::recording::millis;
use sdk::{Fields, Source};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which requests somebody wants to see; all that is named has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    pub method: Option<String>,
    /// A status, or the hundred that it is in (`5` for 5xx).
    pub status: Option<u16>,
    /// The id of a route, or its name.
    pub route: Option<String>,
}

/// What somebody who looks has not seen yet. Nothing is kept any more when it is dropped.
pub struct RequestView {
    live: Arc<Live>,
    viewer: Arc<Viewer>,
}

/// Those who look, as all workers know them.
#[derive(Default)]
pub(super) struct Viewers {
    /// Changes with the list; 0: it is empty.
    generation: AtomicU64,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    changes: u64,
    viewers: Vec<Arc<Viewer>>,
}

/// The list as one worker saw it last.
#[derive(Default)]
pub(super) struct Seen {
    generation: u64,
    viewers: Vec<Arc<Viewer>>,
}

struct Viewer {
    filter: RequestFilter,
    /// By worker: contended only when they are taken.
    kept: Box<[Mutex<Kept>]>,
}

/// Requests that wait to be taken.
#[derive(Default)]
pub struct Kept {
    /// When each ended, in milliseconds since 1970, and what is told of it, as JSON.
    requests: Vec<(u64, Arc<str>)>,
    octets: usize,
    /// How many there was no room for.
    pub left_out: u64,
}

/// So many may look at once.
const VIEWERS: usize = 8;
/// What a worker keeps for each of them until it is taken.
const REQUESTS: usize = 64;
const OCTETS: usize = 256 << 10;
/// What is shown of a target and of a value, in characters, and how many lines.
const TARGET: usize = 2048;
const VALUE: usize = 256;
const LINES: usize = 40;

/// Lines whose values say nothing by which somebody could take a client's place. Of others only names are kept.
const HARMLESS: [&str; 37] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "b3",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "grpc-timeout",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "kong-debug",
    "origin",
    "pragma",
    "range",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Words in the names of lines and arguments that hold secrets.
const TELLING: [&str; 13] =
    ["auth", "cert", "code", "cookie", "cred", "jwt", "key", "pass", "secret", "session", "sig", "token", "otp"];

impl RequestView {
    /// From now on; `None`: too many look already.
    pub(crate) fn begin(live: &Arc<Live>, filter: RequestFilter) -> Option<RequestView> {
        let kept = live.begun_tallies.iter().map(|_| Mutex::default()).collect();
        let viewer = Arc::new(Viewer { filter, kept });
        let added = live.viewers.change(|viewers| {
            let room = viewers.len() < VIEWERS;
            if room {
                viewers.push(Arc::clone(&viewer));
            }
            room
        });
        added.then(|| RequestView { live: Arc::clone(live), viewer })
    }

    /// What has come since the last time, in the order in which it ended.
    pub fn take(&self) -> Kept {
        let mut all = Kept::default();
        for kept in &self.viewer.kept {
            let kept = std::mem::take(&mut *locked(kept));
            all.requests.extend(kept.requests);
            all.left_out += kept.left_out;
        }
        all.requests.sort_by_key(|(ended, _)| *ended);
        all
    }
}

impl Drop for RequestView {
    fn drop(&mut self) {
        self.live.viewers.change(|viewers| viewers.retain(|viewer| !Arc::ptr_eq(viewer, &self.viewer)));
    }
}

impl Kept {
    /// An object with all of them.
    pub fn json(&self) -> String {
        let requests: Vec<&str> = self.requests.iter().map(|(_, request)| &**request).collect();
        format!("{{\"requests\":[{}],\"left_out\":{}}}", requests.join(","), self.left_out)
    }

    fn has_room(&self) -> bool {
        self.requests.len() < REQUESTS && self.octets < OCTETS
    }
}

impl Viewers {
    /// Whether somebody looks.
    #[inline]
    pub fn any(&self) -> bool {
        self.generation.load(Relaxed) != 0
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Viewer>>) -> T) -> T {
        let mut list = locked(&self.list);
        let changed = change(&mut list.viewers);
        list.changes += 1;
        self.generation.store(if list.viewers.is_empty() { 0 } else { list.changes }, Relaxed);
        changed
    }
}

impl Seen {
    /// Keeps a request that is over for those who want to see it; `lines` are those that the client has sent.
    pub fn request(seen: &RefCell<Seen>, viewers: &Viewers, worker: usize, exchange: &Exchange, lines: &Fields) {
        let mut seen = seen.borrow_mut();
        let generation = viewers.generation.load(Relaxed);
        if seen.generation != generation {
            seen.viewers.clone_from(&locked(&viewers.list).viewers);
            seen.generation = generation;
        }
        let mut told: Option<(u64, Arc<str>)> = None;
        for viewer in seen.viewers.iter().filter(|viewer| viewer.filter.holds(exchange)) {
            let mut kept = locked(&viewer.kept[worker]);
            if kept.has_room() {
                let (ended, request) = told.get_or_insert_with(|| tell(exchange, lines)).clone();
                kept.octets += request.len();
                kept.requests.push((ended, request));
            } else {
                kept.left_out += 1;
            }
        }
    }

    /// Lets go of those who do not look any more.
    pub fn sweep(&mut self, viewers: &Viewers) {
        if !viewers.any() {
            *self = Seen::default();
        }
    }
}

impl RequestFilter {
    fn holds(&self, exchange: &Exchange) -> bool {
        let status = exchange.response.status;
        let has_status = |wanted: u16| if wanted < 100 { status / 100 == wanted } else { status == wanted };
        let is_route = |wanted: &String| {
            let route = exchange.route.as_deref();
            route.is_some_and(|route| route.name.as_ref() == Some(wanted) || route.id.to_string() == *wanted)
        };
        self.method.as_ref().is_none_or(|wanted| exchange.request.method.as_str() == wanted)
            && self.status.is_none_or(has_status)
            && self.route.as_ref().is_none_or(is_route)
    }
}

/// What is told of a request. Values of lines that could hold secrets are null.
fn tell(exchange: &Exchange, lines: &Fields) -> (u64, Arc<str>) {
    let timing = &exchange.timing;
    let took = timing.started.elapsed();
    let ended = timing.started_unix_ms + u64::try_from(took.as_millis()).unwrap_or_default();
    let named = |id: String, name: Option<&String>| json!({ "id": id, "name": name });
    let route = exchange.route.as_deref();
    let tries = exchange
        .tries
        .iter()
        .map(|one| json!({ "address": one.address.to_string(), "status": one.status, "time": millis(one.waited) }));
    let shown = lines.iter().take(LINES).map(|(name, value)| {
        let asked = route.is_some_and(|route| asks_for(&route.headers, route.expression.as_deref(), name));
        json!([cut(name, VALUE), is_harmless(name, asked).then(|| cut(&String::from_utf8_lossy(value), VALUE))])
    });
    let told = json!({
        "time": ended as f64 / 1e3,
        "request_id": exchange.id_str(),
        "client": exchange.client.ip.to_string(),
        "method": cut(exchange.request.method.as_str(), VALUE),
        "scheme": if exchange.client.https { "https" } else { "http" },
        "host": lines.get_str("host").map(|host| cut(host, VALUE)),
        "port": exchange.client.public_port,
        "target": cut(&without_secrets(&exchange.request.target), TARGET),
        "headers": shown.collect::<Vec<Value>>(),
        "route": route.map(|route| named(route.id.to_string(), route.name.as_ref())),
        "service": exchange.service.as_deref().map(|service| named(service.id.to_string(), service.name.as_ref())),
        "consumer": exchange.consumer.as_deref().map(|c| named(exchange.shown_id(&c.id), c.username.as_ref())),
        "status": exchange.response.status,
        "answered_by": match exchange.source {
            Source::Service => "service",
            Source::Exit => "plugin",
            Source::Error => "gateway",
        },
        "tries": tries.collect::<Vec<Value>>(),
        "timings": {
            "total": millis(took),
            "gateway": timing.proxy.map(millis),
            "upstream": timing.upstream.map(millis),
        },
    });
    (ended, told.to_string().into())
}

/// Whether the value of a line may be shown; `asked`: the route of its request goes by it.
fn is_harmless(name: &str, asked: bool) -> bool {
    let name = name.to_ascii_lowercase();
    HARMLESS.contains(&&*name) || asked && !is_telling(&name)
}

fn asks_for(headers: &[(String, Vec<String>)], expression: Option<&str>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    headers.iter().any(|(asked, _)| *asked == name)
        || expression.is_some_and(|expression| expression.contains(&format!("http.headers.{}", name.replace('-', "_"))))
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}

/// A target whose arguments with telling names have no values.
fn without_secrets(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let argument = |argument: &str| match argument.split_once('=') {
        // Escapes could hide the name.
        Some((name, _)) if is_telling(name) || name.contains('%') => format!("{name}="),
        _ => argument.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(argument).collect::<Vec<_>>().join("&"))
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;

    fn live() -> Arc<Live> {
        Live::new(2)
    }

    fn ended(path: &str, status: u16) -> Exchange {
        let mut exchange = testing::exchange("GET", path, &[]);
        exchange.response.status = status;
        exchange
    }

    fn add(live: &Arc<Live>, worker: usize, exchange: &Exchange, lines: &Fields) {
        live.counting(worker).shown(exchange, Some(lines));
    }

    fn taken(view: &RequestView) -> Value {
        serde_json::from_str(&view.take().json()).unwrap()
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks() {
        let live = live();
        assert!(live.counting(0).lines_to_show(&Fields::new()).is_none());
        let view = RequestView::begin(&live, RequestFilter::default()).unwrap();
        assert!(live.counting(0).lines_to_show(&Fields::new()).is_some());
        add(&live, 0, &ended("/a", 200), &Fields::new());
        add(&live, 1, &ended("/b", 200), &Fields::new());
        assert_eq!(taken(&view)["requests"].as_array().unwrap().len(), 2);
        assert_eq!(taken(&view)["requests"], json!([]), "each is taken once");
        drop(view);
        assert!(live.counting(0).lines_to_show(&Fields::new()).is_none());
    }

    #[test]
    fn what_nobody_takes_does_not_grow() {
        let live = live();
        let view = RequestView::begin(&live, RequestFilter::default()).unwrap();
        let long = format!("/{}", "x".repeat(1 << 20));
        (0..100).for_each(|_| add(&live, 0, &ended(&long, 200), &Fields::new()));
        let kept = view.take();
        assert_eq!(kept.requests.len(), REQUESTS);
        assert_eq!(kept.left_out, 36);
        assert!(kept.json().len() < OCTETS + 4 * TARGET, "{}", kept.json().len());
    }

    #[test]
    fn only_so_many_look() {
        let live = live();
        let views: Vec<_> =
            (0..VIEWERS).map(|_| RequestView::begin(&live, RequestFilter::default()).unwrap()).collect();
        assert!(RequestView::begin(&live, RequestFilter::default()).is_none());
        drop(views);
        assert!(RequestView::begin(&live, RequestFilter::default()).is_some());
    }

    #[test]
    fn who_looks_says_for_what() {
        let of = |filter: RequestFilter| {
            let live = live();
            let view = RequestView::begin(&live, filter).unwrap();
            [200, 404, 503].into_iter().for_each(|status| add(&live, 0, &ended("/", status), &Fields::new()));
            let taken = taken(&view);
            taken["requests"].as_array().unwrap().iter().map(|one| one["status"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(RequestFilter { status: Some(5), ..RequestFilter::default() }), [503]);
        assert_eq!(of(RequestFilter { status: Some(404), ..RequestFilter::default() }), [404]);
        assert_eq!(of(RequestFilter { method: Some("GET".to_owned()), ..RequestFilter::default() }).len(), 3);
        assert_eq!(of(RequestFilter { method: Some("POST".to_owned()), ..RequestFilter::default() }).len(), 0);
        assert_eq!(of(RequestFilter { route: Some("r".to_owned()), ..RequestFilter::default() }).len(), 0);
    }

    #[test]
    fn secrets_are_not_kept() {
        let live = live();
        let view = RequestView::begin(&live, RequestFilter::default()).unwrap();
        let mut lines = Fields::new();
        for name in ["Authorization", "Cookie", "apikey", "X-Custom", "Proxy-Authorization", "X-Api-Key"] {
            lines.append(name, b"hidden-value");
        }
        lines.append("Host", b"shop.test");
        lines.append("User-Agent", b"curl");
        let target = "/a?page=2&apikey=hidden-value&%61pikey=hidden-value&access_token=hidden-value";
        add(&live, 0, &ended(target, 200), &lines);
        let taken = taken(&view);
        let request = &taken["requests"][0];
        assert!(!taken.to_string().contains("hidden-value"), "{taken}");
        assert_eq!(request["target"], "/a?page=2&apikey=&%61pikey=&access_token=");
        assert_eq!(request["headers"][0], json!(["Authorization", null]));
        assert_eq!(request["headers"][7], json!(["User-Agent", "curl"]));
        assert_eq!(request["host"], "shop.test");
    }

    #[test]
    fn a_line_that_the_route_goes_by_is_shown() {
        let headers = [("x-tenant".to_owned(), Vec::new()), ("apikey".to_owned(), Vec::new())];
        let shown = |name: &str, expression| is_harmless(name, asks_for(&headers, expression, name));
        assert!(shown("X-Tenant", None));
        assert!(!shown("apikey", None), "never a secret");
        assert!(!shown("X-Other", None));
        assert!(shown("X-Other", Some(r#"http.headers.x_other == "1""#)));
    }
}

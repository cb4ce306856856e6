//! From an HTTP request to an [`Answer`] and back: content types, limits, methods, and the headers that every answer
//! has.

use crate::access::{Access, User};
use crate::answer::{Answer, Instead};
use crate::audit::{Asked, Trail};
use crate::call::{Call, Query, State};
use crate::content::{self, BodyError, Content, RequestBody};
use crate::endpoint::{Endpoint, Endpoints, Method};
use crate::events::{self, Told};
use crate::node::{Interface, Node};
use crate::options::Options;
use crate::pictures::ResponseBody;
use crate::records::Records;
use crate::resource::Subject;
use crate::workspace::{self, Place};
use crate::{cross_site, form, routes};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Version, header};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use store::{Announcement, Store};
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use wire::field_value;

/// The Admin API and the Status API of a node, ready to answer. Built once; the tree of endpoints follows from the
/// store's catalog.
pub struct Admin {
    pub(crate) state: Arc<State>,
    store: Store,
    status_endpoints: Endpoints,
}

/// The channel of what is kept of records under that key, or of all where there is none.
const INVALIDATIONS: &str = "invalidations";

impl Admin {
    /// The Admin API of `node` over `store`.
    pub fn new(store: Store, node: Arc<dyn Node>, options: Options) -> Admin {
        let plugins = node.plugin_endpoints();
        let endpoints = routes::admin(store.catalog(), &plugins);
        let status_endpoints = routes::status(store.catalog(), &plugins, options.dbless);
        // Where records come from a file, clients change none of them.
        let store = if options.dbless { store.read_only() } else { store };
        let access = Access::new(&store, Arc::clone(&node), options.access.clone());
        let (told, loading, openapi) = (Told::default(), Mutex::default(), OnceLock::new());
        let state = State { node, options, access, endpoints, openapi, told, loading };
        Admin { state: Arc::new(state), store, status_endpoints }
    }

    /// Tells event hooks of the health of targets, for ever: to be spawned once.
    pub async fn watch_health(&self) {
        events::health::watch(&self.store, &*self.state.node, &self.state.told).await;
    }

    /// Takes what other nodes announce, for ever: to be spawned once.
    pub async fn hear(&self) {
        let (mut announced, node) = (self.store.announcements(), &*self.state.node);
        loop {
            match announced.recv().await {
                Ok(Announcement { channel, data }) => match channel.as_str() {
                    routes::debug::CHANNEL => routes::debug::hear(node, &data),
                    routes::targets::CHANNEL => {
                        // The target may be as new as that.
                        let newest = *self.store.watch().borrow();
                        node.applied(newest).await;
                        routes::targets::hear(node, &data);
                    }
                    _ => node.hear(&channel, &data).await,
                },
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!("{missed} announcements of other nodes are missed");
                    // Whatever is kept may be out of date.
                    node.hear(INVALIDATIONS, "").await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Answers one request to the Admin API, without a socket.
    pub async fn answer(&self, request: Request<Full<Bytes>>) -> Response<ResponseBody> {
        self.respond(Interface::Admin, LOCAL, request).await
    }

    /// Answers one request to the Status API, without a socket.
    pub async fn answer_status(&self, request: Request<Full<Bytes>>) -> Response<ResponseBody> {
        self.respond(Interface::Status, LOCAL, request).await
    }

    /// Answers one request of a client.
    pub(crate) async fn respond<B>(
        &self,
        interface: Interface,
        client: IpAddr,
        request: Request<B>,
    ) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let start = Instant::now();
        let (head, body) = request.into_parts();
        let request_line = RequestLine {
            interface,
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            authority: head.uri.host(),
            headers: &head.headers,
            client,
        };
        let body = body.map_err(|error| BodyError(error.to_string())).boxed_unsync();
        let audit = self.state.options.audit.as_ref().filter(|_| interface == Interface::Admin);
        let mut trail = audit.map(|_| Trail::new());
        let mut answer = answer(self, &request_line, body, &mut trail).await.unwrap_or_else(|answer| answer);
        if let (Some(audit), Some(trail)) = (audit, trail) {
            answer = answer.with_header("x-kong-admin-request-id", &trail.request_id);
            let asked = Asked {
                client_ip: &client.to_string(),
                method: request_line.method,
                target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
                by_gui: self.state.access.is_gui(request_line.headers),
            };
            audit.note_request(&self.store, trail, asked, answer.status).await;
        }
        let close = head.version != Version::HTTP_11 || connection_close(&head.headers);
        response(&self.state.options, &request_line, answer, start.elapsed(), close)
    }

    /// Answers a request for a page of the manager. Whatever content came with it is nobody's.
    pub(crate) fn page<B>(&self, request: &Request<B>) -> Response<ResponseBody> {
        match &self.state.options.site {
            Some(site) => {
                let page = site.answer(request.method(), request.uri().path(), request.headers());
                page.map(ResponseBody::Whole)
            }
            None => self.refuse(Interface::Manager, request.headers(), 404, "Not found"),
        }
    }

    /// Answers a request that is not looked at any further, the last one on its connection.
    pub(crate) fn refuse(
        &self,
        interface: Interface,
        headers: &HeaderMap,
        status: u16,
        message: &str,
    ) -> Response<ResponseBody> {
        let request_line =
            RequestLine { interface, method: "", path: "", query: None, authority: None, headers, client: LOCAL };
        response(&self.state.options, &request_line, Answer::message(status, message), Duration::ZERO, true)
    }
}

/// What of a request's head matters here.
struct RequestLine<'a> {
    interface: Interface,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// The host in an absolute URL.
    authority: Option<&'a str>,
    headers: &'a HeaderMap,
    client: IpAddr,
}

/// Where requests come from that come through no socket.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn answer(
    admin: &Admin,
    request_line: &RequestLine<'_>,
    body: RequestBody,
    trail: &mut Option<Trail>,
) -> Result<Answer, Answer> {
    if request_line.interface == Interface::Admin {
        let RequestLine { method, authority, headers, .. } = *request_line;
        cross_site::check(&admin.state.options, method, authority, headers)?;
    }
    let default = Place::of_default(&admin.store, request_line.path);
    let (endpoints, place) = match request_line.interface {
        Interface::Admin => {
            let endpoints = &admin.state.endpoints;
            (endpoints, workspace::of_path(&admin.store, endpoints, request_line.path).await?)
        }
        Interface::Status | Interface::Manager => (&admin.status_endpoints, default),
    };
    let found = endpoints.find(place.path);
    // Browsers ask what they may send without saying for whom.
    let user = match request_line {
        RequestLine { interface: Interface::Status, .. } | RequestLine { method: "OPTIONS", .. } => None,
        _ => admin.state.access.user(place.path, request_line.headers).await?,
    };
    if let Some(trail) = trail {
        (trail.user, trail.workspace) = (user.clone(), place.store.scope().workspace());
    }
    let endpoint = found.as_ref().map(|(endpoint, _)| &***endpoint);
    admin.state.access.authorize(user.as_ref(), &place, endpoint, request_line.method).await?;
    let cookie = user.as_ref().and_then(|user| user.cookie.clone());
    let answer = match found {
        Some((endpoint, parameters)) => {
            let asked = (&**endpoint, parameters);
            call(admin, request_line, place, asked, user, body, trail).await
        }
        None => Err(Answer::not_found()),
    };
    match cookie {
        Some(cookie) => answer.map(|answer| answer.with_header("set-cookie", cookie)),
        None => answer,
    }
}

/// Calls the handler of an endpoint.
async fn call(
    admin: &Admin,
    request_line: &RequestLine<'_>,
    place: Place<'_>,
    (endpoint, parameters): (&Endpoint, Vec<&str>),
    user: Option<User>,
    body: RequestBody,
    trail: &mut Option<Trail>,
) -> Result<Answer, Answer> {
    if endpoint.disabled() {
        return Err(Answer::not_found());
    }
    if request_line.method == "OPTIONS" {
        return Ok(options(endpoint, request_line));
    }
    let method = Method::parse(if request_line.method == "HEAD" { "GET" } else { request_line.method });
    if method.is_some_and(Method::has_body) {
        content::check_type(request_line.headers, place.path, !body.is_end_stream())?;
    }
    let handler = method.and_then(|method| Some((method, endpoint.handler(method)?)));
    let (method, handler) =
        handler.ok_or_else(|| Answer::method_not_allowed().with_header("allow", &endpoint.allow))?;
    if parameters.iter().any(|parameter| form::unescape(parameter.as_bytes()).is_none()) {
        return Err(Answer::message(400, "Path is not valid UTF-8"));
    }
    let query = query(request_line.query)?;
    let (content, raw_content) = if method.has_body() || endpoint.takes_content(method) && !body.is_end_stream() {
        let bytes = content::read(body, &admin.state.options).await?;
        // Only code of plugins wants it as it has come.
        let is_wanted = endpoint.of_plugin || endpoint.subject.as_ref().is_some_and(Subject::asks_plugins);
        let kept = if is_wanted { bytes.clone() } else { Bytes::new() };
        (content::parse(request_line.headers, bytes).await?, kept)
    } else {
        (Content::None, Bytes::new())
    };
    if let (Some(trail), Some(audit), false) = (trail.as_mut(), &admin.state.options.audit, endpoint.keeps_no_content) {
        trail.keep(&content, audit);
    }
    let parameters = parameters.into_iter().map(str::to_owned).collect();
    let rights = admin.state.access.rights(user.as_ref(), &place.store);
    let call = Call {
        state: admin.state.clone(),
        store: Records::new(if method == Method::Get { place.store.from_replica() } else { place.store }, rights),
        prefix: place.prefix.to_owned(),
        method,
        path: place.path.to_owned(),
        workspace: place.workspace,
        headers: request_line.headers.clone(),
        user,
        trail: trail.clone(),
        subject: endpoint.subject.clone(),
        parameters,
        query,
        raw_query: request_line.query.unwrap_or_default().to_owned(),
        content,
        raw_content,
        client: request_line.client,
    };
    // a fault in one handler must not take the connection down with it
    AssertUnwindSafe(handler(call)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(method = request_line.method, path = request_line.path, "admin request handler panicked");
        Err(Answer::unexpected())
    })
}

fn options(endpoint: &Endpoint, request_line: &RequestLine<'_>) -> Answer {
    let headers = request_line
        .headers
        .get("access-control-request-headers")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("Content-Type");
    Answer::empty(204)
        .with_header("allow", &endpoint.allow)
        .with_header("access-control-allow-methods", &endpoint.allow)
        .with_header("access-control-allow-headers", headers)
}

fn query(text: Option<&str>) -> Result<Query, Answer> {
    let pairs = form::parse_pairs(text.unwrap_or_default().as_bytes())
        .map_err(|error| Answer::message(400, error.message()))?;
    if pairs.len() > form::MAX_FIELDS {
        return Err(Answer::message(400, form::FormError::TooManyFields.message()));
    }
    Ok(Query(pairs))
}

fn connection_close(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| field_value::list_has(value.as_bytes(), "close"))
}

fn response(
    options: &Options,
    request_line: &RequestLine<'_>,
    answer: Answer,
    took: Duration,
    close: bool,
) -> Response<ResponseBody> {
    let has_content = answer.instead.is_some() || answer.body.is_some();
    let whole = |text: String| ResponseBody::Whole(Full::new(Bytes::from(text)));
    let body = match (answer.instead.map(|instead| *instead), answer.body) {
        (Some(Instead::Events(pictures)), _) => {
            ResponseBody::Events { pictures, stopped: Box::pin(std::future::pending()) }
        }
        (Some(Instead::Text(text)), _) => whole(text),
        (None, Some(body)) => whole(body.to_string()),
        (None, None) => ResponseBody::Whole(Full::default()),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_content {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static(if close { "close" } else { "keep-alive" }));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed_origin(options, request_line));
    let origin = request_line.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = request_line.authority.or_else(|| request_line.headers.get(header::HOST)?.to_str().ok());
    let credentials = options.allows_credentials(origin, host.map(cross_site::without_port));
    if request_line.interface == Interface::Admin && credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if options.latency_header {
        headers.insert(
            HeaderName::from_static("x-kong-admin-latency"),
            HeaderValue::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        );
    }
    if options.server_header
        && let Ok(value) = HeaderValue::from_str(&format!("bascule/{}", options.version))
    {
        headers.insert(header::SERVER, value);
    }
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            if name == header::SET_COOKIE {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
    }
    response
}

/// Any origin may use the Admin API, unless the GUI's are set: then the client's own if it is among them, else the
/// first.
fn allowed_origin(options: &Options, request_line: &RequestLine<'_>) -> HeaderValue {
    let own = request_line.headers.get(header::ORIGIN);
    match options.origins.first() {
        Some(first) if request_line.interface == Interface::Admin => own
            .filter(|origin| options.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
            .cloned()
            .or_else(|| HeaderValue::from_str(first).ok()),
        _ => own.cloned(),
    }
    .unwrap_or(HeaderValue::from_static("*"))
}

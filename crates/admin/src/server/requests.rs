//! The requests of a connection, whatever the version of HTTP: who asks, and what is noted of the answer.

use super::connections::{Activity, Work};
use super::content::Content;
use crate::http::Admin;
use crate::node::{Answered, Interface, Origin};
use crate::options::Limits;
use crate::pictures::ResponseBody;
use hyper::body::Body;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::watch;

/// What the requests of a connection have in common.
pub struct Requests {
    pub admin: Arc<Admin>,
    pub interface: Interface,
    pub origin: Origin,
    /// Why the client is not served.
    pub unverified: Option<&'static str>,
    pub activity: Arc<Activity>,
    pub stopped: watch::Receiver<()>,
    /// How many there were.
    pub count: AtomicU64,
}

/// A request that is being answered.
pub struct Asked {
    number: u64,
    started: Instant,
    /// Its head, if the node looks on.
    head: Option<Parts>,
}

impl Requests {
    /// Work for a request, not begun yet.
    pub fn work(&self) -> Arc<Work> {
        Work::new(&self.activity)
    }

    /// The number of the next request, from 1.
    pub fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes note of a request.
    pub fn asked(&self, number: u64, head: &Parts) -> Asked {
        let head = self.admin.state.node.looks_on(self.interface).then(|| head.clone());
        Asked { number, started: Instant::now(), head }
    }

    /// Whether so many requests are as many as a connection may have.
    pub fn is_worn(&self, number: u64) -> bool {
        let limits = self.limits();
        limits.keepalive_timeout.is_zero() || number >= limits.keepalive_requests
    }

    pub fn limits(&self) -> &Limits {
        self.admin.state.options.limits_of(self.interface)
    }

    /// Answers a request, unless the client may not be served.
    pub async fn answer(&self, request: Request<Content>) -> Response<ResponseBody> {
        let mut response = self.respond(request).await;
        if let ResponseBody::Events { stopped, .. } = response.body_mut() {
            let mut stop = self.stopped.clone();
            // Nothing is ever sent: the channel closes.
            *stopped = Box::pin(async move { stop.changed().await.unwrap_or_default() });
        }
        response
    }

    async fn respond(&self, request: Request<Content>) -> Response<ResponseBody> {
        if let Some(message) = self.unverified {
            return self.admin.refuse(self.interface, request.headers(), 400, message);
        }
        if let Some((status, message)) = too_large(&request, self.limits()) {
            return self.admin.refuse(self.interface, request.headers(), status, message);
        }
        if !self.admin.state.node.allows(self.interface, &self.origin, request.headers()) {
            return self.admin.refuse(self.interface, request.headers(), 403, "Forbidden");
        }
        if self.interface == Interface::Manager {
            return self.admin.page(&request);
        }
        let client = self.admin.state.node.client(self.interface, &self.origin, request.headers());
        self.admin.respond(self.interface, client, request).await
    }

    /// Adds the lines of the node to an answer, and writes it to the access log.
    pub fn note(&self, asked: Asked, response: &mut Response<ResponseBody>) {
        let Some(request) = asked.head else { return };
        let content = if request.method == Method::HEAD { 0 } else { response.body().size_hint().exact().unwrap_or(0) };
        let mut answered = Answered {
            origin: self.origin.clone(),
            request: asked.number,
            method: request.method.as_str(),
            target: request.uri.path_and_query().map_or("*", |target| target.as_str()),
            version: match request.version {
                Version::HTTP_10 => wire::Version::Http10,
                Version::HTTP_2 => wire::Version::Http2,
                _ => wire::Version::Http11,
            },
            request_headers: &request.headers,
            response_headers: response.headers(),
            status: response.status().as_u16(),
            content,
            took: asked.started.elapsed(),
        };
        let added = self.admin.state.node.added(self.interface, &answered);
        let mut all = response.headers().clone();
        for (name, value) in &added {
            all.append(name, value.clone());
        }
        answered.response_headers = &all;
        self.admin.state.node.note(self.interface, &answered);
        *response.headers_mut() = all;
    }
}

/// The answer to a request whose head is larger than allowed. What is far larger has not been read.
fn too_large<B>(request: &Request<B>, limits: &Limits) -> Option<(u16, &'static str)> {
    // With the method, the version and what stands between them.
    let line = request.method().as_str().len() + request.uri().to_string().len() + " HTTP/1.1\r\n".len() + 1;
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let (longest, sum) = lines.fold((0, line), |(longest, sum), line| (line.max(longest), sum + line));
    if line > limits.line {
        Some((414, "URI too long"))
    } else if longest > limits.line || sum > limits.head {
        Some((400, "Request header or cookie too large"))
    } else {
        None
    }
}

//! What a service gets of a request, and how.

use crate::{OnRetry, RetryPolicy, UpstreamTls};
use model::entities::Protocol;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where the request goes and how it looks there; filled from route and service before the access phase.
#[derive(Clone, Debug)]
pub struct UpstreamRequest {
    pub method: Option<String>,
    pub protocol: Protocol,
    /// The name of an upstream, or a host, in place of the service's; `port` goes with it.
    pub host: Option<Arc<str>>,
    pub port: u16,
    /// The path, escaped as it will be sent.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// The `Host` to send instead of the target's own.
    pub host_header: Option<Vec<u8>>,
    /// What the service is told of where the request comes from (`X-Forwarded-*`), in place of what the gateway would
    /// say; without content, nothing.
    pub forwarded: Vec<(&'static str, Vec<u8>)>,
    /// How long the service may take, where it is not as its record says.
    pub timeouts: Option<Timeouts>,
    /// When it is tried again, where it is not as its record says.
    pub retries: Option<Arc<RetryPolicy>>,
    /// Says where it goes when a try at the host of a plugin has failed.
    pub on_retry: Option<Rc<dyn OnRetry>>,
    /// How connections are secured, where they are not as its record says.
    pub tls: Option<Arc<UpstreamTls>>,
}

/// How long a service may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// Between two readings of its response.
    pub read: Duration,
    /// Between two writings of the request.
    pub write: Duration,
}

impl UpstreamRequest {
    /// Before anything is known of it.
    pub(crate) fn new() -> UpstreamRequest {
        UpstreamRequest {
            method: None,
            protocol: Protocol::Http,
            host: None,
            port: 0,
            path: String::new(),
            query: None,
            host_header: None,
            forwarded: Vec::new(),
            timeouts: None,
            retries: None,
            on_retry: None,
            tls: None,
        }
    }
}

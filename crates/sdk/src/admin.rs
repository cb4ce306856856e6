//! A plugin's part of the Admin API and the Status API.

use crate::Record;
use bytes::Bytes;
use model::entities;
use serde_json::Value;
use std::net::IpAddr;

/// A path that a plugin answers, on either API. `HEAD` and `OPTIONS` follow from the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminEndpoint {
    /// As `GET /endpoints` lists it, such as `/proxy-cache/{cache_key}`.
    pub path: &'static str,
    /// Of `DELETE`, `GET`, `PATCH`, `POST` and `PUT`.
    pub methods: &'static [&'static str],
    /// Whether the Admin API has it.
    pub on_admin: bool,
    /// Whether the Status API has it.
    pub on_status: bool,
    /// Whether requests bring [`AdminRequest::instances`] along. What the database is asked for cannot be answered
    /// without it.
    pub with_instances: bool,
    /// Whether it acts in the workspace of the path ([`AdminRequest::workspace`]), whose rules say who may ask then.
    /// Others are about the node, and those of the default workspace hold.
    pub in_workspaces: bool,
}

/// A request to one of the plugin's endpoints.
#[derive(Debug, Clone)]
pub struct AdminRequest {
    /// The path of the endpoint.
    pub endpoint: &'static str,
    pub method: String,
    /// Decoded path segments, such as `["proxy-cache", "<key>"]`.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Option<Record>,
    /// The configured instances of this plugin: by id, so that an endpoint can find its storage.
    pub instances: Vec<entities::Plugin>,
    /// Whose records the path is about; the nil one stands for the default workspace.
    pub workspace: entities::Uuid,
    /// Whether it came by the Status API.
    pub of_status: bool,
    /// As it has come.
    pub head: AdminHead,
}

/// What a client has sent, as it is.
#[derive(Debug, Clone, Default)]
pub struct AdminHead {
    /// Without a workspace in front.
    pub path: String,
    pub query: String,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    pub client: Option<IpAddr>,
    pub content: Bytes,
}

/// A function of data access that a plugin has in the place of the store's, called for a request to the Admin API.
#[derive(Debug, Clone)]
pub struct DaoCall {
    pub entity: String,
    /// Such as `insert`, or `update_by_name`.
    pub function: String,
    pub arguments: Vec<Value>,
    /// The last argument.
    pub options: Value,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq)]
pub enum DaoAnswer {
    /// What it returns, and the offset of what follows.
    Returned(Value, Option<String>),
    /// It has answered the request: as Kong's endpoints do with its errors.
    Said(AdminAnswer),
}

/// What the plugin answers.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminAnswer {
    pub status: u16,
    pub content: AdminContent,
    /// Further lines of its head.
    pub headers: Vec<(String, String)>,
    /// What the nodes on the same database are told ([`crate::PluginKind::hear`]): channel and data.
    pub announced: Vec<(&'static str, String)>,
}

/// The content of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AdminContent {
    None,
    Json(Value),
    /// `text/plain`.
    Text(String),
    /// That of the endpoint in whose place this one stands, which gets this content, or that of the request.
    Replaced(Option<Record>),
}

impl AdminAnswer {
    pub fn new(status: u16, content: AdminContent) -> AdminAnswer {
        AdminAnswer { status, content, headers: Vec::new(), announced: Vec::new() }
    }

    pub fn empty(status: u16) -> AdminAnswer {
        AdminAnswer::new(status, AdminContent::None)
    }

    pub fn json(status: u16, content: Value) -> AdminAnswer {
        AdminAnswer::new(status, AdminContent::Json(content))
    }

    pub fn text(status: u16, content: String) -> AdminAnswer {
        AdminAnswer::new(status, AdminContent::Text(content))
    }

    /// What is asked for is not there.
    pub fn not_found() -> AdminAnswer {
        AdminAnswer::json(404, serde_json::json!({ "message": "Not found" }))
    }
}

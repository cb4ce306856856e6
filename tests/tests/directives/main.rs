//! nginx's directives, given as settings of a node, and what they do on the wire.

mod against_nginx;
mod clients;
mod limits;
mod requests;
mod responses;
mod services;
mod words;

use blackbox::http::{form, json};
use blackbox::{Node, Scripted};
use serde_json::json;

/// A node with these settings and a route `/` to a service.
fn node_before(service: &Scripted, settings: &[(&str, &str)]) -> Node {
    let node = Node::start(settings);
    let url = format!("name=s&url=http://{}", service.address);
    form(node.admin(), "POST", "/services", &url).expect(201);
    json(node.admin(), "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    node
}

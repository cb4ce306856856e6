//! Upstreams chosen by header lines, over sockets.

use blackbox::http::{form, json, request};
use blackbox::{Backend, Node};
use serde_json::json;

#[test]
fn header_lines_choose_the_upstream() {
    let (usual, other, node) = (Backend::start("usual"), Backend::start("other"), Node::start(&[]));
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", usual.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/upstreams", "name=us").expect(201);
    form(node.admin(), "POST", "/upstreams/us/targets", &format!("target={}", other.address)).expect(201);
    let rule = |upstream: &str, region: &str| json!({ "upstream_name": upstream, "condition": { "region": region } });
    let rules = [rule("us", "us"), rule("no.such.invalid", "nowhere")];
    let plugin = json!({ "name": "route-by-header", "config": { "rules": rules } });
    json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201);
    let ask = |lines: &[(&str, &str)]| request(node.proxy(), "GET", "/", lines, b"").unwrap();
    assert!(ask(&[]).text().contains("usual"));
    assert!(ask(&[("Region", "us")]).text().contains("other"));
    assert_eq!(ask(&[("Region", "nowhere")]).status, 503, "it goes nowhere else");
}

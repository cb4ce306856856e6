//! Collections searched on the node, page by page, for the pages that people look at.

use blackbox::Node;
use blackbox::http::{form, get};
use serde_json::Value;

/// The names on a page, and where the next one is.
fn page(node: &Node, path: &str) -> (Vec<String>, Option<String>) {
    let body = get(node.admin(), path).expect(200).json();
    let names = body["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
    (names.collect(), body["next"].as_str().map(str::to_owned))
}

/// The names on all pages.
fn all(node: &Node, path: &str) -> Vec<String> {
    let (mut names, mut next) = page(node, path);
    while let Some(path) = next {
        let (more, after) = page(node, &path);
        names.extend(more);
        next = after;
    }
    names.sort();
    names
}

#[test]
fn pages_have_what_has_all_words() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", "name=shop&host=a.test&tags[]=blue").expect(201);
    form(node.admin(), "POST", "/services", "name=other&host=a.test").expect(201);
    for number in 0..30 {
        let service = if number % 2 == 0 { "shop" } else { "other" };
        let route = format!("name=r{number}&paths[]=/p{number}&tags[]=t{}", number % 3);
        form(node.admin(), "POST", &format!("/services/{service}/routes"), &route).expect(201);
    }
    let named = |numbers: &[u32]| {
        let mut names: Vec<String> = numbers.iter().map(|number| format!("r{number}")).collect();
        names.sort();
        names
    };
    let (names, next) = page(&node, "/routes?search=t1&size=4");
    assert_eq!(names.len(), 4, "a page is full while there is more");
    assert!(next.is_some());
    assert_eq!(all(&node, "/routes?search=t1&size=4"), named(&[1, 4, 7, 10, 13, 16, 19, 22, 25, 28]));
    assert_eq!(all(&node, "/routes?search=%2Fp2+T2&size=1"), named(&[2, 20, 23, 26, 29]));
    assert_eq!(all(&node, "/services/shop/routes?search=t1&size=2"), named(&[4, 10, 16, 22, 28]));
    assert_eq!(all(&node, "/services?search=BLUE"), ["shop"]);
    assert_eq!(all(&node, "/services?search=http"), [""; 0], "nobody looks for one of a few values");
    assert_eq!(page(&node, "/routes?search=nothing"), (Vec::new(), None));
}

#[test]
fn the_audit_log_of_one_record() {
    let node = Node::start(&[("audit_log", "on")]);
    let made = form(node.admin(), "POST", "/services", "name=one&host=a.test").expect(201).json();
    form(node.admin(), "POST", "/services", "name=two&host=a.test").expect(201);
    form(node.admin(), "PATCH", "/services/one", "host=b.test").expect(200);
    let id = made["id"].as_str().unwrap();
    let log = get(node.admin(), &format!("/audit/objects?entity_key={id}")).expect(200).json();
    let operations: Vec<&Value> = log["data"].as_array().unwrap().iter().map(|entry| &entry["operation"]).collect();
    assert_eq!(operations, ["create", "update"]);
}

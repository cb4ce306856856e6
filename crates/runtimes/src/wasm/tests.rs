//! Filters, as exchanges without sockets see them.

use super::filter::{Filter, Meta};
use super::{FilterChains, metrics_text};
use sdk::testing::{self, Entries};
use sdk::{Answer, Bytes, Env, Exchange, Plugin};
use serde_json::{Value, json};

fn probe(name: &str, meta: Meta) -> &'static Filter {
    let code = wat::parse_str(include_str!("fixtures/probe.wat")).unwrap();
    Box::leak(Box::new(Filter::new(name, &code, meta).unwrap()))
}

fn configured(filters: &[(&'static Filter, &str)]) -> Result<Box<dyn Plugin>, String> {
    let known: &'static [&'static Filter] = filters.iter().map(|(filter, _)| *filter).collect::<Vec<_>>().leak();
    let [_, routes] = FilterChains::kinds(known);
    let filters: Vec<Value> =
        filters.iter().map(|(filter, config)| json!({ "name": filter.name, "config": config })).collect();
    let record = json!({
        "id": "00000000-0000-0000-0000-000000000001",
        "name": sdk::FILTERS_OF_ROUTE,
        "protocols": ["http"],
        "config": { "filters": filters },
    });
    let Value::Object(record) = record else { panic!("a record") };
    let plugin = sdk::entities::Plugin::from_record(&record).unwrap();
    sdk::PluginKind::configure(&routes, &plugin, &Env::default())
}

fn chain(config: &str) -> Box<dyn Plugin> {
    configured(&[(probe("probe", Meta::default()), config)]).unwrap()
}

fn exchange(method: &str, lines: &[(&str, &str)]) -> Exchange {
    let mut exchange = testing::exchange_with(method, "/a?b", lines, Entries::default().into());
    exchange.service = Some(testing::service(json!({ "name": "s", "host": "h.test" })));
    exchange.route = Some(testing::route(json!({ "name": "r", "paths": ["/a"] })));
    exchange
}

fn asked(plugin: &dyn Plugin) -> (Exchange, Option<Answer>) {
    let mut exchange = exchange("GET", &[]);
    let answer = testing::access(plugin, &mut exchange);
    (exchange, answer)
}

#[test]
fn lines_are_added_on_both_sides() {
    let plugin = chain("a");
    let (mut exchange, answer) = asked(&*plugin);
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("x-filter"), Some("yes"));
    assert_eq!(exchange.reply.get_str("x-reply"), Some("yes"));
    exchange.response.status = 200;
    testing::ready(plugin.header_filter_waiting(&mut exchange).settled()).unwrap();
    assert_eq!(exchange.response.fields.get_str("x-response"), Some("yes"));
    plugin.log(&mut exchange);
}

#[test]
fn a_filter_answers_in_place_of_the_service() {
    let answer = asked(&*chain("r")).1.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (403, &b"no"[..]));
    assert_eq!(answer.fields.get_str("content-type"), Some("text/plain"));
}

#[test]
fn the_first_that_answers_ends_a_chain() {
    let filter = probe("probe", Meta::default());
    let plugin = configured(&[(filter, "a"), (filter, "r"), (filter, "t")]).unwrap();
    let (exchange, answer) = asked(&*plugin);
    assert_eq!(answer.unwrap().status, 403);
    assert_eq!(exchange.request.fields.get_str("x-filter"), Some("yes"));
}

#[test]
fn a_trap_ends_its_exchange_and_no_other() {
    let plugin = chain("t");
    for _ in 0..2 {
        assert_eq!(asked(&*plugin).1.unwrap().status, 500);
    }
    assert!(asked(&*chain("a")).1.is_none());
    let plugin = chain("u");
    let (mut exchange, answer) = asked(&*plugin);
    assert!(answer.is_none());
    exchange.response.status = 200;
    testing::ready(plugin.header_filter_waiting(&mut exchange).settled()).unwrap();
    assert_eq!(exchange.response.status, 500);
    let body = plugin.body_filter(&mut exchange, Bytes::new(), true);
    assert!(body.starts_with(b"{"), "{body:?}");
}

#[test]
fn what_does_not_end_is_ended() {
    let began = std::time::Instant::now();
    assert_eq!(asked(&*chain("l")).1.unwrap().status, 500);
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn what_a_filter_does_not_take_is_refused() {
    let filter = probe("probe", Meta::default());
    let refused = |config: &str| configured(&[(filter, config)]).err().unwrap();
    assert_eq!(refused("x"), "filter probe refuses in on_configure");
    let meta = Meta::parse(r#"{"config_schema": {"type": "object", "required": ["a"]}}"#).unwrap();
    let strict = probe("strict", meta);
    let words = configured(&[(strict, "text")]).err().unwrap();
    assert_eq!(words, "filter strict: config: wrong type: expected object, got string");
}

#[test]
fn properties_are_told_and_set() {
    let (exchange, answer) = asked(&*chain("p"));
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("x-filter"), Some("probe"));
    assert_eq!(exchange.reply.get_str("x-response"), Some("s"));
    assert_eq!(exchange.reply.get_str("x-reply"), Some("yes"), "kong.ctx.shared");
    assert_eq!((&*exchange.upstream.path, exchange.upstream.query.as_deref()), ("/other", Some("by=filter")));
}

#[test]
fn contents_are_replaced() {
    let plugin = chain("b");
    let mut exchange = exchange("POST", &[]);
    exchange.request.framing = sdk::Framing::Length(7);
    exchange.body = Bytes::from_static(b"content").into();
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    assert_eq!(exchange.body.bytes().unwrap(), "filtered");
    exchange.response.status = 200;
    exchange.response.fields.set("Content-Length", b"6");
    testing::ready(plugin.header_filter_waiting(&mut exchange).settled()).unwrap();
    assert!(!exchange.response.fields.contains("Content-Length"));
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::from_static(b"abc"), false), "");
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::from_static(b"def"), true), "filteredabcdef");
}

#[test]
fn a_response_is_replaced_before_it_is_sent() {
    let plugin = chain("h");
    let (mut exchange, _) = asked(&*plugin);
    exchange.response.status = 200;
    testing::ready(plugin.header_filter_waiting(&mut exchange).settled()).unwrap();
    assert_eq!(exchange.response.status, 418);
    assert!(exchange.response_is_replaced());
    assert_eq!(plugin.body_filter(&mut exchange, Bytes::new(), true), "no");
}

#[test]
fn counters_are_shown_with_their_labels() {
    let meta = json!({ "metrics": { "label_patterns": [{ "label": "kind", "pattern": "(its)" }] } });
    let filter = probe("counting", Meta::parse(&meta.to_string()).unwrap());
    let plugin = configured(&[(filter, "m")]).unwrap();
    asked(&*plugin);
    asked(&*plugin);
    let text = metrics_text();
    assert!(text.contains("# TYPE pw_counting_hits counter\npw_counting_hits 2\n"), "{text}");
}

#[test]
fn what_is_no_filter_is_refused() {
    let refused = |text: &str| Filter::new("f", &wat::parse_str(text).unwrap(), Meta::default()).err().unwrap();
    assert_eq!(refused("(module)"), "is no proxy-wasm filter: it exports no proxy_abi_version_*");
    let other = r#"(module (func (export "proxy_abi_version_0_3_0")))"#;
    assert_eq!(refused(other), "speaks proxy-wasm 0.3.0, and not 0.1.0 to 0.2.1");
    let importing = r#"(module (import "env" "unknown" (func)) (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1")))"#;
    assert!(refused(importing).contains("unknown"), "{}", refused(importing));
    assert!(Filter::new("f", b"text", Meta::default()).is_err());
}

#[test]
fn what_is_said_of_filters_is_checked() {
    let refused = |text: &str| Meta::parse(text).unwrap_err();
    assert!(refused("{").starts_with("meta.json: "));
    assert_eq!(refused("[]"), "meta.json: is not an object");
    assert_eq!(refused(r#"{"config_schema": 1}"#), "meta.json: config_schema is not an object");
    let schema = Meta::parse(r#"{"config_schema": {"type": "object"}}"#).unwrap().config_schema;
    assert_eq!(schema, json!({ "type": "object", "$schema": "http://json-schema.org/draft-04/schema#" }));
}

#[test]
fn ticks_come_beside_exchanges_and_queues_are_heard_of() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        super::workers::start();
        for config in ["k", "q"] {
            let plugin = chain(config);
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
            loop {
                let mut exchange = exchange("GET", &[]);
                assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
                if exchange.reply.get_str("x-reply") == Some("yes") {
                    break;
                }
                assert!(tokio::time::Instant::now() < deadline, "{config}");
                tokio::task::yield_now().await;
            }
        }
        super::workers::end();
    });
}

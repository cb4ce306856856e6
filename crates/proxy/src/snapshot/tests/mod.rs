//! Plugins that cannot be used, and configurations of which no snapshot can be made: what they cost, and what they must
//! not.

mod consumer_groups;
mod partials;
mod unusable;
mod workspaces;

use super::*;
use crate::balancer::Balancers;
use crate::chain::run_access;
use crate::dns;
use crate::published::Published;
use crate::router::{Matching, Query};
use crate::tls::Services;
use model::Effect;
use sdk::{CredentialEntity, CredentialKey, Env, Exchange, Fields, Phases, Plugin, PluginKind, Step, testing};
use serde_json::{Value, json};

/// A plugin that does as its configuration says: `fail`, `panic`, `panic later` or `limited` when it is configured;
/// otherwise it notes in the response which `mode` it runs with.
struct Moody(&'static str);

struct Instance(String);

const ENTITY: &str = "moody_credentials";

impl PluginKind for Moody {
    fn name(&self) -> &'static str {
        self.0
    }

    fn priority(&self) -> i32 {
        assert_ne!(self.0, "rotten", "nobody catches this");
        10
    }

    fn schema(&self) -> &'static str {
        "{}"
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity { schema: "{}", entity: ENTITY, key: CredentialKey::Field("key"), parse: None }]
    }

    fn configure(&self, plugin: &model::entities::Plugin, _: &Env) -> Result<Box<dyn Plugin>, String> {
        match plugin.config.get("mode").and_then(Value::as_str).unwrap_or_default() {
            "fail" => Err("no such mode".to_owned()),
            "panic" => panic!("what a mood"),
            mode => Ok(Box::new(Instance(mode.to_owned()))),
        }
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        assert_ne!(self.0, "panic later", "still in a mood");
        Phases::ACCESS
    }

    fn degraded(&self) -> Option<String> {
        (self.0 == "limited").then(|| "does little".to_owned())
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.reply.set("mode", self.0.as_bytes());
        Step::Next
    }
}

/// A compiler and what it has put into force.
struct Stage {
    compiler: Compiler,
    balancers: Balancers,
    published: Published<Snapshot>,
    _control: tokio::runtime::Runtime,
}

const ROUTES: [&str; 2] = ["/one", "/two"];

impl Stage {
    /// With a service, and a route for each of [`ROUTES`], numbered from 11.
    fn new() -> Stage {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let balancers = Balancers::new(dns::Settings::default(), control.handle().clone());
        let compiler = Compiler::new(
            Matching::default(),
            &[&Moody("moody"), &Moody("rotten")],
            Env::default(),
            balancers.clone(),
            Certificates::new(None),
            Outbound::new(Services::default()).unwrap(),
            ErrorPages::DEFAULT,
        );
        let published = Published::new(Arc::clone(compiler.current()));
        let mut stage = Stage { compiler, balancers, published, _control: control };
        stage.put("services", json!({"id": text(1), "protocol": "http", "host": "h"})).unwrap();
        for (n, path) in ROUTES.iter().enumerate() {
            let route = json!({"id": text(11 + n), "protocols": ["http"], "paths": [path], "service": {"id": text(1)}});
            stage.put("routes", route).unwrap();
        }
        stage
    }

    fn put(&mut self, entity: &str, record: Value) -> Result<(), String> {
        self.batch(&[(entity, record)])
    }

    fn plugin(&mut self, n: usize, mode: &str, more: Value) {
        let mut record = json!({"id": text(n), "name": "moody", "protocols": ["http"], "config": {"mode": mode}});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.put("plugins", record).unwrap();
    }

    fn batch(&mut self, records: &[(&str, Value)]) -> Result<(), String> {
        let changes: Vec<_> = records.iter().map(|(entity, record)| change(entity, record)).collect();
        let prepared = self.compiler.apply(&changes)?;
        self.activate(prepared);
        Ok(())
    }

    fn replace(&mut self, records: &[(&str, Value)]) -> Result<(), String> {
        let mut replacement = self.compiler.replacement();
        for (entity, record) in records {
            replacement.take(&change(entity, record));
        }
        let prepared = self.compiler.replace(replacement)?;
        self.activate(prepared);
        Ok(())
    }

    fn delete(&mut self, entity: &str, n: usize) {
        let record = json!({"id": text(n)});
        let change = Change { deleted: true, ..change(entity, &record) };
        let prepared = self.compiler.apply(&[change]).unwrap();
        self.activate(prepared);
    }

    fn activate(&mut self, prepared: Prepared) {
        self.published.replace(Arc::clone(&prepared.snapshot));
        prepared.activate(&self.balancers);
    }

    /// The route of a GET request.
    fn find(&self, path: &str) -> Option<Found> {
        let fields = Fields::new();
        let query = Query {
            stream: None,
            method: "GET",
            https: false,
            tls: false,
            host: b"h",
            port: 80,
            path,
            query: None,
            sni: None,
            source: None,
            destination: None,
            fields: &fields,
            exchange: None,
        };
        View::of(&self.published).find(&query)
    }

    /// What becomes of a request: the mode it ran with, `none`, the status of the answer, or `404`.
    fn ask(&self, path: &str, consumer: Option<usize>) -> String {
        let view = View::of(&self.published);
        let mut exchange = testing::exchange_with("GET", path, &[], view.directory());
        exchange.consumer = consumer.map(|n| exchange.find_consumer(&id(n)).unwrap());
        let Some(found) = self.find(path) else { return "404".to_owned() };
        if found.unusable {
            return "500".to_owned();
        }
        let chain = view.chain(&found.route, found.service.as_ref().map(|s| &s.id));
        let mut selected = Default::default();
        let run = run_access(chain, &mut exchange, &mut selected, true);
        match futures_util::FutureExt::now_or_never(run).unwrap() {
            Some(answer) => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(body.contains("An unexpected error occurred") && body.contains(exchange.id_str()), "{body}");
                answer.status.to_string()
            }
            None => exchange.reply.get_str("mode").unwrap_or("none").to_owned(),
        }
    }

    /// What is not in force as it stands: the records by number, and their effects.
    fn effects(&self) -> Vec<(String, u128, Effect)> {
        let mut all: Vec<_> =
            self.degraded().into_iter().map(|(entity, id, effect, _)| (entity, id.as_u128(), effect)).collect();
        all.sort();
        all
    }

    fn degraded(&self) -> Vec<(String, Uuid, Effect, String)> {
        let snapshot = self.published.load();
        let one = |d: &Arc<Degradation>| (d.entity.clone(), d.id, d.effect, d.reason.clone());
        snapshot.degraded.values().map(one).collect()
    }
}

fn id(n: usize) -> Uuid {
    Uuid::from_u128(n as u128)
}

fn text(n: usize) -> String {
    id(n).to_string()
}

fn change<'a>(entity: &'a str, record: &'a Value) -> Change<'a> {
    Change { deleted: false, entity, record: record.as_object().unwrap() }
}

#[test]
fn what_a_plugin_covers_is_refused_while_it_cannot_be_used() {
    for (mode, reason) in [("fail", "no such mode"), ("panic", "panicked: what a mood"), ("panic later", "panicked: ")]
    {
        let mut stage = Stage::new();
        stage.plugin(21, mode, json!({"route": {"id": text(11)}}));
        assert_eq!(stage.ask("/one", None), "500", "{mode}");
        assert_eq!(stage.ask("/two", None), "none", "{mode}");
        let degraded = stage.degraded();
        assert_eq!(degraded.len(), 1);
        assert_eq!(degraded[0].1, id(21));
        assert_eq!(degraded[0].2, Effect::Refuses);
        assert!(degraded[0].3.starts_with(reason), "{}", degraded[0].3);
        stage.plugin(21, "a", json!({"route": {"id": text(11)}}));
        assert_eq!(stage.ask("/one", None), "a");
        assert_eq!(stage.degraded(), []);
    }
}

#[test]
fn a_plugin_that_is_not_enabled_is_as_one_that_cannot_be_used() {
    let mut stage = Stage::new();
    let record = |enabled: bool| json!({"id": text(21), "name": "other", "enabled": enabled, "protocols": ["http"]});
    stage.put("plugins", record(true)).unwrap();
    assert_eq!(stage.ask("/two", None), "500");
    assert_eq!(stage.degraded()[0].3, "other plugin is in use but not enabled");
    stage.put("plugins", record(false)).unwrap();
    assert_eq!(stage.ask("/two", None), "none");
    stage.put("plugins", record(true)).unwrap();
    stage.delete("plugins", 21);
    assert_eq!(stage.ask("/two", None), "none");
    assert_eq!(stage.degraded(), []);
}

#[test]
fn only_what_the_plugin_would_act_on_is_refused() {
    let mut stage = Stage::new();
    for n in [31, 32] {
        stage.put("consumers", json!({"id": text(n), "username": format!("u{n}")})).unwrap();
    }
    stage.plugin(21, "fail", json!({"consumer": {"id": text(31)}}));
    assert_eq!(stage.ask("/one", None), "none");
    assert_eq!(stage.ask("/one", Some(32)), "none");
    assert_eq!(stage.ask("/one", Some(31)), "500");
    stage.plugin(22, "own", json!({"consumer": {"id": text(31)}, "service": {"id": text(1)}}));
    assert_eq!(stage.ask("/one", Some(31)), "own", "what goes before it can be used");
    stage.delete("plugins", 22);
    stage.plugin(21, "fail", json!({"protocols": ["https"]}));
    assert_eq!(stage.ask("/one", None), "none", "it is for another protocol");
    stage.plugin(21, "fail", json!({"protocols": ["http", "x"]}));
    assert_eq!(stage.ask("/one", None), "500", "a protocol that is not known may be any");
}

#[test]
fn a_plugin_that_may_be_for_any_request_is_not_done_without() {
    let everything = |plugin: Value| {
        [
            ("services", json!({"id": text(1), "protocol": "http", "host": "h"})),
            ("routes", json!({"id": text(11), "protocols": ["http"], "paths": ["/new"], "service": {"id": text(1)}})),
            ("consumers", json!({"id": text(31), "username": "u"})),
            ("plugins", plugin),
        ]
    };
    let plugin = |change: Value| {
        let mut record = json!({"id": text(21), "name": "moody", "protocols": ["http"], "config": {"mode": "a"}});
        record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        record
    };
    for (change, reason) in [
        (json!({"id": "x"}), "plugins: id: "),
        (json!({"route": {"id": "x"}}), "route: not a foreign key"),
        (json!({"service": 7}), "service: not a foreign key"),
        (json!({"route": {"id": text(19)}}), "there is no route 00000000-0000-0000-0000-000000000013"),
        (json!({"service": {"id": text(9)}}), "there is no service 00000000-0000-0000-0000-000000000009"),
        (json!({"consumer": {"id": text(39)}}), "there is no consumer 00000000-0000-0000-0000-000000000027"),
    ] {
        let mut stage = Stage::new();
        let said = stage.replace(&everything(plugin(change))).unwrap_err();
        assert!(said.contains(reason), "{said}");
        assert_eq!(stage.ask("/one", None), "none", "the former configuration goes on");
    }
    for change in
        [json!({"service": {"id": text(1)}}), json!({"consumer": {"id": text(31)}}), json!({"enabled": false})]
    {
        Stage::new().replace(&everything(plugin(change))).unwrap();
    }
    let mut stage = Stage::new();
    let broken = plugin(json!({"config": {"mode": "fail"}, "route": {"id": "x"}}));
    assert!(stage.put("plugins", broken).unwrap_err().contains("route: not a foreign key"));
    assert_eq!(stage.ask("/one", None), "none");
}

#[test]
fn the_former_instance_goes_on_where_it_covers_the_same() {
    let mut stage = Stage::new();
    let on = |n: usize| json!({"route": {"id": text(n)}});
    stage.plugin(21, "a", on(11));
    stage.plugin(21, "fail", on(11));
    assert_eq!(stage.ask("/one", None), "a");
    assert_eq!(stage.degraded()[0].2, Effect::Former);
    let everything = [
        ("services", json!({"id": text(1), "protocol": "http", "host": "h"})),
        ("routes", json!({"id": text(11), "protocols": ["http"], "paths": ["/one"], "service": {"id": text(1)}})),
        (
            "plugins",
            json!({"id": text(21), "name": "moody", "protocols": ["http"], "config": {"mode": "panic"},
                "route": {"id": text(11)}}),
        ),
    ];
    stage.replace(&everything).unwrap();
    assert_eq!(stage.ask("/one", None), "a", "also when all records are read anew");
    assert_eq!(stage.degraded()[0].2, Effect::Former);
    assert_eq!(stage.ask("/two", None), "404");
    let mut stage = Stage::new();
    stage.plugin(21, "a", on(11));
    stage.plugin(21, "fail", on(12));
    assert_eq!(stage.ask("/one", None), "none", "it is no longer there");
    assert_eq!(stage.ask("/two", None), "500", "and cannot be here");
    stage.plugin(21, "fail", on(11));
    assert_eq!(stage.ask("/one", None), "500", "what refuses is no former instance");
}

#[test]
fn a_limitation_is_told_as_long_as_it_is_in_force() {
    let mut stage = Stage::new();
    stage.plugin(21, "limited", json!({}));
    assert_eq!(stage.ask("/one", None), "limited");
    let told = vec![("plugins".to_owned(), id(21), Effect::Limited, "does little".to_owned())];
    assert_eq!(stage.degraded(), told);
    stage.plugin(22, "a", json!({"route": {"id": text(11)}}));
    assert_eq!(stage.degraded(), told);
    stage.plugin(21, "b", json!({}));
    assert_eq!(stage.degraded(), []);
}

#[test]
fn when_nothing_can_be_made_the_last_snapshot_goes_on() {
    let mut stage = Stage::new();
    stage.plugin(21, "a", json!({}));
    let rotten = json!({"id": text(22), "name": "rotten", "protocols": ["http"], "config": {"mode": "fail"}});
    let new = json!({"id": text(13), "protocols": ["http"], "paths": ["/three"], "service": {"id": text(1)}});
    assert!(stage.batch(&[("routes", new.clone()), ("plugins", rotten.clone())]).is_err());
    assert_eq!(stage.ask("/one", None), "a");
    assert_eq!(stage.ask("/three", None), "404");
    assert!(stage.put("routes", new.clone()).is_err(), "what was forgotten must not be passed over");
    let service = ("services", json!({"id": text(1), "protocol": "http", "host": "h"}));
    assert!(stage.replace(&[service.clone(), ("routes", new.clone()), ("plugins", rotten)]).is_err());
    assert_eq!(stage.ask("/one", None), "a");
    stage.replace(&[service, ("routes", new)]).unwrap();
    assert_eq!(stage.ask("/three", None), "none");
    assert_eq!(stage.ask("/one", None), "404");
    stage.plugin(21, "b", json!({}));
    assert_eq!(stage.ask("/three", None), "b");
}

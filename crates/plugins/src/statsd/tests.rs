//! The lines of a request.

use super::*;
use sdk::testing::{self, Entries};
use sdk::{SnapshotRef, entities::Uuid};
use serde_json::json;
use tokio::net::UdpSocket;

fn record<T>(from: impl Fn(&sdk::Record) -> Result<T, String>, record: Value) -> T {
    from(record.as_object().unwrap()).unwrap()
}

fn exchange() -> Exchange {
    let mut exchange = testing::exchange("GET", "/", &[]);
    let service = json!({ "id": Uuid::from_u128(1).to_string(), "name": "s.1", "protocol": "http", "host": "up.test" });
    exchange.service = Some(SnapshotRef::from(record(entities::Service::from_record, service)));
    let route = json!({ "id": Uuid::from_u128(2).to_string(), "protocols": ["http"] });
    exchange.route = Some(SnapshotRef::from(record(entities::Route::from_record, route)));
    exchange.traffic.received = 80;
    exchange
}

/// What arrives in the first datagram of a request, which holds all of its lines.
async fn lines(mut config: Value, exchange: &mut Exchange) -> Vec<String> {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    config["host"] = json!("127.0.0.1");
    config["port"] = json!(server.local_addr().unwrap().port());
    config["udp_packet_size"] = json!(2_000);
    let plugin = testing::configure(&Statsd, config, &Env::default());
    testing::respond(&*plugin, exchange, 404, &[], &[]);
    let mut space = [0; 2_048];
    let length = server.recv(&mut space).await.unwrap();
    String::from_utf8(space[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
}

fn metric(name: &str, stat_type: &str) -> Value {
    json!({ "name": name, "stat_type": stat_type, "sample_rate": 1 })
}

#[tokio::test]
async fn names_say_what_a_metric_is_about() {
    let mut exchange = exchange();
    exchange.consumer = Some(Entries::default().consumer("ada", Some("c7")));
    let mut per_user = metric("status_count_per_user", "counter");
    per_user["consumer_identifier"] = json!("username");
    let mut sampled = metric("request_size", "gauge");
    (sampled["service_identifier"], sampled["sample_rate"]) = (json!("service_host"), json!(0.1));
    let metrics = json!([
        metric("request_count", "counter"),
        sampled,
        metric("status_count", "counter"),
        per_user,
        metric("unique_users", "set"),
        metric("request_per_user", "counter"),
        metric("upstream_latency", "timer"),
        metric("status_count_per_workspace", "counter"),
        metric("status_count_per_user_per_route", "counter"),
        metric("shdict_usage", "gauge"),
    ]);
    let config = json!({ "prefix": "pre", "metrics": metrics, "workspace_identifier_default": "workspace_name" });
    let expected = [
        "pre.service.s_1.request.count:1|c".to_owned(),
        "pre.service.up_test.request.size:80|g|@0.1".to_owned(),
        "pre.service.s_1.status.404:1|c".to_owned(),
        "pre.service.s_1.user.ada.status.404:1|c".to_owned(),
        "pre.service.s_1.user.uniques:c7|s".to_owned(),
        "pre.service.s_1.user.c7.request.count:1|c".to_owned(),
        "pre.service.s_1.workspace.default.status.404:1|c".to_owned(),
        format!("pre.route.{}.user.c7.status.404:1|c", Uuid::from_u128(2)),
    ];
    assert_eq!(lines(config, &mut exchange).await, expected);
}

#[tokio::test]
async fn what_belongs_to_no_service_is_unmatched() {
    let config = json!({ "metrics": [metric("request_count", "counter")], "hostname_in_prefix": true });
    let hostname = Env::default().node().hostname.replace('.', "_");
    let sent = lines(config, &mut testing::exchange("GET", "/", &[])).await;
    assert_eq!(sent, [format!("kong.node.{hostname}.global.unmatched.request.count:1|c")]);
}

#[tokio::test]
async fn tags_are_written_as_the_server_wants_them() {
    let hostname = Env::default().node().hostname.replace('.', "_");
    let tags = |separator: &str| {
        let route = Uuid::from_u128(2);
        format!("service=s.1,route={route},workspace=default,node={hostname},status=404").replace('=', separator)
    };
    for (style, expected) in [
        ("dogstatsd", format!("kong.request.count:1|c|#{}", tags(":"))),
        ("influxdb", format!("kong.request.count,{}:1|c", tags("="))),
        ("librato", format!("kong.request.count#{}:1|c", tags("="))),
        ("signalfx", format!("kong.request.count[{}]:1|c", tags("="))),
    ] {
        let metrics = json!([metric("status_count", "counter"), metric("request_count", "counter")]);
        let config =
            json!({ "metrics": metrics, "tag_style": style, "workspace_identifier_default": "workspace_name" });
        assert_eq!(lines(config, &mut exchange()).await, [expected]);
    }
}

#[tokio::test]
async fn statuses_can_be_chosen() {
    let metrics = json!([metric("status_count", "counter")]);
    let config = |codes: &[&str]| json!({ "metrics": metrics, "allow_status_codes": codes });
    assert_eq!(lines(config(&["200-299", "404-404"]), &mut exchange()).await, ["kong.service.s_1.status.404:1|c"]);
    let plugin = testing::configure(&Statsd, config(&["200-299"]), &Env::default());
    testing::respond(&*plugin, &mut exchange(), 404, &[], &[]);
    assert_eq!(range("200-299"), Some((200, 299)));
}

#[tokio::test]
async fn lines_go_over_tcp_and_are_sent_again_when_the_server_was_away() {
    let server = testing::Server::start().await;
    let config = json!({
        "host": "127.0.0.1", "port": server.address().port(), "use_tcp": true, "metrics": [metric("request_count",
        "counter")]
    });
    let plugin = testing::configure(&Statsd, config, &Env::default());
    testing::respond(&*plugin, &mut exchange(), 200, &[], &[]);
    assert_eq!(server.accept().await.read_until("\n").await, "kong.service.s_1.request.count:1|c\n");
    let env = Env::default();
    let config = json!({
        "host": "127.0.0.1", "port": 1, "use_tcp": true, "metrics": [metric("request_count", "counter")],
        "queue": { "max_retry_time": 0.05 }
    });
    let plugin = testing::configure(&Statsd, config, &env);
    testing::respond(&*plugin, &mut exchange(), 200, &[], &[]);
    env.tasks().drain(std::time::Duration::from_secs(30)).await;
}

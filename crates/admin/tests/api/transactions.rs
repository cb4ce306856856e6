//! A write happens whole or not at all, and no other comes between what it reads and what it writes.

use super::*;

const RACES: usize = 200;

fn pair(snis: Value) -> Value {
    let made = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap();
    json!({ "cert": made.cert.pem(), "key": made.signing_key.serialize_pem(), "snis": snis })
}

/// Two requests at the same time; their answers.
async fn race(api: &Arc<Api>, requests: [(&str, &str, Value); 2]) -> [Answer; 2] {
    let [one, other] = requests.map(|(method, path, body)| {
        let (api, method, path) = (Arc::clone(api), method.to_owned(), path.to_owned());
        tokio::spawn(async move { api.json(&method, &path, body).await })
    });
    [one.await.unwrap(), other.await.unwrap()]
}

#[tokio::test]
async fn what_cannot_be_pointed_at_is_not_created() {
    let api = Api::new(Options::default());
    api.json("POST", "/services", json!({ "name": "plain", "url": "http://h.test" })).await;
    let mut certificate = pair(json!(["a.test"]));
    let refused = api.json("PUT", "/services/plain/client_certificate", certificate.clone()).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(api.get("/certificates").await.body["data"], json!([]));
    assert_eq!(api.get("/snis").await.body["data"], json!([]));
    api.json("POST", "/services", json!({ "name": "secure", "url": "https://h.test" })).await;
    certificate["snis"] = json!(["b.test"]);
    let made = api.json("PUT", "/services/secure/client_certificate", certificate).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let service = api.get("/services/secure").await.body;
    assert_eq!(service["client_certificate"]["id"], made.body["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_route_that_moves_away_is_not_brought_back() {
    let api = Arc::new(Api::new(Options::default()));
    for service in ["a", "b"] {
        api.json("POST", "/services", json!({ "name": service, "url": "http://h.test" })).await;
    }
    let there = api.get("/services/b").await.body["id"].clone();
    for _ in 0..RACES {
        let route = json!({ "name": "r", "paths": ["/"], "service": { "name": "a" }, "tags": ["old"] });
        assert_eq!(api.json("PUT", "/routes/r", route).await.status, 200);
        let [tagged, moved] = race(
            &api,
            [
                ("PATCH", "/services/a/routes/r", json!({ "tags": ["new"] })),
                ("PATCH", "/routes/r", json!({ "service": { "name": "b" } })),
            ],
        )
        .await;
        assert_eq!(moved.status, 200, "{}", moved.body);
        let route = api.get("/routes/r").await.body;
        assert_eq!(route["service"]["id"], there);
        let expected = if tagged.status == 200 { json!(["new"]) } else { json!(["old"]) };
        assert_eq!(route["tags"], expected, "answered {}", tagged.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_has_the_names_of_one_write() {
    let api = Arc::new(Api::new(Options::default()));
    let [one, other] = ["a.test", "b.test"].map(|name| pair(json!([name])));
    for _ in 0..RACES {
        let made = api.json("POST", "/certificates", pair(json!(["old.test"]))).await;
        let path = format!("/certificates/{}", made.body["id"].as_str().unwrap());
        for answer in race(&api, [("PUT", &path, one.clone()), ("PUT", &path, other.clone())]).await {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        let names = api.get(&path).await.body["snis"].clone();
        assert!(names == json!(["a.test"]) || names == json!(["b.test"]), "{names}");
        assert_eq!(api.call("DELETE", &path).await.status, 204);
        assert_eq!(api.get("/snis").await.body["data"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_created_under_a_record_goes_with_it() {
    let api = Arc::new(Api::new(Options::default()));
    for _ in 0..RACES {
        api.json("PUT", "/upstreams/u", json!({})).await;
        let [made, _] = race(
            &api,
            [
                ("POST", "/upstreams/u/targets", json!({ "target": "h.test:80" })),
                ("DELETE", "/upstreams/u", Value::Null),
            ],
        )
        .await;
        assert!([201, 404].contains(&made.status), "{} {}", made.status, made.body);
        assert_eq!(api.get("/upstreams/u").await.status, 404);
        assert_eq!(api.store.count("targets").await.unwrap(), 0);
    }
}

//! A write costs what it changes, not what exists.

use super::setup::{name, record, subjects};
use serde_json::json;
use std::time::{Duration, Instant};
use store::{PageQuery, TagFilter, Transaction};

const EXISTING: usize = 8_000;

#[tokio::test]
async fn writes_and_lookups_do_not_slow_with_the_number_of_records() {
    for s in subjects().await {
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        let route = |n: usize| {
            record(
                json!({"name": format!("r{n}"), "paths": [format!("/{n}")], "service": {"name": "s"}, "tags": ["t"]}),
            )
        };
        let work = async |from: usize| {
            let start = Instant::now();
            for n in from..from + 50 {
                s.store.insert("routes", route(n)).await.unwrap();
                s.store
                    .update("routes", &name(&format!("r{n}")), record(json!({"paths": ["/x"]})))
                    .await
                    .unwrap()
                    .unwrap();
                s.find("routes", &format!("r{n}")).await.unwrap();
                for tags in [TagFilter::Any(vec!["t".into(), "u".into()]), TagFilter::All(vec!["t".into()])] {
                    s.store
                        .page("routes", &PageQuery { size: 1, tags: Some(tags), ..Default::default() })
                        .await
                        .unwrap();
                }
                s.store.delete("routes", &name(&format!("r{n}"))).await.unwrap().unwrap();
            }
            start.elapsed()
        };
        let few = work(0).await;
        for chunk in (1000..EXISTING).step_by(1000) {
            let insert = move |transaction: &mut Transaction<'_>| {
                (chunk..chunk + 1000).try_for_each(|n| transaction.insert("routes", route(n)).map(drop))
            };
            s.store.transaction(insert).await.unwrap();
        }
        let many = work(0).await;
        // Generous, for a busy machine: walking all the records would take a hundred times as long.
        assert!(many < few * 8 + Duration::from_millis(500), "{}: {few:?} with few, {many:?} with many", s.name);
    }
}

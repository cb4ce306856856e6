//! Pages by id, by reference and by tags; counts.

use super::setup::{Subject, id, record, subjects, uuid};
use serde_json::json;
use std::collections::BTreeSet;
use store::{PageQuery, TagFilter};

async fn walk(s: &Subject, entity: &str, query: PageQuery) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut query = query;
    loop {
        let page = s.store.page(entity, &query).await.unwrap();
        pages.push(page.data.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect());
        match page.offset {
            Some(offset) => query.offset = Some(offset),
            None => return pages,
        }
    }
}

fn sizes(pages: &[Vec<String>]) -> Vec<usize> {
    pages.iter().map(Vec::len).collect()
}

async fn fill(s: &Subject, count: u64) {
    for n in (0..count).rev() {
        let tags = [Some("all"), (n % 2 == 0).then_some("even"), (n % 3 == 0).then_some("third")];
        let tags: Vec<&str> = tags.into_iter().flatten().collect();
        s.add("consumers", json!({"id": uuid(n), "username": format!("u{n}"), "tags": tags})).await;
    }
}

#[tokio::test]
async fn pages_are_ordered_and_complete() {
    for s in subjects().await {
        assert_eq!(walk(&s, "consumers", PageQuery::default()).await, [Vec::<String>::new()]);
        fill(&s, 7).await;
        let all: Vec<String> = (0..7).map(uuid).collect();
        for (size, want) in [(1, vec![1; 7]), (3, vec![3, 3, 1]), (7, vec![7]), (0, vec![7]), (1000, vec![7])] {
            let pages = walk(&s, "consumers", PageQuery { size, ..Default::default() }).await;
            assert_eq!(sizes(&pages), want, "{} by {size}", s.name);
            assert_eq!(pages.concat(), all);
        }
        let refused = s.store.page("consumers", &PageQuery { size: 1001, ..Default::default() }).await.unwrap_err();
        assert_eq!(
            refused.body(),
            json!({"code": 9, "message": "size must be an integer between 1 and 1000", "name": "invalid size"})
        );
        for (offset, why) in [
            ("zzz", "bad json encoding"),
            ("", "bad json encoding"),
            ("*", "bad base64 encoding"),
            ("W10", "bad json encoding"),
        ] {
            let refused = s
                .store
                .page("consumers", &PageQuery { offset: Some(offset.into()), ..Default::default() })
                .await
                .unwrap_err();
            assert_eq!(
                refused.body(),
                json!({"code": 7, "name": "invalid offset",
                    "message": format!("'{offset}' is not a valid offset: {why}")})
            );
        }
    }
}

#[tokio::test]
async fn pages_hold_under_writes() {
    for s in subjects().await {
        fill(&s, 10).await;
        let first = s.store.page("consumers", &PageQuery { size: 5, ..Default::default() }).await.unwrap();
        for n in [1, 4, 7] {
            s.store.delete("consumers", &id(&uuid(n))).await.unwrap().unwrap();
        }
        s.add("consumers", json!({"id": uuid(100), "username": "new"})).await;
        let query = PageQuery { size: 100, offset: first.offset, ..Default::default() };
        assert_eq!(walk(&s, "consumers", query).await.concat(), [5, 6, 8, 9, 100].map(uuid));
    }
}

#[tokio::test]
async fn pages_of_a_reference() {
    for s in subjects().await {
        for name in ["a", "b"] {
            s.add("services", json!({"name": name, "host": "h.test"})).await;
        }
        for n in 0..5 {
            s.add("routes", json!({"id": uuid(n), "service": {"name": if n == 2 { "b" } else { "a" }}, "tags": ["t"]}))
                .await;
        }
        let a = s.find("services", "a").await.unwrap()["id"].as_str().unwrap().to_owned();
        let foreign = Some(("service".to_owned(), a.clone()));
        let pages = walk(&s, "routes", PageQuery { size: 2, foreign: foreign.clone(), ..Default::default() }).await;
        assert_eq!(pages, [vec![uuid(0), uuid(1)], vec![uuid(3), uuid(4)]]);
        for tags in [TagFilter::Any(vec!["t".into()]), TagFilter::All(vec!["t".into()])] {
            let query = PageQuery { size: 3, foreign: foreign.clone(), tags: Some(tags), ..Default::default() };
            assert_eq!(sizes(&walk(&s, "routes", query).await), [3, 1], "{}", s.name);
        }
        let all = s.store.all_for("routes", "service", &a.to_uppercase()).await.unwrap();
        assert_eq!(all.len(), 4);
        assert!(s.store.all_for("routes", "nope", &a).await.is_err());
    }
}

#[tokio::test]
async fn pages_by_tags() {
    for s in subjects().await {
        fill(&s, 30).await;
        s.add("services", json!({"host": "h.test", "tags": ["even"]})).await;
        for (filter, want) in [
            ("even", 15),
            ("even,third", 5),
            ("even/third", 20),
            ("third,nope", 0),
            ("nope/third", 10),
            ("all,", 0),
            ("all,even,third", 5),
        ] {
            let tags = TagFilter::parse(filter).unwrap();
            let pages = walk(&s, "consumers", PageQuery { size: 4, tags: Some(tags), ..Default::default() }).await;
            let ids = pages.concat();
            assert_eq!(ids.len(), want, "{} {filter}", s.name);
            assert!(ids.is_sorted());
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), want);
        }
        let tags = Some(TagFilter::All(vec!["x".into()]));
        let refused = s.store.page("upstreams", &PageQuery { tags, ..Default::default() }).await.unwrap_err();
        assert_eq!(refused.message, "invalid option (tags: cannot be used with 'upstreams')");
    }
}

#[tokio::test]
async fn tags_are_listed() {
    for s in subjects().await {
        s.add("services", json!({"id": uuid(1), "host": "h.test", "tags": ["y", "x"]})).await;
        s.add("routes", json!({"id": uuid(2), "tags": ["x"]})).await;
        s.add("consumers", json!({"id": uuid(3), "username": "u", "tags": ["z", "x"]})).await;
        let list = async |tag: Option<&str>, size: usize| {
            let mut query = PageQuery { size, ..Default::default() };
            let mut found = Vec::new();
            loop {
                let page = s.store.page_tags(tag, &query).await.unwrap();
                found.extend(page.data.iter().map(|e| {
                    format!("{} {} {}", e.id.trim_start_matches('0').split('-').next().unwrap(), e.entity, e.tag)
                }));
                match page.offset {
                    Some(offset) => query.offset = Some(offset),
                    None => return found,
                }
            }
        };
        let all = ["1 services y", "1 services x", "2 routes x", "3 consumers z", "3 consumers x"];
        for size in [0, 1, 2, 5] {
            assert_eq!(list(None, size).await, all, "{} by {size}", s.name);
            assert_eq!(
                list(Some("x"), size).await,
                ["1 services x", "2 routes x", "3 consumers x"],
                "{} by {size}",
                s.name
            );
        }
        assert_eq!(
            s.store.page_tags(Some("z"), &Default::default()).await.unwrap().data[0].body(),
            json!({"entity_id": uuid(3), "entity_name": "consumers", "tag": "z"})
        );
        s.store.update("services", &id(&uuid(1)), record(json!({"tags": ["x", "w"]}))).await.unwrap().unwrap();
        s.store.delete("routes", &id(&uuid(2))).await.unwrap().unwrap();
        assert_eq!(list(None, 0).await, ["1 services x", "1 services w", "3 consumers z", "3 consumers x"]);
        assert!(list(Some("y"), 0).await.is_empty());
        assert!(
            s.store.page_tags(None, &PageQuery { offset: Some("WzFd".into()), ..Default::default() }).await.is_err()
        );
    }
}

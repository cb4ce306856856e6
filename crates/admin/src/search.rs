//! `?search=`: of a collection those records that have every word of a question in what they are known by. It is for
//! pages that people look at; Kong takes no notice of it.

use crate::answer::Answer;
use crate::call::Call;
use crate::dao::replaced;
use crate::resource::Resource;
use model::{Record, Schema};
use serde_json::Value;
use store::{Page, PageQuery};

/// How many records one request looks through at most; the page that it answers then has fewer than were asked for,
/// and the next one goes on from there.
const LOOKED_THROUGH: usize = 50_000;
const STEP: usize = 1000;

/// The page that a call asks for: all records, or those that the question in its query finds.
pub async fn page(call: &Call, resource: &Resource, query: PageQuery) -> Result<Page, Answer> {
    let action = query.foreign.as_ref().map_or("page".into(), |(field, _)| format!("page_for_{field}"));
    if let Some(function) = replaced(call, resource, &action, None) {
        return function.page(&query).await;
    }
    let words = words(call.query.first("search").unwrap_or_default());
    if words.is_empty() {
        return call.store.page(&resource.name, &query).await;
    }
    let schema = call.schema(&resource.name)?;
    let mut found = Page { offset: query.offset.clone(), ..Page::default() };
    let (mut step, mut looked) = (STEP, 0);
    while found.data.len() < query.size && looked < LOOKED_THROUGH {
        let room = query.size - found.data.len();
        let next = PageQuery { size: step, offset: found.offset.clone(), ..query.clone() };
        let page = call.store.page(&resource.name, &next).await?;
        let fitting: Vec<Record> = page.data.into_iter().filter(|one| has(&schema, one, &words)).collect();
        if fitting.len() > room {
            // A page ends with a record that it has: the same again, no further than there is room for.
            step = room;
            continue;
        }
        looked += step;
        found.data.extend(fitting);
        found.offset = page.offset;
        if found.offset.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The words of a question, as they are compared.
fn words(question: &str) -> Vec<String> {
    question.split_whitespace().map(str::to_lowercase).collect()
}

/// Whether the texts of a record have all of the words. Secrets are not looked at, nor what is one of a few values.
fn has(schema: &Schema, record: &Record, words: &[String]) -> bool {
    let mut text = String::new();
    for (name, value) in record {
        let Some(field) = schema.field(name).filter(|field| !field.encrypted && !field.is_one_of()) else { continue };
        match value {
            Value::String(one) => add(&mut text, one),
            Value::Array(list) if field.elements().is_none_or(|elements| !elements.is_one_of()) => {
                list.iter().filter_map(Value::as_str).for_each(|one| add(&mut text, one));
            }
            _ => {}
        }
    }
    words.iter().all(|word| text.contains(word))
}

fn add(text: &mut String, one: &str) {
    text.push_str(&one.to_lowercase());
    // No word goes from one value into the next.
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Catalog;
    use serde_json::json;

    fn found(entity: &str, record: Value, question: &str) -> bool {
        let catalog = Catalog::core();
        has(catalog.entity(entity).unwrap(), record.as_object().unwrap(), &words(question))
    }

    #[test]
    fn every_word_is_in_some_text() {
        let route = json!({ "name": "Shop", "paths": ["/cart"], "protocols": ["http"], "tags": null });
        for question in ["shop", "CART shop", "/car"] {
            assert!(found("routes", route.clone(), question), "{question}");
        }
        for question in ["shop http", "shop/cart", "other"] {
            assert!(!found("routes", route.clone(), question), "{question}");
        }
    }

    #[test]
    fn secrets_are_not_looked_at() {
        let certificate = json!({ "cert": "PEM", "key": "SECRET" });
        assert!(!found("certificates", certificate, "secret"));
    }
}

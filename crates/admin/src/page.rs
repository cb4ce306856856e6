//! Pages: `size`, `offset` and `tags` in a query, `data`, `offset` and `next` in the answer.

use crate::answer::Answer;
use crate::call::Query;
use crate::records::Records;
use crate::resource::Resource;
use model::Record;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use store::{PageQuery, TagFilter};

/// The records of a page that is not asked for by size.
pub const DEFAULT_SIZE: usize = 100;

/// What the query asks for. The entity's schema decides whether `tags` counts.
pub fn query(query: &Query, resource: &Resource) -> Result<PageQuery, Answer> {
    Ok(PageQuery {
        size: size(query)?,
        offset: query.first("offset").map(str::to_owned),
        tags: if resource.tagged { query.first("tags").map(TagFilter::parse).transpose()? } else { None },
        foreign: None,
    })
}

/// The `size` that the query asks for.
pub fn size(query: &Query) -> Result<usize, Answer> {
    query.first("size").map_or(Ok(DEFAULT_SIZE), |text| Ok(store::page_size(text)?))
}

/// All records of an entity, for the few endpoints that look at each.
pub async fn all(store: &Records, entity: &str) -> Result<Vec<Record>, Answer> {
    let mut records = Vec::new();
    let mut query = PageQuery { size: 1000, ..PageQuery::default() };
    loop {
        let page = store.page(entity, &query).await?;
        records.extend(page.data);
        match page.offset {
            Some(offset) => query.offset = Some(offset),
            None => return Ok(records),
        }
    }
}

/// The answer to a page. `path` is where the next one is, `carried` what its link repeats besides the offset.
pub fn answer(data: Vec<Value>, offset: Option<String>, path: &str, carried: &str) -> Value {
    match offset {
        None => json!({ "data": data, "next": null }),
        Some(offset) => {
            let next = format!("{path}?offset={}{carried}", escape(&offset));
            json!({ "data": data, "offset": offset, "next": next })
        }
    }
}

/// As [`answer`], for records.
pub fn records(data: Vec<Record>, offset: Option<String>, path: &str, carried: &str) -> Value {
    answer(data.into_iter().map(Value::Object).collect(), offset, path, carried)
}

/// What the link to the next page of a whole collection repeats.
pub fn carried(query: &Query) -> String {
    let mut text = String::new();
    if let Some(tags) = query.first("tags") {
        text.push_str("&tags=");
        text.push_str(&escape(tags));
    }
    if let Some(size) = query.first("size") {
        text.push_str("&size=");
        text.push_str(&escape(size));
    }
    text.push_str(&carried_search(query));
    text
}

/// What the link to the next page of any collection repeats.
pub fn carried_search(query: &Query) -> String {
    query.first("search").map(|question| format!("&search={}", escape(question))).unwrap_or_default()
}

/// Percent-encodes a value for a URL, as Kong does: all but the unreserved characters.
pub fn escape(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect())
    }

    #[test]
    fn next_links() {
        let page =
            answer(Vec::new(), Some("a+/=".into()), "/services", &carried(&of(&[("size", "2"), ("tags", "x,y")])));
        assert_eq!(page["next"], "/services?offset=a%2B%2F%3D&tags=x%2Cy&size=2");
        assert_eq!(answer(Vec::new(), None, "/services", "")["next"], Value::Null);
    }
}

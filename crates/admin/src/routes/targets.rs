//! `/upstreams/{upstreams}/targets`: targets are found by id or by address, listed newest first, and have no path of
//! their own.

use crate::access::rules::Action;
use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::{Node, TargetMark};
use crate::resource::{Resource, Subject};
use crate::{entity, nested, page};
use model::{Error, Record};
use serde_json::Value;
use store::{Key, Transaction};
use uuid::Uuid;

const COLLECTION: &str = "/upstreams/{upstreams}/targets";
/// Where nodes tell each other of health that was set by hand, as Kong's do.
pub const CHANNEL: &str = "balancer:post_health";
/// The port of an address that is given without one.
const DEFAULT_PORT: u16 = 8000;

pub fn add(drafts: &mut Drafts) {
    for path in ["/targets", "/targets/{targets}", "/targets/{targets}/upstream"] {
        drafts.disable(path);
    }
    let Some(subject) = drafts.subject(COLLECTION) else { return };
    drafts.change(COLLECTION, &[(Method::Get, |call| Box::pin(list(call)))]);
    drafts.change(
        &format!("{COLLECTION}/{{targets}}"),
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Put, |call| Box::pin(change(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    let all = format!("{COLLECTION}/all");
    drafts.add_about(subject.clone(), &all, &[(Method::Get, |call| Box::pin(nested::list_at(call, "/all")))]);
    for address in ["", "/{address}"] {
        let healthy = format!("{COLLECTION}/{{targets}}{address}/healthy");
        drafts.add_about(subject.clone(), &healthy, &[(Method::Put, |call| Box::pin(mark(call, true)))]);
        let unhealthy = format!("{COLLECTION}/{{targets}}{address}/unhealthy");
        drafts.add_about(subject.clone(), &unhealthy, &[(Method::Put, |call| Box::pin(mark(call, false)))]);
    }
}

/// A page of an upstream's targets, newest first, each address once, and the number that leads to the next page.
pub async fn page_of(call: &Call, upstream: &str) -> Result<(Vec<Record>, Option<String>), Answer> {
    let size = page::size(&call.query)?;
    let offset = call.query.first("offset").map_or(Ok(0), |text| {
        text.parse::<usize>().map_err(|_| Answer::from(Error::invalid_offset(text, "not a number")))
    })?;
    let mut all = newest_first(call, upstream).await?;
    let mut seen = std::collections::HashSet::new();
    all.retain(|target| seen.insert(address(target).to_owned()));
    let more = all.len() > offset.saturating_add(size);
    let data = all.into_iter().skip(offset).take(size).collect();
    Ok((data, more.then(|| offset.saturating_add(size).to_string())))
}

async fn list(call: Call) -> HandlerResult {
    let upstream = upstream(&call).await?;
    let (data, offset) = page_of(&call, &nested::id(&upstream)).await?;
    let path = format!("{}/upstreams/{}/targets", call.prefix, call.raw_parameter(0));
    Ok(Answer::new(200, page::records(data, offset, &path, "")))
}

async fn read(call: Call) -> HandlerResult {
    let upstream = upstream(&call).await?;
    Ok(Answer::new(200, Value::Object(target(&call, &upstream).await?)))
}

/// `PUT` changes too: a target is never created by its address.
async fn change(mut call: Call) -> HandlerResult {
    let Subject { outer, inner, .. } = entity::subject(&call)?;
    let inner = inner.ok_or_else(Answer::not_found)?;
    let (owner, key) = (call.key(&outer, 0), call.key(&inner, 1));
    let input = call.input(&inner.name)?;
    let record = call.write(move |transaction| {
        let id = target_in(transaction, &outer, &owner, &key)?;
        entity::update(transaction, &inner, &id, input.clone())
    });
    Ok(Answer::new(200, Value::Object(record.await?)))
}

async fn delete(call: Call) -> HandlerResult {
    let Subject { outer, inner, .. } = entity::subject(&call)?;
    let inner = inner.ok_or_else(Answer::not_found)?;
    let (owner, key) = (call.key(&outer, 0), call.key(&inner, 1));
    let deleted = call.write(move |transaction| {
        let id = target_in(transaction, &outer, &owner, &key)?;
        Ok(transaction.delete(&inner.name, &id)?)
    });
    deleted.await?;
    Ok(Answer::empty(204))
}

/// `PUT …/healthy` and `PUT …/unhealthy`, for all addresses of a target or for one.
async fn mark(call: Call, healthy: bool) -> HandlerResult {
    let upstream = upstream(&call).await?;
    let target = target(&call, &upstream).await?;
    call.store.require("targets", &target, Action::Update).await?;
    let (host, port) = split(address(&target));
    let mut mark = TargetMark {
        upstream: Uuid::parse_str(&nested::id(&upstream)).map_err(|_| Answer::unexpected())?,
        upstream_name: upstream.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        host: host.to_owned(),
        port,
        address: None,
        healthy,
    };
    if call.parameters.len() > 2 {
        let text = call.parameter(2);
        let (shown, port) = split(&text);
        mark.port = port;
        mark.address = Some(shown.to_owned());
    }
    call.state.node.set_target_health(&mark).map_err(|why| Answer::message(400, why))?;
    call.store.whole().announce(CHANNEL, announcement(&mark)).await?;
    Ok(Answer::empty(204))
}

/// Takes what another node has announced.
pub fn hear(node: &dyn Node, data: &str) {
    let Some(mark) = announced(data) else { return };
    if let Err(why) = node.set_target_health(&mark) {
        tracing::warn!("the health of a target, which another node was told, is not set here: {why}");
    }
}

/// As Kong writes it: `host|address|port|1 or 0|upstream|its name`.
fn announcement(mark: &TargetMark) -> String {
    let TargetMark { upstream, upstream_name, host, port, address, healthy } = mark;
    let address = address.as_deref().unwrap_or_default();
    format!("{host}|{address}|{port}|{}|{upstream}|{upstream_name}", u8::from(*healthy))
}

fn announced(data: &str) -> Option<TargetMark> {
    let [host, address, port, healthy, upstream, name] = data.splitn(6, '|').collect::<Vec<_>>().try_into().ok()?;
    Some(TargetMark {
        upstream: upstream.parse().ok()?,
        upstream_name: name.to_owned(),
        host: host.to_owned(),
        port: port.parse().ok()?,
        address: Some(address.to_owned()).filter(|address| !address.is_empty()),
        healthy: healthy == "1",
    })
}

async fn upstream(call: &Call) -> Result<Record, Answer> {
    let outer = entity::subject(call)?.outer;
    entity::find(call, &outer, &call.key(&outer, 0)).await
}

/// The target that the path names, if it is the upstream's.
async fn target(call: &Call, upstream: &Record) -> Result<Record, Answer> {
    let key = call.store.key("targets", &call.parameter(1));
    call.store.get_under("targets", &key, "upstream", &nested::id(upstream)).await?.ok_or_else(Answer::not_found)
}

/// The id of a target that is named by itself or by its address, if it is the upstream's.
fn target_in(
    transaction: &mut Transaction<'_>,
    upstreams: &Resource,
    upstream: &Key,
    key: &Key,
) -> Result<Key, Answer> {
    let upstream = entity::find_in(transaction, upstreams, upstream)?;
    let target = transaction.get_under("targets", key, "upstream", &nested::id(&upstream))?;
    target.map(|target| Key::Id(nested::id(&target))).ok_or_else(Answer::not_found)
}

async fn newest_first(call: &Call, upstream: &str) -> Result<Vec<Record>, Answer> {
    let mut all = call.store.all_for("targets", "upstream", upstream).await?;
    let created = |target: &Record| target.get("created_at").and_then(Value::as_f64).unwrap_or(0.0);
    all.sort_by(|a, b| created(b).total_cmp(&created(a)).then_with(|| nested::id(b).cmp(&nested::id(a))));
    Ok(all)
}

pub fn address(target: &Record) -> &str {
    target.get("target").and_then(Value::as_str).unwrap_or_default()
}

/// Host and port of `host:port`, `[v6]:port`, or a host alone.
pub fn split(text: &str) -> (&str, u16) {
    match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
            (host, port.parse().unwrap_or(DEFAULT_PORT))
        }
        _ => (text, DEFAULT_PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(split("h.test:81"), ("h.test", 81));
        assert_eq!(split("h.test"), ("h.test", DEFAULT_PORT));
        assert_eq!(split("[::1]:80"), ("[::1]", 80));
        assert_eq!(split("::1"), ("::1", DEFAULT_PORT));
        assert_eq!(split("h.test:99999"), ("h.test", DEFAULT_PORT));
    }

    #[test]
    fn health_is_announced_as_by_kong() {
        let id = "00000000-0000-4000-8000-000000000001";
        for data in [format!("h.test||80|1|{id}|u"), format!("[::1]|[::1]|8000|0|{id}|a|b")] {
            let mark = announced(&data).unwrap();
            assert_eq!(announcement(&mark), data);
        }
        for data in ["", "h.test||80|1|u", "h.test||x|1|00000000-0000-4000-8000-000000000001|u"] {
            assert!(announced(data).is_none(), "{data}");
        }
    }
}

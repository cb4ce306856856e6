//! `/certificates`: named by one of their SNIs too, and shown and written together with them.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::{entity, nested, page};
use model::{Error, Record};
use serde_json::{Value, json};
use store::{Key, Write};
use uuid::Uuid;

const ONE: &str = "/certificates/{certificates}";

pub fn add(drafts: &mut Drafts) {
    drafts.change(
        "/certificates",
        &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(create(call)))],
    );
    drafts.change(
        ONE,
        &[
            (Method::Get, |call| Box::pin(read(call))),
            (Method::Put, |call| Box::pin(replace(call))),
            (Method::Patch, |call| Box::pin(change(call))),
            (Method::Delete, |call| Box::pin(delete(call))),
        ],
    );
    drafts.change(
        &format!("{ONE}/snis"),
        &[
            (Method::Get, |call| Box::pin(async { nested::list(by_id(call).await?).await })),
            (Method::Post, |call| Box::pin(async { nested::create(by_id(call).await?).await })),
        ],
    );
    drafts.change(
        &format!("{ONE}/snis/{{snis}}"),
        &[
            (Method::Get, |call| Box::pin(async { nested::read(by_id(call).await?).await })),
            (Method::Put, |call| Box::pin(async { nested::replace(by_id(call).await?).await })),
            (Method::Patch, |call| Box::pin(async { nested::change(by_id(call).await?).await })),
            (Method::Delete, |call| Box::pin(async { nested::delete(by_id(call).await?).await })),
        ],
    );
    drafts.disable("/snis/{snis}/certificate");
}

async fn list(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let found = call.admin.store.page(&resource.name, &page::query(&call.query, &resource)?).await?;
    let mut data = Vec::with_capacity(found.data.len());
    for record in found.data {
        data.push(shown(&call, record).await?);
    }
    Ok(Answer::new(200, page::answer(data, found.offset, "/certificates", &page::carried(&call.query))))
}

async fn create(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    entity::writable(&call, &resource, "create", None)?;
    let mut input = call.input("certificates", None)?;
    let names = names(input.remove("snis"))?;
    // the SNIs refer to the certificate, so that its id must be known before it is written
    let id = input
        .entry("id")
        .or_insert_with(|| Value::String(Uuid::new_v4().to_string()))
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let first = Write::Insert { entity: "certificates".to_owned(), input };
    write(&call, 201, first, &id, names).await
}

async fn read(call: Call) -> HandlerResult {
    let id = id(&call).await?;
    match call.admin.store.get("certificates", &Key::Id(id.clone())).await? {
        Some(record) => Ok(Answer::new(200, shown(&call, record).await?)),
        None => Err(missing(&id)),
    }
}

async fn replace(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let (id, name) = match id(&call).await {
        Ok(id) => (id, None),
        // an unknown SNI: it comes to life with the certificate
        Err(answer) if answer.status == 404 => (Uuid::new_v4().to_string(), Some(call.parameter(0))),
        Err(answer) => return Err(answer),
    };
    let key = Key::Id(id.clone());
    entity::writable(&call, &resource, "create or update", Some(&key))?;
    let mut input = call.input("certificates", None)?;
    let mut names = names(input.remove("snis"))?.unwrap_or_default();
    names.extend(name.filter(|name| !names.contains(name)));
    let first = Write::Upsert { entity: "certificates".to_owned(), key, input };
    write(&call, 200, first, &id, Some(names)).await
}

async fn change(mut call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let id = id(&call).await?;
    let key = Key::Id(id.clone());
    entity::writable(&call, &resource, "update", Some(&key))?;
    let mut input = call.input("certificates", None)?;
    let names = names(input.remove("snis"))?;
    entity::find(&call, &resource, &key)
        .await
        .map_err(|answer| if answer.status == 404 { missing(&id) } else { answer })?;
    let first = Write::Update { entity: "certificates".to_owned(), key, input };
    write(&call, 200, first, &id, names).await
}

async fn delete(call: Call) -> HandlerResult {
    let resource = entity::subject(&call)?.outer;
    let key = Key::Id(id(&call).await?);
    entity::writable(&call, &resource, "remove", Some(&key))?;
    let Key::Id(id) = &key else { return Err(Answer::not_found()) };
    let mut writes: Vec<Write> = snis(&call, id).await?.iter().map(remove_sni).collect();
    writes.push(Write::Delete { entity: "certificates".to_owned(), key: key.clone() });
    let (revision, _) = call.admin.store.apply(writes).await?;
    call.applied(revision).await;
    Ok(Answer::empty(204))
}

/// Writes a certificate and, if they are given, exactly these SNIs, in one transaction.
async fn write(call: &Call, status: u16, first: Write, id: &str, names: Option<Vec<String>>) -> HandlerResult {
    let mut writes = vec![first];
    if let Some(names) = names {
        let mut current = Vec::new();
        for name in &names {
            if let Some(sni) = call.admin.store.get("snis", &Key::Name(name.clone())).await? {
                if certificate(&sni) != id {
                    let why = format!("{name} already associated with existing certificate '{}'", certificate(&sni));
                    return Err(Answer::from(Error::field_violation("snis", why)));
                }
                current.push(name.clone());
            }
        }
        let known = if status == 201 { Vec::new() } else { snis(call, id).await? };
        writes.extend(known.iter().filter(|sni| !names.iter().any(|name| name == sni_name(sni))).map(remove_sni));
        writes.extend(names.iter().filter(|name| !current.contains(name)).map(|name| {
            let input =
                Record::from_iter([("name".to_owned(), json!(name)), ("certificate".to_owned(), json!({ "id": id }))]);
            Write::Insert { entity: "snis".to_owned(), input }
        }));
    }
    let (revision, mut records) = call.admin.store.apply(writes).await?;
    call.applied(revision).await;
    match records.first_mut().and_then(Option::take) {
        Some(record) => Ok(Answer::new(status, shown(call, record).await?)),
        None => Err(missing(id)),
    }
}

/// The names in a `snis` field: each once, in order.
fn names(field: Option<Value>) -> Result<Option<Vec<String>>, Answer> {
    let list = match field {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(Vec::new())),
        Some(Value::String(one)) => vec![Value::String(one)],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Answer::from(Error::field_violation("snis", "expected an array"))),
    };
    let mut names = Vec::with_capacity(list.len());
    for name in list {
        let Value::String(name) = name else {
            return Err(Answer::from(Error::field_violation("snis", "expected a string")));
        };
        if names.contains(&name) {
            return Err(Answer::from(Error::field_violation("snis", format!("{name} is duplicated"))));
        }
        names.push(name);
    }
    names.sort();
    Ok(Some(names))
}

/// The certificate that the path names: its id, or that of the SNI's.
async fn id(call: &Call) -> Result<String, Answer> {
    let segment = call.parameter(0);
    if let Key::Id(id) = call.admin.store.key("snis", &segment) {
        return Ok(id);
    }
    match call.admin.store.get("snis", &Key::Name(segment)).await? {
        Some(sni) => Ok(certificate(&sni).to_owned()),
        None => Err(Answer::message(404, "SNI not found")),
    }
}

/// The call with the SNI in its path replaced by the certificate's id.
async fn by_id(mut call: Call) -> Result<Call, Answer> {
    let id = id(&call).await?;
    if let Some(first) = call.parameters.first_mut() {
        *first = id;
    }
    Ok(call)
}

async fn snis(call: &Call, id: &str) -> Result<Vec<Record>, Answer> {
    Ok(call.admin.store.all_for("snis", "certificate", id).await?)
}

/// A certificate with the names of its SNIs.
async fn shown(call: &Call, mut record: Record) -> Result<Value, Answer> {
    let mut names: Vec<String> =
        snis(call, &nested::id(&record)).await?.iter().map(|sni| sni_name(sni).to_owned()).collect();
    names.sort();
    record.insert("snis".to_owned(), json!(names));
    Ok(Value::Object(record))
}

fn remove_sni(sni: &Record) -> Write {
    Write::Delete { entity: "snis".to_owned(), key: Key::Id(nested::id(sni)) }
}

fn sni_name(sni: &Record) -> &str {
    sni.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn certificate(sni: &Record) -> &str {
    sni.get("certificate").and_then(|key| key.get("id")).and_then(Value::as_str).unwrap_or_default()
}

fn missing(id: &str) -> Answer {
    Answer::from(Error::not_found(Record::from_iter([("id".to_owned(), json!(id))])))
}

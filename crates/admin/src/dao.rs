//! Functions of data access that a plugin has in the place of the store's (`dao` of an entity in its `daos.lua`): what
//! writes or reads a record of such an entity calls them, as Kong's endpoints do.

use crate::answer::Answer;
use crate::call::Call;
use crate::node::PluginFunction;
use crate::resource::Resource;
use crate::routes::plugins;
use model::Record;
use serde_json::{Value, json};
use store::{Key, Operation, Page, PageQuery, Recorded, TagFilter};

/// A function that is to be called in the place of the store's.
pub struct Replaced<'c> {
    call: &'c Call,
    resource: &'c Resource,
    function: String,
    key: Option<&'c Key>,
}

/// The function that a plugin has for something that is to be done to a record, if it has any.
pub fn replaced<'c>(
    call: &'c Call,
    resource: &'c Resource,
    action: &str,
    key: Option<&'c Key>,
) -> Option<Replaced<'c>> {
    if !resource.has_own_functions {
        return None;
    }
    let schema = call.store.catalog().entity(&resource.name)?;
    let function = match (key, &resource.endpoint_key) {
        (Some(Key::Name(_)), Some(field)) => format!("{action}_by_{field}"),
        _ => action.to_owned(),
    };
    schema.replaces(&function).then_some(Replaced { call, resource, function, key })
}

impl Replaced<'_> {
    /// Finds a record that the user may see.
    pub async fn find(self) -> Result<Option<Record>, Answer> {
        let found = self.ask(None).await?;
        self.call.store.shown(&self.resource.name, found).await
    }

    /// Writes a record; nothing where there is none to be changed.
    pub async fn write(self, input: Record) -> Result<Option<Record>, Answer> {
        let before = self.before().await?;
        let mut planned = before.clone().unwrap_or_default();
        planned.extend(input.clone());
        self.check(Recorded { operation: Operation::Put, record: planned, before: before.clone(), ..self.recorded() })
            .await?;
        let written = self.ask(Some(input)).await?;
        if let Some(record) = &written {
            // What the function returns may be another thing than what it has kept.
            let kept = match id(record) {
                Some(id) => self.call.store.whole().get(&self.resource.name, &Key::Id(id.to_owned())).await?,
                None => None,
            };
            let recorded = kept.map(|record| Recorded { operation: Operation::Put, record, before, ..self.recorded() });
            self.call.note(recorded.into_iter().collect()).await?;
        }
        Ok(written)
    }

    /// Deletes the record, if it is there.
    pub async fn delete(self) -> Result<(), Answer> {
        let before = self.before().await?;
        let gone = before.map(|record| Recorded { operation: Operation::Delete, record, ..self.recorded() });
        if let Some(gone) = &gone {
            self.check(gone.clone()).await?;
        }
        self.call(Vec::new(), json!({})).await?;
        self.call.note(gone.into_iter().collect()).await
    }

    /// A page of records that the user may see. Of a foreign key comes the value first.
    pub async fn page(self, query: &PageQuery) -> Result<Page, Answer> {
        let owner = query.foreign.iter().map(|(_, id)| json!({ "id": id }));
        let arguments = owner.chain([json!(query.size), json!(query.offset)]).collect();
        let options = match &query.tags {
            None => json!({}),
            Some(TagFilter::All(tags)) => json!({ "tags": tags, "tags_cond": "and" }),
            Some(TagFilter::Any(tags)) => json!({ "tags": tags, "tags_cond": "or" }),
        };
        let (rows, offset) = self.call(arguments, options).await?;
        let rows = rows.as_array().into_iter().flatten().filter_map(Value::as_object).cloned().collect();
        Ok(Page { data: self.call.store.seen(&self.resource.name, rows).await?, offset })
    }

    /// As the store has the record, whatever the function would say of it.
    async fn before(&self) -> Result<Option<Record>, Answer> {
        match self.key {
            Some(key) => Ok(self.call.store.whole().get(&self.resource.name, key).await?),
            None => Ok(None),
        }
    }

    fn recorded(&self) -> Recorded {
        let (operation, record) = (Operation::Put, Record::new());
        Recorded { operation, entity: self.resource.name.clone(), record, before: None }
    }

    /// Refuses what the user may not do, before the function has done it.
    async fn check(&self, planned: Recorded) -> Result<(), Answer> {
        let Some(rights) = self.call.store.rights().cloned() else { return Ok(()) };
        let checked = self
            .call
            .store
            .whole()
            .transaction(move |transaction| rights.check(transaction, std::slice::from_ref(&planned)));
        checked.await.map(drop)
    }

    async fn ask(&self, mut input: Option<Record>) -> Result<Option<Record>, Answer> {
        let expires = self.call.schema(&self.resource.name)?.ttl();
        let ttl = input.as_mut().filter(|_| expires).and_then(|input| input.remove("ttl"));
        let options = ttl.filter(|ttl| !ttl.is_null()).map_or_else(|| json!({}), |ttl| json!({ "ttl": ttl }));
        let (found, _) = self.call(input.map(Value::Object).into_iter().collect(), options).await?;
        match found {
            Value::Object(record) => Ok(Some(record)),
            Value::Null | Value::Bool(false) => Ok(None),
            _ => {
                tracing::error!(entity = self.resource.name, function = self.function, "it returns no record");
                Err(Answer::unexpected())
            }
        }
    }

    /// Calls the function with what names the record, further arguments and options.
    async fn call(&self, further: Vec<Value>, mut options: Value) -> Result<(Value, Option<String>), Answer> {
        let key = self.key.map(|key| match key {
            Key::Id(id) => json!({ "id": id }),
            Key::Name(name) => json!(name),
        });
        options["nulls"] = true.into();
        options["pagination"] = json!({ "page_size": 100, "max_page_size": 1000 });
        let function = PluginFunction {
            entity: self.resource.name.clone(),
            function: self.function.clone(),
            arguments: key.into_iter().chain(further).collect(),
            options,
        };
        let request = plugins::request(self.call, false)?;
        let node = &self.call.state.node;
        let returned = node.plugin_function(request, function).await;
        let newest = *self.call.store.whole().watch().borrow();
        node.applied(newest).await;
        returned.map_err(plugins::said)
    }
}

fn id(record: &Record) -> Option<&str> {
    record.get("id").and_then(Value::as_str)
}

//! Why a file is refused: as a tree in the form of the file, and entry by entry.

use super::flatten::Entry;
use super::format::Format;
use crate::read::is_uuid;
use model::{Error, Record, declarative};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Why a file is not taken.
#[derive(Clone, Debug)]
pub struct Rejection(Box<Reasons>);

#[derive(Clone, Debug)]
struct Reasons {
    /// Everything that is wrong.
    tree: Record,
    /// What is wrong with no entry in particular.
    head: Record,
    /// The entries that something is wrong with.
    entries: Vec<Value>,
}

/// Everything that is wrong with a file, while it is read.
#[derive(Default)]
pub struct Faults {
    /// Errors of the file itself, by field.
    pub head: Record,
    /// Errors of lists and remarks inside of entries.
    fields: BTreeMap<usize, Record>,
    /// By number of the entry.
    entries: BTreeMap<usize, Vec<Fault>>,
}

/// One thing that is wrong with an entry.
pub enum Fault {
    /// By field, `@entity` among them.
    Fields(Record),
    Entity(String),
    /// It has a value that another entry has too. `of` is what it is called.
    Value {
        of: String,
        words: String,
    },
    /// It refers to nothing.
    Reference {
        of: String,
        field: String,
        words: String,
    },
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.fields.is_empty() && self.entries.is_empty()
    }

    pub fn add(&mut self, entry: usize, fault: Fault) {
        self.entries.entry(entry).or_default().push(fault);
    }

    pub fn add_field(&mut self, entry: usize, field: &str, error: Value) {
        self.fields.entry(entry).or_default().insert(field.to_owned(), error);
    }

    /// Takes away what is wrong with the records themselves.
    pub fn take_fields(&mut self) -> Vec<(usize, Record)> {
        let fields = |(entry, faults): (usize, Vec<Fault>)| {
            let errors = faults.into_iter().find_map(|fault| match fault {
                Fault::Fields(errors) => Some(errors),
                _ => None,
            });
            (entry, errors.unwrap_or_default())
        };
        std::mem::take(&mut self.entries).into_iter().map(fields).collect()
    }
}

impl Rejection {
    /// A text that cannot be read.
    pub fn unreadable(why: &str) -> Rejection {
        let head = Record::from_iter([("error".to_owned(), declarative::unreadable(why).into())]);
        Rejection(Box::new(Reasons { tree: head.clone(), head, entries: Vec::new() }))
    }

    pub(super) fn new(format: &Format<'_>, entries: &[Entry<'_>], faults: Faults) -> Rejection {
        let mut tree = faults.head.clone();
        for (at, errors) in &faults.fields {
            merge(slot(&mut tree, format, entries, *at), errors.clone());
        }
        for (at, faults) in &faults.entries {
            let entity = &format.kinds[entries[*at].kind].schema.name;
            for fault in faults {
                match fault {
                    Fault::Fields(errors) => merge(slot(&mut tree, format, entries, *at), errors.clone()),
                    Fault::Entity(words) => *slot(&mut tree, format, entries, *at) = words.as_str().into(),
                    Fault::Value { of, words } => {
                        named(&mut tree, entity).insert(of.clone(), words.as_str().into());
                    }
                    Fault::Reference { of, words, .. } => {
                        let list = named(&mut tree, entity).entry(of.clone()).or_insert_with(|| json!([]));
                        if let Value::Array(list) = list {
                            list.push(words.as_str().into());
                        }
                    }
                }
            }
        }
        let entries = Flattening::new(format, entries, &faults).run();
        Rejection(Box::new(Reasons { tree, head: faults.head, entries }))
    }

    /// The error as clients get it.
    pub fn error(&self) -> Error {
        Error::declarative_config(self.0.tree.clone())
    }

    /// The body of an answer that lists the errors by entry (`flatten_errors`).
    pub fn flattened(&self) -> Value {
        let mut body = Error::declarative_config(self.0.head.clone()).body();
        body["flattened_errors"] = Value::Array(self.0.entries.clone());
        body
    }

    /// The errors over several lines.
    pub fn describe(&self) -> String {
        match self.0.tree.get("error") {
            // The text of a file that is no YAML.
            Some(Value::String(words)) if self.0.tree.len() == 1 => words.clone(),
            _ => declarative::describe(&self.0.tree),
        }
    }
}

/// Where the errors of an entry are in the tree.
fn slot<'t>(tree: &'t mut Record, format: &Format<'_>, entries: &[Entry<'_>], at: usize) -> &'t mut Value {
    let Entry { kind, place, around, .. } = &entries[at];
    let table = match around {
        None => tree,
        Some((outer, _)) => table(slot(tree, format, entries, *outer)),
    };
    let list = table.entry(format.kinds[*kind].schema.name.as_str()).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    match list {
        Value::Array(items) => {
            if items.len() <= *place {
                items.resize(place + 1, Value::Null);
            }
            &mut items[*place]
        }
        other => other,
    }
}

fn merge(slot: &mut Value, errors: Record) {
    table(slot).extend(errors);
}

fn table(slot: &mut Value) -> &mut Record {
    if !slot.is_object() {
        *slot = Value::Object(Record::new());
    }
    slot.as_object_mut().expect("it has just been made one")
}

/// The errors of an entity that are told by what an entry is called; those by place get their number for a name.
fn named<'t>(tree: &'t mut Record, entity: &str) -> &'t mut Record {
    let slot = tree.entry(entity).or_insert(Value::Null);
    if let Value::Array(items) = slot {
        let numbered = items.drain(..).enumerate().filter(|(_, error)| !error.is_null());
        *slot = Value::Object(numbered.map(|(i, error)| ((i + 1).to_string(), error)).collect());
    }
    table(slot)
}

/// Makes the list of entries with their errors, in Kong's order: what is inside of an entry goes before it, and what
/// stands last in the file goes first.
struct Flattening<'a> {
    format: &'a Format<'a>,
    entries: &'a [Entry<'a>],
    faults: &'a Faults,
    /// The entries inside of each, of those that are listed.
    inside: BTreeMap<usize, Vec<usize>>,
    top: Vec<usize>,
    list: Vec<Value>,
}

impl<'a> Flattening<'a> {
    fn new(format: &'a Format<'a>, entries: &'a [Entry<'a>], faults: &'a Faults) -> Flattening<'a> {
        let mut inside: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let (mut top, mut seen) = (Vec::new(), HashSet::new());
        for &at in faults.fields.keys().chain(faults.entries.keys()) {
            let mut next = Some(at);
            while let Some(at) = next.filter(|at| seen.insert(*at)) {
                let outer = entries[at].around.map(|(outer, _)| outer);
                match outer {
                    Some(outer) => inside.entry(outer).or_default().push(at),
                    None => top.push(at),
                }
                next = outer;
            }
        }
        Flattening { format, entries, faults, inside, top, list: Vec::new() }
    }

    fn run(mut self) -> Vec<Value> {
        let mut top = std::mem::take(&mut self.top);
        let name = |at: usize| &self.format.kinds[self.entries[at].kind].schema.name;
        top.sort_by(|&a, &b| name(b).cmp(name(a)).then_with(|| self.entries[b].place.cmp(&self.entries[a].place)));
        for at in top {
            self.add(at);
        }
        self.list
    }

    fn add(&mut self, at: usize) {
        let mut inside = self.inside.remove(&at).unwrap_or_default();
        inside.sort_by_key(|&inner| (self.entries[inner].kind, self.entries[inner].place));
        for inner in inside {
            self.add(inner);
        }
        let Entry { kind, raw, around, id, .. } = &self.entries[at];
        let kind = &self.format.kinds[*kind];
        let mut shown: Record =
            raw.iter().filter(|(name, value)| !self.stands_inside(at, name, value)).map(owned).collect();
        // Entries that are each right by themselves have got their ids before one of them is found to be another.
        let faults = self.faults.entries.get(&at).into_iter().flatten();
        let identified = faults.clone().any(|fault| matches!(fault, Fault::Entity(_) | Fault::Value { .. }));
        if identified
            && is_uuid(id)
            && let Some(primary) = kind.primary()
        {
            shown.entry(primary).or_insert_with(|| id.as_str().into());
        }
        if let Some((outer, field)) = around
            && let outer = &self.entries[*outer]
            && let Some(id) = valid_id(outer.raw).or_else(|| identified.then_some(outer.id.as_str()))
        {
            shown.entry(*field).or_insert_with(|| json!({ "id": id }));
        }
        let mut errors = Vec::new();
        for fault in faults {
            match fault {
                Fault::Fields(fields) => {
                    let mut fields = fields.clone();
                    for (field, to) in &kind.references {
                        self.add_referred(&mut shown, &mut fields, field, &self.format.kinds[*to].schema.name.clone());
                    }
                    list_errors(&mut errors, "", &Value::Object(fields));
                }
                Fault::Entity(words) | Fault::Value { words, .. } => errors.push(of_entity(words)),
                Fault::Reference { field, words, .. } => errors.push(of_field(field, words)),
            }
        }
        if let Some(fields) = self.faults.fields.get(&at) {
            list_errors(&mut errors, "", &Value::Object(fields.clone()));
        }
        if !errors.is_empty() {
            self.list.push(item(&kind.schema.name, shown, errors));
        }
    }

    /// An entry in place of a reference to it is listed by itself.
    fn add_referred(&mut self, shown: &mut Record, errors: &mut Record, field: &str, entity: &str) {
        let Some(Value::Object(referred)) = shown.get(field).cloned() else { return };
        match valid_id(&referred) {
            Some(id) => drop(shown.insert(field.to_owned(), json!({ "id": id }))),
            None => drop(shown.shift_remove(field)),
        }
        let Some(error) = errors.shift_remove(field) else { return };
        let mut found = Vec::new();
        match &error {
            Value::Object(_) => list_errors(&mut found, "", &error),
            other => found.push(of_entity(other.as_str().unwrap_or_default())),
        }
        self.list.push(item(entity, referred, found));
    }

    /// Whether a field is a list of entries of their own.
    fn stands_inside(&self, at: usize, name: &str, value: &Value) -> bool {
        (value.is_array() || value.is_object()) && self.format.inside(self.entries[at].kind, name).is_some()
    }
}

fn item(entity: &str, shown: Record, errors: Vec<Value>) -> Value {
    let mut item = Record::new();
    if let Some(name) = shown.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        item.insert("entity_name".to_owned(), name.into());
    }
    if let Some(id) = valid_id(&shown) {
        item.insert("entity_id".to_owned(), id.into());
    }
    if let Some(tags) = shown.get("tags").filter(|tags| tags.as_array().is_some_and(|t| t.iter().all(Value::is_string)))
    {
        item.insert("entity_tags".to_owned(), tags.clone());
    }
    item.insert("entity_type".to_owned(), entity.strip_suffix('s').unwrap_or(entity).into());
    item.insert("entity".to_owned(), Value::Object(shown));
    item.insert("errors".to_owned(), Value::Array(errors));
    Value::Object(item)
}

/// The leaves of a tree of errors, each with the path to its field, in Kong's order.
fn list_errors(list: &mut Vec<Value>, path: &str, error: &Value) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match error {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| b.cmp(a));
            for (name, error) in fields {
                match error {
                    Value::Array(all) if name == "@entity" => {
                        list.extend(all.iter().filter_map(Value::as_str).map(of_entity));
                    }
                    Value::String(words) if name == "@entity" => list.push(of_entity(words)),
                    error => list_errors(list, &join(name), error),
                }
            }
        }
        Value::Array(items) => {
            for (i, error) in items.iter().enumerate().rev().filter(|(_, error)| !error.is_null()) {
                list_errors(list, &join(&(i + 1).to_string()), error);
            }
        }
        Value::String(words) => list.push(of_field(path, words)),
        _ => {}
    }
}

fn of_entity(words: &str) -> Value {
    json!({ "type": "entity", "message": words })
}

fn of_field(field: &str, words: &str) -> Value {
    json!({ "type": "field", "field": field, "message": words })
}

fn valid_id(fields: &Record) -> Option<&str> {
    fields.get("id").and_then(Value::as_str).filter(|id| is_uuid(id))
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

//! `ngx.shared`: named tables that all workers share, each with a limit in octets.

use crate::lua::value::number;
use mlua::{Error, Lua, MultiValue, Result, Table, Value};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a name and its value take beside their octets.
const OVERHEAD: usize = 120;

/// One of the tables.
#[derive(Default)]
struct Dictionary {
    items: HashMap<Vec<u8>, Item>,
    /// Names in the order in which they were set, with the number of the setting; what was set anew comes again.
    order: VecDeque<(u64, Vec<u8>)>,
    settings: u64,
    used: usize,
    capacity: usize,
}

struct Item {
    value: Stored,
    flags: i64,
    expires: Option<Instant>,
    setting: u64,
}

#[derive(Clone)]
enum Stored {
    Text(Vec<u8>),
    Number(f64),
    Flag(bool),
    List(VecDeque<Stored>),
}

/// How a value is set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Always,
    IfAbsent,
    IfPresent,
}

static DICTIONARIES: OnceLock<Mutex<HashMap<String, Arc<Mutex<Dictionary>>>>> = OnceLock::new();

/// Kong's own, which plugins use, too.
const USUAL: &[(&str, usize)] = &[
    ("kong", 5 << 20),
    ("kong_locks", 8 << 20),
    ("kong_healthchecks", 5 << 20),
    ("kong_cluster_events", 5 << 20),
    ("kong_rate_limiting_counters", 12 << 20),
    ("kong_core_db_cache", 16 << 20),
    ("kong_db_cache", 16 << 20),
    ("kong_secrets", 5 << 20),
    ("prometheus_metrics", 5 << 20),
];

/// Makes one more, with that many octets (`lua_shared_dict`).
pub fn declare(name: &str, capacity: usize) {
    let made = Arc::new(Mutex::new(Dictionary { capacity, ..Dictionary::default() }));
    all().lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_insert(made);
}

/// A text that code has in a dictionary.
pub(in crate::lua) fn text_in(name: &str, key: &[u8]) -> Option<Vec<u8>> {
    let found = dictionary(name)?;
    let dictionary = found.lock().unwrap_or_else(PoisonError::into_inner);
    let item = dictionary.items.get(key).filter(|item| !item.is_over(Instant::now()))?;
    match &item.value {
        Stored::Text(text) => Some(text.clone()),
        _ => None,
    }
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("shared_exists", lua.create_function(|_, name: String| Ok(dictionary(&name).is_some()))?)?;
    let call = |lua: &Lua, (name, function, arguments): (String, String, MultiValue)| {
        let found = dictionary(&name).ok_or_else(|| Error::runtime(format!("there is no shared dictionary {name}")))?;
        let mut dictionary = found.lock().unwrap_or_else(PoisonError::into_inner);
        dictionary.call(lua, &function, &arguments)
    };
    native.raw_set("shared", lua.create_function(call)?)
}

fn all() -> &'static Mutex<HashMap<String, Arc<Mutex<Dictionary>>>> {
    DICTIONARIES.get_or_init(|| {
        let usual = USUAL.iter().map(|(name, capacity)| {
            let made = Dictionary { capacity: *capacity, ..Dictionary::default() };
            ((*name).to_owned(), Arc::new(Mutex::new(made)))
        });
        Mutex::new(usual.collect())
    })
}

fn dictionary(name: &str) -> Option<Arc<Mutex<Dictionary>>> {
    all().lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
}

impl Dictionary {
    fn call(&mut self, lua: &Lua, function: &str, arguments: &MultiValue) -> Result<MultiValue> {
        let nothing = Value::Nil;
        let at = |index: usize| arguments.get(index).unwrap_or(&nothing);
        let name = || crate::lua::value::text(at(0)).ok_or_else(|| Error::runtime("nil key"));
        let ttl = |index: usize| number(at(index)).filter(|seconds| *seconds > 0.0);
        let text = |words: &str| lua.create_string(words).map(Value::String);
        let now = Instant::now();
        let values = match function {
            "get" | "get_stale" => {
                let name = name()?;
                let stale = self.items.get(&name).is_some_and(|item| item.is_over(now));
                if stale && function == "get" {
                    self.remove(&name);
                }
                match self.items.get(&name) {
                    None => vec![Value::Nil],
                    Some(Item { value: Stored::List(_), .. }) => vec![Value::Nil, text("value is a list")?],
                    Some(item) => {
                        let mut values = vec![item.value.to_lua(lua)?];
                        match item.flags {
                            0 if function == "get" => {}
                            0 => values.push(Value::Nil),
                            flags => values.push(Value::Integer(flags)),
                        }
                        values.extend((function == "get_stale").then_some(Value::Boolean(stale)));
                        values
                    }
                }
            }
            "set" | "safe_set" | "add" | "safe_add" | "replace" => {
                let (name, given) = (name()?, at(1));
                let present = self.items.get(&name).is_some_and(|item| !item.is_over(now));
                let mode = match function {
                    "add" | "safe_add" => Mode::IfAbsent,
                    "replace" => Mode::IfPresent,
                    _ => Mode::Always,
                };
                if given.is_nil() && mode != Mode::Always {
                    let why = text("attempt to add or replace nil values")?;
                    return Ok(vec![Value::Boolean(false), why, Value::Boolean(false)].into());
                }
                if number(at(2)).is_some_and(|seconds| seconds < 0.0) {
                    return Err(Error::runtime("bad \"exptime\" argument"));
                }
                if mode == Mode::IfAbsent && present {
                    return Ok(vec![Value::Boolean(false), text("exists")?, Value::Boolean(false)].into());
                }
                if mode == Mode::IfPresent && !present {
                    return Ok(vec![Value::Boolean(false), text("not found")?, Value::Boolean(false)].into());
                }
                if given.is_nil() {
                    self.remove(&name);
                    return Ok(vec![Value::Boolean(true), Value::Nil, Value::Boolean(false)].into());
                }
                let Some(value) = Stored::from_lua(given) else {
                    return Ok(vec![Value::Nil, text("bad value type")?, Value::Boolean(false)].into());
                };
                let expires = ttl(2).map(|seconds| now + Duration::from_secs_f64(seconds.min(1e9)));
                let flags = number(at(3)).unwrap_or_default() as i64;
                self.keep(lua, name, value, expires, flags, function.starts_with("safe"))?
            }
            "delete" => {
                self.remove(&name()?);
                vec![Value::Boolean(true), Value::Nil, Value::Boolean(false)]
            }
            "incr" => self.incr(lua, name()?, at(1), at(2), ttl(3), now)?,
            "lpush" | "rpush" => {
                let name = name()?;
                // Lists hold texts and numbers.
                let Some(value @ (Stored::Text(_) | Stored::Number(_))) = Stored::from_lua(at(1)) else {
                    return Ok(vec![Value::Nil, text("bad value type")?].into());
                };
                let present = self.items.get(&name).filter(|item| !item.is_over(now));
                if present.is_some_and(|item| !matches!(item.value, Stored::List(_))) {
                    return Ok(vec![Value::Nil, text("value not a list")?].into());
                }
                let (mut list, expires) = match self.take(&name, now) {
                    Some(Item { value: Stored::List(list), expires, .. }) => (list, expires),
                    _ => (VecDeque::new(), None),
                };
                if function == "lpush" {
                    list.push_front(value)
                } else {
                    list.push_back(value)
                }
                let length = list.len();
                let kept = self.keep(lua, name, Stored::List(list), expires, 0, true)?;
                if kept.first() == Some(&Value::Boolean(true)) { vec![Value::Integer(length as i64)] } else { kept }
            }
            "lpop" | "rpop" => {
                let name = name()?;
                let present = self.items.get(&name).filter(|item| !item.is_over(now));
                if present.is_some_and(|item| !matches!(item.value, Stored::List(_))) {
                    return Ok(vec![Value::Nil, text("value not a list")?].into());
                }
                let Some(item) = self.take(&name, now) else { return Ok(MultiValue::from_iter([Value::Nil])) };
                let Stored::List(mut list) = item.value else {
                    return Ok(vec![Value::Nil, text("value not a list")?].into());
                };
                let value = if function == "lpop" { list.pop_front() } else { list.pop_back() };
                if !list.is_empty() {
                    self.keep(lua, name, Stored::List(list), item.expires, 0, true)?;
                }
                vec![value.map_or(Ok(Value::Nil), |value| value.to_lua(lua))?]
            }
            "llen" => match self.items.get(&name()?).map(|item| &item.value) {
                None => vec![Value::Integer(0)],
                Some(Stored::List(list)) => vec![Value::Integer(list.len() as i64)],
                Some(_) => vec![Value::Nil, text("value not a list")?],
            },
            "ttl" => match self.items.get(&name()?).filter(|item| !item.is_over(now)) {
                None => vec![Value::Nil, text("not found")?],
                Some(item) => {
                    let left = item.expires.map_or(0.0, |at| at.saturating_duration_since(now).as_secs_f64());
                    vec![Value::Number(left)]
                }
            },
            "expire" => match self.items.get_mut(&name()?).filter(|item| !item.is_over(now)) {
                None => vec![Value::Nil, text("not found")?],
                Some(item) => {
                    item.expires = ttl(1).map(|seconds| now + Duration::from_secs_f64(seconds.min(1e9)));
                    vec![Value::Boolean(true)]
                }
            },
            "flush_all" => {
                let capacity = self.capacity;
                *self = Dictionary { capacity, ..Dictionary::default() };
                vec![]
            }
            "flush_expired" => {
                let most = number(at(0)).filter(|most| *most > 0.0).map_or(usize::MAX, |most| most as usize);
                let over = self.items.iter().filter(|(_, item)| item.is_over(now)).take(most);
                let over: Vec<_> = over.map(|(name, _)| name.clone()).collect();
                over.iter().for_each(|name| drop(self.remove(name)));
                vec![Value::Integer(over.len() as i64)]
            }
            "get_keys" => {
                let max = number(at(0)).map_or(1024, |max| if max == 0.0 { usize::MAX } else { max as usize });
                // Those that were set first come first, as in nginx.
                let mut live: Vec<_> = self.items.iter().filter(|(_, item)| !item.is_over(now)).collect();
                live.sort_unstable_by_key(|(_, item)| item.setting);
                let names = live.into_iter().take(max).map(|(name, _)| lua.create_string(name));
                let names: Vec<_> = names.collect::<Result<_>>()?;
                vec![Value::Table(lua.create_sequence_from(names)?)]
            }
            "capacity" => vec![Value::Integer(self.capacity as i64)],
            "free_space" => vec![Value::Integer(self.capacity.saturating_sub(self.used) as i64)],
            other => return Err(Error::runtime(format!("ngx.shared has no {other}"))),
        };
        Ok(values.into())
    }

    fn incr(
        &mut self,
        lua: &Lua,
        name: Vec<u8>,
        by: &Value,
        first: &Value,
        ttl: Option<f64>,
        now: Instant,
    ) -> Result<Vec<Value>> {
        let words =
            |words: &str| -> Result<Vec<Value>> { Ok(vec![Value::Nil, Value::String(lua.create_string(words)?)]) };
        let by = number(by).ok_or_else(|| Error::runtime("cannot convert 'nil' to number"))?;
        if let Some(item) = self.items.get_mut(&name).filter(|item| !item.is_over(now)) {
            let Stored::Number(number) = &mut item.value else { return words("not a number") };
            *number += by;
            let mut values = vec![Value::Number(*number)];
            if !first.is_nil() {
                values.extend([Value::Nil, Value::Boolean(false)]);
            }
            return Ok(values);
        }
        let Some(first) = number(first) else { return words("not found") };
        let expires = ttl.map(|seconds| now + Duration::from_secs_f64(seconds.min(1e9)));
        self.keep(lua, name, Stored::Number(first + by), expires, 0, false)?;
        Ok(vec![Value::Number(first + by), Value::Nil, Value::Boolean(false)])
    }

    /// Sets a value; the oldest ones make room, unless that is not wanted.
    fn keep(
        &mut self,
        lua: &Lua,
        name: Vec<u8>,
        value: Stored,
        expires: Option<Instant>,
        flags: i64,
        safely: bool,
    ) -> Result<Vec<Value>> {
        self.remove(&name);
        let size = name.len() + value.size() + OVERHEAD;
        let mut forced = false;
        while self.used + size > self.capacity {
            let oldest = if safely { None } else { self.order.pop_front() };
            let Some((setting, oldest)) = oldest else {
                let words = lua.create_string("no memory")?;
                return Ok(vec![Value::Boolean(false), Value::String(words), Value::Boolean(forced)]);
            };
            if self.items.get(&oldest).is_some_and(|item| item.setting == setting) {
                self.remove(&oldest);
                forced = true;
            }
        }
        self.used += size;
        self.settings += 1;
        self.order.push_back((self.settings, name.clone()));
        self.items.insert(name, Item { value, flags, expires, setting: self.settings });
        if self.order.len() > 2 * self.items.len() + 64 {
            let items = &self.items;
            self.order.retain(|(setting, name)| items.get(name).is_some_and(|item| item.setting == *setting));
        }
        Ok(vec![Value::Boolean(true), Value::Nil, Value::Boolean(forced)])
    }

    fn remove(&mut self, name: &[u8]) -> Option<Item> {
        let item = self.items.remove(name)?;
        self.used = self.used.saturating_sub(name.len() + item.value.size() + OVERHEAD);
        Some(item)
    }

    /// Removes what is there and not over.
    fn take(&mut self, name: &[u8], now: Instant) -> Option<Item> {
        self.remove(name).filter(|item| !item.is_over(now))
    }
}

impl Item {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Stored {
    fn from_lua(value: &Value) -> Option<Stored> {
        match value {
            Value::Boolean(flag) => Some(Stored::Flag(*flag)),
            Value::Integer(number) => Some(Stored::Number(*number as f64)),
            Value::Number(number) => Some(Stored::Number(*number)),
            Value::String(text) => Some(Stored::Text(text.as_bytes().to_vec())),
            _ => None,
        }
    }

    fn to_lua(&self, lua: &Lua) -> Result<Value> {
        Ok(match self {
            Stored::Text(text) => Value::String(lua.create_string(text)?),
            Stored::Number(number) => Value::Number(*number),
            Stored::Flag(flag) => Value::Boolean(*flag),
            Stored::List(_) => Value::Nil,
        })
    }

    fn size(&self) -> usize {
        match self {
            Stored::Text(text) => text.len(),
            Stored::Number(_) | Stored::Flag(_) => 8,
            Stored::List(list) => list.iter().map(|item| item.size() + 32).sum(),
        }
    }
}

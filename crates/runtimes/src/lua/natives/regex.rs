//! `ngx.re`: regular expressions of PCRE.

use mlua::{Error, Lua, LuaString, Result, Table, Value};
use pcre2::bytes::{Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// How many a worker keeps; those in use are few, and which are not is not worth knowing.
const KEPT: usize = 4096;

#[derive(Default)]
struct Kept(HashMap<(Vec<u8>, Vec<u8>), Rc<Compiled>>);

struct Compiled {
    regex: Regex,
    /// `a`: it matches at the beginning only.
    is_anchored: bool,
    /// `D`: several groups may have one name, which then stands for a list.
    is_listed: bool,
}

/// What is wrong with an expression.
enum Unread {
    Pattern(String),
    Options(String),
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    let kept = RefCell::new(Kept::default());
    let find = lua.create_function(move |lua, given: (LuaString, LuaString, LuaString, usize)| {
        let (subject, pattern, options, from) = given;
        let compiled = match kept.borrow_mut().compiled(&pattern.as_bytes(), &options.as_bytes()) {
            Ok(compiled) => compiled,
            Err(Unread::Options(words)) => return Err(Error::runtime(words)),
            Err(Unread::Pattern(words)) => return Ok((Value::Nil, Some(words))),
        };
        found(lua, &subject, &compiled, from.saturating_sub(1))
    })?;
    native.raw_set("re", find)
}

/// Where it matches, from an offset on: positions of the whole and of the groups, counted from 1, and names of groups.
fn found(lua: &Lua, subject: &LuaString, compiled: &Compiled, from: usize) -> Result<(Value, Option<String>)> {
    let octets = subject.as_bytes();
    if from > octets.len() {
        return Ok((Value::Nil, None));
    }
    let mut places = compiled.regex.capture_locations();
    match compiled.regex.captures_read_at(&mut places, &octets, from) {
        Ok(Some(whole)) if !compiled.is_anchored || whole.start() == from => {}
        Ok(_) => return Ok((Value::Nil, None)),
        Err(error) => return Ok((Value::Nil, Some(format!("pcre_exec() failed: {error}")))),
    }
    let table = lua.create_table()?;
    table.raw_set("text", subject)?;
    table.raw_set("groups", compiled.regex.captures_len() - 1)?;
    for group in 0..compiled.regex.captures_len() {
        if let Some((start, end)) = places.get(group) {
            table.raw_set(2 * group + 1, start + 1)?;
            table.raw_set(2 * group + 2, end)?;
        }
    }
    let names = lua.create_table()?;
    for (group, name) in compiled.regex.capture_names().iter().enumerate() {
        let Some(name) = name else { continue };
        if !compiled.is_listed {
            names.raw_set(name.as_str(), group)?;
            continue;
        }
        match names.raw_get::<Option<Table>>(name.as_str())? {
            Some(groups) => groups.raw_push(group)?,
            None => names.raw_set(name.as_str(), lua.create_sequence_from([group])?)?,
        }
    }
    table.raw_set("names", names)?;
    Ok((Value::Table(table), None))
}

impl Kept {
    fn compiled(&mut self, pattern: &[u8], options: &[u8]) -> std::result::Result<Rc<Compiled>, Unread> {
        let key = (pattern.to_vec(), options.to_vec());
        if let Some(known) = self.0.get(&key) {
            return Ok(Rc::clone(known));
        }
        let made = Rc::new(compile(pattern, options)?);
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(key, Rc::clone(&made));
        Ok(made)
    }
}

fn compile(pattern: &[u8], options: &[u8]) -> std::result::Result<Compiled, Unread> {
    let text = std::str::from_utf8(pattern).map_err(|_| Unread::Pattern("the pattern is not UTF-8".to_owned()))?;
    let mut builder = RegexBuilder::new();
    builder.jit_if_available(true);
    let (mut is_anchored, mut is_listed) = (false, false);
    for option in options {
        match option {
            b'a' => is_anchored = true,
            b'i' => drop(builder.caseless(true)),
            b'm' => drop(builder.multi_line(true)),
            b's' => drop(builder.dotall(true)),
            b'x' => drop(builder.extended(true)),
            b'u' | b'U' => drop(builder.utf(true)),
            b'D' => is_listed = true,
            // How it is compiled and kept is no matter of the caller's here.
            b'j' | b'o' | b'd' | b'J' => {}
            other => {
                return Err(Unread::Options(format!(
                    "unknown flag \"{}\" (flags \"{}\")",
                    char::from(*other),
                    String::from_utf8_lossy(options)
                )));
            }
        }
    }
    // What is anchored need not be looked for further on.
    let pattern = if is_anchored { format!(r"\G(?:{text})") } else { text.to_owned() };
    let pattern = if is_listed { format!("(?J){pattern}") } else { pattern };
    let regex = builder.build(&pattern).map_err(|error| Unread::Pattern(format!("pcre2_compile() failed: {error}")))?;
    Ok(Compiled { regex, is_anchored, is_listed })
}

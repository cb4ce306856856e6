//! `response-transformer`: edits header lines and the members of JSON bodies on their way to the client.

mod json;

use json::{JsonEdits, Typed};
use sdk::{
    Bytes, Config, Env, Exchange, Fields, Function, Held, Known, MediaType, MemoryBudget, Phases, Plugin, PluginKind,
    entities, field_value,
};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct ResponseTransformer;

struct Instance {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, String)>,
    add: Vec<(String, String)>,
    append: Vec<(String, String)>,
    json: JsonEdits,
    memory: MemoryBudget,
}

/// Larger bodies are not edited.
const MOST: usize = 64 << 20;

/// The content so far of a response whose JSON is to be edited.
struct Gathering(Held);

impl PluginKind for ResponseTransformer {
    fn name(&self) -> &'static str {
        "response-transformer"
    }

    fn priority(&self) -> i32 {
        800
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("header_names", Function::Validator(are_header_names)),
            ("header_line", Function::Validator(|entry| is_line(entry.as_str().unwrap_or_default()))),
        ]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let lines = |section: &str| -> Result<Vec<(String, String)>, String> {
            let entries = config.section(section).texts("headers");
            entries
                .iter()
                .try_for_each(|entry| is_line(entry))
                .map_err(|e| format!("config.{section}.headers: {e}"))?;
            Ok(entries.iter().filter_map(|entry| pair(entry)).collect())
        };
        let json = |section: &str| config.section(section).texts("json");
        let typed = |section: &str| -> Vec<Typed> {
            let types = config.section(section).texts("json_types");
            let entries = json(section);
            entries
                .iter()
                .enumerate()
                .filter_map(|(at, entry)| Typed::new(pair(entry)?, types.get(at).map(String::as_str)))
                .collect()
        };
        Ok(Box::new(Instance {
            remove: config.section("remove").texts("headers").iter().map(|entry| name(entry).to_owned()).collect(),
            rename: lines("rename")?,
            replace: lines("replace")?,
            add: lines("add")?,
            append: lines("append")?,
            json: JsonEdits {
                remove: json("remove").iter().map(|entry| name(entry).to_owned()).collect(),
                rename: json("rename").iter().filter_map(|entry| pair(entry)).collect(),
                replace: typed("replace"),
                add: typed("add"),
                append: typed("append"),
            },
            memory: env.memory().clone(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.json.is_empty() { Phases::HEADER_FILTER } else { Phases::HEADER_FILTER.and(Phases::BODY_FILTER) }
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        // As Kong, what later steps find present is what was there at the beginning.
        let before = exchange.response.fields.clone();
        let fields = &mut exchange.response.fields;
        for name in &self.remove {
            fields.remove(name);
        }
        for (old, new) in &self.rename {
            let mut values = before.get_all(old).peekable();
            if values.peek().is_some() {
                fields.remove(new);
                values.for_each(|value| fields.append(new, value));
                fields.remove(old);
            }
        }
        for (name, value) in self.replace.iter().filter(|(name, _)| before.contains(name)) {
            fields.set(name, value.as_bytes());
        }
        for (name, value) in self.add.iter().filter(|(name, _)| !before.contains(name)) {
            fields.set(name, value.as_bytes());
        }
        for (name, value) in &self.append {
            fields.append(name, value.as_bytes());
        }
        if !self.json.is_empty() && is_json(&before) {
            fields.remove_known(Known::ContentLength);
            exchange.put(Gathering(Held::new(&self.memory)));
        }
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        let Some(Gathering(mut content)) = exchange.take() else { return piece };
        let refusal = if content.octets().len() + piece.len() > MOST {
            Some("it is too large")
        } else {
            content.try_extend(&piece).err().map(|_| "there is no memory for it")
        };
        if let Some(why) = refusal {
            warn(exchange, why);
            content.extend_anyway(&piece);
            return content.into_bytes();
        }
        if !last {
            exchange.put(Gathering(content));
            return Bytes::new();
        }
        content.edit(|content| self.json.apply(content))
    }
}

fn warn(exchange: &Exchange, why: &str) {
    let id = exchange.id_str();
    tracing::warn!(request_id = id, "response-transformer: content is passed on as it is: {why}");
}

/// The check that the schema names, for `old:new`.
fn are_header_names(entry: &Value) -> Result<(), String> {
    let entry = entry.as_str().unwrap_or_default();
    let value = entry[name(entry).len()..].trim_start_matches(':');
    match [name(entry), value].into_iter().find(|n| !is_header_name(n)) {
        None => Ok(()),
        Some(wrong) => Err(format!("'{wrong}' is not a valid header")),
    }
}

/// Whether an entry can become a header line.
fn is_line(entry: &str) -> Result<(), String> {
    let Some((name, value)) = pair(entry) else { return Ok(()) };
    if !Fields::is_valid_name(name.as_bytes()) {
        return Err(format!("'{}' is not a valid header", name.escape_debug()));
    }
    if !Fields::is_valid_value(value.as_bytes()) {
        let value = value.escape_debug();
        return Err(format!("bad header value '{value}', control characters are not allowed"));
    }
    Ok(())
}

/// What stands before the first colon.
fn name(entry: &str) -> &str {
    entry.split(':').next().unwrap_or_default()
}

/// Name and value of `name:value`; `None` when the value is empty.
fn pair(entry: &str) -> Option<(String, String)> {
    let value = entry[name(entry).len()..].trim_start_matches(':');
    (!value.is_empty()).then(|| (name(entry).to_owned(), value.to_owned()))
}

/// Kong allows fewer characters than HTTP does.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_json(fields: &Fields) -> bool {
    let content_type = fields.known(Known::ContentType).unwrap_or_default();
    field_value::list(content_type).filter_map(MediaType::parse).any(|kind| kind.is_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    fn respond(config: Value, lines: &[(&str, &str)], body: &[&str]) -> (Exchange, String) {
        let plugin = testing::configure(&ResponseTransformer, config, &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        let body = testing::respond(&*plugin, &mut exchange, 200, lines, body);
        (exchange, body)
    }

    #[test]
    fn header_lines() {
        let config = json!({
            "remove": { "headers": ["x-gone"] }, "rename": { "headers": ["x-old:x-new"] },
            "replace": { "headers": ["x-have:R", "x-havenot:R"] },
            "add": { "headers": ["x-add:A", "x-present:A", "x-none:"] },
            "append": { "headers": ["x-app:2", "x-fresh:1:2"] }
        });
        let lines = [("X-Gone", "1"), ("X-Old", "o"), ("X-Have", "h"), ("X-Present", "p"), ("X-App", "1")];
        let (exchange, _) = respond(config, &lines, &["x"]);
        let mut shown: Vec<_> = exchange
            .response
            .fields
            .iter()
            .map(|(n, v)| format!("{}={}", n.to_lowercase(), String::from_utf8_lossy(v)))
            .collect();
        shown.sort();
        assert_eq!(shown, ["x-add=A", "x-app=1", "x-app=2", "x-fresh=1:2", "x-have=R", "x-new=o", "x-present=p"]);
    }

    #[test]
    fn json_members() {
        let config = || {
            json!({
                "remove": { "json": ["gone"] }, "rename": { "json": ["old:new"] },
                "replace": { "json": ["have:R", "havenot:R"] },
                "add": { "json": ["add:A", "present:A"] }, "append": { "json": ["app:2", "fresh:1"] }
            })
        };
        let lines = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", "70")];
        let (exchange, body) = respond(
            config(),
            &lines,
            &["{\"gone\":1,\"old\":\"o\",\"ha", "ve\":\"h\",\"present\":\"p\",\"app\":\"1\"}"],
        );
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({ "new": "o", "have": "R", "add": "A", "present": "p", "app": ["1", "2"], "fresh": ["1"] })
        );
        assert!(!exchange.response.fields.has(Known::ContentLength));
        assert_eq!(respond(config(), &[("Content-Type", "text/plain"), ("Content-Length", "2")], &["{}"]).1, "{}");
        assert_eq!(respond(config(), &lines, &["{bro", "ken"]).1, "{broken");
    }

    #[test]
    fn json_that_is_no_text_is_edited() {
        let plugin = testing::configure(&ResponseTransformer, json!({ "add": { "json": ["a:b"] } }), &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        let lines = [("Content-Type", "application/json")];
        let body: [&[u8]; 2] = [b"{\"l\":\"\xe9\",", b"\"n\":1.10}"];
        let edited = testing::respond_octets(&*plugin, &mut exchange, 200, &lines, &body);
        assert_eq!(edited, b"{\"l\":\"\xe9\",\"n\":1.10,\"a\":\"b\"}");
    }

    #[test]
    fn what_cannot_be_held_is_passed_on_as_it_is() {
        let env = Env::default().with_memory(MemoryBudget::new(10_000));
        let plugin = testing::configure(&ResponseTransformer, json!({ "add": { "json": ["a:b"] } }), &env);
        let lines = [("Content-Type", "application/json")];
        let respond = |body: &[&str]| {
            let mut exchange = testing::exchange("GET", "/", &[]);
            testing::respond(&*plugin, &mut exchange, 200, &lines, body)
        };
        let text = "x".repeat(6_000);
        assert_eq!(
            respond(&["{\"l\":\"", &text, "\",\"m\":\"", &text, "\"}"]),
            format!(r#"{{"l":"{text}","m":"{text}"}}"#)
        );
        assert_eq!(respond(&["{\"l\":\"", &text, "\"}"]), format!(r#"{{"l":"{text}","a":"b"}}"#));
        assert_eq!(respond(&["{}"]), r#"{"a":"b"}"#);
        assert_eq!(env.memory().taken(), 0);
    }

    #[test]
    fn header_names_are_checked() {
        assert_eq!(are_header_names(&json!("a b:c")).unwrap_err(), "'a b' is not a valid header");
        assert_eq!(are_header_names(&json!("a:c d")).unwrap_err(), "'c d' is not a valid header");
        assert!(are_header_names(&json!("a:c")).is_ok());
    }

    #[test]
    fn what_cannot_become_a_line_is_refused() {
        assert_eq!(is_line("x y:1").unwrap_err(), "'x y' is not a valid header");
        assert_eq!(
            is_line("x:a\r\nb: c").unwrap_err(),
            "bad header value 'a\\r\\nb: c', control characters are not allowed"
        );
        assert!(is_line("x:a\tb:\u{e9}").is_ok() && is_line("x y:").is_ok());
    }
}

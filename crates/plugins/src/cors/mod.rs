//! `cors`: lets pages of other origins read responses, and answers browsers that ask beforehand.

mod origin;

use origin::{Origins, Verdict};
use sdk::{Answer, Config, Env, Exchange, Fields, Function, Phases, Plugin, PluginKind, Step, entities};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct Cors;

struct Instance {
    origins: Origins,
    /// Empty: those that the request asks for.
    headers: String,
    exposed_headers: String,
    methods: String,
    max_age: Option<String>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
    allow_origin_absent: bool,
}

/// The response of a preflight request is complete, or the service's own business.
struct Preflight;

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";

impl PluginKind for Cors {
    fn name(&self) -> &'static str {
        "cors"
    }

    fn priority(&self) -> i32 {
        2000
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("cors_origin", Function::Validator(is_origin))]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance {
            origins: Origins::parse(&config.texts("origins")).map_err(|e| format!("config.origins: {e}"))?,
            headers: config.header_list("headers")?.unwrap_or_default(),
            exposed_headers: config.header_list("exposed_headers")?.unwrap_or_default(),
            methods: config
                .header_list("methods")?
                .unwrap_or_else(|| "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT".to_owned()),
            max_age: config.number("max_age").map(|seconds| seconds.to_string()),
            credentials: config.flag("credentials"),
            private_network: config.flag("private_network"),
            preflight_continue: config.flag("preflight_continue"),
            allow_origin_absent: config.flag("allow_origin_absent"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::HEADER_FILTER)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let fields = &exchange.request.fields;
        let origin = asked_origin(fields).to_vec();
        if exchange.request.method.as_str() != "OPTIONS"
            || origin.is_empty()
            || !fields.contains("Access-Control-Request-Method")
        {
            return Step::Next;
        }
        let answer = (!self.preflight_continue).then(|| self.preflight(fields, &origin));
        exchange.put(Preflight);
        answer.map_or(Step::Next, Step::Answer)
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        if exchange.take::<Preflight>().is_some() {
            return;
        }
        let Exchange { request, response, .. } = exchange;
        let origin = asked_origin(&request.fields);
        if origin.is_empty() && !self.allow_origin_absent {
            return;
        }
        self.allow(&mut response.fields, origin);
        if !self.exposed_headers.is_empty() {
            response.fields.set("Access-Control-Expose-Headers", self.exposed_headers.as_bytes());
        }
    }
}

impl Instance {
    /// The lines that say who may read the response, and whether with credentials.
    fn allow(&self, fields: &mut Fields, origin: &[u8]) {
        let verdict = self.origins.judge(origin);
        // The answer depends on the origin: caches must know.
        if !matches!(self.origins, Origins::All) {
            fields.append("Vary", b"Origin");
        }
        match &verdict {
            // A star is not accepted together with credentials.
            Verdict::All if self.credentials && !origin.is_empty() => {
                fields.append("Vary", b"Origin");
                fields.set(ALLOW_ORIGIN, origin);
            }
            Verdict::All => fields.set(ALLOW_ORIGIN, b"*"),
            Verdict::Named(named) => fields.set(ALLOW_ORIGIN, named.as_bytes()),
            Verdict::Asked(asked) => fields.set(ALLOW_ORIGIN, asked.as_bytes()),
            Verdict::Refused => {
                fields.remove(ALLOW_ORIGIN);
            }
        }
        if self.credentials && !(matches!(verdict, Verdict::All) && origin.is_empty()) {
            fields.set("Access-Control-Allow-Credentials", b"true");
        }
    }

    fn preflight(&self, request: &Fields, origin: &[u8]) -> Answer {
        let mut answer = Answer::new(200, "");
        let fields = &mut answer.fields;
        self.allow(fields, origin);
        if !self.headers.is_empty() {
            fields.set("Access-Control-Allow-Headers", self.headers.as_bytes());
        } else if let Some(wanted) = request.get("Access-Control-Request-Headers") {
            fields.set("Access-Control-Allow-Headers", wanted);
        }
        fields.set("Access-Control-Allow-Methods", self.methods.as_bytes());
        if let Some(max_age) = &self.max_age {
            fields.set("Access-Control-Max-Age", max_age.as_bytes());
        }
        if self.private_network && request.get("Access-Control-Request-Private-Network") == Some(b"true") {
            fields.set("Access-Control-Allow-Private-Network", b"true");
        }
        answer
    }
}

/// The check that the schema names.
fn is_origin(entry: &Value) -> Result<(), String> {
    let entry = entry.as_str().unwrap_or_default();
    if entry == "*" || regex::Regex::new(entry).is_ok() && !repeats_repetitions(entry) {
        Ok(())
    } else {
        Err(format!("'{entry}' is not a valid regex"))
    }
}

/// Whether a pattern repeats what is a repetition already, such as `a**`: PCRE, and so Kong, takes none such.
fn repeats_repetitions(pattern: &str) -> bool {
    let (mut repeated, mut in_class) = (0, false);
    let mut octets = pattern.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
                repeated = 0;
            }
            b']' if in_class => (in_class, repeated) = (false, 0),
            _ if in_class => {}
            b'[' => in_class = true,
            b'*' if repeated > 0 => return true,
            // One of these may say how it repeats.
            b'+' | b'?' if repeated > 1 => return true,
            b'*' | b'+' | b'?' => repeated += 1,
            _ => repeated = 0,
        }
    }
    false
}

/// The origin that a request names; empty when it names none.
fn asked_origin(fields: &Fields) -> &[u8] {
    fields.get("Origin").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    fn plugin(changes: Value) -> Box<dyn Plugin> {
        let mut config = json!({
            "credentials": false, "private_network": false, "preflight_continue": false, "allow_origin_absent": true
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        testing::configure(&Cors, config, &Env::default())
    }

    #[test]
    fn origins_are_patterns_as_of_pcre() {
        for origin in ["*", "a.test", r"https?://.*\.test", "(?:a|b)+?[*+]*", r"\**", "a{1,2}"] {
            assert_eq!(is_origin(&json!(origin)), Ok(()), "{origin}");
        }
        for origin in ["invalid_**regex", "a++*", "a???", "("] {
            assert_eq!(is_origin(&json!(origin)), Err(format!("'{origin}' is not a valid regex")));
        }
    }

    fn shown(fields: &Fields) -> Vec<String> {
        let name = |n: &str| n.to_lowercase().replace("access-control-", "");
        fields.iter().map(|(n, v)| format!("{}={}", name(n), String::from_utf8_lossy(v))).collect()
    }

    fn preflight(config: Value, extra: &[(&str, &str)]) -> Option<Vec<String>> {
        let lines = [&[("Origin", "http://app.test"), ("Access-Control-Request-Method", "PUT")], extra].concat();
        let plugin = plugin(config);
        let mut exchange = testing::exchange("OPTIONS", "/", &lines);
        let answer = testing::access(&*plugin, &mut exchange);
        plugin.header_filter(&mut exchange);
        assert!(
            answer.as_ref().is_none_or(|a| a.status == 200
                && a.body.is_empty()
                && a.fields.len() == exchange.response.fields.len())
        );
        answer.map(|a| shown(&a.fields))
    }

    fn simple(config: Value, request: &[(&str, &str)], response: &[(&str, &str)]) -> Vec<String> {
        let mut exchange = testing::exchange("GET", "/", request);
        testing::respond(&*plugin(config), &mut exchange, 200, response, &[]);
        shown(&exchange.response.fields)
    }

    #[test]
    fn preflights() {
        let methods = "allow-methods=GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";
        assert_eq!(preflight(json!({}), &[]).unwrap(), ["allow-origin=*", methods]);
        let wanted =
            [("Access-Control-Request-Headers", "x-a, x-b"), ("Access-Control-Request-Private-Network", "true")];
        assert_eq!(preflight(json!({}), &wanted).unwrap(), ["allow-origin=*", "allow-headers=x-a, x-b", methods]);
        let config = json!({
            "origins": ["http://app.test"], "methods": ["GET", "PUT"], "headers": ["x-one", "x-two"],
            "exposed_headers": ["x-out"], "max_age": 23, "credentials": true, "private_network": true
        });
        let lines = [
            "vary=Origin",
            "allow-origin=http://app.test",
            "allow-credentials=true",
            "allow-headers=x-one,x-two",
            "allow-methods=GET,PUT",
            "max-age=23",
            "allow-private-network=true",
        ];
        assert_eq!(preflight(config, &wanted).unwrap(), lines);
        assert!(preflight(json!({ "preflight_continue": true }), &[]).is_none());
    }

    #[test]
    fn only_preflights_are_answered() {
        let plugin = plugin(json!({}));
        let answered = |method, lines: &[(&str, &str)]| {
            testing::access(&*plugin, &mut testing::exchange(method, "/", lines)).is_some()
        };
        let (origin, method) = (("Origin", "http://app.test"), ("Access-Control-Request-Method", "PUT"));
        assert!(answered("OPTIONS", &[origin, method]));
        assert!(
            !answered("GET", &[origin, method]) && !answered("OPTIONS", &[origin]) && !answered("OPTIONS", &[method])
        );
        assert!(!answered("OPTIONS", &[("Origin", ""), method]));
    }

    #[test]
    fn simple_requests() {
        let app = [("Origin", "http://app.test")];
        assert_eq!(simple(json!({}), &app, &[]), ["allow-origin=*"]);
        assert_eq!(simple(json!({}), &[], &[]), ["allow-origin=*"]);
        assert!(simple(json!({ "allow_origin_absent": false }), &[], &[]).is_empty());
        let credentials = json!({ "credentials": true });
        assert_eq!(
            simple(credentials.clone(), &app, &[]),
            ["vary=Origin", "allow-origin=http://app.test", "allow-credentials=true"]
        );
        assert_eq!(simple(credentials, &[], &[]), ["allow-origin=*"]);
        let one =
            json!({ "origins": ["http://one.test"], "exposed_headers": ["x-out", "x-more"], "credentials": true });
        assert_eq!(
            simple(one, &app, &[]),
            ["vary=Origin", "allow-origin=http://one.test", "allow-credentials=true", "expose-headers=x-out,x-more"]
        );
    }

    #[test]
    fn the_services_own_lines() {
        let config = || json!({ "origins": ["http://one.test", "http://app.test"] });
        let up = [("Access-Control-Allow-Origin", "http://up.test"), ("Vary", "Accept-Encoding")];
        assert_eq!(
            simple(config(), &[("Origin", "http://app.test")], &up),
            ["allow-origin=http://app.test", "vary=Accept-Encoding", "vary=Origin"]
        );
        assert_eq!(simple(config(), &[("Origin", "http://no.test")], &up), ["vary=Accept-Encoding", "vary=Origin"]);
    }
}

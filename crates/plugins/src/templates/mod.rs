//! Values with `$(…)` in them: expressions over the request. What configurations mostly use is evaluated here
//! ([`Expression`]), all else that is Lua by the run time for code.

mod expression;
mod lexer;

use expression::{Expression, MAX_TEXT};
use sdk::{Args, Exchange, Script, Scripts};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A value that may depend on the request.
pub struct Template(Vec<Part>);

enum Part {
    Text(Vec<u8>),
    Expression(Expression),
    Code(Arc<dyn Script>),
}

/// What templates are about: the request as it came to the plugin.
pub struct Scope<'a> {
    pub exchange: &'a mut Exchange,
    query: OnceCell<Args>,
    /// When code may not begin any more.
    until: Option<Instant>,
}

/// How long all code for one request may take together: the worker does nothing else meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// The names that Kong has for expressions, and what they are to code.
const GIVEN: [(&str, &str); 4] = [
    ("headers", "kong.request.get_headers()"),
    ("query_params", "kong.request.get_query()"),
    ("uri_captures", "(ngx.ctx.router_matches or {}).uri_captures or {}"),
    ("shared", "kong.ctx.shared"),
];

impl Template {
    /// Reads a value. `scripts` is what runs code.
    pub fn parse(text: &str, scripts: Option<&dyn Scripts>) -> Result<Template, String> {
        Template::read(text, |code, error| match scripts {
            Some(scripts) => scripts.load(&code).map(Part::Code),
            None => Err(error),
        })
    }

    /// Whether a value can be read.
    pub fn check(text: &str) -> Result<(), String> {
        let nothing = || Part::Text(Vec::new());
        let read = |code: String, error| sdk::scripts::read(&code).unwrap_or(Err(error)).map(|()| nothing());
        Template::read(text, read).map(drop)
    }

    /// Whether it may look at the content of requests.
    pub fn reads_content(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Code(code) if code.reads_content()))
    }

    /// The value for a request.
    pub fn render(&self, scope: &mut Scope<'_>) -> Result<Cow<'_, [u8]>, String> {
        if let [Part::Text(text)] = &self.0[..] {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Expression(expression) => out.extend(expression.text(scope)?),
                Part::Code(code) => out.extend(scope.run(&**code)?),
            }
        }
        Ok(Cow::Owned(out))
    }

    /// `load` reads code; it gets the reason why its expression needs code, too.
    fn read(text: &str, load: impl Fn(String, String) -> Result<Part, String>) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("$(") {
            let Some(end) = closing(&rest[start + 1..]) else { break };
            if start > 0 {
                parts.push(Part::Text(rest[..start].into()));
            }
            let inner = &rest[start + 2..start + 1 + end];
            parts.push(match Expression::parse(inner) {
                Ok(expression) => Part::Expression(expression),
                Err(error) => load(code(inner), error)?,
            });
            rest = &rest[start + 1 + end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Template(parts))
    }
}

impl<'a> Scope<'a> {
    pub fn new(exchange: &'a mut Exchange) -> Scope<'a> {
        Scope { exchange, query: OnceCell::new(), until: None }
    }

    /// The arguments of the request, which few templates speak of.
    pub fn query(&self) -> &Args {
        self.query.get_or_init(|| Args::parse(self.exchange.request.query().unwrap_or_default()))
    }

    fn run(&mut self, code: &dyn Script) -> Result<Vec<u8>, String> {
        let now = Instant::now();
        if now >= *self.until.get_or_insert(now + LONGEST) {
            return Err("the expressions take too long".to_owned());
        }
        let text = code.text(self.exchange)?;
        if text.len() > MAX_TEXT { Err("the text is too long".to_owned()) } else { Ok(text) }
    }
}

/// Code that returns the function for an expression. It asks for nothing of which the expression does not speak.
fn code(expression: &str) -> String {
    let given = GIVEN.iter().filter(|(name, _)| expression.contains(name));
    let given: String = given.map(|(name, value)| format!("local {name} = {value}\n")).collect();
    format!(
        "return function()\n{given}local value = ({expression}\n) or ''\n\
        return type(value) == 'table' and table.concat(value, ', ') or tostring(value)\nend"
    )
}

/// The offset of the parenthesis that closes the one that `text` begins with.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' if open == 1 => return Some(at),
            b')' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;

    fn render(text: &str) -> Result<String, String> {
        let lines = [("X-In", "in"), ("X-Two", "a"), ("X-Two", "b"), ("Authorization", "Bearer abc")];
        let mut exchange = testing::exchange("GET", "/?q=7&flag&n=a%20b&l=%E9x&%E9=k", &lines);
        exchange.captures = ["user", "1"].map(|name| (name.to_owned(), b"ada".to_vec())).to_vec();
        Ok(Template::parse(text, None)?.render(&mut Scope::new(&mut exchange))?.escape_ascii().to_string())
    }

    #[test]
    fn members_of_the_request() {
        for (text, value) in [
            ("plain", "plain"),
            ("$(headers[\"x-in\"])", "in"),
            ("q-$(query_params.q)-$(query_params['n'])", "q-7-a b"),
            ("$(headers.x_in)$(headers.none)", "in"),
            ("/u/$(uri_captures.user)/$(uri_captures[1])", "/u/ada/ada"),
            ("$(query_params.none or \"fallback\")", "fallback"),
            ("$(query_params.flag)", "true"),
            ("$(headers.authorization:sub(8)):$(headers['x-in']:upper())", "abc:IN"),
            ("$((query_params.q == '7' and 'yes') or 'no')", "yes"),
            ("$('a' .. query_params.q .. 1.5)", "a71.5"),
            ("$(type(headers['x-two']) .. headers['x-two'][2])", "tableb"),
            ("$(not headers.none)", "true"),
            ("$(headers.authorization:sub(-3, -2))$(('ab'):rep(2))", "ababab"),
            ("$(query_params.l)$(query_params.l:sub(1, 1))$(query_params.l:len())", "\\xe9x\\xe92"),
            ("$(query_params.l:reverse():upper() .. 'é')", "X\\xe9\\xc3\\xa9"),
            ("$(query_params[query_params.l:sub(1, 1)])$(headers[query_params.l])", "k"),
            ("a $( b", "a $( b"),
            ("$", "$"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for text in [
            "$(headers.none.x)",
            "$('a' .. nil)",
            "$(os.time())",
            "$(shared.x)",
            "$()",
            "$(headers[)",
            "$(1 2)",
            "$('a)",
            "$(('a'):rep(9999999))",
            "$(x:gsub('a'))",
        ] {
            assert!(render(text).is_err(), "{text}");
        }
        assert!(Template::parse(&format!("$({}1{})", "(".repeat(200), ")".repeat(200)), None).is_err());
    }
}

//! Values with `$(…)` in them: expressions over the request, in the part of Lua that configurations use.
//!
//! There are `headers`, `query_params`, `uri_captures` and `shared` with their members (`.name`, `["name"]`, `[1]`),
//! strings, numbers, `or`, `and`, `not`, `==`, `~=`, `..`, parentheses, the functions `tostring` and `type`, and the
//! string methods `sub`, `lower`, `upper`, `len`, `rep` and `reverse`.

use super::lexer::{Token, tokens};
use sdk::{Args, Exchange};

/// A value that may depend on the request.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Expression(Expression),
}

/// What expressions are about.
pub struct Scope<'a> {
    exchange: &'a Exchange,
    query: Args,
}

#[derive(Debug)]
enum Expression {
    Constant(Value),
    Table(Table),
    Index(Box<Expression>, Box<Expression>),
    Method(Box<Expression>, Method, Vec<Expression>),
    TypeOf(Box<Expression>),
    ToString(Box<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Table {
    Headers,
    Query,
    Captures,
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Sub,
    Lower,
    Upper,
    Len,
    Rep,
    Reverse,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Concat,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Table(Table),
}

/// Expressions inside each other.
const MAX_DEPTH: usize = 32;
/// The longest text that an expression may make.
const MAX_TEXT: usize = 64 * 1024;

impl Template {
    /// Reads a value.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("$(") {
            let Some(end) = closing(&rest[start + 1..]) else { break };
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            let inner = &rest[start + 2..start + 1 + end];
            let mut parser = Parser { tokens: tokens(inner)?, at: 0 };
            let expression = parser.binary(0, MAX_DEPTH)?;
            if parser.at < parser.tokens.len() {
                return Err(format!("'{inner}' goes on where it should end"));
            }
            parts.push(Part::Expression(expression));
            rest = &rest[start + 1 + end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// The value for a request.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                // Nil and false show as nothing.
                Part::Expression(expression) => match expression.evaluate(scope)? {
                    Value::Nil | Value::Boolean(false) => {}
                    value => out.push_str(&value.to_text()),
                },
            }
        }
        Ok(out)
    }
}

impl<'a> Scope<'a> {
    /// The request as it came to the plugin.
    pub fn new(exchange: &'a Exchange) -> Scope<'a> {
        Scope { exchange, query: Args::parse(exchange.request.query().unwrap_or_default()) }
    }

    fn member(&self, table: Table, key: &Value) -> Value {
        let name = match key {
            Value::Text(text) => text.clone(),
            Value::Number(_) => key.to_text(),
            _ => return Value::Nil,
        };
        let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
        match table {
            Table::Headers => {
                let fields = &self.exchange.request.fields;
                let exact = list(fields.get_all(&name).map(text));
                if exact == Value::Nil { list(fields.get_all(&name.replace('_', "-")).map(text)) } else { exact }
            }
            Table::Query => {
                list(self.query.get_all(&name).map(|v| v.map_or(Value::Boolean(true), |v| Value::Text(v.to_owned()))))
            }
            Table::Captures => {
                let found = self.exchange.captures.iter().find(|(capture, _)| *capture == name);
                found.map_or(Value::Nil, |(_, value)| Value::Text(value.clone()))
            }
            Table::Shared => Value::Nil,
        }
    }
}

impl Expression {
    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, String> {
        Ok(match self {
            Expression::Constant(value) => value.clone(),
            Expression::Table(table) => Value::Table(*table),
            Expression::TypeOf(inner) => Value::Text(inner.evaluate(scope)?.kind().to_owned()),
            Expression::ToString(inner) => Value::Text(inner.evaluate(scope)?.to_text()),
            Expression::Not(inner) => Value::Boolean(!inner.evaluate(scope)?.is_true()),
            Expression::Index(inner, key) => match (inner.evaluate(scope)?, key.evaluate(scope)?) {
                (Value::Table(table), key) => scope.member(table, &key),
                (Value::List(values), Value::Number(n)) if n >= 1.0 => {
                    values.into_iter().nth(n as usize - 1).unwrap_or(Value::Nil)
                }
                (Value::List(_), _) => Value::Nil,
                (other, _) => return Err(format!("attempt to index a {} value", other.kind())),
            },
            Expression::Method(inner, method, args) => {
                let text = match inner.evaluate(scope)? {
                    value @ (Value::Text(_) | Value::Number(_)) => value.to_text(),
                    other => return Err(format!("attempt to index a {} value", other.kind())),
                };
                let args = args.iter().map(|arg| arg.evaluate(scope)).collect::<Result<Vec<_>, _>>()?;
                method.call(&text, &args)?
            }
            Expression::Binary(operator, left, right) => {
                let left = left.evaluate(scope)?;
                match operator {
                    Operator::Or if left.is_true() => left,
                    Operator::And if !left.is_true() => left,
                    Operator::Or | Operator::And => right.evaluate(scope)?,
                    Operator::Equal => Value::Boolean(left == right.evaluate(scope)?),
                    Operator::Unequal => Value::Boolean(left != right.evaluate(scope)?),
                    Operator::Concat => match (left, right.evaluate(scope)?) {
                        (left @ (Value::Text(_) | Value::Number(_)), right @ (Value::Text(_) | Value::Number(_))) => {
                            bounded(left.to_text() + &right.to_text())?
                        }
                        (left, right) => {
                            return Err(format!(
                                "attempt to concatenate a {} and a {} value",
                                left.kind(),
                                right.kind()
                            ));
                        }
                    },
                }
            }
        })
    }
}

impl Method {
    fn call(self, text: &str, args: &[Value]) -> Result<Value, String> {
        let number = |at: usize| match args.get(at) {
            Some(Value::Number(n)) => Some(*n as i64),
            _ => None,
        };
        Ok(match self {
            Method::Lower => Value::Text(text.to_ascii_lowercase()),
            Method::Upper => Value::Text(text.to_ascii_uppercase()),
            Method::Len => Value::Number(text.len() as f64),
            Method::Reverse => Value::Text(text.chars().rev().collect()),
            Method::Rep => {
                let times = usize::try_from(number(0).ok_or("rep needs a number")?).unwrap_or(0);
                if times.saturating_mul(text.len()) > MAX_TEXT {
                    return Err("the text is too long".to_owned());
                }
                Value::Text(text.repeat(times))
            }
            Method::Sub => {
                let length = text.len() as i64;
                let place = |n: i64| if n < 0 { (length + n + 1).max(0) } else { n };
                let first = place(number(0).ok_or("sub needs a number")?).max(1);
                let last = place(number(1).unwrap_or(-1)).min(length);
                let bytes = if first > last { &[] } else { &text.as_bytes()[first as usize - 1..last as usize] };
                Value::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        })
    }
}

impl Value {
    fn is_true(&self) -> bool {
        !matches!(self, Value::Nil | Value::Boolean(false))
    }

    fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Boolean(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) | Value::Table(_) => "table",
        }
    }

    fn to_text(&self) -> String {
        match self {
            Value::Nil => "nil".to_owned(),
            Value::Boolean(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(values) => values.iter().map(Value::to_text).collect::<Vec<_>>().join(", "),
            Value::Table(_) => "table".to_owned(),
        }
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    /// Operators by how loosely they bind.
    fn binary(&mut self, level: usize, depth: usize) -> Result<Expression, String> {
        const LEVELS: [&[(Token<'static>, Operator)]; 4] = [
            &[(Token::Name("or"), Operator::Or)],
            &[(Token::Name("and"), Operator::And)],
            &[(Token::Symbol("=="), Operator::Equal), (Token::Symbol("~="), Operator::Unequal)],
            &[(Token::Symbol(".."), Operator::Concat)],
        ];
        let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
        let Some(operators) = LEVELS.get(level) else { return self.unary(depth) };
        let mut left = self.binary(level + 1, depth)?;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.tokens.get(self.at) == Some(token)) {
            self.at += 1;
            let right = self.binary(level + 1, depth)?;
            left = Expression::Binary(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Expression, String> {
        let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
        if self.take(&Token::Name("not")) {
            return Ok(Expression::Not(Box::new(self.unary(depth)?)));
        }
        let mut expression = self.primary(depth)?;
        let mut length = 0;
        loop {
            length += 1;
            if length > MAX_DEPTH {
                return Err("nested too deeply".to_owned());
            }
            let inner = Box::new(expression);
            expression = if self.take(&Token::Symbol(".")) {
                Expression::Index(inner, Box::new(Expression::Constant(Value::Text(self.name()?.to_owned()))))
            } else if self.take(&Token::Symbol("[")) {
                let key = self.binary(0, depth)?;
                self.expect("]")?;
                Expression::Index(inner, Box::new(key))
            } else if self.take(&Token::Symbol(":")) {
                let method = match self.name()? {
                    "sub" => Method::Sub,
                    "lower" => Method::Lower,
                    "upper" => Method::Upper,
                    "len" => Method::Len,
                    "rep" => Method::Rep,
                    "reverse" => Method::Reverse,
                    other => return Err(format!("method '{other}' is not supported")),
                };
                self.expect("(")?;
                Expression::Method(inner, method, self.arguments(depth)?)
            } else {
                return Ok(*inner);
            };
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Expression, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("an expression ends too early")?;
        self.at += 1;
        Ok(match token {
            Token::Text(text) => Expression::Constant(Value::Text(text)),
            Token::Number(number) => Expression::Constant(Value::Number(number)),
            Token::Symbol("(") => {
                let inner = self.binary(0, depth)?;
                self.expect(")")?;
                inner
            }
            Token::Name("true") => Expression::Constant(Value::Boolean(true)),
            Token::Name("false") => Expression::Constant(Value::Boolean(false)),
            Token::Name("nil") => Expression::Constant(Value::Nil),
            Token::Name("headers") => Expression::Table(Table::Headers),
            Token::Name("query_params") => Expression::Table(Table::Query),
            Token::Name("uri_captures") => Expression::Table(Table::Captures),
            Token::Name("shared") => Expression::Table(Table::Shared),
            Token::Name(function @ ("tostring" | "type")) => {
                self.expect("(")?;
                let mut args = self.arguments(depth)?.into_iter();
                match (args.next(), args.next()) {
                    (Some(arg), None) if function == "type" => Expression::TypeOf(Box::new(arg)),
                    (Some(arg), None) => Expression::ToString(Box::new(arg)),
                    _ => return Err(format!("{function} takes one value")),
                }
            }
            Token::Name(other) => return Err(format!("'{other}' is not supported")),
            Token::Symbol(other) => return Err(format!("unexpected symbol near '{other}'")),
        })
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Expression>, String> {
        let mut args = Vec::new();
        if self.take(&Token::Symbol(")")) {
            return Ok(args);
        }
        loop {
            args.push(self.binary(0, depth)?);
            if !self.take(&Token::Symbol(",")) {
                self.expect(")")?;
                return Ok(args);
            }
        }
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), String> {
        if self.take(&Token::Symbol(symbol)) { Ok(()) } else { Err(format!("'{symbol}' expected")) }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        match self.tokens.get(self.at) {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err("a name expected".to_owned()),
        }
    }
}

/// Several values are a list, one is itself, none is nil.
fn list(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    match values.len() {
        0 => Value::Nil,
        1 => values.remove(0),
        _ => Value::List(values),
    }
}

fn bounded(text: String) -> Result<Value, String> {
    if text.len() > MAX_TEXT { Err("the text is too long".to_owned()) } else { Ok(Value::Text(text)) }
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
        let mut exchange = testing::exchange("GET", "/?q=7&flag&n=a%20b", &lines);
        exchange.captures = vec![("user".to_owned(), "ada".to_owned()), ("1".to_owned(), "ada".to_owned())];
        Template::parse(text)?.render(&Scope::new(&exchange))
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
            ("$(not headers.none)$(shared.x)", "true"),
            ("$(headers.authorization:sub(-3, -2))$(('ab'):rep(2))", "ababab"),
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
            "$()",
            "$(headers[)",
            "$(1 2)",
            "$('a)",
            "$(('a'):rep(9999999))",
            "$(x:gsub('a'))",
        ] {
            assert!(render(text).is_err(), "{text}");
        }
        assert!(Template::parse(&format!("$({}1{})", "(".repeat(200), ")".repeat(200))).is_err());
    }
}

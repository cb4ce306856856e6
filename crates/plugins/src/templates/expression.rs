//! Expressions over the request, in the part of Lua that configurations mostly use.
//!
//! There are `headers`, `query_params` and `uri_captures` with their members (`.name`, `["name"]`, `[1]`),
//! strings, numbers, `or`, `and`, `not`, `==`, `~=`, `..`, parentheses, the functions `tostring` and `type`, and the
//! string methods `sub`, `lower`, `upper`, `len`, `rep` and `reverse`.

use super::Scope;
use super::lexer::{Token, tokens};
use std::borrow::Cow;

/// An expression.
#[derive(Debug)]
pub enum Expression {
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
pub enum Table {
    Headers,
    Query,
    Captures,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Sub,
    Lower,
    Upper,
    Len,
    Rep,
    Reverse,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Concat,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    /// Octets, as in Lua.
    Text(Vec<u8>),
    List(Vec<Value>),
    Table(Table),
}

/// Expressions inside each other.
const MAX_DEPTH: usize = 32;
/// The longest text that an expression may make.
pub const MAX_TEXT: usize = 64 * 1024;

impl Scope<'_> {
    fn member(&self, table: Table, key: &Value) -> Value {
        let name = match key {
            Value::Text(text) => text.clone(),
            Value::Number(_) => key.to_text(),
            _ => return Value::Nil,
        };
        match table {
            Table::Headers => {
                // What is no text names no header line.
                let Ok(name) = std::str::from_utf8(&name) else { return Value::Nil };
                let fields = &self.exchange.request.fields;
                let values = |name: &str| list(fields.get_all(name).map(|value| Value::Text(value.to_vec())));
                let exact = values(name);
                if exact == Value::Nil { values(&name.replace('_', "-")) } else { exact }
            }
            Table::Query => {
                let value = |value: Option<Cow<'_, [u8]>>| value.map(|v| Value::Text(v.into_owned()));
                list(self.query().get_all(&name).map(|v| value(v).unwrap_or(Value::Boolean(true))))
            }
            Table::Captures => {
                let found = self.exchange.captures.iter().find(|(capture, _)| *capture.as_bytes() == *name);
                found.map_or(Value::Nil, |(_, value)| Value::Text(value.clone()))
            }
        }
    }
}

impl Expression {
    /// Reads an expression; the error says what is not in that part of Lua.
    pub fn parse(text: &str) -> Result<Expression, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let expression = parser.binary(0, MAX_DEPTH)?;
        if parser.at < parser.tokens.len() {
            return Err(format!("'{text}' goes on where it should end"));
        }
        Ok(expression)
    }

    /// The text that it makes; nil and false are nothing.
    pub fn text(&self, scope: &Scope<'_>) -> Result<Vec<u8>, String> {
        Ok(match self.evaluate(scope)? {
            Value::Nil | Value::Boolean(false) => Vec::new(),
            value => value.to_text(),
        })
    }

    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, String> {
        Ok(match self {
            Expression::Constant(value) => value.clone(),
            Expression::Table(table) => Value::Table(*table),
            Expression::TypeOf(inner) => Value::Text(inner.evaluate(scope)?.kind().into()),
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
                            bounded([left.to_text(), right.to_text()].concat())?
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
    fn call(self, text: &[u8], args: &[Value]) -> Result<Value, String> {
        let number = |at: usize| match args.get(at) {
            Some(Value::Number(n)) => Some(*n as i64),
            _ => None,
        };
        Ok(match self {
            Method::Lower => Value::Text(text.to_ascii_lowercase()),
            Method::Upper => Value::Text(text.to_ascii_uppercase()),
            Method::Len => Value::Number(text.len() as f64),
            Method::Reverse => Value::Text(text.iter().rev().copied().collect()),
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
                Value::Text(if first > last { Vec::new() } else { text[first as usize - 1..last as usize].to_vec() })
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

    fn to_text(&self) -> Vec<u8> {
        match self {
            Value::Nil => b"nil".to_vec(),
            Value::Boolean(value) => value.to_string().into(),
            Value::Number(value) => value.to_string().into(),
            Value::Text(text) => text.clone(),
            Value::List(values) => values.iter().map(Value::to_text).collect::<Vec<_>>().join(&b", "[..]),
            Value::Table(_) => b"table".to_vec(),
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
                Expression::Index(inner, Box::new(Expression::Constant(Value::Text(self.name()?.into()))))
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
            Token::Text(text) => Expression::Constant(Value::Text(text.into())),
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

fn bounded(text: Vec<u8>) -> Result<Value, String> {
    if text.len() > MAX_TEXT { Err("the text is too long".to_owned()) } else { Ok(Value::Text(text)) }
}

//! From text to tree.

use super::{Expression, Literal, Operator, Predicate};
use crate::address::Cidr;
use crate::regex_budget::{RegexBudget, verdict};

/// Parentheses and transformations inside each other.
const MAX_DEPTH: usize = 64;
/// The tree is as deep as a chain is long, so that is bounded, too.
const MAX_PREDICATES: usize = 2_000;

/// Longer ones first where one begins like another.
const OPERATORS: [(&str, Operator); 10] = [
    ("==", Operator::Equals),
    ("!=", Operator::NotEquals),
    ("=^", Operator::Postfix),
    ("^=", Operator::Prefix),
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Regex),
    ("contains", Operator::Contains),
];

/// Reads a whole text.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0, predicates: 0, budget: RegexBudget::new() };
    let tree = parser.and(0)?;
    parser.blanks();
    if parser.at < text.len() { Err(parser.expected("&&, || or the end")) } else { Ok(tree) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    predicates: usize,
    budget: RegexBudget,
}

impl<'a> Parser<'a> {
    fn and(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.or(depth)?;
        while self.take("&&") {
            left = Expression::And(Box::new(left), Box::new(self.or(depth)?));
        }
        Ok(left)
    }

    fn or(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.term(depth)?;
        while self.take("||") {
            left = Expression::Or(Box::new(left), Box::new(self.term(depth)?));
        }
        Ok(left)
    }

    fn term(&mut self, depth: usize) -> Result<Expression, String> {
        let not = self.take("!");
        if !self.take("(") {
            return if not { Err(self.expected("(")) } else { self.predicate() };
        }
        if depth >= MAX_DEPTH {
            return Err(format!("nested too deeply at character {}", self.at));
        }
        let inner = self.and(depth + 1)?;
        if !self.take(")") {
            return Err(self.expected(")"));
        }
        Ok(if not { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn predicate(&mut self) -> Result<Expression, String> {
        self.predicates += 1;
        if self.predicates > MAX_PREDICATES {
            return Err("too many predicates".to_owned());
        }
        let (mut lower, mut any, mut open) = (false, false, 0);
        let field = loop {
            let name = self.name();
            match name {
                "" => return Err(self.expected("a field")),
                name if !self.take("(") => break name.to_owned(),
                "lower" => lower = true,
                "any" => any = true,
                other => return Err(format!("unknown transformation '{other}'")),
            }
            open += 1;
            if open > MAX_DEPTH {
                return Err(format!("nested too deeply at character {}", self.at));
            }
        };
        for _ in 0..open {
            if !self.take(")") {
                return Err(self.expected(")"));
            }
        }
        let operator = self.operator()?;
        let value = self.literal()?;
        if let (Operator::Regex, Literal::Text(pattern)) = (operator, &value) {
            self.budget.compile(pattern, false).map_err(|e| verdict(&e))?;
        }
        Ok(Expression::Predicate(Predicate { field, lower, any, operator, value }))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        for (symbol, operator) in OPERATORS {
            if self.take(symbol) {
                return Ok(operator);
            }
        }
        let not = self.take("not");
        match self.take("in") {
            true if not => Ok(Operator::NotIn),
            true => Ok(Operator::In),
            false => Err(self.expected("an operator")),
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        if self.take("r#\"") {
            let rest = self.rest();
            let end = rest.find("\"#").ok_or_else(|| self.expected("\"#"))?;
            self.at += end + 2;
            return Ok(Literal::Text(rest[..end].to_owned()));
        }
        if self.take("\"") {
            return self.quoted().map(Literal::Text);
        }
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.:/".contains(c))).unwrap_or(rest.len());
        let literal = number_or_address(&rest[..end]).ok_or_else(|| self.expected("a value"))?;
        self.at += end;
        Ok(literal)
    }

    fn quoted(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let mut out = String::new();
        let mut chars = rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' => out.push(match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => c,
                    Some((_, 'n')) => '\n',
                    Some((_, 'r')) => '\r',
                    Some((_, 't')) => '\t',
                    _ => return Err(self.expected("a known escape")),
                }),
                c => out.push(c),
            }
        }
        Err(self.expected("\""))
    }

    /// A field or transformation.
    fn name(&mut self) -> &'a str {
        self.blanks();
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return "";
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at character {}", self.text[..self.at].chars().count() + 1)
    }
}

/// `-5`, `0x1F`, `017`, an address, or a network without bits beyond its prefix.
fn number_or_address(text: &str) -> Option<Literal> {
    if text.contains('/') {
        return Cidr::parse(text).filter(|network| network.is_first()).map(Literal::Cidr);
    }
    if let Ok(ip) = text.parse() {
        return Some(Literal::Ip(ip));
    }
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    number.ok().map(|n| Literal::Integer(sign * n))
}

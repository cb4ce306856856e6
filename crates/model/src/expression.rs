//! The language of routes' `expression` and plugins' `condition`: parsing and checking. The router compiles the tree.
//!
//! `||` binds tighter than `&&`, as in Kong's language (its `atc-router`) and unlike in most; `!` stands before
//! parentheses; the left side of a predicate is a field, perhaps inside `lower(...)` and `any(...)`; the right side a
//! string (`"..."` with escapes or raw `r#"..."#`), an integer, an address or a network.

mod check;
mod parse;

use crate::address::Cidr;
use check::About;
use std::net::IpAddr;

/// A condition on a request or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Predicate(Predicate),
}

/// A comparison of a field with a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Such as `http.path` or `http.headers.x_a`.
    pub field: String,
    /// Compare the lower-case form of the field.
    pub lower: bool,
    /// Of several values one is enough; without it, all must match.
    pub any: bool,
    pub operator: Operator,
    pub value: Literal,
}

/// How a predicate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    NotEquals,
    /// The value is a regular expression that compiles.
    Regex,
    Prefix,
    Postfix,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    In,
    NotIn,
    Contains,
}

/// The right side of a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    Text(String),
    Integer(i64),
    Ip(IpAddr),
    Cidr(Cidr),
}

impl Expression {
    /// Reads an expression and checks its fields and types; `stream`: for connections instead of requests.
    /// The error is what the client sees.
    pub fn parse(text: &str, stream: bool) -> Result<Expression, String> {
        let expression = parse::expression(text)?;
        check::expression(&expression, if stream { About::Connection } else { About::Request })?;
        Ok(expression)
    }

    /// Reads the condition of a plugin: the route and the service of the request are known by then, perhaps its caller.
    pub fn parse_condition(text: &str) -> Result<Expression, String> {
        let expression = parse::expression(text)?;
        check::expression(&expression, About::Exchange)?;
        Ok(expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, stream: bool) -> String {
        Expression::parse(text, stream).err().unwrap_or_default()
    }

    fn predicate(field: &str, operator: Operator, value: Literal) -> Expression {
        Expression::Predicate(Predicate { field: field.to_owned(), lower: false, any: false, operator, value })
    }

    #[test]
    fn or_binds_tighter_than_and() {
        let tree = |text: &str| Expression::parse(text, false).unwrap();
        for (bare, whole) in [
            ("1 && 2 || 3", "1 && (2 || 3)"),
            ("1 || 2 && 3", "(1 || 2) && 3"),
            ("1 || 2 && 3 || 4", "(1 || 2) && (3 || 4)"),
            ("1 || (2 && 3) || 4", "(1 || (2 && 3)) || 4"),
            ("!(1 || 2 && 3) && 4", "!((1 || 2) && 3) && 4"),
            ("1 && 2 && 3 || 4", "(1 && 2) && (3 || 4)"),
        ] {
            let [bare, whole] = [bare, whole].map(|text| {
                text.split_inclusive(|c: char| c.is_ascii_digit())
                    .map(|part| match part.strip_suffix(|c: char| c.is_ascii_digit()) {
                        Some(before) => format!("{before}net.dst.port == {}", &part[before.len()..]),
                        None => part.to_owned(),
                    })
                    .collect::<String>()
            });
            assert_eq!(tree(&bare), tree(&whole), "{bare}");
        }
    }

    #[test]
    fn what_predicates_are_made_of() {
        let tree =
            Expression::parse(r##"http.path ^= "/b" && http.host == r#"x"y"# && !(net.dst.port >= 0x50)"##, false);
        let path = predicate("http.path", Operator::Prefix, Literal::Text("/b".to_owned()));
        let host = predicate("http.host", Operator::Equals, Literal::Text("x\"y".to_owned()));
        let port = predicate("net.dst.port", Operator::GreaterOrEqual, Literal::Integer(80));
        let both = Expression::And(Box::new(path), Box::new(host));
        assert_eq!(tree, Ok(Expression::And(Box::new(both), Box::new(Expression::Not(Box::new(port))))));
    }

    #[test]
    fn literals_and_transformations() {
        let cidr = |text: &str| Literal::Cidr(Cidr::parse(text).unwrap());
        assert_eq!(
            Expression::parse("net.src.ip in 10.0.0.0/8", true),
            Ok(predicate("net.src.ip", Operator::In, cidr("10.0.0.0/8")))
        );
        assert_eq!(
            Expression::parse("net.src.ip not in fd00::/64", false),
            Ok(predicate("net.src.ip", Operator::NotIn, cidr("fd00::/64")))
        );
        let Ok(Expression::Predicate(found)) = Expression::parse(r#"any(lower(http.headers.x_a)) ~ "^a\\d\t""#, false)
        else {
            panic!("no predicate")
        };
        assert!(found.any);
        assert!(found.lower);
        assert_eq!(found.value, Literal::Text("^a\\d\t".to_owned()));
        for good in [
            "http.path.segments.len == 2",
            r#"http.path.segments.0_1 == "a/b""#,
            r#"http.queries.a != "b""#,
            r#"net.protocol=="tls""#,
            "net.src.ip==::1",
        ] {
            assert_eq!(error(good, false), "", "{good}");
        }
    }

    #[test]
    fn fields_and_types_are_checked() {
        assert_eq!(error(r#"foo == "/a""#, false), "Unknown LHS field");
        assert_eq!(error(r#"http.path == "/a""#, true), "Unknown LHS field");
        let mismatch = "Type mismatch between the LHS and RHS values of predicate";
        assert_eq!(error("http.path == 1", false), mismatch.to_owned());
        assert_eq!(error(r#"net.port == "x""#, false), mismatch.to_owned());
        assert_eq!(
            error("lower(net.src.port) == 1", false),
            "lower-case transformation function only supported with String type fields"
        );
        assert_eq!(error("net.src.ip in 1.2.3.4/16", false), "expected a value at character 15");
        assert_eq!(error(r#"net.src.ip in "a""#, false), "In/NotIn operators only supports IP in CIDR");
        assert_eq!(
            error(r#"http.path > "a""#, false),
            "Greater/GreaterOrEqual/Lesser/LesserOrEqual operators only supports integer operands"
        );
        assert_eq!(error(r#"http.path.segments.2_1 == "a""#, false), "illformed http.path.segments.* field");
    }

    #[test]
    fn conditions_know_more_fields() {
        for field in ["consumer.username", "route.id", "service.name", "http.path"] {
            let text = format!("{field} == \"x\"");
            assert_eq!(Expression::parse_condition(&text).err(), None, "{field}");
            assert_eq!(error(&text, false).is_empty(), field == "http.path", "{field}");
        }
        let unknown = Expression::parse_condition(r#"consumer.tags == "x""#);
        assert_eq!(unknown, Err("Unknown LHS field".to_owned()));
    }

    #[test]
    fn what_is_no_expression() {
        for bad in [
            "",
            "x",
            r#"http.path = "/a""#,
            r#"http.path ~ "(""#,
            r#"http.path == "a" &&"#,
            r#"(http.path == "a""#,
            r#"http.path == "a" x"#,
            r#"http.path == "\x""#,
        ] {
            assert!(!error(bad, false).is_empty(), "{bad}");
        }
        let deep = format!("{}net.dst.port == 1{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(error(&deep, false), "nested too deeply at character 65");
        let long = vec!["net.dst.port == 1"; 5_000].join(" || ");
        assert_eq!(error(&long, false), "too many predicates");
    }
}

//! Fields exist and have the types that the operators want.

use super::{Expression, Literal, Operator, Predicate};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Ip,
    Cidr,
}

/// What an expression is about, and so which fields there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Connection,
    Request,
    /// A request that has been routed.
    Exchange,
}

/// Checks every predicate.
pub(super) fn expression(tree: &Expression, about: About) -> Result<(), String> {
    match tree {
        Expression::And(left, right) | Expression::Or(left, right) => {
            expression(left, about)?;
            expression(right, about)
        }
        Expression::Not(inner) => expression(inner, about),
        Expression::Predicate(predicate) => check(predicate, about).map_err(str::to_owned),
    }
}

fn check(predicate: &Predicate, about: About) -> Result<(), &'static str> {
    let field = field_type(&predicate.field, about).ok_or("Unknown LHS field")?;
    let value = match predicate.value {
        Literal::Text(_) => Type::Text,
        Literal::Integer(_) => Type::Integer,
        Literal::Ip(_) => Type::Ip,
        Literal::Cidr(_) => Type::Cidr,
    };
    let operator = predicate.operator;
    if !matches!(operator, Operator::Regex | Operator::In | Operator::NotIn) && field != value {
        return Err("Type mismatch between the LHS and RHS values of predicate");
    }
    if predicate.lower && field != Type::Text {
        return Err("lower-case transformation function only supported with String type fields");
    }
    let (suits, words) = match operator {
        Operator::Equals | Operator::NotEquals => (true, ""),
        Operator::Regex => {
            (field == Type::Text && value == Type::Text, "Regex operators only supports string operands")
        }
        Operator::Prefix | Operator::Postfix => {
            (value == Type::Text, "Regex/Prefix/Postfix operators only supports string operands")
        }
        Operator::Greater | Operator::GreaterOrEqual | Operator::Less | Operator::LessOrEqual => (
            value == Type::Integer,
            "Greater/GreaterOrEqual/Lesser/LesserOrEqual operators only supports integer operands",
        ),
        Operator::In | Operator::NotIn => {
            (field == Type::Ip && value == Type::Cidr, "In/NotIn operators only supports IP in CIDR")
        }
        Operator::Contains => (value == Type::Text, "Contains operator only supports string operands"),
    };
    if !suits {
        return Err(words);
    }
    match predicate.field.strip_prefix("http.path.segments.") {
        Some(segments) if !well_formed(segments) => Err("illformed http.path.segments.* field"),
        _ => Ok(()),
    }
}

fn field_type(field: &str, about: About) -> Option<Type> {
    match field {
        "net.protocol" | "tls.sni" => Some(Type::Text),
        // The last one is an old name of the destination's port.
        "net.src.port" | "net.dst.port" | "net.port" => Some(Type::Integer),
        "net.src.ip" | "net.dst.ip" => Some(Type::Ip),
        _ if about == About::Connection => None,
        "consumer.id" | "consumer.username" | "consumer.custom_id" | "route.id" | "route.name" | "service.id"
        | "service.name" => (about == About::Exchange).then_some(Type::Text),
        "http.method" | "http.host" | "http.path" => Some(Type::Text),
        "http.path.segments.len" => Some(Type::Integer),
        other => ["http.path.segments.", "http.headers.", "http.queries."]
            .iter()
            .any(|prefix| other.len() > prefix.len() && other.starts_with(prefix))
            .then_some(Type::Text),
    }
}

/// `len`, a position, or a range of positions from a smaller to a larger one.
fn well_formed(segments: &str) -> bool {
    let position = |text: &str| text.parse::<u32>().ok().filter(|n| n.to_string() == text);
    match segments.split_once('_') {
        None => segments == "len" || position(segments).is_some(),
        Some((from, to)) => matches!((position(from), position(to)), (Some(from), Some(to)) if from < to),
    }
}

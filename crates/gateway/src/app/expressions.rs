//! Whether an expression holds for a request that somebody describes: the tree of its parts, each with what becomes of
//! it, as the router would judge it.

use admin::DescribedRequest;
use model::expression::{Expression, Literal, Operator, Predicate};
use model::regex_budget::RegexBudget;
use proxy::path;
use proxy::router::{Condition, Query};
use sdk::Fields;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Octets of an expression: each part is compiled along with all that it is in.
const LONGEST: usize = 16 << 10;

/// Judges an expression; the error says what is wrong with it.
pub fn judge(expression: &str, request: &DescribedRequest) -> Result<Value, String> {
    if expression.len() > LONGEST {
        return Err("the expression is too long to be tried".to_owned());
    }
    let tree = Expression::parse(expression, false)?;
    let path = path::normalise(&request.path).map_err(|_| "the path cannot be that of a request".to_owned())?;
    let fields: Fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let name = request.host.rsplit_once(':').map_or(&*request.host, |(name, _)| name);
    let query = Query {
        stream: None,
        method: &request.method,
        https: request.https,
        tls: request.https,
        host: request.host.as_bytes(),
        port: request.port,
        path: &path,
        query: request.query.as_deref(),
        sni: request.https.then_some(name),
        source: request.client.map(|client| SocketAddr::new(client, 0)),
        destination: None,
        fields: &fields,
        exchange: None,
    };
    let mut budget = RegexBudget::new();
    part(&tree, &query, &mut budget)
}

/// A part with its own parts.
fn part(tree: &Expression, query: &Query<'_>, budget: &mut RegexBudget) -> Result<Value, String> {
    let holds = Condition::compile(tree, budget)?.holds(query, &mut None);
    Ok(match tree {
        Expression::And(..) | Expression::Or(..) => {
            let and = matches!(tree, Expression::And(..));
            let parts: Result<Vec<Value>, String> =
                chained(tree, and).into_iter().map(|inner| part(inner, query, budget)).collect();
            json!({ "kind": if and { "and" } else { "or" }, "holds": holds, "parts": parts? })
        }
        Expression::Not(inner) => json!({ "kind": "not", "holds": holds, "parts": [part(inner, query, budget)?] }),
        Expression::Predicate(predicate) => json!({ "kind": "test", "holds": holds, "text": text(predicate) }),
    })
}

/// The parts of a chain of one operator.
fn chained(tree: &Expression, and: bool) -> Vec<&Expression> {
    let (mut found, mut open) = (Vec::new(), vec![tree]);
    while let Some(one) = open.pop() {
        match one {
            Expression::And(left, right) if and => open.extend([&**right, &**left]),
            Expression::Or(left, right) if !and => open.extend([&**right, &**left]),
            other => found.push(other),
        }
    }
    found
}

/// A comparison as one writes it.
fn text(predicate: &Predicate) -> String {
    let mut field = predicate.field.clone();
    if predicate.lower {
        field = format!("lower({field})");
    }
    if predicate.any {
        field = format!("any({field})");
    }
    let operator = match predicate.operator {
        Operator::Equals => "==",
        Operator::NotEquals => "!=",
        Operator::Regex => "~",
        Operator::Prefix => "^=",
        Operator::Postfix => "=^",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::In => "in",
        Operator::NotIn => "not in",
        Operator::Contains => "contains",
    };
    let value = match &predicate.value {
        Literal::Text(text) => json!(text).to_string(),
        Literal::Integer(number) => number.to_string(),
        Literal::Ip(address) => address.to_string(),
        Literal::Cidr(network) => network.to_string(),
    };
    format!("{field} {operator} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expression: &str) -> Result<Value, String> {
        let request = DescribedRequest {
            method: "GET".to_owned(),
            https: true,
            host: "a.test:8443".to_owned(),
            port: 8443,
            path: "/shop/cart".to_owned(),
            query: Some("n=1".to_owned()),
            headers: vec![("X-Kind".to_owned(), "b".to_owned())],
            client: "10.0.0.1".parse().ok(),
        };
        judge(expression, &request)
    }

    #[test]
    fn each_part_is_judged() {
        let told = judged(
            r#"http.path ^= "/shop" && (http.host == "b.test" || http.headers.x_kind == "b") && !(tls.sni == "x")"#,
        );
        let told = told.unwrap();
        assert_eq!(told["holds"], true);
        assert_eq!(told["parts"].as_array().unwrap().len(), 3);
        assert_eq!(
            told["parts"][1]["parts"][0],
            json!({
                "kind": "test", "holds": false, "text": "http.host == \"b.test\""
            })
        );
        assert_eq!(told["parts"][2]["kind"], "not");
        assert_eq!(judged("net.src.ip in 10.0.0.0/8").unwrap()["holds"], true);
        assert_eq!(judged(r#"http.queries.n == "2""#).unwrap()["holds"], false);
        assert!(judged("http.path ^= ").is_err());
    }
}

//! Which requests stand for which method: the path templates of `google.api.http`.

use crate::grpc::{Method, Schema};
use regex::Regex;
use serde_json::Value;

/// A method and the requests that stand for it.
pub(super) struct Binding {
    /// In lower case.
    pub http_method: String,
    pub method: Method,
    /// The field that the content is, or `*` for all of them.
    pub body: Option<String>,
    path: Regex,
    variables: Vec<String>,
}

const HTTP_METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

impl Binding {
    /// All that a schema has.
    pub fn all(schema: &Schema) -> Result<Vec<Binding>, String> {
        let mut bindings = Vec::new();
        for method in schema.methods() {
            let Some(rule) = method.http_rule() else { continue };
            let additional = ["additionalBindings", "additional_bindings"].iter().find_map(|name| rule.get(name));
            let additional = additional.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for rule in std::iter::once(&rule).chain(additional) {
                for http_method in HTTP_METHODS {
                    let Some(template) = rule.get(http_method).and_then(Value::as_str) else { continue };
                    let (path, variables) = compile(template)?;
                    let body = rule.get("body").and_then(Value::as_str).filter(|body| !body.is_empty());
                    bindings.push(Binding {
                        http_method: http_method.to_owned(),
                        method: method.clone(),
                        body: body.map(str::to_owned),
                        path,
                        variables,
                    });
                }
            }
        }
        Ok(bindings)
    }

    /// The variables of a path that fits.
    pub fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let found = self.path.captures(path)?;
        let value = |at: usize| found.get(at + 1).map(|group| group.as_str().to_owned());
        self.variables.iter().enumerate().map(|(at, name)| Some((name.clone(), value(at)?))).collect()
    }
}

/// A template as a regular expression, and the names of its groups.
fn compile(template: &str) -> Result<(Regex, Vec<String>), String> {
    let (mut pattern, mut variables, mut rest) = ("^".to_owned(), Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        pattern.push_str(&segments(before));
        let (variable, behind) = after.split_once('}').ok_or_else(|| format!("'{template}': '{{' without '}}'"))?;
        let (name, within) = variable.split_once('=').unwrap_or((variable, "*"));
        variables.push(name.to_owned());
        pattern.push_str(&format!("({})", segments(within)));
        rest = behind;
    }
    pattern.push_str(&segments(rest));
    pattern.push('$');
    let regex = Regex::new(&pattern).map_err(|error| format!("'{template}': {error}"))?;
    Ok((regex, variables))
}

/// `**` stands for any segments, `*` for one.
fn segments(text: &str) -> String {
    let several = text.split("**").map(|part| part.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/]+"));
    several.collect::<Vec<_>>().join(".+")
}

//! The words of expressions.

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    Name(&'a str),
    Text(String),
    Number(f64),
    Symbol(&'static str),
}

/// The words of a text.
pub fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    const SYMBOLS: [&str; 11] = ["==", "~=", "..", ".", "[", "]", "(", ")", ":", ",", "-"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first == '"' || first == '\'' {
            string(rest, first)?
        } else if first.is_ascii_digit() || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            (Token::Name(&rest[..length]), length)
        } else {
            let symbol = SYMBOLS
                .iter()
                .find(|s| rest.starts_with(**s))
                .ok_or_else(|| format!("unexpected symbol near '{first}'"))?;
            (Token::Symbol(symbol), symbol.len())
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token<'_>, usize), String> {
    let digits = |from: usize| text[from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| from + n);
    let mut end = digits(1);
    // Two points are an operator.
    if text[end..].starts_with('.') && !text[end..].starts_with("..") {
        end = digits(end + 1);
    }
    text[..end]
        .parse()
        .map(|n| (Token::Number(n), end))
        .map_err(|_| format!("malformed number near '{}'", &text[..end]))
}

fn string(text: &str, quote: char) -> Result<(Token<'_>, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((Token::Text(out), at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, c)) => out.push(c),
                None => break,
            },
            _ => out.push(c),
        }
    }
    Err("unfinished string".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let found = tokens(r#" a_1["b\"c"] .. -1.5..2 ~= 'x' "#).unwrap();
        let symbol = Token::Symbol;
        let expected = [
            Token::Name("a_1"),
            symbol("["),
            Token::Text("b\"c".into()),
            symbol("]"),
            symbol(".."),
            Token::Number(-1.5),
            symbol(".."),
            Token::Number(2.0),
            symbol("~="),
            Token::Text("x".into()),
        ];
        assert_eq!(found, expected);
        assert!(tokens("'a").is_err() && tokens("a ; b").is_err() && tokens("€").is_err());
    }
}

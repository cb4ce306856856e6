//! The syntax of nginx's configuration, as far as an injected value can use it.
//!
//! Kong writes `name value;` into a block of its configuration. A value may therefore hold several words, quoted ones
//! among them, and more directives behind a `;`.

/// A directive as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub name: String,
    pub words: Vec<String>,
    /// It has a block, whose content is left out.
    pub block: bool,
}

/// The directives that a value of `name` leads to.
pub fn read(name: &str, value: &str) -> Result<Vec<Written>, String> {
    let mut text = Reader { rest: value.chars().peekable() };
    let mut directives = Vec::new();
    let mut words = vec![name.to_owned()];
    loop {
        match text.token()? {
            Token::Word(word) => words.push(word),
            Token::Block if words.is_empty() => return Err("unexpected \"{\"".to_owned()),
            Token::Block => {
                text.skip_block()?;
                directives.push(Written { name: words.remove(0), words: std::mem::take(&mut words), block: true });
            }
            Token::Stop | Token::End if !words.is_empty() => {
                directives.push(Written { name: words.remove(0), words: std::mem::take(&mut words), block: false });
            }
            Token::Stop => return Err("unexpected \";\"".to_owned()),
            Token::End => return Ok(directives),
        }
    }
}

enum Token {
    Word(String),
    /// `;`
    Stop,
    /// `{`
    Block,
    End,
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Reader<'_> {
    fn token(&mut self) -> Result<Token, String> {
        loop {
            match self.rest.next() {
                None => return Ok(Token::End),
                Some(' ' | '\t' | '\r' | '\n') => {}
                Some('#') => while self.rest.next_if(|c| *c != '\n').is_some() {},
                Some(';') => return Ok(Token::Stop),
                Some('{') => return Ok(Token::Block),
                Some('}') => return Err("unexpected \"}\"".to_owned()),
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Token::Word),
                Some(first) => return Ok(Token::Word(self.plain(first))),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut word = String::new();
        loop {
            match self.rest.next() {
                None => return Err(format!("a {quote} is not closed")),
                Some(c) if c == quote => break,
                Some('\\') => self.escaped(&mut word),
                Some(c) => word.push(c),
            }
        }
        match self.rest.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
            Some(c) => Err(format!("unexpected \"{c}\"")),
        }
    }

    fn plain(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut next = Some(first);
        while let Some(c) = next {
            match c {
                '\\' => self.escaped(&mut word),
                // The brace of `${name}` begins no block.
                '$' => {
                    word.push(c);
                    word.extend(self.rest.next_if_eq(&'{'));
                }
                _ => word.push(c),
            }
            next = self.rest.next_if(|c| !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '{'));
        }
        word
    }

    /// What a backslash, already taken, and the next character stand for.
    fn escaped(&mut self, word: &mut String) {
        match self.rest.next() {
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c @ ('"' | '\'' | '\\' | ' ' | ';')) => word.push(c),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// Goes behind the end of a block whose beginning has been taken.
    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 1;
        while depth > 0 {
            match self.rest.next() {
                None => return Err("unexpected end of file, expecting \"}\"".to_owned()),
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(quote @ ('"' | '\'')) => while self.rest.next().is_some_and(|c| c != quote) {},
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<Vec<String>, String> {
        let show = |d: Written| format!("{}{:?}{}", d.name, d.words, if d.block { "{}" } else { "" });
        read("x", value).map(|all| all.into_iter().map(show).collect())
    }

    #[test]
    fn one_directive() {
        for (value, expected) in [
            ("", r#"x[]"#),
            ("on", r#"x["on"]"#),
            ("  8  16k ;", r#"x["8", "16k"]"#),
            (r#"X-A "a; b" 'c "d"'"#, r#"x["X-A", "a; b", "c \"d\""]"#),
            (r#"a\"b "c\"d\\e" f\ g"#, r#"x["a\"b", "c\"d\\e", "f g"]"#),
            (r"a\.b\t", r#"x["a\\.b\t"]"#),
            ("${a}b $c", r#"x["${a}b", "$c"]"#),
            ("a#b # c", r#"x["a#b"]"#),
        ] {
            assert_eq!(shown(value).unwrap(), [expected], "{value}");
        }
    }

    #[test]
    fn more_behind_it() {
        assert_eq!(shown("A 1; add_header B '2;3'").unwrap(), [r#"x["A", "1"]"#, r#"add_header["B", "2;3"]"#]);
        assert_eq!(shown("$a $b { default 0; '}' { } } gzip on").unwrap(), [r#"x["$a", "$b"]{}"#, r#"gzip["on"]"#]);
    }

    #[test]
    fn mistakes() {
        for (value, error) in [
            ("'a", "a ' is not closed"),
            ("\"a\"b", "unexpected \"b\""),
            ("a }", "unexpected \"}\""),
            ("a { b", "unexpected end of file, expecting \"}\""),
            ("a;; b", "unexpected \";\""),
            ("a; { }", "unexpected \"{\""),
            ("a { };", "unexpected \";\""),
        ] {
            assert_eq!(shown(value).unwrap_err(), error, "{value}");
        }
    }
}

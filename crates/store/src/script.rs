//! Text in SQL that is not ours, as far as it must be known before it is run: its statements, and what they name.

use std::collections::HashSet;

/// The statements of a text.
#[derive(Debug, Default)]
pub struct Script<'t> {
    pub statements: Vec<Statement<'t>>,
}

#[derive(Debug)]
pub struct Statement<'t> {
    pub text: &'t str,
    /// Its first word, in upper case.
    pub verb: String,
    /// All names and words in it, quoted or not, in lower case.
    pub words: HashSet<String>,
}

/// What changes nothing.
const READING: [&str; 5] = ["SELECT", "SHOW", "EXPLAIN", "TABLE", "VALUES"];
/// What begins and ends transactions.
const TRANSACTIONS: [&str; 8] = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"];
/// What changes only what it names.
const NAMING: [&str; 10] =
    ["INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "TRUNCATE", "CREATE", "ALTER", "DROP", "COMMENT"];

impl<'t> Script<'t> {
    pub fn read(text: &'t str) -> Script<'t> {
        let mut script = Script::default();
        let (mut start, mut at, mut words) = (0, 0, Vec::new());
        let octets = text.as_bytes();
        while at < octets.len() {
            match octets[at] {
                b'\'' => at = past_quoted(octets, at, is_escaping(octets, at)),
                b'"' => {
                    let end = past_quoted(octets, at, false);
                    let inner = text.get(at + 1..end.saturating_sub(1)).unwrap_or_default();
                    words.push(inner.replace("\"\"", "\"").to_lowercase());
                    at = end;
                }
                b'-' if octets[at..].starts_with(b"--") => {
                    at += octets[at..].iter().position(|octet| *octet == b'\n').unwrap_or(octets.len() - at);
                }
                b'/' if octets[at..].starts_with(b"/*") => at = past_comment(octets, at),
                b'$' if past_dollars(text, at).is_some() => at = past_dollars(text, at).unwrap_or(octets.len()),
                b';' => {
                    script.add(&text[start..at], std::mem::take(&mut words));
                    at += 1;
                    start = at;
                }
                octet if is_word(octet) => {
                    let end = octets[at..].iter().position(|o| !is_word(*o)).map_or(octets.len(), |len| at + len);
                    words.push(text[at..end].to_lowercase());
                    at = end;
                }
                _ => at += 1,
            }
        }
        script.add(&text[start..], words);
        script
    }

    /// Whether something may be changed by it in one of those tables, of whatever kind its statements are. What is not
    /// known to leave them alone may change them.
    pub fn may_change<'n>(&self, mut tables: impl Iterator<Item = &'n str> + Clone) -> bool {
        self.statements.iter().any(|statement| {
            let verb = statement.verb.as_str();
            let harmless = READING.contains(&verb) || TRANSACTIONS.contains(&verb);
            let names = |words: &HashSet<String>| tables.clone().any(|table| words.contains(table));
            !harmless && (!NAMING.contains(&verb) || names(&statement.words))
        }) && tables.next().is_some()
    }

    /// Whether it begins a transaction.
    pub fn begins(&self) -> bool {
        self.statements.iter().any(|statement| TRANSACTIONS.contains(&statement.verb.as_str()))
    }

    /// Whether a transaction that it has begun goes on after it.
    pub fn leaves_open(&self) -> bool {
        let verbs = self.statements.iter().rev().map(|statement| statement.verb.as_str());
        let mut last = verbs.filter(|verb| ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"].contains(verb));
        last.next().is_some_and(|verb| verb == "BEGIN" || verb == "START")
    }

    /// Whether a connection is as it was, after it.
    pub fn leaves_session(&self) -> bool {
        self.statements.iter().all(|statement| {
            let verb = statement.verb.as_str();
            let known = READING.contains(&verb) || TRANSACTIONS.contains(&verb) || NAMING.contains(&verb);
            let of_session = |word: &String| {
                word == "set_config" || word == "temp" || word == "temporary" || word.starts_with("pg_advisory")
            };
            known && !statement.words.iter().any(of_session)
        })
    }

    fn add(&mut self, text: &'t str, words: Vec<String>) {
        if let Some(first) = words.first() {
            let verb = first.to_uppercase();
            self.statements.push(Statement { text: text.trim(), verb, words: words.into_iter().collect() });
        }
    }
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet >= 0x80
}

/// Whether a text that begins there has escapes: `E'…'`.
fn is_escaping(octets: &[u8], at: usize) -> bool {
    let letter = at > 0 && octets[at - 1].eq_ignore_ascii_case(&b'e');
    letter && (at < 2 || !is_word(octets[at - 2]))
}

/// What follows a text or a name in quotes; two of them stand for one.
fn past_quoted(octets: &[u8], mut at: usize, escapes: bool) -> usize {
    let quote = octets[at];
    at += 1;
    while at < octets.len() {
        match octets[at] {
            b'\\' if escapes => at += 2,
            octet if octet == quote && octets.get(at + 1) == Some(&quote) => at += 2,
            octet if octet == quote => return at + 1,
            _ => at += 1,
        }
    }
    octets.len()
}

/// What follows a comment, which may have others in it.
fn past_comment(octets: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < octets.len() {
        match &octets[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    octets.len()
}

/// What follows a text in dollars, if one begins there: `$$…$$`, `$tag$…$tag$`.
fn past_dollars(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let len = rest[1..].find('$')? + 2;
    let tag = &rest[..len];
    let named = tag[1..len - 1].bytes().all(is_word) && !tag[1..].starts_with(|c: char| c.is_ascii_digit());
    let begins = at == 0 || !is_word(text.as_bytes()[at - 1]);
    (named && begins).then(|| rest[len..].find(tag).map_or(text.len(), |end| at + len + end + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        Script::read(text).statements.iter().map(|statement| statement.text.to_owned()).collect()
    }

    fn changes(text: &str) -> bool {
        Script::read(text).may_change(["routes", "services"].into_iter())
    }

    #[test]
    fn statements_end_outside_of_texts_and_comments() {
        let text = "SELECT ';', E'\\';', \"a;\" -- ;\n; /* ; /* ; */ */ DO $x$ ; $$ ; $x$;;SELECT $1";
        let wanted = ["SELECT ';', E'\\';', \"a;\" -- ;", "/* ; /* ; */ */ DO $x$ ; $$ ; $x$", "SELECT $1"];
        assert_eq!(texts(text), wanted);
    }

    #[test]
    fn what_may_change_a_table_names_it_or_is_unknown() {
        assert!(changes("UPDATE \"Routes\" SET a = 1"));
        assert!(changes("BEGIN; delete from public.services; COMMIT"));
        assert!(changes("WITH x AS (DELETE FROM routes RETURNING id) SELECT * FROM x"));
        assert!(changes("DO $$ BEGIN EXECUTE 'x'; END $$"));
        assert!(!changes("SELECT * FROM routes"));
        assert!(!changes("UPDATE mine SET a = 'routes'"));
    }

    #[test]
    fn transactions_and_sessions_are_seen() {
        let left = |text: &str| (Script::read(text).leaves_open(), Script::read(text).leaves_session());
        assert_eq!(left("BEGIN; UPDATE a SET b = 1; COMMIT;"), (false, true));
        assert_eq!(left("BEGIN; UPDATE a SET b = 1"), (true, true));
        assert_eq!(left("SET statement_timeout = 1"), (false, false));
        assert_eq!(left("SELECT pg_advisory_lock(1)"), (false, false));
    }
}

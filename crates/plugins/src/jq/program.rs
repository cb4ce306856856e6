//! Programs of jq: what is wrong with one, and what it makes of content. Nothing here is bounded in time, and only a
//! [`runner`](super::runner) may run one.

use super::printer::{Printer, Style};
use super::updates;
use jaq_core::compile::{self, Compiler, Undefined};
use jaq_core::data::JustLut;
use jaq_core::load::parse::{Def, Parser};
use jaq_core::load::{self, Arena, File, Lexer, Loader};
use jaq_core::{Ctx, Filter, Vars};
use jaq_json::{Map, Val, read};
use std::thread;

/// The longest program, in octets. What an operator writes is far from it; what nests as deep as it can within it is
/// compiled on [`STACK`].
pub const LONGEST: usize = 16 << 10;

/// The stack on which they are checked; only what is used of it is taken from the system.
const STACK: usize = 256 << 20;

/// The program among all definitions.
const MAIN: &str = "main";

const UNUSABLE: &str = "it cannot be compiled";

/// A program that can be run.
pub struct Program(Filter<JustLut<Val>>);

/// What has become of content.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What the program has put out, until its end or its first error; perhaps nothing.
    Output(Vec<u8>),
    /// The content is no single value of JSON.
    NotJson,
    /// It has put out more than may be.
    TooLarge,
}

/// What jq has and the library lacks.
const MORE: &str = include_str!("more.jq");

impl Program {
    /// The program in that text.
    pub fn compile(text: &str) -> Result<Program, String> {
        let own = load::parse(MORE, |parser| parser.defs()).unwrap_or_default().into_iter().map(|mut filter| {
            let known = updates::FILTERS.iter().find(|(name, _)| *name == filter.name);
            filter.name = known.map_or(filter.name, |(_, called)| *called);
            filter
        });
        let tokens = Lexer::new(text).lex();
        let tokens = tokens.map_err(|errors| expected(errors.first().map(|(what, at)| (what.as_str(), *at))))?;
        let term = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
            expected(errors.first().map(|(what, at)| (what.as_str(), at.map_or("", |token| token.0))))
        })?;
        // What programs are made of can be given to the library as a definition only.
        let main = Def { name: MAIN, args: Vec::new(), body: updates::as_in_jq(term) };
        let known = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).chain(own);
        let mut defs: Vec<Def<&str>> = known.collect();
        defs.push(main);
        let arena = Arena::default();
        let modules = Loader::new(defs).load(&arena, File { code: MAIN, path: () });
        let modules = modules.map_err(|_| UNUSABLE.to_owned())?;
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let compiler = Compiler::default().with_funs(functions).with_global_vars(["$ENV"]);
        let compiled = compiler.compile(modules);
        compiled.map(Program).map_err(|errors| undefined(errors.first().and_then(|(_, errors)| errors.first())))
    }

    /// What it makes of content, in at most so many octets.
    pub fn run(&self, content: &[u8], style: Style, most: usize) -> Outcome {
        let Ok(input) = read::parse_single(content) else { return Outcome::NotJson };
        let environment = Val::obj(Map::default());
        let context = Ctx::<JustLut<Val>>::new(&self.0.lut, Vars::new([environment]));
        let mut printer = Printer::new(style, most);
        // As in Kong, an error is the end of what is put out, as `halt` is.
        for value in self.0.id.run((context, input)).map_while(Result::ok) {
            if printer.print(&value).is_err() {
                return Outcome::TooLarge;
            }
        }
        Outcome::Output(printer.into_text())
    }
}

/// What is wrong with a program, if anything is.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("a jq program has at most {LONGEST} octets"));
    }
    thread::scope(|scope| {
        let compile = || Program::compile(text).map(drop);
        let compiling = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, compile);
        let compiling = compiling.map_err(|error| format!("the jq program cannot be checked: {error}"))?;
        compiling.join().unwrap_or_else(|_| Err(UNUSABLE.to_owned()))
    })
    .map_err(|error| format!("invalid jq program: {error}"))
}

/// What was expected, and where.
fn expected(error: Option<(&str, &str)>) -> String {
    match error {
        Some((what, "")) => format!("expected {what} at its end"),
        Some((what, at)) => format!("expected {what} at '{}'", shown(at)),
        None => UNUSABLE.to_owned(),
    }
}

fn undefined(error: Option<&compile::Error<&str>>) -> String {
    match error {
        Some((name, Undefined::Filter(arity))) => format!("undefined filter '{}/{arity}'", shown(name)),
        Some((name, kind)) => format!("undefined {} '{}'", kind.as_str(), shown(name)),
        None => UNUSABLE.to_owned(),
    }
}

/// The beginning of a part of a program.
fn shown(part: &str) -> String {
    const MOST: usize = 40;
    part.chars().take(MOST).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPACT: Style = Style { compact: true, raw: false, join: false, ascii: false, sorted: false };

    fn run(program: &str, content: &str) -> Outcome {
        Program::compile(program).unwrap().run(content.as_bytes(), COMPACT, 1 << 20)
    }

    fn output(text: &str) -> Outcome {
        Outcome::Output(text.into())
    }

    #[test]
    fn programs_make_text_of_content() {
        assert_eq!(run(".a", r#" {"a": [1, "é"]} "#), output("[1,\"é\"]\n"));
        assert_eq!(run(".[] | . * 1.5", "[2, 3]"), output("3\n4.5\n"));
        assert_eq!(run("to_entries | map(.key)", r#"{"z":1,"a":2}"#), output("[\"z\",\"a\"]\n"));
        assert_eq!(run("empty", "1"), output(""));
        assert_eq!(run("$ENV, env", "1"), output("{}\n{}\n"));
        assert_eq!(run("[inputs], input_filename", "1"), output("[]\nnull\n"));
        assert_eq!(run(".big", r#"{"big":12345678901234567890123}"#), output("12345678901234567890123\n"));
    }

    #[test]
    fn what_the_library_lacks_is_there() {
        assert_eq!(
            run("@csv, @tsv", r#"[1,"a\"b\t",null,true]"#),
            output("\"1,\\\"a\\\"\\\"b\\t\\\",,true\"\n\"1\\ta\\\"b\\\\t\\t\\ttrue\"\n")
        );
        assert_eq!(run("[tostream]", r#"[1,{"a":[]}]"#), output("[[[0],1],[[1,\"a\"],[]],[[1,\"a\"]],[[1]]]\n"));
        assert_eq!(run("fromstream(tostream)", r#"[1,{"a":[2]}]"#), output("[1,{\"a\":[2]}]\n"));
        assert_eq!(run("[1 | truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])]", "1"), output("[[[0],2],[[0]]]\n"));
        assert_eq!(run("INDEX(.id)", r#"[{"id":7}]"#), output("{\"7\":{\"id\":7}}\n"));
        assert_eq!(run("IN(1, 2), isvalid(error), ascii, toarray", "65"), output("false\nfalse\n\"A\"\n[65]\n"));
        assert_eq!(run("trimstr(\"a\")", "\"aba\""), output("\"b\"\n"));
    }

    #[test]
    fn updates_make_what_is_missing() {
        assert_eq!(run(".a.b[1].c = 1", "{}"), output("{\"a\":{\"b\":[null,{\"c\":1}]}}\n"));
        assert_eq!(run(".a += 1 | .b //= . | .c |= 3", "{\"a\":1}"), output("{\"a\":2,\"b\":{\"a\":2},\"c\":3}\n"));
        assert_eq!(run("(.a, .b) = 7 | .n.x += .a", "null"), output("{\"a\":7,\"b\":7,\"n\":{\"x\":7}}\n"));
        assert_eq!(run("setpath([\"a\", 0]; 1)", "{}"), output("{\"a\":[1]}\n"));
        assert_eq!(run(".[] |= (select(. > 1) | . + 1)", "[1,2,3]"), output("[3,4]\n"));
        assert_eq!(
            run("map(.x.y = 1) | .[0] |= \"\\(.x.z = 2)\"", "[{}]"),
            output("[\"{\\\"x\\\":{\\\"y\\\":1,\\\"z\\\":2}}\"]\n")
        );
        assert_eq!(run(".a.b = 1", "{\"a\":\"text\"}"), output(""));
    }

    #[test]
    fn an_error_is_the_end() {
        assert_eq!(run(".[] | .a", r#"[{"a":1},"text",{"a":2}]"#), output("1\n"));
        assert_eq!(run("1, halt, 2", "null"), output("1\n"));
        assert_eq!(run(".a", "[]"), output(""));
    }

    #[test]
    fn content_is_one_value() {
        for content in ["", "{", "1 2", "text", "[1,]"] {
            assert_eq!(run(".", content), Outcome::NotJson, "{content}");
        }
    }

    #[test]
    fn output_has_a_limit() {
        let program = Program::compile("range(10)").unwrap();
        assert_eq!(program.run(b"0", COMPACT, 19), Outcome::TooLarge);
        assert!(matches!(program.run(b"0", COMPACT, 20), Outcome::Output(_)));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| check(text).unwrap_err();
        assert_eq!(error(".a |"), "invalid jq program: expected term at its end");
        assert_eq!(error("nope(1)"), "invalid jq program: undefined filter 'nope/1'");
        assert_eq!(error("$x"), "invalid jq program: undefined variable '$x'");
        assert_eq!(error("\"a"), "invalid jq program: expected closing quote at its end");
        assert!(error("import \"a\" as a; .").contains("expected"));
        assert!(error(&".".repeat(LONGEST + 1)).contains("at most 16384"));
        assert_eq!(check(".a | select(. > 1) // empty"), Ok(()));
    }

    /// Each of these has a level for a few of its octets.
    #[test]
    fn what_nests_deep_is_compiled() {
        let nested = |open: &str, middle: &str, close: &str| {
            let levels = (LONGEST - middle.len()) / (open.len() + close.len());
            open.repeat(levels) + middle + &close.repeat(levels)
        };
        let deep = [
            nested("(", "1", ")"),
            nested("[", "1", "]"),
            nested("-", "1", ""),
            nested("1+", "1", ""),
            nested(".|", ".", ""),
            nested("try ", ".", ""),
            nested("\"\\(", "1", ")\""),
            nested("if . then ", ".", " end"),
            nested("def f:", ".", ";."),
            nested(". as $x|", ".", ""),
            nested(". as [$x]?//", "$y|.", ""),
            nested(".[", "0", "]"),
            nested("{a:", "1", "}"),
            nested("reduce . as $x(", ".", ";.)"),
        ];
        for program in deep {
            // Some are mistakes; what counts is that there is an answer.
            let _: Result<(), String> = check(&program);
        }
    }
}

//! Updates as jq does them. Those of the library fail where there is nothing to update, such as `.a.b = 1` on an object
//! without `a`; jq makes it. In their place, programs call the filters that `more.jq` has for this.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

/// The filters by their names there, and as programs call them: by names that nobody can give to others.
pub const FILTERS: [(&str, &str); 2] = [("assigned", "="), ("updated", "|=")];

/// The right side of an update, in a variable that nobody can name.
const RIGHT: &str = "$=";

type Source<'s> = Term<&'s str>;

/// The same program with updates of jq.
pub fn as_in_jq(term: Source<'_>) -> Source<'_> {
    match term {
        Term::BinOp(left, operator, right) => operation(as_in_jq(*left), operator, as_in_jq(*right)),
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(part).collect()),
        Term::Arr(items) => Term::Arr(items.map(|of| as_in_jq(*of).into())),
        Term::Obj(members) => Term::Obj(members.into_iter().map(|(k, v)| (as_in_jq(k), v.map(as_in_jq))).collect()),
        Term::Neg(of) => Term::Neg(as_in_jq(*of).into()),
        Term::Label(name, of) => Term::Label(name, as_in_jq(*of).into()),
        Term::Fold(kind, of, names, arguments) => {
            Term::Fold(kind, as_in_jq(*of).into(), pattern(names), all(arguments))
        }
        Term::TryCatch(of, catch) => Term::TryCatch(as_in_jq(*of).into(), catch.map(|of| as_in_jq(*of).into())),
        Term::IfThenElse(cases, otherwise) => {
            let cases = cases.into_iter().map(|(condition, then)| (as_in_jq(condition), as_in_jq(then)));
            Term::IfThenElse(cases.collect(), otherwise.map(|of| as_in_jq(*of).into()))
        }
        Term::Def(definitions, of) => {
            let body = |definition: Def<_, _>| Def { body: as_in_jq(definition.body), ..definition };
            Term::Def(definitions.into_iter().map(body).collect(), as_in_jq(*of).into())
        }
        Term::Call(name, arguments) => Term::Call(name, all(arguments)),
        Term::Path(of, Path(parts)) => {
            let index = |part| match part {
                Part::Index(of) => Part::Index(as_in_jq(of)),
                Part::Range(from, to) => Part::Range(from.map(as_in_jq), to.map(as_in_jq)),
            };
            Term::Path(
                as_in_jq(*of).into(),
                Path(parts.into_iter().map(|(part, optional)| (index(part), optional)).collect()),
            )
        }
        leaf @ (Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_)) => leaf,
    }
}

fn operation<'s>(left: Source<'s>, operator: BinaryOp<&'s str>, right: Source<'s>) -> Source<'s> {
    match operator {
        BinaryOp::Assign => Term::Call("=", vec![left, right]),
        BinaryOp::Update => Term::Call("|=", vec![left, right]),
        BinaryOp::UpdateMath(math) => by_right(left, BinaryOp::Math(math), right),
        BinaryOp::UpdateAlt => by_right(left, BinaryOp::Alt, right),
        BinaryOp::Pipe(names) => Term::BinOp(left.into(), BinaryOp::Pipe(names.map(pattern)), right.into()),
        operator => Term::BinOp(left.into(), operator, right.into()),
    }
}

/// `right as $x | left |= . OPERATOR $x`.
fn by_right<'s>(left: Source<'s>, operator: BinaryOp<&'s str>, right: Source<'s>) -> Source<'s> {
    let value = Term::BinOp(Term::Id.into(), operator, Term::Var(RIGHT).into());
    let update = Term::Call("|=", vec![left, value]);
    Term::BinOp(right.into(), BinaryOp::Pipe(Some(Pattern::Var(RIGHT))), update.into())
}

fn all(terms: Vec<Source<'_>>) -> Vec<Source<'_>> {
    terms.into_iter().map(as_in_jq).collect()
}

fn part<'s>(part: StrPart<&'s str, Source<'s>>) -> StrPart<&'s str, Source<'s>> {
    match part {
        StrPart::Term(term) => StrPart::Term(as_in_jq(term)),
        text => text,
    }
}

fn pattern(names: Pattern<&str>) -> Pattern<&str> {
    match names {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(members) => {
            Pattern::Obj(members.into_iter().map(|(key, of)| (as_in_jq(key), pattern(of))).collect())
        }
    }
}

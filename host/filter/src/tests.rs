//! Tests filters: which tests each expression matches, and the error for an invalid expression.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_model::{Attribute, Requirement, Runnable, Status};
use proptest::prelude::*;

use super::*;

/// A test with tags, a suite and a requirement.
fn runnable() -> Runnable {
    let mut runnable = Runnable {
        kind: "pytest".to_owned(),
        tags: vec![
            ("slow".to_owned(), Vec::new()),
            (
                "arch".to_owned(),
                vec!["x86_64".to_owned(), "arm".to_owned()],
            ),
        ],
        requirements: vec![Requirement {
            kind: "package".to_owned(),
            uri: Some("gcc".to_owned()),
            ..Requirement::default()
        }],
        ..Runnable::default()
    };
    let suite = Attribute::from("nightly");
    runnable.more.insert("suite".into(), suite);
    runnable
}

fn holds_after(filter: &str, last: Option<LastResult<'_>>) -> bool {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{error}"));
    let runnable = runnable();
    filter.matches(&TestFacts {
        name: "t/test_net.py:T.test_get[a(b)]",
        title: "nightly:t/test_net.py:T.test_get[a(b)];v1",
        runnable: &runnable,
        last,
    })
}

fn holds(filter: &str) -> bool {
    holds_after(filter, None)
}

#[test]
fn conditions_look_at_the_parts_of_a_test() {
    for filter in [
        "all()",
        "name(~net)",
        "name(t/*)",
        "name(*;v1)",
        "name(t/test_net.py:T.test_get[a(b)])",
        "name(=t/test_net.py:T.test_get[a(b)])",
        "name(\"t/test_net.py:T.test_get[a(b)]\")",
        "name(/test_(get|put)/)",
        "name(/^t\\//)",
        "name(*get?a*)",
        "kind(pytest)",
        "kind( py* )",
        "suite(nightly)",
        "tag(slow)",
        "tag(arch)",
        "tag(arch:arm)",
        "tag(~x86)",
        "tags(slow)",
        "tags(slow,arch:arm,-net)",
        "requirement(package)",
        "requirement(package:gcc)",
        "requirement(~gc)",
        "status(none)",
    ] {
        assert!(holds(filter), "{filter}");
        assert!(!holds(&format!("!{filter}")), "{filter}");
    }
    for filter in [
        "none()",
        "name(net)",
        "name(=t/*)",
        "name(~T/)",
        "kind(pytest*x)",
        "kind(pyt?st?)",
        "suite(night)",
        "tag(net)",
        "tag(arch:mips)",
        "tags(slow,net)",
        "tags(-slow)",
        "tags(arch:mips)",
        "requirement(package:clang)",
        "case(~a)",
        "status(pass)",
    ] {
        assert!(!holds(filter), "{filter}");
    }
}

#[test]
fn operators_bind_as_in_other_languages() {
    for (filter, expected) in [
        ("all() | none() & none()", true),
        ("(all() | none()) & none()", false),
        ("none() & none() | all()", true),
        ("!none() & !none()", true),
        ("!(none() | all())", false),
        ("!!all()", true),
        ("not none() and all() or none()", true),
        ("all()&&none()||none()", false),
        ("not(none())", true),
        (" ( all( ) )\n& all() ", true),
    ] {
        assert_eq!(holds(filter), expected, "{filter}");
    }
}

#[test]
fn status_and_cases_are_those_of_the_last_run() {
    let cases = ["a > first".to_owned(), "b".to_owned()];
    let last = LastResult {
        status: Status::Fail,
        cases: &cases,
    };
    for (filter, expected) in [
        ("status(fail)", true),
        ("status(FAIL)", true),
        ("status(none)", false),
        ("status(pass) | status(interrupted)", false),
        ("case(b)", true),
        ("case(* > first)", true),
        ("case(first)", false),
    ] {
        assert_eq!(holds_after(filter, Some(last)), expected, "{filter}");
        assert!(Filter::parse(filter).unwrap().needs_results(), "{filter}");
    }
    assert!(!Filter::parse("name(a) & !tag(b)").unwrap().needs_results());
}

#[test]
fn fault_of_a_filter_names_its_place() {
    for (filter, place, message) in [
        ("", "", "expected a condition such as `name(…)`, `!` or `(`"),
        ("name", "", "expected `(` and an argument"),
        (
            "name(a) &",
            "",
            "expected a condition such as `name(…)`, `!` or `(`",
        ),
        ("name(a) tag(b)", "t", "expected `&`, `|` or the end"),
        ("(name(a) tag(b)", "t", "expected `&`, `|` or `)`"),
        ("(name(a)", "", "expected `&`, `|` or `)`"),
        ("name(a", "", "expected `)` at the end of the condition"),
        ("name(a))", ")", "expected `&`, `|` or the end"),
        ("name(=)", ")", "expected a text"),
        (
            "name(/a)",
            "",
            "expected `/` at the end of the regular expression",
        ),
        (
            "name(\"a)",
            "",
            "expected `\"` at the end of the text; `\\\"` and `\\\\` stand for",
        ),
        ("name(\"a\"b)", "b", "expected `)`"),
        ("name(/[/)", "/[/", "the regular expression is wrong"),
        (
            "name()",
            "name",
            "`name` needs an argument, such as `name(*/test_net.py:*)`",
        ),
        ("all(x)", "x", "`all()` has no argument"),
        (
            "nam(a)",
            "nam",
            "there is no condition `nam`; the conditions are `all`, `none`, ",
        ),
        (
            "status(ok)",
            "ok",
            "there is no status `ok`; write `pass`, ",
        ),
        ("status(~a)", "~a", "`status` takes names"),
        ("tags(a,)", "a,", "a tag without a name"),
        ("tags(-)", "-", "a tag without a name"),
    ] {
        let error = Filter::parse(filter).unwrap_err();
        let shown = filter.get(error.span.clone()).unwrap();
        assert_eq!(shown, place, "{filter}: {error}");
        let whole = error.to_string();
        let begin = format!("the filter `{filter}`: {message}");
        assert!(whole.starts_with(&begin), "{filter}: {whole}");
    }
}

#[test]
fn large_filter_is_an_error() {
    for filter in [
        "(".repeat(DEEPEST + 1),
        format!("name({}", "(".repeat(1_000_000)),
        format!("name({})", "a".repeat(LONGEST)),
        format!("name(/{}/)", "a{1000}{1000}"),
    ] {
        let error = Filter::parse(&filter).unwrap_err();
        let is_large = matches!(error.fault, FilterFault::TooLarge | FilterFault::Regex(_));
        assert!(is_large, "{error:.100}");
        assert!(error.to_string().len() < 1000);
    }
    assert!(Filter::parse(&format!("{}all()", "!".repeat(60_000))).is_ok());
    let deep = format!("{}all(){}", "(".repeat(99), ")".repeat(99));
    assert!(Filter::parse(&deep).is_ok());
}

proptest! {
    /// Any text is a filter or an error at a place in it.
    #[test]
    fn fault_lies_in_the_filter(
        text in "[ ()!&|~=/\"\\\\a-e*?ü]{0,40}|(name|tag|all|not)\\(.{0,20}",
    ) {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(text.get(error.span).is_some());
        }
    }

    /// A text in quotes is that text, whatever it has.
    #[test]
    fn quoted_text_is_itself(text in ".{1,30}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = Filter::parse(&format!("name(=\"{quoted}\")")).unwrap();
        let runnable = Runnable::default();
        let (title, runnable, last) = ("", &runnable, None);
        let test = |name| filter.matches(&TestFacts { name, title, runnable, last });
        prop_assert!(test(&text));
        let longer = format!("{text}.");
        prop_assert!(!test(&longer));
    }

    /// Negation, and the two spellings of each operator.
    #[test]
    fn laws_of_de_morgan_hold(a in any::<bool>(), b in any::<bool>()) {
        let word = |it: bool| if it { "all()" } else { "none()" };
        let (a, b) = (word(a), word(b));
        prop_assert_eq!(holds(&format!("!({a} & {b})")), holds(&format!("not {a} or not {b}")));
        prop_assert_eq!(holds(&format!("!({a} | {b})")), holds(&format!("not {a} and not {b}")));
    }
}

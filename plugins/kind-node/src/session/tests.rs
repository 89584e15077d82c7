//! Tests of commands and outcomes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};

fn task(runnable: Runnable) -> Task {
    Task::new("1-t", runnable.uri("a.test.mjs"))
}

fn outcome(answer: Answer) -> (Status, String) {
    let _host = Host::new().processes(Processes::always(answer)).install();
    let outcome = run(&task(Runnable::new(crate::KIND))).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

#[test]
fn command_has_the_options_of_the_runnable() {
    let runnable = Runnable::new(crate::KIND).args(["--expose-gc"]);
    let runnable = runnable
        .kwarg(NAME, "a b")
        .kwarg(ONLY, true)
        .kwarg(IMPORT, "tsx");
    let built = command(&task(runnable)).unwrap();
    assert_eq!(built.program, "node");
    let expected = [
        "--test-reporter-destination=stdout",
        "--import=tsx",
        "--test-name-pattern=a b",
        "--test-only",
        "--expose-gc",
        "a.test.mjs",
    ];
    assert_eq!(built.args[2..], expected);
    assert_eq!(built.report, Output::file("report.jsonl"));
    assert!(
        !built.env.iter().any(|(name, _)| name == NAME),
        "{:?}",
        built.env
    );
}

#[test]
fn reporter_is_a_url_of_encoded_bytes() {
    let url = report_url();
    let encoded = url.strip_prefix("data:text/javascript,").unwrap();
    let is_plain = |letter: char| letter == '%' || letter.is_ascii_alphanumeric();
    assert!(encoded.chars().all(is_plain), "{url}");
    assert!(encoded.contains("%0Aimport%20"), "{url}");
    assert_eq!(percent_encoded("a1 é?"), "a1%20%C3%A9%3F");
}

#[test]
fn arguments_that_the_plugin_gives_itself_are_refused() {
    for arg in [
        "--test",
        "--test-reporter=tap",
        "--test-reporter-destination=x",
    ] {
        let error = command(&task(Runnable::new(crate::KIND).args([arg]))).unwrap_err();
        assert!(error.message.contains(&format!("`{arg}`")), "{error}");
    }
    for (name, value) in [
        (NAME, Value::Integer(3)),
        (ONLY, Value::Text("x".to_owned())),
    ] {
        let wrong = Runnable::new(crate::KIND).kwarg(name, value);
        assert_eq!(command(&task(wrong)).unwrap_err().code, "invalid");
    }
}

const PASS: &str = r#"{"type":"dequeue","name":"a","nesting":0}
{"type":"start","name":"a","nesting":0}
{"type":"pass","name":"a","nesting":0}
"#;
const FAIL: &str = r#"{"type":"start","name":"b","nesting":0}
{"type":"fail","name":"b","nesting":0,"error":{"kind":"testCodeFailure","message":"no"}}
"#;
const BEGUN: &str = "{\"type\":\"dequeue\",\"name\":\"c\",\"nesting\":0}\n";
const END: &str = "{\"type\":\"end\"}\n";

#[test]
fn report_and_exit_code_decide_the_outcome() {
    let thrown = "node:internal/x:46\n      throw err;\n      ^\n\n\
                  Error: at top level\n    at x\n\n\
                  Node.js v20.20.2\n";
    for (answer, status, reason) in [
        (
            Answer::code(0).report(format!("{PASS}{END}")),
            Status::Pass,
            "",
        ),
        (
            Answer::code(1).report(format!("{PASS}{FAIL}{END}")),
            Status::Fail,
            "1 failed (b), 1 others",
        ),
        (
            Answer::code(0).report(format!("{FAIL}{END}")),
            Status::Fail,
            "1 failed (b)",
        ),
        (
            Answer::code(7)
                .report(format!("{PASS}{END}"))
                .stderr(thrown),
            Status::Fail,
            "the process exited with code 7, although no test failed: Error: at top level",
        ),
        (
            Answer::code(7).stderr(thrown),
            Status::Fail,
            "a.test.mjs exited with code 7 before its first test: Error: at top level",
        ),
        (
            Answer::code(0).report("{\"type\":\"idle\"}\n"),
            Status::Skip,
            "a.test.mjs has no tests of node:test",
        ),
        (
            Answer::code(0).stdout("hello\n"),
            Status::Error,
            "node exited with code 0 before the tests of a.test.mjs had ended; is it Node \
             18.19, or 20 or later, and does the file call process.exit?",
        ),
        (
            Answer::code(9).stderr("node: bad option: --import=x\n"),
            Status::Error,
            "node exited with code 9: node: bad option: --import=x; install Node 18.19, or 20 or \
             later, where the tests run",
        ),
        (
            Answer::code(0).report(format!("{PASS}{BEGUN}")),
            Status::Error,
            "1 in error (c), 1 others, the process exited with code 0 before all tests had ended",
        ),
        (
            Answer::signal(6).report(format!("{PASS}{BEGUN}")),
            Status::Fail,
            "1 failed (c), 1 others, the process ended by signal 6 (SIGABRT) before all tests had \
             ended",
        ),
        (
            Answer::code(0).report(format!("hello\n{PASS}{END}")),
            Status::Error,
            "node reported `hello`; is it Node 18.19, or 20 or later?",
        ),
    ] {
        assert_eq!(outcome(answer), (status, reason.to_owned()));
    }
}

#[test]
fn missing_node_is_an_error_with_what_to_do() {
    let (status, reason) = outcome(Answer::missing());
    assert_eq!(status, Status::Error);
    assert!(
        reason.contains("install Node 18.19, or 20 or later, where the tests run"),
        "{reason}"
    );
}

#[test]
fn reason_is_the_error_that_ended_node() {
    for (text, expected) in [
        (
            "file:///w/a.mjs:2\n\n\nSyntaxError: Unexpected end\n    at x\n\nNode.js v20\n",
            "SyntaxError: Unexpected end",
        ),
        ("Error [ERR_X]: no\n", "Error [ERR_X]: no"),
        (
            "TypeError: logged and handled\n    at y (file:///w/a.mjs:1:1)\n\
             file:///w/a.mjs:9\nthrow new RangeError('real')\n^\n\n\
             RangeError: real\n    at x (file:///w/a.mjs:9:7) {\n\
             \x20 [cause]: SyntaxError: deeper\n      at z\n}\n\nNode.js v20\n",
            "RangeError: real",
        ),
        ("only words\n\nNode.js v20\n", "only words"),
    ] {
        assert_eq!(error_in(text).as_deref(), Some(expected));
    }
    assert_eq!(error_in("\n"), None);
}

use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};

/// Runs the runner with a program that ends with `answer`.
fn outcome(answer: Answer) -> Outcome {
    let _host = Host::new().processes(Processes::always(answer)).install();
    Hello::run(Task::new("1-greet", Runnable::new("hello").uri("greet"))).unwrap()
}

#[test]
fn a_greeting_passes() {
    let answer = Answer::code(0).stdout("hello, world\n");
    assert_eq!(outcome(answer), Outcome::pass());
}

#[test]
fn anything_else_fails() {
    let expected = Outcome::fail("it does not begin with \"hello\"");
    assert_eq!(outcome(Answer::code(0).stdout("bye\n")), expected);
}

#[test]
fn a_program_that_fails_is_an_error() {
    assert_eq!(outcome(Answer::code(2)).status, Status::Error);
}

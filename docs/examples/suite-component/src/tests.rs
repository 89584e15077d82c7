use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};

fn task() -> Task {
    Task::new("1-a", Runnable::new(KIND).uri("./a.suite"))
}

#[test]
fn each_listed_name_is_a_test() {
    let answer = Answer::code(0).stdout("one\ntwo\n");
    let _host = Host::new().processes(Processes::always(answer)).install();
    let listing = Suite::list_tests(&task()).unwrap();
    let names: Vec<_> = listing.tests.iter().map(|test| test.args.clone()).collect();
    assert_eq!(names, [["one"], ["two"]]);
}

#[test]
fn exit_code_is_the_reason_of_a_failure() {
    let _host = Host::new()
        .processes(Processes::always(Answer::code(3)))
        .install();
    assert_eq!(Suite::run(task()).unwrap(), Outcome::fail("exit code 3"));
}

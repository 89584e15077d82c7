#![allow(clippy::unwrap_used)]
use super::*;
use persea_plugin_sdk::process::{Ending, Exit};
use persea_plugin_sdk::{Attributes, Runnable};

fn task(runnable: Runnable) -> Task {
    Task::new("1-t", runnable)
        .with("output-dir", "/r/1-t")
        .with("work-dir", "/w/1-t")
        .with("job-temp-dir", "/w/job")
        .with("project-dir", "/home/me/project")
}

/// Returns the variables that a process gets where the environment has none.
fn variables(command: &Command) -> Vec<(&str, &str)> {
    let mut set = std::collections::BTreeMap::new();
    for (name, value) in &command.env {
        match value {
            Some(value) => set.insert(name.as_str(), value.as_str()),
            None => set.remove(name.as_str()),
        };
    }
    set.into_iter().collect()
}

#[test]
fn test_has_avocados_variables() {
    let command = command(&task(
        Runnable::new("exec-test")
            .uri("tests/a.sh")
            .args(["-x", "y z"]),
    ))
    .unwrap();
    assert_eq!(
        (command.program.as_str(), command.args.join("|").as_str()),
        ("tests/a.sh", "-x|y z")
    );
    assert!(!command.clear_env);
    let expected = [
        ("AVOCADO_TESTS_COMMON_TMPDIR", "/w/job"),
        ("AVOCADO_TEST_BASEDIR", "/home/me/project/tests"),
        ("AVOCADO_TEST_LOGDIR", "/r/1-t"),
        ("AVOCADO_TEST_LOGFILE", "/r/1-t/debug.log"),
        ("AVOCADO_TEST_OUTPUTDIR", "/r/1-t"),
        ("AVOCADO_TEST_WORKDIR", "/w/1-t"),
        ("AVOCADO_VERSION", "113.0"),
    ];
    assert_eq!(variables(&command), expected);
}

#[test]
fn keyword_arguments_are_variables() {
    let runnable = Runnable::new("exec-test")
        .uri("t")
        .kwarg("text", "a b")
        .kwarg("whole", 3)
        .kwarg("float", 2.0)
        .kwarg("yes", true)
        .kwarg("list", Value::json(r#"[1,"x"]"#))
        .kwarg("HOME", Value::Null);
    let command = command(&task(runnable).setting(CLEAR_ENV.key(), "all")).unwrap();
    let expected = [
        ("float", "2.0"),
        ("list", r#"[1,"x"]"#),
        ("text", "a b"),
        ("whole", "3"),
        ("yes", "True"),
    ];
    assert_eq!(variables(&command), expected);
    assert!(
        command.env.contains(&("HOME".into(), None)),
        "null removes the host's variable"
    );
}

#[test]
fn later_variables_win() {
    let variant = r#"{"paths":["/"],"variant_id":"a-1",
        "variant":[["/a",[["/a","mem",512],["/a","os","linux"]]]]}"#;
    let runnable = Runnable::new("exec-test")
        .uri("t")
        .kwarg("AVOCADO_VERSION", "0")
        .kwarg("mem", "kwarg")
        .env("os", "mine")
        .env_remove("AVOCADO_TEST_WORKDIR")
        .with("variant", Value::json(variant));
    let command = command(&task(runnable)).unwrap();
    let variables: Attributes = variables(&command).into_iter().collect();
    assert_eq!(variables.text("AVOCADO_VERSION"), Some("113.0"));
    assert_eq!(variables.text("mem"), Some("512"));
    assert_eq!(variables.text("os"), Some("mine"));
    assert_eq!(variables.text("AVOCADO_TEST_WORKDIR"), None);
}

#[test]
fn missing_directories_set_no_variables() {
    let command = command(&Task::new("1-t", Runnable::new("tap").uri("./t"))).unwrap();
    assert_eq!(
        variables(&command),
        [("AVOCADO_TEST_BASEDIR", "."), ("AVOCADO_VERSION", "113.0")]
    );
}

#[test]
fn clear_env_removes_variables() {
    let with = |value: Value| {
        command(&task(Runnable::new("exec-test").uri("t")).setting(CLEAR_ENV.key(), value))
    };
    assert!(!with(Value::Null).unwrap().clear_env);
    let system = with("system".into()).unwrap();
    assert!(system.clear_env && variables(&system).contains(&("AVOCADO_VERSION", "113.0")));
    let all = with("all".into()).unwrap();
    assert!(all.clear_env && variables(&all).is_empty());
    let error = with(true.into()).unwrap_err();
    assert_eq!(error.message, "runner.exectest.clear_env must be a text");
    let error = with("some".into()).unwrap_err();
    assert_eq!(
        error.message,
        "runner.exectest.clear_env must be system, all or null, not some"
    );
}

#[test]
fn invalid_runnables_are_explained() {
    let message = |runnable| command(&task(runnable)).unwrap_err().message;
    let expected = "a runnable of kind exec-test needs a uri: the program to run";
    assert_eq!(message(Runnable::new("exec-test")), expected);
    let broken = |variant: &str| {
        message(
            Runnable::new("tap")
                .uri("t")
                .with("variant", Value::json(variant)),
        )
    };
    assert!(broken("{").starts_with("cannot read the task's variant: EOF"));
    assert!(broken(r#"{"variant":[["/a"]]}"#).contains("first node"));
    assert!(broken(r#"{"variant":[["/a",[["/a"]]]]}"#).contains("path, key and value"));
}

#[test]
fn base_directory_is_normalized_and_absolute_where_possible() {
    let base = |program| base_directory(program, Some("/p/q"));
    assert_eq!(base("t"), "/p/q");
    assert_eq!(base("./t"), "/p/q");
    assert_eq!(base("../../../x/./t"), "/x");
    assert_eq!(base("/bin/true"), "/bin");
    assert_eq!(base("/t"), "/");
    assert_eq!(base_directory("../a//t", None), "../a");
}

#[test]
fn bare_name_is_looked_for_in_path_and_then_in_the_working_directory() {
    let programs = |uri: &str| -> Vec<String> {
        let task = Task::new("1-t", Runnable::new("exec-test").uri(uri));
        let commands = commands(&task).unwrap().into_iter();
        commands.map(|command| command.program).collect()
    };
    assert_eq!(programs("t.sh"), ["t.sh", "./t.sh"]);
    assert_eq!(programs("./t.sh"), ["./t.sh"]);
    assert_eq!(programs("/bin/true"), ["/bin/true"]);
}

#[test]
fn failed_start_has_avocados_message() {
    let said = |uri: &str, error: Error| {
        let task = Task::new("1-t", Runnable::new("exec-test").uri(uri));
        start_failure(&task, error)
    };
    let errno = |number| Error::new("not-found", "no").with("os-error", number);
    assert_eq!(
        said("nope", errno(2)),
        Outcome::error("[Errno 2] No such file or directory: 'nope'")
    );
    assert_eq!(
        said("./t.sh", errno(13)),
        Outcome::error("[Errno 13] Permission denied: './t.sh'")
    );
    assert_eq!(said("t", errno(1000)), Outcome::error("no"));
    let no_file = "the output file /r/1-t/stdout can't be opened: no such file or directory";
    assert_eq!(
        said("/bin/sh", Error::new("io", no_file).with("os-error", 2)),
        Outcome::error(no_file)
    );
    assert_eq!(
        said("t", Error::new("io", "the container is gone")),
        Outcome::error("the container is gone")
    );
}

#[test]
fn exits_have_words_and_pythons_return_code() {
    let said = |exit: Exit| (describe_exit(&exit), return_code(&exit));
    assert_eq!(
        said(Exit::new(Ending::Code(3))),
        ("exited with code 3".into(), Some(3))
    );
    assert_eq!(
        said(Exit::new(Ending::Signal(1))),
        ("ended by signal 1 (SIGHUP)".into(), Some(-1))
    );
    assert_eq!(
        said(Exit::new(Ending::Signal(11))),
        ("ended by signal 11 (SIGSEGV)".into(), Some(-11))
    );
    assert_eq!(
        said(Exit::new(Ending::Signal(31))),
        ("ended by signal 31 (SIGSYS)".into(), Some(-31))
    );
    assert_eq!(
        said(Exit::new(Ending::Signal(34))),
        ("ended by signal 34".into(), Some(-34))
    );
}

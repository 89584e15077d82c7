#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};
use persea_requirement_tool::testing::{real_processes, recorded, unrecorded};
use std::fs;
use std::path::Path;

/// Calls the plugin with a host that runs its commands as real processes in a directory.
fn within<T>(
    directory: &Path,
    requirement: &Requirement,
    call: impl FnOnce(&RequirementRequest) -> Result<T, Error>,
) -> Result<T, String> {
    let _host = Host::new().processes(real_processes(directory)).install();
    let directory = directory.to_str().unwrap();
    let request = RequirementRequest::new(requirement.clone())
        .with("work-dir", format!("{directory}/work dir"))
        .with("job-temp-dir", directory);
    call(&request).map_err(|error| error.message)
}

fn command() -> Requirement {
    Requirement::new("command")
}

#[test]
fn missing_program_is_named() {
    let root = tempfile::tempdir().unwrap();
    let check = |name: &str| within(root.path(), &command().uri(name), Command::check);
    assert_eq!(check("sh"), Ok(Presence::Present.into()));
    assert_eq!(check("/bin/sh"), Ok(Presence::Present.into()));
    // `command -v` finds some of these, but none can be started as a program.
    for none in ["if", "no-such-program", "-v", "./data"] {
        fs::write(root.path().join("data"), "").unwrap();
        let expected = format!(
            "this environment has no program `{none}`; install it, for example by a requirement \
             of kind package"
        );
        assert_eq!(check(none), Err(expected));
    }
}

#[test]
fn failed_check_without_a_setup_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let check = |line: &str| within(root.path(), &command().kwarg("check", line), Command::check);
    assert_eq!(check("test -d ."), Ok(Presence::Present.into()));
    let expected = "its check ended with exit code 3: no device";
    assert_eq!(check("echo no device >&2; exit 3"), Err(expected.into()));
}

#[test]
fn setup_runs_where_the_requirement_is_not_met() {
    let root = tempfile::tempdir().unwrap();
    let requirement = command()
        .kwarg("check", "test -e made")
        .kwarg("setup", "echo hello\n: > made")
        .kwarg("teardown", "rm made");
    let check = || within(root.path(), &requirement, Command::check);
    assert_eq!(check(), Ok(Presence::Absent.into()));
    let fulfilled = within(root.path(), &requirement, Command::fulfil).unwrap();
    assert_eq!(fulfilled, FulfilledRequirement::new());
    assert_eq!(check(), Ok(Presence::Present.into()));
    let release = || {
        within(root.path(), &requirement, |request| {
            Command::release(&recorded(request.clone(), &fulfilled))
        })
    };
    assert_eq!(release(), Ok(()));
    assert_eq!(check(), Ok(Presence::Absent.into()));
    let message = release().unwrap_err();
    assert!(
        message.starts_with("its teardown ended with exit code 1: rm: "),
        "{message}"
    );

    let requirement = command().kwarg("setup", "true");
    assert_eq!(
        within(root.path(), &requirement, Command::check),
        Ok(Presence::Absent.into())
    );
    let requirement = command().uri("sh").kwarg("setup", "true");
    assert_eq!(
        within(root.path(), &requirement, Command::check),
        Ok(Presence::Present.into())
    );
    let requirement = command().uri("sh").kwarg("setup", "true").kwarg("env", "A");
    let checked = within(root.path(), &requirement, Command::check);
    assert_eq!(
        checked,
        Ok(Presence::Absent.into()),
        "only the setup can provide A"
    );
    let requirement = command().uri("no-such-program").kwarg("setup", "true");
    assert_eq!(
        within(root.path(), &requirement, Command::check),
        Ok(Presence::Absent.into())
    );
    let message = within(root.path(), &requirement, Command::fulfil).unwrap_err();
    assert!(
        message
            .starts_with("its setup succeeded, but did not help: this environment has no program"),
        "{message}"
    );
}

#[test]
fn variables_reach_the_tests_and_the_teardown() {
    let root = tempfile::tempdir().unwrap();
    let setup = "echo A=0 >> $PERSEA_ENV\n".replace("$PERSEA_ENV", "\"$PERSEA_ENV\"")
        + "printf 'A=1=2\\n\\nB_2= x \"$y\" \\n' >> \"$PERSEA_ENV\"";
    let requirement = command()
        .kwarg("env", Value::json(r#"["A","B_2"]"#))
        .kwarg("setup", setup)
        .kwarg(
            "teardown",
            "printf '%s|' \"$A\" \"$B_2\" > \"$AVOCADO_TESTS_COMMON_TMPDIR/told\"",
        );
    assert_eq!(
        within(root.path(), &requirement, Command::check),
        Ok(Presence::Absent.into())
    );
    // Twice, because variables of an earlier attempt do not count.
    for _ in 0..2 {
        let fulfilled = within(root.path(), &requirement, Command::fulfil).unwrap();
        assert_eq!(
            fulfilled.more.json("env"),
            Some(r#"{"A":"1=2","B_2":" x \"$y\" "}"#)
        );
        within(root.path(), &requirement, |request| {
            Command::release(&recorded(request.clone(), &fulfilled))
        })
        .unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("told")).unwrap(),
            "1=2| x \"$y\" |"
        );
    }
    // A teardown without recorded variables gets none.
    within(root.path(), &requirement, |request| {
        Command::release(&unrecorded(request.clone()))
    })
    .unwrap();
    assert_eq!(fs::read_to_string(root.path().join("told")).unwrap(), "||");
}

#[test]
fn failed_setup_is_torn_down() {
    let root = tempfile::tempdir().unwrap();
    let fulfil = |setup: &str, teardown: &str| {
        let requirement = command()
            .kwarg("env", "A")
            .kwarg("setup", setup)
            .kwarg("teardown", teardown);
        within(root.path(), &requirement, Command::fulfil).unwrap_err()
    };
    let keep = "echo \"$A\" > torn";
    let torn = || fs::read_to_string(root.path().join("torn")).unwrap();
    let message = fulfil(
        "echo A=5 > \"$PERSEA_ENV\"\necho first >&2\nfalse\necho on >&2",
        keep,
    );
    assert_eq!(message, "its setup ended with exit code 1: first");
    assert_eq!(torn(), "5\n");
    let message = fulfil("true", keep);
    assert_eq!(
        message,
        "its setup did not set A; make it write A=VALUE into the file $PERSEA_ENV"
    );
    assert_eq!(torn(), "\n");
    let message = fulfil("printf 'A=6\\nB=7\\n' > \"$PERSEA_ENV\"", keep);
    assert_eq!(
        message,
        "its setup set B, which is not in the list `env`; add it"
    );
    assert_eq!(torn(), "6\n");
    let message = fulfil("echo 'export A=6' > \"$PERSEA_ENV\"", keep);
    let expected = "its setup wrote \"export A=6\" into $PERSEA_ENV instead of NAME=value";
    assert_eq!(message, expected);
    let message = fulfil("echo one >&2; exit 4", "echo two >&2; exit 5");
    let expected =
        "its setup ended with exit code 4: one; then its teardown ended with exit code 5: two";
    assert_eq!(message, expected);
}

#[test]
fn lines_reach_the_shell_unchanged() {
    let host = Host::new()
        .processes(Processes::always(Answer::code(0)))
        .install();
    let requirement = command().kwarg("setup", "a 'b'\nc");
    let request = RequirementRequest::new(requirement).with("job-temp-dir", "/w/job");
    assert_eq!(Command::fulfil(&request), Ok(FulfilledRequirement::new()));
    let commands = host.commands();
    let [only] = commands.as_slice() else {
        panic!("one command, not {commands:?}")
    };
    assert_eq!(only.program, "/bin/sh");
    assert_eq!(only.args, ["-e", "-c", "a 'b'\nc"]);
    let expected = [(COMMON.to_owned(), Some("/w/job".to_owned()))];
    assert_eq!(only.env, expected, "no locale is set");
}

#[test]
fn invalid_arguments_are_explained() {
    let list = |names: &str| {
        command()
            .kwarg("setup", "a")
            .kwarg("env", Value::json(names))
    };
    let wrong = [
        (
            command(),
            "it needs a `uri` or `name`, a `check` or a `setup`",
        ),
        (
            command().uri("a").kwarg("version", "1"),
            "unknown argument `version`",
        ),
        (
            command().uri("a").kwarg("name", "b"),
            "its uri is `a` and its name is `b`",
        ),
        (command().kwarg("name", 5), "`name` must be a text"),
        (
            command().uri("a").kwarg("teardown", "b"),
            "a `teardown`, but no `setup`",
        ),
        (
            command().uri("a").kwarg("env", "B"),
            "an `env`, but no `setup`",
        ),
        (
            list("[\"A\"]").kwarg("check", "b"),
            "a `check` and an `env`",
        ),
        (
            list("[\"A-B\"]"),
            "`env` has \"A-B\", which is not a valid variable name",
        ),
        (list("{}"), "`env` must be a list of texts"),
        (
            command().kwarg("setup", Value::json("[]")),
            "`setup` must be a text",
        ),
    ];
    for (requirement, expected) in wrong {
        let message = Command::check(&RequirementRequest::new(requirement))
            .unwrap_err()
            .message;
        assert!(
            message.contains(expected),
            "{message:?} has no {expected:?}"
        );
    }
}

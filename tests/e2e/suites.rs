//! Owns job files: suites with their dependencies, set-up, teardown and settings, and tests in
//! variants of axes. `variants` owns those of plugins.

use serde_json::Value;

use crate::support::Fixture;

fn write_job(fixture: &Fixture, text: &str) {
    fixture.file("job.toml", text);
}

/// The result of a task in the journal.
fn result_of(fixture: &Fixture, task: &str) -> Value {
    let events = fixture.job().events_of("task-finished");
    let found = events.iter().find(|event| event["task"] == task);
    found.unwrap()["data"].clone()
}

#[test]
fn suites_number_their_references_and_tasks() {
    let fixture = Fixture::new();
    fixture.script("a.sh", "true");
    fixture.script("b.sh", "true");
    write_job(
        &fixture,
        r#"
        [settings.run]
        max_parallel_tasks = 1

        [[suite]]
        name = "files"
        references = ["a.sh", "b.sh"]

        [[suite]]
        name = "more"
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/sh"
        args = ["-c", "echo $A $B"]
        identifier = "prints"
        env = { A = "1" }
        kwargs = { B = "2" }
        tags = { fast = [] }
        "#,
    );
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(
        fixture.job().ids(),
        ["files-1-a.sh", "files-2-b.sh", "more-1-prints"]
    );
    let job = fixture.job();
    assert_eq!(job.artifact("prints", "stdout"), "1 2\n");
    assert_eq!(result_of(&fixture, "more-1-prints")["suite"], "more");
}

#[test]
fn suite_setup_precedes_and_teardown_follows_its_tests() {
    let fixture = Fixture::new();
    let suite = |name: &str, rest: &str| {
        format!(
            r#"
            [[suite]]
            name = "{name}"
            setup = "echo up {name} >> log; echo NAME={name} >> $PERSEA_ENV"
            exports = ["NAME"]
            teardown = "echo down {name} >> log"
            {rest}
            [[suite.task]]
            kind = "exec-test"
            uri = "/bin/sh"
            args = ["-c", "echo run $NAME >> log"]
            identifier = "{name}"
            "#
        )
    };
    write_job(
        &fixture,
        &[suite("a", ""), suite("b", "after = [\"a\"]")].concat(),
    );
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    let log = fixture.lines("log");
    let position = |line: &str| log.iter().position(|it| it == line).unwrap();
    assert_eq!(log.len(), 6, "{log:?}");
    for name in ["a", "b"] {
        let [up, run, down] = ["up", "run", "down"].map(|what| position(&format!("{what} {name}")));
        assert!(up < run && run < down, "{log:?}");
    }
    assert!(position("run a") < position("up b"), "{log:?}");
}

#[test]
fn failed_setup_cancels_its_suite_and_its_dependents() {
    let fixture = Fixture::new();
    write_job(
        &fixture,
        r#"
        [[suite]]
        name = "broken"
        references = ["/bin/true"]
        setup = "echo no disk >&2; exit 3"
        teardown = "touch torn-down"

        [[suite]]
        name = "fine"
        references = ["/bin/true"]

        [[suite]]
        name = "needs"
        references = ["/bin/true"]
        needs = ["broken"]
        setup = "touch never"
        "#,
    );
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    let broken = result_of(&fixture, "broken-1-/bin/true");
    assert_eq!(broken["status"], "CANCEL");
    let reason = broken["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("requirement `command setup of suite broken` is not met: "),
        "{reason}"
    );
    assert!(reason.contains("no disk"), "{reason}");
    let status = |task: &str| result_of(&fixture, task)["status"].clone();
    assert_eq!(status("fine-1-/bin/true"), "PASS");
    assert_eq!(status("needs-1-/bin/true"), "CANCEL");
    assert!(fixture.project().join("torn-down").exists());
    assert!(!fixture.project().join("never").exists());
}

#[test]
fn suite_dependencies_order_their_tasks() {
    let fixture = Fixture::new();
    write_job(
        &fixture,
        r#"
        [[suite]]
        name = "last"
        needs = ["first"]
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/true"
        identifier = "same"

        [[suite]]
        name = "first"
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/true"
        identifier = "same"
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/true"
        identifier = "other"
        after = ["first:same"]
        "#,
    );
    let list = fixture
        .run(&["list", "--graph", "--job", "job.toml"])
        .code(0);
    let expected = "\
last-1-same
    needs first-1-same
    needs first-2-other
first-1-same
first-2-other
    after first-1-same
";
    assert_eq!(list.stdout, expected);
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(fixture.job().results()["pass"], 3);
}

#[test]
fn test_runs_in_each_variant_with_its_parameters() {
    let fixture = Fixture::new();
    write_job(
        &fixture,
        r#"
        [[suite]]
        name = "all"
        [suite.variants]
        axes.os = ["linux", "hurd"]
        axes.cores = [1, 2]
        no = [{ os = "hurd", cores = 2 }]
        [[suite.task]]
        kind = "exec-test"
        uri = "/bin/sh"
        args = ["-c", "echo $os $cores >> log"]
        identifier = "t"
        "#,
    );
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    let mut log = fixture.lines("log");
    log.sort();
    assert_eq!(log, ["hurd 1", "linux 1", "linux 2"]);
    let ids = fixture.job().ids();
    let starts = [
        "all-1-t;cores-1-os-linux-",
        "all-2-t;cores-1-os-hurd-",
        "all-3-t;cores-2-os-linux-",
    ];
    assert_eq!(ids.len(), starts.len(), "{ids:?}");
    for (id, start) in ids.iter().zip(starts) {
        assert!(id.starts_with(start), "{ids:?}");
    }
}

#[test]
fn command_line_overrides_job_file_settings() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "[run]\nretries = 1\n");
    write_job(
        &fixture,
        "[settings]\nrun.retries = 2\n[[suite]]\nname = \"s\"\nreferences = [\"/bin/false\"]\n",
    );
    let attempts = |options: &[&str]| {
        fixture
            .run(&[&["run", "--job", "job.toml"], options].concat())
            .code(1);
        fixture.job().tasks_with("task-started").len()
    };
    assert_eq!(attempts(&[]), 3);
    assert_eq!(attempts(&["--retries", "0"]), 1);
}

#[test]
fn job_file_error_names_its_place() {
    let fixture = Fixture::new();
    let suite = "[[suite]]\nname = \"s\"\nreferences = [\"/bin/true\"]\n";
    for (text, words) in [
        ("", "no suites; a job file has at least one `[[suite]]`"),
        ("[[suite]]\nname = 3\n", "job.toml:2:8: invalid type"),
        ("[[suite]\n", "job.toml:1:"),
        (
            "[[suite]]\nname = \"s\"\n",
            "suite `s`: it has neither `references` nor a `[[suite.task]]`",
        ),
        (
            "[[suite]]\nname = \"a/b\"\nreferences = [\"x\"]\n",
            "its name is a text without",
        ),
        (
            &suite.repeat(2),
            "suite `s`: there is another one of that name",
        ),
        (
            &format!("{suite}teardown = \"x\"\n"),
            "suite `s`: `teardown` and `exports` are for what a `setup` has done",
        ),
        (
            &format!("{suite}colour = \"red\"\n"),
            "unknown field `colour`",
        ),
        (
            &format!("{suite}[suite.variants]\naxes.os = []\n"),
            "suite `s`: the axis `os` is a list",
        ),
        (
            &format!("{suite}[suite.variants]\naxis.os = [1]\n"),
            "job.toml:4:1: unknown field `axis`",
        ),
        (
            &format!("{suite}needs = [\"nobody\"]\n"),
            "names `nobody`, and no task of this job has that name",
        ),
    ] {
        write_job(&fixture, text);
        let ran = fixture.run(&["run", "--job", "job.toml"]);
        assert!(ran.stderr.contains(words), "{text}\n{words}\n{ran}");
        // Names of tasks are checked later than the file, with the plan.
        let code = if words.contains("no task of this job") {
            2
        } else {
            4
        };
        ran.code(code);
    }
    let ran = fixture.run(&["run", "--job", "nowhere.toml"]).code(4);
    assert!(
        ran.stderr.contains("cannot read the job file nowhere.toml"),
        "{ran}"
    );
}

//! Job files: suites with what they need, wait for, set up and tear down, and tasks in variants.

use serde_json::Value;

use crate::support::Sandbox;

fn job(sandbox: &Sandbox, text: &str) {
    sandbox.file("job.toml", text);
}

fn log(sandbox: &Sandbox) -> Vec<String> {
    let text = std::fs::read_to_string(sandbox.project().join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn suites_number_their_references_and_tasks() {
    let sandbox = Sandbox::new();
    sandbox.script("a.sh", "true");
    sandbox.script("b.sh", "true");
    job(
        &sandbox,
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
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(
        sandbox.job().ids(),
        ["files-1-a.sh", "files-2-b.sh", "more-1-prints"]
    );
    let job = sandbox.job();
    assert_eq!(job.artifact("prints", "stdout"), "1 2\n");
    let finished = job
        .events()
        .into_iter()
        .find(|event| event["event"] == "task-finished" && event["task"] == "more-1-prints");
    assert_eq!(finished.unwrap()["data"]["suite"], "more");
}

#[test]
fn suite_setup_precedes_and_teardown_follows_its_tests() {
    let sandbox = Sandbox::new();
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
    job(
        &sandbox,
        &[suite("a", ""), suite("b", "after = [\"a\"]")].concat(),
    );
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    // The first suite is torn down when it has ended, and not when the job has.
    let log = log(&sandbox);
    let place = |line: &str| log.iter().position(|one| one == line).unwrap();
    assert_eq!(log.len(), 6, "{log:?}");
    for name in ["a", "b"] {
        let [up, run, down] = ["up", "run", "down"].map(|what| place(&format!("{what} {name}")));
        assert!(up < run && run < down, "{log:?}");
    }
    assert!(place("run a") < place("up b"), "{log:?}");
}

#[test]
fn failed_setup_cancels_its_suite_and_its_dependents() {
    let sandbox = Sandbox::new();
    job(
        &sandbox,
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
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    let events = sandbox.job().events();
    let end = |task: &str| -> Value {
        let found = events
            .iter()
            .find(|event| event["event"] == "task-finished" && event["task"] == task);
        found.unwrap()["data"].clone()
    };
    let broken = end("broken-1-/bin/true");
    assert_eq!(broken["status"], "CANCEL");
    let reason = broken["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("requirement `command setup of suite broken` is not met: "),
        "{reason}"
    );
    assert!(reason.contains("no disk"), "{reason}");
    assert_eq!(end("fine-1-/bin/true")["status"], "PASS");
    assert_eq!(end("needs-1-/bin/true")["status"], "CANCEL");
    assert!(sandbox.project().join("torn-down").exists());
    assert!(!sandbox.project().join("never").exists());
}

#[test]
fn suite_dependencies_order_their_tasks() {
    let sandbox = Sandbox::new();
    job(
        &sandbox,
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
    let list = sandbox
        .run(&["list", "--graph", "--job", "job.toml"])
        .code(0);
    let expected = "last-1-same\n    needs first-1-same\n    needs first-2-other\nfirst-1-same\nfirst-2-other\n    after first-1-same\n";
    assert_eq!(list.stdout, expected);
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(sandbox.job().results()["pass"], 3);
}

#[test]
fn test_runs_in_each_variant_with_its_parameters() {
    let sandbox = Sandbox::new();
    job(
        &sandbox,
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
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    let mut log = log(&sandbox);
    log.sort();
    assert_eq!(log, ["hurd 1", "linux 1", "linux 2"]);
    let ids = sandbox.job().ids();
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
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "[run]\nretries = 1\n");
    job(
        &sandbox,
        "[settings]\nrun.retries = 2\n[[suite]]\nname = \"s\"\nreferences = [\"/bin/false\"]\n",
    );
    let attempts = |options: &[&str]| {
        sandbox
            .run(&[&["run", "--job", "job.toml"], options].concat())
            .code(1);
        sandbox
            .job()
            .events()
            .iter()
            .filter(|event| event["event"] == "task-started")
            .count()
    };
    assert_eq!(attempts(&[]), 3);
    assert_eq!(attempts(&["--retries", "0"]), 1);
}

#[test]
fn job_file_error_names_its_place() {
    let sandbox = Sandbox::new();
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
        job(&sandbox, text);
        let ran = sandbox.run(&["run", "--job", "job.toml"]);
        assert!(ran.stderr.contains(words), "{text}\n{words}\n{ran}");
        // Only with the plan it is known which tasks there are.
        let code = if words.contains("no task of this job") {
            2
        } else {
            4
        };
        ran.code(code);
    }
    let ran = sandbox.run(&["run", "--job", "nowhere.toml"]).code(4);
    assert!(
        ran.stderr.contains("cannot read the job file nowhere.toml"),
        "{ran}"
    );
}

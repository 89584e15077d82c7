//! Owns references that give no test, or not every test: such loss is shown, counted, kept in the
//! journal and in reports, and decides the exit code. And jobs in which no test was started.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use serde_json::{Value, json};

use crate::support::plugins::{install, with_unlocked};
use crate::support::recipes::{noop, shell, with};
use crate::support::{Fixture, Ran, assert_stderr, finish};

/// A project with a resolver that crashes, answers with errors or warns, as the names of files say.
fn with_hostile_resolver() -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-resolver"]);
    fixture
}

const LABEL: &str = "resolver `hostile` (plugins/hostile-resolver.wasm)";

/// The warnings in the journal, without their times.
fn warnings(fixture: &Fixture) -> Vec<Value> {
    let events = fixture.job().events_of("warning");
    events.iter().map(|event| event["data"].clone()).collect()
}

#[test]
fn reference_that_crashes_a_resolver_is_an_error() {
    let fixture = with_hostile_resolver();
    fixture.script("trap.bad", "exit 0");
    fixture.script("t/trap.bad", "exit 0");
    fixture.script("t/good.sh", "exit 0");
    for reference in ["./trap.bad", "t"] {
        fixture.run(&["run", reference]).code(1);
        let job = fixture.job();
        let name = reference.replace("t", "t/trap.bad");
        let name = if reference == "t" { &name } else { reference };
        assert_eq!(job.status(name), "ERROR");
        let reason = job.reason(name);
        assert!(
            reason.starts_with(&format!("{LABEL} failed: it panicked at ")),
            "{reason}"
        );
        assert!(reason.ends_with(&format!("cannot bear {name}")), "{reason}");
    }
    assert_eq!(fixture.job().status("t/good.sh"), "PASS");
}

#[test]
fn disabled_resolver_fails_every_reference() {
    let fixture = with_hostile_resolver();
    fixture.script("trap.bad", "exit 0");
    let once = ["--set", "plugins.limits.deaths=1"];
    fixture
        .run(&[&["run"][..], &once, &["./trap.bad", "/bin/true"]].concat())
        .code(1);
    let job = fixture.job();
    assert_eq!(job.status("/bin/true"), "ERROR");
    let reason = job.reason("/bin/true");
    assert!(
        reason.starts_with(&format!("{LABEL} is not asked again in this job")),
        "{reason}"
    );
}

#[test]
fn resolver_error_is_a_warning_and_the_next_resolver_is_asked() {
    let fixture = with_hostile_resolver();
    fixture.script("errs.bad", "exit 0");
    let ran = fixture.run(&["run", "./errs.bad"]).code(0);
    assert_eq!(
        ran.stderr,
        format!("warning: ./errs.bad: {LABEL}: cannot read ./errs.bad (io)\n")
    );
    let job = fixture.job();
    assert_eq!(job.status("./errs.bad"), "PASS");
    let expected = json!({
        "cause": "resolver-error",
        "reference": "./errs.bad",
        "plugin": LABEL,
        "message": "cannot read ./errs.bad (io)",
    });
    assert_eq!(warnings(&fixture), std::slice::from_ref(&expected));
    assert_eq!(job.results()["warnings"], json!([expected]));
    let line = format!("WARNING: ./errs.bad: {LABEL}: cannot read ./errs.bad (io)");
    assert!(job.read("results.tap").contains(&format!("# {line}\n")));
    assert!(
        job.read("results.xml")
            .contains(&format!("<system-err><![CDATA[{line}\n]]>"))
    );
    assert!(
        job.read("job.log")
            .contains(&line.replace("WARNING", "warning"))
    );
    let ran = fixture.run(&["run", "--strict", "./errs.bad"]).code(2);
    assert_stderr(
        &ran,
        &["1 warning about references, an error with `--strict`"],
    );
}

#[test]
fn resolver_warnings_are_counted_and_named_with_verbose() {
    let fixture = with_hostile_resolver();
    fixture.script("t/good.sh", "exit 0");
    for name in ["warns-1", "warns-2", "warns-3"] {
        fixture.file(&format!("t/{name}"), "");
    }
    let ran = fixture.run(&["run", "t"]).code(0);
    let counted = "warning: 3 files may hold tests that were not found";
    assert_eq!(ran.stderr, format!("{counted}; `-v` names them\n"));
    assert_eq!(warnings(&fixture).len(), 3);
    assert_eq!(
        fixture.job().results()["warnings"][1],
        json!({
            "cause": "incomplete",
            "reference": "t/warns-2",
            "plugin": LABEL,
            "message": "t/warns-2 has a factory of tests, which is not read",
        })
    );
    let ran = fixture.run(&["run", "-v", "t"]).code(0);
    assert_stderr(&ran, &[&format!("{counted}\n")]);
    assert_stderr(
        &ran,
        &[&format!(
            "warning: t/warns-3: {LABEL}: t/warns-3 has a factory of tests"
        )],
    );
    let ran = fixture
        .run(&["run", "--set", "run.strict=true", "t"])
        .code(2);
    assert_stderr(
        &ran,
        &["3 warnings about references, an error with `--strict`"],
    );
    let ran = fixture.run(&["list", "--strict", "t"]).code(2);
    assert_eq!(ran.stdout, "exec-test t/good.sh\n", "{ran}");
    let ran = fixture.run(&["list", "--json", "t"]).code(0);
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["warning"]["reference"], "t/warns-3", "{ran}");
}

#[test]
fn empty_resolver_answer_makes_an_empty_job() {
    let fixture = with_hostile_resolver();
    fixture.file("empty.bad", "");
    fixture.run(&["list", "empty.bad"]).code(0);
    let ran = fixture.run(&["run", "empty.bad"]).code(0);
    assert_eq!(ran.stderr, "");
    let job = fixture.job();
    assert_eq!(job.results()["total"], 0);
    assert_eq!(job.read("results.tap"), "1..0\n");
    let fail = ["run", "--set", "run.exit.empty=fail", "empty.bad"];
    assert_stderr(
        &fixture.run(&fail).code(2),
        &["error: the job has no test (`run.exit.empty`)"],
    );
    // A reference that no resolver recognizes is an error beside it.
    fixture.run(&["run", "empty.bad", "nothing"]).code(2);
}

#[test]
fn unresolved_files_are_counted_and_named_with_verbose() {
    let fixture = Fixture::new();
    fixture.script("t/good.sh", "exit 0");
    fixture.file("t/notes.txt", "");
    fixture.file("t/data.csv", "");
    for command in ["run", "list"] {
        let ran = fixture.run(&[command, "t"]).code(0);
        assert_eq!(
            ran.stderr,
            "note: no resolver recognizes 2 files in directories; `-v` names them\n"
        );
        let ran = fixture.run(&[command, "-v", "t"]).code(0);
        assert_stderr(&ran, &["no resolver recognizes t/notes.txt: "]);
        assert_stderr(&ran, &["t/data.csv is not executable"]);
    }
}

#[test]
fn directory_without_tests_is_an_error() {
    let fixture = Fixture::new();
    for number in 0..30 {
        fixture.file(&format!("t/{number}.txt"), "");
    }
    let ran = fixture.run(&["list", "t"]).code(2);
    assert_eq!(
        ran.stdout,
        "MISSING t\n    no resolver recognizes any of its 30 files; `-v` says why\n"
    );
    let ran = fixture.run(&["list", "--json", "t"]).code(2);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    let ran = fixture.run(&["run", "t", "/bin/true"]).code(2);
    assert_stderr(&ran, &["No tests found for given test references: t\n"]);
    let ran = fixture
        .run(&["run", "--ignore-missing-references", "t", "/bin/true"])
        .code(0);
    assert_stderr(
        &ran,
        &["warning: no test found for t: no resolver recognizes any of its 30 files"],
    );
}

#[test]
fn directory_walk_skips_job_results_with_a_note() {
    let fixture = Fixture::new();
    let body = "cp \"$0\" \"$AVOCADO_TEST_OUTPUTDIR/copy.sh\"";
    fixture.script("t/good.sh", body);
    for jobs in 0..3 {
        let ran = fixture
            .run(&["run", "--results-dir", "results", "."])
            .code(0);
        let latest = fixture.project().join("results/latest/results.json");
        let results: Value = serde_json::from_slice(&std::fs::read(latest).unwrap()).unwrap();
        assert_eq!(results["total"], 1, "{ran}");
        let note = "note: results of ";
        match jobs {
            0 => assert!(!ran.stderr.contains(note), "{ran}"),
            1 => assert_stderr(&ran, &[&format!("{note}a job are skipped: ./results/job-")]),
            _ => assert_stderr(
                &ran,
                &[&format!("{note}2 jobs are skipped: ./results/job-")],
            ),
        }
    }
    // A results directory that is itself a reference is walked.
    let job = fixture
        .project()
        .join("results/latest")
        .canonicalize()
        .unwrap();
    let ran = fixture.run(&["list", job.to_str().unwrap()]).code(0);
    assert!(ran.stdout.contains("copy.sh\n"), "{ran}");
}

#[test]
fn project_file_takes_precedence_over_a_program_of_its_name() {
    let fixture = Fixture::new();
    for name in ["true", "ls", "test"] {
        fixture.script(name, "exit 7");
    }
    fixture.run(&["run", "true", "ls", "test"]).code(1);
    let job = fixture.job();
    for name in ["true", "ls", "test"] {
        assert_eq!(job.status(name), "FAIL", "{name}");
        assert_eq!(job.test(name)["returncode"], 7);
    }
    assert_eq!(job.ids(), ["1-true", "2-ls", "3-test"]);
    let only_tap = ["--set", "plugins.disable=[\"resolver.exec-test\"]"];
    fixture.script("echo", "printf '1..1\\nnot ok 1\\n'");
    fixture
        .run(&[&["run"][..], &only_tap, &["echo"]].concat())
        .code(1);
    assert_eq!(fixture.job().status("echo"), "FAIL");
}

#[test]
fn unreadable_file_in_a_directory_is_a_warning() {
    let fixture = Fixture::new();
    let set_mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    fixture.script("t/good.sh", "exit 0");
    set_mode(&fixture.file("t/test_a.py", "import unittest\n"), 0);
    set_mode(&fixture.file("t/notes.txt", ""), 0);
    let mut command = fixture.persea(&["list", "t"]);
    // Root may read a file of any mode.
    if rustix::process::geteuid().is_root() {
        const NOBODY: u32 = 65534;
        set_mode(fixture.root(), 0o755);
        command
            .uid(NOBODY)
            .gid(NOBODY)
            .env("XDG_CACHE_HOME", "/nonexistent");
    }
    let ran = finish(command.spawn().unwrap()).code(0);
    assert_eq!(ran.stdout, "exec-test t/good.sh\n");
    for name in ["t/test_a.py", "t/notes.txt"] {
        let lines = ran.stderr.lines().filter(|line| line.contains(name));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{ran}");
        assert!(lines[0].starts_with("warning: "), "{ran}");
        let message = lines[0].to_lowercase();
        assert!(message.contains("permission denied"), "{ran}");
    }
}

/// Runs fifty tasks of the kind `greet`.
fn fifty_greetings(fixture: &Fixture) -> Ran {
    let tasks = (0..50).map(|number| json!({"kind": "greet", "uri": format!("n{number}")}));
    fixture.recipe("fifty.json", &tasks.collect::<Vec<_>>());
    fixture.run(&["run", "fifty.json"])
}

/// Runs a command of the host's advice, which begins with `persea`.
#[track_caller]
fn run_advice(fixture: &Fixture, command: &str) {
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    fixture.run(&args).code(0);
}

#[test]
fn shared_configuration_error_is_shown_once() {
    let fixture = with_unlocked(&["runner-greet"]);
    fixture.file("persea.toml", "plugins.dirs = [\"plugins\"]\n");
    let add =
        "persea plugin add plugins/runner-greet.wasm --grant process=sandbox,container,process";
    let refused = format!(
        "plugins/runner-greet.wasm is a runner that no lock binds, so it is not loaded: `{add}` \
         locks it"
    );
    let ran = fifty_greetings(&fixture).code(3);
    let reason =
        format!("no runner for kind `greet`; it may be in a plugin that is not loaded: {refused}");
    assert!(
        ran.stdout
            .contains(&format!("50 tests cannot run: {reason}\n")),
        "{ran}"
    );
    assert_eq!(
        ran.stdout.matches("runner-greet.wasm --grant").count(),
        1,
        "{ran}"
    );
    assert_eq!(
        ran.stdout
            .matches("ERROR: cannot run, for the reason above\n")
            .count(),
        // Each test is shown as it ends, and in the list of failures.
        2 * 50,
        "{ran}"
    );
    // Reports have the whole reason with each test.
    assert_eq!(fixture.job().reason("n7"), reason);

    let sandboxed = "persea plugin add plugins/runner-greet.wasm --grant process=sandbox";
    run_advice(&fixture, sandboxed);
    let ran = fifty_greetings(&fixture).code(1);
    let update = "`persea plugin update runner.greet --grant process=sandbox,process`";
    assert_eq!(ran.stdout.matches(update).count(), 1, "{ran}");
    assert_eq!(
        ran.stdout
            .matches("50 tests cannot run: runner `greet`")
            .count(),
        1,
        "{ran}"
    );
    run_advice(&fixture, update.trim_matches('`'));
    fifty_greetings(&fixture).code(0);
}

#[test]
fn suggested_resolver_grants_work_with_the_default_spawner() {
    let fixture = with_unlocked(&["resolver-list"]);
    fixture.file("persea.toml", "plugins.dirs = [\"plugins\"]\n");
    fixture.file("good.list", "$ true\n");
    let ran = fixture.run(&["run", "good.list"]).code(2);
    run_advice(&fixture, ran.stderr.split('`').nth(1).unwrap());
    fixture.run(&["run", "good.list"]).code(0);
}

#[test]
fn job_without_a_started_test_is_no_success() {
    let fixture = Fixture::new();
    fixture.file(
        "setup.toml",
        "[[suite]]\nname = \"a\"\nreferences = [\"/bin/true\"]\nsetup = \"exit 1\"\n",
    );
    let run = |options: &[&str]| fixture.run(&[&["run", "--job", "setup.toml"], options].concat());
    let ran = run(&[]).code(2);
    assert_eq!(fixture.job().results()["cancel"], 1);
    assert_stderr(&ran, &["error: the only test was not run"]);
    run(&["--set", "run.exit.cancelled=fail"]).code(1);
    run(&["--dry-run"]).code(0);
    for requirement in [
        r#""type": "command", "setup": "exit 1""#,
        r#""type": "no-such-kind""#,
    ] {
        let recipe =
            format!(r#"[{{"kind": "noop", "kwargs": {{"dependencies": [{{{requirement}}}]}}}}]"#);
        fixture.file("unmet.json", recipe);
        fixture.run(&["run", "unmet.json"]).code(2);
        assert_eq!(fixture.job().results()["cancel"], 1);
    }
}

#[test]
fn cancelled_tests_fail_the_job_only_if_configured() {
    let fixture = Fixture::new();
    let tests = [
        noop("a"),
        with(noop("b"), "needs", json!(["c"])),
        shell("c", "exit 77"),
    ];
    fixture.recipe("r.json", &tests);
    let skip = ["--set", "runner.exectest.exitcodes.skip=[77]"];
    let run = |options: &[&str]| fixture.run(&[&["run", "r.json"], &skip[..], options].concat());
    run(&[]).code(0);
    assert_eq!(fixture.job().status("b"), "CANCEL");
    run(&["--set", "run.exit.cancelled=pass"]).code(0);
    run(&["--set", "run.exit.cancelled=fail"]).code(1);
    let ran = run(&["--set", "run.exit.cancelled=perhaps"]).code(4);
    assert_stderr(&ran, &["expected `pass` or `fail`"]);
}

#[test]
fn job_of_self_skipping_tests_succeeds() {
    let fixture = Fixture::new();
    fixture.script("skips.sh", "exit 77");
    let skip = "runner.exectest.exitcodes.skip=[77]";
    fixture.run(&["run", "--set", skip, "./skips.sh"]).code(0);
    assert_eq!(fixture.job().status("./skips.sh"), "SKIP");
}

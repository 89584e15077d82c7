//! Owns the choice of tests of a job: filters, and what failed in an earlier job.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::{exec, requiring, shell, with};
use crate::support::{Fixture, Ran, assert_stderr};

/// A project with the recipe `job.json`: tests with tags, of which one fails and one needs another.
fn project() -> Fixture {
    let project = Fixture::new();
    let tags = |tags: Value| json!({ "tags": tags });
    let requirement = json!([{"type": "file", "path": "made", "content": ""}]);
    let tests = [
        with(
            exec("build", "/bin/true"),
            "kwargs",
            tags(json!({"fast": null})),
        ),
        with(
            exec("net-get", "/bin/false"),
            "kwargs",
            tags(json!({"net": null, "arch": ["arm"]})),
        ),
        with(exec("use", "/bin/true"), "needs", json!(["build"])),
        requiring(shell("file", "true"), &requirement),
    ];
    project.recipe("job.json", &tests);
    project
}

/// Runs the recipe with these options, and returns the names of the tests that ran.
fn names(project: &Fixture, options: &[&str], code: i32) -> Vec<String> {
    run(project, options).code(code);
    let mut names = project.job().started();
    names.sort();
    names
}

fn run(project: &Fixture, options: &[&str]) -> Ran {
    project.run(&[&["run"], options, &["job.json"]].concat())
}

#[test]
fn filters_choose_tests_and_what_they_need() {
    let project = project();
    for (options, expected, code) in [
        (&["--filter", "tag(fast)"][..], &["build"][..], 0),
        (&["--filter", "name(use)"], &["build", "use"], 0),
        (
            &["--filter", "tags(-fast,-net) & !requirement(file)"],
            &["build", "use"],
            0,
        ),
        (&["--filter", "requirement(file)"], &["file"], 0),
        (
            &["--filter", "tag(arch:arm)", "--filter", "name(~uil)"],
            &["build", "net-get"],
            1,
        ),
        (&["--exclude", "tag(net)"], &["build", "file", "use"], 0),
        (
            &[
                "--filter",
                "kind(exec-test)",
                "--exclude",
                "name(/^(net|use)/)",
            ],
            &["build", "file"],
            0,
        ),
    ] {
        assert_eq!(names(&project, options, code), expected, "{options:?}");
        // What `list` shows is what runs, apart from what a test needs.
        let list = project
            .run(&[&["list"], options, &["job.json"]].concat())
            .code(0);
        assert_eq!(list.stdout.lines().count(), expected.len(), "{list}");
        let note = format!("note: the filters leave {} of 4 tests\n", expected.len());
        assert_stderr(&list, &[&note]);
    }
    let ran = run(&project, &["--filter", "tag(fast)"]).code(0);
    assert!(
        ran.stdout.contains("The filters leave 1 of 4 tests."),
        "{ran}"
    );
    let graph = ["list", "--graph", "--filter", "name(use)", "job.json"];
    let graph = project.run(&graph).code(0).stdout;
    assert!(
        graph.contains("use") && !graph.contains("net-get"),
        "{graph}"
    );
}

#[test]
fn filter_of_last_results_follows_the_jobs() {
    let project = project();
    let failed = ["--filter", "status(fail)"];
    let new = ["--filter", "status(none)"];
    run(&project, &failed).code(2);
    assert_eq!(
        names(&project, &["--exclude", "name(file)"], 1),
        ["build", "net-get", "use"]
    );
    assert_eq!(names(&project, &failed, 1), ["net-get"]);
    assert_eq!(names(&project, &new, 0), ["file"]);
    run(&project, &new).code(2);
    let both = ["--filter", "status(FAIL) | status(none)"];
    assert_eq!(names(&project, &both, 1), ["net-get"]);
}

#[test]
fn filter_of_cases_looks_at_the_last_job() {
    let project = Fixture::new();
    project.file("one.t", "#!/bin/sh\necho 1..1; echo 'ok 1 - first'");
    project.file("two.t", "#!/bin/sh\necho 1..1; echo 'ok 1 - second'");
    let kinds = ["one.t", "two.t"].map(|uri| json!({"kind": "tap", "uri": uri}));
    project.recipe("job.json", &kinds);
    for uri in ["one.t", "two.t"] {
        project.script(
            uri,
            &format!("echo 1..1; echo 'ok 1 - {}'", uri.replace(".t", "")),
        );
    }
    let wanted = ["--filter", "case(~two)"];
    run(&project, &wanted).code(2);
    run(&project, &[]).code(0);
    run(&project, &wanted).code(0);
    assert_eq!(project.job().started(), ["two.t"]);
}

#[test]
fn filters_that_leave_nothing_are_an_error() {
    let project = project();
    let ran = run(&project, &["--filter", "tag(fsat)"]).code(2);
    assert_stderr(
        &ran,
        &["the filters leave none of 4 tests (`run.filter`, `run.exclude`)"],
    );
}

#[test]
fn wrong_filter_is_an_error_with_its_place() {
    let project = project();
    for (filter, message) in [
        (
            "tag(fast) &",
            "expected a condition such as `name(…)`, `!` or `(`",
        ),
        (
            "tga(fast)",
            "there is no condition `tga`; the conditions are",
        ),
        ("name(/(/)", "the regular expression is wrong"),
    ] {
        for command in ["run", "list"] {
            for option in ["--filter", "--exclude"] {
                let ran = project.run(&[command, option, filter, "job.json"]).code(4);
                assert_stderr(&ran, &[message, filter]);
            }
        }
    }
}

#[test]
fn project_sets_filters_and_an_option_replaces_them() {
    let project = project();
    project.file(
        "persea.toml",
        "[run]\nexclude = [\"tag(net)\", \"name(file)\"]\n",
    );
    assert_eq!(names(&project, &[], 0), ["build", "use"]);
    assert_eq!(
        names(&project, &["--exclude", "name(file)"], 1),
        ["build", "net-get", "use"]
    );
    assert_eq!(names(&project, &["--set", "run.exclude=[]"], 1).len(), 4);
}

#[test]
fn error_of_a_reference_is_never_filtered_out() {
    let project = Fixture::new();
    install(&project, "plugins", &["suite-script"]);
    project.script("suite.sh", "exit 3");
    let suite = json!({"kind": "script-suite", "uri": "./suite.sh"});
    project.recipe("job.json", &[suite, exec("good", "/bin/true")]);
    let ran = run(
        &project,
        &["--plugin-dir", "plugins", "--filter", "name(good)"],
    )
    .code(1);
    assert!(ran.stdout.contains("ERROR 1"), "{ran}");
    assert_eq!(project.job().results()["pass"], 1);
}

#[test]
fn failed_reference_runs_whole_once_it_resolves() {
    let project = Fixture::new();
    install(&project, "plugins", &["suite-script"]);
    project.script("suite.sh", "exit 3");
    let suite = json!({"kind": "script-suite", "uri": "./suite.sh"});
    project.recipe("job.json", &[suite, exec("good", "/bin/true")]);
    run(&project, &["--plugin-dir", "plugins"]).code(1);
    project.script(
        "suite.sh",
        "case $1 in list) echo a; echo b ;; run) test $2 = a ;; esac",
    );
    let again = ["--plugin-dir", "plugins", "--failed", "latest"];
    // Whatever the reference holds.
    let all = ["./suite.sh:a", "./suite.sh:b", "good"];
    assert_eq!(names(&project, &again, 1), all);
}

#[test]
fn failed_test_that_is_gone_is_a_warning() {
    let project = Fixture::new();
    let tests = |names: &[&str]| {
        names
            .iter()
            .map(|it| exec(it, &format!("/bin/{it}")))
            .collect()
    };
    let tests = |names: &[&str]| -> Vec<Value> { tests(names) };
    project.recipe("job.json", &tests(&["false", "true"]));
    let other = exec("also false", "/bin/sh -c false");
    project.recipe(
        "job.json",
        &[&tests(&["false", "true"])[..], &[other]].concat(),
    );
    run(&project, &[]).code(1);
    project.recipe("job.json", &tests(&["false", "true"]));
    let gone = "`also false` failed in the earlier job and is not among the tests";
    let ran = run(&project, &["--failed", "latest"]).code(1);
    assert!(ran.stdout.contains(gone), "{ran}");
    assert_eq!(project.job().started(), ["false"]);
    let warning = &project.job().events_of("warning")[0]["data"];
    assert_eq!(warning["cause"], "failed-test-gone");
    // The job in which it failed is no more the latest.
    run(&project, &["--failed", "latest"]).code(1);
    assert_eq!(project.job().events_of("warning").len(), 0);
}

#[test]
fn strict_job_does_not_lose_a_failed_test() {
    let project = Fixture::new();
    project.recipe(
        "job.json",
        &[exec("false", "/bin/false"), exec("other", "/no/such")],
    );
    run(&project, &[]).code(1);
    project.recipe("job.json", &[exec("false", "/bin/false")]);
    let ran = run(&project, &["--strict", "--failed", "latest"]).code(2);
    assert_stderr(
        &ran,
        &["`other` failed in the earlier job and is not among the tests"],
    );
}

#[test]
fn failed_job_runs_again_with_its_own_references_and_settings() {
    let project = Fixture::new();
    project.recipe(
        "job.json",
        &[exec("bad", "/bin/false"), exec("good", "/bin/true")],
    );
    let options = [
        "--set",
        "task.timeout.running=77",
        "--max-parallel-tasks",
        "1",
    ];
    run(&project, &options).code(1);
    let started = |project: &Fixture| project.job().events_of("job-started")[0]["data"].clone();
    let first = started(&project)["job-id"].as_str().unwrap().to_owned();
    project.run(&["run", "--failed", "latest"]).code(1);
    assert_eq!(project.job().started(), ["bad"]);
    let data = started(&project);
    assert_eq!(data["references"], json!(["job.json"]));
    assert_eq!(data["settings"]["task.timeout.running"], 77);
    // An option of this command wins, and the job may be any.
    project
        .run(&["run", "--failed", &first, "--task-timeout", "78"])
        .code(1);
    assert_eq!(started(&project)["settings"]["task.timeout.running"], "78");
    assert_eq!(started(&project)["settings"]["run.max_parallel_tasks"], 1);
}

#[test]
fn failed_tests_of_a_job_file_run_again() {
    let project = Fixture::new();
    let suite = "[[suite]]\nname = \"a\"\nreferences = [\"/bin/false\", \"/bin/true\"]\n";
    project.file("job.toml", suite);
    project.run(&["run", "--job", "job.toml"]).code(1);
    project.run(&["run", "--failed", "latest"]).code(1);
    assert_eq!(project.job().started(), ["1-/bin/false"]);
}

#[test]
fn job_of_another_project_does_not_run_again_here() {
    let project = project();
    run(&project, &[]).code(1);
    std::fs::create_dir(project.project().join("inner")).unwrap();
    let mut inner = project.persea(&["run", "--failed", "latest"]);
    inner.current_dir(project.project().join("inner"));
    let ran = crate::support::finish(inner.spawn().unwrap()).code(4);
    assert_stderr(
        &ran,
        &["the job ran in another project", "persea run --failed"],
    );
}

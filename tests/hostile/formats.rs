//! Result formats that misbehave: each costs its own report and no other.

use crate::plugins::put;
use crate::reports::assert_well_formed;
use crate::support::Sandbox;

#[test]
fn a_format_that_traps_costs_its_own_report_and_is_named() {
    let sandbox = Sandbox::new();
    put(
        &sandbox,
        "plugins",
        &["hostile-format", "format-csv", "resolver-list"],
    );
    sandbox.file("tests.list", "$ true\n$ echo 2\n$ echo 3\n");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
        "tests.list",
    ];
    let ran = sandbox.run(&args).code(2);
    let errors: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(errors.len(), 1, "{ran}");
    assert!(
        errors[0].starts_with("error: the report `halfway` is incomplete: "),
        "{ran}"
    );
    for part in [
        "result-format `halfway` (plugins/hostile-format.wasm)",
        "no more than one",
        "src/lib.rs:",
    ] {
        assert!(errors[0].contains(part), "{ran}");
    }
    let job = sandbox.job();
    assert_eq!(job.results()["pass"], 3);
    assert_eq!(job.read("results.csv").lines().count(), 4);
    assert!(job.read("results.tap").starts_with("1..3\n"));
    assert_well_formed(&job.0.join("results.xml"));
    // With a failing test the exit code has both bits.
    sandbox.file("tests.list", "$ true\n$ false\n");
    sandbox.run(&args).code(3);
}

/// A job with a hostile report: the others are whole. The exit code is this, and all that is said on the standard error has these words.
#[track_caller]
fn report(how: &str, options: &[&str], code: i32, says: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-report", "format-csv"]);
    let how = format!("report.hostile.how={how}");
    let mut args = vec!["run", "--set", &how];
    args.extend(options);
    args.push("/bin/true");
    let ran = sandbox.run(&args).code(code);
    for part in says {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran}");
    }
    if !says.is_empty() {
        assert!(
            ran.stderr
                .contains("error: the report `report` is incomplete: "),
            "{ran}"
        );
        assert!(
            ran.stderr
                .contains("result-format `report` (plugins/hostile-report.wasm)"),
            "{ran}"
        );
    }
    crate::hostile::assert_printable(&ran);
    let job = sandbox.job();
    assert_eq!(job.status("/bin/true"), "PASS");
    assert_eq!(job.read("results.csv").lines().count(), 2);
    assert!(job.read("results.tap").starts_with("1..1\nok 1"));
    assert_well_formed(&job.0.join("results.xml"));
    sandbox
}

#[test]
fn a_report_without_end_is_cut_at_its_limit() {
    let limit = ["--set", "plugins.limits.output_mb=8"];
    let sandbox = report(
        "flood",
        &limit,
        2,
        &["its limit on the report, 8 MiB: `plugins.limits.output_mb` raises it"],
    );
    let size = sandbox
        .job()
        .0
        .join("results.hostile")
        .metadata()
        .unwrap()
        .len();
    assert!(size <= 8 << 20, "{size}");
}

#[test]
fn a_format_that_never_answers_is_stopped() {
    let limit = ["--set", "plugins.result-format.timeout=0.5"];
    report(
        "loop",
        &limit,
        2,
        &["its limit on the time for one answer, 0.5 s: `plugins.result-format.timeout` raises it"],
    );
}

#[test]
fn a_format_that_takes_all_memory_is_stopped() {
    report("hog", &[], 2, &["its limit on memory, 256 MiB"]);
}

#[test]
fn a_format_reads_and_writes_nothing_outside_of_its_report() {
    let sandbox = report("outside", &[], 0, &[]);
    let written = sandbox.job().read("results.hostile");
    assert!(
        written
            .lines()
            .all(|line| line.starts_with("job-") || line.starts_with("task-")),
        "{written}"
    );
    assert!(written.contains("job-finished"), "{written}");
}

#[test]
fn bytes_that_are_no_text_are_a_formats_own_matter() {
    let sandbox = report("escapes", &[], 0, &[]);
    let bytes = std::fs::read(sandbox.job().0.join("results.hostile")).unwrap();
    assert!(bytes.starts_with(b"\x1b[2J"));
}

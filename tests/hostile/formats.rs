//! Owns result formats that misbehave: each harms its own report and no other.

use super::components::patched;
use crate::support::plugins::{install, lock};
use crate::support::{Fixture, assert_stderr, assert_well_formed};

#[test]
fn trapping_format_fails_only_its_report_and_is_named() {
    let fixture = Fixture::new();
    install(
        &fixture,
        "plugins",
        &["hostile-format", "format-csv", "resolver-list"],
    );
    fixture.file("tests.list", "$ true\n$ echo 2\n$ echo 3\n");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
        "tests.list",
    ];
    let ran = fixture.run(&args).code(2);
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
    let job = fixture.job();
    assert_eq!(job.results()["pass"], 3);
    assert_eq!(job.read("results.csv").lines().count(), 4);
    assert!(job.read("results.tap").starts_with("1..3\n"));
    assert_well_formed(&job.0.join("results.xml"));
    // With a failing test the exit code has both bits.
    fixture.file("tests.list", "$ true\n$ false\n");
    fixture.run(&args).code(3);
}

/// Runs a job with a hostile format, whose other reports are complete. Where `parts` is not empty,
/// the report is incomplete with an error that contains each of them.
#[track_caller]
fn report(how: &str, options: &[&str], code: i32, parts: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-report", "format-csv"]);
    let how = format!("report.hostile.how={how}");
    let args = [&["run", "--set", &how], options, &["/bin/true"]].concat();
    let ran = fixture.run(&args).code(code);
    assert_stderr(&ran, parts);
    if !parts.is_empty() {
        let error = "error: the report `report` is incomplete: ";
        let plugin = "result-format `report` (plugins/hostile-report.wasm)";
        assert_stderr(&ran, &[error, plugin]);
    }
    crate::hostile::assert_printable(&ran);
    let job = fixture.job();
    assert_eq!(job.status("/bin/true"), "PASS");
    assert_eq!(job.read("results.csv").lines().count(), 2);
    assert!(job.read("results.tap").starts_with("1..1\nok 1"));
    assert_well_formed(&job.0.join("results.xml"));
    fixture
}

#[test]
fn endless_report_is_cut_at_its_limit() {
    let limit = ["--set", "plugins.limits.output_mb=8"];
    let fixture = report(
        "flood",
        &limit,
        2,
        &["its limit on the report, 8 MiB: `plugins.limits.output_mb` raises it"],
    );
    let size = fixture
        .job()
        .0
        .join("results.hostile")
        .metadata()
        .unwrap()
        .len();
    assert!(size <= 8 << 20, "{size}");
}

#[test]
fn endless_format_is_stopped_at_its_timeout() {
    let limit = ["--set", "plugins.result-format.timeout=0.5"];
    report(
        "loop",
        &limit,
        2,
        &["its limit on the time for one answer, 0.5 s: `plugins.result-format.timeout` raises it"],
    );
}

#[test]
fn format_is_stopped_at_its_memory_limit() {
    report("hog", &[], 2, &["its limit on memory, 256 MiB"]);
}

#[test]
fn format_accesses_only_its_report() {
    let fixture = report("outside", &[], 0, &[]);
    let written = fixture.job().read("results.hostile");
    assert!(
        written
            .lines()
            .all(|line| line.starts_with("job-") || line.starts_with("task-")),
        "{written}"
    );
    assert!(written.contains("job-finished"), "{written}");
}

#[test]
fn format_may_write_any_bytes() {
    let fixture = report("escapes", &[], 0, &[]);
    let bytes = std::fs::read(fixture.job().0.join("results.hostile")).unwrap();
    assert!(bytes.starts_with(b"\x1b[2J"));
}

/// The hostile format with one setting of its description replaced, such as its name or its file.
pub(super) fn forger(from: &str, to: &str) -> Vec<u8> {
    let to = format!("{to:<0$}", from.len());
    patched("hostile-report", from, &to)
}

/// Options that have the hostile format write bytes that no other report has.
const HOW: [&str; 2] = ["--set", "report.hostile.how=escapes"];

/// Runs a job with a forger among its plugins. One message contains `part`, and every file of the
/// job and of other formats is genuine.
#[track_caller]
fn assert_forges_nothing(fixture: &Fixture, options: &[&str], code: i32, part: &str) {
    let args = [&["run"], options, &["/bin/true"]].concat();
    let ran = fixture.run(&args).code(code);
    assert_stderr(&ran, &[part]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    let job = fixture.job();
    assert_eq!(job.results()["pass"], 1);
    assert!(job.read("results.tap").starts_with("1..1\nok 1"));
    assert_well_formed(&job.0.join("results.xml"));
    assert!(job.read("job.log").contains("/bin/true: PASS"));
    let events = job.events();
    let kinds: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    let all = [
        "job-started",
        "task-planned",
        "environment-changed",
        "environment-changed",
        "task-started",
        "task-finished",
        "environment-changed",
        "job-finished",
    ];
    assert_eq!(kinds, all);
    assert_eq!(job.read("id").trim().len(), 40);
    assert!(!job.0.join("latest").exists() && !job.0.join("dependencies").is_file());
}

#[test]
fn format_cannot_take_the_file_of_another_report() {
    for (file, whose) in [
        (
            "results.json",
            "that file is the report of result-format `json`",
        ),
        (
            "results.xml",
            "that file is the report of result-format `xunit`",
        ),
        (
            "results.tap",
            "that file is the report of result-format `tap`",
        ),
        ("events.jsonl", "that file is the job's own"),
        ("job.log", "that file is the job's own"),
        ("id", "that file is the job's own"),
        ("test-results", "that file is the job's own"),
        ("dependencies", "that file is the job's own"),
        ("latest", "that file is the job's own"),
        ("../id", "that is not a valid file name"),
    ] {
        let bytes = super::report_named(file);
        let warning = format!(
            "result-format `report` (plugins/forger.wasm) cannot write \"{file}\": {whose}; \
             set `job.run.result.report.output` to another path"
        );
        let fixture = Fixture::new();
        fixture.file("plugins/forger.wasm", &bytes);
        let options = [&HOW[..], &["--plugin-dir", "plugins"]].concat();
        assert_forges_nothing(&fixture, &options, 0, &warning);
        // A lock does not help it.
        lock(&fixture, "plugins/forger.wasm", &[]);
        assert_forges_nothing(&fixture, &HOW, 0, &warning);
    }
    // Of two formats of third parties, the locked one gets the file, whatever their order.
    let fixture = Fixture::new();
    install(&fixture, "locked", &["format-csv"]);
    fixture.file("plugins/forger.wasm", super::report_named("results.csv"));
    let warning = "cannot write \"results.csv\": that file is the report of result-format `csv` \
                   (locked/format-csv.wasm)";
    let options = [&HOW[..], &["--plugin-dir", "plugins"]].concat();
    assert_forges_nothing(&fixture, &options, 0, warning);
    let csv = fixture.job().read("results.csv");
    assert!(csv.starts_with("\"id\",\"status\""), "{csv}");
}

#[test]
fn unlocked_format_cannot_replace_a_built_in_one() {
    let fixture = Fixture::new();
    let bytes = forger("name=report", "name=tap");
    fixture.file("plugins/forger.wasm", bytes);
    let warning = "result-format `tap` (plugins/forger.wasm) has the name of a result format that \
                   is built in, and takes its place only when a lock binds it: `persea plugin add \
                   plugins/forger.wasm`";
    assert_forges_nothing(&fixture, &["--plugin-dir", "plugins"], 2, warning);
    // `inspect` and `add` show what a locked one would replace.
    let replaces = "replaces  result-format.tap, built in\n";
    let ran = fixture.run(&["plugin", "inspect", "plugins/forger.wasm"]);
    assert!(ran.stdout.contains(replaces), "{ran}");
    let ran = fixture
        .run(&["plugin", "add", "plugins/forger.wasm"])
        .code(0);
    assert!(
        ran.stdout
            .contains("  replaces result-format.tap, built in\n"),
        "{ran}"
    );
    fixture
        .run(&[&["run", "/bin/true"], &HOW[..]].concat())
        .code(0);
    let job = fixture.job();
    assert!(!job.0.join("results.tap").exists());
    assert!(job.0.join("results.hostile").exists());
}

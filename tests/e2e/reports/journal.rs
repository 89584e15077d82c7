//! Owns `persea report`: it makes reports from the journal alone, also after the host was killed,
//! and in formats that did not exist when the job ran.

use serde_json::Value;

use super::{CASES, TESTS, assert_points, job_of_all_sorts};
use crate::support::plugins::install;
use crate::support::{Fixture, Job, Ran, assert_stderr, assert_well_formed};

fn report(fixture: &Fixture, job: &str, format: &str) -> Ran {
    fixture.run(&["report", job, "--format", format])
}

/// A copy of a job whose journal ends in the middle of a line, as when the host was killed, after
/// `keep` results.
fn truncated(fixture: &Fixture, keep: usize) -> Job {
    let job = fixture.job();
    let copy = fixture.project().join(format!("cut-{keep}"));
    std::fs::create_dir(&copy).unwrap();
    let journal = job.read("events.jsonl");
    let finished: Vec<usize> = journal
        .match_indices("{\"event\":\"task-finished\"")
        .map(|(at, _)| at)
        .collect();
    let end = finished[keep] + 30;
    std::fs::write(copy.join("events.jsonl"), &journal[..end]).unwrap();
    Job(copy)
}

#[test]
fn report_is_reproduced_from_the_journal_alone() {
    let fixture = job_of_all_sorts();
    let job = fixture.job();
    let files = [
        ("json", "results.json"),
        ("tap", "results.tap"),
        ("xunit", "results.xml"),
    ];
    let written = files.map(|(_, file)| job.read(file));
    for (_, file) in files {
        std::fs::remove_file(job.0.join(file)).unwrap();
    }
    // Only the xunit report contains output of tests, which is in their files.
    assert_eq!(
        report(&fixture, "latest", "xunit").code(0).stdout,
        written[2]
    );
    std::fs::remove_dir_all(job.0.join("test-results")).unwrap();
    for (index, (format, _)) in files.iter().enumerate().take(2) {
        let ran = report(&fixture, "latest", format).code(0);
        assert_eq!(ran.stdout, written[index]);
        assert_eq!(ran.stderr, "");
    }
    // The job is also found by a prefix of its id and by its directory.
    let id = job.read("id");
    assert_eq!(report(&fixture, &id[..7], "tap").code(0).stdout, written[1]);
    let ran = fixture.run(&[
        "report",
        job.0.to_str().unwrap(),
        "--format",
        "tap",
        "-o",
        "again.tap",
    ]);
    assert_eq!(ran.code(0).stdout, "");
    assert_eq!(
        std::fs::read_to_string(fixture.project().join("again.tap")).unwrap(),
        written[1]
    );
}

#[test]
fn report_of_a_killed_job_has_every_planned_test() {
    let fixture = job_of_all_sorts();
    for keep in [0, 1, 5, TESTS - 1] {
        let cut = truncated(&fixture, keep);
        let path = cut.0.to_str().unwrap();
        let events = cut.read("events.jsonl");
        let whole = |line: &&str| line.contains("\"task-finished\"") && line.ends_with('}');
        let finished: Vec<Value> = events
            .lines()
            .filter(whole)
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(finished.len(), keep);

        let ran = report(&fixture, path, "json").code(2);
        let count = match TESTS - keep {
            1 => "1 test of this job did not finish; the report has it as ERROR".to_owned(),
            open => {
                format!("{open} tests of this job did not finish; the report has them as ERROR")
            }
        };
        assert!(ran.stderr.contains(&count), "{ran}");
        let results: Value = serde_json::from_str(&ran.stdout).unwrap();
        let tests = results["tests"].as_array().unwrap();
        assert_eq!(tests.len(), TESTS);
        assert_eq!(results["total"], TESTS);
        assert_eq!(results["complete"], false);
        for test in tests {
            let end = finished.iter().find(|event| event["task"] == test["id"]);
            match end {
                Some(event) => assert_eq!(test["status"], event["data"]["status"]),
                None => {
                    assert_eq!(test["status"], "ERROR");
                    assert_eq!(test["fail_reason"], "the host ended before it");
                }
            }
        }
        let complete = fixture.job().results();
        assert_eq!(complete.get("complete"), None);
        let values = |results: &Value, key: &str| {
            let tests = results["tests"].as_array().unwrap().iter();
            let mut values: Vec<String> = tests.map(|test| test[key].to_string()).collect();
            values.sort();
            values
        };
        for key in ["id", "name", "kind", "uri", "tags", "logdir"] {
            assert_eq!(values(&results, key), values(&complete, key), "{key}");
        }

        let tap = report(&fixture, path, "tap").code(2).stdout;
        assert_points(&tap, TESTS);
        assert!(tap.contains("# ERROR: the host ended before it\n"), "{tap}");
        assert!(tap.contains("\nBail out! "), "{tap}");
        let xml = report(&fixture, path, "xunit").code(2).stdout;
        let elements = xml.matches("<testcase ").count();
        assert!((TESTS..=TESTS + CASES).contains(&elements), "{xml}");
        assert!(xml.contains(&format!(" tests=\"{elements}\" ")), "{xml}");
        let errors = xml.matches("message=\"the host ended before it\"").count();
        assert_eq!(errors, TESTS - keep);
        let incomplete = "<property name=\"complete\" value=\"false\"/>";
        assert!(xml.contains(incomplete), "{xml}");
        assert_well_formed(&fixture.file("cut.xml", xml));
    }
}

#[test]
fn report_of_a_killed_host_is_not_green() {
    let fixture = Fixture::new();
    fixture.script("long.sh", "echo here > started; sleep 1000");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "/bin/true",
        "./long.sh",
        "/bin/true",
    ];
    let mut child = fixture.persea(&args).spawn().unwrap();
    fixture.wait_for("started");
    let ran = report(&fixture, "latest", "json").code(2);
    assert!(ran.stdout.contains("still running"), "{ran}");
    child.kill().unwrap();
    child.wait().unwrap();
    let xml = report(&fixture, "latest", "xunit").code(2).stdout;
    assert!(
        xml.contains(" tests=\"3\" errors=\"2\" failures=\"0\" "),
        "{xml}"
    );
    assert!(
        xml.contains("<testcase classname=\"/bin\" name=\"/bin/true (2)\""),
        "{xml}"
    );
    fixture.assert_no_strays();
}

#[test]
fn journal_without_a_job_start_is_an_error() {
    let fixture = Fixture::new();
    fixture.file("report.json", "an older one");
    let start = r#"{"event":"job-started","time":1,"data":{"total":1"#;
    for text in [
        "",
        start,
        "{\"event\":\"job-finished\",\"time\":1,\"data\":{}}\n",
    ] {
        fixture.file("job/events.jsonl", text);
        let ran = fixture.run(&["report", "job", "--format", "json", "-o", "report.json"]);
        let error = "the journal job/events.jsonl has no beginning: there is nothing to report\n";
        assert_stderr(&ran, &[error]);
        ran.code(2);
        let kept = std::fs::read_to_string(fixture.project().join("report.json")).unwrap();
        assert_eq!(kept, "an older one");
    }
}

#[test]
fn file_that_is_no_journal_is_refused() {
    let fixture = Fixture::new();
    for (name, text) in [
        ("text", "hello\n{}\n"),
        ("list", "[1, 2]\n[3]\n"),
        ("zeroes", "\0\0\0\0\n\0\n"),
    ] {
        fixture.file(&format!("{name}/events.jsonl"), text);
        let ran = fixture.run(&["report", name, "--format", "json"]).code(2);
        let error = format!("{name}/events.jsonl:1: not an event of a journal: ");
        assert_stderr(&ran, &[&error]);
        assert!(!ran.stderr.contains("bug"), "{ran}");
    }
}

#[test]
fn report_of_an_unknown_job_is_an_error() {
    let fixture = Fixture::new();
    for job in ["latest", "abcdef0", "some/where"] {
        let ran = report(&fixture, job, "json").code(4);
        let error = format!(
            "no job `{job}`: give the path of a job's directory, `latest`, or at least 4 digits of \
             the id of a job in "
        );
        assert_stderr(&ran, &[&error]);
    }
}

#[test]
fn result_format_added_later_reports_an_old_job() {
    let fixture = job_of_all_sorts();
    let ran = report(&fixture, "latest", "csv").code(4);
    let error = "no result format `csv`: there is html, json, tap, xunit; more are added with \
                 `persea plugin add FILE`\n";
    assert_stderr(&ran, &[error]);
    install(&fixture, "plugins", &["format-csv"]);
    let ran = fixture
        .run(&[
            "report",
            "latest",
            "--format",
            "csv",
            "--plugin-dir",
            "plugins",
        ])
        .code(0);
    assert!(
        ran.stdout
            .starts_with("\"id\",\"status\",\"reason\",\"printed\"\n"),
        "{ran}"
    );
    let talk = ran
        .stdout
        .lines()
        .find(|line| line.contains("talk.sh"))
        .unwrap();
    assert!(
        talk.starts_with("\"01-./talk.sh\",\"FAIL\",\"exited with code 2\",\"<b>&\"\"quoted\"\""),
        "{talk}"
    );
}

#[test]
fn trapping_result_format_fails_the_report() {
    let fixture = Fixture::new();
    fixture.run(&["run", "/bin/true", "/bin/true"]).code(0);
    install(&fixture, "plugins", &["hostile-format"]);
    let args = [
        "report",
        "latest",
        "--format",
        "halfway",
        "--plugin-dir",
        "plugins",
    ];
    let ran = fixture.run(&args).code(2);
    assert!(
        ran.stderr.contains("the report `halfway` is incomplete"),
        "{ran}"
    );
    assert!(ran.stderr.contains("no more than one"), "{ran}");
}

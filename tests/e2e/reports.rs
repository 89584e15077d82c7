//! Reports: each is a function of the journal alone, whole and valid, now and later.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::plugins::install;
use crate::support::{Job, Ran, Sandbox};

/// A job with a test of each ending, some with output; its exit code is 9.
fn job_of_all_sorts() -> Sandbox {
    let sandbox = Sandbox::new();
    let mixed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mixed");
    for name in ["tap_ok.t.sh", "tap_fail.sh", "skip77.sh", "test_unit.py"] {
        std::fs::copy(mixed.join(name), sandbox.project().join(name)).unwrap();
    }
    sandbox.script(
        "talk.sh",
        "echo '<b>&\"quoted\"</b> ]]> \u{1b}[31mred'; printf 'bad \\377 byte\\n' >&2; exit 2",
    );
    sandbox.script("long.sh", "while :; do sleep 0.1; done");
    let own = r#"[
        {"kind": "exec-test", "uri": "./talk.sh", "kwargs": {"tags": {"fast": null, "arch": ["x86_64", "arm"]}}},
        {"kind": "exec-test", "uri": "./long.sh"},
        {"kind": "exec-test", "uri": "skip77.sh"},
        {"kind": "tap", "uri": "tap_ok.t.sh"},
        {"kind": "tap", "uri": "tap_fail.sh"},
        {"kind": "robot", "uri": "<arm> & \"leg\""},
        {"kind": "exec-test", "uri": "/does/not/exist"},
        {"kind": "noop", "identifier": "a # b \\ c\n1..0"}
    ]"#;
    sandbox.file("all.json", own);
    sandbox.file("persea.toml", "runner.exectest.exitcodes.skip = [77]\n");
    sandbox
        .run(&[
            "run",
            "--task-timeout",
            "2",
            "all.json",
            "test_unit.py",
            "/bin/true",
        ])
        .code(9);
    sandbox
}

/// Their number in that job.
const TESTS: usize = 13;

fn report(sandbox: &Sandbox, job: &str, format: &str) -> Ran {
    sandbox.run(&["report", job, "--format", format])
}

/// XML that any reader takes.
#[track_caller]
pub fn assert_well_formed(path: &std::path::Path) {
    let check = "import sys, xml.etree.ElementTree as tree; tree.parse(sys.argv[1])";
    let checked = std::process::Command::new("python3")
        .args(["-c", check])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn report_is_reproduced_from_the_journal_alone() {
    let sandbox = job_of_all_sorts();
    let job = sandbox.job();
    let files = [
        ("json", "results.json"),
        ("tap", "results.tap"),
        ("xunit", "results.xml"),
    ];
    let written = files.map(|(_, file)| job.read(file));
    for (_, file) in files {
        std::fs::remove_file(job.0.join(file)).unwrap();
    }
    // What tests printed is part of the xunit report, and in their files.
    assert_eq!(
        report(&sandbox, "latest", "xunit").code(0).stdout,
        written[2]
    );
    std::fs::remove_dir_all(job.0.join("test-results")).unwrap();
    for (index, (format, _)) in files.iter().enumerate().take(2) {
        let ran = report(&sandbox, "latest", format).code(0);
        assert_eq!(ran.stdout, written[index]);
        assert_eq!(ran.stderr, "");
    }
    // The job by its id and by its directory, into a file.
    let id = job.read("id");
    assert_eq!(report(&sandbox, &id[..7], "tap").code(0).stdout, written[1]);
    let ran = sandbox.run(&[
        "report",
        job.0.to_str().unwrap(),
        "--format",
        "tap",
        "-o",
        "again.tap",
    ]);
    assert_eq!(ran.code(0).stdout, "");
    assert_eq!(
        std::fs::read_to_string(sandbox.project().join("again.tap")).unwrap(),
        written[1]
    );
}

#[test]
fn results_json_has_every_test_and_right_totals() {
    let sandbox = job_of_all_sorts();
    let job = sandbox.job();
    let results = job.results();
    let tests = results["tests"].as_array().unwrap();
    assert_eq!(tests.len(), TESTS);
    assert_eq!(results["total"], TESTS);
    let planned: Vec<Value> = job
        .events()
        .into_iter()
        .filter(|event| event["event"] == "task-planned")
        .collect();
    assert_eq!(planned.len(), TESTS);
    for task in &planned {
        assert!(
            tests.iter().any(|test| test["id"] == task["task"]),
            "{task} has no result"
        );
    }
    for (count, status) in [
        ("pass", "PASS"),
        ("failures", "FAIL"),
        ("errors", "ERROR"),
        ("skip", "SKIP"),
        ("interrupt", "INTERRUPTED"),
        ("warn", "WARN"),
        ("cancel", "CANCEL"),
    ] {
        let with = tests.iter().filter(|test| test["status"] == status).count();
        assert_eq!(results[count], with, "{count}");
    }
    assert_eq!(
        job.test("./talk.sh")["tags"]["arch"],
        serde_json::json!(["x86_64", "arm"])
    );
    // Where it says that a test's files are, they are.
    let directory = job.test("./talk.sh")["logdir"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&directory).join("stdout").is_file());
}

#[test]
fn results_xml_is_well_formed_with_right_totals() {
    let sandbox = job_of_all_sorts();
    let file = sandbox.job().0.join("results.xml");
    assert_well_formed(&file);
    let script = r#"
import json, sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
if suite.tag == "testsuites": suite = suite[0]
cases = suite.findall("testcase")
count = lambda tag: sum(case.find(tag) is not None for case in cases)
talk = [case for case in cases if "talk.sh" in case.get("name")][0]
print(json.dumps({"attributes": suite.attrib, "cases": len(cases), "failures": count("failure"), "errors": count("error"),
    "skipped": count("skipped"), "out": talk.findtext("system-out"), "names": [case.get("name") for case in cases]}))
"#;
    let parsed = Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        parsed.status.success(),
        "{}",
        String::from_utf8_lossy(&parsed.stderr)
    );
    let parsed: Value = serde_json::from_slice(&parsed.stdout).unwrap();
    assert_eq!(parsed["cases"], TESTS);
    assert_eq!(parsed["attributes"]["tests"], TESTS.to_string());
    for count in ["failures", "errors", "skipped"] {
        assert_eq!(
            parsed["attributes"][count],
            parsed[count].to_string(),
            "{count}: {parsed:#}"
        );
    }
    assert_eq!(parsed["failures"], 3);
    let said = parsed["out"].as_str().unwrap();
    assert!(said.contains("<b>&\"quoted\"</b> ]]> "), "{said:?}");
    let names = parsed["names"].as_array().unwrap();
    assert!(
        names
            .iter()
            .any(|name| name.as_str().unwrap().contains("<arm> & \"leg\"")),
        "{names:?}"
    );
}

#[test]
fn results_tap_has_a_line_for_each_test() {
    let sandbox = job_of_all_sorts();
    check_tap(&sandbox.job().read("results.tap"));
}

#[track_caller]
fn check_tap(tap: &str) {
    let lines: Vec<&str> = tap.lines().collect();
    let plans: Vec<&&str> = lines
        .iter()
        .filter(|line| line.contains("..") && line.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(plans, [&format!("1..{TESTS}")], "{tap}");
    let points = check_points(tap, TESTS);
    let skipped = points.iter().filter(|point| point.contains(" # SKIP"));
    assert_eq!(skipped.count(), 2, "{tap}");
    // A `#` in a name is no directive.
    assert!(!tap.contains(" a # b"), "{tap}");
}

/// The test points: so many, numbered from 1.
#[track_caller]
fn check_points(tap: &str, count: usize) -> Vec<&str> {
    let is_point = |line: &&str| line.starts_with("ok ") || line.starts_with("not ok ");
    let points: Vec<&str> = tap.lines().filter(is_point).collect();
    assert_eq!(points.len(), count, "{tap}");
    for (index, point) in points.iter().enumerate() {
        let mut words = point.split_whitespace();
        let number = words.find_map(|word| word.parse::<usize>().ok());
        assert_eq!(number, Some(index + 1), "{point}");
    }
    points
}

/// A copy of a job whose journal ends in the middle of a line, as when the host was killed.
fn cut_off(sandbox: &Sandbox, keep: usize) -> Job {
    let job = sandbox.job();
    let copy = sandbox.project().join(format!("cut-{keep}"));
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
fn report_of_a_killed_job_has_every_planned_test() {
    let sandbox = job_of_all_sorts();
    for keep in [0, 1, 5, TESTS - 1] {
        let cut = cut_off(&sandbox, keep);
        let path = cut.0.to_str().unwrap();
        let events = cut.read("events.jsonl");
        let whole = |line: &&str| line.contains("\"task-finished\"") && line.ends_with('}');
        let finished: Vec<Value> = events
            .lines()
            .filter(whole)
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(finished.len(), keep);

        let ran = report(&sandbox, path, "json").code(2);
        let count = format!("{} tests of this job have no end", TESTS - keep);
        assert!(ran.stderr.contains(&count), "{ran}");
        let results: Value = serde_json::from_str(&ran.stdout).unwrap();
        let tests = results["tests"].as_array().unwrap();
        assert_eq!(tests.len(), TESTS);
        assert_eq!(results["total"], TESTS);
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
        let all = sandbox.job().results();
        let of = |tests: &Value, key: &str| {
            let tests = tests["tests"].as_array().unwrap().iter();
            let mut all: Vec<String> = tests.map(|test| test[key].to_string()).collect();
            all.sort();
            all
        };
        for key in ["id", "name", "kind", "uri", "tags", "logdir"] {
            assert_eq!(of(&results, key), of(&all, key), "{key}");
        }

        let tap = report(&sandbox, path, "tap").code(2).stdout;
        check_points(&tap, TESTS);
        assert!(tap.contains("# ERROR: the host ended before it\n"), "{tap}");
        assert!(tap.contains("\nBail out! "), "{tap}");
        let xml = report(&sandbox, path, "xunit").code(2).stdout;
        assert!(xml.contains(&format!(" tests=\"{TESTS}\" ")), "{xml}");
        let errors = xml.matches("message=\"the host ended before it\"").count();
        assert_eq!(errors, TESTS - keep);
        assert_well_formed(&sandbox.file("cut.xml", xml));
    }
}

#[test]
fn report_of_a_killed_host_is_not_green() {
    let sandbox = Sandbox::new();
    sandbox.script("long.sh", "echo here > started; sleep 1000");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "/bin/true",
        "./long.sh",
        "/bin/true",
    ];
    let mut child = sandbox.persea(&args).spawn().unwrap();
    sandbox.wait_for("started");
    let ran = report(&sandbox, "latest", "json").code(2);
    assert!(ran.stdout.contains("still running"), "{ran}");
    child.kill().unwrap();
    child.wait().unwrap();
    let xml = report(&sandbox, "latest", "xunit").code(2).stdout;
    assert!(
        xml.contains(" tests=\"3\" errors=\"2\" failures=\"0\" "),
        "{xml}"
    );
    assert!(
        xml.contains("<testcase classname=\"/bin\" name=\"/bin/true (2)\""),
        "{xml}"
    );
    sandbox.assert_no_strays();
}

#[test]
fn journal_without_a_job_start_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("report.json", "an older one");
    let start = r#"{"event":"job-started","time":1,"data":{"total":1"#;
    for text in [
        "",
        start,
        "{\"event\":\"job-finished\",\"time\":1,\"data\":{}}\n",
    ] {
        sandbox.file("job/events.jsonl", text);
        let ran = sandbox.run(&["report", "job", "--format", "json", "-o", "report.json"]);
        assert!(ran.stderr.contains("has no beginning"), "{ran}");
        ran.code(2);
        let kept = std::fs::read_to_string(sandbox.project().join("report.json")).unwrap();
        assert_eq!(kept, "an older one");
    }
}

/// The pieces of a text between two others.
fn between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let parts = text.split(before).skip(1);
    let pieces = parts.map(|part| part.split(after).next().unwrap().to_owned());
    pieces.collect()
}

#[test]
fn test_names_are_unique_with_suite_and_variant() {
    let sandbox = Sandbox::new();
    let suite = |name: &str| {
        format!(
            "[[suite]]\nname = \"{name}\"\nreferences = [\"/bin/true\", \"/bin/true\"]\n\
             [suite.variants]\naxes.size = [\"small\", \"large\"]\n"
        )
    };
    sandbox.file("job.toml", format!("{}{}", suite("a"), suite("b")));
    let names = |more: &[&str]| {
        let ran = sandbox
            .run(&[&["run", "--job", "job.toml"], more].concat())
            .code(0);
        let job = sandbox.job();
        let cases = between(
            &job.read("results.xml"),
            "<testcase classname=\"/bin\" name=\"",
            "\"",
        );
        let tap = job.read("results.tap");
        let points = tap.lines().filter_map(|line| line.strip_prefix("ok "));
        let points = points.map(|line| line.split_once(' ').unwrap().1.to_owned());
        assert_eq!(points.collect::<BTreeSet<String>>(), cases);
        let shown = ran
            .stdout
            .lines()
            .filter_map(|line| line.split_once(": PASS ("));
        let shown = shown.map(|(line, _)| line.split_once(") ").unwrap().1.to_owned());
        assert_eq!(shown.collect::<BTreeSet<String>>(), cases);
        cases
    };
    let all = names(&[]);
    assert_eq!(all.len(), 8, "{all:?}");
    for variant in all
        .iter()
        .filter_map(|name| name.strip_prefix("a:/bin/true;"))
    {
        assert!(variant.starts_with("size-"), "{all:?}");
        assert!(all.contains(&format!("b:/bin/true;{variant}")), "{all:?}");
        let plain = variant.strip_suffix(" (2)").unwrap_or(variant);
        assert!(all.contains(&format!("a:/bin/true;{plain} (2)")), "{all:?}");
    }
    // The same in another order, and in parts.
    assert_eq!(names(&["--shuffle"]), all);
    let mut parts = BTreeSet::new();
    for part in ["1/3", "2/3", "3/3"] {
        let some = names(&["--partition", part]);
        assert!(some.len() < 8);
        parts.extend(some);
    }
    assert_eq!(parts, all);
}

#[test]
fn flaky_pass_is_marked_in_junit() {
    let sandbox = Sandbox::new();
    sandbox.script("flaky.sh", "test -e tried || { touch tried; exit 7; }");
    sandbox
        .run(&["run", "--retries", "2", "./flaky.sh", "/bin/true"])
        .code(0);
    let xml = sandbox.job().read("results.xml");
    let mark = "<system-out><![CDATA[flaky: passed in attempt 2\nattempt 1: FAIL: exited with code 7\n]]></system-out>";
    assert_eq!(xml.matches(mark).count(), 1, "{xml}");
    assert!(
        xml.contains("<property name=\"flaky\" value=\"1\""),
        "{xml}"
    );
    let set = "job.run.result.xunit.rerun_elements=true";
    let again = sandbox
        .run(&["report", "latest", "--format", "xunit", "--set", set])
        .code(0);
    let mark = "<flakyFailure type=\"FAIL\" message=\"exited with code 7\"/>";
    assert_eq!(again.stdout.matches(mark).count(), 1, "{again}");
}

#[test]
fn file_that_is_no_journal_is_refused() {
    let sandbox = Sandbox::new();
    for (name, text) in [
        ("text", "hello\n{}\n"),
        ("list", "[1, 2]\n[3]\n"),
        ("zeroes", "\0\0\0\0\n\0\n"),
    ] {
        sandbox.file(&format!("{name}/events.jsonl"), text);
        let ran = sandbox.run(&["report", name, "--format", "json"]).code(2);
        let says = format!("{name}/events.jsonl:1: not an event of a journal: ");
        assert!(ran.stderr.contains(&says), "{ran}");
        assert!(!ran.stderr.contains("bug"), "{ran}");
    }
}

#[test]
fn report_on_stdout_has_stdout_to_itself() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "all.json",
        r#"[{"kind": "noop"}, {"kind": "exec-test", "uri": "/bin/false"}, {"kind": "robot"}]"#,
    );
    let run = |option: &str| {
        let ran = sandbox.run(&["run", option, "-", "all.json"]).code(1);
        assert_eq!(
            ran.stderr,
            "1 test cannot run: no runner for kind `robot`: add a plugin that runs it with `persea plugin add FILE`; `persea plugin list` shows those there are\n"
        );
        ran.stdout
    };
    let json: Value = serde_json::from_str(&run("--json")).unwrap();
    assert_eq!(json["total"], 3);
    assert_eq!(json, sandbox.job().results());

    let tap = run("--tap");
    assert!(tap.starts_with("1..3\n"), "{tap}");
    assert_eq!(tap, sandbox.job().read("results.tap"));

    let xml = run("--xunit");
    assert_well_formed(&sandbox.file("out.xml", &xml));
    assert_eq!(xml, sandbox.job().read("results.xml"));
}

#[test]
fn report_is_also_written_to_a_named_file() {
    let sandbox = Sandbox::new();
    let ran = sandbox
        .run(&["run", "--xunit", "ci.xml", "--json", "ci.json", "/bin/true"])
        .code(0);
    assert!(ran.stdout.contains("RESULTS    : PASS 1 |"), "{ran}");
    let job = sandbox.job();
    let read = |name: &str| std::fs::read_to_string(sandbox.project().join(name)).unwrap();
    assert_eq!(read("ci.xml"), job.read("results.xml"));
    assert_eq!(read("ci.json"), job.read("results.json"));
}

#[test]
fn report_is_written_to_a_named_pipe() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.project().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = std::fs::File::options();
    options.read(true).write(true).custom_flags(flags);
    let mut reader = options.open(&pipe).unwrap();
    // One that is written from its beginning to its end, and one in which something is put in later.
    for format in ["tap", "json"] {
        let option = format!("--{format}");
        sandbox.run(&["run", &option, "pipe", "/bin/true"]).code(0);
        // There is no end: this itself could write.
        let mut bytes = Vec::new();
        let end = reader.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::WouldBlock);
        let file = sandbox.job().read(&format!("results.{format}"));
        assert_eq!(String::from_utf8(bytes).unwrap(), file);
    }
}

#[test]
fn result_format_added_later_reports_an_old_job() {
    let sandbox = job_of_all_sorts();
    let ran = report(&sandbox, "latest", "csv").code(4);
    assert!(
        ran.stderr
            .contains("no result format `csv`: there is json, tap, xunit"),
        "{ran}"
    );
    assert!(ran.stderr.contains("`persea plugin add FILE`"), "{ran}");
    install(&sandbox, "plugins", &["format-csv"]);
    let ran = sandbox
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
    let sandbox = Sandbox::new();
    sandbox.run(&["run", "/bin/true", "/bin/true"]).code(0);
    install(&sandbox, "plugins", &["hostile-format"]);
    let args = [
        "report",
        "latest",
        "--format",
        "halfway",
        "--plugin-dir",
        "plugins",
    ];
    let ran = sandbox.run(&args).code(2);
    assert!(
        ran.stderr.contains("the report `halfway` is incomplete"),
        "{ran}"
    );
    assert!(ran.stderr.contains("no more than one"), "{ran}");
}

#[test]
fn report_of_an_unknown_job_is_an_error() {
    let sandbox = Sandbox::new();
    for job in ["latest", "abcdef0", "some/where"] {
        let ran = report(&sandbox, job, "json").code(4);
        assert!(ran.stderr.contains(&format!("no job `{job}`")), "{ran}");
    }
}

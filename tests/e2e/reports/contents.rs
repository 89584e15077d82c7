//! Owns the contents of each report: every test, correct totals, valid syntax, unique names.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::{CASES, TESTS, assert_points, job_of_all_sorts};
use crate::support::plugins::install;
use crate::support::{Fixture, assert_well_formed};

#[test]
fn results_json_has_every_test_and_right_totals() {
    let fixture = job_of_all_sorts();
    let job = fixture.job();
    let results = job.results();
    let tests = results["tests"].as_array().unwrap();
    assert_eq!(tests.len(), TESTS);
    assert_eq!(results["total"], TESTS);
    let planned = job.events_of("task-planned");
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
        json!(["x86_64", "arm"])
    );
    assert!(job.directory("./talk.sh").join("stdout").is_file());
}

#[test]
fn results_json_has_the_cases_of_each_test() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    let lab = |name: &str, steps: &[&str]| json!({"kind": "lab", "uri": name, "args": steps});
    let steps = [
        "start s/one",
        "FAIL s/one it \"hurts\"",
        "SKIP s/two",
        "start s/open",
    ];
    let tests = [
        lab("some", &steps),
        lab("many", &["many 10002"]),
        lab("none", &[]),
    ];
    fixture.recipe("job.json", &tests);
    fixture.run(&["run", "job.json"]).code(0);
    let job = fixture.job();
    let mut cases = job.test("some")["cases"].clone();
    // The two cases that were started took some time, and the other is without one.
    for (index, is_timed) in [true, false, true].into_iter().enumerate() {
        let time = cases[index].as_object_mut().unwrap().remove("time");
        let time = time.map(|time| time.as_f64().unwrap());
        assert_eq!(time.is_some(), is_timed, "{cases:#}");
        assert!(time.is_none_or(|time| (0.0..60.0).contains(&time)));
    }
    let reason = cases[2].as_object_mut().unwrap().remove("reason");
    assert_eq!(reason.unwrap(), "its task has ended before it");
    assert_eq!(
        cases,
        json!([
            {"path": ["s", "one"], "status": "FAIL", "reason": "it \"hurts\""},
            {"path": ["s", "two"], "status": "SKIP"},
            {"path": ["s", "open"], "status": "ERROR"},
        ])
    );
    let many = job.test("many");
    assert_eq!(many["cases"].as_array().unwrap().len(), 10_000);
    assert_eq!(many["cases_left_out"], 2);
    assert_eq!(many["cases"][9_999]["path"], json!(["many", "9999"]));
    assert!(job.test("none").get("cases").is_none());
    assert!(job.test("some").get("cases_left_out").is_none());
}

#[test]
fn results_xml_is_well_formed_with_right_totals() {
    let fixture = job_of_all_sorts();
    let file = fixture.job().0.join("results.xml");
    assert_well_formed(&file);
    let script = r#"
import json, sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
if suite.tag == "testsuites": suite = suite[0]
cases = suite.findall("testcase")
count = lambda tag: sum(case.find(tag) is not None for case in cases)
talk = [case for case in cases if "talk.sh" in case.get("name")][0]
print(json.dumps({
    "attributes": suite.attrib, "cases": len(cases),
    "failures": count("failure"), "errors": count("error"), "skipped": count("skipped"),
    "out": talk.findtext("system-out"), "names": [case.get("name") for case in cases],
}))
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
    let all = TESTS + CASES;
    assert_eq!(parsed["cases"], all);
    assert_eq!(parsed["attributes"]["tests"], all.to_string());
    for count in ["failures", "errors", "skipped"] {
        assert_eq!(
            parsed["attributes"][count],
            parsed[count].to_string(),
            "{count}: {parsed:#}"
        );
    }
    // Three tests, and a point of a TAP document.
    assert_eq!(parsed["failures"], 4);
    let stdout = parsed["out"].as_str().unwrap();
    assert!(stdout.contains("<b>&\"quoted\"</b> ]]> "), "{stdout:?}");
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
    let tap = job_of_all_sorts().job().read("results.tap");
    let lines: Vec<&str> = tap.lines().collect();
    let plans: Vec<&&str> = lines
        .iter()
        .filter(|line| line.contains("..") && line.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(plans, [&format!("1..{TESTS}")], "{tap}");
    let points = assert_points(&tap, TESTS);
    let skipped = points.iter().filter(|point| point.contains(" # SKIP"));
    assert_eq!(skipped.count(), 2, "{tap}");
    // A `#` in a name is escaped, because it would begin a directive.
    assert!(!tap.contains(" a # b"), "{tap}");
}

/// The pieces of a text that stand between two others.
fn between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let parts = text.split(before).skip(1);
    let pieces = parts.map(|part| part.split(after).next().unwrap().to_owned());
    pieces.collect()
}

#[test]
fn test_names_are_unique_with_suite_and_variant() {
    let fixture = Fixture::new();
    let suite = |name: &str| {
        format!(
            "[[suite]]\nname = \"{name}\"\nreferences = [\"/bin/true\", \"/bin/true\"]\n\
             [suite.variants]\naxes.size = [\"small\", \"large\"]\n"
        )
    };
    fixture.file("job.toml", format!("{}{}", suite("a"), suite("b")));
    // The names in JUnit, which are also those in TAP and in the display.
    let names = |options: &[&str]| {
        let ran = fixture
            .run(&[&["run", "--job", "job.toml"], options].concat())
            .code(0);
        let job = fixture.job();
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
    // Names depend neither on the order nor on the partition.
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
    let fixture = Fixture::new();
    fixture.script("flaky.sh", "test -e tried || { touch tried; exit 7; }");
    fixture
        .run(&["run", "--retries", "2", "./flaky.sh", "/bin/true"])
        .code(0);
    let xml = fixture.job().read("results.xml");
    let mark = "<system-out><![CDATA[flaky: passed in attempt 2\n\
                attempt 1: FAIL: exited with code 7\n]]></system-out>";
    assert_eq!(xml.matches(mark).count(), 1, "{xml}");
    assert!(
        xml.contains("<property name=\"flaky\" value=\"1\""),
        "{xml}"
    );
    let set = "job.run.result.xunit.rerun_elements=true";
    let again = fixture
        .run(&["report", "latest", "--format", "xunit", "--set", set])
        .code(0);
    let mark = "<flakyFailure type=\"FAIL\" message=\"exited with code 7\"/>";
    assert_eq!(again.stdout.matches(mark).count(), 1, "{again}");
}

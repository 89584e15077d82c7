//! Owns requirement resolvers: those of third parties, those that misbehave, and the built-in ones
//! that download.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::{logged, logged_test, requiring};
use crate::support::{Fixture, Ran, signal, wait_until};

#[test]
fn requirement_resolver_plugin_can_replace_a_built_in_one() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["requirement-token"]);
    let token = |name: &str, kind: &str, key: &str| json!([{"type": kind, key: name}]);
    let prints_token = |name: &str, requirements: &Value| {
        let mut runnable = logged_test(name, requirements);
        runnable["args"] = json!(["-c", "cat *.token; echo token ${TOKEN-none}"]);
        runnable
    };
    fixture.recipe(
        "job.json",
        &[
            prints_token("custom", &token("a", "token", "uri")),
            prints_token("replaced", &token("b", "file", "path")),
        ],
    );
    let run = |options: &[&str]| -> Ran {
        let mut args = vec!["run", "--max-parallel-tasks", "1"];
        args.extend(options);
        args.extend(["--plugin-dir", "plugins", "job.json"]);
        fixture.run(&args).code(0)
    };
    let ran = run(&[]);
    assert!(ran.stdout.contains(" requirement token a: token "), "{ran}");
    let number = |name: &str| -> u64 {
        let text = fixture.job().artifact(name, "stdout");
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    let first = number("custom").max(number("replaced"));
    assert!(!fixture.project().join("a.token").exists());
    // The resolver keeps its count from job to job.
    run(&[]);
    assert!(number("custom") > first);
    // The configured order prefers the built-in resolver again, and that creates no file.
    run(&["--set", "plugins.requirement-resolver.order=[\"file\"]"]);
    assert_eq!(fixture.job().status("custom"), "PASS");
    assert_eq!(fixture.job().status("replaced"), "CANCEL");
    let list = fixture
        .run(&["plugin", "list", "--plugin-dir", "plugins"])
        .code(0);
    assert!(list.stdout.contains("requirement-resolver token"), "{list}");
}

#[test]
fn misbehaving_requirement_resolver_cancels_only_its_tasks() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-requirement"]);
    let cases = [
        ("check-panics", "CANCEL", "no idea"),
        (
            "check-loops",
            "CANCEL",
            "requirement-resolver `hostile` (plugins/hostile-requirement.wasm) has reached its \
             limit on the time to meet or to release a requirement, 8 s: `requirement.timeout` \
             raises it, or `plugins.requirement-resolver.hostile.timeout` alone",
        ),
        (
            "impossible",
            "CANCEL",
            "it cannot be met in this environment",
        ),
        ("refuses", "CANCEL", "I do not want to"),
        ("fulfil-panics", "CANCEL", "half way"),
        (
            "hoards",
            "CANCEL",
            "requirement-resolver `hostile` (plugins/hostile-requirement.wasm): 1,025 names in the \
             cache: the contract allows at most 1,024; to remove ",
        ),
        ("chatters", "CANCEL", "plugins.limits.status_bytes"),
        ("stuck", "PASS", ""),
        ("release-panics", "PASS", ""),
    ];
    let mut runnables: Vec<Value> = cases
        .iter()
        .map(|(kind, ..)| logged_test(kind, &json!([{"type": kind}])))
        .collect();
    runnables.push(logged_test("neighbour", &json!([logged("fine")])));
    fixture.recipe("job.json", &runnables);
    let ran = fixture
        .run(&[
            "run",
            "--set",
            "requirement.timeout=8",
            "--plugin-dir",
            "plugins",
            "job.json",
        ])
        .code(2);
    let job = fixture.job();
    let mut wrong = String::new();
    for (kind, status, words) in cases {
        let (found, test) = (job.status(kind), job.test(kind));
        let reason = test["fail_reason"].as_str().unwrap_or_default();
        if found != status || !reason.contains(words) {
            let _ = writeln!(wrong, "{kind}: {found} {reason}");
        }
    }
    assert_eq!(wrong, "", "{ran}");
    assert_eq!(job.status("neighbour"), "PASS");
    assert!(fixture.lines("log").contains(&"down fine".to_owned()));
    for words in [
        "cannot release requirement stuck: it is glued to the floor",
        "cannot release requirement release-panics: ",
        // Released although it failed: nobody knows how far it had come.
        "cannot release requirement fulfil-panics: ",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {ran}");
    }
}

#[test]
fn asset_is_verified_and_passed_to_its_test() {
    let fixture = Fixture::new();
    // The example of FIPS 180-4, so that the checksum comes from elsewhere than our code.
    fixture.file("mirror/abc.txt", "abc");
    fixture.file("mirror/other.txt", "abd");
    let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let asset = |name: &str, checksum: Option<&str>| {
        json!([{
            "type": "asset", "name": name, "locations": "mirror/", "checksum": checksum,
        }])
    };
    let checksum = abc.replace('b', "d");
    let remote = json!([{
        "type": "asset", "name": "https://example.org/x", "checksum": checksum,
    }]);
    let mut found = logged_test("found", &asset("abc.txt", Some(abc)));
    found["args"] = json!(["-c", "cat \"$PERSEA_ASSET_ABC_TXT\""]);
    fixture.recipe(
        "job.json",
        &[
            found,
            logged_test("differs", &asset("other.txt", Some(&abc.replace('b', "e")))),
            logged_test("unverified", &asset("other.txt", None)),
            logged_test(
                "missing",
                &asset("nothing.txt", Some(&abc.replace('b', "c"))),
            ),
            logged_test("far", &remote),
        ],
    );
    fixture
        .run(&["run", "--set", "fetch.offline=true", "job.json"])
        .code(0);
    let job = fixture.job();
    assert_eq!(job.artifact("found", "stdout"), "abc");
    for (name, words) in [
        ("differs", "has the wrong checksum: sha256:"),
        ("unverified", "has no checksum"),
        ("missing", "cannot read mirror/nothing.txt: "),
        (
            "far",
            "is not in the cache of downloads, and `fetch.offline` is set",
        ),
    ] {
        assert_eq!(job.status(name), "CANCEL", "{name}");
        let reason = job.reason(name);
        assert!(reason.contains(words), "{name}: {reason}");
    }
}

#[test]
fn release_knows_no_answer_from_an_empty_one() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    let witness = |uris: &[&str]| {
        let witnesses = uris
            .iter()
            .map(|uri| json!({"type": "witness", "uri": uri}));
        let task = json!({"kind": "lab", "uri": "needs"});
        requiring(task, &witnesses.collect())
    };
    let released = || {
        let mut lines = fixture.lines("lab.log");
        lines.retain(|line| line.starts_with("release "));
        lines
    };
    // The job releases what was fulfilled.
    fixture.recipe("job.json", &[witness(&["empty", "one"])]);
    fixture.run(&["run", "job.json"]).code(0);
    let expected = ["release one 1 0.3.0", "release empty 0 0.3.0"];
    assert_eq!(released(), expected);
    std::fs::remove_file(fixture.project().join("lab.log")).unwrap();

    // A later command releases what a killed host has left.
    fixture.recipe("job.json", &[witness(&["empty", "one", "hangs"])]);
    let mut child = fixture.persea(&["run", "job.json"]).spawn().unwrap();
    wait_until("the last requirement", || {
        let begun = fixture.lines("lab.log");
        let has_begun = begun.iter().any(|line| line.starts_with("begin hangs"));
        has_begun.then_some(()).ok_or_else(|| format!("{begun:?}"))
    });
    signal(child.id(), "KILL");
    child.wait().unwrap();
    fixture.assert_no_strays();
    assert!(released().is_empty());
    let ran = fixture.run(&["release"]).code(0);
    let expected = [
        "release hangs none 0.3.0",
        "release one 1 0.3.0",
        "release empty 0 0.3.0",
    ];
    assert_eq!(released(), expected, "{ran}");
}

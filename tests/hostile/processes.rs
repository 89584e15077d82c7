//! Owns processes of a hostile runner: none outlives its task, delays the job or reaches the
//! results of another.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::hostile::{hostile, prepared, run};
use crate::support::recipes::{shell, with};
use crate::support::{Fixture, assert_well_formed};

const REPORTS: [&str; 3] = ["results.json", "results.xml", "results.tap"];

/// A task of the hostile runner whose process runs this script.
fn script(script: &str) -> String {
    json!({"kind": "shell", "uri": "x", "args": [script]}).to_string()
}

const SHORT_TIMEOUT: [&str; 2] = ["--task-timeout", "1"];

#[test]
fn double_forked_daemons_are_killed() {
    let daemon = "python3 -c '
import os, signal, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(name, signal.SIG_IGN)
            os.closerange(0, 100)
            while True: time.sleep(1)
        os._exit(0)
'";
    let (fixture, ran) = hostile(&script(daemon), &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
    assert!(ran.stdout.contains(" left behind]\n"), "{ran}");
}

#[test]
fn process_that_ignores_signals_is_killed() {
    let ignores = "trap '' TERM INT HUP; while :; do sleep 0.1; done";
    let (fixture, ran) = hostile(&script(ignores), &SHORT_TIMEOUT, 8);
    assert_eq!(fixture.job().status("x"), "INTERRUPTED");
    assert!(ran.took.as_secs() < 20, "{ran}");
}

#[test]
fn process_that_stops_itself_and_its_parents_is_killed() {
    let stops = "(kill -STOP $PPID; kill -STOP $$) & kill -STOP $$; echo went on";
    let (fixture, ran) = hostile(&script(stops), &SHORT_TIMEOUT, 8);
    assert_eq!(fixture.job().status("x"), "INTERRUPTED");
    assert!(ran.took.as_secs() < 40, "{ran}");
}

#[test]
fn process_may_close_its_descriptors() {
    let closes = "exec 0<&- 1>&- 2>&-; sleep 0.2; exit 0";
    let (fixture, _) = hostile(&script(closes), &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
}

#[test]
fn process_inherits_no_descriptor_of_the_host() {
    let writes =
        "for fd in $(seq 3 50); do (echo '{\"event\":\"forged\"}' >&$fd) 2>/dev/null; done; exit 0";
    let (fixture, _) = hostile(&script(writes), &[], 0);
    let job = fixture.job();
    assert_eq!(job.status("x"), "PASS");
    assert!(job.events_of("forged").is_empty());
}

#[test]
fn process_that_kills_its_helper_fails_only_its_task() {
    let (fixture, _) = hostile(&script("kill -KILL $PPID; sleep 100"), &[], 1);
    fixture.job().assert_error("x", &["helper"]);
}

#[test]
fn processes_of_a_runner_are_limited() {
    let many = r#"{"kind": "many", "uri": "x"}"#;
    let (fixture, _) = hostile(many, &[], 1);
    let error = "its limit on handles, 1000: `plugins.limits.handles` raises it";
    fixture.job().assert_error("x", &[error]);
}

#[test]
fn flood_of_random_output_reaches_no_report() {
    let floods = "head -c 300000000 /dev/urandom; exit 1";
    let (fixture, ran) = hostile(&script(floods), &[], 1);
    let job = fixture.job();
    assert_eq!(job.status("x"), "FAIL");
    assert!(ran.stdout.len() < 10_000);
    for report in REPORTS.iter().chain(&["events.jsonl"]) {
        let size = job.0.join(report).metadata().unwrap().len();
        assert!(size < 1 << 20, "{report}: {size}");
    }
    assert_well_formed(&job.0.join("results.xml"));
}

#[test]
fn runner_cannot_claim_the_result_of_another_task() {
    let (fixture, _) = hostile(r#"{"kind": "claim", "uri": "x"}"#, &[], 1);
    let job = fixture.job();
    assert_eq!(job.test("x")["id"], "2-x");
    assert_eq!(job.status("x"), "FAIL");
    assert_eq!(
        job.test("after")["whiteboard"],
        job.test("before")["whiteboard"]
    );
    assert_eq!(job.tasks_with("task-finished").len(), 3);
}

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
    names.collect()
}

/// Makes a directory outside of the results, whose files must be neither read nor written.
fn make_victim(fixture: &Fixture) -> String {
    for name in ["secret", "stdout", "profile"] {
        fixture.file(
            &format!("victim/{name}"),
            format!("this {name} is private\n"),
        );
    }
    fixture.project().join("victim").display().to_string()
}

/// The victim's files are as they were, and no report contains their text.
#[track_caller]
fn assert_unharmed(fixture: &Fixture) {
    let victim = fixture.project().join("victim");
    let expected = ["profile", "secret", "stdout"].map(str::to_owned);
    assert_eq!(names(&victim), BTreeSet::from(expected));
    for name in names(&victim) {
        let text = std::fs::read_to_string(victim.join(&name)).unwrap();
        assert_eq!(text, format!("this {name} is private\n"));
    }
    let job = fixture.job();
    for report in REPORTS {
        assert!(!job.read(report).contains("is private"), "{report}");
    }
}

/// Runs a hostile task with each spawner, and checks that its victim is unharmed. The script begins
/// in the task's directory `$OUT`, and `$V` is the path of the victim.
#[track_caller]
fn assert_harmless(kind: &str, script: &str, status: &str, options: &[&str]) {
    for spawner in ["process", "sandbox"] {
        let fixture = prepared();
        let script = format!(
            "V={}; OUT=$AVOCADO_TEST_OUTPUTDIR; cd $OUT || exit 7; {script}",
            make_victim(&fixture)
        );
        let runnable = json!({"kind": kind, "uri": "x", "args": [script]});
        let options = [&["--spawner", spawner], options].concat();
        let ran = run(&fixture, &runnable.to_string(), &options, 1);
        let job = fixture.job();
        assert_eq!(job.status("x"), status, "{spawner}: {}", job.reason("x"));
        if status == "FAIL" && kind == "shell" {
            assert_eq!(job.reason("x"), "Some(1) None", "{spawner}: {ran}");
        }
        assert_unharmed(&fixture);
    }
}

#[test]
fn links_in_place_of_output_are_not_reported() {
    let links = "cd \"$AVOCADO_TEST_OUTPUTDIR\" || exit 7; rm -f stdout stderr debug.log
                 ln -s /etc/passwd stdout; ln -s /etc/passwd stderr; mkfifo debug.log; exit 1";
    let (fixture, _) = hostile(&script(links), &[], 1);
    let job = fixture.job();
    // The links are in the directory where a report would read the output.
    assert_eq!(job.reason("x"), "Some(1) None");
    assert!(job.artifact("x", "stdout").contains("root:x:0"));
    for report in REPORTS {
        assert!(!job.read(report).contains("root:x:0"), "{report}");
    }
}

#[test]
fn pipe_in_place_of_the_log_is_not_opened() {
    let pipe = "rm debug.log; mkfifo debug.log; exit 1";
    assert_harmless("shell", pipe, "FAIL", &[]);
    assert_harmless("swap", "mkfifo planted secret", "FAIL", &[]);
}

#[test]
fn link_in_place_of_the_log_is_not_followed() {
    assert_harmless("shell", "ln -sf $V/profile debug.log; exit 1", "FAIL", &[]);
    assert_harmless("shell", "ln -sf $V/new debug.log; exit 1", "FAIL", &[]);
}

#[test]
fn link_in_place_of_the_directory_is_not_followed() {
    let swap = "mv $OUT $OUT.x; ln -s $V $OUT";
    assert_harmless("shell", &format!("{swap}; exit 1"), "FAIL", &[]);
    assert_harmless("swap", swap, "FAIL", &[]);
    let again = ["--retries", "1"];
    assert_harmless("shell", &format!("{swap}; exit 1"), "FAIL", &again);
}

#[test]
fn link_in_place_of_by_status_is_not_followed() {
    let links = "cd ..; rm -rf by-status; ln -s $V by-status; exit 1";
    assert_harmless("shell", links, "FAIL", &[]);
}

#[test]
fn variables_of_the_host_are_hidden_in_a_sandbox() {
    let fixture = prepared();
    // The variables of every process there, and the memory and descriptors of the helper.
    let looks = "cat /proc/[0-9]*/environ 2>&1 | tr '\\0' '\\n'
                 cat /proc/$PPID/maps && exit 3
                 readlink /proc/$PPID/fd/0 && exit 4
                 exit 0";
    let hostile = json!({"kind": "shell", "uri": "x", "args": [looks]});
    let own = shell("own", "test $TOKEN = hunter2");
    fixture.recipe("job.json", &[hostile, own]);
    let args = ["run", "--plugin-dir", "plugins", "--spawner", "sandbox"];
    let args = [&args[..], &["job.json"]].concat();
    let ran = fixture.run_with(&args, |command| command.env("TOKEN", "hunter2"));
    let ran = ran.code(0);
    let job = fixture.job();
    assert_eq!(job.status("x"), "PASS", "{ran}");
    let environment = job.artifact("x", "stdout");
    assert!(
        environment.contains("PATH=") && !environment.contains("hunter2"),
        "{environment}"
    );
    // The user's own test gets the variables of the host.
    assert_eq!(job.status("own"), "PASS", "{ran}");
}

#[test]
fn test_in_a_sandbox_cannot_reach_other_tests() {
    let fixture = prepared();
    let honest = |name: &str, code: u8, after: &[&str]| {
        let script = format!("test ! -e planted && touch left && echo honest; exit {code}");
        with(shell(name, &script), "after", json!(after))
    };
    let reaches = "test ! -e left || exit 7; touch planted
        cd $AVOCADO_TEST_OUTPUTDIR/.. || exit 8; ls -A >2-x/seen
        for name in 1-before 3-after 5-never; do
            mkdir $name; echo forged >$name/stdout; echo forged >$name/debug.log
        done
        ln -s /etc 4-after2; mkdir by-status; ln -s /etc by-status/FAIL; echo x >../.running
        exit 0";
    let x = json!({"kind": "shell", "uri": "x", "args": [reaches], "after": ["before"]});
    let tests = [
        honest("before", 1, &[]),
        x,
        honest("after", 1, &["x"]),
        honest("after2", 0, &["x"]),
    ];
    fixture.recipe("job.json", &tests);
    let slot = ["--max-parallel-tasks", "1", "--spawner", "sandbox"];
    let args = [
        &["run", "--plugin-dir", "plugins"],
        &slot[..],
        &["job.json"],
    ]
    .concat();
    let ran = fixture.run(&args).code(1);
    assert_eq!(ran.stderr, "", "{ran}");
    let job = fixture.job();
    for (name, status) in [
        ("before", "FAIL"),
        ("x", "PASS"),
        ("after", "FAIL"),
        ("after2", "PASS"),
    ] {
        assert_eq!(job.status(name), status, "{name}: {}", job.reason(name));
        if name != "x" {
            assert_eq!(job.artifact(name, "stdout"), "honest\n", "{name}");
        }
    }
    assert_eq!(job.artifact("x", "seen"), "2-x\n");
    for report in REPORTS {
        assert!(!job.read(report).contains("forged"), "{report}");
    }
    let results = ["1-before", "2-x", "3-after", "4-after2", "by-status"];
    assert_eq!(
        names(&job.0.join("test-results")),
        BTreeSet::from(results.map(str::to_owned))
    );
    let failed = ["1-before", "3-after"].map(str::to_owned);
    assert_eq!(
        names(&job.0.join("test-results/by-status/FAIL")),
        BTreeSet::from(failed)
    );
    assert!(!job.0.join(".running").exists());
    // One switch to the sandbox of the plugin's task, and one back.
    let finished = job.events_of("job-finished");
    assert_eq!(finished[0]["data"]["switches"], 2);
    fixture.assert_no_strays();
}

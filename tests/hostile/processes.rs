//! What the processes of a stranger's runner do: nothing of it outlives its task, holds up the job or reaches another's results.

use crate::hostile::hostile;

/// A task of the hostile runner whose process runs this script.
fn script(script: &str) -> String {
    serde_json::json!({"kind": "shell", "uri": "x", "args": [script]}).to_string()
}

const SOON: [&str; 2] = ["--task-timeout", "1"];

#[test]
fn daemons_that_fork_twice_and_leave_their_session() {
    let daemon = "python3 -c '
import os, signal, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(name, signal.SIG_IGN)
            os.closerange(0, 100)
            while True: time.sleep(1)
        os._exit(0)
'";
    let (sandbox, ran) = hostile(&script(daemon), &[], 0);
    assert_eq!(sandbox.job().status("x"), "PASS");
    assert!(ran.stdout.contains("processes left behind"), "{ran}");
}

#[test]
fn one_that_ignores_being_asked_to_end() {
    let deaf = "trap '' TERM INT HUP; while :; do sleep 0.1; done";
    let (sandbox, ran) = hostile(&script(deaf), &SOON, 8);
    assert_eq!(sandbox.job().status("x"), "INTERRUPTED");
    assert!(ran.took.as_secs() < 20, "{ran}");
}

#[test]
fn one_that_stops_itself_and_its_parents() {
    let stops = "(kill -STOP $PPID; kill -STOP $$) & kill -STOP $$; echo went on";
    let (sandbox, ran) = hostile(&script(stops), &SOON, 8);
    assert_eq!(sandbox.job().status("x"), "INTERRUPTED");
    assert!(ran.took.as_secs() < 40, "{ran}");
}

#[test]
fn one_that_closes_its_descriptors() {
    let closes = "exec 0<&- 1>&- 2>&-; sleep 0.2; exit 0";
    let (sandbox, _) = hostile(&script(closes), &[], 0);
    assert_eq!(sandbox.job().status("x"), "PASS");
}

#[test]
fn one_that_writes_to_every_descriptor_it_was_left() {
    let writes =
        "for fd in $(seq 3 50); do (echo '{\"event\":\"forged\"}' >&$fd) 2>/dev/null; done; exit 0";
    let (sandbox, _) = hostile(&script(writes), &[], 0);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "PASS");
    let forged = job
        .events()
        .into_iter()
        .filter(|event| event["event"] == "forged");
    assert_eq!(forged.count(), 0);
}

#[test]
fn one_that_kills_its_helper() {
    let (sandbox, _) = hostile(&script("kill -KILL $PPID; sleep 100"), &[], 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR");
    assert!(job.reason("x").contains("helper"), "{}", job.reason("x"));
}

#[test]
fn ten_thousand_processes() {
    let many = r#"{"kind": "many", "uri": "x"}"#;
    let (sandbox, _) = hostile(many, &[], 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR");
    assert!(
        job.reason("x")
            .contains("its limit on handles, 1000: `plugins.limits.handles` raises it"),
        "{}",
        job.reason("x")
    );
}

#[test]
fn bytes_that_are_no_text_and_very_many_of_them() {
    let floods = "head -c 300000000 /dev/urandom; exit 1";
    let (sandbox, ran) = hostile(&script(floods), &[], 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "FAIL");
    assert!(ran.stdout.len() < 10_000);
    for report in ["results.json", "results.xml", "results.tap", "events.jsonl"] {
        let size = job.0.join(report).metadata().unwrap().len();
        assert!(size < 1 << 20, "{report}: {size}");
    }
    crate::reports::assert_well_formed(&job.0.join("results.xml"));
}

#[test]
fn one_that_claims_another_tasks_result() {
    let (sandbox, _) = hostile(r#"{"kind": "claim", "uri": "x"}"#, &[], 1);
    let job = sandbox.job();
    assert_eq!(job.test("x")["id"], "2-x");
    assert_eq!(job.status("x"), "FAIL");
    assert_eq!(
        job.test("after")["whiteboard"],
        job.test("before")["whiteboard"]
    );
    let finished = job
        .events()
        .into_iter()
        .filter(|event| event["event"] == "task-finished");
    assert_eq!(finished.count(), 3);
}

#[test]
fn one_that_puts_links_where_its_runner_and_the_reports_read() {
    let links = "cd \"$AVOCADO_TEST_OUTPUTDIR\" 2>/dev/null || cd \"$PERSEA_TEST_OUTPUT_DIR\"; rm -f stdout stderr; ln -s /etc/passwd stdout; ln -s /etc/passwd stderr; mkfifo debug.log; exit 1";
    let (sandbox, _) = hostile(&script(links), &[], 1);
    let job = sandbox.job();
    for report in ["results.json", "results.xml", "results.tap"] {
        assert!(!job.read(report).contains("root:x:0"), "{report}");
    }
}

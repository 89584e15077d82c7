//! How tasks and jobs end that do not end by themselves: nothing hangs, nothing is lost, nothing lives on.

use std::process::Command;
use std::time::Duration;

use crate::support::{Sandbox, finish, signal, wait_until};

/// A test that leaves its session, ignores SIGTERM, and says when it is there.
const DAEMON: &str = r#"
setsid sh -c 'trap "" TERM; echo $$ > daemon; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &
until [ -s daemon ]; do sleep 0.01; done
trap "" TERM
echo here > started
while :; do sleep 1; done
"#;

/// A second test that is there to be run while the first one is.
fn with_neighbour(sandbox: &Sandbox) {
    sandbox.script("long.sh", DAEMON);
    sandbox.script("short.sh", "echo short");
}

#[test]
fn timeout_kills_the_whole_process_tree() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    sandbox
        .run(&[
            "run",
            "--task-timeout",
            "1",
            "--set",
            "runner.task.interval.from_soft_to_hard_termination=0.2",
            "./long.sh",
            "./short.sh",
        ])
        .code(8);
    let job = sandbox.job();
    assert_eq!(job.status("./long.sh"), "INTERRUPTED");
    assert_eq!(job.reason("./long.sh"), "Test interrupted: Timeout reached");
    assert_eq!(job.status("./short.sh"), "PASS");
    sandbox.assert_no_strays();
}

#[test]
fn recipe_sets_the_timeout_of_its_own_task() {
    let sandbox = Sandbox::new();
    sandbox.script("long.sh", "sleep 1000");
    sandbox.file(
        "own.json",
        r#"[{"kind": "exec-test", "uri": "./long.sh", "config": {"task.timeout.running": 1}},
            {"kind": "exec-test", "uri": "/bin/true"}]"#,
    );
    sandbox.run(&["run", "own.json"]).code(8);
    let job = sandbox.job();
    assert_eq!(job.reason("./long.sh"), "Test interrupted: Timeout reached");
    assert_eq!(job.status("/bin/true"), "PASS");
}

#[test]
fn test_can_clean_up_during_the_grace_period() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "long.sh",
        "trap 'echo cleaned; exit 0' TERM; echo here > started; while :; do sleep 0.05; done",
    );
    sandbox
        .run(&["run", "--task-timeout", "1", "./long.sh"])
        .code(8);
    let job = sandbox.job();
    assert_eq!(job.status("./long.sh"), "INTERRUPTED");
    assert_eq!(job.artifact("./long.sh", "stdout"), "cleaned\n");
}

#[test]
fn job_timeout_interrupts_running_tasks_and_skips_the_rest() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    let ran = sandbox
        .run(&[
            "run",
            "--job-timeout",
            "1",
            "--max-parallel-tasks",
            "1",
            "./long.sh",
            "./short.sh",
        ])
        .code(8);
    let job = sandbox.job();
    assert_eq!(
        job.reason("./long.sh"),
        "Test interrupted: Job timeout reached"
    );
    assert_eq!(job.status("./short.sh"), "SKIP");
    assert_eq!(
        job.reason("./short.sh"),
        "not started: the job's time is up"
    );
    assert!(ran.took < Duration::from_secs(20), "{ran}");
    sandbox.assert_no_strays();
}

#[test]
fn ctrl_c_ends_tests_gracefully_and_reports_all() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    let child = sandbox
        .persea(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "./long.sh",
            "./short.sh",
        ])
        .spawn()
        .unwrap();
    sandbox.wait_for("started");
    signal(child.id(), "INT");
    finish(child).code(8);
    let job = sandbox.job();
    assert_eq!(
        job.reason("./long.sh"),
        "Test interrupted: Interrupted by user"
    );
    assert_eq!(
        job.reason("./short.sh"),
        "not started: interrupted by the user"
    );
    assert_eq!(job.results()["tests"].as_array().unwrap().len(), 2);
    assert_eq!(
        job.events().last().unwrap()["data"]["interrupted-by"],
        "interrupted by the user"
    );
    sandbox.assert_no_strays();
}

#[test]
fn second_ctrl_c_kills_without_grace() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    let grace = "runner.task.interval.from_soft_to_hard_termination=50";
    let child = sandbox
        .persea(&["run", "--set", grace, "./long.sh"])
        .spawn()
        .unwrap();
    sandbox.wait_for("started");
    signal(child.id(), "INT");
    signal(child.id(), "INT");
    // Two signals that come at once may count as one; it takes a second one either way.
    let pid = child.id();
    let again = std::thread::spawn(move || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            let _ = Command::new("kill")
                .args(["-INT", &pid.to_string()])
                .output();
        }
    });
    let ran = finish(child).code(8);
    again.join().unwrap();
    assert!(
        ran.took < Duration::from_secs(30),
        "the grace period was waited for: {ran}"
    );
    assert_eq!(sandbox.job().status("./long.sh"), "INTERRUPTED");
    sandbox.assert_no_strays();
}

#[test]
fn killed_host_leaves_no_process() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    let mut child = sandbox.persea(&["run", "./long.sh"]).spawn().unwrap();
    sandbox.wait_for("started");
    assert!(sandbox.processes().len() > 2);
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.assert_no_strays();
    // What had happened until then is in the journal.
    let job = sandbox.job();
    assert!(
        job.events()
            .iter()
            .any(|event| event["event"] == "task-started")
    );
}

#[test]
fn dead_helper_fails_only_its_task() {
    let sandbox = Sandbox::new();
    with_neighbour(&sandbox);
    sandbox.script("after.sh", "echo after");
    let child = sandbox
        .persea(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "./long.sh",
            "./short.sh",
            "./after.sh",
        ])
        .spawn()
        .unwrap();
    sandbox.wait_for("started");
    let helper = wait_until("the helper", || {
        let processes = sandbox.processes();
        processes
            .iter()
            .find(|(_, line)| line.starts_with("persea-helper"))
            .map(|(pid, _)| *pid)
            .ok_or_else(|| format!("{processes:?}"))
    });
    signal(helper, "KILL");
    finish(child).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("./long.sh"), "ERROR");
    assert!(
        job.reason("./long.sh").contains("helper"),
        "{}",
        job.reason("./long.sh")
    );
    assert_eq!(job.status("./short.sh"), "PASS");
    assert_eq!(job.status("./after.sh"), "PASS");
    sandbox.assert_no_strays();
}

#[test]
fn processes_left_by_a_passing_test_are_killed_and_reported() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "leaves.sh",
        "setsid sleep 1000 </dev/null >/dev/null 2>&1 &\nsleep 0.1",
    );
    let ran = sandbox.run(&["run", "./leaves.sh"]).code(0);
    assert_eq!(sandbox.job().status("./leaves.sh"), "PASS");
    assert!(ran.stdout.contains("processes left behind"), "{ran}");
    sandbox.assert_no_strays();
}

#[test]
fn failfast_skips_the_rest_and_counts_every_test() {
    let sandbox = Sandbox::new();
    sandbox.script("short.sh", "true");
    let ran = sandbox
        .run(&[
            "run",
            "--failfast",
            "--max-parallel-tasks",
            "1",
            "./short.sh",
            "/bin/false",
            "/bin/true",
        ])
        .code(1);
    assert!(ran.stdout.contains("Interrupting job (failfast)."), "{ran}");
    let job = sandbox.job();
    assert_eq!(job.status("./short.sh"), "PASS");
    assert_eq!(job.status("/bin/false"), "FAIL");
    assert_eq!(job.status("/bin/true"), "SKIP");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn ctrl_z_suspends_tests_and_their_timeouts() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "waits.sh",
        "echo $$ > begun; until [ -e enough ]; do :; done",
    );
    // It never sleeps, so nothing but a stop makes it stand still.
    let limit = Duration::from_secs(4);
    let child = sandbox
        .persea(&["run", "--task-timeout", "4", "./waits.sh"])
        .spawn()
        .unwrap();
    let test = sandbox.wait_for("begun").trim().parse().unwrap();
    signal(child.id(), "TSTP");
    let state = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        text.rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
    };
    for (what, pid) in [("the host", child.id()), ("the test", test)] {
        wait_until(&format!("{what} stands still"), || match state(pid) {
            Some('T') => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    // For as long as its time-out: if the clock went on, the test would be interrupted.
    std::thread::sleep(limit);
    assert_eq!(state(test), Some('T'), "the test went on");
    signal(child.id(), "CONT");
    sandbox.file("enough", "");
    finish(child).code(0);
    let job = sandbox.job();
    assert_eq!(job.status("./waits.sh"), "PASS");
    let elapsed = job.test("./waits.sh")["time_elapsed"].as_f64().unwrap();
    assert!(
        elapsed < limit.as_secs_f64(),
        "{elapsed} s: the time for which it stood still was counted"
    );
}

#[test]
fn immediate_continue_after_ctrl_z_resumes_the_job() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "waits.sh",
        "echo > begun; until [ -e enough ]; do sleep 0.05; done",
    );
    let child = sandbox.persea(&["run", "./waits.sh"]).spawn().unwrap();
    sandbox.wait_for("begun");
    // One shell sends both, so that the host has not come to stand still when it's to go on.
    let both = format!("kill -TSTP {0}; kill -CONT {0}", child.id());
    for _ in 0..10 {
        let sent = Command::new("sh").args(["-c", &both]).status().unwrap();
        assert!(sent.success());
    }
    sandbox.file("enough", "");
    finish(child).code(0);
    assert_eq!(sandbox.job().status("./waits.sh"), "PASS");
}

#[test]
fn large_output_is_not_buffered_in_the_host() {
    let sandbox = Sandbox::new();
    sandbox.script("flood.sh", "head -c 2147483648 /dev/zero");
    sandbox.script("short.sh", "true");
    let child = sandbox
        .persea(&[
            "run",
            "--max-parallel-tasks",
            "2",
            "./flood.sh",
            "./short.sh",
        ])
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) =
                line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            else {
                break;
            };
            peak = peak.max(kib);
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    finish(child).code(0);
    let peak = watch.join().unwrap();
    assert!(peak > 0 && peak < 300 * 1024, "the host had {peak} KiB");
    let job = sandbox.job();
    let length = std::path::Path::new(job.test("./flood.sh")["logdir"].as_str().unwrap())
        .join("stdout")
        .metadata()
        .unwrap()
        .len();
    assert_eq!(length, 2 << 30);
    assert_eq!(job.status("./short.sh"), "PASS");
}

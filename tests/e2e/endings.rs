//! Owns the ends of tasks and jobs that do not end by themselves: timeouts, interrupts, suspension,
//! killed hosts and helpers. Nothing hangs, no result is lost, no process is left.

use std::process::Command;
use std::time::Duration;

use crate::support::{Fixture, finish, signal, wait_until};

/// A script that ignores SIGTERM, with a daemon that does too and has left its session. It writes
/// the file `started` once both run.
const DAEMON: &str = r#"
setsid sh -c 'trap "" TERM; echo $$ > daemon; while :; do sleep 1; done' \
    </dev/null >/dev/null 2>&1 &
until [ -s daemon ]; do sleep 0.01; done
trap "" TERM
echo here > started
while :; do sleep 1; done
"#;

/// The setting that shortens the grace period between SIGTERM and SIGKILL, in seconds.
const GRACE: &str = "runner.task.interval.from_soft_to_hard_termination";

/// A project with the script that does not end, and one that passes at once.
fn long_and_short() -> Fixture {
    let fixture = Fixture::new();
    fixture.script("long.sh", DAEMON);
    fixture.script("short.sh", "echo short");
    fixture
}

#[test]
fn timeout_kills_the_whole_process_tree() {
    let fixture = long_and_short();
    fixture
        .run(&[
            "run",
            "--task-timeout",
            "1",
            "--set",
            &format!("{GRACE}=0.2"),
            "./long.sh",
            "./short.sh",
        ])
        .code(8);
    let job = fixture.job();
    assert_eq!(job.status("./long.sh"), "INTERRUPTED");
    assert_eq!(job.reason("./long.sh"), "Test interrupted: Timeout reached");
    assert_eq!(job.status("./short.sh"), "PASS");
    fixture.assert_no_strays();
}

#[test]
fn recipe_sets_the_timeout_of_its_own_task() {
    let fixture = Fixture::new();
    fixture.script("long.sh", "sleep 1000");
    fixture.file(
        "own.json",
        r#"[{"kind": "exec-test", "uri": "./long.sh", "config": {"task.timeout.running": 1}},
            {"kind": "exec-test", "uri": "/bin/true"}]"#,
    );
    fixture.run(&["run", "own.json"]).code(8);
    let job = fixture.job();
    assert_eq!(job.reason("./long.sh"), "Test interrupted: Timeout reached");
    assert_eq!(job.status("/bin/true"), "PASS");
}

#[test]
fn test_can_clean_up_during_the_grace_period() {
    let fixture = Fixture::new();
    fixture.script(
        "long.sh",
        "trap 'echo cleaned; exit 0' TERM; echo here > started; while :; do sleep 0.05; done",
    );
    fixture
        .run(&["run", "--task-timeout", "1", "./long.sh"])
        .code(8);
    let job = fixture.job();
    assert_eq!(job.status("./long.sh"), "INTERRUPTED");
    assert_eq!(job.artifact("./long.sh", "stdout"), "cleaned\n");
}

#[test]
fn job_timeout_interrupts_running_tasks_and_skips_the_rest() {
    let fixture = long_and_short();
    let ran = fixture
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
    let job = fixture.job();
    assert_eq!(
        job.reason("./long.sh"),
        "Test interrupted: Job timeout reached"
    );
    assert_eq!(job.status("./short.sh"), "SKIP");
    assert_eq!(
        job.reason("./short.sh"),
        "not started: the job has reached its timeout"
    );
    assert!(ran.took < Duration::from_secs(20), "{ran}");
    fixture.assert_no_strays();
}

#[test]
fn ctrl_c_ends_tests_gracefully_and_reports_all() {
    let fixture = long_and_short();
    let child = fixture
        .persea(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "./long.sh",
            "./short.sh",
        ])
        .spawn()
        .unwrap();
    fixture.wait_for("started");
    signal(child.id(), "INT");
    finish(child).code(8);
    let job = fixture.job();
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
    fixture.assert_no_strays();
}

#[test]
fn second_ctrl_c_kills_without_grace() {
    let fixture = long_and_short();
    let grace = format!("{GRACE}=50");
    let child = fixture
        .persea(&["run", "--set", &grace, "./long.sh"])
        .spawn()
        .unwrap();
    fixture.wait_for("started");
    signal(child.id(), "INT");
    signal(child.id(), "INT");
    // The kernel may merge two pending signals into one, so more follow until the host has ended.
    let pid = child.id();
    let again = std::thread::spawn(move || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            let mut kill = Command::new("kill");
            let sent = kill.args(["-INT", &pid.to_string()]).output();
            if !sent.is_ok_and(|sent| sent.status.success()) {
                break;
            }
        }
    });
    let ran = finish(child).code(8);
    again.join().unwrap();
    assert!(
        ran.took < Duration::from_secs(30),
        "the grace period was waited for: {ran}"
    );
    assert_eq!(fixture.job().status("./long.sh"), "INTERRUPTED");
    fixture.assert_no_strays();
}

#[test]
fn killed_host_leaves_no_process() {
    let fixture = long_and_short();
    let mut child = fixture.persea(&["run", "./long.sh"]).spawn().unwrap();
    fixture.wait_for("started");
    assert!(fixture.processes().len() > 2);
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.assert_no_strays();
    // The journal has every event up to the kill.
    assert_eq!(fixture.job().events_of("task-started").len(), 1);
}

#[test]
fn dead_helper_fails_only_its_task() {
    let fixture = long_and_short();
    fixture.script("after.sh", "echo after");
    let child = fixture
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
    fixture.wait_for("started");
    let helper = wait_until("the helper", || {
        let processes = fixture.processes();
        processes
            .iter()
            .find(|(_, line)| line.starts_with("persea-helper"))
            .map(|(pid, _)| *pid)
            .ok_or_else(|| format!("{processes:?}"))
    });
    signal(helper, "KILL");
    finish(child).code(1);
    let job = fixture.job();
    assert_eq!(job.status("./long.sh"), "ERROR");
    assert!(
        job.reason("./long.sh").contains("helper"),
        "{}",
        job.reason("./long.sh")
    );
    assert_eq!(job.status("./short.sh"), "PASS");
    assert_eq!(job.status("./after.sh"), "PASS");
    fixture.assert_no_strays();
}

#[test]
fn processes_left_by_a_passing_test_are_killed_and_reported() {
    let fixture = Fixture::new();
    fixture.script(
        "leaves.sh",
        "setsid sh -c 'echo >left; exec sleep 1000' </dev/null >/dev/null 2>&1 &\n\
         until [ -e left ]; do sleep 0.01; done",
    );
    let ran = fixture.run(&["run", "./leaves.sh"]).code(0);
    assert_eq!(fixture.job().status("./leaves.sh"), "PASS");
    assert!(ran.stdout.contains(" [1 process left behind]\n"), "{ran}");
    fixture.assert_no_strays();
}

#[test]
fn failfast_skips_the_rest_and_counts_every_test() {
    let fixture = Fixture::new();
    fixture.script("short.sh", "true");
    let ran = fixture
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
    let interrupting = "\nInterrupting job (failfast).\n (3/3) /bin/true: SKIP: not started: a \
                        test has failed before (--failfast)\n";
    assert!(ran.stdout.contains(interrupting), "{ran}");
    let job = fixture.job();
    assert_eq!(job.status("./short.sh"), "PASS");
    assert_eq!(job.status("/bin/false"), "FAIL");
    assert_eq!(job.status("/bin/true"), "SKIP");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn ctrl_z_suspends_tests_and_their_timeouts() {
    let fixture = Fixture::new();
    fixture.script(
        "waits.sh",
        "echo $$ > begun; until [ -e enough ]; do :; done",
    );
    // The test is busy, so its state is `T` only while it is stopped.
    let limit = Duration::from_secs(4);
    let child = fixture
        .persea(&["run", "--task-timeout", "4", "./waits.sh"])
        .spawn()
        .unwrap();
    let test = fixture.wait_for("begun").trim().parse().unwrap();
    signal(child.id(), "TSTP");
    let state = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        text.rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
    };
    for (what, pid) in [("the host", child.id()), ("the test", test)] {
        wait_until(&format!("{what} is stopped"), || match state(pid) {
            Some('T') => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    // As long as the timeout: it would fire if it counted the time of suspension.
    std::thread::sleep(limit);
    assert_eq!(state(test), Some('T'), "the test was resumed");
    signal(child.id(), "CONT");
    fixture.file("enough", "");
    finish(child).code(0);
    let job = fixture.job();
    assert_eq!(job.status("./waits.sh"), "PASS");
    let elapsed = job.test("./waits.sh")["time_elapsed"].as_f64().unwrap();
    assert!(
        elapsed < limit.as_secs_f64(),
        "{elapsed} s include the time of suspension"
    );
}

#[test]
fn immediate_continue_after_ctrl_z_resumes_the_job() {
    let fixture = Fixture::new();
    fixture.script(
        "waits.sh",
        "echo > begun; until [ -e enough ]; do sleep 0.05; done",
    );
    let child = fixture.persea(&["run", "./waits.sh"]).spawn().unwrap();
    fixture.wait_for("begun");
    // One shell sends both signals, so that the second reaches the host before it is suspended.
    let both = format!("kill -TSTP {0}; kill -CONT {0}", child.id());
    for _ in 0..10 {
        let sent = Command::new("sh").args(["-c", &both]).status().unwrap();
        assert!(sent.success());
    }
    fixture.file("enough", "");
    finish(child).code(0);
    assert_eq!(fixture.job().status("./waits.sh"), "PASS");
}

#[test]
fn large_output_is_not_buffered_in_the_host() {
    let fixture = Fixture::new();
    fixture.script("flood.sh", "head -c 2147483648 /dev/zero");
    fixture.script("short.sh", "true");
    let child = fixture
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
    // The host's peak of resident memory.
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
    assert!(peak > 0 && peak < 300 * 1024, "the host used {peak} KiB");
    let job = fixture.job();
    let stdout = job.directory("./flood.sh").join("stdout");
    assert_eq!(stdout.metadata().unwrap().len(), 2 << 30);
    assert_eq!(job.status("./short.sh"), "PASS");
}

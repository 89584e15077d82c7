//! Owns readers of the standard output, standard error and reports that stop reading: they block no
//! job, no timeout and no signal. And signals that are ignored when the host starts.

use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::recipes::{exec, noop, with};
use crate::support::{Fixture, LONG, signal, wait_until};

/// A project with a recipe of more tests than a pipe has room for lines, and one test that does not
/// end, with this configuration.
fn project_of_many_tests(config: &Value) -> Fixture {
    let fixture = Fixture::new();
    let name = "x".repeat(200);
    let mut tests: Vec<Value> = (0..1500).map(|n| noop(&format!("{name}{n}"))).collect();
    let long = exec("./long.sh", "./long.sh");
    tests.push(with(long, "config", config.clone()));
    fixture.recipe("all.json", &tests);
    fixture.script("long.sh", "echo here > started; sleep 1000");
    fixture
}

/// Starts the binary with both outputs in a pipe that nobody reads, until the caller does.
fn start_unread(fixture: &Fixture, args: &[&str]) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = fixture.persea(args);
    command
        .stdout(Stdio::from(OwnedFd::from(writer.try_clone().unwrap())))
        .stderr(Stdio::from(OwnedFd::from(writer)));
    (command.spawn().unwrap(), reader)
}

/// Waits for the exit code without reading any output.
fn exit_code(mut child: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > LONG {
            let _ = child.kill();
            panic!("persea waits for the reader of its output");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Options that put the display or a report on the standard output.
const OUTPUTS: [&[&str]; 3] = [&[], &["--tap", "-"], &["--xunit", "-"]];

#[test]
fn signal_ends_a_job_with_unread_output() {
    for name in ["INT", "TERM", "HUP"] {
        for output in OUTPUTS {
            let fixture = project_of_many_tests(&json!({}));
            let args = [&["run", "all.json"], output].concat();
            let (child, reader) = start_unread(&fixture, &args);
            fixture.wait_for("started");
            signal(child.id(), name);
            let expected = if output.is_empty() { 8 } else { 10 };
            assert_eq!(exit_code(child), Some(expected), "{name} {output:?}");
            drop(reader);
            let job = fixture.job();
            assert_eq!(
                job.reason("./long.sh"),
                "Test interrupted: Interrupted by user"
            );
            assert_eq!(job.results()["total"], 1501);
            assert_eq!(job.events().last().unwrap()["event"], "job-finished");
            fixture.assert_no_strays();
        }
    }
}

#[test]
fn job_timeout_fires_with_unread_output() {
    for output in OUTPUTS {
        let fixture = project_of_many_tests(&json!({}));
        let args = [&["run", "all.json", "--job-timeout", "5"], output].concat();
        let (child, reader) = start_unread(&fixture, &args);
        let expected = if output.is_empty() { 8 } else { 10 };
        assert_eq!(exit_code(child), Some(expected), "{output:?}");
        drop(reader);
        let reason = fixture.job().reason("./long.sh");
        assert_eq!(reason, "Test interrupted: Job timeout reached");
    }
}

/// A Python program that runs a command on a terminal and prints its process id. Reads nothing of
/// what the command writes; with the first argument `stopped`, the output of the terminal is
/// stopped from the start, as by Ctrl-S.
const UNREAD_TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    if sys.argv[1] == "stopped":
        termios.tcflow(1, termios.TCOOFF)
    os.execv(sys.argv[2], sys.argv[2:])
print(pid, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// Starts a job of many tests on a terminal that nobody reads, and returns the process id of the
/// host.
fn start_on_an_unread_terminal(
    fixture: &Fixture,
    terminal: &str,
    options: &[&str],
) -> (Child, u32) {
    let args = [&["run"], options, &["all.json"]].concat();
    let wrapper = ["python3", "-c", UNREAD_TERMINAL, terminal];
    let mut command = fixture.persea_below(&wrapper, &args);
    let command = command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

/// The job of [`start_on_an_unread_terminal`] was interrupted, and its journal has all results.
#[track_caller]
fn assert_interrupted_and_complete(fixture: &Fixture, child: Child, reason: &str) {
    assert_eq!(exit_code(child), Some(8), "{reason}");
    let job = fixture.job();
    assert_eq!(job.events_of("task-finished").len(), 1501);
    assert_eq!(job.results()["total"], 1501);
    let events = job.events();
    let last = events.last().unwrap();
    assert_eq!(last["event"], "job-finished");
    assert_eq!(last["data"]["interrupted-by"], reason);
    fixture.assert_no_strays();
}

#[test]
fn signal_ends_a_job_on_an_unread_terminal() {
    for terminal in ["unread", "stopped"] {
        for name in ["INT", "TERM", "HUP"] {
            let fixture = project_of_many_tests(&json!({}));
            let (child, host) = start_on_an_unread_terminal(&fixture, terminal, &[]);
            fixture.wait_for("started");
            signal(host, name);
            assert_interrupted_and_complete(&fixture, child, "interrupted by the user");
            let reason = fixture.job().reason("./long.sh");
            assert_eq!(reason, "Test interrupted: Interrupted by user");
        }
    }
}

#[test]
fn job_timeout_fires_on_an_unread_terminal() {
    for terminal in ["unread", "stopped"] {
        let fixture = project_of_many_tests(&json!({}));
        let timeout = ["--job-timeout", "2"];
        let (child, _) = start_on_an_unread_terminal(&fixture, terminal, &timeout);
        assert_interrupted_and_complete(&fixture, child, "the job has reached its timeout");
    }
}

#[test]
fn task_timeout_fires_with_unread_output_and_no_line_is_lost() {
    let fixture = project_of_many_tests(&json!({"task.timeout.running": 1}));
    let (child, mut reader) = start_unread(&fixture, &["run", "all.json"]);
    let is_finished = || {
        let events = fixture.job().read("events.jsonl");
        match events.contains("\"event\":\"job-finished\"") {
            true => Ok(()),
            false => Err(events.lines().last().unwrap_or_default().to_owned()),
        }
    };
    fixture.wait_for("started");
    wait_until("the end of the job in its journal", is_finished);
    let mut shown = String::new();
    reader.read_to_string(&mut shown).unwrap();
    assert_eq!(exit_code(child), Some(8));
    assert_eq!(shown.matches(": PASS (").count(), 1500);
    assert!(
        shown.contains("RESULTS    : PASS 1500 |"),
        "{}",
        &shown[shown.len() - 500..]
    );
    assert!(shown.contains("./long.sh: INTERRUPTED: Test interrupted: Timeout reached"));
}

#[test]
fn report_into_an_unread_pipe_delays_nothing() {
    let fixture = project_of_many_tests(&json!({}));
    let pipe = fixture.pipe("pipe");
    // The pipe is open for reading, but nobody reads.
    let mut reader = std::fs::File::options();
    let reader = reader.read(true).write(true).open(&pipe).unwrap();
    for format in ["--tap", "--json", "--xunit"] {
        let args = ["run", "all.json", "--job-timeout", "2", format, "pipe"];
        let ran = fixture.run(&args).code(10);
        assert!(
            ran.stderr.contains("its reader stopped before the end"),
            "{ran}"
        );
        assert_eq!(fixture.job().results()["total"], 1501);
    }
    drop(reader);
}

/// Starts the binary with a signal ignored, as `nohup` does. Its test waits for the file `enough`.
fn start_ignoring(fixture: &Fixture, name: &str) -> Child {
    fixture.script(
        "waits.sh",
        "echo here > started; until [ -e enough ]; do sleep 0.05; done",
    );
    let script = format!("trap '' {name}; exec \"$@\"");
    fixture
        .persea_below(&["sh", "-c", &script, "sh"], &["run", "./waits.sh"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn signal_ignored_at_start_stays_ignored() {
    for name in ["HUP", "INT", "TERM", "TSTP"] {
        let fixture = Fixture::new();
        let child = start_ignoring(&fixture, name);
        fixture.wait_for("started");
        signal(child.id(), name);
        let number = match name {
            "HUP" => 1,
            "INT" => 2,
            "TERM" => 15,
            _ => 20,
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
        assert_eq!(ignored >> (number - 1) & 1, 1, "{name}");
        fixture.file("enough", "");
        assert_eq!(exit_code(child), Some(0), "{name}");
        assert_eq!(fixture.job().status("./waits.sh"), "PASS");
    }
}

#[test]
fn ignored_signal_leaves_other_signals_effective() {
    let fixture = Fixture::new();
    let child = start_ignoring(&fixture, "HUP");
    fixture.wait_for("started");
    signal(child.id(), "TERM");
    assert_eq!(exit_code(child), Some(8));
}

//! Readers who have stopped reading, of the standard output, the standard error and reports: they hold up no job. And
//! signals that are ignored.

use std::io::{PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{LONG, Sandbox, signal, wait_until};

/// More tests than a pipe has room for lines, and one that takes long and has this configuration.
fn job_with(sandbox: &Sandbox, config: &serde_json::Value) {
    let name = "x".repeat(200);
    let tests = (0..1500)
        .map(|number| serde_json::json!({"kind": "noop", "uri": format!("{name}{number}")}));
    let mut tests: Vec<_> = tests.collect();
    tests.push(serde_json::json!({"kind": "exec-test", "uri": "./long.sh", "config": config}));
    sandbox.file("all.json", serde_json::Value::from(tests).to_string());
    sandbox.script("long.sh", "echo here > started; sleep 1000");
}

fn job(sandbox: &Sandbox) {
    job_with(sandbox, &serde_json::json!({}));
}

/// The binary, whose outputs nobody reads while the reader is kept.
fn unread(sandbox: &Sandbox, args: &[&str]) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = sandbox.persea(args);
    command
        .stdout(Stdio::from(OwnedFd::from(writer.try_clone().unwrap())))
        .stderr(Stdio::from(OwnedFd::from(writer)));
    (command.spawn().unwrap(), reader)
}

/// The exit code, without anybody having read anything.
fn code(mut child: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > LONG {
            let _ = child.kill();
            panic!("persea waits for its reader");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

const FORMS: [&[&str]; 3] = [&[], &["--tap", "-"], &["--xunit", "-"]];

#[test]
fn signal_ends_a_job_with_unread_output() {
    for name in ["INT", "TERM", "HUP"] {
        for form in FORMS {
            let sandbox = Sandbox::new();
            job(&sandbox);
            let (child, reader) = unread(&sandbox, &[&["run", "all.json"], form].concat());
            sandbox.wait_for("started");
            signal(child.id(), name);
            let expected = if form.is_empty() { 8 } else { 10 };
            assert_eq!(code(child), Some(expected), "{name} {form:?}");
            drop(reader);
            let job = sandbox.job();
            assert_eq!(
                job.reason("./long.sh"),
                "Test interrupted: Interrupted by user"
            );
            assert_eq!(job.results()["total"], 1501);
            assert_eq!(job.events().last().unwrap()["event"], "job-finished");
            sandbox.assert_no_strays();
        }
    }
}

#[test]
fn job_timeout_fires_with_unread_output() {
    for form in FORMS {
        let sandbox = Sandbox::new();
        job(&sandbox);
        let args = [&["run", "all.json", "--job-timeout", "5"], form].concat();
        let (child, reader) = unread(&sandbox, &args);
        let expected = if form.is_empty() { 8 } else { 10 };
        assert_eq!(code(child), Some(expected), "{form:?}");
        drop(reader);
        let reason = sandbox.job().reason("./long.sh");
        assert_eq!(reason, "Test interrupted: Job timeout reached");
    }
}

#[test]
fn task_timeout_fires_with_unread_output_and_no_line_is_lost() {
    let sandbox = Sandbox::new();
    job_with(&sandbox, &serde_json::json!({"task.timeout.running": 1}));
    let (child, mut reader) = unread(&sandbox, &["run", "all.json"]);
    let ended = || {
        let events = sandbox.job().read("events.jsonl");
        match events.contains("\"event\":\"job-finished\"") {
            true => Ok(()),
            false => Err(events.lines().last().unwrap_or_default().to_owned()),
        }
    };
    sandbox.wait_for("started");
    wait_until("the end of the job in its journal", ended);
    let mut shown = String::new();
    reader.read_to_string(&mut shown).unwrap();
    assert_eq!(code(child), Some(8));
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
    let sandbox = Sandbox::new();
    job(&sandbox);
    let pipe = sandbox.project().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    // It is open, and nobody reads.
    let mut reader = std::fs::File::options();
    let reader = reader.read(true).write(true).open(&pipe).unwrap();
    for format in ["--tap", "--json", "--xunit"] {
        let args = ["run", "all.json", "--job-timeout", "2", format, "pipe"];
        let ran = sandbox.run(&args).code(10);
        assert!(ran.stderr.contains("nobody has read all of it"), "{ran}");
        assert_eq!(sandbox.job().results()["total"], 1501);
    }
    drop(reader);
}

/// Starts the binary with a signal ignored, as `nohup` does.
fn ignoring(sandbox: &Sandbox, name: &str) -> Child {
    sandbox.script(
        "waits.sh",
        "echo here > started; until [ -e enough ]; do sleep 0.05; done",
    );
    let persea = sandbox.persea(&["run", "./waits.sh"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' {name}; exec \"$@\""), "sh"]);
    shell.arg(persea.get_program()).args(persea.get_args());
    sandbox
        .equip(&mut shell)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell.spawn().unwrap()
}

#[test]
fn signal_ignored_at_start_stays_ignored() {
    for name in ["HUP", "INT", "TERM", "TSTP"] {
        let sandbox = Sandbox::new();
        let child = ignoring(&sandbox, name);
        sandbox.wait_for("started");
        signal(child.id(), name);
        let bit = match name {
            "HUP" => 1,
            "INT" => 2,
            "TERM" => 15,
            _ => 20,
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
        assert_eq!(ignored >> (bit - 1) & 1, 1, "{name}");
        sandbox.file("enough", "");
        assert_eq!(code(child), Some(0), "{name}");
        assert_eq!(sandbox.job().status("./waits.sh"), "PASS");
    }
}

#[test]
fn ignored_signal_leaves_other_signals_effective() {
    let sandbox = Sandbox::new();
    let child = ignoring(&sandbox, "HUP");
    sandbox.wait_for("started");
    signal(child.id(), "TERM");
    assert_eq!(code(child), Some(8));
}

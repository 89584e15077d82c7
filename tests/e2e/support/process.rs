//! Owns what a test needs of child processes: waiting with a deadline, output, signals.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything may take before a test fails because it hangs.
pub const LONG: Duration = Duration::from_secs(60);

/// The end of a run of the binary.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// The exit code is this one; where it is not, the failure shows all output.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "\n{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "--- exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// The standard error contains each of these parts.
#[track_caller]
pub fn assert_stderr(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in\n{ran}");
    }
}

/// The command started by another program, which takes a command as its last arguments, with the
/// same directory and variables, and with streams for [`finish`].
pub fn wrapped(wrapper: &[&str], command: &Command) -> Command {
    let mut other = Command::new(wrapper[0]);
    other
        .args(&wrapper[1..])
        .arg(command.get_program())
        .args(command.get_args());
    equip_as(&mut other, command);
    other
}

/// Gives a command the directory and variables of another, and streams for [`finish`].
pub fn equip_as<'a>(other: &'a mut Command, command: &Command) -> &'a mut Command {
    if let Some(directory) = command.get_current_dir() {
        other.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}

/// Polls until a condition holds, and fails with its last state after [`LONG`].
#[track_caller]
pub fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(answer) => return answer,
            Err(state) if start.elapsed() > LONG => panic!("waited {LONG:?} for {what}: {state}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits for a child and reads all its output. A child that is alive after [`LONG`] is killed, and
/// the test fails.
#[track_caller]
pub fn finish(mut child: Child) -> Ran {
    let start = Instant::now();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let out = std::thread::spawn(move || read(&mut stdout));
    let err = std::thread::spawn(move || read(&mut stderr));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONG {
            let _ = child.kill();
            panic!("persea hangs: no end after {LONG:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    Ran {
        code: status.code(),
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
        took,
    }
}

fn read(from: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The rest of a pipe, as far as it can be read.
pub fn rest(from: &mut impl std::io::Read) -> String {
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    text
}

/// Sends a signal to a process that a test has started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Reports that this machine cannot run a test. In CI, where the variable `CI` is set, a skip
/// fails, because everything is installed there.
#[track_caller]
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
}

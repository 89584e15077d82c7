//! What is shown while a job runs: lines where there is no terminal, a bar and colours where there is one, and never an
//! escape that a test or a plugin has made.

use std::io::Read as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::plugins::put;
use crate::support::{Sandbox, finish, wait_until};

#[test]
fn what_is_no_terminal_gets_no_escapes() {
    let sandbox = Sandbox::new();
    for colour in [None, Some("1")] {
        let mut command = sandbox.persea(&["run", "/bin/true", "/bin/false"]);
        match colour {
            Some(value) => command.env("NO_COLOR", value),
            None => command.env_remove("NO_COLOR"),
        };
        let ran = finish(command.env("TERM", "xterm").spawn().unwrap()).code(1);
        assert!(
            !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
            "{ran}"
        );
        assert!(ran.stdout.contains(" (1/2) /bin/true: PASS ("), "{ran}");
        assert!(
            ran.stdout
                .contains(" (2/2) /bin/false: FAIL: exited with code 1 ("),
            "{ran}"
        );
    }
}

#[test]
fn names_of_tests_never_reach_the_terminal_raw() {
    let sandbox = Sandbox::new();
    let name = "evil\u{1b}[2J\r\n (1/1) x: PASS\u{202e}.sh";
    sandbox.script(name, "exit 1");
    sandbox.file(
        "r.json",
        r#"[{"kind": "noop", "uri": "\u001b]0;owned\u0007", "identifier": "n\u001b[31m\nl"}]"#,
    );
    let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for args in [
        &["list", ".", "nope\u{1b}[1m"][..],
        &["run", "."],
        &["run", "nope\u{1b}[1m"],
        &["run", "."],
    ] {
        let ran = sandbox.run(args);
        assert!(
            !ran.stdout.contains(bad) && !ran.stderr.contains(bad),
            "{args:?}: {ran}"
        );
        assert!(
            !ran.stdout.lines().any(|line| line.starts_with(" (1/1) x")),
            "{ran}"
        );
    }
    let job = sandbox.job();
    assert_eq!(job.results()["total"], 2);
    assert_eq!(job.status(&format!("./{name}")), "FAIL");
    let log = job.read("job.log");
    assert!(!log.contains(bad), "{log:?}");
}

/// Runs its arguments on a terminal of 100 columns, and passes on what they write.
const ON_A_TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        data = os.read(master, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// The binary on a terminal; what it has shown so far can be looked at while it runs.
fn on_a_terminal(
    sandbox: &Sandbox,
    args: &[&str],
    colour: bool,
    meanwhile: impl FnOnce(&dyn Fn() -> String),
) -> (Option<i32>, String) {
    let persea = sandbox.persea(args);
    let mut command = Command::new("python3");
    command
        .args(["-c", ON_A_TERMINAL])
        .arg(persea.get_program())
        .args(persea.get_args());
    command
        .current_dir(sandbox.project())
        .env("TERM", "xterm-256color");
    for (name, value) in persea.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if colour {
        command.env_remove("NO_COLOR");
    }
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = Arc::clone(&shown);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = out.read(&mut buffer) {
            into.lock().unwrap().extend(&buffer[..length]);
        }
    });
    let text = || String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
    meanwhile(&text);
    let status = wait_until("the end", || child.try_wait().unwrap().ok_or_else(&text));
    reader.join().unwrap();
    (status.code(), text())
}

/// Without the sequences that move the cursor or change colours.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_terminal_shows_a_bar_the_counts_and_what_runs() {
    let sandbox = Sandbox::new();
    sandbox.script("gate.sh", "until [ -s go ]; do sleep 0.01; done");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "/bin/true",
        "/bin/false",
        "./gate.sh",
        "/bin/true",
    ];
    let (code, text) = on_a_terminal(&sandbox, &args, true, |shown| {
        wait_until("the bar with the running test", || {
            let text = plain(&shown());
            let bar = text.rsplit("RESULTS").next().unwrap_or_default();
            if bar.contains("2/4 [")
                && bar.contains("PASS 1 FAIL 1")
                && bar.contains(" s  ./gate.sh")
            {
                Ok(())
            } else {
                Err(shown())
            }
        });
        sandbox.file("go", "now");
    });
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("\u{1b}[1m\u{1b}[32mPASS"), "{text:?}");
    let text = plain(&text).replace('\r', "");
    for line in [
        " (1/4) /bin/true: PASS (",
        " (2/4) /bin/false: FAIL: exited with code 1 (",
        " (3/4) ./gate.sh: PASS (",
        "RESULTS    : PASS 3 | ERROR 0 | FAIL 1 | SKIP 0 | WARN 0 | INTERRUPT 0 | CANCEL 0\n",
        "JOB TIME   : ",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn a_report_on_a_terminal_moves_no_cursor() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["format-csv"]);
    sandbox.script("evil.sh", r"printf '\033[2J\033]0;owned\007'; exit 1");
    sandbox.run(&["run", "./evil.sh"]).code(1);
    let report = ["report", "latest", "--format", "csv"];
    // Elsewhere a report is what its format has written.
    let ran = sandbox.run(&report).code(0);
    assert!(ran.stdout.contains("\u{1b}[2J"), "{ran}");
    let (code, text) = on_a_terminal(&sandbox, &report, true, |_| {});
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(r"\x1b[2J\x1b]0;owned\x07"), "{text:?}");
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
}

#[test]
fn no_color_means_no_colour_on_a_terminal() {
    let sandbox = Sandbox::new();
    let (code, text) = on_a_terminal(&sandbox, &["run", "/bin/true", "/bin/false"], false, |_| {});
    assert_eq!(code, Some(1), "{text}");
    for colour in ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[1m"] {
        assert!(!text.contains(colour), "{text:?}");
    }
    assert!(
        text.contains("/bin/false: FAIL: exited with code 1"),
        "{text:?}"
    );
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_job_and_not_its_tests() {
    let sandbox = Sandbox::new();
    // A test that would end in another way if the terminal's SIGINT reached it.
    sandbox.script("long.sh", "trap 'exit 0' TERM; trap 'echo int > got-int; exit 3' INT; echo here > started; while :; do sleep 0.05; done");
    let (code, text) = on_a_terminal(&sandbox, &["run", "./long.sh"], false, |_| {
        sandbox.wait_for("started");
        let host = wait_until("the host", || {
            let name = env!("CARGO_BIN_EXE_persea");
            let processes = sandbox.processes();
            let found = processes
                .iter()
                .find(|(_, line)| line.starts_with(name))
                .map(|(pid, _)| *pid);
            found.ok_or_else(|| format!("{processes:?}"))
        });
        // To the whole foreground group, as the terminal does.
        let group = format!("-{host}");
        let sent = Command::new("kill")
            .args(["-INT", "--", &group])
            .status()
            .unwrap();
        assert!(sent.success());
    });
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("Interrupt requested"), "{text}");
    assert!(!sandbox.project().join("got-int").exists());
    sandbox.assert_no_strays();
}

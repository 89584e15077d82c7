//! Owns the display on a terminal: progress bar, colours, Ctrl-C. And the escaping of text that
//! comes from tests, plugins, files or arguments, which must not control a terminal.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::plugins::{components, install};
use crate::support::{Fixture, Ran, finish, wait_until};

#[test]
fn output_without_a_terminal_has_no_escapes() {
    let fixture = Fixture::new();
    for colour in [None, Some("1")] {
        let mut command = fixture.persea(&["run", "/bin/true", "/bin/false"]);
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
fn test_names_are_escaped_in_output() {
    let fixture = Fixture::new();
    let name = "evil\u{1b}[2J\r\n (1/1) x: PASS\u{202e}.sh";
    fixture.script(name, "exit 1");
    fixture.file(
        "r.json",
        r#"[{"kind": "noop", "uri": "\u001b]0;owned\u0007", "identifier": "n\u001b[31m\nl"}]"#,
    );
    let is_unsafe = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for args in [
        &["list", ".", "nope\u{1b}[1m"][..],
        &["run", "."],
        &["run", "nope\u{1b}[1m"],
        &["run", "."],
    ] {
        let ran = fixture.run(args);
        assert!(
            !ran.stdout.contains(is_unsafe) && !ran.stderr.contains(is_unsafe),
            "{args:?}: {ran}"
        );
        assert!(
            !ran.stdout.lines().any(|line| line.starts_with(" (1/1) x")),
            "{ran}"
        );
    }
    let job = fixture.job();
    assert_eq!(job.results()["total"], 2);
    assert_eq!(job.status(&format!("./{name}")), "FAIL");
    let log = job.read("job.log");
    assert!(!log.contains(is_unsafe), "{log:?}");
}

/// A Python program that runs a command on a terminal of 100 columns and copies its output to the
/// standard output.
const PSEUDO_TERMINAL: &str = r#"
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

/// Runs the binary on a terminal, and returns its exit code and output. `meanwhile` can read the
/// output so far while it runs.
fn on_a_terminal(
    fixture: &Fixture,
    args: &[&str],
    colour: bool,
    meanwhile: impl FnOnce(&dyn Fn() -> String),
) -> (Option<i32>, String) {
    let mut command = fixture.persea_below(&["python3", "-c", PSEUDO_TERMINAL], args);
    command
        .env("TERM", "xterm-256color")
        .stderr(std::process::Stdio::inherit());
    if colour {
        command.env_remove("NO_COLOR");
    }
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

/// The text without escape sequences.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn terminal_shows_progress_bar_counts_and_running_tests() {
    let fixture = Fixture::new();
    fixture.script("gate.sh", "until [ -s go ]; do sleep 0.01; done");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "/bin/true",
        "/bin/false",
        "./gate.sh",
        "/bin/true",
    ];
    let (code, text) = on_a_terminal(&fixture, &args, true, |shown| {
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
        fixture.file("go", "now");
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
fn report_is_escaped_on_a_terminal() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["format-csv"]);
    fixture.script("evil.sh", r"printf '\033[2J\033]0;owned\007'; exit 1");
    fixture.run(&["run", "./evil.sh"]).code(1);
    let report = ["report", "latest", "--format", "csv"];
    // Without a terminal the report is written as it is.
    let ran = fixture.run(&report).code(0);
    assert!(ran.stdout.contains("\u{1b}[2J"), "{ran}");
    let (code, text) = on_a_terminal(&fixture, &report, true, |_| {});
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(r"\x1b[2J\x1b]0;owned\x07"), "{text:?}");
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
}

#[test]
fn no_color_disables_colours_on_a_terminal() {
    let fixture = Fixture::new();
    let (code, text) = on_a_terminal(&fixture, &["run", "/bin/true", "/bin/false"], false, |_| {});
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
fn terminal_ctrl_c_reaches_the_host_and_not_its_tests() {
    let fixture = Fixture::new();
    // The test writes a file if the terminal's SIGINT reaches it.
    fixture.script(
        "long.sh",
        "trap 'exit 0' TERM; trap 'echo int > got-int; exit 3' INT
         echo here > started; while :; do sleep 0.05; done",
    );
    let (code, text) = on_a_terminal(&fixture, &["run", "./long.sh"], false, |_| {
        fixture.wait_for("started");
        let host = wait_until("the host", || {
            let name = env!("CARGO_BIN_EXE_persea");
            let processes = fixture.processes();
            let found = processes
                .iter()
                .find(|(_, line)| line.starts_with(name))
                .map(|(pid, _)| *pid);
            found.ok_or_else(|| format!("{processes:?}"))
        });
        // The terminal sends SIGINT to the whole foreground process group.
        let group = format!("-{host}");
        let sent = Command::new("kill")
            .args(["-INT", "--", &group])
            .status()
            .unwrap();
        assert!(sent.success());
    });
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("Interrupt requested"), "{text}");
    assert!(!fixture.project().join("got-int").exists());
    fixture.assert_no_strays();
}

/// Text that sets a terminal's title, changes its colour, reverses its writing and forges a line.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\u{202e}\u{61c}\u{2028}\r\nforged";

/// The text as a TOML string.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
}

/// The character controls a terminal, or the direction of its writing.
fn is_control(c: char) -> bool {
    let is_mark = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_mark || c.is_control() && c != '\n'
}

/// The output contains [`EVIL`], escaped.
#[track_caller]
fn assert_escaped(ran: &Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("owned"), "{ran}");
    assert!(!all.contains(is_control), "{all:?}");
    assert!(!all.lines().any(|line| line.starts_with("forged")), "{ran}");
}

/// A lock with one valid entry, in which one key has this value.
fn lock_with(key: &str, value: &str) -> String {
    let digest = format!("'{}'", "0".repeat(64));
    let keys = [
        ("name", "'x'"),
        ("version", "'1.0.0'"),
        ("contract", "'0.1.0'"),
        ("source", "'x.wasm'"),
        ("sha256", &digest),
        ("roles", "{runner = ['k']}"),
    ];
    let others = keys.iter().filter(|(name, _)| *name != key);
    let others: String = others
        .map(|(name, value)| format!("{name} = {value}\n"))
        .collect();
    format!("version = 1\n[[plugin]]\n{others}{key} = {value}\n")
}

#[test]
fn text_from_a_checkout_is_escaped_in_messages() {
    let fixture = Fixture::new();
    let evil = quoted(EVIL);
    let away = quoted(&format!("/{EVIL}"));
    let suite = "[[suite]]\nname = 's'\nreferences = ['/bin/true']\n";
    let list = &["list", "/bin/true"][..];
    let verify = &["plugin", "verify"][..];
    let job = &["list", "--job", "job.toml"][..];
    let graph = &["list", "--graph", "--job", "job.toml"][..];
    for (file, text, args) in [
        ("persea.toml", format!("{evil} = 1\n"), list),
        ("persea.toml", format!("{evil} = 1\n"), &["config"]),
        ("persea.toml", format!("plugins.dirs = [{evil}]\n"), list),
        ("persea.toml", format!("plugins.keys = [{evil}]\n"), list),
        ("persea.toml", format!("run.order = {evil}\n"), list),
        (
            "persea.toml",
            format!("job.run.result.tap.output = {away}\n"),
            list,
        ),
        ("persea.lock", lock_with("name", &evil), list),
        (
            "persea.lock",
            lock_with("roles", &format!("{{{evil} = []}}")),
            list,
        ),
        ("persea.lock", lock_with("version", &evil), verify),
        ("persea.lock", lock_with("source", &evil), list),
        ("persea.lock", lock_with("source", &evil), verify),
        (
            "persea.lock",
            lock_with("source", &evil),
            &["plugin", "update", "x"],
        ),
        (
            "persea.lock",
            lock_with("limits", &format!("{{{evil} = 1}}")),
            list,
        ),
        (
            "persea.lock",
            lock_with("grants", &format!("{{{evil} = ['x']}}")),
            list,
        ),
        ("job.toml", format!("[[suite]]\nname = {evil}\n"), job),
        ("job.toml", format!("{suite}{evil} = 1\n"), job),
        ("job.toml", format!("{suite}needs = [{evil}]\n"), graph),
        ("job.toml", format!("{suite}mutexes = [{evil}]\n"), graph),
        ("job.toml", format!("{suite}[settings]\n{evil} = 1\n"), job),
    ] {
        let path = fixture.file(file, &text);
        let ran = fixture.run(args);
        std::fs::remove_file(path).unwrap();
        assert_escaped(&ran);
    }
}

#[test]
fn file_names_and_arguments_are_escaped_in_messages() {
    let fixture = Fixture::new();
    let plugin = format!("plugins/{EVIL}.wasm");
    fixture.file(&plugin, &components()["format-csv"]);
    let dir = &["--plugin-dir", "plugins"][..];
    fixture.run(&["run", "/bin/true"]).code(0);
    for args in [
        &["plugin", "list"][..],
        &["plugin", "list", "--json"],
        &["plugin", "inspect", "csv"],
        &["plugin", "inspect", &plugin],
        &["plugin", "verify"],
        &["plugin", "add", &plugin],
        &["plugin", "verify"],
        &["plugin", "add", &plugin, "--user"],
        &["plugin", "remove", EVIL],
        &["plugin", "inspect", EVIL],
        &["report", EVIL, "--format", "tap"],
        &["report", "latest", "--format", EVIL],
        &["release", EVIL],
        &["run", "--results-dir", EVIL, "/bin/true"],
        &["run", "--job", EVIL],
        &["run", "--tap", &format!("none/{EVIL}"), "/bin/true"],
        &["run", "--spawner", EVIL, "/bin/true"],
        &["run", "--grant", EVIL, "/bin/true"],
        &["run", "--set", EVIL, "/bin/true"],
        &["run", &format!("--{EVIL}")],
        &[EVIL],
    ] {
        assert_escaped(&fixture.run(&[args, dir].concat()));
    }
    // A file name in a message of the log.
    let forger = crate::hostile::report_named("results.json");
    fixture.file(&format!("forgers/{EVIL}.wasm"), forger);
    let ran = fixture.run(&["run", "/bin/true", "--plugin-dir", "forgers"]);
    assert!(ran.stderr.contains("results.json"), "{ran}");
    assert_escaped(&ran);
    // An argument that is not UTF-8 is an error, and no panic.
    let ran = fixture.run_with(&[], |command| command.arg(OsStr::from_bytes(b"\xff")));
    let ran = ran.code(4);
    assert!(
        ran.stderr.contains("UTF-8") || ran.stderr.contains("unrecognized"),
        "{ran}"
    );
}

#[test]
fn json_output_escapes_control_characters() {
    let fixture = Fixture::new();
    let evil = quoted(EVIL);
    fixture.file("persea.toml", format!("{evil} = 1\n"));
    fixture.file("plugins/odd.wasm", crate::hostile::odd("sets"));
    let values = |args: &[&str]| -> Vec<serde_json::Value> {
        let ran = fixture.run(args);
        assert!(!ran.stdout.contains(is_control), "{:?}", ran.stdout);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let listed = values(&["list", "--json", EVIL]);
    assert_eq!(listed[0]["reference"], EVIL);
    let config = values(&["config", "--json"]);
    assert!(config.iter().any(|row| row["name"] == EVIL));
    // A plugin whose setting has such a name is refused.
    let refused = fixture
        .run(&["plugin", "inspect", "plugins/odd.wasm"])
        .code(4);
    assert_escaped(&refused);
    assert!(
        refused.stderr.contains("is no name of a setting"),
        "{refused}"
    );
    assert_escaped(&fixture.run(&["config", "--plugin-dir", "plugins"]));
}

#[test]
fn terminal_errors_contain_only_the_colours_of_the_host() {
    let fixture = Fixture::new();
    let evil = quoted(EVIL);
    fixture.file("persea.toml", format!("{evil} = 1\n"));
    for args in [
        &["list", "/bin/true"][..],
        &["config", "--json"],
        &["release", EVIL],
    ] {
        let (_, text) = on_a_terminal(&fixture, args, true, |_| {});
        assert!(text.contains("owned"), "{text:?}");
        // The host's own colours are the only escape sequences.
        let without_colours = plain(&text).replace('\r', "");
        assert!(!without_colours.contains(is_control), "{text:?}");
        let is_raw = ["\u{1b}]", "\u{9b}"].iter().any(|it| text.contains(it));
        assert!(!is_raw, "{text:?}");
    }
    let (code, text) = on_a_terminal(&fixture, &["release", "none"], true, |_| {});
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("\u{1b}[31m"), "{text:?}");
}

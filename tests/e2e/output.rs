//! Owns the display without a terminal: output of failed tests, the command that runs them again,
//! and what happens where the standard output cannot be written. `terminal` owns the one with.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::recipes::{exec, with};
use crate::support::{Fixture, Ran, assert_stderr, finish};

/// A project with a test that passes, and one that prints 30 lines to its standard output and one
/// with bytes that a terminal must not get to its standard error, and fails.
fn passing_and_failing() -> Fixture {
    let fixture = Fixture::new();
    fixture.script("quiet.sh", "echo all is well");
    fixture.script(
        "talk.sh",
        "for i in $(seq 30); do echo out $i; done; printf 'red \\033[31m \\377\\n' >&2; exit 3",
    );
    fixture
}

const TOTALS: &str =
    "RESULTS    : PASS 1 | ERROR 0 | FAIL 1 | SKIP 0 | WARN 0 | INTERRUPT 0 | CANCEL 0";

/// The lines of the standard output that do not differ from run to run, without times.
fn stable_lines(ran: &Ran) -> Vec<&str> {
    let varying = [
        "JOB ID ",
        "JOB LOG ",
        "JOB TIME ",
        "RUN AGAIN ",
        "GO ON WITH ",
    ];
    let lines = ran.stdout.lines();
    lines
        .filter(|line| !varying.iter().any(|start| line.starts_with(start)))
        .map(|line| line.split(" (0.").next().unwrap())
        .collect()
}

#[test]
fn failed_test_shows_the_last_lines_of_its_output() {
    let fixture = passing_and_failing();
    let run = |options: &[&str]| {
        let args = ["run", "--max-parallel-tasks", "1"];
        let tests = ["./quiet.sh", "./talk.sh"];
        fixture.run(&[&args, options, &tests].concat()).code(1)
    };
    let ran = run(&["--set", "human.output.lines=3"]);
    let directory = fixture.job().0.join("test-results/2-._talk.sh");
    let directory = format!("   {}", directory.display());
    assert_eq!(
        stable_lines(&ran),
        [
            " (1/2) ./quiet.sh: PASS",
            " (2/2) ./talk.sh: FAIL: exited with code 3",
            "   stderr | red \\x1b[31m \u{fffd}",
            "   stdout | […]",
            "   stdout | out 29",
            "   stdout | out 30",
            "FAILURES   : 1 of 2",
            " (2/2) ./talk.sh: FAIL: exited with code 3",
            &directory,
            TOTALS,
        ]
    );
    assert_eq!(ran.stderr, "");
    let shown = |ran: &Ran| {
        ran.stdout
            .lines()
            .filter(|it| it.contains(" | out "))
            .count()
    };
    assert_eq!(
        shown(&run(&[])),
        19,
        "20 lines of both streams, one of them of stderr"
    );
    let ran = run(&["--set", "human.output.lines=0"]);
    assert!(!ran.stdout.contains(" | red"), "{ran}");
}

#[test]
fn quiet_shows_only_failures_and_totals() {
    let fixture = passing_and_failing();
    let ran = fixture.run(&[
        "run",
        "-q",
        "--set",
        "human.output.lines=1",
        "./quiet.sh",
        "./talk.sh",
    ]);
    let directory = fixture.job().0.join("test-results/2-._talk.sh");
    let directory = format!("   {}", directory.display());
    assert_eq!(
        stable_lines(&ran.code(1)),
        [
            " (2/2) ./talk.sh: FAIL: exited with code 3",
            "   stderr | red \\x1b[31m \u{fffd}",
            "FAILURES   : 1 of 2",
            " (2/2) ./talk.sh: FAIL: exited with code 3",
            &directory,
            TOTALS,
        ]
    );
    let ran = fixture.run(&["run", "--quiet", "./quiet.sh"]).code(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
}

#[test]
fn started_lines_are_shown_on_request() {
    let fixture = passing_and_failing();
    for (setting, count) in [("false", 0), ("true", 1)] {
        let setting = format!("human.output.started={setting}");
        let ran = fixture
            .run(&["run", "--set", &setting, "./quiet.sh"])
            .code(0);
        let started = ran.stdout.matches(" (1/1) ./quiet.sh: STARTED\n").count();
        assert_eq!(started, count, "{ran}");
    }
}

#[test]
fn replaced_output_files_are_not_read() {
    let fixture = Fixture::new();
    fixture.file("secret", "secret");
    let replace_output = |how: &str| {
        format!(r#"cd "$AVOCADO_TEST_OUTPUTDIR" && rm -f stdout stderr && {how}; exit 1"#)
    };
    fixture.script("pipe.sh", &replace_output("mkfifo stdout stderr"));
    fixture.script(
        "link.sh",
        &replace_output("ln -s \"$OLDPWD/secret\" stdout; ln -s /dev/zero stderr"),
    );
    fixture.script("directory.sh", &replace_output("mkdir stdout stderr"));
    let ran = fixture
        .run(&["run", "./pipe.sh", "./link.sh", "./directory.sh"])
        .code(1);
    assert!(
        !["secret", "stdout |", "stderr |"]
            .iter()
            .any(|it| ran.stdout.contains(it)),
        "{ran}"
    );
}

/// Runs the command that follows `RUN AGAIN` in the output of a job, in a shell. Returns also the
/// content of the file `ran`, to which tests append.
fn run_again(fixture: &Fixture, ran: &Ran) -> (Ran, String) {
    let mut lines = ran.stdout.lines();
    let command = lines.find_map(|line| line.strip_prefix("RUN AGAIN  : "));
    let mut shell = Command::new("sh");
    shell.args(["-c", command.unwrap()]);
    fixture.equip(&mut shell);
    fixture.file("ran", "");
    let ran = finish(shell.spawn().unwrap());
    let tests = std::fs::read_to_string(fixture.project().join("ran")).unwrap();
    (ran, tests)
}

#[test]
fn run_again_command_runs_only_the_failures() {
    let fixture = Fixture::new();
    fixture.script("dir/good.sh", "echo good >> ran");
    fixture.script("dir/bad one.sh", "echo bad >> ran; exit 1");
    // The recipe's tests have no identifiers, so all three have one name.
    let test =
        |script: &str| json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", script]});
    let tests = [
        test("echo first >> ran"),
        test("echo second >> ran; test -e mended"),
        test("echo third >> ran"),
    ];
    fixture.recipe("the recipe.json", &tests);
    let args = ["run", "--max-parallel-tasks", "1", "dir", "the recipe.json"];
    let first = fixture.run(&args).code(1);
    let (second, tests) = run_again(&fixture, &first);
    assert_eq!(tests, "bad\nsecond\n", "{second}");
    fixture.file("mended", "");
    let (third, tests) = run_again(&fixture, &second.code(1));
    assert_eq!(tests, "bad\nsecond\n", "{third}");
    let (fourth, tests) = run_again(&fixture, &third.code(1));
    assert_eq!(tests, "bad\n", "{fourth}");

    let ran = fixture
        .run(&["run", "--failed", "latest", "/bin/true"])
        .code(2);
    assert!(
        ran.stderr
            .contains("failed in the earlier job and is not among the tests"),
        "{ran}"
    );
    fixture.run(&["run", "/bin/true"]).code(0);
    let ran = fixture
        .run(&["run", "--failed", "latest", "/bin/true"])
        .code(2);
    let latest = fixture.root().join("home/persea/job-results/latest");
    let error = format!("no test of the job {} failed\n", latest.display());
    assert_stderr(
        &ran,
        &[&error, "help: to run all tests, leave out `--failed`\n"],
    );
}

#[test]
fn rerun_of_a_failure_includes_its_dependencies() {
    let fixture = Fixture::new();
    let tests = [
        exec("build", "/bin/true"),
        with(exec("test", "/bin/false"), "needs", json!(["build"])),
        exec("other", "/bin/true"),
    ];
    fixture.recipe("order.json", &tests);
    fixture.run(&["run", "order.json"]).code(1);
    fixture
        .run(&["run", "--failed", "latest", "order.json"])
        .code(1);
    assert_eq!(fixture.job().ids(), ["1-build", "2-test"]);
}

/// Runs the binary with another standard output, which is not read.
fn with_stdout(fixture: &Fixture, args: &[&str], stdout: impl Into<Stdio>) -> Ran {
    let mut child = fixture.persea(args).stdout(stdout).spawn().unwrap();
    // `finish` reads the standard output of the child, so it gets an empty pipe.
    let (reader, _) = std::io::pipe().unwrap();
    child.stdout = Some(std::os::fd::OwnedFd::from(reader).into());
    finish(child)
}

/// Commands that succeed and write to the standard output.
const WRITERS: [&[&str]; 11] = [
    &["--version"],
    &["--help"],
    &["run", "--help"],
    &["list", "/bin/true"],
    &["list", "--json", "/bin/true"],
    &["list", "--graph", "/bin/true"],
    &["config"],
    &["config", "--json"],
    &["plugin", "list"],
    &["run", "/bin/true"],
    &["run", "--tap", "-", "/bin/true"],
];

#[test]
fn full_stdout_is_an_error() {
    let fixture = Fixture::new();
    fixture.run(&["run", "/bin/true"]).code(0);
    let reports = [
        &["report", "latest", "--format", "tap"][..],
        &["report", "latest", "--format", "xunit"],
        &["plugin", "inspect", "runner.tap"],
    ];
    for args in WRITERS.into_iter().chain(reports) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        eprintln!("{args:?}");
        let ran = with_stdout(&fixture, args, full).code(2);
        assert_stderr(&ran, &["No space left on device", "the standard output"]);
    }
}

#[test]
fn closed_stdout_pipe_is_no_error() {
    let fixture = Fixture::new();
    fixture.run(&["run", "/bin/true"]).code(0);
    let reports = [
        &["report", "latest", "--format", "tap"][..],
        &["report", "latest", "--format", "xunit"],
    ];
    for args in WRITERS.into_iter().chain(reports) {
        let (_, writer) = std::io::pipe().unwrap();
        let ran = with_stdout(&fixture, args, writer).code(0);
        assert_eq!(ran.stderr, "", "{args:?}");
    }
    // The job runs to its end, and its exit code is that of its tests.
    let (_, writer) = std::io::pipe().unwrap();
    with_stdout(&fixture, &["run", "/bin/false"], writer).code(1);
    assert_eq!(fixture.job().status("/bin/false"), "FAIL");
}

#[test]
fn version_option_accepts_no_other_arguments() {
    let fixture = Fixture::new();
    for args in [
        &["-V"][..],
        &["list", "--version"],
        &["plugin", "list", "-V"],
    ] {
        let ran = fixture.run(args).code(0);
        assert!(
            ran.stdout
                .ends_with(&format!(" {}\n", env!("CARGO_PKG_VERSION"))),
            "{ran}"
        );
    }
    for args in [
        &["-V", "list", "X"][..],
        &["--version", "run", "/bin/true"],
        &["-vV", "list", "X"],
        &["run", "/bin/true", "-V"],
        &["-V", "-V", "nonsense"],
    ] {
        let ran = fixture.run(args).code(4);
        assert_eq!(ran.stdout, "", "{args:?}");
        let help = "help: to show the version: `persea --version`";
        assert_stderr(&ran, &["take no other arguments", help]);
    }
}

#[test]
fn results_directory_that_is_not_utf8_is_refused() {
    let fixture = Fixture::new();
    let name = std::ffi::OsStr::from_bytes(b"jr\xff");
    let mut command = fixture.persea(&["run", "/bin/true", "--results-dir"]);
    let ran = finish(command.arg(name).spawn().unwrap()).code(4);
    let error = "--results-dir jr\u{fffd}: the path is not UTF-8, and reports could not name files \
                 in it\n";
    let help = "help: choose a directory whose path is UTF-8\n";
    assert_stderr(&ran, &[error, help]);
    // Also where a link, the home or the working directory leads there.
    std::fs::create_dir(fixture.project().join(name)).unwrap();
    std::os::unix::fs::symlink(name, fixture.project().join("link")).unwrap();
    let ran = fixture
        .run(&["run", "/bin/true", "--results-dir", "link"])
        .code(2);
    let error = format!(
        "cannot write results to {}/jr\u{fffd}: the path is not UTF-8",
        fixture.project().canonicalize().unwrap().display()
    );
    assert_stderr(&ran, &[&error]);
    let directory = fixture.project().join(name);
    let args = ["run", "/bin/true"];
    let ran = fixture.run_with(&args, |command| command.env("HOME", &directory));
    assert_stderr(&ran.code(2), &["not UTF-8"]);
    let ran = fixture.run_with(&args, |command| command.current_dir(&directory));
    assert_stderr(&ran.code(4), &["the working directory is not UTF-8"]);
    let jobs = walkdir::WalkDir::new(fixture.project());
    let jobs = jobs.into_iter().flatten();
    assert_eq!(
        jobs.filter(|it| it.file_name() == "events.jsonl").count(),
        0
    );
}

#[test]
fn variable_that_is_not_utf8_is_reported() {
    let fixture = Fixture::new();
    let value = std::ffi::OsStr::from_bytes(b"\xff");
    let run = |name: &[u8]| {
        let name = std::ffi::OsStr::from_bytes(name);
        fixture.run_with(&["run", "/bin/true"], |command| command.env(name, value))
    };
    for name in [&b"PERSEA_RUN__RESULTS_DIR"[..], b"PERSEA_RUN__\xff"] {
        let ran = run(name).code(4);
        assert_stderr(&ran, &["the variable PERSEA_RUN__", "not UTF-8"]);
    }
    let ran = run(b"PERSEA_LOG").code(0);
    assert_stderr(&ran, &["PERSEA_LOG is ignored"]);
    // A variable of the tests may have any value.
    let ran = run(b"ANY").code(0);
    assert_eq!(ran.stderr, "");
}

#[test]
fn users_file_named_latest_is_not_replaced() {
    let fixture = Fixture::new();
    let latest = fixture.file("results/latest", "mine");
    let run = || {
        fixture
            .run(&["run", "--results-dir", "results", "/bin/true"])
            .code(0)
    };
    let ran = run();
    assert_eq!(std::fs::read_to_string(&latest).unwrap(), "mine");
    let warning = format!(
        "cannot update the link `latest` in {}: a file or directory of that name is in the way; \
         rename it to get the link\n",
        latest.parent().unwrap().canonicalize().unwrap().display()
    );
    assert_stderr(&ran, &[&warning]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    std::fs::remove_file(&latest).unwrap();
    std::fs::create_dir(&latest).unwrap();
    let ran = run();
    assert!(latest.is_dir() && !latest.is_symlink());
    assert_stderr(&ran, &[&warning]);
    std::fs::remove_dir(&latest).unwrap();
    let ran = run();
    assert!(latest.is_symlink());
    assert_eq!(ran.stderr, "");
    assert_eq!(run().stderr, "");
    let hidden = std::fs::read_dir(fixture.project().join("results")).unwrap();
    let hidden = hidden
        .flatten()
        .filter(|it| it.file_name().as_bytes().starts_with(b"."));
    assert_eq!(hidden.count(), 0);
}

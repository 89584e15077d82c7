//! Owns wrong input: references, recipes, settings, options, directories. Each error says what is
//! wrong, where, and what to do, and has its exit code.

use std::process::{Child, Command, ExitStatus};

use crate::support::recipes::{noop, programs};
use crate::support::{Fixture, assert_stderr, finish, rest, skip, wait_until};

#[test]
fn unresolved_reference_is_an_error() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["run", "nope.sh", "/bin/true"]).code(2);
    assert_stderr(
        &ran,
        &[
            "No tests found for given test references: nope.sh\n",
            "persea list nope.sh",
            "--ignore-missing-references",
        ],
    );
    fixture.assert_no_job();
    // Both suggestions of the error work.
    let ran = fixture.run(&["list", "nope.sh"]).code(2);
    assert!(ran.stdout.starts_with("MISSING nope.sh\n"), "{ran}");
    assert!(
        ran.stdout
            .contains("\n    exec-test: nope.sh does not exist\n"),
        "{ran}"
    );
    let args = ["run", "--ignore-missing-references", "nope.sh", "/bin/true"];
    fixture.run(&args).code(0);
    assert_eq!(fixture.job().results()["total"], 1);
    // A job without any test is an error in spite of the option.
    let ran = fixture
        .run(&["run", "--ignore-missing-references", "nope.sh"])
        .code(2);
    assert_stderr(
        &ran,
        &["No test references provided nor any other arguments resolved into tests"],
    );
}

#[test]
fn file_that_is_no_test_is_explained() {
    let fixture = Fixture::new();
    fixture.file("notes.txt", "to do\n");
    let ran = fixture.run(&["list", "notes.txt"]).code(2);
    assert!(
        ran.stdout
            .contains("notes.txt is not executable; if it is a test, `chmod +x` makes it one"),
        "{ran}"
    );
    std::fs::create_dir(fixture.project().join("empty")).unwrap();
    let ran = fixture.run(&["run", "empty"]).code(2);
    assert_stderr(&ran, &["No tests found for given test references: empty\n"]);
}

#[test]
fn unreadable_file_is_explained() {
    let fixture = Fixture::new();
    std::os::unix::fs::symlink("round.json", fixture.project().join("round.json")).unwrap();
    let ran = fixture.run(&["list", "round.json"]).code(2);
    assert!(
        ran.stdout
            .contains("round.json: Too many levels of symbolic links"),
        "{ran}"
    );
    fixture.run(&["run", "round.json"]).code(2);
    fixture.assert_no_job();
}

#[test]
fn kind_without_a_runner_is_an_error() {
    let fixture = Fixture::new();
    fixture.file(
        "r.json",
        r#"[{"kind": "robot", "uri": "arm"}, {"kind": "noop"}]"#,
    );
    fixture.run(&["run", "r.json"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("arm"), "ERROR");
    assert_eq!(
        job.reason("arm"),
        "no runner for kind `robot`: add a plugin that runs it with `persea plugin add FILE`; \
         `persea plugin list` shows those there are"
    );
    assert_eq!(job.status("noop"), "PASS");
}

#[test]
fn syntax_error_in_a_recipe_has_line_and_column() {
    let fixture = Fixture::new();
    fixture.file(
        "r.json",
        "[\n  {\"kind\": \"noop\"},\n  {\"kind\": \"noop\",}\n]\n",
    );
    let ran = fixture.run(&["run", "r.json"]).code(2);
    assert_stderr(
        &ran,
        &[
            "Reference r.json might be resolved by recipe resolver, but the file is corrupted: \
             r.json:3:19: ",
        ],
    );
    fixture.assert_no_job();
}

#[test]
fn unknown_key_in_a_recipe_is_an_error() {
    let fixture = Fixture::new();
    fixture.file(
        "r.json",
        r#"[{"kind": "noop"}, {"kind": "noop", "uri": "a", "colour": "red"}]"#,
    );
    let ran = fixture.run(&["run", "r.json"]).code(2);
    assert_stderr(&ran, &["r.json: [1].colour", "recipe"]);
    let ran = fixture.run(&["list", "--json", "r.json"]).code(2);
    let line: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(line["reference"], "r.json");
    assert!(
        line["corrupt"].as_str().unwrap().contains("colour"),
        "{ran}"
    );
}

#[test]
fn unwritable_results_directory_is_an_error() {
    let fixture = Fixture::new();
    fixture.file("taken", "a file");
    for (directory, cause) in [
        ("taken", ""),
        ("taken/below", "Not a directory"),
        ("/proc/nope", "No such file or directory"),
    ] {
        let ran = fixture
            .run(&["run", "--results-dir", directory, "/bin/true"])
            .code(2);
        let error = "cannot write results to ";
        assert_stderr(&ran, &[error, directory, cause, "--results-dir DIR"]);
    }
    assert_eq!(
        std::fs::read_to_string(fixture.project().join("taken")).unwrap(),
        "a file"
    );
    let ran = fixture
        .run(&["run", "--json", "taken/out.json", "/bin/true"])
        .code(2);
    assert_stderr(&ran, &["taken/out.json", "Not a directory"]);
}

/// A command that starts a program in a mount namespace of its own; none where this user may not
/// make one.
fn unshare_mounts() -> Option<[&'static str; 2]> {
    let commands = [["unshare", "-m"], ["unshare", "-rm"]];
    commands.into_iter().find(|[program, option]| {
        let mount = "mount -t tmpfs -o size=64k none /mnt";
        let tried = Command::new(program)
            .args([option, "sh", "-c", mount])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Waits for a child without reading its output.
#[track_caller]
fn wait(child: &mut Child) -> ExitStatus {
    wait_until("the end of the job", || {
        child.try_wait().unwrap().ok_or_else(String::new)
    })
}

#[test]
fn full_disk_ends_the_job_with_an_error() {
    let Some([unshare, option]) = unshare_mounts() else {
        return skip("this user may not mount anything");
    };
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.project().join("full")).unwrap();
    fixture.script(
        "long.sh",
        "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &
         echo here > started
         while :; do sleep 1; done",
    );
    fixture.script(
        "fill.sh",
        "until [ -s started ]; do sleep 0.01; done; cat /dev/zero > full/zeroes; exit 0",
    );
    let mut runnables = programs(&["./long.sh", "./fill.sh"]);
    runnables.extend((0..300).map(|n| noop(&n.to_string())));
    fixture.recipe("r.json", &runnables);
    let script = "mount -t tmpfs -o size=512k none full && exec \"$@\"";
    let args = [
        "run",
        "--results-dir",
        "full",
        "--max-parallel-tasks",
        "2",
        "r.json",
    ];
    let wrapper = [unshare, option, "sh", "-c", script, "sh"];
    let mut command = fixture.persea_below(&wrapper, &args);
    let ran = finish(command.spawn().unwrap()).code(2);
    assert_stderr(&ran, &["No space left on device", "events.jsonl"]);
    fixture.wait_for("started");
    assert!(ran.took < std::time::Duration::from_secs(20), "{ran}");
    fixture.assert_no_strays();
}

#[test]
fn syntax_error_in_the_configuration_is_an_error() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "[run]\nfailfast = yes\n");
    let ran = fixture.run(&["run", "/bin/true"]).code(4);
    assert_stderr(&ran, &["persea.toml:2:12: "]);
    fixture.assert_no_job();
}

#[test]
fn setting_of_the_wrong_type_is_named_with_its_origin() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "run.max_parallel_tasks = 'many'\n");
    let ran = fixture.run(&["run", "/bin/true"]).code(4);
    assert_stderr(
        &ran,
        &[
            "setting `run.max_parallel_tasks` from persea.toml: expected a whole number, found \
             `\"many\"`",
        ],
    );
    fixture.file("persea.toml", "");
    let ran = fixture
        .run_with(&["run", "/bin/true"], |command| {
            command.env("PERSEA_RUN__FAILFAST", "perhaps")
        })
        .code(4);
    assert_stderr(
        &ran,
        &[
            "setting `run.failfast` from $PERSEA_RUN__FAILFAST: expected true, false or a whole \
             number from 1",
        ],
    );
    for (set, part) in [
        ("run.max_parallel_tasks=-1", "expected a whole number"),
        ("run.failfast", "--set NAME=VALUE"),
        ("plugins.runner.order=greet", "expected a list of texts"),
    ] {
        let ran = fixture.run(&["run", "--set", set, "/bin/true"]).code(4);
        assert_stderr(&ran, &[part]);
    }
    let ran = fixture
        .run(&["run", "--config", "none.toml", "/bin/true"])
        .code(4);
    assert_stderr(&ran, &["none.toml", "No such file"]);
    fixture.assert_no_job();
}

#[test]
fn unknown_setting_is_a_warning() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "[run]\nmax_paralel_tasks = 3\n");
    let ran = fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(
        ran.stderr,
        "warning: unknown setting `run.max_paralel_tasks` from persea.toml; `persea config` shows \
         all settings\n"
    );
}

#[test]
fn invalid_timeouts_are_refused() {
    let fixture = Fixture::new();
    for option in ["--task-timeout", "--job-timeout"] {
        for time in ["soon", "-3", "5 parsecs", "nan", "1e400"] {
            let option = format!("{option}={time}");
            let ran = fixture.run(&["run", &option, "/bin/true"]).code(4);
            assert_stderr(
                &ran,
                &[
                    "timeout",
                    "a number of seconds or a time such as `5m`",
                    time,
                ],
            );
        }
        for time in ["90", "1.5", "2m", "1h 30m", "0"] {
            fixture
                .run(&["run", "--dry-run", option, time, "/bin/true"])
                .code(0);
        }
    }
}

#[test]
fn invalid_and_ambiguous_job_ids_are_refused() {
    let fixture = Fixture::new();
    for id in ["", "abc", &"g".repeat(40), &"a".repeat(41)] {
        let ran = fixture
            .run(&["run", "--force-job-id", id, "/bin/true"])
            .code(4);
        assert_stderr(&ran, &["--force-job-id", "40 hexadecimal digits"]);
    }
    fixture.assert_no_job();
    let id = "0123456789abcdef0123456789abcdef01234567";
    // Two jobs may have the same id; their directories differ.
    let mut directories = std::collections::BTreeSet::new();
    for _ in 0..2 {
        fixture
            .run(&["run", "--force-job-id", id, "/bin/true"])
            .code(0);
        let job = fixture.job();
        assert_eq!(job.read("id"), format!("{id}\n"));
        assert_eq!(job.results()["job_id"], id);
        assert!(directories.insert(job.0));
    }
    let ran = fixture
        .run(&["report", "0123456", "--format", "tap"])
        .code(4);
    assert_stderr(&ran, &["`0123456` is the beginning of the ids of 2 jobs"]);
}

#[test]
fn invalid_command_lines_are_refused() {
    let fixture = Fixture::new();
    for (args, part) in [
        (&["run"][..], "persea run"),
        (&["dance"], "dance"),
        (&["run", "--dance", "/bin/true"], "--dance"),
        (
            &["run", "--max-parallel-tasks", "some", "/bin/true"],
            "--max-parallel-tasks",
        ),
        (&["list"], "persea list"),
        (&["report", "latest"], "--format"),
    ] {
        let ran = fixture.run(args).code(4);
        assert_stderr(&ran, &[part, "--help"]);
    }
    fixture.assert_no_job();
}

#[test]
fn second_report_on_stdout_is_refused() {
    let fixture = Fixture::new();
    let ran = fixture
        .run(&["run", "--json", "-", "--tap", "-", "/bin/true"])
        .code(4);
    assert_stderr(&ran, &["standard output"]);
    fixture.assert_no_job();
}

#[test]
fn closed_stdout_does_not_end_the_job() {
    let fixture = Fixture::new();
    fixture.script("gate.sh", "until [ -s go ]; do sleep 0.01; done");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "./gate.sh",
        "/bin/true",
        "/bin/false",
    ];
    let mut child = fixture.persea(&args).spawn().unwrap();
    drop(child.stdout.take());
    fixture.file("go", "now");
    assert_eq!(wait(&mut child).code(), Some(1));
    assert_eq!(fixture.job().results()["total"], 3);
}

#[test]
fn full_stdout_does_not_end_the_job() {
    let fixture = Fixture::new();
    let mut command = fixture.persea(&["run", "/bin/false", "/bin/true"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    let code = wait(&mut child).code().unwrap();
    let stderr = rest(&mut child.stderr.take().unwrap());
    // A failed test (1), and output that was not written (2).
    assert_eq!(code, 3, "{stderr}");
    let why = "cannot write to the standard output: No space left on device (os error 28)";
    assert_eq!(stderr.trim().trim_start_matches("x "), why);
    let results = fixture.job().results();
    assert_eq!(
        (&results["pass"], &results["failures"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn missing_working_directory_is_named() {
    let fixture = Fixture::new();
    let gone = fixture.project().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let wrapper = ["sh", "-c", "rmdir ../gone && exec \"$@\"", "sh"];
    let mut command = fixture.persea_below(&wrapper, &["run", "/bin/true"]);
    let ran = finish(command.current_dir(&gone).spawn().unwrap()).code(4);
    let why = "cannot find the working directory, to which references are relative: No such file \
               or directory (os error 2)";
    assert_eq!(ran.stderr.trim().trim_start_matches("x "), why);
}

#[test]
fn file_name_that_is_not_utf8_is_reported() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new();
    fixture.script("tests/good.sh", "true");
    let name = std::ffi::OsStr::from_bytes(b"tests/odd-\xff-name.sh");
    let path = fixture.project().join(name);
    std::fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = fixture.run(&["list", "tests"]).code(0);
    assert_eq!(ran.stdout, "exec-test tests/good.sh\n");
    let warning = "warning: tests/odd-\u{fffd}-name.sh: left out: its name is not UTF-8 text\n";
    assert_eq!(ran.stderr, warning);
}

//! Wrong input of every sort: each says what is wrong, where, and the way out, and has its exit code.

use std::process::Command;

use crate::support::{Sandbox, assert_stderr, finish, rest, skip, wait_until};

#[test]
fn unresolved_reference_is_an_error() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["run", "nope.sh", "/bin/true"]).code(2);
    assert_stderr(
        &ran,
        &[
            "No tests found for given test references: nope.sh\n",
            "persea list nope.sh",
            "--ignore-missing-references",
        ],
    );
    sandbox.assert_no_job();
    // The way out that it names.
    let ran = sandbox.run(&["list", "nope.sh"]).code(2);
    assert!(ran.stdout.starts_with("MISSING nope.sh\n"), "{ran}");
    assert!(
        ran.stdout
            .contains("\n    exec-test: nope.sh does not exist\n"),
        "{ran}"
    );
    // The other.
    let args = ["run", "--ignore-missing-references", "nope.sh", "/bin/true"];
    sandbox.run(&args).code(0);
    assert_eq!(sandbox.job().results()["total"], 1);
    // But not a job of nothing.
    let ran = sandbox
        .run(&["run", "--ignore-missing-references", "nope.sh"])
        .code(2);
    assert_stderr(
        &ran,
        &["No test references provided nor any other arguments resolved into tests"],
    );
}

#[test]
fn file_that_is_no_test_is_explained() {
    let sandbox = Sandbox::new();
    sandbox.file("notes.txt", "to do\n");
    let ran = sandbox.run(&["list", "notes.txt"]).code(2);
    assert!(
        ran.stdout
            .contains("notes.txt is not executable; if it is a test, `chmod +x` makes it one"),
        "{ran}"
    );
    std::fs::create_dir(sandbox.project().join("empty")).unwrap();
    let ran = sandbox.run(&["run", "empty"]).code(2);
    assert_stderr(&ran, &["No tests found for given test references: empty\n"]);
}

#[test]
fn unreadable_file_is_explained() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("round.json", sandbox.project().join("round.json")).unwrap();
    let ran = sandbox.run(&["list", "round.json"]).code(2);
    assert!(
        ran.stdout
            .contains("round.json: Too many levels of symbolic links"),
        "{ran}"
    );
    sandbox.run(&["run", "round.json"]).code(2);
    sandbox.assert_no_job();
}

#[test]
fn kind_without_a_runner_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "r.json",
        r#"[{"kind": "robot", "uri": "arm"}, {"kind": "noop"}]"#,
    );
    sandbox.run(&["run", "r.json"]).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("arm"), "ERROR");
    assert_eq!(
        job.reason("arm"),
        "no runner for kind `robot`: add a plugin that runs it with `persea plugin add FILE`; `persea plugin list` shows those there are"
    );
    assert_eq!(job.status("noop"), "PASS");
}

#[test]
fn syntax_error_in_a_recipe_has_line_and_column() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "r.json",
        "[\n  {\"kind\": \"noop\"},\n  {\"kind\": \"noop\",}\n]\n",
    );
    let ran = sandbox.run(&["run", "r.json"]).code(2);
    assert_stderr(
        &ran,
        &[
            "Reference r.json might be resolved by recipe resolver, but the file is corrupted: r.json:3:19: ",
        ],
    );
    sandbox.assert_no_job();
}

#[test]
fn unknown_key_in_a_recipe_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "r.json",
        r#"[{"kind": "noop"}, {"kind": "noop", "uri": "a", "colour": "red"}]"#,
    );
    let ran = sandbox.run(&["run", "r.json"]).code(2);
    assert_stderr(&ran, &["r.json: [1].colour", "recipe"]);
    let ran = sandbox.run(&["list", "--json", "r.json"]).code(2);
    let line: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(line["reference"], "r.json");
    assert!(
        line["corrupt"].as_str().unwrap().contains("colour"),
        "{ran}"
    );
}

#[test]
fn unwritable_results_directory_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("taken", "a file");
    for (place, why) in [
        ("taken", ""),
        ("taken/below", "Not a directory"),
        ("/proc/nope", "No such file or directory"),
    ] {
        let ran = sandbox
            .run(&["run", "--results-dir", place, "/bin/true"])
            .code(2);
        assert_stderr(
            &ran,
            &["cannot write results to ", place, why, "--results-dir DIR"],
        );
    }
    assert_eq!(
        std::fs::read_to_string(sandbox.project().join("taken")).unwrap(),
        "a file"
    );
    let ran = sandbox
        .run(&["run", "--json", "taken/out.json", "/bin/true"])
        .code(2);
    assert_stderr(&ran, &["taken/out.json", "Not a directory"]);
}

/// A command with a mount namespace of its own, where this user may have one.
fn own_mounts() -> Option<Vec<&'static str>> {
    let ways = [["unshare", "-m"], ["unshare", "-rm"]];
    let way = ways.into_iter().find(|way| {
        let mount = "mount -t tmpfs -o size=64k none /mnt";
        let tried = Command::new(way[0])
            .args([way[1], "sh", "-c", mount])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    });
    way.map(Vec::from)
}

#[test]
fn full_disk_ends_the_job_with_an_error() {
    let Some(unshare) = own_mounts() else {
        return skip("this user may not mount anything");
    };
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.project().join("full")).unwrap();
    sandbox.script(
        "long.sh",
        "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &\necho here > started\nwhile :; do sleep 1; done",
    );
    sandbox.script(
        "fill.sh",
        "until [ -s started ]; do sleep 0.01; done; cat /dev/zero > full/zeroes; exit 0",
    );
    let mut runnables = vec![
        r#"{"kind": "exec-test", "uri": "./long.sh"}"#.to_owned(),
        r#"{"kind": "exec-test", "uri": "./fill.sh"}"#.to_owned(),
    ];
    runnables.extend((0..300).map(|n| format!(r#"{{"kind": "noop", "uri": "{n}"}}"#)));
    sandbox.file("r.json", format!("[{}]", runnables.join(",")));
    let script = "mount -t tmpfs -o size=512k none full && exec \"$@\"";
    let persea = sandbox.persea(&[
        "run",
        "--results-dir",
        "full",
        "--max-parallel-tasks",
        "2",
        "r.json",
    ]);
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).args(["sh", "-c", script, "sh"]);
    command.arg(persea.get_program()).args(persea.get_args());
    command.current_dir(sandbox.project());
    for (name, value) in persea.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null());
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let ran = finish(command.spawn().unwrap()).code(2);
    assert_stderr(&ran, &["No space left on device", "events.jsonl"]);
    sandbox.wait_for("started");
    assert!(ran.took < std::time::Duration::from_secs(20), "{ran}");
    sandbox.assert_no_strays();
}

#[test]
fn syntax_error_in_the_configuration_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "[run]\nfailfast = yes\n");
    let ran = sandbox.run(&["run", "/bin/true"]).code(4);
    assert_stderr(&ran, &["persea.toml:2:12: "]);
    sandbox.assert_no_job();
}

#[test]
fn setting_of_the_wrong_type_is_named_with_its_origin() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "run.max_parallel_tasks = 'many'\n");
    let ran = sandbox.run(&["run", "/bin/true"]).code(4);
    assert_stderr(
        &ran,
        &[
            "setting `run.max_parallel_tasks` from persea.toml: expected a whole number, found `\"many\"`",
        ],
    );
    sandbox.file("persea.toml", "");
    let mut command = sandbox.persea(&["run", "/bin/true"]);
    command.env("PERSEA_RUN__FAILFAST", "perhaps");
    let ran = finish(command.spawn().unwrap()).code(4);
    assert_stderr(
        &ran,
        &[
            "setting `run.failfast` from $PERSEA_RUN__FAILFAST: expected true, false or a whole number from 1",
        ],
    );
    for (set, part) in [
        ("run.max_parallel_tasks=-1", "expected a whole number"),
        ("run.failfast", "--set NAME=VALUE"),
        ("plugins.runner.order=greet", "expected a list of texts"),
    ] {
        let ran = sandbox.run(&["run", "--set", set, "/bin/true"]).code(4);
        assert_stderr(&ran, &[part]);
    }
    let ran = sandbox
        .run(&["run", "--config", "none.toml", "/bin/true"])
        .code(4);
    assert_stderr(&ran, &["none.toml", "No such file"]);
    sandbox.assert_no_job();
}

#[test]
fn unknown_setting_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "[run]\nmax_paralel_tasks = 3\n");
    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(
        ran.stderr,
        "warning: nothing knows the setting `run.max_paralel_tasks` from persea.toml; `persea config` shows all\n"
    );
}

#[test]
fn invalid_timeouts_are_refused() {
    let sandbox = Sandbox::new();
    for option in ["--task-timeout", "--job-timeout"] {
        for time in ["soon", "-3", "5 parsecs", "nan", "1e400"] {
            let with = format!("{option}={time}");
            let ran = sandbox.run(&["run", &with, "/bin/true"]).code(4);
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
            sandbox
                .run(&["run", "--dry-run", option, time, "/bin/true"])
                .code(0);
        }
    }
}

#[test]
fn invalid_and_ambiguous_job_ids_are_refused() {
    let sandbox = Sandbox::new();
    for id in ["", "abc", &"g".repeat(40), &"a".repeat(41)] {
        let ran = sandbox
            .run(&["run", "--force-job-id", id, "/bin/true"])
            .code(4);
        assert_stderr(&ran, &["--force-job-id", "40 hexadecimal digits"]);
    }
    sandbox.assert_no_job();
    let id = "0123456789abcdef0123456789abcdef01234567";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        sandbox
            .run(&["run", "--force-job-id", id, "/bin/true"])
            .code(0);
        let job = sandbox.job();
        assert_eq!(job.read("id"), format!("{id}\n"));
        assert_eq!(job.results()["job_id"], id);
        assert!(seen.insert(job.0));
    }
    // Which of the two is meant is not guessed.
    let ran = sandbox
        .run(&["report", "0123456", "--format", "tap"])
        .code(4);
    assert_stderr(&ran, &["`0123456` is the beginning of the ids of 2 jobs"]);
}

#[test]
fn invalid_command_lines_are_refused() {
    let sandbox = Sandbox::new();
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
        let ran = sandbox.run(args).code(4);
        assert_stderr(&ran, &[part, "--help"]);
    }
    sandbox.assert_no_job();
}

#[test]
fn second_report_on_stdout_is_refused() {
    let sandbox = Sandbox::new();
    let ran = sandbox
        .run(&["run", "--json", "-", "--tap", "-", "/bin/true"])
        .code(4);
    assert_stderr(&ran, &["standard output"]);
    sandbox.assert_no_job();
}

#[test]
fn closed_stdout_does_not_end_the_job() {
    let sandbox = Sandbox::new();
    sandbox.script("gate.sh", "until [ -s go ]; do sleep 0.01; done");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "./gate.sh",
        "/bin/true",
        "/bin/false",
    ];
    let mut child = sandbox.persea(&args).spawn().unwrap();
    drop(child.stdout.take());
    sandbox.file("go", "now");
    let status = wait_until("the end", || {
        child.try_wait().unwrap().ok_or_else(String::new)
    });
    assert_eq!(status.code(), Some(1));
    assert_eq!(sandbox.job().results()["total"], 3);
}

#[test]
fn full_stdout_does_not_end_the_job() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.persea(&["run", "/bin/false", "/bin/true"]);
    // The harness takes what there is of a standard output; here there is none.
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    let status = wait_until("the end", || {
        child.try_wait().unwrap().ok_or_else(String::new)
    });
    let said = rest(&mut child.stderr.take().unwrap());
    assert!(!said.contains("panicked"), "{said}");
    let code = status.code().unwrap();
    assert_eq!(
        code & 1,
        1,
        "exit {code}: a test failed, whoever listens: {said}"
    );
    assert_eq!(sandbox.job().results()["total"], 2);
}

#[test]
fn missing_working_directory_is_named() {
    let sandbox = Sandbox::new();
    let gone = sandbox.project().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let persea = sandbox.persea(&["run", "/bin/true"]);
    let mut command = Command::new("sh");
    command.args(["-c", "rmdir ../gone && exec \"$@\"", "sh"]);
    command.arg(persea.get_program()).args(persea.get_args());
    command
        .current_dir(&gone)
        .env("HOME", sandbox.root().join("home"));
    command.stdin(std::process::Stdio::null());
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let ran = finish(command.spawn().unwrap()).code(4);
    assert_stderr(&ran, &["directory"]);
    let bare = ran.stderr.replace("No such file or directory", "");
    assert!(bare.contains("directory"), "which one? {ran}");
}

#[test]
fn file_name_that_is_not_utf8_is_reported() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.script("tests/good.sh", "true");
    let name = std::ffi::OsStr::from_bytes(b"tests/odd-\xff-name.sh");
    let path = sandbox.project().join(name);
    std::fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = sandbox.run(&["list", "tests"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("odd-") && said.contains("-name.sh"), "{ran}");
}

//! Owns scarce resources of the system: processes, threads, descriptors, address space, file sizes,
//! the temporary directory. The job ends with its reports where it can, and the error names what is
//! missing.

use std::process::Stdio;

use serde_json::Value;

use crate::support::plugins::install;
use crate::support::recipes::{noop, programs, shell};
use crate::support::users::User;
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, skip, wait_until};

/// Runs the binary below a shell that sets a limit with `ulimit`.
fn limited(fixture: &Fixture, limit: &str, args: &[&str]) -> Ran {
    let script = format!("{limit} || exit 99; exec \"$@\"");
    let mut command = fixture.persea_below(&["sh", "-c", &script, "sh"], args);
    finish(command.spawn().unwrap())
}

#[track_caller]
fn assert_no_panic(ran: &Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        !all.contains("panicked") && !all.contains("RUST_BACKTRACE"),
        "{ran}"
    );
}

/// The names of the host's directories for temporary files.
fn temporary(fixture: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(fixture.root()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("persea-")).collect()
}

#[test]
fn job_with_few_processes_ends_with_its_reports() {
    let fixture = Fixture::new();
    let tests = (0..6).map(|number| shell(&number.to_string(), "/bin/true; exit 0"));
    fixture.recipe("job.json", &tests.collect::<Vec<_>>());
    let Some(user) = User::of(&fixture) else {
        return skip("only root can run the host as a user without other processes");
    };
    let args = ["run", "--max-parallel-tasks", "4", "job.json"];
    let mut complete: Vec<u32> = Vec::new();
    finish(user.persea(&fixture, &[], &args).spawn().unwrap()).code(0);
    for limit in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 17, 24] {
        let option = format!("--nproc={limit}");
        if limit == 6 {
            // The compiler of components starts threads too.
            let _ = std::fs::remove_dir_all(fixture.root().join("cache"));
        }
        let _ = std::fs::remove_dir_all(fixture.root().join("home/persea"));
        let ran = finish(
            user.persea(&fixture, &["prlimit", &option], &args)
                .spawn()
                .unwrap(),
        );
        assert_no_panic(&ran);
        if !fixture
            .root()
            .join("home/persea/job-results/latest")
            .exists()
        {
            // The host ends before the job, or as the job is about to begin.
            let (code, cause) = match ran.stderr.contains("thread of the display") {
                true => (2, "Resource temporarily unavailable"),
                false => (4, "ulimit -u"),
            };
            assert_eq!(ran.code, Some(code), "{limit}: {ran}");
            assert!(ran.stderr.contains(cause), "{limit}: {ran}");
            assert!(complete.is_empty(), "{limit}: {ran}");
            continue;
        }
        let job = fixture.job();
        assert!(job.0.join("results.xml").exists(), "{limit}: {ran}");
        let results = job.results();
        assert_eq!(results["total"], 6, "{limit}: {ran}");
        let passed = results["pass"].as_u64().unwrap();
        let code = if passed == 6 { 0 } else { 1 };
        assert_eq!(ran.code, Some(code), "{limit}: {ran}");
        if passed == 6 {
            complete.push(limit);
        }
    }
    assert_eq!(complete.last(), Some(&24), "24 processes are enough");
    assert!(!complete.contains(&9), "9 processes are too few");
    fixture.assert_no_strays();
}

#[test]
fn file_size_limit_is_an_error_of_the_file() {
    let fixture = Fixture::new();
    let tests: Vec<Value> = (0..200).map(|number| noop(&number.to_string())).collect();
    fixture.recipe("job.json", &tests);
    let ran = limited(&fixture, "ulimit -f 8", &["run", "job.json"]);
    // An exit code means that SIGXFSZ has not killed the host, which ignores it.
    let ran = ran.code(2);
    assert_stderr(&ran, &["File too large", "ulimit -f"]);
    assert_no_panic(&ran);
    // Tests do not inherit that the signal is ignored.
    let test = shell("x", "grep SigIgn /proc/self/status");
    fixture.recipe("one.json", &[test]);
    fixture.run(&["run", "one.json"]).code(0);
    let ignored = fixture.job().artifact("x", "stdout");
    assert_eq!(ignored.split_whitespace().nth(1), Some("0000000000000000"));
}

#[test]
fn job_runs_with_limited_address_space() {
    let fixture = Fixture::new();
    fixture.file(
        "t.py",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        pass\n",
    );
    for gibibytes in [2, 4, 16] {
        let limit = format!("ulimit -v {}", gibibytes << 20);
        let ran = limited(&fixture, &limit, &["run", "/bin/true", "t.py"]).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let job = fixture.job();
        assert_eq!(job.results()["pass"], 2);
        assert!(job.read("results.xml").contains("</testsuite>"));
    }
}

#[test]
fn descriptor_limit_is_named_in_the_error() {
    let fixture = Fixture::new();
    for limit in [6, 10, 16, 30] {
        let ulimit = format!("ulimit -n {limit}");
        let ran = limited(&fixture, &ulimit, &["run", "/bin/true"]).code(4);
        let error = format!("too many open files: the limit is {limit} (`ulimit -n`)");
        assert_stderr(&ran, &[&error]);
    }
    limited(
        &fixture,
        "ulimit -n 64",
        &["run", "--max-parallel-tasks", "1", "/bin/true"],
    )
    .code(0);
}

#[test]
fn missing_tmpdir_is_named_in_the_error() {
    let fixture = Fixture::new();
    for spawner in ["process", "sandbox"] {
        let args = ["run", "--spawner", spawner, "/bin/true"];
        let ran = fixture.run_with(&args, |command| command.env("TMPDIR", "/no/such"));
        let error = "temporary files in /no/such: No such file";
        assert_stderr(&ran.code(4), &[error, "TMPDIR"]);
    }
}

#[test]
fn unusable_shebang_is_explained_in_the_reason() {
    let fixture = Fixture::new();
    let make_executable = |path: std::path::PathBuf| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    make_executable(fixture.file("crlf.sh", "#!/bin/sh\r\nexit 0\r\n"));
    make_executable(fixture.file("lost.sh", "#!/no/such/shell\nexit 0\n"));
    make_executable(fixture.file("crlf.t", "#!/bin/sh\r\necho ok 1\r\n"));
    fixture
        .run(&["run", "./crlf.sh", "./lost.sh", "./crlf.t"])
        .code(1);
    let job = fixture.job();
    for name in ["./crlf.sh", "./crlf.t"] {
        let reason = job.reason(name);
        assert!(reason.contains("carriage return"), "{reason}");
        assert!(reason.contains(r#""/bin/sh\r""#), "{reason}");
    }
    let reason = job.reason("./lost.sh");
    assert!(
        reason.contains("/no/such/shell, does not exist"),
        "{reason}"
    );
}

#[test]
fn host_killed_while_it_makes_a_sandbox_leaves_no_process() {
    let fixture = Fixture::new();
    // A wrapper stops the host before it executes bubblewrap, which then waits for the host.
    let pid = fixture.root().join("host");
    let script = "until [ -s HOST ]; do sleep 0.01; done
                  kill -STOP $(cat HOST); PATH=${PATH#*:}; exec bwrap \"$@\"";
    let script = script.replace("HOST", pid.to_str().unwrap());
    let bwrap = fixture.script("bin/bwrap", &script);
    let directory = bwrap.parent().unwrap().display();
    let path = format!("{directory}:{}", std::env::var("PATH").unwrap());
    for _ in 0..2 {
        let _ = std::fs::remove_file(&pid);
        let mut host = fixture
            .persea(&["run", "--spawner", "sandbox", "/bin/true"])
            .env("PATH", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::fs::write(&pid, host.id().to_string()).unwrap();
        wait_until("the host is stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", host.id())).unwrap();
            match stat
                .rsplit(')')
                .next()
                .unwrap()
                .trim_start()
                .starts_with('T')
            {
                true => Ok(()),
                false => Err(stat),
            }
        });
        signal(host.id(), "KILL");
        host.wait().unwrap();
    }
    fixture.assert_no_strays();
    // A killed host leaves its directory, which the next host removes.
    assert!(!temporary(&fixture).is_empty());
    fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(temporary(&fixture), [""; 0]);
}

#[test]
fn temporary_directory_of_a_live_host_is_kept() {
    let fixture = Fixture::new();
    let wait = fixture.script(
        "wait",
        "touch started; until [ -e go ]; do sleep 0.01; done",
    );
    let long = fixture
        .persea(&["run", wait.to_str().unwrap()])
        .spawn()
        .unwrap();
    fixture.wait_for_existence("started");
    let directory = temporary(&fixture);
    assert_eq!(directory.len(), 1);
    fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(temporary(&fixture), directory);
    fixture.file("go", "");
    finish(long).code(0);
    assert_eq!(temporary(&fixture), [""; 0]);
}

#[test]
fn job_whose_directory_is_removed_or_renamed_ends_with_an_error_that_names_it() {
    let acts = ["rm -rf $JOB", "mv $JOB $JOB.aside"];
    for (act, after) in acts.into_iter().flat_map(|act| [(act, 0), (act, 20)]) {
        let fixture = Fixture::new();
        let script =
            format!("JOB=${{AVOCADO_TEST_OUTPUTDIR%/test-results/*}}; echo $JOB > job; {act}");
        fixture.script("act.sh", &script);
        let mut tests = programs(&["./act.sh"]);
        let next = shell("next", "exit 0");
        tests.extend(std::iter::repeat_n(next, after));
        fixture.recipe("job.json", &tests);
        let args = ["run", "--max-parallel-tasks", "1", "job.json"];
        let ran = fixture.run(&args).code(2);
        let job = fixture.wait_for("job");
        let expected = format!("the job's directory {} is gone", job.trim_end());
        assert!(ran.stderr.contains(&expected), "{ran}");
        // Another cause would send the user to the shell, which is where it was.
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("[Errno 2]"), "{ran}");
        assert_no_panic(&ran);
        fixture.assert_no_strays();
    }
}

#[test]
fn signal_before_the_first_test_leaves_no_temporary_directory() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler"]);
    let settings = [
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=never-begins",
    ];
    let args = [
        &["run", "--plugin-dir", "plugins", "/bin/true"],
        &settings[..],
    ]
    .concat();
    for name in ["INT", "TERM", "HUP"] {
        let host = fixture.persea(&args).spawn().unwrap();
        wait_until("the host has a temporary directory", || {
            match temporary(&fixture).is_empty() {
                true => Err("none yet".to_owned()),
                false => Ok(()),
            }
        });
        signal(host.id(), name);
        let ran = finish(host).code(8);
        let said = "interrupted before the first test";
        assert!(ran.stderr.contains(said), "{ran}");
        assert_eq!(temporary(&fixture), [""; 0]);
    }
    fixture.assert_no_strays();
}

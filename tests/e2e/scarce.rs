//! What the system does not give: processes, threads, descriptors, addresses, room in files, a directory. The job ends with its
//! reports where it can, and the message names what is missing.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::users::User;
use crate::support::{Ran, Sandbox, finish, signal, wait_until};

/// The binary below a shell that has set a limit.
fn limited(sandbox: &Sandbox, limit: &str, args: &[&str]) -> Ran {
    let as_given = sandbox.persea(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limit} || exit 99; exec \"$@\""), "sh"])
        .arg(as_given.get_program())
        .args(as_given.get_args());
    sandbox.equip(&mut command);
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

#[test]
fn job_with_few_processes_ends_with_its_reports() {
    let sandbox = Sandbox::new();
    let tests: Vec<_> = (0..6)
        .map(|number| {
            let args = ["-c", "/bin/true; exit 0"];
            json!({"kind": "exec-test", "uri": "/bin/sh", "args": args, "identifier": number.to_string()})
        })
        .collect();
    sandbox.file("job.json", json!(tests).to_string());
    let Some(user) = User::of(&sandbox) else {
        // Processes of the tests' own user would count.
        return;
    };
    let args = ["run", "--max-parallel-tasks", "4", "job.json"];
    let mut complete = 0;
    finish(user.persea(&sandbox, &[], &args).spawn().unwrap()).code(0);
    for most in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 17, 24] {
        let limit = format!("--nproc={most}");
        if most == 6 {
            // Compiling takes threads, too.
            let _ = std::fs::remove_dir_all(sandbox.root().join("cache"));
        }
        let _ = std::fs::remove_dir_all(sandbox.root().join("home/persea"));
        let ran = finish(
            user.persea(&sandbox, &["prlimit", &limit], &args)
                .spawn()
                .unwrap(),
        );
        assert_no_panic(&ran);
        if !sandbox
            .root()
            .join("home/persea/job-results/latest")
            .exists()
        {
            assert!(ran.code.is_some_and(|code| code & 6 != 0), "{most}: {ran}");
            let named = ["ulimit -u", "Resource temporarily unavailable"];
            assert!(
                named.iter().any(|text| ran.stderr.contains(text)),
                "{most}: {ran}"
            );
            continue;
        }
        let job = sandbox.job();
        assert!(job.0.join("results.xml").exists(), "{most}: {ran}");
        let results = job.results();
        assert_eq!(results["total"], 6, "{most}: {ran}");
        let passed = results["pass"].as_u64().unwrap();
        assert_eq!(ran.code == Some(0), passed == 6, "{most}: {ran}");
        complete += u32::from(passed == 6);
    }
    assert!(complete > 0, "24 processes are enough");
    sandbox.assert_no_strays();
}

#[test]
fn file_size_limit_is_an_error_of_the_file() {
    let sandbox = Sandbox::new();
    let tests: Vec<_> = (0..200)
        .map(|number| json!({"kind": "noop", "uri": number.to_string()}))
        .collect();
    sandbox.file("job.json", json!(tests).to_string());
    let ran = limited(&sandbox, "ulimit -f 8", &["run", "job.json"]);
    // No signal has ended it.
    let ran = ran.code(2);
    assert!(ran.stderr.contains("File too large"), "{ran}");
    assert!(ran.stderr.contains("ulimit -f"), "{ran}");
    assert_no_panic(&ran);
    // What it starts can be ended by that signal as ever.
    let test = json!([{"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "grep SigIgn /proc/self/status"], "identifier": "x"}]);
    sandbox.file("one.json", test.to_string());
    sandbox.run(&["run", "one.json"]).code(0);
    let said = sandbox.job().artifact("x", "stdout");
    assert_eq!(said.split_whitespace().nth(1), Some("0000000000000000"));
}

#[test]
fn job_runs_with_limited_address_space() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "t.py",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        pass\n",
    );
    for gibibytes in [2, 4, 16] {
        let limit = format!("ulimit -v {}", gibibytes << 20);
        let ran = limited(&sandbox, &limit, &["run", "/bin/true", "t.py"]).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let job = sandbox.job();
        assert_eq!(job.results()["pass"], 2);
        assert!(job.read("results.xml").contains("</testsuite>"));
    }
}

#[test]
fn descriptor_limit_is_named_in_the_error() {
    let sandbox = Sandbox::new();
    for most in [6, 10, 16, 30] {
        let limit = format!("ulimit -n {most}");
        let ran = limited(&sandbox, &limit, &["run", "/bin/true"]).code(4);
        assert!(
            ran.stderr.contains(&format!(
                "too many open files: the limit is {most} (`ulimit -n`)"
            )),
            "{ran}"
        );
    }
    limited(
        &sandbox,
        "ulimit -n 64",
        &["run", "--max-parallel-tasks", "1", "/bin/true"],
    )
    .code(0);
}

#[test]
fn missing_tmpdir_is_named_in_the_error() {
    let sandbox = Sandbox::new();
    for spawner in ["process", "sandbox"] {
        let mut command = sandbox.persea(&["run", "--spawner", spawner, "/bin/true"]);
        let ran = finish(command.env("TMPDIR", "/no/such").spawn().unwrap()).code(4);
        assert!(
            ran.stderr
                .contains("temporary files in /no/such: No such file"),
            "{ran}"
        );
        assert!(ran.stderr.contains("TMPDIR"), "{ran}");
    }
}

#[test]
fn unusable_shebang_is_explained_in_the_reason() {
    let sandbox = Sandbox::new();
    let runnable = |path: std::path::PathBuf| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    runnable(sandbox.file("crlf.sh", "#!/bin/sh\r\nexit 0\r\n"));
    runnable(sandbox.file("lost.sh", "#!/no/such/shell\nexit 0\n"));
    runnable(sandbox.file("crlf.t", "#!/bin/sh\r\necho ok 1\r\n"));
    sandbox
        .run(&["run", "./crlf.sh", "./lost.sh", "./crlf.t"])
        .code(1);
    let job = sandbox.job();
    for name in ["./crlf.sh", "./crlf.t"] {
        let reason = job.reason(name);
        assert!(reason.contains("carriage return"), "{reason}");
        assert!(reason.contains(r#""/bin/sh\r""#), "{reason}");
    }
    let reason = job.reason("./lost.sh");
    assert!(reason.contains("/no/such/shell, is not there"), "{reason}");
}

#[test]
fn host_killed_while_it_makes_a_sandbox_leaves_no_process() {
    let sandbox = Sandbox::new();
    // It stops the host, whose answer bubblewrap then waits for.
    let pid = sandbox.root().join("host");
    let script = "until [ -s HOST ]; do sleep 0.01; done; kill -STOP $(cat HOST); PATH=${PATH#*:}; exec bwrap \"$@\"";
    let script = script.replace("HOST", pid.to_str().unwrap());
    let bwrap = sandbox.script("bin/bwrap", &script);
    let own = bwrap.parent().unwrap().display();
    let path = format!("{own}:{}", std::env::var("PATH").unwrap());
    for _ in 0..2 {
        let _ = std::fs::remove_file(&pid);
        let mut host = sandbox
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
    sandbox.assert_no_strays();
    let left = || {
        let entries = std::fs::read_dir(sandbox.root()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with("persea-"))
            .collect::<Vec<_>>()
    };
    // The second has removed what the first has left, if it came so far.
    assert!(!left().is_empty());
    sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(left(), [""; 0]);
}

#[test]
fn temporary_directory_of_a_live_host_is_kept() {
    let sandbox = Sandbox::new();
    let wait = sandbox.script(
        "wait",
        "touch started; until [ -e go ]; do sleep 0.01; done",
    );
    let long = sandbox
        .persea(&["run", wait.to_str().unwrap()])
        .spawn()
        .unwrap();
    wait_until("the test has started", || {
        sandbox
            .project()
            .join("started")
            .metadata()
            .map_err(|error| error.to_string())
    });
    sandbox.run(&["run", "/bin/true"]).code(0);
    sandbox.file("go", "");
    finish(long).code(0);
}

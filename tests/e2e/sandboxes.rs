//! Tests in sandboxes: what they do stays there, what they need is met once for all that need the same, and nothing is left behind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::support::{Sandbox, finish, signal, skip, wait_until};

/// A test that is a line for the shell.
fn test(name: &str, script: &str) -> Value {
    json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", script], "identifier": name})
}

/// The same, with what it needs: files that are made in the project, one after the other.
fn needing(name: &str, files: &[&str], script: &str) -> Value {
    let mut test = test(name, script);
    let requirements: Vec<Value> = files.iter().map(|file| making(file, "job")).collect();
    test["kwargs"]["dependencies"] = json!(requirements);
    test
}

fn making(file: &str, scope: &str) -> Value {
    let setup = format!("echo made >>{file}");
    json!({"type": "command", "label": file, "scope": scope, "setup": setup, "teardown": "false"})
}

fn run(sandbox: &Sandbox, tests: &[Value], slots: &str, code: i32) {
    sandbox.file("job.json", json!(tests).to_string());
    let ran = sandbox.run(&[
        "run",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        slots,
        "job.json",
    ]);
    assert_eq!(ran.stderr, "", "{ran}");
    ran.code(code);
}

/// Of all events of a kind, this member of their data.
fn told(sandbox: &Sandbox, kind: &str, pointer: &str) -> Vec<Value> {
    let events = sandbox.job().events();
    let all = events.iter().filter(|event| event["event"] == kind);
    all.map(|event| event["data"].pointer(pointer).cloned().unwrap_or_default())
        .collect()
}

#[test]
fn sandbox_discards_writes_and_keeps_output_files() {
    let sandbox = Sandbox::new();
    sandbox.file("kept", "kept");
    let script = "rm kept && touch new /etc/new && echo out && echo left >$AVOCADO_TEST_OUTPUTDIR/left && echo $AVOCADO_TEST_WORKDIR && touch $AVOCADO_TEST_WORKDIR/x";
    let workdir = "test -d $AVOCADO_TEST_WORKDIR && test -z \"$(ls $AVOCADO_TEST_WORKDIR)\"";
    run(&sandbox, &[test("a", script), test("b", workdir)], "1", 0);
    let names: Vec<_> = std::fs::read_dir(sandbox.project())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!std::path::Path::new("/etc/new").exists());
    let job = sandbox.job();
    assert!(job.artifact("a", "stdout").starts_with("out\n"));
    assert_eq!(job.artifact("a", "left"), "left\n");
    let spawners = told(&sandbox, "task-started", "/environment/spawner");
    assert_eq!(spawners, ["sandbox", "sandbox"]);
    sandbox.assert_no_strays();
}

#[test]
fn snapshot_is_shared_by_tests_with_the_same_requirements() {
    let sandbox = Sandbox::new();
    let mut tests = Vec::new();
    for n in 0..10 {
        let sees = |files: &str| format!("test \"$(echo $(cat a b c 2>/dev/null))\" = '{files}'");
        tests.push(needing(&format!("a{n}"), &["a"], &sees("made")));
        tests.push(test(&format!("n{n}"), &sees("")));
        tests.push(needing(&format!("ab{n}"), &["a", "b"], &sees("made made")));
        tests.push(needing(&format!("c{n}"), &["c"], &sees("made")));
    }
    run(&sandbox, &tests, "1", 0);
    let mut met = told(&sandbox, "requirement-finished", "/snapshot");
    met.sort_by_key(Value::to_string);
    assert_eq!(met, ["1-command-a", "2-command-b", "3-command-c"]);
    assert!(told(&sandbox, "requirement-released", "").is_empty());
    // In the order in which the fewest states are needed, each once.
    let mut states = told(&sandbox, "task-started", "/environment/snapshot");
    assert_eq!(states.len(), 40);
    states.dedup();
    assert_eq!(states.len(), 4, "{states:?}");
    assert_eq!(told(&sandbox, "job-finished", "/switches"), [3]);
    assert!(!sandbox.project().join("a").exists());
}

#[test]
fn requirement_already_present_makes_no_snapshot() {
    let sandbox = Sandbox::new();
    sandbox.file("here", "");
    let mut here = test("here", "true");
    here["kwargs"]["dependencies"] = json!([{"type": "file", "uri": "here"}, making("a", "job")]);
    run(&sandbox, &[here, test("plain", "true")], "1", 0);
    let states = told(&sandbox, "requirement-finished", "/state");
    assert_eq!(states, ["present", "fulfilled"]);
    let snapshots = told(&sandbox, "requirement-finished", "/snapshot");
    assert_eq!(snapshots, [Value::Null, "2-command-a".into()]);
}

#[test]
fn task_scoped_requirement_is_reset_for_each_test() {
    let sandbox = Sandbox::new();
    let mut tests = vec![test("before", "true")];
    for name in ["one", "two", "three"] {
        let mut test = test(
            name,
            "test \"$(cat own)\" = made && test ! -e spoiled && touch spoiled",
        );
        test["kwargs"]["dependencies"] = json!([making("own", "task")]);
        tests.push(test);
    }
    run(&sandbox, &tests, "1", 0);
    assert_eq!(told(&sandbox, "requirement-finished", "/state").len(), 1);
    assert_eq!(told(&sandbox, "job-finished", "/switches"), [3]);
}

#[test]
fn fresh_setting_gives_each_test_its_own_sandbox() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "[spawner.sandbox]\nfresh = true");
    let python =
        "import os, unittest\nclass T(unittest.TestCase):\n    def test(self): os.mkdir('mark')\n";
    sandbox.file("test_mark.py", python);
    let python = json!({"kind": "python-unittest", "uri": "test_mark.py:T.test"});
    let tests = (0..6).map(|n| test(&n.to_string(), "test ! -e mark && touch mark"));
    let tests: Vec<Value> = tests
        .chain([python.clone(), python.clone(), python])
        .collect();
    run(&sandbox, &tests, "2", 0);
}

#[test]
fn conflicting_versions_get_separate_sandboxes() {
    let sandbox = Sandbox::new();
    let token = |n: usize| {
        let mut test = needing(&n.to_string(), &[], "true");
        test["kwargs"]["dependencies"] = json!([{"type": "package", "name": "persea-no-such-package", "version": n.to_string(), "action": "check"}]);
        test
    };
    // Both are looked for: on this machine itself one of them would be refused beforehand.
    run(
        &sandbox,
        &[token(1), token(2), test("plain", "true")],
        "2",
        0,
    );
    assert_eq!(told(&sandbox, "requirement-started", "/id").len(), 2);
}

#[test]
fn unmet_requirement_cancels_only_dependent_tests() {
    let sandbox = Sandbox::new();
    let mut both = needing("both", &[], "true");
    let broken = json!({"type": "command", "label": "broken", "setup": "echo no luck >&2; false"});
    both["kwargs"]["dependencies"] = json!([broken, making("a", "job")]);
    run(
        &sandbox,
        &[
            both,
            needing("one", &["a"], "test -e a"),
            test("none", "true"),
        ],
        "2",
        0,
    );
    let job = sandbox.job();
    assert_eq!(job.status("both"), "CANCEL");
    assert!(
        job.reason("both").contains("no luck"),
        "{}",
        job.reason("both")
    );
    for name in ["one", "none"] {
        assert_eq!(job.status(name), "PASS");
    }
}

#[test]
fn test_that_kills_every_process_harms_no_other() {
    let sandbox = Sandbox::new();
    let mut tests: Vec<Value> = (0..8).map(|n| test(&n.to_string(), "true")).collect();
    tests.insert(4, test("killer", "kill -9 -1; kill -9 $PPID 1; true"));
    sandbox.file("job.json", json!(tests).to_string());
    let ran = sandbox.run(&[
        "run",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        "2",
        "job.json",
    ]);
    ran.code(0);
    let job = sandbox.job();
    // The helper is process 1 there, and outlives it.
    assert_eq!(job.status("killer"), "PASS");
    for n in 0..8 {
        assert_eq!(job.status(&n.to_string()), "PASS");
    }
    sandbox.assert_no_strays();
}

#[test]
fn timeout_kills_the_process_tree_in_a_sandbox() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.toml", "[task.timeout]\nrunning = 1");
    let script = "setsid sleep 1000 & trap '' TERM; sleep 1000; sleep 1000";
    run(
        &sandbox,
        &[test("long", script), test("short", "true")],
        "2",
        8,
    );
    assert_eq!(sandbox.job().status("long"), "INTERRUPTED");
    sandbox.assert_no_strays();
}

#[test]
fn killed_job_leaves_only_output_of_its_tests() {
    let sandbox = Sandbox::new();
    let shared = sandbox.root().join("home/persea/job-results");
    let script = "setsid sleep 1000 & echo on >$AVOCADO_TEST_OUTPUTDIR/on; sleep 1000";
    let tests = [needing("long", &["a"], script)];
    sandbox.file("job.json", json!(tests).to_string());
    let mut child = sandbox
        .persea(&["run", "--spawner", "sandbox", "job.json"])
        .spawn()
        .unwrap();
    // What it leaves is where its sandbox is as long as it runs, one directory for each.
    let on = wait_until("the test", || {
        let all = std::fs::read_dir(shared.join("latest/.running"));
        let all = all.map_err(|error| error.to_string())?.flatten();
        let mut on = all.map(|it| it.path().join("1-long/on"));
        on.find(|on| on.exists())
            .ok_or_else(|| "not yet".to_owned())
    });
    signal(child.id(), "KILL");
    child.wait().unwrap();
    sandbox.assert_no_strays();
    assert_eq!(std::fs::read_to_string(on).unwrap(), "on\n");
    wait_until("the layers are removed", || {
        let left: Vec<_> = std::fs::read_dir(sandbox.root())
            .unwrap()
            .flatten()
            .filter(|it| it.file_name().to_string_lossy().starts_with("persea-"))
            .flat_map(|it| std::fs::read_dir(it.path()).unwrap().flatten())
            .filter(|it| it.file_name() != "common" && it.file_name() != ".persea-host")
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    let released = sandbox.run(&["release"]).code(0);
    assert_eq!(released.stdout, "");
}

#[test]
fn test_that_replaces_its_directory_loses_only_its_own_results() {
    let sandbox = Sandbox::new();
    let spoil = "mv $AVOCADO_TEST_OUTPUTDIR ../gone; rm -rf ../gone $AVOCADO_TEST_OUTPUTDIR";
    let tests = [
        test(
            "removes",
            &format!("cd $AVOCADO_TEST_OUTPUTDIR/; {spoil}; true"),
        ),
        test("file", &format!("{spoil}; echo x >$AVOCADO_TEST_OUTPUTDIR")),
        test(
            "link",
            &format!("{spoil}; ln -s /etc $AVOCADO_TEST_OUTPUTDIR"),
        ),
        test("locks", "echo kept; chmod 0 $AVOCADO_TEST_OUTPUTDIR"),
        test("after", "echo after"),
    ];
    sandbox.file("job.json", json!(tests).to_string());
    let args = ["run", "--spawner", "sandbox", "--max-parallel-tasks", "1"];
    let ran = sandbox.run(&[&args[..], &["job.json"]].concat()).code(0);
    let job = sandbox.job();
    for lost in ["1-removes", "2-file", "3-link"] {
        assert!(
            ran.stderr.contains(&format!("test-results/{lost}: ")),
            "{ran}"
        );
        assert!(
            job.0
                .join("test-results")
                .join(lost)
                .symlink_metadata()
                .is_err()
        );
    }
    assert_eq!(job.artifact("locks", "stdout"), "kept\n");
    assert_eq!(job.artifact("after", "stdout"), "after\n");
    assert!(!job.0.join(".running").exists());
}

#[test]
fn output_files_of_batched_tests_reach_their_results() {
    let sandbox = Sandbox::new();
    let tests = ["a", "b"].map(|name| {
        format!("    def test_{name}(self):\n        open(os.environ['AVOCADO_TEST_OUTPUTDIR'] + '/left', 'w').write('{name}')\n")
    });
    let python = format!(
        "import os, unittest\nclass T(unittest.TestCase):\n{}",
        tests.concat()
    );
    sandbox.file("test_left.py", python);
    let tests = ["a", "b"].map(|name| {
        json!({"kind": "python-unittest", "uri": format!("test_left.py:T.test_{name}"), "identifier": name})
    });
    run(&sandbox, &tests, "1", 0);
    for name in ["a", "b"] {
        assert_eq!(sandbox.job().artifact(name, "left"), name);
    }
}

#[test]
fn requirement_logs_are_hidden_from_tests() {
    let sandbox = Sandbox::new();
    let requirement = json!({"type": "command", "label": "a", "setup": "echo it is made; touch a"});
    let script =
        "d=$AVOCADO_TEST_OUTPUTDIR/../../dependencies; test -e a && ! cat $d/1-command-a/stdout";
    let mut reads = test("reads", script);
    reads["kwargs"]["dependencies"] = json!([requirement]);
    run(&sandbox, &[reads], "1", 0);
    let job = sandbox.job();
    assert!(
        job.read("dependencies/1-command-a/stdout")
            .contains("it is made")
    );
}

#[test]
fn sandbox_has_no_network_unless_configured() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connects = json!({
        "kind": "exec-test", "uri": "/bin/bash", "identifier": "connects",
        "args": ["-c", format!("exec 3<>/dev/tcp/127.0.0.1/{port}")],
    });
    run(&sandbox, std::slice::from_ref(&connects), "1", 1);
    sandbox.file(
        "../home/.config/persea/config.toml",
        "[spawner.sandbox]\nnetwork = true",
    );
    run(&sandbox, &[connects], "1", 0);
}

#[test]
fn unix_sockets_of_the_machine_refuse_connections() {
    let sandbox = Sandbox::new();
    let _service = UnixListener::bind(sandbox.project().join("service")).unwrap();
    let script = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"service\")'";
    sandbox.file(
        "../home/.config/persea/config.toml",
        "[spawner.sandbox]\nnetwork = true",
    );
    run(&sandbox, &[test("connects", script)], "1", 1);
    sandbox.file("job.json", json!([test("connects", script)]).to_string());
    // On the machine itself it would.
    sandbox.run(&["run", "job.json"]).code(0);
}

#[test]
fn missing_bubblewrap_error_names_the_package() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.persea(&["run", "--spawner", "sandbox", "/bin/true"]);
    let ran = finish(command.env("PATH", sandbox.root()).spawn().unwrap()).code(2);
    assert!(ran.stderr.contains("apt-get install bubblewrap"), "{ran}");
    let ran = sandbox
        .run(&["run", "--spawner", "chroot", "/bin/true"])
        .code(4);
    assert!(ran.stderr.contains("`process` or `sandbox`"), "{ran}");
}

#[test]
fn sandbox_works_without_root() {
    let sandbox = Sandbox::new();
    let script = "test \"$(id -u)\" = 65534 && touch /usr/new && test -e a";
    let tests = [
        needing(
            "one",
            &["a"],
            "test -e a && echo x >b && echo kept && chmod 0 $AVOCADO_TEST_OUTPUTDIR",
        ),
        needing("two", &["a"], script),
    ];
    sandbox.file("job.json", json!(tests).to_string());
    let own = sandbox.root().join("persea");
    std::fs::copy(env!("CARGO_BIN_EXE_persea"), &own).unwrap();
    let chown = std::process::Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(sandbox.root())
        .status()
        .unwrap();
    if !chown.success() {
        return skip("this user is not root: all other tests here show the same");
    }
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(sandbox.root(), everybody).unwrap();
    let as_given = sandbox.persea(&[]);
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&own)
        .args(["run", "--spawner", "sandbox", "job.json"])
        .current_dir(sandbox.project())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    for (name, value) in as_given.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("XDG_CACHE_HOME", sandbox.root().join("cache"));
    finish(command.spawn().unwrap()).code(0);
    assert_eq!(sandbox.job().artifact("one", "stdout"), "kept\n");
    sandbox.assert_no_strays();
}

//! Owns the spawner `sandbox`: writes of tests are discarded, snapshots are shared by tests with
//! the same requirements, output reaches the results, nothing is left behind. `hostile::sandbox`
//! tries ways out of it.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use persea_model::SpawnerKind;

use crate::support::recipes::{python, requiring, shell, with};
use crate::support::users::User;
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, skip, wait_until};

/// A script that requires files, which are made in the project one after the other.
fn requiring_files(name: &str, files: &[&str], script: &str) -> Value {
    let requirements: Vec<Value> = files.iter().map(|file| making(file, "job")).collect();
    requiring(shell(name, script), &json!(requirements))
}

/// A requirement that makes a file. Its teardown fails, because a sandbox must never run it: the
/// file is discarded with the snapshot.
fn making(file: &str, scope: &str) -> Value {
    let setup = format!("echo made >>{file}");
    json!({"type": "command", "label": file, "scope": scope, "setup": setup, "teardown": "false"})
}

/// Runs tests in this number of sandboxes at once.
fn run_in_slots(fixture: &Fixture, tests: &[Value], slots: &str) -> Ran {
    fixture.recipe("job.json", tests);
    fixture.run(&[
        "run",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        slots,
        "job.json",
    ])
}

/// [`run_in_slots`] without any warning, and with this exit code.
#[track_caller]
fn run(fixture: &Fixture, tests: &[Value], slots: &str, code: i32) {
    let ran = run_in_slots(fixture, tests, slots);
    assert_eq!(ran.stderr, "", "{ran}");
    ran.code(code);
}

/// A member of the data of all events of a kind.
fn data_of(fixture: &Fixture, kind: &str, pointer: &str) -> Vec<Value> {
    let events = fixture.job().events_of(kind);
    let data = events.iter().map(|event| event["data"].pointer(pointer));
    data.map(|value| value.cloned().unwrap_or_default())
        .collect()
}

#[test]
fn sandbox_discards_writes_and_keeps_output_files() {
    let fixture = Fixture::new();
    fixture.file("kept", "kept");
    let writes = "rm kept && touch new /etc/new && echo out &&
                  echo left >$AVOCADO_TEST_OUTPUTDIR/left &&
                  echo $AVOCADO_TEST_WORKDIR && touch $AVOCADO_TEST_WORKDIR/x";
    let workdir = "test -d $AVOCADO_TEST_WORKDIR && test -z \"$(ls $AVOCADO_TEST_WORKDIR)\"";
    run(&fixture, &[shell("a", writes), shell("b", workdir)], "1", 0);
    let names: Vec<_> = std::fs::read_dir(fixture.project())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!std::path::Path::new("/etc/new").exists());
    let job = fixture.job();
    assert!(job.artifact("a", "stdout").starts_with("out\n"));
    assert_eq!(job.artifact("a", "left"), "left\n");
    let spawners = data_of(&fixture, "task-started", "/environment/spawner");
    assert_eq!(spawners, ["sandbox", "sandbox"]);
    fixture.assert_no_strays();
}

#[test]
fn snapshot_is_shared_by_tests_with_the_same_requirements() {
    let fixture = Fixture::new();
    let mut tests = Vec::new();
    for n in 0..10 {
        let sees = |files: &str| format!("test \"$(echo $(cat a b c 2>/dev/null))\" = '{files}'");
        tests.push(requiring_files(&format!("a{n}"), &["a"], &sees("made")));
        tests.push(shell(&format!("n{n}"), &sees("")));
        tests.push(requiring_files(
            &format!("ab{n}"),
            &["a", "b"],
            &sees("made made"),
        ));
        tests.push(requiring_files(&format!("c{n}"), &["c"], &sees("made")));
    }
    run(&fixture, &tests, "1", 0);
    let mut fulfilled = data_of(&fixture, "requirement-finished", "/snapshot");
    fulfilled.sort_by_key(Value::to_string);
    assert_eq!(fulfilled, ["1-command-a", "2-command-b", "3-command-c"]);
    assert!(data_of(&fixture, "requirement-released", "").is_empty());
    // The order of the tests needs each snapshot once: 3 switches between 4 states.
    let mut snapshots = data_of(&fixture, "task-started", "/environment/snapshot");
    assert_eq!(snapshots.len(), 40);
    snapshots.dedup();
    assert_eq!(snapshots.len(), 4, "{snapshots:?}");
    assert_eq!(data_of(&fixture, "job-finished", "/switches"), [3]);
    assert!(!fixture.project().join("a").exists());
}

#[test]
fn requirement_already_present_makes_no_snapshot() {
    let fixture = Fixture::new();
    fixture.file("here", "");
    let requirements = json!([{"type": "file", "uri": "here"}, making("a", "job")]);
    let here = requiring(shell("here", "true"), &requirements);
    run(&fixture, &[here, shell("plain", "true")], "1", 0);
    let states = data_of(&fixture, "requirement-finished", "/state");
    assert_eq!(states, ["present", "fulfilled"]);
    let snapshots = data_of(&fixture, "requirement-finished", "/snapshot");
    assert_eq!(snapshots, [Value::Null, "2-command-a".into()]);
}

#[test]
fn task_scoped_requirement_is_reset_for_each_test() {
    let fixture = Fixture::new();
    let mut tests = vec![shell("before", "true")];
    for name in ["one", "two", "three"] {
        let script = "test \"$(cat own)\" = made && test ! -e dirty && touch dirty";
        let requirements = json!([making("own", "task")]);
        tests.push(requiring(shell(name, script), &requirements));
    }
    run(&fixture, &tests, "1", 0);
    assert_eq!(data_of(&fixture, "requirement-finished", "/state").len(), 1);
    assert_eq!(data_of(&fixture, "job-finished", "/switches"), [3]);
}

#[test]
fn fresh_setting_gives_each_test_its_own_sandbox() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "[spawner.sandbox]\nfresh = true");
    let text =
        "import os, unittest\nclass T(unittest.TestCase):\n    def test(self): os.mkdir('mark')\n";
    fixture.file("test_mark.py", text);
    let tests = (0..6).map(|n| shell(&n.to_string(), "test ! -e mark && touch mark"));
    let in_python = (6..9).map(|n| python(&n.to_string(), "test_mark.py:T.test"));
    let tests: Vec<Value> = tests.chain(in_python).collect();
    run(&fixture, &tests, "2", 0);
}

#[test]
fn conflicting_versions_get_separate_sandboxes() {
    let fixture = Fixture::new();
    let requires_version = |version: &str| {
        let requirement = json!({
            "type": "package", "name": "persea-no-such-package", "version": version,
            "action": "check",
        });
        requiring(shell(version, "true"), &json!([requirement]))
    };
    let tests = [
        requires_version("1"),
        requires_version("2"),
        shell("plain", "true"),
    ];
    run(&fixture, &tests, "2", 0);
    // Both are checked; the spawner `process` would refuse one of them before that.
    assert_eq!(data_of(&fixture, "requirement-started", "/id").len(), 2);
}

#[test]
fn unmet_requirement_cancels_only_dependent_tests() {
    let fixture = Fixture::new();
    let broken = json!({"type": "command", "label": "broken", "setup": "echo no luck >&2; false"});
    let tests = [
        requiring(shell("both", "true"), &json!([broken, making("a", "job")])),
        requiring_files("one", &["a"], "test -e a"),
        shell("none", "true"),
    ];
    run(&fixture, &tests, "2", 0);
    let job = fixture.job();
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
    let fixture = Fixture::new();
    let mut tests: Vec<Value> = (0..8).map(|n| shell(&n.to_string(), "true")).collect();
    tests.insert(4, shell("killer", "kill -9 -1; kill -9 $PPID 1; true"));
    run_in_slots(&fixture, &tests, "2").code(0);
    let job = fixture.job();
    // The helper is process 1 of the namespace, which signals from inside cannot kill.
    assert_eq!(job.status("killer"), "PASS");
    for n in 0..8 {
        assert_eq!(job.status(&n.to_string()), "PASS");
    }
    fixture.assert_no_strays();
}

#[test]
fn timeout_kills_the_process_tree_in_a_sandbox() {
    let fixture = Fixture::new();
    fixture.file("persea.toml", "[task.timeout]\nrunning = 1");
    let script = "setsid sleep 1000 & trap '' TERM; sleep 1000; sleep 1000";
    run(
        &fixture,
        &[shell("long", script), shell("short", "true")],
        "2",
        8,
    );
    assert_eq!(fixture.job().status("long"), "INTERRUPTED");
    fixture.assert_no_strays();
}

#[test]
fn killed_job_leaves_only_output_of_its_tests() {
    let fixture = Fixture::new();
    let results = fixture.root().join("home/persea/job-results");
    let script = "setsid sleep 1000 & echo on >$AVOCADO_TEST_OUTPUTDIR/on; sleep 1000";
    fixture.recipe("job.json", &[requiring_files("long", &["a"], script)]);
    let mut child = fixture
        .persea(&["run", "--spawner", "sandbox", "job.json"])
        .spawn()
        .unwrap();
    // While a test runs, its output is in a directory of its sandbox below `.running`.
    let output = wait_until("the test", || {
        let sandboxes = std::fs::read_dir(results.join("latest/.running"));
        let sandboxes = sandboxes.map_err(|error| error.to_string())?.flatten();
        let mut outputs = sandboxes.map(|it| it.path().join("1-long/on"));
        outputs
            .find(|output| output.exists())
            .ok_or_else(|| "not yet".to_owned())
    });
    signal(child.id(), "KILL");
    child.wait().unwrap();
    fixture.assert_no_strays();
    assert_eq!(std::fs::read_to_string(output).unwrap(), "on\n");
    wait_until("the layers are removed", || {
        let layers: Vec<_> = std::fs::read_dir(fixture.root())
            .unwrap()
            .flatten()
            .filter(|it| it.file_name().to_string_lossy().starts_with("persea-"))
            .flat_map(|it| std::fs::read_dir(it.path()).unwrap().flatten())
            .filter(|it| it.file_name() != "common" && it.file_name() != ".persea-host")
            .collect();
        if layers.is_empty() {
            Ok(())
        } else {
            Err(format!("{layers:?}"))
        }
    });
    let released = fixture.run(&["release"]).code(0);
    assert_eq!(released.stdout, "");
}

#[test]
fn test_that_replaces_its_directory_loses_only_its_own_results() {
    let fixture = Fixture::new();
    let remove = "mv $AVOCADO_TEST_OUTPUTDIR ../gone; rm -rf ../gone $AVOCADO_TEST_OUTPUTDIR";
    let tests = [
        shell(
            "removes",
            &format!("cd $AVOCADO_TEST_OUTPUTDIR/; {remove}; true"),
        ),
        shell(
            "file",
            &format!("{remove}; echo x >$AVOCADO_TEST_OUTPUTDIR"),
        ),
        shell(
            "link",
            &format!("{remove}; ln -s /etc $AVOCADO_TEST_OUTPUTDIR"),
        ),
        shell("locks", "echo kept; chmod 0 $AVOCADO_TEST_OUTPUTDIR"),
        shell("after", "echo after"),
    ];
    let ran = run_in_slots(&fixture, &tests, "1").code(0);
    let job = fixture.job();
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
    let fixture = Fixture::new();
    let text = "import os, unittest\n\
                class T(unittest.TestCase):\n    \
                    def test_a(self): self.leave('a')\n    \
                    def test_b(self): self.leave('b')\n    \
                    def leave(self, name):\n        \
                        directory = os.environ['AVOCADO_TEST_OUTPUTDIR']\n        \
                        open(directory + '/left', 'w').write(name)\n";
    fixture.file("test_left.py", text);
    let tests = ["a", "b"].map(|name| python(name, &format!("test_left.py:T.test_{name}")));
    run(&fixture, &tests, "1", 0);
    for name in ["a", "b"] {
        assert_eq!(fixture.job().artifact(name, "left"), name);
    }
}

#[test]
fn requirement_logs_are_hidden_from_tests() {
    let fixture = Fixture::new();
    let requirement = json!({"type": "command", "label": "a", "setup": "echo it is made; touch a"});
    let script =
        "d=$AVOCADO_TEST_OUTPUTDIR/../../dependencies; test -e a && ! cat $d/1-command-a/stdout";
    let reads = requiring(shell("reads", script), &json!([requirement]));
    run(&fixture, &[reads], "1", 0);
    let job = fixture.job();
    assert!(
        job.read("dependencies/1-command-a/stdout")
            .contains("it is made")
    );
}

#[test]
fn sandbox_has_no_network_unless_configured() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    // Only bash has /dev/tcp.
    let connects = with(shell("connects", &connect), "uri", json!("/bin/bash"));
    run(&fixture, std::slice::from_ref(&connects), "1", 1);
    fixture.file(
        "../home/.config/persea/config.toml",
        "[spawner.sandbox]\nnetwork = true",
    );
    run(&fixture, &[connects], "1", 0);
}

#[test]
fn unix_sockets_of_the_machine_refuse_connections() {
    let fixture = Fixture::new();
    let _service = UnixListener::bind(fixture.project().join("service")).unwrap();
    let script = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"service\")'";
    fixture.file(
        "../home/.config/persea/config.toml",
        "[spawner.sandbox]\nnetwork = true",
    );
    run(&fixture, &[shell("connects", script)], "1", 1);
    // Outside of a sandbox the socket accepts the connection.
    fixture.run(&["run", "job.json"]).code(0);
}

#[test]
fn missing_bubblewrap_error_names_the_package() {
    let fixture = Fixture::new();
    let args = ["run", "--spawner", "sandbox", "/bin/true"];
    let ran = fixture.run_with(&args, |command| command.env("PATH", fixture.root()));
    let ran = ran.code(2);
    let error = "the spawner `sandbox` needs `bwrap`, which is not in PATH: install it (Debian: \
                 `apt-get install bubblewrap`)\n";
    assert_stderr(&ran, &[error]);
    let ran = fixture
        .run(&["run", "--spawner", "chroot", "/bin/true"])
        .code(4);
    let error = format!(
        "setting `run.spawner` from the command line: expected {}, found `\"chroot\"`\n",
        SpawnerKind::EXPECTED
    );
    assert_stderr(&ran, &[&error]);
}

#[test]
fn sandbox_works_without_root() {
    let fixture = Fixture::new();
    let Some(user) = User::of(&fixture) else {
        return skip("this user is not root: all other tests here show the same");
    };
    let one = "test -e a && echo x >b && echo kept && chmod 0 $AVOCADO_TEST_OUTPUTDIR";
    let two = format!(
        "test \"$(id -u)\" = {} && touch /usr/new && test -e a",
        user.id
    );
    let tests = [
        requiring_files("one", &["a"], one),
        requiring_files("two", &["a"], &two),
    ];
    fixture.recipe("job.json", &tests);
    user.own(&fixture);
    let args = ["run", "--spawner", "sandbox", "job.json"];
    finish(user.persea(&fixture, &[], &args).spawn().unwrap()).code(0);
    assert_eq!(fixture.job().artifact("one", "stdout"), "kept\n");
    fixture.assert_no_strays();
}

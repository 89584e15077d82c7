//! Owns tests that replace their work directory, `AVOCADO_TEST_WORKDIR`, by something else: nothing
//! that it leads to is changed, and the next test gets an empty directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::recipes::{python, shell};
use crate::support::{Fixture, Ran};

/// Shell commands that replace the directory `$W`, or leave something in it. The victim is in the
/// project, which is the working directory.
const WAYS: [(&str, &str); 10] = [
    ("link", "rmdir $W; ln -s $PWD/victim $W"),
    ("link-to-a-file", "rmdir $W; ln -s $PWD/victim/kept $W"),
    ("link-to-nothing", "rmdir $W; ln -s nothing $W"),
    ("file", "rmdir $W; echo x >$W"),
    ("pipe", "rmdir $W; mkfifo $W"),
    ("missing", "rmdir $W"),
    (
        "link-inside",
        "ln -s $PWD/victim $W/link; ln $PWD/victim/kept $W/kept || true",
    ),
    (
        "closed",
        "mkdir -p $W/a/b; touch $W/a/b/c; chmod 0 $W/a/b $W/a $W",
    ),
    ("open", "chmod 1777 $W"),
    ("other", "mv $W $W.away; mkdir -m 755 $W; touch $W/x"),
];

/// Succeeds in an empty directory of mode 0700, beside an unchanged victim.
const HONEST: &str = "W=$AVOCADO_TEST_WORKDIR; test -d $W -a ! -L $W; \
                      test \"$(stat -c %a $W)\" = 700; test -z \"$(ls -A $W)\"; touch $W/own; \
                      test \"$(cat victim/kept)\" = mine; test \"$(ls -A victim)\" = kept; \
                      test \"$(stat -c %a victim victim/kept | tr '\\n' ' ')\" = '750 640 '";

fn project() -> Fixture {
    let fixture = Fixture::new();
    let kept = fixture.file("victim/kept", "mine");
    set_mode(&kept, 0o640);
    set_mode(kept.parent().unwrap(), 0o750);
    fixture
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// All tests have passed, the victim is unchanged, and nothing of the host is left.
#[track_caller]
fn assert_harmless(fixture: &Fixture, ran: &Ran, count: usize) {
    assert_eq!(fixture.job().results()["pass"], count, "{ran}");
    assert_eq!(ran.stderr, "");
    let victim = fixture.project().join("victim");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&victim), mode(&victim.join("kept"))), (0o750, 0o640));
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
    assert_eq!(std::fs::read(victim.join("kept")).unwrap(), b"mine");
    let left = std::fs::read_dir(fixture.root()).unwrap().flatten();
    let left = left.map(|entry| entry.file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|name| name.starts_with("persea-")).collect();
    assert_eq!(left, [""; 0]);
    fixture.assert_no_strays();
}

#[test]
fn replaced_work_directory_is_restored_and_never_followed() {
    let replace = |(name, script): (&str, &str)| -> [Value; 2] {
        [
            shell(name, &format!("set -e; W=$AVOCADO_TEST_WORKDIR; {script}")),
            shell(&format!("after-{name}"), &format!("set -e; {HONEST}")),
        ]
    };
    for spawner in ["process", "sandbox"] {
        let fixture = project();
        // The last one is removed by the end of the job.
        let last = shell(
            "last",
            "W=$AVOCADO_TEST_WORKDIR; rmdir $W; ln -s $PWD/victim $W",
        );
        let tests: Vec<Value> = WAYS.into_iter().flat_map(replace).chain([last]).collect();
        fixture.recipe("job.json", &tests);
        let slot = ["--spawner", spawner, "--max-parallel-tasks", "1"];
        let args = [&["run"], &slot[..], &["job.json"]].concat();
        let ran = fixture.run(&args).code(0);
        assert_harmless(&fixture, &ran, tests.len());
    }
}

#[test]
fn work_directory_replaced_in_a_batch_is_restored_and_never_followed() {
    let mut text = "import os, subprocess, unittest\nclass T(unittest.TestCase):\n".to_owned();
    let mut tests = Vec::new();
    let mut add = |name: &str, script: &str| {
        let name = format!("test_{:02}_{}", tests.len(), name.replace('-', "_"));
        let script = Value::from(script);
        text += &format!("    def {name}(self):\n");
        text += &format!("        subprocess.run({script}, shell=True, check=True)\n");
        tests.push(python(&name, &format!("test_a.py:T.{name}")));
    };
    for (name, script) in WAYS {
        add(name, &format!("set -e; W=$AVOCADO_TEST_WORKDIR; {script}"));
        add("after", &format!("set -e; {HONEST}"));
    }
    let last = "W=$AVOCADO_TEST_WORKDIR; rmdir $W; ln -s $PWD/victim $W";
    add("last", last);
    for spawner in ["process", "sandbox"] {
        let fixture = project();
        fixture.file("test_a.py", &text);
        fixture.recipe("job.json", &tests);
        let slot = ["--spawner", spawner, "--max-parallel-tasks", "1"];
        let args = [&["run"], &slot[..], &["job.json"]].concat();
        let ran = fixture.run(&args).code(0);
        assert_harmless(&fixture, &ran, tests.len());
    }
}

//! Tests the spawner of sandboxes with real sandboxes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;

use super::*;
use crate::tests::{check_streams, helper, helper_of, with};
use crate::{Command, Exit};

struct Fixture {
    spawner: SandboxSpawner,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "project", "results"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("project/file"), "of the machine").unwrap();
        let path = |name| dir.path().join(name);
        let mut spawner = Fixture::spawner(&dir, &Visibility::default());
        spawner.set_private_directory(&path("results"), &path("running"));
        Fixture { spawner, dir }
    }

    fn spawner(dir: &tempfile::TempDir, visibility: &Visibility) -> SandboxSpawner {
        let path = |name| dir.path().join(name);
        SandboxSpawner::new(helper(), path("root"), path("project"), visibility).unwrap()
    }

    async fn open(&self, slot: usize) -> Environment {
        self.spawner.open(slot).await.unwrap()
    }

    async fn restore(&self, slot: usize, snapshot: &str) -> Environment {
        let state = EnvironmentState {
            snapshot: Some(snapshot.to_owned()),
            ..EnvironmentState::new(SpawnerKind::Sandbox)
        };
        self.spawner.restore(slot, &state).await.unwrap()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

async fn run(environment: &Environment, script: &str) -> Exit {
    environment
        .run(Command::new("sh", ["-c", script]))
        .await
        .unwrap()
}

/// Returns what a script prints.
async fn says(fixture: &Fixture, environment: &Environment, script: &str) -> String {
    let results = fixture.dir.path().join("results");
    let command = Command {
        stdout: crate::Output::File(results.join("said")),
        ..Command::new("sh", ["-c", script])
    };
    environment.run(command).await.unwrap();
    let own = environment.private_directory(&results).unwrap();
    let said = std::io::read_to_string(own.open_file("said").unwrap()).unwrap();
    own.remove("said").unwrap();
    said.trim().to_owned()
}

#[tokio::test]
async fn writes_stay_in_their_sandbox() {
    let fixture = Fixture::new();
    let one = fixture.open(0).await;
    let other = fixture.open(1).await;
    let script = "echo changed >file && echo new >new && rm -r /etc/apt; cat file";
    assert_eq!(says(&fixture, &one, script).await, "changed");
    assert_eq!(
        says(&fixture, &other, "cat file; ls").await,
        "of the machinefile"
    );
    assert_eq!(fixture.file("project/file"), "of the machine");
    assert!(Path::new("/etc/apt").exists() && !fixture.dir.path().join("project/new").exists());
    // The slot's next sandbox is a new one.
    one.close().await;
    let again = fixture.open(0).await;
    assert_eq!(
        says(&fixture, &again, "cat file; ls").await,
        "of the machinefile"
    );
}

#[tokio::test]
async fn restored_sandbox_begins_with_the_files_of_its_snapshot() {
    let fixture = Fixture::new();
    let first = fixture.open(0).await;
    run(&first, "echo a >a; echo b >b; sleep 1000 &").await;
    fixture.spawner.snapshot(0, first, "with a").await.unwrap();
    let second = fixture.restore(0, "with a").await;
    run(&second, "rm b file; echo c >c").await;
    fixture.spawner.snapshot(0, second, "with c").await.unwrap();

    let (one, two) = (
        fixture.restore(0, "with a").await,
        fixture.restore(1, "with c").await,
    );
    assert_eq!(says(&fixture, &one, "echo $(ls)").await, "a b file");
    assert_eq!(says(&fixture, &two, "echo $(ls)").await, "a c");
    run(&two, "echo d >d").await;
    two.close().await;
    let two = fixture.restore(1, "with c").await;
    assert_eq!(says(&fixture, &two, "echo $(ls)").await, "a c");
    assert_eq!(
        says(&fixture, &fixture.open(2).await, "echo $(ls)").await,
        "file"
    );

    let state = EnvironmentState {
        snapshot: Some("nothing".to_owned()),
        ..EnvironmentState::new(SpawnerKind::Sandbox)
    };
    let error = fixture.spawner.restore(3, &state).await.unwrap_err();
    assert!(error.to_string().contains("`nothing`"), "{error}");
}

#[tokio::test]
async fn sandbox_has_sixty_layers() {
    let fixture = Fixture::new();
    let mut environment = fixture.open(0).await;
    for number in 0..60 {
        run(&environment, &format!("touch {number}")).await;
        let name = number.to_string();
        fixture
            .spawner
            .snapshot(0, environment, &name)
            .await
            .unwrap();
        environment = fixture.restore(0, &name).await;
    }
    assert_eq!(says(&fixture, &environment, "ls | wc -l").await, "61");
}

#[tokio::test]
async fn sandbox_reaches_the_network_only_if_its_state_has_it() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let connect = || Command::new("bash", ["-c", &script]);
    let without = fixture.open(0).await;
    assert!(!without.run(connect()).await.unwrap().is_success());
    let state = EnvironmentState {
        network: true,
        ..EnvironmentState::new(SpawnerKind::Sandbox)
    };
    let with = fixture.spawner.restore(1, &state).await.unwrap();
    assert!(with.run(connect()).await.unwrap().is_success());
}

#[tokio::test]
async fn sandbox_sees_no_process_outside_of_it() {
    let fixture = Fixture::new();
    let environment = fixture.open(0).await;
    let own = std::process::id();
    let script = format!("test -d /proc/{own} || ls -d /proc/[0-9]* | wc -l");
    let count: usize = says(&fixture, &environment, &script).await.parse().unwrap();
    assert!(count < 10, "{count}");
    // The layers of other sandboxes are hidden too.
    let layers = fixture.spawner.keeper.get().unwrap().work_dir().to_owned();
    assert_eq!(
        says(&fixture, &environment, &format!("echo $(ls {layers}/*)")).await,
        "tmp"
    );
}

#[tokio::test]
async fn killed_helper_ends_every_process_of_its_sandbox() {
    let fixture = Fixture::new();
    let environment = fixture.open(0).await;
    // The signal has no effect: no process of the sandbox can kill the helper.
    let script = "kill -9 $PPID; \
                  setsid sh -c 'while :; do date >/proc/self/fd/1; sleep 0.01; done' sh \"$0\" \
                  >\"$0\" & wait";
    let beat = fixture.dir.path().join("results/beat");
    let beat = beat.to_str().unwrap();
    let command = Command::new("sh", ["-c", script, beat]);
    let kill = async {
        let own = environment.private_directory(&fixture.dir.path().join("results"));
        let beats = || {
            own.unwrap()
                .open_file("beat")
                .is_ok_and(|it| it.metadata().unwrap().len() > 0)
        };
        while !beats() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let child = with(beat).into_iter().find(|pid| {
            let helper = std::fs::read_to_string(format!("/proc/{}/comm", helper_of(*pid)));
            helper.is_ok_and(|name| name.trim() == "persea-helper")
        });
        let helper = helper_of(child.unwrap());
        rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
    };
    let (ended, ()) = tokio::join!(environment.run(command), kill);
    let error = ended.unwrap_err();
    assert!(matches!(error, SpawnError::HelperDied { .. }), "{error}");
    environment.closed().await;
    let results = fixture.dir.path().join("results");
    let own = environment.private_directory(&results).unwrap();
    assert!(own.open_file("beat").unwrap().metadata().unwrap().len() > 0);
    // The name of the file is in the command line of the process that must have ended.
    let beat = beat.as_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    let left = lines.filter(|line| line.windows(beat.len()).any(|part| part == beat));
    assert_eq!(left.count(), 0);
    assert!(fixture.open(0).await.is_alive());
}

#[tokio::test]
async fn private_directory_exists_until_the_environment_is_dropped() {
    let fixture = Fixture::new();
    let results = fixture.dir.path().join("results");
    fs::write(results.join("another's"), "").unwrap();
    let (one, two) = (fixture.open(0).await, fixture.open(1).await);
    let lists = format!("echo $(ls {} | wc -l)", results.display());
    let kept = one.private_directory(&results).unwrap();
    kept.open_append("kept").unwrap();
    for (environment, count) in [(&one, "2"), (&two, "1")] {
        // The output of the script is one of the files.
        assert_eq!(says(&fixture, environment, &lists).await, count);
    }
    let others = format!("echo $(ls {}/running)", fixture.dir.path().display());
    assert_eq!(says(&fixture, &one, &others).await, "");
    one.close().await;
    assert!(kept.open_file("kept").is_ok());
    drop(one);
    two.close().await;
    drop(two);
    fixture.spawner.close().await;
    assert!(!fixture.dir.path().join("running").exists());
    assert_eq!(fs::read_dir(&results).unwrap().count(), 1);
}

#[tokio::test]
async fn writable_directory_is_seen_without_its_neighbours() {
    let mut fixture = Fixture::new();
    let shown = fixture.dir.path().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "another's").unwrap();
    fixture.spawner.hide(&shown);
    let state = EnvironmentState {
        writable_directory: Some(shown.join("own")),
        ..EnvironmentState::new(SpawnerKind::Sandbox)
    };
    let environment = fixture.spawner.restore(0, &state).await.unwrap();
    let script = "cd \"$0\" && echo x >own/file && test ! -e file && ! mv own other";
    let command = Command::new("sh", ["-c", script, shown.to_str().unwrap()]);
    assert!(environment.run(command).await.unwrap().is_success());
    assert_eq!(fixture.file("shown/own/file"), "x\n");
    let other = fixture.open(1).await;
    let reads = format!("ls {0}; cat {0}/own/file || echo none", shown.display());
    assert_eq!(says(&fixture, &other, &reads).await, "none");
    assert_eq!(fixture.file("shown/own/file"), "x\n");
}

#[tokio::test]
async fn root_can_change_owners_in_a_sandbox() {
    if !getuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to run this as root"
        );
        return;
    }
    let fixture = Fixture::new();
    let environment = fixture.open(0).await;
    assert!(
        run(
            &environment,
            "touch x && chown 33:44 x && test $(stat -c %u:%g x) = 33:44"
        )
        .await
        .is_success()
    );
}

#[tokio::test]
async fn root_in_a_sandbox_cannot_change_kernel_settings() {
    let fixture = Fixture::new();
    let environment = fixture.open(0).await;
    // Each attempt would write the present value.
    let script = r#"
        value=$(cat /proc/sys/vm/swappiness)
        try() { "$@" 2>/dev/null && echo "could $*"; }
        write() { echo $value >$1; }
        mkdir -p p q
        try write /proc/sys/vm/swappiness
        try mount -t proc proc p && try write p/sys/vm/swappiness
        try umount /proc/sys
        try mount -o remount,rw,bind /proc/sys
        try mount --bind /proc/sys q
        try mount -o remount,rw /sys
        try mknod disk b 254 0
        try unshare --user --map-root-user --mount sh -c "
            mount -t proc proc p && echo $value >p/sys/vm/swappiness"
        try unshare --user --map-root-user --mount sh -c "
            umount -l /proc/sys; mount -o remount,rw,bind /proc/sys
            echo $value >/proc/sys/vm/swappiness"
        try unshare --user --map-root-user --mount --pid --fork sh -c "
            mount -t proc proc p && echo $value >p/sys/vm/swappiness"
        echo tried
    "#;
    assert_eq!(says(&fixture, &environment, script).await, "tried");
}

#[tokio::test]
async fn closed_spawner_leaves_no_file() {
    let fixture = Fixture::new();
    let environment = fixture.open(0).await;
    run(&environment, "mkdir -p a/b; echo x >a/b/c; chmod 0 a/b a").await;
    fixture
        .spawner
        .snapshot(0, environment, "kept")
        .await
        .unwrap();
    let environment = fixture.restore(0, "kept").await;
    run(&environment, "rm -rf a").await;
    environment.close().await;
    fixture.spawner.close().await;
    let left = fs::read_dir(fixture.dir.path().join("root")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn path_with_a_comma_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a,b");
    fs::create_dir(&odd).unwrap();
    let error = SandboxSpawner::new(
        helper(),
        odd,
        dir.path().to_path_buf(),
        &Visibility::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("comma"), "{error}");
}

#[tokio::test]
async fn process_in_a_sandbox_has_the_streams_of_its_command() {
    let fixture = Fixture::new();
    check_streams(&fixture.open(0).await).await;
}

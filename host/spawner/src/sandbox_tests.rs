//! The spawner of sandboxes with real ones.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;

use super::*;
use crate::tests::{helper, helper_of, with};
use crate::{Command, Exit};

struct Place {
    spawner: SandboxSpawner,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "project", "results"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("project/file"), "of the machine").unwrap();
        let path = |name| dir.path().join(name);
        let mut spawner = Place::spawner(&dir, &Visibility::default());
        spawner.set_private_directory(&path("results"), &path("running"));
        Place { spawner, dir }
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
            ..EnvironmentState::default()
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

/// What a script prints.
async fn says(place: &Place, environment: &Environment, script: &str) -> String {
    let results = place.dir.path().join("results");
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
async fn what_is_written_stays_in_the_sandbox() {
    let place = Place::new();
    let one = place.open(0).await;
    let other = place.open(1).await;
    let script = "echo changed >file && echo new >new && rm -r /etc/apt; cat file";
    assert_eq!(says(&place, &one, script).await, "changed");
    assert_eq!(
        says(&place, &other, "cat file; ls").await,
        "of the machinefile"
    );
    assert_eq!(place.file("project/file"), "of the machine");
    assert!(Path::new("/etc/apt").exists() && !place.dir.path().join("project/new").exists());
    // It's another one after that.
    one.close().await;
    let again = place.open(0).await;
    assert_eq!(
        says(&place, &again, "cat file; ls").await,
        "of the machinefile"
    );
}

#[tokio::test]
async fn a_snapshot_is_what_others_begin_with() {
    let place = Place::new();
    let first = place.open(0).await;
    run(&first, "echo a >a; echo b >b; sleep 1000 &").await;
    place.spawner.snapshot(0, first, "with a").await.unwrap();
    let second = place.restore(0, "with a").await;
    run(&second, "rm b file; echo c >c").await;
    place.spawner.snapshot(0, second, "with c").await.unwrap();

    let (one, two) = (
        place.restore(0, "with a").await,
        place.restore(1, "with c").await,
    );
    assert_eq!(says(&place, &one, "echo $(ls)").await, "a b file");
    assert_eq!(says(&place, &two, "echo $(ls)").await, "a c");
    run(&two, "echo d >d").await;
    two.close().await;
    let two = place.restore(1, "with c").await;
    assert_eq!(says(&place, &two, "echo $(ls)").await, "a c");
    assert_eq!(
        says(&place, &place.open(2).await, "echo $(ls)").await,
        "file"
    );

    let state = EnvironmentState {
        snapshot: Some("nothing".to_owned()),
        ..EnvironmentState::default()
    };
    let error = place.spawner.restore(3, &state).await.unwrap_err();
    assert!(error.to_string().contains("`nothing`"), "{error}");
}

#[tokio::test]
async fn many_layers() {
    let place = Place::new();
    let mut environment = place.open(0).await;
    for number in 0..60 {
        run(&environment, &format!("touch {number}")).await;
        let name = number.to_string();
        place.spawner.snapshot(0, environment, &name).await.unwrap();
        environment = place.restore(0, &name).await;
    }
    assert_eq!(says(&place, &environment, "ls | wc -l").await, "61");
}

#[tokio::test]
async fn it_reaches_the_network_only_where_that_is_asked_for() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let connect = || Command::new("bash", ["-c", &script]);
    let without = place.open(0).await;
    assert!(!without.run(connect()).await.unwrap().is_success());
    let state = EnvironmentState {
        network: true,
        ..EnvironmentState::default()
    };
    let with = place.spawner.restore(1, &state).await.unwrap();
    assert!(with.run(connect()).await.unwrap().is_success());
}

#[tokio::test]
async fn it_sees_no_process_of_the_machine() {
    let place = Place::new();
    let environment = place.open(0).await;
    let own = std::process::id();
    let script = format!("test -d /proc/{own} || ls -d /proc/[0-9]* | wc -l");
    let count: usize = says(&place, &environment, &script).await.parse().unwrap();
    assert!(count < 10, "{count}");
    // Its own files are not the others' business either.
    let layers = place.spawner.keeper.get().unwrap().work_dir().to_owned();
    assert_eq!(
        says(&place, &environment, &format!("echo $(ls {layers}/*)")).await,
        "tmp"
    );
}

#[tokio::test]
async fn with_its_helper_everything_in_it_ends() {
    let place = Place::new();
    let environment = place.open(0).await;
    // Nothing from inside can kill it.
    let script = "kill -9 $PPID; setsid sh -c 'while :; do date >/proc/self/fd/1; sleep 0.01; done' sh \"$0\" >\"$0\" & wait";
    let beat = place.dir.path().join("results/beat");
    let beat = beat.to_str().unwrap();
    let command = Command::new("sh", ["-c", script, beat]);
    let kill = async {
        let own = environment.private_directory(&place.dir.path().join("results"));
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
    let results = place.dir.path().join("results");
    let own = environment.private_directory(&results).unwrap();
    assert!(own.open_file("beat").unwrap().metadata().unwrap().len() > 0);
    // Its file is an argument of the process that was to go on.
    let beat = beat.as_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    let left = lines.filter(|line| line.windows(beat.len()).any(|part| part == beat));
    assert_eq!(left.count(), 0);
    assert!(place.open(0).await.is_alive());
}

#[tokio::test]
async fn it_has_a_directory_of_results_for_itself_as_long_as_somebody_has_it() {
    let place = Place::new();
    let results = place.dir.path().join("results");
    fs::write(results.join("another's"), "").unwrap();
    let (one, two) = (place.open(0).await, place.open(1).await);
    let lists = format!("echo $(ls {} | wc -l)", results.display());
    let kept = one.private_directory(&results).unwrap();
    kept.open_append("kept").unwrap();
    for (environment, count) in [(&one, "2"), (&two, "1")] {
        // What it says is among them.
        assert_eq!(says(&place, environment, &lists).await, count);
    }
    let others = format!("echo $(ls {}/running)", place.dir.path().display());
    assert_eq!(says(&place, &one, &others).await, "");
    one.close().await;
    assert!(kept.open_file("kept").is_ok());
    drop(one);
    two.close().await;
    drop(two);
    place.spawner.close().await;
    assert!(!place.dir.path().join("running").exists());
    assert_eq!(fs::read_dir(&results).unwrap().count(), 1);
}

#[tokio::test]
async fn sandbox_writes_to_its_own_directory_and_does_not_see_those_beside_it() {
    let mut place = Place::new();
    let shown = place.dir.path().join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "another's").unwrap();
    place.spawner.hide(&shown);
    let state = EnvironmentState {
        writable_directory: Some(shown.join("own")),
        ..EnvironmentState::default()
    };
    let environment = place.spawner.restore(0, &state).await.unwrap();
    let script = "cd \"$0\" && echo x >own/file && test ! -e file && ! mv own other";
    let command = Command::new("sh", ["-c", script, shown.to_str().unwrap()]);
    assert!(environment.run(command).await.unwrap().is_success());
    assert_eq!(place.file("shown/own/file"), "x\n");
    let other = place.open(1).await;
    let reads = format!("ls {0}; cat {0}/own/file || echo none", shown.display());
    assert_eq!(says(&place, &other, &reads).await, "none");
    assert_eq!(place.file("shown/own/file"), "x\n");
}

#[tokio::test]
async fn packages_could_be_installed_by_root() {
    if !getuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to run this as root"
        );
        return;
    }
    let place = Place::new();
    let environment = place.open(0).await;
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
async fn even_root_changes_nothing_of_the_kernel() {
    let place = Place::new();
    let environment = place.open(0).await;
    // Each would write what is there already.
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
            umount -l /proc/sys; mount -o remount,rw,bind /proc/sys; echo $value >/proc/sys/vm/swappiness"
        try unshare --user --map-root-user --mount --pid --fork sh -c "
            mount -t proc proc p && echo $value >p/sys/vm/swappiness"
        echo tried
    "#;
    assert_eq!(says(&place, &environment, script).await, "tried");
}

#[tokio::test]
async fn nothing_is_left_on_the_disk() {
    let place = Place::new();
    let environment = place.open(0).await;
    run(&environment, "mkdir -p a/b; echo x >a/b/c; chmod 0 a/b a").await;
    place
        .spawner
        .snapshot(0, environment, "kept")
        .await
        .unwrap();
    let environment = place.restore(0, "kept").await;
    run(&environment, "rm -rf a").await;
    environment.close().await;
    place.spawner.close().await;
    let left = fs::read_dir(place.dir.path().join("root")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn what_it_cannot_use_is_said() {
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

//! Owns the spawner `ssh` with hosts that share no files with this machine: what is sent to them,
//! what is fetched from them, and what happens when either goes wrong.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::recipes::{exec, python, requiring, shell};
use crate::support::ssh::Hosts;
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, wait_until};

/// What the job has said about a host.
fn notice<'a>(ran: &'a Ran, host: &str) -> &'a str {
    let begin = format!("host {host}: the project was sent");
    let mut lines = ran.stdout.lines().map(str::trim);
    let line = lines.find(|line| line.contains(&begin));
    line.unwrap_or_else(|| panic!("no notice about {host}: {ran}"))
}

/// The number of bytes that were new to a host.
fn new_bytes(ran: &Ran, host: &str) -> u64 {
    let (before, _) = notice(ran, host).split_once(" of them new").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The directory of a test's results.
fn results(project: &Fixture, test: &str) -> PathBuf {
    project.job().0.join("test-results").join(test)
}

#[test]
fn project_is_sent_as_it_is_and_files_of_tests_are_fetched() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    project.script("tests/check.sh", "cat data/file && pwd && cat data/link");
    project.file("data/file", "of the project\n");
    symlink("file", project.project().join("data/link")).unwrap();
    let absolute = project.project().join("data/file");
    symlink(&absolute, project.project().join("data/absolute")).unwrap();
    std::fs::create_dir(project.project().join("empty")).unwrap();
    let strange = std::ffi::OsStr::from_bytes(b"data/\xff name");
    std::fs::write(project.project().join(strange), "strange").unwrap();
    let old = project.file("data/old", "old");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).unwrap();
    let touched = std::process::Command::new("touch")
        .args(["-d", "2001-02-03 04:05:06.789 UTC"])
        .arg(&old)
        .status();
    assert!(touched.unwrap().success());
    project.pipe("pipe");
    let sees = "test -d empty && test -x tests/check.sh && test ! -e pipe &&
        test \"$(cat data/absolute)\" = 'of the project' &&
        test \"$(cat data/*name)\" = strange &&
        test \"$(stat -c %a data/old)\" = 640 &&
        test \"$(stat -c %.3Y data/old)\" = 981173106.789 &&
        case $PWD/ in $AVOCADO_TEST_OUTPUTDIR*) exit 3 ;; esac
        test -d $AVOCADO_TESTS_COMMON_TMPDIR && echo x >data/file
        cd $AVOCADO_TEST_OUTPUTDIR && mkdir -p a/b && echo deep >a/b/c && ln -s /etc/passwd link &&
        echo x >suid && chmod 4755 suid && mkdir -m 500 a/closed && mkfifo pipe &&
        echo logged >>debug.log && test $AVOCADO_TEST_LOGFILE = $PWD/debug.log";
    let absolute = project.project().join("tests/check.sh");
    let tests = [
        exec("script", "tests/check.sh"),
        exec("absolute", absolute.to_str().unwrap()),
        shell("sees", sees),
        shell("silent", "true"),
    ];
    project.recipe("job.json", &tests);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    let ran = project.run(&args).code(0);
    assert!(notice(&ran, "one").contains("pipe (neither"), "{ran}");
    assert!(notice(&ran, "one").contains("is missing there"), "{ran}");
    let job = project.job();
    for name in ["script", "absolute"] {
        let seen = job.artifact(name, "stdout");
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(
            (lines[0], lines[2]),
            ("of the project", "of the project"),
            "{seen}"
        );
        assert!(
            Path::new(lines[1]).starts_with(project.root().join("hosts/tmp")),
            "{seen}"
        );
    }
    let fetched = results(&project, "3-sees");
    let read = |name: &str| std::fs::read_to_string(fetched.join(name)).unwrap();
    assert_eq!(read("a/b/c"), "deep\n");
    assert!(read("debug.log").contains("logged\n"));
    assert!(
        read("debug.log").contains("pipe (neither"),
        "{}",
        read("debug.log")
    );
    let link = std::fs::read_link(fetched.join("link")).unwrap();
    assert_eq!(link, Path::new("/etc/passwd"));
    assert_eq!(
        fetched.join("suid").metadata().unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(
        fetched.join("a/closed").metadata().unwrap().mode() & 0o777,
        0o500
    );
    assert!(!fetched.join("pipe").exists());
    assert!(!results(&project, "4-silent").exists());
    hosts.assert_nothing_left(&project);
}

#[test]
fn next_job_sends_only_what_has_changed() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    let large = vec![b'x'; 300_000];
    project.file("large", &large);
    project.file("same", &large);
    project.file("small", "12345");
    // A test changes its copy, and not what is kept for the next job.
    let changes = "test $(wc -c <large) = 300000 && test $(wc -c <same) = 300000 && \
                   cat small && echo changed >>large && echo changed >small";
    project.recipe("job.json", &[shell("a", changes)]);
    let first = project.run(&["run", "job.json"]).code(0);
    assert!(
        (300_005..320_000).contains(&new_bytes(&first, "one")),
        "{first}"
    );
    let second = project.run(&["run", "job.json"]).code(0);
    assert_eq!(new_bytes(&second, "one"), 0, "{second}");
    assert_eq!(project.job().artifact("a", "stdout"), "12345");
    project.file("small", "67890");
    let third = project.run(&["run", "job.json"]).code(0);
    assert_eq!(new_bytes(&third, "one"), 5, "{third}");
    assert_eq!(project.job().artifact("a", "stdout"), "67890");
    // What somebody has changed there is found out, and sent again.
    let kept = project.root().join("hosts/cache/persea/projects");
    let packs = std::fs::read_dir(&kept).unwrap().flatten();
    let mut packs = packs.filter(|it| it.path().extension().is_some_and(|it| it == "pack"));
    let pack = packs
        .find(|it| it.metadata().unwrap().len() > 100_000)
        .unwrap();
    let mut content = std::fs::read(pack.path()).unwrap();
    content[200_000..].fill(b'y');
    std::fs::write(pack.path(), content).unwrap();
    let fourth = project.run(&["run", "job.json"]).code(0);
    assert!(new_bytes(&fourth, "one") >= 300_000, "{fourth}");
    let fifth = project.run(&["run", "job.json"]).code(0);
    assert_eq!(new_bytes(&fifth, "one"), 0, "{fifth}");
    hosts.assert_nothing_left(&project);
}

#[test]
fn results_and_excluded_paths_are_not_sent() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    project.file("build/large.o", "object");
    project.file("src/build/kept", "kept");
    project.file("notes.txt", "notes");
    project.file("persea.toml", "files.exclude = [\"/build/\", \"*.txt\"]\n");
    let script = "test ! -e build && test ! -e notes.txt && test ! -e results && \
                  test -e src/build/kept";
    project.recipe("job.json", &[shell("a", script)]);
    for _ in 0..2 {
        let args = ["run", "--results-dir", "results", "job.json"];
        let ran = project.run(&args).code(0);
        let said = notice(&ran, "one");
        for part in [
            "build",
            "notes.txt",
            "by `files.exclude`",
            "results (results of jobs",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    // The project itself may be the directory of results.
    let nothing = "test $(ls -d job-* latest 2>/dev/null | wc -l) = 0";
    project.recipe("job.json", &[shell("a", nothing)]);
    for _ in 0..2 {
        project
            .run(&["run", "--results-dir", ".", "job.json"])
            .code(0);
    }
    hosts.assert_nothing_left(&project);
}

#[test]
fn project_beyond_the_limit_is_not_sent() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    project.file("large", vec![0; 5000]);
    let limit = "files.max_sent=4000";
    let ran = project.run(&["run", "--set", limit, "/bin/true"]).code(2);
    assert_stderr(&ran, &["too large", "4000 bytes", "files.exclude"]);
    hosts.assert_nothing_left(&project);
}

#[test]
fn setting_decides_whether_files_are_shared() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[shell("a", "pwd; echo x >made")]);
    let ran = project.run(&["run", "job.json"]).code(0);
    assert!(!ran.stdout.contains("was sent"), "{ran}");
    assert!(project.project().join("made").exists());
    std::fs::remove_file(project.project().join("made")).unwrap();
    let sent = "files.sharing=sent";
    let ran = project.run(&["run", "--set", sent, "job.json"]).code(0);
    assert!(notice(&ran, "one").ends_with("fetched from there"), "{ran}");
    assert!(
        !project.project().join("made").exists(),
        "it is the host's copy"
    );
    hosts.assert_nothing_left(&project);
}

#[test]
fn files_beyond_the_limit_are_left_there_and_said() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    let script = "echo out; cd $AVOCADO_TEST_OUTPUTDIR && head -c 5000 /dev/zero >large && \
                  echo small >small";
    project.recipe("job.json", &[shell("a", script)]);
    let limit = "files.max_fetched=2000";
    let ran = project.run(&["run", "--set", limit, "job.json"]).code(0);
    assert_stderr(
        &ran,
        &[
            "not fetched from one",
            "large (5000 bytes",
            "files.max_fetched",
        ],
    );
    let job = project.job();
    assert_eq!(job.artifact("a", "stdout"), "out\n");
    assert_eq!(job.artifact("a", "small"), "small\n");
    assert!(!results(&project, "1-a").join("large").exists());
    assert!(job.artifact("a", "debug.log").contains("large (5000 bytes"));
    hosts.assert_nothing_left(&project);
}

#[test]
fn batch_and_requirements_have_their_files_on_the_host() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    project.file(
        "test_it.py",
        "import os, unittest\n\
         class T(unittest.TestCase):\n\
         \x20   def test_a(self): print('of a')\n\
         \x20   def test_b(self):\n\
         \x20       print('of b')\n\
         \x20       path = os.environ['AVOCADO_TEST_OUTPUTDIR'] + '/own'\n\
         \x20       with open(path, 'w') as f: f.write('own')\n\
         \x20   def test_c(self): self.fail('of c')\n",
    );
    let setup = "echo $HOST_NAME >met; echo of the setup";
    let needs = json!([{"type": "command", "label": "a", "setup": setup, "teardown": "rm met"}]);
    let tests = [
        python("a", "test_it.py:T.test_a"),
        python("b", "test_it.py:T.test_b"),
        python("c", "test_it.py:T.test_c"),
        requiring(shell("needs", "cat met"), &needs),
    ];
    project.recipe("job.json", &tests);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    let ran = project.run(&args).code(1);
    let job = project.job();
    for (name, status) in [
        ("a", "PASS"),
        ("b", "PASS"),
        ("c", "FAIL"),
        ("needs", "PASS"),
    ] {
        assert_eq!(job.status(name), status, "{name}: {ran}");
    }
    for name in ["a", "b"] {
        let printed = job.artifact(name, "stdout");
        let own = printed.lines().filter(|line| line.starts_with("of "));
        assert_eq!(own.collect::<Vec<_>>(), [format!("of {name}")], "{printed}");
    }
    assert_eq!(job.artifact("b", "own"), "own");
    assert_eq!(job.artifact("needs", "stdout"), "one\n");
    let dependencies = walkdir::WalkDir::new(job.0.join("dependencies")).into_iter();
    let files = dependencies.flatten().filter(|it| it.file_type().is_file());
    let texts = files.map(|it| std::fs::read_to_string(it.path()).unwrap_or_default());
    assert!(
        texts.collect::<String>().contains("of the setup"),
        "the output of the requirement"
    );
    hosts.assert_nothing_left(&project);
}

#[test]
fn full_disk_is_named_while_a_project_is_sent() {
    let project = Fixture::new();
    let tmp = project.root().join("hosts/tmp");
    let prepare = format!("mount -t tmpfs -o size=24m none {}", tmp.display());
    let _hosts = Hosts::start_apart_with(&project, &["one"], &prepare);
    project.file("large", vec![b'x'; 30 << 20]);
    let ran = project.run(&["run", "/bin/true"]).code(2);
    assert_stderr(
        &ran,
        &[
            "host one",
            "cannot take the project",
            "large",
            "No space left",
        ],
    );
    project.assert_no_strays();
}

#[test]
fn host_that_cannot_keep_contents_is_sent_everything_again() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one"]);
    project.file("data", "0123456789");
    project.file("../hosts/cache", "a file is in the way");
    for _ in 0..2 {
        let ran = project.run(&["run", "/bin/true"]).code(0);
        assert!(
            notice(&ran, "one").contains("send everything again"),
            "{ran}"
        );
        assert!(new_bytes(&ran, "one") >= 10, "{ran}");
    }
    hosts.assert_nothing_left(&project);
}

/// Waits until a path that `find` looks for exists.
fn wait_for_path(what: &str, find: impl Fn() -> Option<PathBuf>) {
    let began = Instant::now();
    while find().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn connection_lost_while_a_project_is_sent_names_the_host() {
    let project = Fixture::new();
    let mut hosts = Hosts::start_apart(&project, &["one"]);
    let large = std::fs::File::create(project.project().join("large")).unwrap();
    large.set_len(400 << 20).unwrap();
    let persea = project.persea(&["run", "/bin/true"]).spawn().unwrap();
    let tmp = project.root().join("hosts/tmp");
    wait_for_path("the file is sent", || {
        let entries = std::fs::read_dir(&tmp).unwrap().flatten();
        let files = entries.map(|it| it.path().join("project.1/large"));
        files.into_iter().find(|it| it.exists())
    });
    hosts.signal_sessions("one", "KILL");
    let ran = finish(persea).code(2);
    assert_stderr(&ran, &["host one", "lost while the project was sent"]);
    hosts.assert_nothing_left(&project);
}

#[test]
fn host_lost_while_files_are_fetched_gives_the_test_another_attempt() {
    let project = Fixture::new();
    let mut hosts = Hosts::start_apart(&project, &["one"]);
    let state = project.root().join("hosts/state").display().to_string();
    let script = format!(
        "echo try >>{state}; cd $AVOCADO_TEST_OUTPUTDIR && echo small >small
         test $(wc -l <{state}) = 1 && truncate -s 900M large; true"
    );
    project.recipe("job.json", &[shell("a", &script)]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    let latest = project
        .root()
        .join("home/persea/job-results/latest/test-results/1-a/large");
    wait_for_path("the file is fetched", || {
        latest.exists().then(|| latest.clone())
    });
    hosts.signal_sessions("one", "KILL");
    let ran = finish(persea).code(0);
    let job = project.job();
    assert_eq!(job.status("a"), "PASS", "{ran}");
    let retried = job.events_of("task-retried");
    assert_eq!(retried.len(), 1, "{retried:?}");
    assert_eq!(retried[0]["data"]["cause"], "environment-lost");
    assert_eq!(job.artifact("a", "small"), "small\n");
    assert!(!results(&project, "1-a").join("large").exists());
    hosts.assert_nothing_left(&project);
}

#[test]
fn killed_host_leaves_no_project_on_other_hosts() {
    let project = Fixture::new();
    let hosts = Hosts::start_apart(&project, &["one", "two"]);
    let began = project.root().join("hosts/began").display().to_string();
    project.recipe(
        "job.json",
        &[shell("a", &format!("echo x >{began}; sleep 1000"))],
    );
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    wait_until("the test runs", || match Path::new(&began).exists() {
        true => Ok(()),
        false => Err("not yet".to_owned()),
    });
    assert!(!hosts.left_files().is_empty());
    signal(persea.id(), "KILL");
    finish(persea);
    hosts.assert_nothing_left(&project);
}

#[test]
fn some_hosts_may_share_files_and_others_not() {
    let project = Fixture::new();
    let apart = Hosts::start_apart(&project, &["two"]);
    let config = project.root().join("home/.config/persea/config.toml");
    let of_two = std::fs::read_to_string(&config).unwrap();
    let option = of_two.lines().find(|line| line.contains("-F")).unwrap();
    let of_two = option.split('"').nth(3).unwrap().to_owned();
    let shared = Hosts::start(&project, &["one"]);
    let of_one = std::fs::read_to_string(&config).unwrap();
    let option = of_one.lines().find(|line| line.contains("-F")).unwrap();
    let of_one = option.split('"').nth(3).unwrap().to_owned();
    // One configuration of `ssh` for both.
    let both = [of_one, of_two].map(|path| std::fs::read_to_string(path).unwrap());
    let hosts = both
        .each_ref()
        .map(|text| text.split_once("Host *").unwrap());
    let text = hosts
        .map(|(host, rest)| format!("{host}{}", rest.trim_start()))
        .join("");
    let file = project.file("../hosts/config", text);
    project.user_config(&format!(
        "run.spawner = \"ssh\"\nspawner.ssh.hosts = [\"one\", \"two\"]\n\
         spawner.ssh.options = [\"-F\", \"{}\"]\n",
        file.display()
    ));
    let met = project.root().join("hosts/met").display().to_string();
    let script = format!(
        "echo $HOST_NAME; echo x >>{met}; until test $(wc -l <{met}) = 2; do sleep 0.02; done"
    );
    project.recipe("job.json", &[shell("a", &script), shell("b", &script)]);
    let ran = project.run(&["run", "job.json"]).code(0);
    notice(&ran, "two");
    assert!(!ran.stdout.contains("host one: the project"), "{ran}");
    let job = project.job();
    let mut seen = [job.artifact("a", "stdout"), job.artifact("b", "stdout")];
    seen.sort();
    assert_eq!(seen, ["one\n", "two\n"]);
    apart.assert_nothing_left(&project);
    shared.assert_nothing_left(&project);
}

//! Owns hostile checkouts: files that are pipes, devices or too large, configuration that reaches
//! out of the project, and projects of another user.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::hostile::assert_printable;
use crate::support::plugins::install;
use crate::support::recipes::{shell, with};
use crate::support::{Fixture, Ran, assert_stderr, finish};

/// The standard error contains each of these parts, and the output is safe to print.
#[track_caller]
fn assert_error(ran: &Ran, parts: &[&str]) {
    assert_stderr(ran, parts);
    assert_printable(ran);
}

#[test]
fn pipes_and_devices_in_place_of_files_are_refused() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["format-csv"]);
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = format!("plugins.keys=[\"{}\"]", keys.pk.to_base64());
    let plugin = "plugins/format-csv.wasm";
    let cases: [(&str, &[&str]); 4] = [
        ("persea.toml", &["list", "/bin/true"]),
        ("persea.lock", &["list", "/bin/true"]),
        ("job.toml", &["run", "--job", "job.toml"]),
        (
            "plugins/format-csv.wasm.minisig",
            &["plugin", "update", "csv", "--set", &key],
        ),
    ];
    assert!(fixture.project().join(plugin).exists());
    for (name, args) in cases {
        let path = fixture.project().join(name);
        let original = std::fs::read(&path).ok();
        let replacements: [&dyn Fn(); 3] = [
            &|| drop(fixture.pipe(name)),
            &|| symlink("/dev/zero", &path).unwrap(),
            &|| std::fs::create_dir(&path).unwrap(),
        ];
        for replace in replacements {
            let _ = std::fs::remove_file(&path);
            replace();
            let ran = fixture.run(args).code(4);
            assert_error(&ran, &["cannot read", name, "it is not an ordinary file"]);
        }
        std::fs::remove_dir(&path).unwrap();
        if let Some(bytes) = original {
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn oversized_files_are_refused() {
    let fixture = Fixture::new();
    let long = "#".repeat((1 << 20) + 1);
    for (name, text, args, limit) in [
        ("persea.toml", &long, &["list", "/bin/true"][..], "1 MiB"),
        ("persea.lock", &long, &["list", "/bin/true"], "1 MiB"),
        (
            "job.toml",
            &long.repeat(16),
            &["run", "--job", "job.toml"],
            "16 MiB",
        ),
    ] {
        let path = fixture.file(name, text);
        let ran = fixture.run(args).code(4);
        let limit = format!("it has more than {limit}");
        assert_error(&ran, &["cannot read", name, &limit, "take out"]);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn lock_with_the_most_entries_is_read_in_time() {
    let fixture = Fixture::new();
    let mut text = "version = 1\n".to_owned();
    let mut count = 0;
    while text.len() < (1 << 20) - 200 {
        let sha256 = format!("{count:064x}");
        text.push_str(&format!(
            "[[plugin]]\nname='n{count}'\nversion=''\ncontract=''\n\
             source='x{count}'\nsha256='{sha256}'\nroles.runner=['k']\n"
        ));
        count += 1;
    }
    fixture.file("persea.lock", text);
    let ran = fixture.run(&["list", "/bin/true"]).code(2);
    assert_eq!(ran.stdout, "exec-test /bin/true\n");
    assert_eq!(ran.stderr.lines().count(), count, "{}", ran.stderr);
    assert!(
        count > 5000 && ran.took < Duration::from_secs(15),
        "{count} took {:?}",
        ran.took
    );
}

/// A setting is ignored in the checkout's `persea.toml` and in its job file, with a warning that
/// has this reason.
#[track_caller]
fn assert_ignored(fixture: &Fixture, name: &str, value: &str, why: &str) {
    let config = fixture.root().join("home/.config/persea/config.toml");
    let job = format!(
        "[settings]\n{name} = {value}\n[[suite]]\nname = 's'\nreferences = ['/bin/true']\n"
    );
    for (file, text, args) in [
        (
            "persea.toml",
            format!("{name} = {value}\n"),
            &["run", "/bin/true"][..],
        ),
        ("job.toml", job, &["run", "--job", "job.toml"]),
    ] {
        let path = fixture.file(file, text);
        let ran = fixture.run(args).code(0);
        std::fs::remove_file(path).unwrap();
        assert_eq!(
            ran.stderr,
            format!(
                "warning: setting `{name}` from {file} is ignored: {why}; set it by `--set \
                 {name}=…` or in {}\n",
                config.display()
            )
        );
        // The job's directory is in its usual place.
        assert_eq!(fixture.job().results()["pass"], 1);
    }
}

#[test]
fn project_cannot_name_where_the_host_writes() {
    let fixture = Fixture::new();
    let profile = fixture.root().join("profile");
    std::fs::write(&profile, "mine").unwrap();
    symlink(fixture.root(), fixture.project().join("link")).unwrap();
    let precious = [".git/config", ".git/hooks/pre-commit", "notes"];
    for name in precious {
        fixture.file(name, "mine");
    }
    let absolute = profile.display().to_string();
    let inside = fixture.project().join("notes").display().to_string();
    for (format, path) in [
        ("tap", absolute.as_str()),
        ("tap", &inside),
        ("json", "../profile"),
        ("xunit", "link/profile"),
        ("csv", "../profile"),
        ("tap", ".git/config"),
        ("json", ".git/hooks/pre-commit"),
        ("xunit", "reports/results.xml"),
        ("tap", ".hidden"),
        ("tap", ".."),
    ] {
        let name = format!("job.run.result.{format}.output");
        let why = format!("`{path}` is not a plain file name, for a file in the job's directory");
        assert_ignored(&fixture, &name, &format!("'{path}'"), &why);
    }
    for path in ["results", ".git", ".", &absolute, "../results"] {
        let why = "a project may not set it";
        assert_ignored(&fixture, "run.results_dir", &format!("'{path}'"), why);
    }
    for (path, why) in [
        ("link", "`link` leads out of the project"),
        ("../x", "`../x` leads out of the project"),
    ] {
        assert_ignored(
            &fixture,
            "plugins.dirs",
            &format!("['plugins', '{path}']"),
            why,
        );
    }
    for name in precious {
        let text = std::fs::read_to_string(fixture.project().join(name)).unwrap();
        assert_eq!(text, "mine", "{name}");
    }
    assert_eq!(std::fs::read_to_string(&profile).unwrap(), "mine");
    let names = |directory: &Path| {
        let all = std::fs::read_dir(directory).unwrap();
        let mut all: Vec<_> = all
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    };
    assert_eq!(names(fixture.root()), ["home", "profile", "project"]);
    assert_eq!(names(&fixture.project()), [".git", "link", "notes"]);

    // The user's configuration and the command line may name any path.
    fixture.user_config("job.run.result.tap.output = 'notes'\n");
    let set = format!("run.results_dir={}", fixture.root().join("own").display());
    let ran = fixture.run(&["run", "--json", &absolute, "--set", &set, "/bin/true"]);
    assert_eq!(ran.code(0).stderr, "");
    let report = std::fs::read_to_string(fixture.project().join("notes")).unwrap();
    assert!(report.starts_with("1..1\n"), "{report}");
    assert!(
        std::fs::read_to_string(&profile)
            .unwrap()
            .contains("\"tests\"")
    );
    assert!(fixture.root().join("own/latest/results.tap").exists());
}

#[test]
fn report_named_by_a_project_stays_in_the_job_directory() {
    let fixture = Fixture::new();
    let name = |name: &str| format!("job.run.result.tap.output = '{name}'\n");
    fixture.file("persea.toml", name("mine.tap"));
    fixture.file("mine.tap", "mine");
    let ran = fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, "");
    let job = fixture.job();
    assert_eq!(job.read("mine.tap"), job.read("results.tap"));
    let beside = std::fs::read_to_string(fixture.project().join("mine.tap"));
    assert_eq!(beside.unwrap(), "mine");
    // A report cannot replace a file that the job or another report writes.
    for (taken, whose) in [
        (
            "results.json",
            "that file is the report of result-format `json`",
        ),
        ("events.jsonl", "that file is the job's own"),
        ("test-results", "that file is the job's own"),
        ("id", "that file is the job's own"),
    ] {
        fixture.file("persea.toml", name(taken));
        let ran = fixture.run(&["run", "/bin/true"]).code(0);
        assert_error(&ran, &[&format!("cannot write \"{taken}\": {whose}")]);
        assert_eq!(fixture.job().results()["pass"], 1);
    }
}

#[test]
fn project_cannot_open_the_sandbox() {
    let fixture = Fixture::new();
    assert_ignored(
        &fixture,
        "spawner.sandbox.network",
        "true",
        "a project may not set it",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("touch written; exec 3<>/dev/tcp/127.0.0.1/{port}");
    let test = with(shell("connects", &script), "uri", "/bin/bash".into());
    fixture.recipe("job.json", &[test]);
    fixture.user_config("run.spawner = 'sandbox'\n");
    let config = fixture.root().join("home/.config/persea/config.toml");
    let why = format!("{} sets it already", config.display());
    assert_ignored(&fixture, "run.spawner", "'process'", &why);
    fixture.file(
        "persea.toml",
        "run.spawner = 'process'\nspawner.sandbox.network = true\n",
    );
    fixture.run(&["run", "job.json"]).code(1);
    assert!(!fixture.project().join("written").exists());
    // The user's configuration may open it.
    fixture.user_config("run.spawner = 'sandbox'\nspawner.sandbox.network = true\n");
    fixture.run(&["run", "job.json"]).code(0);
    assert!(!fixture.project().join("written").exists());
    // Where the user sets no spawner, the project's setting applies.
    fixture.user_config("");
    fixture.run(&["run", "job.json"]).code(0);
    assert!(fixture.project().join("written").exists());
}

#[test]
fn report_into_a_pipe_without_a_reader_is_an_error() {
    let fixture = Fixture::new();
    fixture.pipe("pipe");
    fixture.user_config("job.run.result.tap.output = 'pipe'\n");
    let error = "error: cannot write the report pipe: it is a socket, or a pipe without a reader";
    let ran = fixture.run(&["run", "/bin/true"]).code(2);
    assert_error(&ran, &[error]);
    fixture.user_config("");
    let ran = fixture.run(&["run", "--json", "pipe", "/bin/true"]).code(2);
    assert_error(&ran, &[error]);
    let job = fixture.job();
    assert_eq!(job.results()["pass"], 1);
    assert!(job.read("results.tap").starts_with("1..1\n"));
    let report = ["report", "latest", "--format", "xunit", "-o", "pipe"];
    assert_error(&fixture.run(&report).code(2), &["a pipe without a reader"]);
}

#[test]
fn pack_refuses_a_pipe() {
    let fixture = Fixture::new();
    fixture.pipe("pipe");
    let pack = ["plugin", "pack", "pipe", "-o", "x.wasm"];
    assert_error(
        &fixture.run(&pack).code(4),
        &["cannot read pipe", "not an ordinary file"],
    );
}

/// Changes the owner of a path and of everything below it.
fn give_away(path: &Path, user: u32) {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can give files away"
    );
    std::os::unix::fs::lchown(path, Some(user), None).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path(), user);
        }
    }
}

/// Runs the binary as this user, without capabilities of root.
fn run_as(fixture: &Fixture, user: u32, args: &[&str]) -> Ran {
    let user = user.to_string();
    let setpriv = ["setpriv", "--reuid", &user, "--regid", &user];
    let setpriv = [&setpriv[..], &["--clear-groups", "--"]].concat();
    let mut command = fixture.persea_below(&setpriv, args);
    command.env("XDG_CACHE_HOME", fixture.root().join("cache"));
    finish(command.spawn().unwrap())
}

/// The owner of projects whom the user does not trust.
const STRANGER: u32 = 4711;

/// A project with a configuration, a lock that binds a runner, and a job file.
fn complete_project() -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["runner-greet"]);
    fixture.file("persea.toml", "run.max_parallel_tasks = 3\n");
    fixture.file(
        "job.toml",
        "[[suite]]\nname = 's'\nreferences = ['/bin/true']\n",
    );
    fixture
}

/// The message that a file of [`STRANGER`] is ignored.
fn ignored_message(fixture: &Fixture, name: &str, user: u32) -> String {
    let project = fixture.project().canonicalize().unwrap();
    let config = fixture.root().join("home/.config/persea/config.toml");
    format!(
        "{name} is not used, because it belongs to user {STRANGER} and you are user {user}; to \
         allow it, put `project.safe_directories = [\"{}\"]` into {}",
        project.display(),
        config.display()
    )
}

#[test]
fn project_of_another_user_is_ignored_until_it_is_listed() {
    let fixture = complete_project();
    give_away(&fixture.project(), STRANGER);
    let is_loaded = |ran: &Ran| ran.stdout.contains("runner         greet ");
    let warning = |name: &str| format!("warning: {}\n", ignored_message(&fixture, name, 0));
    let warnings = warning("persea.toml") + &warning("persea.lock");
    let ran = fixture.run(&["plugin", "list"]).code(0);
    assert_eq!(ran.stderr, warnings);
    assert!(!is_loaded(&ran), "{ran}");
    let ran = fixture.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, warnings);
    let settings = fixture.job().events()[0]["data"]["settings"].clone();
    assert_eq!(settings["run.max_parallel_tasks"], 0);
    let lock = std::fs::read(fixture.project().join("persea.lock")).unwrap();
    for args in [
        &["run", "--job", "job.toml"][..],
        &["list", "--job", "job.toml"],
        &[
            "plugin",
            "add",
            "plugins/runner-greet.wasm",
            "--grant",
            "process",
        ],
        &["plugin", "update", "greet"],
        &["plugin", "remove", "greet"],
    ] {
        let ran = fixture.run(args).code(4);
        let name = match args.contains(&"--job") {
            true => "job.toml",
            false => "persea.lock",
        };
        assert_error(&ran, &[&ignored_message(&fixture, name, 0)]);
    }
    let unchanged = std::fs::read(fixture.project().join("persea.lock")).unwrap();
    assert_eq!(unchanged, lock);

    // A project cannot declare itself safe.
    fixture.file("persea.toml", "project.safe_directories = ['*']\n");
    give_away(&fixture.project(), STRANGER);
    let ran = fixture.run(&["plugin", "list"]).code(0);
    assert!(!is_loaded(&ran), "{ran}");
    fixture.file("persea.toml", "");
    give_away(&fixture.project(), STRANGER);

    // The setting that the message suggests allows the project.
    let line = warning("persea.lock");
    let line = line.split('`').nth(1).unwrap();
    fixture.user_config(line);
    let ran = fixture.run(&["plugin", "list"]).code(0);
    assert_eq!(ran.stderr, "");
    assert!(is_loaded(&ran), "{ran}");
    fixture.run(&["run", "--job", "job.toml"]).code(0);
    fixture.run(&["plugin", "remove", "greet"]).code(0);
}

#[test]
fn file_of_another_user_is_ignored_in_an_own_project() {
    let fixture = complete_project();
    let project = fixture.project();
    // Whether the command succeeds, and whether it warns of an ignored file.
    let run_job = || {
        let ran = fixture.run(&["run", "--job", "job.toml"]);
        (ran.code == Some(0), ran.stderr.contains("is not used"))
    };
    assert_eq!(run_job(), (true, false));
    for name in ["persea.lock", "persea.toml"] {
        std::os::unix::fs::lchown(project.join(name), Some(STRANGER), None).unwrap();
        assert_eq!(run_job(), (true, true), "{name}");
        std::os::unix::fs::lchown(project.join(name), Some(0), None).unwrap();
    }
    for name in ["job.toml", "."] {
        std::os::unix::fs::lchown(project.join(name), Some(STRANGER), None).unwrap();
        assert_eq!(run_job(), (false, true), "{name}");
        std::os::unix::fs::lchown(project.join(name), Some(0), None).unwrap();
    }
    // The owner of a symbolic link counts, not that of its target.
    std::fs::rename(project.join("job.toml"), project.join("real.toml")).unwrap();
    symlink("real.toml", project.join("job.toml")).unwrap();
    assert_eq!(run_job(), (true, false));
    std::os::unix::fs::lchown(project.join("job.toml"), Some(STRANGER), None).unwrap();
    assert_eq!(run_job(), (false, true));
}

#[test]
fn ordinary_user_trusts_own_projects_and_those_of_root() {
    const USER: u32 = 4712;
    let fixture = complete_project();
    let home = fixture.root().join("home");
    std::fs::create_dir_all(&home).unwrap();
    for directory in [&home, &fixture.root().to_path_buf()] {
        std::os::unix::fs::chown(directory, Some(USER), None).unwrap();
    }
    give_away(&home, USER);
    let list = ["list", "--job", "job.toml"];
    for (owner, code) in [(USER, 0), (0, 0), (STRANGER, 4)] {
        give_away(&fixture.project(), owner);
        let ran = run_as(&fixture, USER, &list).code(code);
        assert_eq!(ran.stderr.contains("is not used"), code == 4, "{ran}");
        if code == 4 {
            assert_error(&ran, &[&ignored_message(&fixture, "job.toml", USER)]);
        }
    }
    // With sudo, root trusts the projects of the user who called it.
    let ran = fixture.run_with(&list, |command| {
        command.env("SUDO_UID", STRANGER.to_string())
    });
    assert_eq!(ran.code(0).stderr, "");
}

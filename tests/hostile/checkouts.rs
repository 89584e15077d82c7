//! A checkout of a stranger: files that are pipes, devices or enormous, and a configuration that reaches out of it.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::support::plugins::install;
use crate::support::{Ran, Sandbox};

#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in\n{ran}");
    }
    crate::hostile::assert_printable(ran);
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// The user's own configuration.
fn own(sandbox: &Sandbox, text: &str) {
    sandbox.file("../home/.config/persea/config.toml", text);
}

#[test]
fn pipes_and_devices_in_place_of_files_are_refused() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["format-csv"]);
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
    assert!(sandbox.project().join(plugin).exists());
    for (name, args) in cases {
        let path = sandbox.project().join(name);
        let kept = std::fs::read(&path).ok();
        let place: [&dyn Fn(); 3] = [
            &|| pipe(&path),
            &|| symlink("/dev/zero", &path).unwrap(),
            &|| std::fs::create_dir(&path).unwrap(),
        ];
        for put_there in place {
            let _ = std::fs::remove_file(&path);
            put_there();
            let ran = sandbox.run(args).code(4);
            says(&ran, &["cannot read", name, "it is no ordinary file"]);
        }
        std::fs::remove_dir(&path).unwrap();
        if let Some(bytes) = kept {
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn oversized_files_are_refused() {
    let sandbox = Sandbox::new();
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
        let path = sandbox.file(name, text);
        let ran = sandbox.run(args).code(4);
        let limit = format!("it has more than {limit}");
        says(&ran, &["cannot read", name, &limit, "take out"]);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn lock_with_the_most_entries_is_read_in_time() {
    let sandbox = Sandbox::new();
    let mut text = "version = 1\n".to_owned();
    let mut count = 0;
    while text.len() < (1 << 20) - 200 {
        let sha256 = format!("{count:064x}");
        text.push_str(&format!("[[plugin]]\nname='n{count}'\nworld='runner'\nversion=''\ncontract=''\nsource='x{count}'\nsha256='{sha256}'\n"));
        count += 1;
    }
    sandbox.file("persea.lock", text);
    let ran = sandbox.run(&["list", "/bin/true"]).code(2);
    assert_eq!(ran.stdout, "exec-test /bin/true\n");
    assert_eq!(ran.stderr.lines().count(), count, "{}", ran.stderr);
    assert!(
        count > 5000 && ran.took < Duration::from_secs(15),
        "{count} took {:?}",
        ran.took
    );
}

/// What stands in a checkout's `persea.toml`, or in the settings of its job file, and why it does not hold.
#[track_caller]
fn not_taken(sandbox: &Sandbox, name: &str, value: &str, why: &str) {
    let own = sandbox.root().join("home/.config/persea/config.toml");
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
        let path = sandbox.file(file, text);
        let ran = sandbox.run(args).code(0);
        std::fs::remove_file(path).unwrap();
        assert_eq!(
            ran.stderr,
            format!(
                "warning: `{name}` from {file} is not taken, because {why}; `--set {name}=…` or {} sets it\n",
                own.display()
            )
        );
        // The job is where it always is.
        assert_eq!(sandbox.job().results()["pass"], 1);
    }
}

#[test]
fn project_cannot_name_where_the_host_writes() {
    let sandbox = Sandbox::new();
    let profile = sandbox.root().join("profile");
    std::fs::write(&profile, "mine").unwrap();
    symlink(sandbox.root(), sandbox.project().join("link")).unwrap();
    let kept = [".git/config", ".git/hooks/pre-commit", "notes"];
    for name in kept {
        sandbox.file(name, "mine");
    }
    let absolute = profile.display().to_string();
    let inside = sandbox.project().join("notes").display().to_string();
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
        let why = format!("`{path}` is not the name of a file in the job's directory");
        not_taken(&sandbox, &name, &format!("'{path}'"), &why);
    }
    for path in ["results", ".git", ".", &absolute, "../results"] {
        let why = "a project cannot set it";
        not_taken(&sandbox, "run.results_dir", &format!("'{path}'"), why);
    }
    for (path, why) in [
        ("link", "`link` is not in the project, or leads out of it"),
        ("../x", "`../x` is not in the project, or leads out of it"),
    ] {
        not_taken(
            &sandbox,
            "plugins.dirs",
            &format!("['plugins', '{path}']"),
            why,
        );
    }
    for name in kept {
        let text = std::fs::read_to_string(sandbox.project().join(name)).unwrap();
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
    assert_eq!(names(sandbox.root()), ["home", "profile", "project"]);
    assert_eq!(names(&sandbox.project()), [".git", "link", "notes"]);

    // The user may name any place.
    own(&sandbox, "job.run.result.tap.output = 'notes'\n");
    let set = format!("run.results_dir={}", sandbox.root().join("own").display());
    let ran = sandbox.run(&["run", "--json", &absolute, "--set", &set, "/bin/true"]);
    assert_eq!(ran.code(0).stderr, "");
    let report = std::fs::read_to_string(sandbox.project().join("notes")).unwrap();
    assert!(report.starts_with("1..1\n"), "{report}");
    assert!(
        std::fs::read_to_string(&profile)
            .unwrap()
            .contains("\"tests\"")
    );
    assert!(sandbox.root().join("own/latest/results.tap").exists());
}

#[test]
fn report_named_by_a_project_stays_in_the_job_directory() {
    let sandbox = Sandbox::new();
    let name = |name: &str| format!("job.run.result.tap.output = '{name}'\n");
    sandbox.file("persea.toml", name("mine.tap"));
    sandbox.file("mine.tap", "mine");
    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, "");
    let job = sandbox.job();
    assert_eq!(job.read("mine.tap"), job.read("results.tap"));
    let beside = std::fs::read_to_string(sandbox.project().join("mine.tap"));
    assert_eq!(beside.unwrap(), "mine");
    // What is there already keeps its place.
    for (taken, whose) in [
        ("results.json", "that is the report of result-format `json`"),
        ("events.jsonl", "that is the job's own"),
        ("test-results", "that is the job's own"),
        ("id", "that is the job's own"),
    ] {
        sandbox.file("persea.toml", name(taken));
        let ran = sandbox.run(&["run", "/bin/true"]).code(0);
        says(&ran, &[&format!("writes no \"{taken}\": {whose}")]);
        assert_eq!(sandbox.job().results()["pass"], 1);
    }
}

#[test]
fn project_cannot_open_the_sandbox() {
    let sandbox = Sandbox::new();
    not_taken(
        &sandbox,
        "spawner.sandbox.network",
        "true",
        "a project cannot set it",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let test = serde_json::json!({
        "kind": "exec-test", "uri": "/bin/bash", "identifier": "connects",
        "args": ["-c", format!("touch written; exec 3<>/dev/tcp/127.0.0.1/{port}")],
    });
    sandbox.file("job.json", test.to_string());
    own(&sandbox, "run.spawner = 'sandbox'\n");
    let why = sandbox.root().join("home/.config/persea/config.toml");
    let why = format!("{} sets it", why.display());
    not_taken(&sandbox, "run.spawner", "'process'", &why);
    sandbox.file(
        "persea.toml",
        "run.spawner = 'process'\nspawner.sandbox.network = true\n",
    );
    sandbox.run(&["run", "job.json"]).code(1);
    assert!(!sandbox.project().join("written").exists());
    // The user may say so.
    own(
        &sandbox,
        "run.spawner = 'sandbox'\nspawner.sandbox.network = true\n",
    );
    sandbox.run(&["run", "job.json"]).code(0);
    assert!(!sandbox.project().join("written").exists());
    // And where he says nothing the project says where its tests run.
    own(&sandbox, "");
    sandbox.run(&["run", "job.json"]).code(0);
    assert!(sandbox.project().join("written").exists());
}

#[test]
fn report_into_a_pipe_without_a_reader_is_an_error() {
    let sandbox = Sandbox::new();
    pipe(&sandbox.project().join("pipe"));
    own(&sandbox, "job.run.result.tap.output = 'pipe'\n");
    let why = "error: cannot write the report pipe: it is a pipe from which nobody reads";
    let ran = sandbox.run(&["run", "/bin/true"]).code(2);
    says(&ran, &[why]);
    own(&sandbox, "");
    let ran = sandbox.run(&["run", "--json", "pipe", "/bin/true"]).code(2);
    says(&ran, &[why]);
    let job = sandbox.job();
    assert_eq!(job.results()["pass"], 1);
    assert!(job.read("results.tap").starts_with("1..1\n"));
    let report = ["report", "latest", "--format", "xunit", "-o", "pipe"];
    says(
        &sandbox.run(&report).code(2),
        &["a pipe from which nobody reads"],
    );
}

#[test]
fn pack_refuses_a_pipe() {
    let sandbox = Sandbox::new();
    pipe(&sandbox.project().join("pipe"));
    let pack = ["plugin", "pack", "pipe", "-o", "x.wasm"];
    says(
        &sandbox.run(&pack).code(4),
        &["cannot read pipe", "no ordinary file"],
    );
}

/// Gives everything in the project to another user.
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

/// The binary, run as this user, who has no rights of root's.
fn run_as(sandbox: &Sandbox, user: u32, args: &[&str]) -> Ran {
    let own = sandbox.persea(args);
    let mut command = std::process::Command::new("setpriv");
    let user = user.to_string();
    command
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
        .arg(own.get_program())
        .args(own.get_args());
    sandbox.equip(&mut command);
    command.env("XDG_CACHE_HOME", sandbox.root().join("cache"));
    crate::support::finish(command.spawn().unwrap())
}

const STRANGER: u32 = 4711;

/// A project with a configuration, a lock that binds a resolver, and a job file.
fn whole_project() -> Sandbox {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["runner-greet"]);
    sandbox.file("persea.toml", "run.max_parallel_tasks = 3\n");
    sandbox.file(
        "job.toml",
        "[[suite]]\nname = 's'\nreferences = ['/bin/true']\n",
    );
    sandbox
}

/// What is said where a file is not followed.
fn foreign(sandbox: &Sandbox, name: &str, user: u32) -> String {
    let project = sandbox.project().canonicalize().unwrap();
    let config = sandbox.root().join("home/.config/persea/config.toml");
    format!(
        "{name} is not followed, because it belongs to user {STRANGER} and you are user {user}; to allow it, put `project.safe_directories = [\"{}\"]` into {}",
        project.display(),
        config.display()
    )
}

#[test]
fn project_of_another_user_is_ignored_until_it_is_listed() {
    let sandbox = whole_project();
    give_away(&sandbox.project(), STRANGER);
    let is_loaded = |ran: &Ran| ran.stdout.contains("runner         greet ");
    let said = |name: &str| format!("warning: {}\n", foreign(&sandbox, name, 0));
    let ran = sandbox.run(&["plugin", "list"]).code(0);
    assert_eq!(ran.stderr, said("persea.toml") + &said("persea.lock"));
    assert!(!is_loaded(&ran), "{ran}");
    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, said("persea.toml") + &said("persea.lock"));
    let settings = sandbox.job().events()[0]["data"]["settings"].clone();
    assert_eq!(settings["run.max_parallel_tasks"], 0);
    let lock = std::fs::read(sandbox.project().join("persea.lock")).unwrap();
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
        let ran = sandbox.run(args).code(4);
        let name = match args.contains(&"--job") {
            true => "job.toml",
            false => "persea.lock",
        };
        says(&ran, &[&foreign(&sandbox, name, 0)]);
    }
    let now = std::fs::read(sandbox.project().join("persea.lock")).unwrap();
    assert_eq!(now, lock);

    // A project cannot list itself.
    sandbox.file("persea.toml", "project.safe_directories = ['*']\n");
    give_away(&sandbox.project(), STRANGER);
    let ran = sandbox.run(&["plugin", "list"]).code(0);
    assert!(!is_loaded(&ran), "{ran}");
    sandbox.file("persea.toml", "");
    give_away(&sandbox.project(), STRANGER);

    // The line that was said allows it.
    let line = said("persea.lock");
    let line = line.split('`').nth(1).unwrap();
    own(&sandbox, line);
    let ran = sandbox.run(&["plugin", "list"]).code(0);
    assert_eq!(ran.stderr, "");
    assert!(is_loaded(&ran), "{ran}");
    sandbox.run(&["run", "--job", "job.toml"]).code(0);
    sandbox.run(&["plugin", "remove", "greet"]).code(0);
}

#[test]
fn file_of_another_user_is_ignored_in_an_own_project() {
    let sandbox = whole_project();
    let project = sandbox.project();
    let followed = || {
        let ran = sandbox.run(&["run", "--job", "job.toml"]);
        (ran.code == Some(0), ran.stderr.contains("is not followed"))
    };
    assert_eq!(followed(), (true, false));
    for name in ["persea.lock", "persea.toml"] {
        std::os::unix::fs::lchown(project.join(name), Some(STRANGER), None).unwrap();
        assert_eq!(followed(), (true, true), "{name}");
        std::os::unix::fs::lchown(project.join(name), Some(0), None).unwrap();
    }
    for name in ["job.toml", "."] {
        std::os::unix::fs::lchown(project.join(name), Some(STRANGER), None).unwrap();
        assert_eq!(followed(), (false, true), "{name}");
        std::os::unix::fs::lchown(project.join(name), Some(0), None).unwrap();
    }
    // A link of somebody else to a file of the user's own.
    std::fs::rename(project.join("job.toml"), project.join("real.toml")).unwrap();
    symlink("real.toml", project.join("job.toml")).unwrap();
    assert_eq!(followed(), (true, false));
    std::os::unix::fs::lchown(project.join("job.toml"), Some(STRANGER), None).unwrap();
    assert_eq!(followed(), (false, true));
}

#[test]
fn ordinary_user_trusts_own_projects_and_those_of_root() {
    const USER: u32 = 4712;
    let sandbox = whole_project();
    let home = sandbox.root().join("home");
    std::fs::create_dir_all(&home).unwrap();
    for directory in [&home, &sandbox.root().to_path_buf()] {
        std::os::unix::fs::chown(directory, Some(USER), None).unwrap();
    }
    give_away(&home, USER);
    let list = ["list", "--job", "job.toml"];
    for (owner, code) in [(USER, 0), (0, 0), (STRANGER, 4)] {
        give_away(&sandbox.project(), owner);
        let ran = run_as(&sandbox, USER, &list).code(code);
        assert_eq!(ran.stderr.contains("is not followed"), code == 4, "{ran}");
        if code == 4 {
            says(&ran, &[&foreign(&sandbox, "job.toml", USER)]);
        }
    }
    let mut command = sandbox.persea(&list);
    command.env("SUDO_UID", STRANGER.to_string());
    let ran = crate::support::finish(command.spawn().unwrap()).code(0);
    assert_eq!(ran.stderr, "");
}

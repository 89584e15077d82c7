//! A checkout of a stranger: files that are pipes, devices or enormous, and a configuration that reaches out of it.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::plugins::put;
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
fn files_that_are_pipes_or_devices() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["format-csv"]);
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
fn files_that_are_larger_than_any_can_be() {
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
fn as_many_entries_as_a_lock_can_have() {
    let sandbox = Sandbox::new();
    let mut text = "version = 1\n".to_owned();
    let mut count = 0;
    while text.len() < (1 << 20) - 200 {
        let sha256 = format!("{count:064x}");
        text.push_str(&format!("[[plugin]]\nname='n{count}'\nworld='runner'\nversion=''\ncontract=''\nsource='x{count}'\nsha256='{sha256}'\n"));
        count += 1;
    }
    sandbox.file("persea.lock", text);
    let ran = sandbox.run(&["list", "/bin/true"]).code(0);
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
fn a_configuration_that_leads_out_of_the_project() {
    let sandbox = Sandbox::new();
    let profile = sandbox.root().join("profile");
    std::fs::write(&profile, "mine").unwrap();
    symlink(sandbox.root(), sandbox.project().join("link")).unwrap();
    symlink(&profile, sandbox.project().join("out.tap")).unwrap();
    symlink("../nothing", sandbox.project().join("dangling")).unwrap();
    let absolute = profile.display().to_string();
    for (name, path) in [
        ("job.run.result.tap.output", absolute.as_str()),
        ("job.run.result.json.output", "../profile"),
        ("job.run.result.xunit.output", "link/profile"),
        ("job.run.result.tap.output", "out.tap"),
        ("job.run.result.tap.output", "dangling"),
        ("job.run.result.csv.output", "../profile"),
        ("run.results_dir", "../results"),
        ("run.results_dir", "link/results"),
        ("run.results_dir", "here/../../results"),
        ("plugins.dirs", "link"),
    ] {
        let value = match name {
            "plugins.dirs" => format!("['plugins', '{path}']"),
            _ => format!("'{path}'"),
        };
        let why = format!("`{path}` is not in the project, or leads out of it");
        not_taken(&sandbox, name, &value, &why);
    }
    assert_eq!(std::fs::read_to_string(&profile).unwrap(), "mine");
    let mut left: Vec<_> = std::fs::read_dir(sandbox.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["home", "profile", "project"]);

    // What stays in it holds, and so does whatever the user says.
    let inside = sandbox.project().join("results");
    sandbox.file(
        "persea.toml",
        format!(
            "run.results_dir = '{}'\njob.run.result.tap.output = 'mine.tap'\n",
            inside.display()
        ),
    );
    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, "");
    assert!(inside.join("latest/results.tap").exists());
    assert!(sandbox.project().join("mine.tap").exists());
    sandbox.file("persea.toml", "job.run.result.tap.output = 'out.tap'\n");
    let ran = sandbox
        .run(&["run", "--tap", "out.tap", "/bin/true"])
        .code(0);
    assert_eq!(ran.stderr, "");
    let report = std::fs::read_to_string(&profile).unwrap();
    assert!(report.starts_with("1..1\n"), "{report}");
}

#[test]
fn a_configuration_that_opens_the_sandbox() {
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
fn a_report_into_a_pipe_from_which_nobody_reads() {
    let sandbox = Sandbox::new();
    pipe(&sandbox.project().join("pipe"));
    sandbox.file("persea.toml", "job.run.result.tap.output = 'pipe'\n");
    let why = "error: cannot write the report pipe: it is a pipe from which nobody reads";
    let ran = sandbox.run(&["run", "/bin/true"]).code(2);
    says(&ran, &[why]);
    sandbox.file("persea.toml", "");
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
fn a_module_for_pack_that_is_a_pipe() {
    let sandbox = Sandbox::new();
    pipe(&sandbox.project().join("pipe"));
    let pack = ["plugin", "pack", "pipe", "-o", "x.wasm"];
    says(
        &sandbox.run(&pack).code(4),
        &["cannot read pipe", "no ordinary file"],
    );
}

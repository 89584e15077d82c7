//! Owns the errors for hosts that cannot be used, before a test runs on them.

use crate::support::recipes::shell;
use crate::support::ssh::Hosts;
use crate::support::{Fixture, assert_stderr};

#[test]
fn project_does_not_name_hosts_or_arguments() {
    let project = Fixture::new();
    let settings = "spawner.ssh.hosts = ['-oProxyCommand=touch run']\n\
                    spawner.ssh.options = ['-oProxyCommand=touch run']\n";
    project.file("persea.toml", settings);
    let ran = project
        .run(&["run", "--spawner", "ssh", "/bin/true"])
        .code(2);
    assert_stderr(
        &ran,
        &[
            "`spawner.ssh.options` from persea.toml is ignored",
            "needs hosts",
        ],
    );
    let ran = project.run(&[
        "run",
        "--spawner",
        "ssh",
        "--hosts",
        "-oProxyCommand=x",
        "/bin/true",
    ]);
    assert_ne!(ran.code, Some(0));
    assert!(!project.project().join("run").exists());
    project.assert_no_job();
}

#[test]
fn noise_of_a_login_shell_is_skipped_and_shown_where_nothing_else_comes() {
    let project = Fixture::new();
    let noisy = "ForceCommand echo Welcome to this host; echo noise >&2; printf persea-; \
                 eval \"$SSH_ORIGINAL_COMMAND\"";
    let hosts = Hosts::start_with(&project, &["one"], noisy);
    project.recipe("job.json", &[shell("a", "echo out")]);
    let ran = project.run(&["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    assert_eq!(project.job().artifact("a", "stdout"), "out\n");
    hosts.assert_nothing_left(&project);
    let project = Fixture::new();
    let _hosts = Hosts::start_with(&project, &["one"], "ForceCommand echo no shell for you");
    let ran = project.run(&["run", "/bin/true"]);
    assert_stderr(
        &ran,
        &["host one", "no shell for you", "does not run commands"],
    );
    ran.code(2);
    project.assert_no_strays();
}

#[test]
fn host_that_cannot_be_used_is_an_error_before_anything_runs() {
    let assert_refused = |project: &Fixture, parts: &[&str]| {
        let ran = project.run(&["run", "/bin/true"]);
        assert_stderr(&ran, &[&["host one"], parts].concat());
        ran.code(2);
        assert!(
            !project
                .root()
                .join("home/persea/job-results/latest")
                .exists()
        );
        project.assert_no_strays();
    };
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    hosts.forget_keys();
    assert_refused(&project, &["host key is not known", "ssh -F"]);
    hosts.change_key("one");
    assert_refused(
        &project,
        &["not the one that it had before", "ssh-keygen -R"],
    );
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    hosts.lock_out();
    assert_refused(&project, &["without a password", "ssh-copy-id"]);
    hosts.kill("one");
    assert_refused(&project, &["does not answer"]);
    project.user_config(
        "run.spawner = \"ssh\"\nspawner.ssh.hosts = [\"one\"]\n\
                         spawner.ssh.options = [\"-F\", \"none\"]\n",
    );
    let ran = project.run(&["run", "--hosts", "no-such-host.invalid", "/bin/true"]);
    assert_stderr(&ran, &["host no-such-host.invalid", "name is not known"]);
    ran.code(2);
    let project = Fixture::new();
    let script = project.script("../bin/uname", "echo sparc");
    let path = script.parent().unwrap().display();
    let command = format!("ForceCommand PATH={path}:$PATH; eval \"$SSH_ORIGINAL_COMMAND\"");
    let _hosts = Hosts::start_with(&project, &["one"], &command);
    assert_refused(&project, &["machine of another kind", "sparc"]);
}

#[test]
fn missing_program_ssh_is_named() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one"]);
    let empty = project.root().join("hosts/tmp");
    let ran = project.run_with(&["run", "/bin/true"], |command| command.env("PATH", empty));
    assert_stderr(&ran, &["host one", "`ssh` is missing", "openssh-client"]);
    ran.code(2);
}

#[test]
fn files_that_must_be_shared_and_are_not_are_an_error_before_anything_runs() {
    const ARGS: [&str; 4] = ["run", "--set", "files.sharing=shared", "/bin/true"];
    let project = Fixture::new();
    project.file("../home/keep", "");
    // A host with another home directory, in which the results are.
    let home = project.root().join("home").display().to_string();
    let script = format!("mount -t tmpfs none {home} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&ARGS);
    assert_stderr(
        &ran,
        &[
            "host one",
            "does not share",
            "job-results",
            "is missing there",
        ],
    );
    ran.code(2);
    let project = Fixture::new();
    let of_project = project.project().display().to_string();
    let old = ["-d", "2020-01-01", &of_project];
    let touched = std::process::Command::new("touch").args(old).status();
    assert!(touched.unwrap().success());
    let script = format!("mount -t tmpfs none {of_project} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&ARGS);
    assert_stderr(
        &ran,
        &["host one", "project's directory", "is another one there"],
    );
    ran.code(2);
    project.assert_no_strays();
}

#[test]
fn full_disk_of_a_host_is_named() {
    let project = Fixture::new();
    let tmp = project.root().join("hosts/tmp").display().to_string();
    std::fs::create_dir_all(&tmp).unwrap();
    let script = format!("mount -t tmpfs -o size=64k none {tmp} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&["run", "/bin/true"]);
    assert_stderr(&ran, &["host one", "is the disk full", "No space left"]);
    ran.code(2);
}

#[test]
fn doctor_checks_each_configured_host() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one", "two"]);
    let ran = project.run(&["doctor"]).code(0);
    assert!(ran.stdout.contains("ssh        works"), "{ran}");
    hosts.kill("two");
    let ran = project.run(&["doctor"]).code(2);
    assert!(
        ran.stdout.contains("ssh        does not work: host two"),
        "{ran}"
    );
    hosts.assert_nothing_left(&project);
}

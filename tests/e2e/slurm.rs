//! Owns the spawner `slurm`, with real clusters: jobs on several nodes, waiting for nodes, nodes
//! and allocations that are lost while tests run, and what is left when this host is killed.

mod losses;

use serde_json::{Value, json};

use crate::support::recipes::{noop, requiring, shell};
use crate::support::slurm::Cluster;
use crate::support::{Fixture, assert_stderr, finish, signal, wait_until};

/// The nodes on which attempts of the tests were started, in this order.
fn nodes_of(project: &Fixture) -> Vec<String> {
    let events = project.job().events_of("task-started");
    let host = |event: &Value| {
        event["data"]["environment"]["host"]
            .as_str()
            .map(str::to_owned)
    };
    events.iter().filter_map(host).collect()
}

/// A test that writes its node to a file, and ends when there is another file.
fn waiting(name: &str) -> Value {
    let script = format!(
        "echo $SLURMD_NODENAME >>{name}.node; until test -e {name}.end; do sleep 0.02; done"
    );
    shell(name, &script)
}

/// Waits until a test has started this number of times.
#[track_caller]
fn wait_for_attempts(project: &Fixture, name: &str, attempts: usize) {
    wait_until(&format!("attempt {attempts} of {name}"), || {
        let lines = project.lines(&format!("{name}.node"));
        match lines.len() >= attempts {
            true => Ok(()),
            false => Err(format!("{lines:?}")),
        }
    });
}

/// What persea has written so far, to its standard output.
fn follow(child: &mut std::process::Child) -> std::sync::Arc<std::sync::Mutex<String>> {
    use std::io::Read as _;
    let mut stdout = child.stdout.take().unwrap();
    let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let all = std::sync::Arc::clone(&text);
    std::thread::spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(count @ 1..) = stdout.read(&mut piece) {
            let piece = String::from_utf8_lossy(&piece[..count]).into_owned();
            all.lock().unwrap().push_str(&piece);
        }
    });
    text
}

#[track_caller]
fn wait_for_text(text: &std::sync::Mutex<String>, part: &str) {
    wait_until(part, || {
        let text = text.lock().unwrap();
        match text.contains(part) {
            true => Ok(()),
            false => Err(text.clone()),
        }
    });
}

#[test]
fn tests_run_on_all_nodes_and_leave_nothing_there() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 2);
    project.file("data", "of the project\n");
    let meet = "echo $SLURMD_NODENAME >>met; until test $(wc -l <met) = 4; do sleep 0.02; done
                cat data; pwd; touch $AVOCADO_TEST_WORKDIR/x $AVOCADO_TESTS_COMMON_TMPDIR/x
                echo left >$AVOCADO_TEST_OUTPUTDIR/left";
    let tests: Vec<Value> = (0..4).map(|n| shell(&format!("t{n}"), meet)).collect();
    project.recipe("job.json", &tests);
    let ran = cluster.run(&project, &["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    let mut used = nodes_of(&project);
    used.sort();
    let [first, second] = [0, 1].map(|node| cluster.node(node));
    assert_eq!(used, [first, first, second, second]);
    let here = project.project().canonicalize().unwrap();
    let seen = project.job().artifact("t3", "stdout");
    assert_eq!(seen, format!("of the project\n{}\n", here.display()));
    assert_eq!(project.job().artifact("t0", "left"), "left\n");
    cluster.assert_nothing_left(&project);
}

#[test]
fn small_job_takes_no_more_nodes_than_it_has_tests() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 8);
    project.recipe("job.json", &[waiting("a")]);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    let job = cluster.job_of(&project);
    let size = cluster.ask("squeue", &["--noheader", "--format=%D %C", "--job", &job]);
    project.file("a.end", "");
    finish(persea).code(0);
    assert_eq!(size.trim(), "1 1");
}

#[test]
fn settings_reach_slurm() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 1, 1);
    project.recipe("job.json", &[waiting("a")]);
    let set = |setting| ["--set", setting];
    let args = [
        &["run"][..],
        &set("spawner.slurm.partition=lab"),
        &set("spawner.slurm.time=10m"),
        &set("spawner.slurm.extra=[\"--cpus-per-task=3\"]"),
        &["job.json"],
    ];
    let persea = cluster.persea(&project, &args.concat()).spawn().unwrap();
    wait_for_attempts(&project, "a", 1);
    let job = cluster.job_of(&project);
    let taken = cluster.ask(
        "squeue",
        &["--noheader", "--format=%P %l %C", "--job", &job],
    );
    project.file("a.end", "");
    finish(persea).code(0);
    assert_eq!(taken.trim(), "lab 10:00 3");
}

#[test]
fn refused_job_is_an_error_before_anything_runs() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 1, 1);
    for (setting, parts) in [
        (
            "spawner.slurm.partition=none",
            ["invalid partition", "spawner.slurm.partition"],
        ),
        (
            "spawner.slurm.nodes=0",
            ["needs nodes", "spawner.slurm.nodes=1"],
        ),
        (
            "spawner.slurm.extra=[\"--no-such-option\"]",
            ["unrecognized option", "spawner.slurm.extra"],
        ),
    ] {
        let args = ["run", "--set", setting, "/bin/true"];
        let ran = cluster.run(&project, &args);
        assert_stderr(&ran, &parts);
        ran.code(2);
    }
    cluster.assert_nothing_left(&project);
}

#[test]
fn machine_without_slurm_is_told_what_to_do() {
    let project = Fixture::new();
    let args = [
        "run",
        "--spawner",
        "slurm",
        "--set",
        "spawner.slurm.nodes=1",
        "/bin/true",
    ];
    let empty = project.root().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink("/bin/sh", empty.join("sh")).unwrap();
    let ran = project.run_with(&args, |command| command.env("PATH", &empty));
    assert_stderr(&ran, &["programs of Slurm are missing", "login node"]);
    ran.code(2);
}

#[test]
fn project_does_not_take_nodes() {
    let project = Fixture::new();
    project.file(
        "persea.toml",
        "spawner.slurm.nodes = 1\nspawner.slurm.extra = ['--x']\n",
    );
    let ran = project.run(&["run", "--spawner", "slurm", "/bin/true"]);
    assert_stderr(
        &ran,
        &[
            "`spawner.slurm.extra` from persea.toml is ignored",
            "needs nodes",
        ],
    );
    ran.code(2);
    project.assert_no_job();
}

#[test]
fn job_without_processes_needs_no_nodes() {
    let project = Fixture::new();
    project.recipe("job.json", &[noop("nothing")]);
    let args = [
        "run",
        "--spawner",
        "slurm",
        "--set",
        "spawner.slurm.nodes=1",
        "job.json",
    ];
    project.run(&args).code(0);
}

#[test]
fn waiting_for_nodes_is_shown_and_can_be_interrupted() {
    let cluster = Cluster::start("");
    // All processors of both nodes.
    let taken = [
        "--parsable",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
    ];
    let other = cluster.ask("sbatch", &[&taken[..], &["--wrap=sleep 1000"]].concat());
    for interrupt in ["INT", "TERM"] {
        let project = Fixture::new();
        cluster.configure(&project, 1, 1);
        let mut persea = cluster
            .persea(&project, &["run", "/bin/true"])
            .spawn()
            .unwrap();
        let text = follow(&mut persea);
        wait_for_text(
            &text,
            "is waiting for its nodes (Resources: other jobs use the nodes)",
        );
        signal(persea.id(), interrupt);
        assert_eq!(persea.wait().unwrap().code(), Some(8));
        assert_eq!(cluster.jobs_of(&project), [""; 0]);
        cluster.assert_nothing_left(&project);
    }
    // Killed, the host leaves no job in the queue either.
    let project = Fixture::new();
    cluster.configure(&project, 1, 1);
    let persea = cluster
        .persea(&project, &["run", "/bin/true"])
        .spawn()
        .unwrap();
    cluster.job_of(&project);
    signal(persea.id(), "KILL");
    finish(persea);
    cluster.assert_nothing_left(&project);
    // A job that waits long enough gets its nodes.
    let mut persea = cluster
        .persea(&project, &["run", "/bin/true"])
        .spawn()
        .unwrap();
    let text = follow(&mut persea);
    wait_for_text(&text, "is waiting for its nodes");
    cluster.ask("scancel", &[other.trim()]);
    assert_eq!(persea.wait().unwrap().code(), Some(0));
    wait_for_text(&text, " runs on ");
    cluster.assert_nothing_left(&project);
}

#[test]
fn timeouts_and_interrupts_end_tests_on_nodes() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 1, 1);
    let stubborn = "trap '' TERM; echo here >here; setsid sleep 1000 & sleep 1000; sleep 1000";
    let tests = [shell("hangs", stubborn), shell("after", "true")];
    project.recipe("job.json", &tests);
    let args = ["run", "--task-timeout", "1", "job.json"];
    cluster.run(&project, &args).code(8);
    assert_eq!(project.job().status("hangs"), "INTERRUPTED");
    assert_eq!(project.job().status("after"), "PASS");
    cluster.assert_nothing_left(&project);
    std::fs::remove_file(project.project().join("here")).unwrap();
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    project.wait_for("here");
    signal(persea.id(), "INT");
    finish(persea).code(8);
    assert_eq!(project.job().status("hangs"), "INTERRUPTED");
    assert_eq!(project.job().status("after"), "SKIP");
    cluster.assert_nothing_left(&project);
}

#[test]
fn requirements_are_met_on_one_node_and_refused_on_several() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 1);
    let needs = json!([{"type": "command", "label": "a", "setup": "echo $SLURMD_NODENAME >met",
                        "teardown": "mv met released"}]);
    let test = requiring(shell("needs", "cat met"), &needs);
    project.recipe("job.json", &[test]);
    cluster.run(&project, &["run", "job.json"]).code(1);
    project.job().assert_error("needs", &["several hosts"]);
    let one = ["run", "--set", "spawner.slurm.nodes=1", "job.json"];
    cluster.run(&project, &one).code(0);
    assert_ne!(project.job().artifact("needs", "stdout").trim(), "");
    assert!(project.project().join("released").exists());
    cluster.assert_nothing_left(&project);
}

#[test]
fn doctor_asks_the_cluster_and_takes_no_nodes() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 1);
    let ran = cluster.run(&project, &["doctor"]).code(0);
    assert!(ran.stdout.contains("slurm      works"), "{ran}");
    let set = "spawner.slurm.partition=none";
    let ran = cluster.run(&project, &["doctor", "--set", set]).code(2);
    assert!(
        ran.stdout
            .contains("slurm      does not work: Slurm refuses"),
        "{ran}"
    );
    let ran = project.run_with(&["doctor"], |command| command.env_remove("SLURM_CONF"));
    assert!(
        ran.stdout
            .contains("slurm      does not work: this machine belongs to no"),
        "{ran}"
    );
    cluster.assert_nothing_left(&project);
}

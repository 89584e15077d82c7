//! Owns what happens when a node, an allocation, the controller or this host is lost while tests
//! run.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{follow, wait_for_attempts, wait_for_text, waiting};
use crate::support::recipes::{python, shell};
use crate::support::slurm::Cluster;
use crate::support::{Fixture, finish, signal, wait_until};

/// The causes of the further attempts.
fn retries_of(project: &Fixture) -> Vec<String> {
    let events = project.job().events_of("task-retried");
    let cause = |event: &Value| event["data"]["cause"].as_str().unwrap().to_owned();
    events.iter().map(cause).collect()
}

/// Puts a job back into the queue.
fn requeue(cluster: &Cluster, job: &str) {
    cluster.ask("scontrol", &["requeue", job]);
}

/// Ends the two minutes for which Slurm lets a requeued job wait.
#[track_caller]
fn start_now(cluster: &Cluster, job: &str) {
    wait_until("the job is in the queue", || {
        let shown = cluster.ask("scontrol", &["--oneliner", "show", "job", job]);
        match shown.contains("JobState=PENDING") {
            true => Ok(()),
            false => Err(shown),
        }
    });
    let number = format!("JobId={job}");
    cluster.ask("scontrol", &["update", &number, "StartTime=now"]);
}

#[test]
fn killed_host_leaves_nothing_on_the_cluster() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 1);
    let stray = "setsid sh -c 'trap \"\" TERM HUP; echo here >stray; sleep 1000' & wait";
    project.recipe("job.json", &[waiting("a"), shell("b", stray)]);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    project.wait_for("stray");
    signal(persea.id(), "KILL");
    finish(persea);
    cluster.assert_nothing_left(&project);
}

#[test]
fn machine_of_the_host_that_is_switched_off_leaves_nothing_after_the_lease() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 1);
    project.recipe("job.json", &[waiting("a"), waiting("b")]);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    wait_for_attempts(&project, "b", 1);
    let began = Instant::now();
    // The host and its programs stand still, and then vanish without a word.
    let of_host = |line: &str| {
        line.starts_with("srun ")
            || line.starts_with("/bin/sh -c trap")
            || line.contains("persea run")
    };
    let all = project.processes();
    let all: Vec<u32> = all
        .iter()
        .filter(|(_, line)| of_host(line))
        .map(|(pid, _)| *pid)
        .collect();
    assert!(all.len() > 3, "{all:?}");
    for pid in &all {
        signal(*pid, "STOP");
    }
    wait_until("only the programs that stand still are left", || {
        let mut left = project.processes();
        left.retain(|(pid, _)| !all.contains(pid));
        // The job is being ended. Slurm waits for the programs that stand still.
        let held = cluster.jobs_in(&project, "PENDING,RUNNING");
        match left.is_empty() && held.is_empty() {
            true => Ok(()),
            false => Err(format!("{left:?} {held:?}")),
        }
    });
    for pid in &all {
        signal(*pid, "KILL");
    }
    finish(persea);
    cluster.assert_nothing_left(&project);
    assert!(began.elapsed() < Duration::from_secs(90));
}

#[test]
fn failed_node_moves_tests_to_another_node() {
    let cluster = Cluster::start("SlurmdTimeout=5");
    let project = Fixture::new();
    cluster.configure(&project, 2, 1);
    project.recipe("job.json", &[waiting("a"), waiting("b")]);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    wait_for_attempts(&project, "b", 1);
    // The pilot is on the first node.
    cluster.kill_node(1);
    let lost = match project.wait_for("a.node").trim() == cluster.node(1) {
        true => "a",
        false => "b",
    };
    project.file(&format!("{}.end", if lost == "a" { "b" } else { "a" }), "");
    wait_for_attempts(&project, lost, 2);
    project.file(&format!("{lost}.end"), "");
    finish(persea).code(0);
    let nodes = project.lines(&format!("{lost}.node"));
    assert_eq!(nodes, [cluster.node(1), cluster.node(0)]);
    assert_eq!(retries_of(&project), ["environment-lost"]);
    cluster.assert_nothing_left(&project);
}

#[test]
fn requeued_allocation_continues_on_another_node() {
    let cluster = Cluster::start("SlurmdTimeout=5");
    let project = Fixture::new();
    cluster.configure(&project, 1, 1);
    project.recipe("job.json", &[waiting("a"), shell("b", "true")]);
    let mut persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    let text = follow(&mut persea);
    wait_for_attempts(&project, "a", 1);
    let job = cluster.job_of(&project);
    requeue(&cluster, &job);
    wait_for_text(&text, "has lost its nodes, and is waiting for others");
    start_now(&cluster, &job);
    wait_for_attempts(&project, "a", 2);
    project.file("a.end", "");
    assert_eq!(persea.wait().unwrap().code(), Some(0));
    assert_eq!(retries_of(&project), ["environment-lost"]);
    assert_eq!(project.job().status("a"), "PASS");
    cluster.assert_nothing_runs(&project);
}

#[test]
fn cancelled_allocation_ends_the_job_with_clear_errors() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 2, 1);
    project.recipe(
        "job.json",
        &[waiting("a"), waiting("b"), shell("c", "true")],
    );
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    wait_for_attempts(&project, "b", 1);
    let job = cluster.job_of(&project);
    cluster.ask("scancel", &[&job]);
    finish(persea).code(1);
    for name in ["a", "b", "c"] {
        let parts = ["no host is left", &job, "it was cancelled"];
        project.job().assert_error(name, &parts);
    }
    cluster.assert_nothing_runs(&project);
}

#[test]
fn allocation_whose_time_is_over_ends_the_job_with_clear_errors() {
    let (project, cluster) = (Fixture::new(), Cluster::shared());
    cluster.configure(&project, 1, 1);
    project.recipe("job.json", &[waiting("a"), shell("b", "true")]);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    // The limits of Slurm are whole minutes, and it looks at them every half.
    let job = cluster.job_of(&project);
    let number = format!("JobId={job}");
    cluster.ask("scontrol", &["update", &number, "EndTime=now"]);
    finish(persea).code(1);
    for name in ["a", "b"] {
        let parts = ["no host is left", "its time is over", "spawner.slurm.time"];
        project.job().assert_error(name, &parts);
    }
    cluster.assert_nothing_runs(&project);
}

#[test]
fn restarted_controller_disturbs_no_test() {
    let cluster = Cluster::start("");
    let project = Fixture::new();
    cluster.configure(&project, 2, 1);
    project.recipe(
        "job.json",
        &[waiting("a"), shell("b", "sleep 0.1"), shell("c", "true")],
    );
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    wait_for_attempts(&project, "a", 1);
    cluster.stop_controller();
    // Longer than the lease of the helpers.
    std::thread::sleep(Duration::from_secs(7));
    cluster.restart_controller();
    project.file("a.end", "");
    finish(persea).code(0);
    assert_eq!(retries_of(&project), [""; 0]);
    cluster.assert_nothing_left(&project);
}

#[test]
fn controller_that_is_away_during_a_loss_is_waited_for() {
    let cluster = Cluster::start("");
    let project = Fixture::new();
    cluster.configure(&project, 1, 1);
    project.recipe("job.json", &[waiting("a")]);
    let mut persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    let text = follow(&mut persea);
    wait_for_attempts(&project, "a", 1);
    cluster.stop_controller();
    let helpers = project.processes();
    let helpers = helpers.iter().filter(|(_, line)| {
        // Not its guard, which ends the test.
        line.ends_with("/helper ") && !line.contains(" guard ")
    });
    for (pid, _) in helpers {
        signal(*pid, "KILL");
    }
    wait_for_text(&text, "Slurm does not answer about job");
    cluster.restart_controller();
    wait_for_attempts(&project, "a", 2);
    project.file("a.end", "");
    assert_eq!(persea.wait().unwrap().code(), Some(0));
    assert_eq!(retries_of(&project), ["environment-lost"]);
    cluster.assert_nothing_left(&project);
}

#[test]
fn batch_whose_allocation_is_requeued_repeats_only_the_test_that_ran() {
    let cluster = Cluster::start("");
    let project = Fixture::new();
    cluster.configure(&project, 1, 1);
    project.file(
        "test_it.py",
        "import os, time, unittest\n\
         class T(unittest.TestCase):\n\
         \x20   def test_a(self): open('a', 'a').write('run\\n')\n\
         \x20   def test_b(self):\n\
         \x20       open('b', 'a').write('run\\n')\n\
         \x20       while not os.path.exists('end'): time.sleep(0.02)\n",
    );
    let tests = ["a", "b"].map(|name| python(name, &format!("test_it.py:T.test_{name}")));
    project.recipe("job.json", &tests);
    let persea = cluster
        .persea(&project, &["run", "job.json"])
        .spawn()
        .unwrap();
    project.wait_for("b");
    let job = cluster.job_of(&project);
    requeue(&cluster, &job);
    start_now(&cluster, &job);
    wait_until("the second attempt", || match project.lines("b").len() {
        2.. => Ok(()),
        attempts => Err(format!("{attempts} attempts")),
    });
    project.file("end", "");
    finish(persea).code(0);
    assert_eq!(project.lines("a").len(), 1);
    assert_eq!(retries_of(&project), ["environment-lost"]);
}

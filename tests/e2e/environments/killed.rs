//! Owns the promise that a job with several environments survives the end of its host: each test
//! goes on where it was to run, and what was changed in a place is undone there.

use serde_json::{Value, json};

use super::{in_image, on, places, project};
use crate::chaos::faults;
use crate::support::recipes::{requiring, shell, with};
use crate::support::{Fixture, finish, signal, wait_until};

/// A test that ends when the project has the file `end`.
fn waiting(name: &str) -> Value {
    shell(name, "until test -e end; do sleep 0.02; done")
}

/// Kills the host of the recipe `job.json` when the journal has this number of events of a kind.
#[track_caller]
fn kill_after(project: &Fixture, (kind, count): (&str, usize)) {
    let args = ["run", "--max-parallel-tasks", "6", "job.json"];
    let child = project.persea(&args).spawn().unwrap();
    let latest = project.root().join("home/persea/job-results/latest");
    wait_until(kind, || {
        let is_there = latest.join("events.jsonl").exists();
        let events = is_there.then(|| project.job().events_of(kind));
        let events = events.unwrap_or_default();
        let is_reached = events.len() >= count;
        is_reached
            .then_some(())
            .ok_or_else(|| format!("{events:?}"))
    });
    signal(child.id(), "KILL");
    finish(child);
}

#[test]
fn killed_job_goes_on_in_each_of_its_environments() {
    let (engine, hosts, project) = project(&["one"]);
    engine.import("localhost/debian", &["debian"], "");
    let in_debian = |test| in_image("localhost/debian", test);
    let running = [
        waiting("here"),
        on("sandbox", waiting("box")),
        in_debian(waiting("image")),
        on("ssh", waiting("host")),
    ];
    let after = |name: &str, script: &str| with(shell(name, script), "needs", json!(["image"]));
    let later = [
        after("later-here", "test ! -e /debian && touch of-later"),
        on("sandbox", after("later-box", "touch of-box")),
        in_debian(after("later-image", "test -e /debian")),
        on("ssh", after("later-host", "test \"$HOST_NAME\" = one")),
    ];
    project.recipe("job.json", &[&running[..], &later].concat());
    kill_after(&project, ("task-started", running.len()));
    let names = |place: &str| [place.to_owned(), format!("later-{place}")];
    // The plan is that of the journal, and so is the place of each test.
    project.file("end", "");
    project.recipe("job.json", &[]);
    project.file("persea.toml", "run.spawner = 'sandbox'\n");
    let ran = project.run(&["run", "--resume", "latest"]).code(0);
    let faults = faults(&project, &ran, running.len() + later.len());
    assert!(faults.is_empty(), "{}\n{ran}", faults.join("\n"));
    let found = places(&project);
    for (place, expected) in [
        ("here", "process"),
        ("box", "sandbox"),
        ("image", "container localhost/debian"),
        ("host", "ssh one"),
    ] {
        for name in names(place) {
            assert_eq!(found[&name], expected, "{name}\n{ran}");
        }
    }
    let exists = |name: &str| project.project().join(name).exists();
    assert!(exists("of-later") && !exists("of-box"), "{ran}");
    let lost = project.job().events_of("environment-changed");
    let lost = lost.iter().filter(|it| it["data"]["state"] == "lost");
    let mut lost: Vec<&str> = lost
        .map(|it| it["data"]["spawner"].as_str().unwrap())
        .collect();
    lost.sort_unstable();
    assert_eq!(lost, ["container", "process", "sandbox", "ssh"], "{ran}");
    engine.assert_no_containers_of(&project);
    hosts.assert_nothing_left(&project);
}

/// Kills a job with a requirement that is met in two places, and has it released.
#[track_caller]
fn assert_released_by(how: &[&str]) {
    let (_engine, hosts, project) = project(&["one"]);
    let says = |word: &str| format!("echo {word} ${{HOST_NAME:-here}} >>log");
    let needed = json!([{"type": "command", "setup": says("up"), "teardown": says("down")}]);
    let needing = |name: &str| requiring(waiting(name), &needed);
    let tests = [needing("here"), on("ssh", needing("host"))];
    project.recipe("job.json", &tests);
    kill_after(&project, ("task-started", tests.len()));
    assert_eq!(project.lines("log").len(), 2);
    project.file("end", "");
    project.run(how).code(0);
    let log = project.lines("log");
    let mut downs = log[2..4].to_vec();
    downs.sort();
    assert_eq!(downs, ["down here", "down one"], "{log:?}");
    hosts.assert_nothing_left(&project);
}

#[test]
fn requirement_of_a_killed_job_is_released_where_it_was_met() {
    assert_released_by(&["release"]);
}

#[test]
fn requirement_of_a_resumed_job_is_released_where_it_was_met() {
    assert_released_by(&["run", "--resume", "latest"]);
}

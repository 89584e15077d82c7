//! Owns what happens when a host, a container or the engine is killed while tests run.

use serde_json::json;

use super::{making, project, wait_for_output};
use crate::support::engine::{Engine, IMAGE};
use crate::support::recipes::{requiring, shell};
use crate::support::{Fixture, finish, signal, wait_until};

#[test]
fn killed_host_leaves_no_container() {
    // Any other host of the engine would remove the snapshot too.
    let (engine, project) = (Engine::start(), Fixture::new());
    engine.configure(&project);
    let script = "setsid sleep 1000 & echo on >$AVOCADO_TEST_OUTPUTDIR/on; sleep 1000";
    project.recipe(
        "job.json",
        &[requiring(
            shell("long", script),
            &json!([making("a", "job")]),
        )],
    );
    let mut child = project.persea(&["run", "job.json"]).spawn().unwrap();
    wait_for_output(&project, "1-long/on");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    engine.assert_no_containers_of(&project);
    project.assert_no_strays();
    // Only the snapshot does not go by itself.
    let released = project.run(&["release"]).code(0);
    let line = "spawner container: removed 1 containers, images and cgroups of killed jobs\n";
    assert!(released.stdout.ends_with(line), "{released}");
    let root = project.root().display().to_string();
    let images = engine.run(&["images", "--all", "--format", "{{.Labels}}"]);
    assert!(!images.stdout.contains(&root), "{images}");
}

#[test]
fn container_that_a_killed_host_never_started_is_removed_by_the_next_job() {
    let (engine, project) = project();
    // A running container has the labels of this machine.
    project.recipe(
        "job.json",
        &[shell("a", "while test ! -e go; do sleep 0.1; done")],
    );
    let child = project.persea(&["run", "job.json"]).spawn().unwrap();
    let running = wait_until("the container", || {
        let found = engine.containers_of(&project).pop();
        found.ok_or_else(|| "not yet".to_owned())
    });
    let format = "{{index .Config.Labels \"persea.host\"}}";
    let host = engine
        .run(&["inspect", "--format", format, &running])
        .stdout;
    let host = format!("--label=persea.host={}", host.trim());
    let gone = format!("--label=persea.temporary={}/gone", project.root().display());
    let mine = engine.run(&["create", &host, &gone, IMAGE, "true"]).stdout;
    let other = "--label=persea.host=elsewhere";
    let others = engine.run(&["create", other, &gone, IMAGE, "true"]).stdout;
    project.recipe("next.json", &[shell("next", "true")]);
    project.run(&["run", "next.json"]).code(0);
    let left = engine.containers_of(&project);
    assert!(!left.contains(&mine.trim().to_owned()), "{left:?}");
    // That of a job which runs, and that of another machine, stay.
    assert!(
        left.contains(&running) && left.contains(&others.trim().to_owned()),
        "{left:?}"
    );
    project.file("go", "");
    finish(child).code(0);
    engine.run(&["rm", others.trim()]);
}

#[test]
fn running_tests_survive_an_engine_that_is_killed() {
    let engine = Engine::start();
    let project = Fixture::new();
    engine.configure(&project);
    let script = "echo on >$AVOCADO_TEST_OUTPUTDIR/on; while test ! -e go; do sleep 0.1; done";
    project.recipe("job.json", &[shell("long", script), shell("after", "true")]);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    let child = project.persea(&args).spawn().unwrap();
    wait_for_output(&project, "1-long/on");
    engine.kill();
    project.file("go", "");
    finish(child).code(0);
    assert_eq!(project.job().status("long"), "PASS");
    assert_eq!(project.job().status("after"), "PASS");
    engine.restart();
    engine.assert_no_containers_of(&project);
}

#[test]
fn container_that_somebody_removes_costs_its_own_test() {
    let (engine, project) = project();
    let script = "echo on >$AVOCADO_TEST_OUTPUTDIR/on; sleep 1000";
    project.recipe("job.json", &[shell("long", script), shell("after", "true")]);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    let child = project.persea(&args).spawn().unwrap();
    wait_for_output(&project, "1-long/on");
    for container in engine.containers_of(&project) {
        engine.run(&["rm", "--force", "--time=0", &container]);
    }
    finish(child).code(1);
    let job = project.job();
    job.assert_error("long", &["the helper", "has died"]);
    assert_eq!(job.status("after"), "PASS");
    engine.assert_no_containers_of(&project);
}

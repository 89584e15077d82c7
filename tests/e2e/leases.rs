//! Owns leases beyond variables: what the plugins of a task get to know of the instances that it
//! holds, and requirements that are met on these instances.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::{Fixture, finish, wait_until};

const BOARDS: &str = "[run.resources]\nboard = [\"b1\", \"b2\"]\n";

/// A task of the plugin `lab` that takes a board and requires an image on it.
fn flashed(name: &str, image: &str, board: Value) -> Value {
    let image = json!({"type": "image", "uri": image, "scope": "task"});
    json!({"kind": "lab", "uri": name, "resources": {"board": board},
        "kwargs": {"dependencies": [image]}})
}

fn project(tasks: &[Value]) -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture.file("persea.toml", BOARDS);
    fixture.recipe("job.json", tasks);
    fixture
}

/// The boards of a task, as its runner got to know them.
fn boards(fixture: &Fixture, task: &str) -> String {
    let finished = fixture.job().events_of("task-finished");
    let event = finished.iter().find(|event| event["task"] == task);
    event.unwrap()["data"]["boards"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn equal_requirements_on_different_boards_are_met_side_by_side() {
    let any = || json!(1);
    let tasks = [flashed("a", "image", any()), flashed("b", "image", any())];
    let fixture = project(&tasks);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
        "job.json",
    ];
    let child = fixture.persea(&args).spawn().unwrap();
    // Neither ends before both have begun.
    wait_until("two requirements", || {
        let begun = fixture.lines("lab.log");
        (begun.len() == 2)
            .then_some(())
            .ok_or_else(|| format!("{begun:?}"))
    });
    fixture.file("image", "");
    let ran = finish(child).code(0);
    let mut begun = fixture.lines("lab.log");
    begun.truncate(2);
    begun.sort();
    assert_eq!(begun, ["begin image b1 -", "begin image b2 -"], "{ran}");
    let mut held = [boards(&fixture, "1-a"), boards(&fixture, "2-b")];
    held.sort();
    assert_eq!(held, ["b1", "b2"]);
}

#[test]
fn equal_requirements_on_different_boards_have_sandboxes_of_their_own() {
    // `once` fails where the requirement has not left the file in the environment of the task.
    let task = |name: &str| {
        let mut task = flashed(name, "image", json!(1));
        task["args"] = json!(["once lab.log"]);
        task
    };
    let fixture = project(&[task("a"), task("b")]);
    fixture.file("image", "");
    let args = ["run", "--plugin-dir", "plugins", "--spawner", "sandbox"];
    let two = ["--max-parallel-tasks", "2", "job.json"];
    fixture.run(&[&args[..], &two].concat()).code(0);
    let job = fixture.job();
    let started = job.events_of("requirement-started");
    let mut leases: Vec<String> = started
        .iter()
        .map(|event| event["data"]["leases"].to_string())
        .collect();
    leases.sort();
    assert_eq!(leases, [r#"{"board":["b1"]}"#, r#"{"board":["b2"]}"#]);
    let mut held = [boards(&fixture, "1-a"), boards(&fixture, "2-b")];
    held.sort();
    assert_eq!(held, ["b1", "b2"]);
    assert!(
        fixture.lines("lab.log").is_empty(),
        "the log stays in the sandboxes"
    );
}

#[test]
fn board_is_held_until_its_requirement_is_released() {
    let named = || json!(["b2"]);
    let tasks = [flashed("a", "one", named()), flashed("b", "two", named())];
    let fixture = project(&tasks);
    fixture.file("one", "");
    fixture.file("two", "");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
        "job.json",
    ];
    fixture.run(&args).code(0);
    let expected = ["one", "two"].map(|image| {
        let words = ["begin", "end", "release"];
        words.map(|word| format!("{word} {image} b2 -"))
    });
    assert_eq!(fixture.lines("lab.log"), expected.concat());
    let started = fixture.job().events_of("requirement-started");
    assert_eq!(started[0]["data"]["leases"], json!({"board": ["b2"]}));
    assert_eq!(boards(&fixture, "2-b"), "b2");
}

#[test]
fn requirement_of_a_task_gets_the_variant_of_the_task() {
    let fixture = project(&[]);
    fixture.file("image", "");
    let job = r#"
        [[suite]]
        name = "all"
        requirements = [{ type = "image", uri = "image", scope = "task" }]
        [[suite.task]]
        kind = "lab"
        uri = "a"
        resources = { board = 1 }
        [suite.variants]
        axes.size = ["small", "large"]
    "#;
    fixture.file("job.toml", job);
    let args = ["run", "--plugin-dir", "plugins", "--job", "job.toml"];
    fixture.run(&args).code(0);
    let begun = fixture.lines("lab.log").join("\n");
    assert!(
        begun.contains("small") && begun.contains("large"),
        "{begun}"
    );
}

//! Many quick tests, which follow each other in a slot without the host: the same holds for them as for all others.

use serde_json::{Value, json};

use crate::support::{Job, Sandbox};

/// A recipe of these programs, one task each.
fn recipe(sandbox: &Sandbox, uris: &[&str]) {
    let runnables: Vec<Value> = uris
        .iter()
        .map(|uri| json!({"kind": "exec-test", "uri": uri}))
        .collect();
    sandbox.file("quick.json", Value::from(runnables).to_string());
}

/// The tasks of the events of a kind, in their order.
fn tasks<'a>(events: &'a [Value], kind: &str) -> Vec<&'a str> {
    events
        .iter()
        .filter(|event| event["event"] == kind)
        .map(|event| event["task"].as_str().unwrap())
        .collect()
}

fn by_name(job: &Job, name: &str) -> Value {
    let events = job.events();
    let found = events
        .iter()
        .find(|event| event["event"] == "task-finished" && event["data"]["name"] == name);
    found.unwrap()["data"].clone()
}

#[test]
fn quick_tasks_run_once_in_plan_order() {
    let sandbox = Sandbox::new();
    recipe(&sandbox, &["/bin/true"; 200]);
    let ran = sandbox
        .run(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "--set",
            "human.output.started=true",
            "quick.json",
        ])
        .code(0);
    let events = sandbox.job().events();
    let planned = tasks(&events, "task-planned");
    assert_eq!(planned.len(), 200);
    assert_eq!(tasks(&events, "task-started"), planned);
    assert_eq!(tasks(&events, "task-finished"), planned);
    // One at a time: a start is told after the end of the one before.
    let lines: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.contains("/bin/true"))
        .collect();
    assert_eq!(lines.len(), 400);
    for pair in lines.chunks(2) {
        assert!(pair[0].ends_with("STARTED"), "{pair:?}");
        assert!(pair[1].contains("PASS"), "{pair:?}");
    }
}

#[test]
fn slow_task_delays_no_other() {
    let sandbox = Sandbox::new();
    // It ends when all others have.
    sandbox.script(
        "slow.sh",
        r#"until [ "$(grep -c task-finished "$AVOCADO_TEST_OUTPUTDIR/../../events.jsonl")" = 199 ]; do sleep 0.05; done"#,
    );
    sandbox.script("quick.sh", "mkdir -p done; : > done/$$");
    let mut uris = ["./quick.sh"; 200];
    uris[100] = "./slow.sh";
    recipe(&sandbox, &uris);
    sandbox
        .run(&["run", "--max-parallel-tasks", "2", "quick.json"])
        .code(0);
    let events = sandbox.job().events();
    let ended = tasks(&events, "task-finished");
    assert_eq!(ended.len(), 200);
    assert!(ended[199].ends_with("slow.sh"), "{:?}", ended[199]);
}

#[test]
fn files_and_processes_are_cleaned_up_between_tasks() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "leaves.sh",
        r#"[ -z "$(ls -A "$AVOCADO_TEST_WORKDIR")" ] || exit 3
           : > "$AVOCADO_TEST_WORKDIR/file"
           setsid sleep 3600 </dev/null >/dev/null 2>&1 &"#,
    );
    let uris: Vec<&str> = ["/bin/true", "./leaves.sh"].repeat(20);
    recipe(&sandbox, &uris);
    sandbox.run(&["run", "quick.json"]).code(0);
    let job = sandbox.job();
    assert_eq!(by_name(&job, "./leaves.sh")["left-behind"], 1);
    assert_eq!(by_name(&job, "/bin/true")["left-behind"], Value::Null);
    sandbox.assert_no_strays();
}

#[test]
fn killed_helper_fails_only_the_running_task() {
    let sandbox = Sandbox::new();
    sandbox.script("kills.sh", "kill -9 $PPID; sleep 3600");
    let mut uris = ["/bin/true"; 200];
    uris[100] = "./kills.sh";
    recipe(&sandbox, &uris);
    sandbox
        .run(&["run", "--max-parallel-tasks", "1", "quick.json"])
        .code(1);
    let job = sandbox.job();
    assert_eq!(job.status("./kills.sh"), "ERROR");
    assert!(job.reason("./kills.sh").contains("helper"));
    assert_eq!(job.results()["pass"], 199);
    assert_eq!(job.results()["total"], 200);
    sandbox.assert_no_strays();
}

#[test]
fn timeouts_interrupt_only_the_running_task() {
    let sandbox = Sandbox::new();
    sandbox.script("hangs.sh", "sleep 3600");
    let mut uris = ["/bin/true"; 200];
    uris[100] = "./hangs.sh";
    recipe(&sandbox, &uris);
    sandbox
        .run(&["run", "--task-timeout", "1", "quick.json"])
        .code(8);
    assert_eq!(sandbox.job().status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(sandbox.job().results()["pass"], 199);
    sandbox
        .run(&[
            "run",
            "--job-timeout",
            "1",
            "--max-parallel-tasks",
            "1",
            "quick.json",
        ])
        .code(8);
    let results = sandbox.job().results();
    assert_eq!(sandbox.job().status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(results["total"], 200);
    assert_eq!(results["interrupt"], 1);
    assert_eq!(results["pass"], 100);
    assert_eq!(results["skip"], 99);
    sandbox.assert_no_strays();
}

#[test]
fn failfast_starts_no_task_after_a_failure() {
    let sandbox = Sandbox::new();
    let mut uris = ["/bin/true"; 200];
    uris[100] = "/bin/false";
    recipe(&sandbox, &uris);
    sandbox
        .run(&[
            "run",
            "--failfast",
            "--max-parallel-tasks",
            "1",
            "quick.json",
        ])
        .code(1);
    let events = sandbox.job().events();
    assert_eq!(tasks(&events, "task-started").len(), 101);
    assert_eq!(sandbox.job().results()["skip"], 99);
}

#[test]
fn only_tasks_with_output_have_a_directory() {
    let sandbox = Sandbox::new();
    sandbox.script("marks.sh", ": > \"$AVOCADO_TEST_OUTPUTDIR/marker\"");
    sandbox.script("says.sh", "echo \"$AVOCADO_TEST_OUTPUTDIR\"");
    let uris = ["/bin/true", "./marks.sh", "/bin/true", "./says.sh"].repeat(25);
    recipe(&sandbox, &uris);
    for spawner in ["process", "sandbox"] {
        let args = ["run", "--spawner", spawner, "quick.json"];
        sandbox.run(&args).code(0);
        let job = sandbox.job();
        let mut seen = Vec::new();
        for entry in std::fs::read_dir(job.0.join("test-results")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let files = std::fs::read_dir(&path).unwrap().count();
            let said = std::fs::read_to_string(path.join("stdout")).unwrap();
            match name.rsplit_once('_').unwrap().1 {
                "marks.sh" => assert_eq!((files, said.as_str()), (3, ""), "{name}"),
                "says.sh" => {
                    assert_eq!(files, 2, "{name}");
                    assert!(said.ends_with(&format!("/test-results/{name}\n")), "{said}");
                }
                _ => panic!("{name} is there with {spawner}"),
            }
            seen.push(name);
        }
        assert_eq!(seen.len(), 50);
    }
}

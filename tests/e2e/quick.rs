//! Owns pipelining: hundreds of quick tests, which the helper of a slot starts one after the other
//! without the host. They keep every promise that slow tests keep.

use serde_json::Value;

use crate::support::recipes::programs;
use crate::support::{Fixture, Job};

/// The result of a task in the journal.
fn finished(job: &Job, name: &str) -> Value {
    let events = job.events_of("task-finished");
    let found = events.iter().find(|event| event["data"]["name"] == name);
    found.unwrap()["data"].clone()
}

#[test]
fn quick_tasks_run_once_in_plan_order() {
    let fixture = Fixture::new();
    fixture.recipe("quick.json", &programs(&["/bin/true"; 200]));
    let ran = fixture
        .run(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "--set",
            "human.output.started=true",
            "quick.json",
        ])
        .code(0);
    let job = fixture.job();
    let planned = job.ids();
    assert_eq!(planned.len(), 200);
    assert_eq!(job.tasks_with("task-started"), planned);
    assert_eq!(job.tasks_with("task-finished"), planned);
    // In one slot the display shows each start after the previous task's result.
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
    let fixture = Fixture::new();
    // It ends after all other tests have.
    fixture.script(
        "slow.sh",
        r#"journal="$AVOCADO_TEST_OUTPUTDIR/../../events.jsonl"
           until [ "$(grep -c task-finished "$journal")" = 199 ]; do sleep 0.05; done"#,
    );
    fixture.script("quick.sh", "mkdir -p done; : > done/$$");
    let mut uris = ["./quick.sh"; 200];
    uris[100] = "./slow.sh";
    fixture.recipe("quick.json", &programs(&uris));
    fixture
        .run(&["run", "--max-parallel-tasks", "2", "quick.json"])
        .code(0);
    let ended = fixture.job().tasks_with("task-finished");
    assert_eq!(ended.len(), 200);
    assert!(ended[199].ends_with("slow.sh"), "{:?}", ended[199]);
}

#[test]
fn files_and_processes_are_cleaned_up_between_tasks() {
    let fixture = Fixture::new();
    fixture.script(
        "leaves.sh",
        r#"[ -z "$(ls -A "$AVOCADO_TEST_WORKDIR")" ] || exit 3
           : > "$AVOCADO_TEST_WORKDIR/file"
           setsid sleep 3600 </dev/null >/dev/null 2>&1 &"#,
    );
    let uris: Vec<&str> = ["/bin/true", "./leaves.sh"].repeat(20);
    fixture.recipe("quick.json", &programs(&uris));
    fixture.run(&["run", "quick.json"]).code(0);
    let job = fixture.job();
    assert_eq!(finished(&job, "./leaves.sh")["left-behind"], 1);
    assert_eq!(finished(&job, "/bin/true")["left-behind"], Value::Null);
    fixture.assert_no_strays();
}

#[test]
fn killed_helper_fails_only_the_running_task() {
    let fixture = Fixture::new();
    fixture.script("kills.sh", "kill -9 $PPID; sleep 3600");
    let mut uris = ["/bin/true"; 200];
    uris[100] = "./kills.sh";
    fixture.recipe("quick.json", &programs(&uris));
    fixture
        .run(&["run", "--max-parallel-tasks", "1", "quick.json"])
        .code(1);
    let job = fixture.job();
    assert_eq!(job.status("./kills.sh"), "ERROR");
    assert!(job.reason("./kills.sh").contains("helper"));
    assert_eq!(job.results()["pass"], 199);
    assert_eq!(job.results()["total"], 200);
    fixture.assert_no_strays();
}

#[test]
fn timeouts_interrupt_only_the_running_task() {
    let fixture = Fixture::new();
    fixture.script("hangs.sh", "sleep 3600");
    // The timeouts are much longer than all other tests together on a busy machine.
    let mut uris = ["/bin/true"; 200];
    uris[100] = "./hangs.sh";
    fixture.recipe("quick.json", &programs(&uris));
    fixture
        .run(&["run", "--task-timeout", "4", "quick.json"])
        .code(8);
    assert_eq!(fixture.job().status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(fixture.job().results()["pass"], 199);
    fixture
        .run(&[
            "run",
            "--job-timeout",
            "4",
            "--max-parallel-tasks",
            "1",
            "quick.json",
        ])
        .code(8);
    let results = fixture.job().results();
    assert_eq!(fixture.job().status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(results["total"], 200);
    assert_eq!(results["interrupt"], 1);
    assert_eq!(results["pass"], 100);
    assert_eq!(results["skip"], 99);
    fixture.assert_no_strays();
}

#[test]
fn failfast_starts_no_task_after_a_failure() {
    let fixture = Fixture::new();
    let mut uris = ["/bin/true"; 200];
    uris[100] = "/bin/false";
    fixture.recipe("quick.json", &programs(&uris));
    fixture
        .run(&[
            "run",
            "--failfast",
            "--max-parallel-tasks",
            "1",
            "quick.json",
        ])
        .code(1);
    let job = fixture.job();
    assert_eq!(job.tasks_with("task-started").len(), 101);
    assert_eq!(job.results()["skip"], 99);
}

#[test]
fn only_tasks_with_output_have_a_directory() {
    let fixture = Fixture::new();
    fixture.script("marks.sh", ": > \"$AVOCADO_TEST_OUTPUTDIR/marker\"");
    fixture.script("says.sh", "echo \"$AVOCADO_TEST_OUTPUTDIR\"");
    let uris = ["/bin/true", "./marks.sh", "/bin/true", "./says.sh"].repeat(25);
    fixture.recipe("quick.json", &programs(&uris));
    for spawner in ["process", "sandbox"] {
        let args = ["run", "--spawner", spawner, "quick.json"];
        fixture.run(&args).code(0);
        let job = fixture.job();
        let mut seen = Vec::new();
        for entry in std::fs::read_dir(job.0.join("test-results")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let files = std::fs::read_dir(&path).unwrap().count();
            let stdout = std::fs::read_to_string(path.join("stdout")).unwrap();
            match name.rsplit_once('_').unwrap().1 {
                "marks.sh" => assert_eq!((files, stdout.as_str()), (4, ""), "{name}"),
                "says.sh" => {
                    assert_eq!(files, 3, "{name}");
                    let directory = format!("/test-results/{name}\n");
                    assert!(stdout.ends_with(&directory), "{stdout}");
                }
                _ => panic!("{name} is there with {spawner}"),
            }
            seen.push(name);
        }
        assert_eq!(seen.len(), 50);
    }
}

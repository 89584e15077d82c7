#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use persea_journal::FILE_NAME;
use serde_json::{Value, json};

fn line(time: u64, task: Option<&str>, event: &str, data: &Value) -> String {
    let mut line = json!({"event": event, "time": time, "data": data});
    if let Some(task) = task {
        line["task"] = task.into();
    }
    // The journal has the event first.
    let text = line.to_string();
    let rest = text.replacen(&format!("\"event\":\"{event}\""), "", 1);
    let rest = rest.trim_start_matches('{').trim_start_matches(',');
    format!(
        "{{\"event\":\"{event}\",{}\n",
        rest.replace(",,", ",").replace(",}", "}")
    )
}

fn started(total: usize) -> String {
    let host = json!({"machine": "m", "boot": "b", "process": 1, "user": 0, "persea-version": "1"});
    let data = json!({"job-id": "0", "job-dir": "/j", "name": "j", "total": total,
        "persea-version": "1", "references": [], "settings": {}, "take-over": {"host": host}});
    line(100, None, "job-started", &data)
}

fn planned(index: usize, id: &str) -> String {
    let data = json!({"index": index, "name": id, "runnable": {"kind": "noop"}});
    line(100, Some(id), "task-planned", &data)
}

fn end(event: &str, time: u64, id: &str, more: &Value) -> String {
    let mut data = json!({"index": 1, "name": id, "kind": "noop", "status": "FAIL",
        "elapsed": 1, "directory": format!("test-results/{id}")});
    for (name, value) in more.as_object().unwrap() {
        data[name] = value.clone();
    }
    line(time, Some(id), event, &data)
}

fn read(lines: &[String]) -> Result<StoredJob, ResumeError> {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(FILE_NAME), lines.concat()).unwrap();
    StoredJob::read(root.path())
}

fn start(time: u64, id: &str) -> String {
    line(time, Some(id), "task-started", &json!({}))
}

#[test]
fn attempt_without_an_end_is_open_and_counts_after_earlier_ones() {
    let retried = json!({"attempts": 1});
    let job = read(&[
        started(2),
        planned(1, "a"),
        planned(2, "b"),
        start(110, "a"),
        end("task-retried", 120, "a", &retried),
        start(130, "a"),
    ]);
    let job = job.unwrap();
    let [first, second] = job.tasks.as_slice() else {
        panic!("{:?}", job.tasks);
    };
    let attempt = first.open_attempt().unwrap();
    assert_eq!((attempt.attempts, attempt.started), (2, Some(130)));
    assert_eq!(attempt.cause, Some(AttemptCause::JobTakenOver));
    assert_eq!(attempt.reason.as_deref(), Some(HOST_ENDED));
    assert!(second.open_attempt().is_none() && second.started.is_none());
    assert_eq!((job.open(), job.elapsed), (2, Duration::from_nanos(30)));
}

#[test]
fn result_that_was_cut_short_is_open() {
    let cut = json!({"cut-short": true, "status": "INTERRUPTED", "started": 110});
    let waited = json!({"cut-short": true, "started": 110});
    let skipped = json!({"cut-short": true, "status": "SKIP"});
    let job = read(&[
        started(4),
        planned(1, "a"),
        planned(2, "b"),
        planned(3, "c"),
        planned(4, "d"),
        end("task-finished", 120, "a", &cut),
        end(
            "task-retried",
            120,
            "b",
            &json!({"attempts": 1, "started": 110}),
        ),
        end("task-finished", 121, "b", &waited),
        end("task-finished", 121, "c", &skipped),
        end("task-finished", 121, "d", &json!({})),
        line(
            122,
            None,
            "job-finished",
            &json!({"pass": 0, "fail": 0, "error": 0, "skip": 0,
            "warn": 0, "cancel": 0, "interrupted": 0, "total": 4, "elapsed": 1}),
        ),
    ]);
    let job = job.unwrap();
    let open: Vec<Option<usize>> = job
        .tasks
        .iter()
        .map(|task| task.open_attempt().map(|it| it.attempts))
        .collect();
    // The second test waited for another attempt, and the third never started.
    assert_eq!(open, [Some(1), None, None, None]);
    assert_eq!(job.open(), 3);
    job.check("1").unwrap();
}

#[test]
fn job_with_all_results_is_refused_only_when_it_has_ended() {
    let tally = json!({"pass": 0, "fail": 1, "error": 0, "skip": 0, "warn": 0, "cancel": 0,
        "interrupted": 0, "total": 1, "elapsed": 1});
    let mut lines = vec![
        started(1),
        planned(1, "a"),
        end("task-finished", 120, "a", &json!({})),
    ];
    read(&lines).unwrap().check("1").unwrap();
    let error = read(&lines).unwrap().check("2").unwrap_err().to_string();
    assert!(error.contains("Persea 1, and this is Persea 2"), "{error}");
    lines.push(line(130, None, "job-finished", &tally));
    let error = read(&lines).unwrap().check("1").unwrap_err().to_string();
    assert!(error.starts_with("nothing to resume"), "{error}");
}

#[test]
fn plan_that_is_not_whole_is_refused() {
    for lines in [
        vec![],
        vec![started(2)],
        vec![started(2), planned(1, "a")],
        vec![started(1), planned(2, "a")],
    ] {
        let error = read(&lines).unwrap_err().to_string();
        assert!(error.contains("has not begun"), "{error}");
    }
}

#[test]
fn pauses_and_the_time_between_hosts_do_not_count() {
    let host = json!({"machine": "m", "boot": "c", "process": 2, "user": 0, "persea-version": "1"});
    let taken = json!({"host": host, "kept": 0, "again": 1, "left": 0});
    let job = read(&[
        started(1),
        planned(1, "a"),
        line(110, None, "job-paused", &json!({})),
        line(150, None, "job-resumed", &json!({})),
        start(160, "a"),
        line(1000, None, "job-taken-over", &taken),
        start(1005, "a"),
    ]);
    let job = job.unwrap();
    assert_eq!(job.elapsed, Duration::from_nanos(20 + 5));
    assert_eq!((job.host.process, job.host.boot.as_str()), (2, "c"));
}

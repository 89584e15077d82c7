#![allow(clippy::unwrap_used)]
use std::borrow::Cow;

use persea_model::{Attributes, Status};

use super::*;

fn progress(message: &str) -> Event<'_> {
    Event::TaskProgress(Cow::Owned(TaskProgress {
        message: message.into(),
    }))
}

fn case_path() -> Vec<String> {
    vec!["suite".to_owned(), "a\nb".to_owned()]
}

fn started() -> JobStarted {
    JobStarted {
        project_dir: "/project".into(),
        revision: Some(Revision {
            commit: "1".repeat(40),
            branch: Some("main".into()),
        }),
        job_id: "0".repeat(40),
        job_dir: "/j".into(),
        name: "j".into(),
        total: 2,
        persea_version: "0".into(),
        references: vec!["a\nb".into()],
        job_file: None,
        shuffle_seed: None,
        settings: Attributes::new(),
        take_over: Some(Box::new(TakeOverData {
            host: host(),
            plugins: [(
                "runner noop".to_owned(),
                PluginRecord {
                    label: "runner `noop`".into(),
                    version: "1.0.0".into(),
                    digest: "0".repeat(64),
                    grants: String::new(),
                },
            )]
            .into(),
            origins: [("run.retries".to_owned(), "command-line".to_owned())].into(),
            secret_settings: vec!["token".into()],
            plugin_dirs: vec!["plugins".into()],
            grants: Vec::new(),
        })),
    }
}

fn host() -> HostRecord {
    HostRecord {
        machine: "here".into(),
        boot: "1-2".into(),
        process: 7,
        user: 0,
        persea_version: "0".into(),
    }
}

#[test]
fn every_event_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path()).unwrap();
    let id = || "1-file".to_owned();
    let finished: TaskFinished = serde_json::from_value(serde_json::json!({
        "index": 1, "name": "a", "kind": "noop", "status": "PASS", "elapsed": 5,
        "directory": "d", "open": [1],
        "cases": {"pass": 2, "fail": 1, "error": 0, "skip": 0, "warn": 0, "cancel": 0,
            "interrupted": 0},
    }))
    .unwrap();
    let events = [
        Event::JobStarted(Cow::Owned(started())),
        Event::TaskPlanned(Cow::Owned(TaskPlanned {
            index: 1,
            name: Some("a".into()),
            title: None,
            runnable: Cow::default(),
            made_by: Some(Cow::Owned(MadeBy {
                plugins: vec!["0".repeat(64)],
                foreign_requirements: 1,
            })),
            known_result: Some(KnownResult {
                status: Status::Error,
                reason: None,
            }),
        })),
        Event::TaskStarted(Cow::Owned(TaskStarted {
            leases: [("gpu".into(), vec!["gpu0".into()])].into(),
            environment: Some(TaskEnvironment {
                host: None,
                image: None,
                spawner: "sandbox".into(),
                snapshot: Some(id().into()),
            }),
        })),
        progress("half way"),
        Event::CaseStarted(Cow::Owned(CaseStarted {
            path: Cow::Owned(case_path()),
        })),
        Event::CaseFinished(Cow::Owned(CaseFinished {
            path: Cow::Owned(case_path()),
            status: Status::Fail,
            elapsed: Some(6),
            reason: Some("1 is not 2".into()),
            more: Cow::Owned(Attributes::from_iter([("line".to_owned(), 7_u64.into())])),
        })),
        Event::TaskRetried(Cow::Borrowed(&finished)),
        Event::TaskFinished(Cow::Borrowed(&finished)),
        Event::RequirementStarted(Cow::Owned(RequirementStarted {
            id: id().into(),
            name: "a file".into(),
            requirement: Cow::default(),
            scope: persea_model::Scope::Job,
            resolver: "file".into(),
            resolver_version: Some("1.2.0".into()),
            leases: [("board".into(), vec!["b1".into()])].into(),
            variant: Some(Cow::Owned("small".into())),
            spawner: None,
        })),
        Event::RequirementAbsent(Cow::Owned(RequirementAbsent { id: id().into() })),
        Event::RequirementRetried(Cow::Owned(RequirementRetried {
            id: id(),
            reason: "the mirror is down".into(),
            elapsed: 6,
            attempts: 1,
        })),
        Event::RequirementFinished(Cow::Owned(RequirementFinished {
            id: id(),
            state: RequirementState::Unknown,
            reason: Some("the host was killed".into()),
            elapsed: 7,
            fulfilled: None,
            snapshot: None,
        })),
        Event::RequirementReleased(Cow::Owned(RequirementReleased {
            id: id(),
            reason: None,
            elapsed: 8,
        })),
        Event::EnvironmentChanged(Cow::Owned(EnvironmentChanged {
            environment: 1,
            state: EnvironmentPhase::Ready,
            reason: None,
            spawner: "container".into(),
            slot: 0,
            remote_id: Cow::Owned(RemoteId {
                container: Some("abc".into()),
                process: Some(12),
                process_start: Some(13),
                ..RemoteId::default()
            }),
        })),
        Event::Warning(Cow::Owned(Warning {
            cause: WarningCause::Incomplete,
            reference: Some("a.py".into()),
            plugin: None,
            message: "3 classes are left out".into(),
        })),
        Event::JobPaused(Cow::default()),
        Event::JobResumed(Cow::default()),
        Event::JobTakenOver(Cow::Owned(JobTakenOver {
            host: host(),
            kept: 1,
            again: 2,
            left: 3,
        })),
        Event::JobFinished(Cow::Owned(JobFinished {
            tally: persea_model::Tally::default(),
            total: 1,
            elapsed: 9,
            interrupted_by: None,
            switches: 0,
        })),
    ];
    let kinds: Vec<EventKind> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, EventKind::ALL);
    for (event, time) in events.iter().zip(1..) {
        journal.append(time, Some("1-a"), event).unwrap();
    }
    journal.commit().unwrap();
    drop(journal);
    let mut reader = Reader::open(dir.path()).unwrap();
    for (event, time) in events.iter().zip(1..) {
        let read = reader.next_event(EventKind::ALL).unwrap().unwrap();
        assert_eq!((read.time, read.task.as_deref()), (time, Some("1-a")));
        assert_eq!(read.event.kind(), event.kind());
        assert_eq!(EventKind::of(event.kind().name()), Some(event.kind()));
        assert_eq!(json(&read.event), json(event));
    }
    assert!(reader.next_event(EventKind::ALL).unwrap().is_none());
}

#[test]
fn lines_that_were_made_before_are_those_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path()).unwrap();
    let path = case_path();
    let case = Event::CaseStarted(Cow::Owned(CaseStarted {
        path: Cow::Borrowed(&path),
    }));
    journal.append(1, Some("1-a"), &case).unwrap();
    let mut lines = EventLines::default();
    lines.push(1, Some("1-a"), &case).unwrap();
    journal.append_lines(&lines).unwrap();
    journal.commit().unwrap();
    let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    assert_eq!(format!("{first}\n"), second);
    assert_eq!(lines.size(), second.len());
}

fn json(event: &Event<'_>) -> serde_json::Value {
    serde_json::to_value(event).unwrap()
}

#[test]
fn clock_beyond_the_calendar_stands_still_at_its_end() {
    let year = std::time::Duration::from_secs(366 * 24 * 3600);
    let now = in_calendar(SystemTime::UNIX_EPOCH + year);
    assert_eq!(now.as_second(), 366 * 24 * 3600);
    let far = in_calendar(SystemTime::UNIX_EPOCH + year * 9000);
    assert_eq!(far, jiff::Timestamp::MAX);
    assert!(far.to_string().starts_with("9999-12-30"));
}

#[test]
fn lines_are_read_in_order_without_an_incomplete_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path()).unwrap();
    let job = Event::JobStarted(Cow::Owned(started()));
    journal.append(1, None, &job).unwrap();
    journal
        .append(2, Some("1-a"), &Event::TaskStarted(Cow::default()))
        .unwrap();
    journal
        .append(3, Some("1-a"), &progress("half way\n\u{1b}[0m"))
        .unwrap();
    journal.commit().unwrap();
    drop(journal);
    let path = dir.path().join(FILE_NAME);
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"event\":\"task-fin").unwrap();

    let mut reader = Reader::open(dir.path()).unwrap();
    let mut seen = Vec::new();
    while let Some(line) = reader.next::<Attributes>(|_| true).unwrap() {
        seen.push((line.event, line.time, line.task));
    }
    assert_eq!(
        seen,
        [
            ("job-started".into(), 1, None),
            ("task-started".into(), 2, Some("1-a".into())),
            ("task-progress".into(), 3, Some("1-a".into())),
        ]
    );
}

#[test]
fn follower_reads_committed_lines_until_the_journal_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path()).unwrap();
    let mut reader = journal.follow().unwrap();
    let follower = std::thread::spawn(move || {
        let mut times = Vec::new();
        while let Some(line) = reader
            .next::<Attributes>(|kind| kind == "task-started")
            .unwrap()
        {
            times.push(line.time);
        }
        times
    });
    for time in 0..1000 {
        journal
            .append(time, Some("1-a"), &Event::TaskStarted(Cow::default()))
            .unwrap();
        journal.append(time, Some("1-a"), &progress("no")).unwrap();
        journal.commit().unwrap();
    }
    drop(journal);
    assert_eq!(follower.join().unwrap(), (0..1000).collect::<Vec<_>>());
}

/// Commits events to journals whose directory was removed or renamed, and returns the errors with
/// what they should begin with.
fn errors_of_lost_journals(
    mut write: impl FnMut(&mut Journal) -> Result<(), JournalError>,
) -> Vec<(String, String)> {
    let root = tempfile::tempdir().unwrap();
    let acts: [fn(&Path); 3] = [
        |job| std::fs::remove_dir_all(job).unwrap(),
        |job| std::fs::rename(job, job.with_extension("aside")).unwrap(),
        |job| std::fs::remove_file(job.join(FILE_NAME)).unwrap(),
    ];
    let error = |(number, act): (usize, fn(&Path))| {
        let job = root.path().join(number.to_string());
        std::fs::create_dir(&job).unwrap();
        let mut journal = Journal::create(&job).unwrap();
        let begun = Event::JobStarted(Cow::Owned(started()));
        journal.append(1, None, &begun).unwrap();
        journal.commit().unwrap();
        act(&job);
        journal.commit().unwrap();
        let paused = Event::JobPaused(Cow::default());
        journal.append(2, None, &paused).unwrap();
        let error = write(&mut journal).unwrap_err().to_string();
        let expected = format!("the job's directory {} is gone", job.display());
        (error, expected)
    };
    acts.into_iter().enumerate().map(error).collect()
}

#[test]
fn commit_names_the_directory_that_was_removed_or_renamed() {
    let errors = errors_of_lost_journals(|journal| {
        std::thread::sleep(CHECK_INTERVAL);
        journal.commit()
    });
    for (error, expected) in errors {
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn last_commit_checks_the_directory_however_short_the_job_is() {
    for (error, expected) in errors_of_lost_journals(Journal::finish) {
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn broken_line_is_named_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join(FILE_NAME),
        "{\"event\":\"a\",\"time\":1,\"data\":{}}\nrubbish\n",
    )
    .unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert!(reader.next::<Attributes>(|_| true).unwrap().is_some());
    let error = reader.next::<Attributes>(|_| true).unwrap_err();
    assert!(
        error.to_string().contains("events.jsonl:2: not an event"),
        "{error}"
    );
}

#![allow(clippy::unwrap_used)]
use super::*;
use persea_journal::{FILE_NAME, Journal, Reader};
use persea_model::Attributes;

fn path(names: &str) -> Vec<String> {
    names.split('/').map(str::to_owned).collect()
}

fn case(names: &str, status: Status) -> Case {
    Case {
        path: path(names),
        status,
        elapsed: None,
        reason: None,
        more: Attributes::new(),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A book, and what the dispatcher has taken from it as lines such as `start a/b` and
/// `PASS a/b 2`, with the elapsed seconds.
struct Reported {
    book: CaseBook,
    batches: Vec<Arc<CaseBatch>>,
}

impl Reported {
    fn new() -> Self {
        Self {
            book: CaseBook::new("1-a", true),
            batches: Vec::new(),
        }
    }

    fn start(&mut self, names: &str, now: u64) {
        self.batches.extend(self.book.start(path(names), at(now)));
    }

    fn finish(&mut self, names: &str, status: Status, now: u64) {
        let batch = self.book.finish(case(names, status), at(now));
        self.batches.extend(batch);
    }

    fn end(&mut self, now: u64, was_interrupted: bool) -> Option<String> {
        let (batch, unfinished) = self.book.end(at(now), was_interrupted);
        self.batches.extend(batch);
        unfinished.map(|it| it.to_string())
    }

    fn lines(&mut self) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(directory.path()).unwrap();
        for batch in self.batches.drain(..) {
            journal.append_lines(&batch.take().lines).unwrap();
        }
        journal.commit().unwrap();
        drop(journal);
        assert!(directory.path().join(FILE_NAME).exists());
        let mut reader = Reader::open(directory.path()).unwrap();
        let mut lines = Vec::new();
        while let Some(record) = reader.next_event(journal::EventKind::ALL).unwrap() {
            assert_eq!(record.task.as_deref(), Some("1-a"));
            lines.push(match record.event {
                Event::CaseStarted(case) => format!("start {}", case.path.join("/")),
                Event::CaseFinished(case) => {
                    let elapsed = case.elapsed.map(|it| format!(" {}", it / 1_000_000_000));
                    let names = case.path.join("/");
                    format!("{} {names}{}", case.status, elapsed.unwrap_or_default())
                }
                other => format!("{other:?}"),
            });
        }
        lines
    }
}

#[test]
fn elapsed_time_counts_from_the_start() {
    let mut reported = Reported::new();
    reported.start("a/b", 1);
    reported.finish("a/c", Status::Skip, 2);
    reported.finish("a/b", Status::Pass, 5);
    let given = Case {
        elapsed: Some(at(9)),
        ..case("a/d", Status::Fail)
    };
    reported.start("a/d", 5);
    let batch = reported.book.finish(given, at(6));
    reported.batches.extend(batch);
    assert_eq!(
        reported.lines(),
        [
            "start a/b",
            "SKIP a/c",
            "PASS a/b 4",
            "start a/d",
            "FAIL a/d 9"
        ]
    );
}

#[test]
fn repeated_path_has_a_number() {
    let mut reported = Reported::new();
    reported.finish("a/b (2)", Status::Pass, 0);
    for _ in 0..2 {
        reported.finish("a/b", Status::Pass, 0);
    }
    reported.start("a/b", 1);
    reported.start("a/b", 2);
    reported.finish("a/b", Status::Pass, 3);
    reported.finish("a/b", Status::Pass, 3);
    assert_eq!(
        reported.lines(),
        [
            "PASS a/b (2)",
            "PASS a/b",
            "PASS a/b (3)",
            "start a/b (4)",
            "start a/b (5)",
            "PASS a/b (4) 2",
            "PASS a/b (5) 1",
        ]
    );
}

#[test]
fn case_that_runs_at_the_end_of_its_task_ends_before_it() {
    let mut reported = Reported::new();
    reported.start("a", 1);
    reported.start("a/b", 2);
    let unfinished = reported.end(4, true);
    assert_eq!(unfinished.as_deref(), Some("in case a > b and 1 more"));
    let lines = [
        "start a",
        "start a/b",
        "INTERRUPTED a 3",
        "INTERRUPTED a/b 2",
    ];
    assert_eq!(reported.lines(), lines);
    let summary = reported.book.take_summary();
    assert_eq!(summary.tally.unwrap().interrupted, 2);
    assert_eq!(summary.failed.len(), 2);

    let mut reported = Reported::new();
    reported.start("a", 1);
    assert_eq!(reported.end(1, false).as_deref(), Some("in case a"));
    assert_eq!(reported.lines(), ["start a", "ERROR a 0"]);
    assert_eq!(Reported::new().end(1, true), None);
}

#[test]
fn cases_share_a_batch_until_it_is_taken_or_sealed() {
    let mut reported = Reported::new();
    reported.start("a", 0);
    reported.finish("a", Status::Pass, 0);
    assert_eq!(reported.batches.len(), 1);
    reported.book.seal();
    reported.start("b", 0);
    assert_eq!(reported.batches.len(), 2);
    let news = reported.batches.pop().unwrap().take();
    assert_eq!(news.running.as_deref(), Some("b"));
    assert!(news.ended.is_empty() && news.lines.size() > 0);
    reported.finish("b", Status::Pass, 0);
    let news = reported.batches.pop().unwrap().take();
    assert_eq!((news.running, news.ended.len()), (None, 1));
    let news = reported.batches.pop().unwrap().take();
    assert_eq!((news.running, news.ended.len()), (None, 1));
}

#[test]
fn number_of_cases_that_are_kept_is_limited() {
    let mut reported = Reported::new();
    for number in 0..MAX_RUNNING + 5 {
        reported.start(&format!("r{number}"), 0);
    }
    assert_eq!(reported.book.dropped_starts(), 5);
    for number in 0..MAX_PATHS {
        reported.finish(&format!("c{number}"), Status::Fail, 0);
    }
    // 1,000 running ones are among the paths.
    reported.finish("c0", Status::Fail, 0);
    reported.finish(&format!("c{}", MAX_PATHS - 1), Status::Fail, 0);
    let held = reported.book.lock();
    let state = held.as_ref().unwrap();
    assert_eq!(
        (state.paths.len(), state.running.len()),
        (MAX_PATHS, MAX_RUNNING)
    );
    drop(held);
    let summary = reported.book.take_summary();
    assert_eq!(summary.failed.len(), SHOWN_FAILED);
    assert_eq!(summary.unnumbered, MAX_RUNNING + 1);
    assert_eq!(summary.tally.unwrap().fail, MAX_PATHS + 2);
}

#[test]
fn data_of_a_case_does_not_replace_the_fields_of_the_host() {
    let book = CaseBook::new("1-a", false);
    let more = [("status", "PASS"), ("file", "a.py")];
    let more = more.map(|(name, value)| (name.to_owned(), value.into()));
    let failed = Case {
        more: Attributes::from_iter(more),
        ..case("a", Status::Fail)
    };
    let news = book.finish(failed, at(0)).unwrap().take();
    assert!(news.ended.is_empty(), "the display shows none");
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(directory.path()).unwrap();
    journal.append_lines(&news.lines).unwrap();
    journal.commit().unwrap();
    let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap();
    let data = r#""data":{"path":["a"],"status":"FAIL","file":"a.py"}}"#;
    assert!(text.ends_with(&format!("{data}\n")), "{text}");
}

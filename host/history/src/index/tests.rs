#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt as _;

use persea_journal::{Event, FILE_NAME, JobFinished, Journal};
use persea_model::{Status, Tally};
use serde_json::json;

use super::*;

/// A results directory and a cache.
struct Place {
    results: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            results: tempfile::tempdir().unwrap(),
            cache: tempfile::tempdir().unwrap(),
        }
    }

    fn job(&self, name: &str) -> PathBuf {
        self.results.path().join(name)
    }

    /// Writes the journal of a job up to the ends of these tests. Every event happens at `time`.
    fn begin(&self, name: &str, time: u64, tests: &[(&str, Status)]) -> Journal {
        std::fs::create_dir_all(self.job(name)).unwrap();
        let mut journal = Journal::create(&self.job(name)).unwrap();
        let started = serde_json::from_value(json!({
            "job-id": format!("{time:040}"), "job-dir": "/j", "name": name,
            "project-dir": "/project", "total": tests.len(), "persea-version": "0",
            "references": [], "settings": {}, "revision": {"commit": "1".repeat(40)},
        }));
        let started = Event::JobStarted(Cow::Owned(started.unwrap()));
        journal.append(time, None, &started).unwrap();
        for (at, (title, status)) in tests.iter().enumerate() {
            let finished = serde_json::from_value(json!({
                "index": at + 1, "name": title, "kind": "noop", "status": status,
                "started": time, "elapsed": 1000 * (at + 1), "directory": "d",
            }));
            let finished = Event::TaskFinished(Cow::Owned(finished.unwrap()));
            journal.append(time, Some("1"), &finished).unwrap();
        }
        journal.commit().unwrap();
        journal
    }

    fn finish(&self, name: &str, time: u64, tests: &[(&str, Status)]) {
        let mut journal = self.begin(name, time, tests);
        end(&mut journal, time);
    }

    /// The titles of all runs of a test, the newest first, and what the update found.
    fn runs(&self, title: &str) -> (Vec<String>, Update) {
        self.runs_with(title, Some(self.cache.path()))
    }

    fn runs_with(&self, title: &str, cache: Option<&Path>) -> (Vec<String>, Update) {
        let question = |index: &Index| index.runs(title, None);
        let (runs, update) = query(self.results.path(), cache, question).unwrap();
        let run = |run: RunEntry| format!("{} {}", run.job, run.status);
        (runs.into_iter().map(run).collect(), update)
    }

    /// The file of the only index.
    fn file(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.cache.path().join("history")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths = paths.filter(|path| path.extension().is_some_and(|it| it == "sqlite"));
        let file = paths.next().unwrap();
        assert_eq!(paths.next(), None);
        file
    }
}

fn end(journal: &mut Journal, time: u64) {
    let finished = JobFinished {
        tally: Tally::default(),
        total: 1,
        elapsed: 77,
        interrupted_by: None,
        switches: 0,
    };
    let finished = Event::JobFinished(Cow::Owned(finished));
    journal.append(time, None, &finished).unwrap();
    journal.commit().unwrap();
}

fn update(read: usize, forgotten: usize) -> Update {
    Update {
        read,
        forgotten,
        faults: Vec::new(),
    }
}

const BOTH: [&str; 2] = ["job-2 FAIL", "job-1 PASS"];

/// A place with two jobs of the test `a`.
fn two_jobs() -> Place {
    let place = Place::new();
    place.finish("job-1", 1, &[("a", Status::Pass), ("b", Status::Pass)]);
    place.finish("job-2", 2, &[("./a", Status::Fail)]);
    place
}

#[test]
fn journal_is_read_again_only_after_a_change() {
    let place = two_jobs();
    assert_eq!(
        place.runs("a"),
        (BOTH.map(str::to_owned).to_vec(), update(2, 0))
    );
    assert_eq!(
        place.runs("b"),
        (vec!["job-1 PASS".to_owned()], update(0, 0))
    );
    place.finish("job-3", 3, &[("a", Status::Warn)]);
    let (runs, found) = place.runs("a");
    assert_eq!((runs.len(), found), (3, update(1, 0)));
    assert_eq!(runs[0], "job-3 WARN");
}

#[test]
fn running_job_is_read_as_far_as_it_is_and_again_at_its_end() {
    let place = Place::new();
    let mut journal = place.begin("job-1", 1, &[("a", Status::Pass)]);
    let jobs = || {
        let question = |index: &Index| index.jobs(10);
        let cache = Some(place.cache.path());
        query(place.results.path(), cache, question).unwrap()
    };
    let ((running, all), found) = jobs();
    assert_eq!((all, found, running[0].elapsed), (1, update(1, 0), None));
    assert_eq!(running[0].tally.get(Status::Pass), 1);
    end(&mut journal, 2);
    let ((ended, _), found) = jobs();
    assert_eq!((found, ended[0].elapsed), (update(1, 0), Some(77)));
    assert_eq!(jobs().1, update(0, 0));
}

#[test]
fn tests_whose_names_differ_only_in_a_dot_have_a_run_each() {
    let place = Place::new();
    let tests = [("./t/a.t", Status::Fail), ("t/a.t", Status::Pass)];
    place.finish("job-1", 1, &tests);
    place.finish("job-2", 2, &[("./t/a.t", Status::Warn)]);
    assert_eq!(place.runs("t/a.t").0, ["job-2 WARN", "job-1 PASS"]);
    assert_eq!(place.runs("t/a.t (2)").0, ["job-1 FAIL"]);
}

/// A spelling of a path with so many `.` that it has this number of bytes, or one less.
fn spelled_out(path: &Path, length: usize) -> PathBuf {
    let missing = length - path.as_os_str().len();
    PathBuf::from(format!("{}{}", path.display(), "/.".repeat(missing / 2)))
}

#[test]
fn job_that_cannot_be_looked_into_is_named_and_keeps_its_runs() {
    let place = two_jobs();
    let root = place.results.path();
    let mut index = Index::in_memory(root).unwrap();
    assert_eq!(index.update().unwrap(), update(2, 0));
    // The jobs' directories have paths that the kernel takes, and their journals have none.
    index.root = spelled_out(root, 4095 - "/job-1".len());
    let found = index.update().unwrap();
    assert_eq!((found.read, found.forgotten), (0, 0));
    let jobs = found.faults.iter().map(|fault| fault.job.as_str());
    assert_eq!(jobs.collect::<Vec<_>>(), ["job-1", "job-2"]);
    for fault in &found.faults {
        assert!(
            fault.what.contains("events.jsonl: File name too long"),
            "{}",
            fault.what
        );
    }
    assert_eq!(index.runs("a", None).unwrap().len(), 2);
    // The same job has one fault, and it is gone once the journal can be read.
    index.root = root.to_path_buf();
    assert_eq!(index.update().unwrap(), update(0, 0));
    // A file in place of a job's directory is no job.
    std::fs::remove_dir_all(place.job("job-1")).unwrap();
    std::fs::write(place.job("job-1"), "").unwrap();
    assert_eq!(index.update().unwrap(), update(0, 1));
}

#[test]
fn removed_job_is_forgotten_with_tests_that_no_other_job_has() {
    let place = two_jobs();
    place.runs("a");
    std::fs::remove_dir_all(place.job("job-1")).unwrap();
    assert_eq!(
        place.runs("a"),
        (vec!["job-2 FAIL".to_owned()], update(0, 1))
    );
    let question = |index: &Index| index.titles("b", None, 10);
    let cache = Some(place.cache.path());
    let (titles, _) = query(place.results.path(), cache, question).unwrap();
    assert_eq!(titles, [""; 0]);
    // A results directory that is gone has no jobs.
    std::fs::remove_dir_all(place.results.path()).unwrap();
    std::fs::create_dir(place.results.path()).unwrap();
    assert_eq!(place.runs("a"), (Vec::new(), update(0, 1)));
}

#[test]
fn damaged_index_is_made_again() {
    let place = two_jobs();
    place.runs("a");
    let whole = std::fs::read(place.file()).unwrap();
    assert!(whole.len() > 8192, "{}", whole.len());
    let half = whole.len() / 2;
    let mut flipped = whole.clone();
    // Every page but the first, whose header has the version.
    flipped[4096..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    let mut header = whole.clone();
    header[20..100].fill(0xff);
    for (what, bytes) in [
        (
            "garbage",
            &b"no database at all, but some text".repeat(300)[..],
        ),
        ("truncated", &whole[..half]),
        ("flipped", &flipped),
        ("header", &header),
        ("empty", &[]),
    ] {
        std::fs::write(place.file(), bytes).unwrap();
        let (runs, found) = place.runs("a");
        assert_eq!(
            (runs, found),
            (BOTH.map(str::to_owned).to_vec(), update(2, 0)),
            "{what}"
        );
        // The new one is kept.
        assert_eq!(place.runs("a").1, update(0, 0), "{what}");
    }
}

#[test]
fn index_of_another_schema_is_made_again() {
    let place = two_jobs();
    for (version, change) in [
        (VERSION - 1, ""),
        (VERSION + 1, ""),
        (99, "ALTER TABLE jobs ADD COLUMN more TEXT"),
        (VERSION, "DROP TABLE runs"),
        (VERSION, "ALTER TABLE tests RENAME COLUMN title TO other"),
        (0, "CREATE TABLE other (a)"),
    ] {
        place.runs("a");
        let connection = Connection::open(place.file()).unwrap();
        connection.execute_batch(change).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(connection);
        let (runs, found) = place.runs("a");
        assert_eq!(runs, BOTH, "{version} {change}");
        assert_eq!(found, update(2, 0), "{version} {change}");
    }
}

#[test]
fn index_is_made_in_memory_where_the_cache_is_of_no_use() {
    let place = two_jobs();
    let file = place.cache.path().join("file");
    std::fs::write(&file, "").unwrap();
    for cache in [None, Some(&*file)] {
        let (runs, found) = place.runs_with("a", cache);
        assert_eq!(
            (runs, found),
            (BOTH.map(str::to_owned).to_vec(), update(2, 0))
        );
    }
    // A link to a file of somebody else is not followed.
    place.runs("a");
    let other = place.cache.path().join("other");
    std::fs::rename(place.file(), &other).unwrap();
    let index = place.cache.path().join("history").join(
        std::fs::read_dir(place.cache.path().join("history"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .find(|name| name.to_string_lossy().ends_with(".lock"))
            .unwrap(),
    );
    let before = std::fs::read(&other).unwrap();
    std::os::unix::fs::symlink(&other, index.with_extension("sqlite")).unwrap();
    place.finish("job-3", 3, &[("a", Status::Pass)]);
    assert_eq!(place.runs("a").1, update(3, 0));
    assert_eq!(std::fs::read(&other).unwrap(), before);
}

#[test]
fn nothing_is_written_to_the_results_directory() {
    let place = two_jobs();
    let listed = || {
        let entries = std::fs::read_dir(place.results.path()).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed();
    let read_only = std::fs::Permissions::from_mode(0o555);
    std::fs::set_permissions(place.results.path(), read_only).unwrap();
    assert_eq!(place.runs("a").0, BOTH);
    let writable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.results.path(), writable).unwrap();
    assert_eq!(listed(), before);
    // An index in the results directory, as a checkout might have, is not looked at.
    std::fs::write(place.results.path().join("history.sqlite"), "x").unwrap();
    assert_eq!(place.runs("a").0, BOTH);
}

#[test]
fn damaged_journals_are_named_and_the_others_count() {
    let place = two_jobs();
    let append = |job: &str, text: &str| {
        let path = place.job(job).join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(text.as_bytes());
        std::fs::write(path, bytes).unwrap();
    };
    // The lines before and after a broken one count; an incomplete last line is no fault.
    append("job-1", "{\"event\":\"task-finished\",\"time\":1}\n");
    append("job-2", "{\"event\":\"task-finished\",\"ti");
    for (job, text) in [("job-3", "garbage\n"), ("job-4", "")] {
        std::fs::create_dir(place.job(job)).unwrap();
        std::fs::write(place.job(job).join(FILE_NAME), text).unwrap();
    }
    // No job: a link, and a directory of another name.
    std::os::unix::fs::symlink(place.job("job-1"), place.job("job-5")).unwrap();
    std::fs::create_dir(place.job("other")).unwrap();
    std::fs::write(place.job("other").join(FILE_NAME), "garbage\n").unwrap();
    for read in [4, 0] {
        let (runs, found) = place.runs("a");
        assert_eq!((runs, found.read), (BOTH.map(str::to_owned).to_vec(), read));
        let faults = found.faults.iter();
        let faults: Vec<&str> = faults.map(|it| it.job.as_str()).collect();
        assert_eq!(faults, ["job-1", "job-3", "job-4"]);
        let what = found.faults.iter().map(|it| it.what.as_str());
        let what: Vec<&str> = what.collect();
        assert!(
            what[0].contains("events.jsonl:5: not an event"),
            "{}",
            what[0]
        );
        assert!(
            what[1].contains("events.jsonl:1: not an event"),
            "{}",
            what[1]
        );
        assert!(
            what[2].ends_with("there is no `job-started`"),
            "{}",
            what[2]
        );
    }
}

#[test]
fn two_hosts_at_once_make_one_whole_index() {
    let place = Place::new();
    for at in 0..40 {
        place.finish(&format!("job-{at:02}"), at, &[("a", Status::Pass)]);
    }
    for round in 0..5 {
        if round % 2 == 1 {
            std::fs::write(place.file(), "damaged".repeat(1000)).unwrap();
        }
        std::thread::scope(|scope| {
            let host = || scope.spawn(|| place.runs("a").0.len());
            let hosts: Vec<_> = std::iter::repeat_with(host).take(4).collect();
            let found: Vec<usize> = hosts.into_iter().map(|it| it.join().unwrap()).collect();
            assert_eq!(found, [40; 4], "round {round}");
        });
        let (runs, found) = place.runs("a");
        assert_eq!((runs.len(), found), (40, update(0, 0)), "round {round}");
        let connection = Connection::open(place.file()).unwrap();
        let sound: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "round {round}");
    }
}

#[test]
fn exact_title_wins_over_titles_that_contain_the_text() {
    let place = Place::new();
    let tests = ["login", "login-slow", "tests/login", "100%", "1000"];
    let tests = tests.map(|title| (title, Status::Pass));
    place.finish("job-1", 1, &tests);
    let ask = |text: &str, project: Option<&str>| {
        let question = |index: &Index| index.titles(text, project, 10);
        let cache = Some(place.cache.path());
        query(place.results.path(), cache, question).unwrap().0
    };
    for (text, expected) in [
        ("login", &["login"][..]),
        ("./login", &["login"]),
        ("ogin", &["login", "login-slow", "tests/login"]),
        ("Login", &[]),
        ("-slow", &["login-slow"]),
        ("0%", &["100%"]),
        ("10_", &[]),
    ] {
        assert_eq!(ask(text, None), expected, "{text}");
    }
    assert_eq!(ask("login", Some("/project")), ["login"]);
    assert_eq!(ask("login", Some("/elsewhere")), [""; 0]);
}

#[test]
fn ten_thousand_jobs_are_indexed_once() {
    const JOBS: u64 = 10_000;
    let place = Place::new();
    place.finish("job-00000", 1, &[("a", Status::Pass), ("b", Status::Fail)]);
    let bytes = std::fs::read(place.job("job-00000").join(FILE_NAME)).unwrap();
    for at in 1..JOBS {
        let job = place.job(&format!("job-{at:05}"));
        std::fs::create_dir(&job).unwrap();
        std::fs::write(job.join(FILE_NAME), &bytes).unwrap();
    }
    let (runs, found) = place.runs("b");
    assert_eq!((runs.len() as u64, found), (JOBS, update(10_000, 0)));
    let (runs, found) = place.runs("b");
    assert_eq!((runs.len() as u64, found), (JOBS, update(0, 0)));
}

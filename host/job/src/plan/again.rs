//! Owns the choice of tests to run again: those that did not pass in an earlier job. Identifies
//! them by title.
//!
//! A test may have got another title since: its reference could not be resolved then, its program
//! was built again, a file is divided into more parts. Then everything runs that the test may be
//! now: the tests of the reference that failed, or those with the same kind and uri.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::plan::naming::NamedRunnable;
use persea_journal::{Event, EventKind, JournalError, Reader};

/// The tests of an earlier job that ended FAIL, ERROR or INTERRUPTED, or have no end because the
/// host was killed.
#[derive(Debug, Default)]
pub struct FailedTests(HashMap<String, FailedTest>);

/// What a failed test ran.
#[derive(Debug, Default)]
struct FailedTest {
    /// The kind; empty for a reference whose tests were not known.
    kind: String,
    uri: Option<String>,
}

impl FailedTests {
    /// Reads the journal of a job.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn read(job_dir: &Path) -> Result<Self, JournalError> {
        let mut open: HashMap<String, (String, FailedTest)> = HashMap::new();
        let mut failed = HashMap::new();
        let mut reader = Reader::open(job_dir)?;
        let kinds = [EventKind::TaskPlanned, EventKind::TaskFinished];
        while let Some(record) = reader.next_event(&kinds)? {
            let Some(task) = record.task else {
                continue;
            };
            match record.event {
                Event::TaskPlanned(planned) => {
                    let planned = planned.into_owned();
                    if let Some(title) = planned.title.or(planned.name) {
                        let runnable = planned.runnable.into_owned();
                        let test = FailedTest {
                            kind: runnable.kind,
                            uri: runnable.uri,
                        };
                        open.insert(task, (title.into_owned(), test));
                    }
                }
                Event::TaskFinished(finished) => {
                    open.remove(&task);
                    if !finished.status.is_ok() {
                        let finished = finished.into_owned();
                        let test = FailedTest {
                            kind: finished.kind.clone(),
                            uri: finished.uri.clone(),
                        };
                        failed.insert(finished.title().to_owned(), test);
                    }
                }
                _ => {}
            }
        }
        failed.extend(open.into_values());
        Ok(Self(failed))
    }

    /// Whether every test passed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of these tests run again. `references` are the references of the tests, each with the
    /// number of tests up to its last one.
    pub(crate) fn choose(&self, named: &[NamedRunnable], references: &[(usize, String)]) -> Chosen {
        let failed: HashSet<&str> = self.0.keys().map(|title| without_dot(title)).collect();
        let present: HashSet<&str> = named.iter().map(|it| without_dot(&it.title)).collect();
        let wanted = named
            .iter()
            .map(|it| failed.contains(without_dot(&it.title)));
        let mut chosen = Chosen {
            wanted: wanted.collect(),
            gone: Vec::new(),
        };
        let is_renamed =
            |(title, _): &(&String, &FailedTest)| !present.contains(without_dot(title));
        let mut renamed = self.0.iter().filter(is_renamed).peekable();
        if renamed.peek().is_none() {
            return chosen;
        }
        let mut by_file: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (index, named) in named.iter().enumerate() {
            if let Some(uri) = &named.runnable.uri {
                let file = (named.runnable.kind.as_str(), without_dot(uri));
                by_file.entry(file).or_default().push(index);
            }
        }
        for (title, test) in renamed {
            let now = match (test.kind.as_str(), &test.uri) {
                ("", uri) => tests_of(uri.as_ref().unwrap_or(title), references),
                (kind, Some(uri)) => by_file.get(&(kind, without_dot(uri))).cloned(),
                (_, None) => None,
            };
            match now {
                Some(now) => now.into_iter().for_each(|index| chosen.want(index)),
                None => chosen.gone.push(title.clone()),
            }
        }
        chosen.gone.sort_unstable();
        chosen
    }
}

/// The choice of tests to run again.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// For each test, whether it runs again.
    pub(crate) wanted: Vec<bool>,
    /// The titles of failed tests that no test may be now, sorted.
    pub(crate) gone: Vec<String>,
}

impl Chosen {
    fn want(&mut self, index: usize) {
        if let Some(wanted) = self.wanted.get_mut(index) {
            *wanted = true;
        }
    }
}

/// The tests of a reference that failed; none where no reference is this one.
fn tests_of(failed: &str, references: &[(usize, String)]) -> Option<Vec<usize>> {
    let mut tests = None;
    let mut begin = 0;
    for (end, reference) in references {
        if is_of_reference(failed, reference) {
            tests.get_or_insert_with(Vec::new).extend(begin..*end);
        }
        begin = *end;
    }
    tests
}

/// Whether a reference that failed is this one, or a part of it: `REFERENCE: RUNNABLE`.
fn is_of_reference(failed: &str, reference: &str) -> bool {
    let (failed, reference) = (without_dot(failed), without_dot(reference));
    let rest = failed.strip_prefix(reference);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
}

fn without_dot(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use persea_model::Runnable;

    fn failed(tests: &[(&str, &str, Option<&str>)]) -> FailedTests {
        let tests = tests.iter().map(|(title, kind, uri)| {
            let test = FailedTest {
                kind: (*kind).to_owned(),
                uri: uri.map(str::to_owned),
            };
            ((*title).to_owned(), test)
        });
        FailedTests(tests.collect())
    }

    /// A test's title, kind and uri.
    type Known<'a> = (&'a str, &'a str, &'a str);

    /// The titles that are chosen, and those that are gone.
    fn chosen(
        failed: &FailedTests,
        references: &[(&str, &[Known<'_>])],
    ) -> (Vec<String>, Vec<String>) {
        let mut named = Vec::new();
        let mut ends = Vec::new();
        for (reference, tests) in references {
            for (title, kind, uri) in *tests {
                let runnable = Runnable {
                    kind: (*kind).to_owned(),
                    uri: Some((*uri).to_owned()),
                    ..Runnable::default()
                };
                named.push(NamedRunnable::new((*title).into(), &runnable.into()));
            }
            ends.push((named.len(), (*reference).to_owned()));
        }
        let Chosen { wanted, gone } = failed.choose(&named, &ends);
        let wanted = named.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        (wanted.map(|(it, _)| it.title.to_string()).collect(), gone)
    }

    #[test]
    fn tests_run_again_by_title() {
        let failed = failed(&[
            ("a", "exec-test", Some("a")),
            ("./b", "exec-test", Some("./b")),
        ]);
        let tests = [
            ("a", "exec-test", "a"),
            ("b", "exec-test", "b"),
            ("c", "exec-test", "c"),
        ];
        let (titles, gone) = chosen(&failed, &[(".", &tests)]);
        assert_eq!(
            (titles.join(" "), gone.join(" ")),
            ("a b".into(), String::new())
        );
    }

    #[test]
    fn reference_that_failed_runs_whole() {
        let failed = failed(&[
            ("cargo:g", "", Some("cargo:g")),
            ("pytest:.: .", "", Some("pytest:.: .")),
        ]);
        let rust = [("g$a", "rust-libtest", "g"), ("g$b", "rust-libtest", "g")];
        let python = [("t.py", "pytest", "t.py")];
        let other = [("cargo:gx$a", "rust-libtest", "gx")];
        let references = [
            ("cargo:g", &rust[..]),
            ("pytest:.", &python),
            ("cargo:gx", &other),
        ];
        let (titles, gone) = chosen(&failed, &references);
        assert_eq!((titles.join(" "), gone.len()), ("g$a g$b t.py".into(), 0));
        let (titles, gone) = chosen(&failed, &references[1..]);
        assert_eq!(
            (titles.join(" "), gone.join(" ")),
            ("t.py".into(), "cargo:g".into())
        );
    }

    #[test]
    fn test_with_a_new_title_runs_with_those_of_its_file() {
        let failed = failed(&[("t.py (part 3 of 3)", "pytest", Some("t.py"))]);
        let parts = [
            ("t.py (part 1 of 4)", "pytest", "./t.py"),
            ("t.py (part 2 of 4)", "pytest", "./t.py"),
            ("u.py", "pytest", "u.py"),
            ("t.py", "exec-test", "t.py"),
        ];
        let (titles, gone) = chosen(&failed, &[(".", &parts)]);
        let expected = "t.py (part 1 of 4) t.py (part 2 of 4)";
        assert_eq!((titles.join(" "), gone.len()), (expected.into(), 0));
        let (titles, gone) = chosen(&failed, &[(".", &parts[2..])]);
        assert_eq!(
            (titles.len(), gone),
            (0, vec!["t.py (part 3 of 3)".to_owned()])
        );
    }
}

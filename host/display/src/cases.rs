//! Owns how cases, which are results inside a task, are shown: the failed ones below their task,
//! and a line for each where that is wanted.

use super::{REASON, beginning, style, title};
use persea_journal::{ShownCase, TaskFinished};
use persea_model::{Status, Task};

/// The failed cases of a failed task, a line each, and how many more there are. Empty for a task
/// without failed cases.
pub(super) fn block(record: &TaskFinished) -> String {
    let mut text = String::new();
    for case in &record.failed_cases {
        text.push_str(&format!("   {}\n", line(case)));
    }
    let count = |status| record.cases.map_or(0, |cases| cases.get(status));
    let failed = Status::ALL.into_iter().filter(|status| !status.is_ok());
    let failed: usize = failed.map(count).sum();
    let more = failed.saturating_sub(record.failed_cases.len());
    if more > 0 {
        text.push_str(&format!("   and {more} more\n"));
    }
    text
}

/// The line of a case that has ended.
pub(super) fn finished_line(task: &Task, case: &ShownCase, total: usize) -> String {
    format!("{}: {}", title(task, total), line(case))
}

fn line(case: &ShownCase) -> String {
    let (style, status) = (style(case.status), case.status);
    let name = beginning(&case.title, REASON);
    let mut line = format!("case {name}: {style}{status}{style:#}");
    if let Some(reason) = &case.reason
        && status != Status::Pass
    {
        line.push_str(": ");
        line.push_str(&beginning(reason, REASON));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use persea_model::{Runnable, Tally};

    fn record(failed: usize, listed: usize) -> TaskFinished {
        let cases = Tally {
            pass: 7,
            fail: failed,
            ..Tally::default()
        };
        let case = |number| ShownCase {
            title: format!("suite > c{number}"),
            status: Status::Fail,
            reason: Some("no".to_owned()),
        };
        let (name, directory) = ("a".to_owned(), "d".to_owned());
        TaskFinished {
            elapsed: 5,
            cases: Some(cases),
            failed_cases: (0..listed).map(case).collect(),
            ..TaskFinished::new(1, name, &Runnable::default(), Status::Fail, directory)
        }
    }

    fn shown(record: &TaskFinished) -> String {
        anstream::adapter::strip_str(&block(record)).to_string()
    }

    #[test]
    fn failed_cases_are_listed_and_the_rest_is_counted() {
        let text = shown(&record(34, 2));
        assert_eq!(
            text,
            "   case suite > c0: FAIL: no\n   case suite > c1: FAIL: no\n   and 32 more\n"
        );
        assert!(!shown(&record(2, 2)).contains("more"));
        assert_eq!(shown(&record(0, 0)), "");
    }
}

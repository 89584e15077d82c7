//! Owns the cases of tasks between their events and the end of their tasks, for result formats.

use crate::cases::Case;
use crate::model::Status;
use crate::result_format::Event;
use std::collections::BTreeMap;

/// The largest number of cases that a [`CaseBuffer`] keeps for one task.
const MAX_CASES: usize = 10_000;

/// The largest number of bytes that a [`CaseBuffer`] keeps for all tasks together.
const MAX_BYTES: usize = 32 << 20;

/// The bytes that each case takes besides its texts: those of its fields and allocations.
const CASE_BYTES: usize = 200;

/// Collects the cases of tasks until the tasks finish, in bounded memory: 10,000 cases for each
/// task, and 32 MiB for all tasks together. It counts the cases that it leaves out.
///
/// A format that uses it names `case-finished` and `task-retried` among its `events`, passes every
/// event to [`handle`](Self::handle), and [takes](Self::take) the cases when their task finishes:
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::{CaseBuffer, Value};
///
/// let mut cases = CaseBuffer::new();
/// let event = Event::new("case-finished").task("1-a");
/// cases.handle(&event.with("path", Value::list(["login"])).with("status", "FAIL"));
/// let of_task = cases.take("1-a");
/// assert_eq!(of_task.cases[0].status, Status::Fail);
/// assert_eq!(of_task.left_out, 0);
/// ```
#[derive(Debug, Default)]
pub struct CaseBuffer {
    tasks: BTreeMap<String, TaskCases>,
    bytes: usize,
}

/// The cases of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskCases {
    /// The first cases, in the order in which they finished.
    pub cases: Vec<Case>,
    /// How many later cases were left out.
    pub left_out: u64,
    /// What the cases take of the limit.
    bytes: usize,
}

impl TaskCases {
    /// Whether the task had no cases.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.left_out == 0
    }
}

impl CaseBuffer {
    /// Creates an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the case of an event `case-finished`, and drops the cases of an attempt at an event
    /// `task-retried`. Ignores other events.
    pub fn handle(&mut self, event: &Event) {
        let Some(task) = &event.task else { return };
        match event.kind.as_str() {
            "case-finished" => self.add(task, event),
            "task-retried" => drop(self.take(task)),
            _ => {}
        }
    }

    fn add(&mut self, task: &str, event: &Event) {
        let Some(case) = read(event) else { return };
        let bytes = CASE_BYTES
            + case.reason.as_ref().map_or(0, String::len)
            + case
                .path
                .iter()
                .map(|name| CASE_BYTES / 4 + name.len())
                .sum::<usize>();
        let of_task = self.tasks.entry(task.to_owned()).or_default();
        if of_task.cases.len() == MAX_CASES || self.bytes + bytes > MAX_BYTES {
            of_task.left_out += 1;
            return;
        }
        self.bytes += bytes;
        of_task.bytes += bytes;
        of_task.cases.push(case);
    }

    /// Removes and returns the cases of a task, by its id.
    pub fn take(&mut self, task: &str) -> TaskCases {
        let of_task = self.tasks.remove(task).unwrap_or_default();
        self.bytes -= of_task.bytes;
        of_task
    }
}

/// Reads a case, without its further data. None for an event without a path or a known status.
fn read(event: &Event) -> Option<Case> {
    let data = &event.data;
    let mut case = Case::new(data.list("path")?, Status::from_name(data.text("status")?)?);
    case.duration = data.duration("elapsed");
    case.reason = data.text("reason").map(str::to_owned);
    Some(case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Value;

    fn case(task: &str, name: &str) -> Event {
        Event::new("case-finished")
            .task(task)
            .with("path", Value::list(["suite", name]))
            .with("status", "SKIP")
            .with("elapsed", 5_i64)
            .with("reason", "no disk")
    }

    #[test]
    fn cases_are_kept_by_task() {
        let mut buffer = CaseBuffer::new();
        for event in [case("1", "a"), case("2", "b"), case("1", "c")] {
            buffer.handle(&event);
        }
        let expected = |name: &str| {
            Case::new(["suite", name], Status::Skip)
                .duration(std::time::Duration::from_nanos(5))
                .reason("no disk")
        };
        assert_eq!(buffer.take("1").cases, [expected("a"), expected("c")]);
        assert!(buffer.take("1").is_empty(), "they are taken once");
        assert_eq!(buffer.take("2").cases, [expected("b")]);
        assert_eq!(buffer.bytes, 0);
    }

    #[test]
    fn cases_of_an_earlier_attempt_are_dropped() {
        let mut buffer = CaseBuffer::new();
        buffer.handle(&case("1", "a"));
        buffer.handle(&Event::new("task-retried").task("1"));
        buffer.handle(&case("1", "b"));
        assert_eq!(buffer.take("1").cases.len(), 1);
    }

    #[test]
    fn cases_over_a_limit_are_counted() {
        let mut buffer = CaseBuffer::new();
        for _ in 0..MAX_CASES + 3 {
            buffer.handle(&case("1", "a"));
        }
        let of_task = buffer.take("1");
        assert_eq!((of_task.cases.len(), of_task.left_out), (MAX_CASES, 3));
        let long = case("2", "a").with("reason", "x".repeat(MAX_BYTES / 4));
        for _ in 0..5 {
            buffer.handle(&long);
        }
        let of_task = buffer.take("2");
        assert_eq!((of_task.cases.len(), of_task.left_out), (3, 2));
    }

    #[test]
    fn event_without_a_path_or_a_status_is_ignored() {
        let mut buffer = CaseBuffer::new();
        let event = Event::new("case-finished").task("1");
        buffer.handle(&event);
        buffer.handle(&event.with("path", Value::list(["a"])).with("status", "odd"));
        assert!(buffer.take("1").is_empty());
    }
}

//! Owns the choice of tests to run again: those that did not pass in an earlier job. Identifies
//! them by title.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::plan::naming::NamedRunnable;
use persea_journal::{Event, EventKind, JournalError, Reader};
use persea_model::Attribute;

/// Returns the titles of the tasks of a job that ended FAIL, ERROR or INTERRUPTED, or have no end
/// because the host was killed.
///
/// # Errors
/// The job's journal cannot be read.
pub fn failed_in(job_dir: &Path) -> Result<HashSet<String>, JournalError> {
    let mut open: HashMap<String, String> = HashMap::new();
    let mut failed = HashSet::new();
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
                    open.insert(task, title.into_owned());
                }
            }
            Event::TaskFinished(finished) => {
                open.remove(&task);
                if !finished.status.is_ok() {
                    failed.insert(finished.title().to_owned());
                }
            }
            _ => {}
        }
    }
    failed.extend(open.into_values());
    Ok(failed)
}

/// Keeps only the tasks with these titles, and those that they depend on. `ids` are the ids of all
/// tasks, in their order.
pub(crate) fn keep_titles(
    named: &mut Vec<NamedRunnable>,
    ids: &[String],
    titles: &HashSet<String>,
) {
    let mut by_name: HashMap<Cow<'_, str>, Vec<usize>> = HashMap::new();
    for (index, (named, id)) in named.iter().zip(ids).enumerate() {
        for name in named.runnable.names(&named.name, id) {
            by_name.entry(name).or_default().push(index);
        }
    }
    let is_wanted = |(_, named): &(usize, &NamedRunnable)| titles.contains(&*named.title);
    let wanted = named.iter().enumerate().filter(is_wanted);
    let mut todo: Vec<usize> = wanted.map(|(index, _)| index).collect();
    let mut kept: HashSet<usize> = HashSet::new();
    while let Some(index) = todo.pop() {
        if !kept.insert(index) {
            continue;
        }
        let Some(named) = named.get(index) else {
            continue;
        };
        let lists = ["needs", "after"].iter();
        let names = lists.filter_map(|key| named.runnable.more.get(*key)?.items());
        for name in names.flatten().filter_map(Attribute::into_text) {
            todo.extend(by_name.get(name.as_str()).into_iter().flatten());
        }
    }
    drop(by_name);
    let mut index = 0..;
    named.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
}

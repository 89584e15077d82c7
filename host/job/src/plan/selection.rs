//! Owns which tests of a job are left in its plan: those that filters choose, and what they depend
//! on. Does not know the language of filters.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::input::resolve::{Answer, Resolved};
use crate::plan::again::FailedTests;
use crate::plan::history::History;
use crate::plan::naming::{NamedRunnable, TaskIds, name_of, set_titles};
use persea_config::{Config, settings};
use persea_filter::{Filter, FilterError, LastResult, TestFacts};
use persea_model::{Attribute, Runnable};

/// Which tests of its references a job runs. A test is chosen by any filter of `run.filter`, or if
/// there is none, and by no filter of `run.exclude`.
#[derive(Debug, Default)]
pub struct Selection {
    filters: Vec<Filter>,
    excluded: Vec<Filter>,
    /// Of the chosen tests, those that failed in an earlier job.
    pub again: Option<FailedTests>,
}

impl Selection {
    /// Reads the filters of the configuration.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn new(config: &Config) -> Result<Self, FilterError> {
        let parse = |texts: Vec<String>| -> Result<Vec<Filter>, FilterError> {
            texts.iter().map(|text| Filter::parse(text)).collect()
        };
        Ok(Self {
            filters: parse(config.get(settings::RUN_FILTER))?,
            excluded: parse(config.get(settings::RUN_EXCLUDE))?,
            again: None,
        })
    }

    /// Whether there are filters.
    pub(crate) fn has_filters(&self) -> bool {
        !self.filters.is_empty() || !self.excluded.is_empty()
    }

    /// Which of these tests the filters leave: the chosen ones, those on which they depend, and
    /// errors of references. `ids` are the ids of the tests. Last results are those below
    /// `results_root`.
    pub(crate) fn filtered(
        &self,
        named: &[NamedRunnable],
        ids: &[String],
        results_root: &Path,
    ) -> Vec<bool> {
        let mut all = self.filters.iter().chain(&self.excluded);
        let history = match all.any(Filter::needs_results) {
            true => History::read_with_cases(results_root),
            false => History::default(),
        };
        let wanted = named.iter().map(|named| {
            let last = history.of_named(&named.name, &named.runnable);
            let test = TestFacts {
                name: &named.name,
                title: &named.title,
                runnable: &named.runnable,
                last: last.map(|(last, cases)| LastResult {
                    status: last.status,
                    cases,
                }),
            };
            named.ended.is_some() || self.chooses(&test)
        });
        with_dependencies(named, ids, wanted.collect())
    }

    fn chooses(&self, test: &TestFacts<'_>) -> bool {
        let is_wanted = self.filters.is_empty() || self.filters.iter().any(|it| it.matches(test));
        is_wanted && !self.excluded.iter().any(|it| it.matches(test))
    }
}

/// Adds the tests on which wanted ones depend.
pub(crate) fn with_dependencies(
    named: &[NamedRunnable],
    ids: &[String],
    mut wanted: Vec<bool>,
) -> Vec<bool> {
    let mut by_name: HashMap<Cow<'_, str>, Vec<usize>> = HashMap::new();
    for (index, (named, id)) in named.iter().zip(ids).enumerate() {
        for name in named.runnable.names(&named.name, id) {
            by_name.entry(name).or_default().push(index);
        }
    }
    let chosen = wanted
        .iter()
        .enumerate()
        .filter(|(_, is_wanted)| **is_wanted);
    let mut todo: Vec<usize> = chosen.map(|(index, _)| index).collect();
    let mut seen: HashSet<usize> = HashSet::new();
    while let Some(index) = todo.pop() {
        let (true, Some(named)) = (seen.insert(index), named.get(index)) else {
            continue;
        };
        if let Some(is_wanted) = wanted.get_mut(index) {
            *is_wanted = true;
        }
        for name in dependencies(&named.runnable) {
            todo.extend(by_name.get(name.as_str()).into_iter().flatten());
        }
    }
    wanted
}

/// The names of what a runnable's task depends on.
fn dependencies(runnable: &Runnable) -> impl Iterator<Item = String> {
    let lists = ["needs", "after"].into_iter();
    let names = lists.filter_map(|key| runnable.more.get(key)?.items());
    names.flatten().filter_map(Attribute::into_text)
}

/// Leaves only these items.
pub(crate) fn retain<T>(items: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    items.retain(|_| kept.next().copied().unwrap_or(true));
}

/// Leaves only the tests that the filters leave in the answers, for `persea list`. Returns the
/// number of tests before, if there are filters.
pub fn filter_answers(
    resolved: &mut [Resolved],
    selection: &Selection,
    config: &Config,
    results_root: &Path,
) -> Option<usize> {
    if !selection.has_filters() {
        return None;
    }
    let format = config.get(settings::RUNNER_IDENTIFIER_FORMAT);
    let mut named = Vec::new();
    for Resolved { answer, .. } in &*resolved {
        if let Answer::Found { runnables, .. } = answer {
            let tests = runnables.iter();
            named.extend(tests.map(|it| NamedRunnable::new(name_of(it, format).into(), it)));
        }
    }
    set_titles(&mut named);
    let ids = TaskIds::new(config);
    let widths = ids.number(&mut named);
    let ids = ids.all(&named, &widths);
    let kept = selection.filtered(&named, &ids, results_root);
    let mut kept = kept.as_slice();
    for Resolved { answer, .. } in resolved {
        if let Answer::Found { runnables, .. } = answer {
            let (own, rest) = kept.split_at(runnables.len().min(kept.len()));
            kept = rest;
            retain(runnables, own);
        }
    }
    Some(named.len())
}

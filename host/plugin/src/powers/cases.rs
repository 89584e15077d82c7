//! The power `cases`: results inside a task. Does not know where cases are kept or shown: the job
//! does.

use std::time::Duration;

use crate::contract::convert::{self, AnswerBudget, ConvertError, error};
use crate::contract::data::{Attributes, Error, FinishedCase};
use crate::contract::limits::{CASE_NAMES, CASE_PATH, CASE_REASON};
use crate::contract::world::World;
use crate::engine::limits::{Limit, Limits};
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::powers::task::{TaskPower, has_reached};
use persea_model::Case;
use persea_model::names::cut;

pub(crate) static POWER: Power = Power {
    name: "cases",
    worlds: &[World::Runner],
    words: "report the results of cases inside its task",
    grant: None,
    more_grants: &[],
};

/// Checks the path of a case, and returns what it takes of the host's memory, in bytes.
fn weigh(path: &[String]) -> Result<usize, Error> {
    if path.is_empty() {
        return Err(error("invalid", "the path of a case has at least one name"));
    }
    CASE_NAMES.check(path.len())?;
    let names: usize = path.iter().map(String::len).sum();
    CASE_PATH.check(names)?;
    Ok(names + size_of_val(path))
}

/// Cuts a reason to what the contract allows, between characters.
fn cut_reason(mut reason: String) -> String {
    let length = cut(&reason, CASE_REASON.most).len();
    reason.truncate(length);
    reason
}

impl TaskPower {
    fn start_case(&mut self, limits: &Limits, path: Vec<String>) -> Result<(), Error> {
        let size = weigh(&path)?;
        self.pay_for_case(limits, size as u64)?;
        self.host.case_started(path);
        Ok(())
    }

    fn finish_case(&mut self, limits: &Limits, finished: FinishedCase) -> Result<(), Error> {
        let path = weigh(&finished.path)?;
        let reason = finished.reason.map(cut_reason);
        let text = reason.as_ref().map_or(0, String::len);
        self.pay_for_case(limits, (path + text) as u64)?;
        let more = self.pay_for_data(limits, finished.more)?;
        self.host.case_finished(Case {
            path: finished.path,
            status: finished.status,
            elapsed: finished.duration.map(Duration::from_nanos),
            reason,
            more,
        });
        Ok(())
    }

    /// Converts a case's open data, and takes its weight from the task's limits.
    fn pay_for_data(
        &mut self,
        limits: &Limits,
        more: Attributes,
    ) -> Result<persea_model::Attributes, Error> {
        let mut budget = AnswerBudget::new(self.case_bytes_left);
        let more = convert::attributes(more, &mut budget).map_err(|failure| match failure {
            ConvertError::OverBudget => has_reached(&limits.reached(Limit::CaseBytes)),
            ConvertError::Invalid(invalid) => error("invalid", invalid.to_string()),
        })?;
        self.case_bytes_left = self.case_bytes_left.saturating_sub(budget.used());
        Ok(more)
    }
}

impl InstanceState {
    /// Reports that a case of the current task is running.
    pub(crate) fn start_case(&mut self, path: Vec<String>) -> Result<(), Error> {
        let limits = std::sync::Arc::clone(&self.context.limits);
        self.task(&POWER)?.start_case(&limits, path)
    }

    /// Reports cases of the current task that have ended, up to the first wrong one.
    pub(crate) fn finish_cases(
        &mut self,
        cases: impl IntoIterator<Item = FinishedCase>,
    ) -> Result<(), Error> {
        let limits = std::sync::Arc::clone(&self.context.limits);
        let task = self.task(&POWER)?;
        let mut cases = cases.into_iter();
        cases.try_for_each(|finished| task.finish_case(&limits, finished))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::Arc;

    use super::*;
    use crate::contract::data::Value;
    use crate::powers::testing::{FakeTask, give_task, instance_of, instance_with};
    use persea_config::settings;
    use persea_model::Status;

    fn path(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn finished(path: Vec<String>) -> FinishedCase {
        FinishedCase {
            path,
            status: Status::Pass,
            duration: Some(5),
            reason: None,
            more: Vec::new(),
        }
    }

    #[test]
    fn cases_reach_the_task_in_order() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Runner, &task);
        let state = store.data_mut();
        state.start_case(path(&["suite", "case"])).unwrap();
        let both = vec![finished(path(&["suite", "case"])), finished(path(&["b"]))];
        state.finish_cases(both).unwrap();
        assert_eq!(*task.started.lock().unwrap(), [path(&["suite", "case"])]);
        let finished = task.finished.lock().unwrap();
        let paths: Vec<_> = finished.iter().map(|case| case.path.join("/")).collect();
        assert_eq!(paths, ["suite/case", "b"]);
        assert_eq!(finished[0].elapsed, Some(Duration::from_nanos(5)));
    }

    #[test]
    fn wrong_paths_are_invalid_and_cases_before_them_are_taken() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Runner, &task);
        let state = store.data_mut();
        let deep = path(&["x"; 10_000]);
        let long = path(&["x".repeat(4097).as_str()]);
        for wrong in [path(&[]), deep, path(&["x"; 65]), long] {
            let refused = state.start_case(wrong.clone()).unwrap_err();
            assert_eq!(refused.code, "invalid");
            let before = task.finished.lock().unwrap().len();
            let cases = ["first", "", "last"].map(|name| match name {
                "" => finished(wrong.clone()),
                name => finished(path(&[name])),
            });
            let refused = state.finish_cases(cases).unwrap_err();
            assert_eq!(refused.code, "invalid");
            assert_eq!(task.finished.lock().unwrap().len(), before + 1);
        }
        assert!(task.started.lock().unwrap().is_empty());
        state.start_case(path(&["x"; 64])).unwrap();
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Runner, &task);
        let reason = Some("ü".repeat(40_000) + "x");
        let case = FinishedCase {
            reason: reason.map(|reason| format!("x{reason}")),
            ..finished(path(&["a"]))
        };
        store.data_mut().finish_cases(vec![case]).unwrap();
        let finished = task.finished.lock().unwrap();
        let reason = finished[0].reason.as_deref().unwrap();
        assert_eq!(reason.len(), (64 << 10) - 1);
    }

    #[test]
    fn cases_of_a_task_are_limited_in_sum() {
        let mut store = instance_with(World::Runner, |config| {
            config.set_option(settings::PLUGINS_LIMITS_CASES_MB, 1);
            // Other messages do not count.
            config.set_option(settings::PLUGINS_LIMITS_STATUS_BYTES, 1);
        });
        let task = Arc::new(FakeTask::default());
        give_task(&mut store, &task);
        let state = store.data_mut();
        let case = || FinishedCase {
            reason: Some("r".repeat(1 << 20)),
            ..finished(path(&["a"]))
        };
        let taken = (0..100).take_while(|_| state.finish_cases(vec![case()]).is_ok());
        assert_eq!(taken.count(), 15);
        let refused = state.finish_cases(vec![case()]).unwrap_err();
        assert_eq!(refused.code, "limit");
        let data = vec![("output".to_owned(), Value::Text("x".repeat(1 << 20)))];
        let case = FinishedCase {
            more: data,
            ..finished(path(&["a"]))
        };
        assert_eq!(state.finish_cases(vec![case]).unwrap_err().code, "limit");
    }

    #[test]
    fn number_of_cases_is_limited_apart_from_messages() {
        let mut store = instance_with(World::Runner, |config| {
            config.set_option(settings::PLUGINS_LIMITS_CASES, 3);
            config.set_option(settings::PLUGINS_LIMITS_STATUS_MESSAGES, 1);
        });
        let task = Arc::new(FakeTask::default());
        give_task(&mut store, &task);
        let state = store.data_mut();
        let case = || finished(path(&["a"]));
        state.start_case(path(&["a"])).unwrap();
        state.finish_cases(vec![case(), case()]).unwrap();
        let refused = state.start_case(path(&["a"])).unwrap_err();
        assert_eq!(refused.code, "limit");
        let limit = "its limit on starts and ends of cases, 3: `plugins.limits.cases` raises it";
        assert!(refused.message.contains(limit), "{}", refused.message);
    }

    #[test]
    fn defaults_allow_a_hundred_thousand_cases_with_starts() {
        let mut store = instance_with(World::Runner, |_| {});
        let task = Arc::new(FakeTask::default());
        give_task(&mut store, &task);
        let state = store.data_mut();
        for number in 0..100_000 {
            let path = path(&[
                "tests/test_module.py::TestClass",
                &format!("test_{number:060}"),
            ]);
            state.start_case(path.clone()).unwrap();
            state.finish_cases(vec![finished(path)]).unwrap();
        }
        assert_eq!(task.finished.lock().unwrap().len(), 100_000);
    }

    #[test]
    fn roles_without_the_power_are_refused() {
        for world in [
            World::Lister,
            World::RequirementResolver,
            World::ResultFormat,
        ] {
            let task = Arc::new(FakeTask::default());
            let mut store = instance_of(world, &task);
            let refused = store.data_mut().start_case(path(&["a"])).unwrap_err();
            assert_eq!(refused.code, "not-permitted");
            assert!(refused.message.contains("`cases`"), "{}", refused.message);
            assert!(
                refused.message.contains(world.name()),
                "{}",
                refused.message
            );
            assert!(task.started.lock().unwrap().is_empty());
        }
    }
}

//! The power `pages`: parts of an answer that is too long for one return. Does not know what
//! becomes of the answer: the adapters of the worlds take the parts when the call has returned.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::contract::convert::{self, AnswerBudget, ConvertError, error};
use crate::contract::data::{self, Error};
use crate::contract::known_keys;
use crate::contract::limits::{ContractLimit, RUNNABLES, VARIATIONS};
use crate::contract::variation::variation;
use crate::contract::world::World;
use crate::engine::limits::Limit;
use crate::error::PluginError;
use crate::error::reached::ReachedLimit;
use crate::instance::context::PluginContext;
use crate::instance::kept_bytes::KeptBytes;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::task::{TaskHost, TaskPower, has_reached};
use persea_model::{Runnable, Variation};

pub(crate) static POWER: Power = Power {
    name: "pages",
    worlds: &[World::Resolver, World::Varianter, World::Lister],
    words: "answer in several parts",
    grant: None,
    more_grants: &[],
};

/// The parts of one kind that a call has added to its answer. An adapter gives this to the instance
/// before a call, and takes it after that.
pub(crate) struct Pages<T> {
    parts: Vec<T>,
    /// What the parts take of the host's memory. Freed with this, unless it is kept.
    kept: KeptBytes,
    /// The limit that refused a part. The answer lacks that part, so it counts as failed.
    reached: Option<ReachedLimit>,
}

impl<T: Send + 'static> PowerState for Pages<T> {}

impl<T> Pages<T> {
    /// An answer without any part.
    pub(crate) fn new(context: &Arc<PluginContext>) -> Self {
        Self {
            parts: Vec::new(),
            kept: KeptBytes::new(context),
            reached: None,
        }
    }

    /// Returns the parts, whose memory is kept until the job ends.
    ///
    /// # Errors
    /// The plugin has added more than a limit allows, so the answer is incomplete.
    pub(crate) fn keep(self) -> Result<Vec<T>, PluginError> {
        if let Some(reached) = self.reached {
            return Err(self.kept.context().end_at(reached));
        }
        self.kept.keep();
        Ok(self.parts)
    }

    /// Adds a page, whose items `convert` takes from its budget.
    fn add<W>(
        &mut self,
        page: Vec<W>,
        most: &'static ContractLimit,
        mut convert: impl FnMut(W, &mut AnswerBudget) -> Result<T, ConvertError>,
    ) -> Result<(), Error> {
        let context = Arc::clone(self.kept.context());
        let count = self.parts.len() + page.len();
        if count > most.most {
            let reached = most.reached();
            return Err(self.refuse(reached));
        }
        let mut budget = context.answer_budget();
        let items = page.into_iter().map(|item| convert(item, &mut budget));
        let items: Result<Vec<T>, ConvertError> = items.collect();
        let items = items.map_err(|failure| match failure {
            ConvertError::OverBudget => self.refuse(context.limits.reached(Limit::AnswerBytes)),
            ConvertError::Invalid(invalid) => error("invalid", invalid.to_string()),
        })?;
        if let Err(reached) = self.kept.add(budget.used()) {
            return Err(self.refuse(reached));
        }
        self.parts.extend(items);
        Ok(())
    }

    fn refuse(&mut self, reached: ReachedLimit) -> Error {
        let refused = has_reached(&reached);
        self.reached.get_or_insert(reached);
        refused
    }
}

/// Returns a whole answer: what the plugin has added to it in pages, and then what it returned.
///
/// # Errors
/// The answer has more than a limit allows, or lacks a page that a limit refused.
pub(crate) fn complete<T>(
    context: &PluginContext,
    pages: Option<Pages<T>>,
    returned: Vec<T>,
    most: &ContractLimit,
) -> Result<Vec<T>, PluginError> {
    let mut whole = pages.map_or_else(|| Ok(Vec::new()), Pages::keep)?;
    if whole.len() + returned.len() > most.most {
        return Err(context.end_at(most.reached()));
    }
    whole.extend(returned);
    Ok(whole)
}

/// Shares runnables that are equal and follow each other, as in a recipe that repeats a test.
#[derive(Default)]
pub(crate) struct SharedEquals(Option<Arc<Runnable>>);

impl SharedEquals {
    /// Returns the runnable before where this one is equal.
    pub(crate) fn share(&mut self, runnable: Runnable) -> Arc<Runnable> {
        match &self.0 {
            Some(before) if **before == runnable => Arc::clone(before),
            Some(_) | None => Arc::clone(self.0.insert(Arc::new(runnable))),
        }
    }
}

/// Whether a task is interrupted.
fn is_interrupted(host: &dyn TaskHost) -> bool {
    let mut no_waker = Context::from_waker(Waker::noop());
    pin!(host.interrupted()).poll(&mut no_waker).is_ready()
}

impl InstanceState {
    /// Begins an answer that the plugin may give in parts.
    pub(crate) fn begin_pages<T: Send + 'static>(&mut self) {
        let pages = Pages::<T>::new(&self.context);
        self.give(pages);
    }

    /// Takes the parts of the answer that was begun last; none if no answer was begun.
    pub(crate) fn end_pages<T: Send + 'static>(&mut self) -> Option<Pages<T>> {
        self.remove()
    }

    /// Returns the parts of the current answer.
    fn pages<T: Send + 'static>(&mut self) -> Result<&mut Pages<T>, Error> {
        self.permit(&POWER)?;
        if let Some(task) = self.power::<TaskPower>()
            && is_interrupted(&*task.host)
        {
            return Err(error("interrupted", "nobody waits for the answer any more"));
        }
        let label = Arc::clone(&self.context);
        self.power_mut().ok_or_else(|| {
            let message = format!("the answer of {} has no such parts", label.label);
            error("unsupported", message)
        })
    }

    /// Adds runnables to the current answer.
    pub(crate) fn add_runnable_page(&mut self, page: Vec<data::Runnable>) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        let pages = self.pages::<Arc<Runnable>>()?;
        for runnable in &page {
            context.log_unknown_of_runnable(runnable);
        }
        let mut equals = SharedEquals::default();
        let mut convert =
            |item, budget: &mut _| convert::runnable(item, budget).map(|it| equals.share(it));
        pages.add(page, &RUNNABLES, &mut convert)
    }

    /// Adds variations to the current answer.
    pub(crate) fn add_variation_page(&mut self, page: Vec<data::Variation>) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        let pages = self.pages::<Variation>()?;
        for variation in &page {
            context.log_unknown(&known_keys::VARIATION, &variation.more);
        }
        pages.add(page, &VARIATIONS, variation)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::powers::testing::{FakeTask, instance_of, instance_with};
    use persea_config::settings;

    fn runnable(kind: &str) -> data::Runnable {
        convert::to_runnable(&Runnable {
            kind: kind.to_owned(),
            ..Runnable::default()
        })
    }

    #[test]
    fn parts_are_taken_in_order() {
        let mut store = instance_with(World::Resolver, |_| {});
        let state = store.data_mut();
        state.begin_pages::<Arc<Runnable>>();
        let first = vec![runnable("a"), runnable("b")];
        state.add_runnable_page(first).unwrap();
        state.add_runnable_page(vec![runnable("c")]).unwrap();
        let parts = state.end_pages::<Arc<Runnable>>().unwrap().keep().unwrap();
        let kinds: Vec<&str> = parts.iter().map(|part| &*part.kind).collect();
        assert_eq!(kinds, ["a", "b", "c"]);
        let refused = state.add_runnable_page(Vec::new()).unwrap_err();
        assert_eq!(refused.code, "unsupported");
    }

    #[test]
    fn equal_runnables_that_follow_each_other_are_shared() {
        let mut store = instance_with(World::Resolver, |_| {});
        let state = store.data_mut();
        state.begin_pages::<Arc<Runnable>>();
        let page = ["a", "a", "b", "a"].map(runnable);
        state.add_runnable_page(page.to_vec()).unwrap();
        let parts = state.end_pages::<Arc<Runnable>>().unwrap().keep().unwrap();
        let kinds: Vec<&str> = parts.iter().map(|part| &*part.kind).collect();
        assert_eq!(kinds, ["a", "a", "b", "a"]);
        assert!(Arc::ptr_eq(&parts[0], &parts[1]));
        assert_eq!(Arc::strong_count(&parts[0]), 2);
    }

    #[test]
    fn flood_reaches_a_limit_and_fails_the_answer() {
        let mut store = instance_with(World::Resolver, |config| {
            config.set_option(settings::PLUGINS_LIMITS_ANSWERS_MB, 1);
        });
        let state = store.data_mut();
        state.begin_pages::<Arc<Runnable>>();
        let page = || vec![runnable(&"k".repeat(1000)); 100];
        let taken = (0..1000).take_while(|_| state.add_runnable_page(page()).is_ok());
        assert!(taken.count() < 10);
        let refused = state.add_runnable_page(page()).unwrap_err();
        assert_eq!(refused.code, "limit");
        // Also if the plugin answers as if nothing had happened.
        assert!(state.end_pages::<Arc<Runnable>>().unwrap().keep().is_err());
    }

    #[test]
    fn memory_of_a_failed_answer_is_free_again() {
        let mut store = instance_with(World::Resolver, |config| {
            config.set_option(settings::PLUGINS_LIMITS_ANSWERS_MB, 1);
        });
        let state = store.data_mut();
        for _ in 0..10 {
            state.begin_pages::<Arc<Runnable>>();
            let page = vec![runnable(&"k".repeat(1000)); 500];
            state.add_runnable_page(page).unwrap();
            drop(state.end_pages::<Arc<Runnable>>());
        }
    }

    #[test]
    fn parts_of_the_other_kind_are_unsupported() {
        let mut store = instance_with(World::Varianter, |_| {});
        let state = store.data_mut();
        state.begin_pages::<Variation>();
        let refused = state.add_runnable_page(Vec::new()).unwrap_err();
        assert_eq!(refused.code, "unsupported");
        state.add_variation_page(Vec::new()).unwrap();
    }

    #[test]
    fn lister_of_an_interrupted_task_adds_nothing() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Lister, &task);
        let state = store.data_mut();
        state.begin_pages::<Arc<Runnable>>();
        state.add_runnable_page(Vec::new()).unwrap();
        task.is_interrupted.store(true, Ordering::Relaxed);
        let refused = state.add_runnable_page(Vec::new()).unwrap_err();
        assert_eq!(refused.code, "interrupted");
    }
}

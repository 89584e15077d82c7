//! Owns what all instances of one plugin share in a job: its label, grants, limits, and what it has
//! used of them. Does not know about calls, or where plugins come from.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::contract::convert::{AnswerBudget, ConvertError};
use crate::contract::data::{Attributes, Runnable};
use crate::contract::known_keys::{AnswerRecord, REQUIREMENT, RUNNABLE};
use crate::contract::world::World;
use crate::engine::limits::{Limit, Limits};
use crate::error::PluginError;
use crate::error::reached::ReachedLimit;
use crate::instance::environment::hidden_variables;
use crate::instance::grants::Grants;
use crate::instance::memory::{ByteCount, JobMemory};
use persea_model::names::{printable, shortened};

/// The most unknown names of one plugin that are logged.
const MOST_UNKNOWN: usize = 20;

/// The longest unknown name in a message, in bytes.
const LONGEST_UNKNOWN: usize = 64;

/// One plugin in a job, as each of its instances refers to it.
#[derive(Debug)]
pub(crate) struct PluginContext {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub(crate) label: String,
    /// What the plugin is for its caller; none while it describes itself.
    pub(crate) world: Option<World>,
    pub(crate) grants: Grants,
    pub(crate) limits: Arc<Limits>,
    /// The host's environment variables that the plugin's processes do not see.
    pub(crate) hidden_variables: Vec<String>,
    /// How often the plugin has trapped or reached a limit.
    deaths: AtomicU64,
    /// The host's memory that the plugin's answers take until the job ends.
    kept: ByteCount,
    job_memory: Arc<JobMemory>,
    /// The names in the further data of answers that were logged as unknown, with their records.
    unknown: Mutex<BTreeSet<(&'static str, String)>>,
}

impl PluginContext {
    pub(crate) fn new(
        label: String,
        world: Option<World>,
        grants: Grants,
        limits: Limits,
        job_memory: Arc<JobMemory>,
    ) -> Self {
        Self {
            label,
            world,
            hidden_variables: hidden_variables(&grants),
            grants,
            deaths: AtomicU64::new(0),
            kept: ByteCount::new(limits.kept_bytes),
            limits: Arc::new(limits),
            job_memory,
            unknown: Mutex::default(),
        }
    }

    /// Logs the names in the further data of an answer that the host does not know: each once, and
    /// the first ones only.
    pub(crate) fn log_unknown(&self, record: &AnswerRecord, more: &Attributes) {
        let names = more.iter().map(|(name, _)| name.as_str());
        for name in names.filter(|name| !record.names.contains(name)) {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            let name = printable(&shortened(name.to_owned(), LONGEST_UNKNOWN)).into_owned();
            if unknown.len() < MOST_UNKNOWN && unknown.insert((record.what, name.clone())) {
                tracing::warn!(
                    "{}: this host does not know `{name}` in the further data of {}",
                    self.label,
                    record.what
                );
            }
        }
    }

    /// Logs the unknown names in the further data of a runnable and of its requirements.
    pub(crate) fn log_unknown_of_runnable(&self, runnable: &Runnable) {
        self.log_unknown(&RUNNABLE, &runnable.more);
        for requirement in &runnable.requirements {
            self.log_unknown(&REQUIREMENT, &requirement.more);
        }
    }

    /// Returns the budget of one answer of the plugin.
    pub(crate) fn answer_budget(&self) -> AnswerBudget {
        AnswerBudget::new(self.limits.answer_bytes)
    }

    /// Reports an answer that exceeds its budget or has an invalid value.
    pub(crate) fn within_budget<T>(
        &self,
        converted: Result<T, ConvertError>,
    ) -> Result<T, PluginError> {
        converted.map_err(|error| match error {
            ConvertError::OverBudget => self.end_at(self.limits.reached(Limit::AnswerBytes)),
            ConvertError::Invalid(invalid) => self.invalid(invalid.to_string()),
        })
    }

    /// Reports an answer that breaks a rule of the contract. The plugin may be called again.
    pub(crate) fn invalid(&self, message: String) -> PluginError {
        PluginError::Answer {
            plugin: self.label.clone(),
            code: "invalid".to_owned(),
            message,
            is_infrastructure: false,
        }
    }

    /// Counts memory that an answer of the plugin takes until the job ends, in bytes.
    ///
    /// # Errors
    /// The plugin, or all plugins together, would take more than their limit.
    pub(crate) fn keep(&self, more: u64) -> Result<(), PluginError> {
        self.try_keep(more).map_err(|reached| self.end_at(reached))
    }

    /// Counts memory as [`Self::keep`] does, for an answer that may still fail. The plugin may
    /// continue after an error.
    ///
    /// # Errors
    /// As for [`Self::keep`].
    pub(crate) fn try_keep(&self, more: u64) -> Result<(), ReachedLimit> {
        if !self.kept.try_add(more) {
            return Err(self.limits.reached(Limit::KeptBytes));
        }
        self.job_memory
            .add(more)
            .inspect_err(|_| self.kept.remove(more))
    }

    /// No longer counts memory of an answer that has failed, in bytes.
    pub(crate) fn release(&self, bytes: u64) {
        self.kept.remove(bytes);
        self.job_memory.remove(bytes);
    }

    /// Reports that an instance ends because it has reached a limit.
    pub(crate) fn end_at(&self, reached: ReachedLimit) -> PluginError {
        self.record_death();
        PluginError::Limit {
            plugin: self.label.clone(),
            reached: Box::new(reached),
        }
    }

    /// Checks that the host may still call the plugin in this job.
    ///
    /// # Errors
    /// The plugin has trapped or reached limits too often.
    pub(crate) fn check_alive(&self) -> Result<(), PluginError> {
        if self.deaths.load(Ordering::Relaxed) < self.limits.deaths {
            return Ok(());
        }
        Err(PluginError::Poisoned {
            plugin: self.label.clone(),
            reached: Box::new(self.limits.reached(Limit::Deaths)),
        })
    }

    /// Counts an instance that has ended by the plugin's own fault. Logs once that the plugin is
    /// not called any more.
    pub(crate) fn record_death(&self) {
        let deaths = self.deaths.fetch_add(1, Ordering::Relaxed) + 1;
        if deaths == self.limits.deaths
            && let Err(error) = self.check_alive()
        {
            tracing::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::limits::OwnLimits;
    use persea_config::{Config, UserDirs, settings};

    #[test]
    fn plugin_that_dies_too_often_is_not_called_again() {
        let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
        config.set_option(settings::PLUGINS_LIMITS_DEATHS, 2);
        let limits = Limits::of(&config, World::Runner, Some("x"), &OwnLimits::none());
        let memory = Arc::new(JobMemory::new(&config));
        let context = PluginContext::new(
            "runner `x`".into(),
            Some(World::Runner),
            Grants::default(),
            limits,
            memory,
        );
        assert!(context.check_alive().is_ok());
        context.record_death();
        assert!(context.check_alive().is_ok());
        context.record_death();
        assert_eq!(
            context.check_alive().unwrap_err().to_string(),
            "runner `x` is not asked again in this job: it has reached its limit on deaths in one \
             job, 2: `plugins.limits.deaths` raises it, or `plugins.runner.x.limits.deaths` alone"
        );
    }

    #[test]
    fn kept_answers_are_limited_for_each_plugin_and_for_the_job() {
        let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
        config.set_option(settings::PLUGINS_LIMITS_ANSWERS_MB, 2);
        config.set_option(settings::RUN_PLAN_MB, 3);
        let memory = Arc::new(JobMemory::new(&config));
        let context = |name: &str| {
            let limits = Limits::of(&config, World::Resolver, Some(name), &OwnLimits::none());
            let label = format!("resolver `{name}`");
            let world = Some(World::Resolver);
            PluginContext::new(label, world, Grants::default(), limits, Arc::clone(&memory))
        };
        let (one, other) = (context("one"), context("other"));
        assert!(one.keep(2 << 20).is_ok());
        assert_eq!(
            one.keep(1).unwrap_err().to_string(),
            "resolver `one` has reached its limit on the memory that its answers take in one job, \
             2 MiB: `plugins.limits.answers_mb` raises it, or \
             `plugins.resolver.one.limits.answers_mb` alone"
        );
        assert!(other.keep(1 << 20).is_ok());
        assert_eq!(
            other.keep(1).unwrap_err().to_string(),
            "resolver `other` has reached its limit on the memory that the tasks of one job take, \
             3 MiB: `run.plan_mb` raises it"
        );
    }
}

//! The terms on which a plugin is used: its name in messages, what it may do and use, and how often it has died in this job.
//!
//! Every store belongs to one of these. Knows nothing of what is called, or of where plugins come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::PluginError;
use crate::contract::convert::{Full, Room};
use crate::engine::limits::{Limits, Reached, bytes};
use crate::trust::grants::{Grants, Power};
use persea_config::Config;
use persea_config::settings;

/// Variables that every process may see, whoever starts it: without them few programs work.
const BASIC: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "PWD",
];

/// The same, by what they begin with.
const BASIC_KINDS: [&str; 3] = ["LC_", "PERSEA_", "AVOCADO_"];

/// The host's memory that the tasks of a job take, of which all plugins together have so much.
#[derive(Debug)]
pub struct JobMemory {
    used: AtomicU64,
    most: u64,
}

impl JobMemory {
    /// As `run.plan_mb` says.
    pub(crate) fn new(config: &Config) -> Self {
        let mebibytes = config.get(settings::RUN_PLAN_MB);
        Self {
            used: AtomicU64::new(0),
            most: mebibytes.saturating_mul(1 << 20),
        }
    }

    /// Counts so many bytes more.
    ///
    /// # Errors
    /// That is more than all tasks may take.
    pub fn add(&self, more: u64) -> Result<(), Reached> {
        match add(&self.used, more, self.most) {
            true => Ok(()),
            false => Err(Reached {
                what: "the memory that the tasks of one job take",
                value: bytes(self.most),
                raises: "`run.plan_mb` raises it".to_owned(),
            }),
        }
    }
}

/// Adds to a sum, unless that would be more than `most`.
fn add(sum: &AtomicU64, more: u64, most: u64) -> bool {
    let added = |sum: u64| sum.checked_add(more).filter(|sum| *sum <= most);
    let order = Ordering::Relaxed;
    sum.fetch_update(order, order, added).is_ok()
}

/// The terms of one plugin.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub(crate) label: String,
    /// What it may do.
    pub(crate) grants: Grants,
    /// What it may use.
    pub(crate) limits: Arc<Limits>,
    /// The host's variables that its processes don't see.
    pub(crate) hidden: Vec<String>,
    deaths: AtomicU64,
    /// The host's memory that what it has answered takes in this job.
    kept: AtomicU64,
    job: Arc<JobMemory>,
}

impl Terms {
    pub(crate) fn new(label: String, grants: Grants, limits: Limits, job: Arc<JobMemory>) -> Self {
        let hidden = hidden(&grants);
        Self {
            label,
            grants,
            limits: Arc::new(limits),
            hidden,
            deaths: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            job,
        }
    }

    /// The host's memory that one of its answers may become.
    pub(crate) fn room(&self) -> Room {
        Room::new(self.limits.answer_bytes)
    }

    /// What an answer has become, if there was room for it.
    pub(crate) fn fitting<T>(&self, converted: Result<T, Full>) -> Result<T, PluginError> {
        converted.map_err(|Full| {
            let value = bytes(self.limits.answer_bytes);
            let what = "the memory that one answer takes";
            self.too_much(self.limits.reached(what, value, "answer_mb"))
        })
    }

    /// Counts memory that is kept for the rest of the job.
    ///
    /// # Errors
    /// The plugin, or all of them together, would take more than they may.
    pub(crate) fn keep(&self, more: u64) -> Result<(), PluginError> {
        let most = self.limits.kept_bytes;
        if !add(&self.kept, more, most) {
            let what = "the memory that its answers take in one job";
            return Err(self.too_much(self.limits.reached(what, bytes(most), "answers_mb")));
        }
        self.job.add(more).map_err(|reached| self.too_much(reached))
    }

    fn too_much(&self, reached: Reached) -> PluginError {
        self.died();
        PluginError::Limit {
            plugin: self.label.clone(),
            reached: Box::new(reached),
        }
    }

    /// Whether it is asked any more: one that has died too often in this job is not.
    pub(crate) fn check(&self) -> Result<(), PluginError> {
        let (deaths, most) = (self.deaths.load(Ordering::Relaxed), self.most_deaths());
        if deaths < most {
            return Ok(());
        }
        let reached = self
            .limits
            .reached("deaths in one job", most.to_string(), "deaths");
        Err(PluginError::Poisoned {
            plugin: self.label.clone(),
            reached: Box::new(reached),
        })
    }

    fn most_deaths(&self) -> u64 {
        self.limits.deaths.max(1)
    }

    /// One of its instances is gone by its own fault. Where that was one too many it is said at once.
    pub(crate) fn died(&self) {
        let deaths = self.deaths.fetch_add(1, Ordering::Relaxed) + 1;
        if deaths == self.most_deaths()
            && let Err(error) = self.check()
        {
            tracing::warn!("{error}");
        }
    }
}

/// Those of the host's variables that nothing grants.
fn hidden(grants: &Grants) -> Vec<String> {
    if grants.allows(Power::Environment, "*") {
        return Vec::new();
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let basic = |name: &String| {
        BASIC.contains(&name.as_str()) || BASIC_KINDS.iter().any(|kind| name.starts_with(kind))
    };
    names
        .filter(|name| !basic(name) && !grants.allows(Power::Environment, name))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::World;
    use crate::engine::limits::Own;
    use persea_config::UserDirs;

    #[test]
    fn what_dies_too_often_is_not_asked_again() {
        let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
        config.set_option(settings::PLUGINS_LIMITS_DEATHS, 2);
        let limits = Limits::of(&config, World::Runner, Some("x"), &Own::none());
        let job = Arc::new(JobMemory::new(&config));
        let terms = Terms::new("runner `x`".into(), Grants::default(), limits, job);
        assert!(terms.check().is_ok());
        terms.died();
        assert!(terms.check().is_ok());
        terms.died();
        assert_eq!(
            terms.check().unwrap_err().to_string(),
            "runner `x` is not asked again in this job: it has reached its limit on deaths in one job, 2: `plugins.limits.deaths` raises it, or `plugins.runner.x.limits.deaths` alone"
        );
    }

    #[test]
    fn kept_answers_are_limited_for_each_plugin_and_for_the_job() {
        let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
        config.set_option(settings::PLUGINS_LIMITS_ANSWERS_MB, 2);
        config.set_option(settings::RUN_PLAN_MB, 3);
        let job = Arc::new(JobMemory::new(&config));
        let terms = |name: &str| {
            let limits = Limits::of(&config, World::Resolver, Some(name), &Own::none());
            let label = format!("resolver `{name}`");
            Terms::new(label, Grants::default(), limits, Arc::clone(&job))
        };
        let (one, other) = (terms("one"), terms("other"));
        assert!(one.keep(2 << 20).is_ok());
        assert_eq!(
            one.keep(1).unwrap_err().to_string(),
            "resolver `one` has reached its limit on the memory that its answers take in one job, 2 MiB: `plugins.limits.answers_mb` raises it, or `plugins.resolver.one.limits.answers_mb` alone"
        );
        assert!(other.keep(1 << 20).is_ok());
        assert_eq!(
            other.keep(1).unwrap_err().to_string(),
            "resolver `other` has reached its limit on the memory that the tasks of one job take, 3 MiB: `run.plan_mb` raises it"
        );
    }

    #[test]
    fn processes_see_what_is_basic_or_granted() {
        // Cargo has set some for the test.
        let is_hidden = |grants: &[&str], name: &str| {
            hidden(&Grants::parse(grants).unwrap())
                .iter()
                .any(|hidden| hidden == name)
        };
        assert!(is_hidden(&[], "CARGO_PKG_NAME"));
        assert!(!is_hidden(
            &["environment=CARGO_PKG_NAME"],
            "CARGO_PKG_NAME"
        ));
        assert!(is_hidden(
            &["environment=CARGO_PKG_NAME"],
            "CARGO_PKG_VERSION"
        ));
        assert!(!is_hidden(&["environment=*"], "CARGO_PKG_VERSION"));
        assert!(!is_hidden(&[], "PATH"));
    }
}

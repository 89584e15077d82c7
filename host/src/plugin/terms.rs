//! The terms on which a plugin is used: its name in messages, what it may do and use, and how often it has died in this job.
//!
//! Every store belongs to one of these. Knows nothing of what is called, or of where plugins come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PluginError;
use super::grants::{Grants, Power};
use super::limits::Limits;

/// Variables that every process may see, whoever starts it: without them few programs work.
const BASIC: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "PWD",
];

/// The same, by what they begin with.
const BASIC_KINDS: [&str; 3] = ["LC_", "PERSEA_", "AVOCADO_"];

/// The terms of one plugin.
#[derive(Debug)]
pub(super) struct Terms {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub(super) label: String,
    /// What it may do.
    pub(super) grants: Grants,
    /// What it may use.
    pub(super) limits: Arc<Limits>,
    /// The host's variables that its processes don't see.
    pub(super) hidden: Vec<String>,
    deaths: AtomicU64,
}

impl Terms {
    pub(super) fn new(label: String, grants: Grants, limits: Limits) -> Self {
        let hidden = hidden(&grants);
        Self {
            label,
            grants,
            limits: Arc::new(limits),
            hidden,
            deaths: AtomicU64::new(0),
        }
    }

    /// Whether it is asked any more: one that has died too often in this job is not.
    pub(super) fn check(&self) -> Result<(), PluginError> {
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
    pub(super) fn died(&self) {
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
    use crate::config::{Config, UserDirs};
    use crate::plugin::World;
    use crate::plugin::limits::Own;

    #[test]
    fn what_dies_too_often_is_not_asked_again() {
        let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
        config.set_option("plugins.limits.deaths", 2);
        let limits = Limits::of(&config, World::Runner, Some("x"), &Own::none());
        let terms = Terms::new("runner `x`".into(), Grants::default(), limits);
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

//! Owns whether a component's file may be used, and with which grants and limits. Nothing of a
//! component that is refused here has been compiled or run.

use crate::engine::limits::OwnLimits;
use crate::error::PluginError;
use crate::find::sources::{FileCandidate, Sources};
use crate::instance::grants::Grants;
use crate::powers::descriptor::Power;
use crate::powers::process;
use crate::trust::entry::LockEntry;
use crate::trust::lock::Lock;
use crate::trust::manifest::Manifest;
use crate::trust::provenance::Trust;
use crate::trust::signature::SigningKeys;

/// What a component is used with.
pub(crate) struct Admission<'a> {
    pub(crate) trust: Trust,
    pub(crate) grants: Grants,
    pub(crate) own_limits: OwnLimits<'a>,
    /// The lock entry that binds the component.
    pub(crate) entry: Option<&'a LockEntry>,
}

impl<'a> Admission<'a> {
    /// A component that is part of the host.
    pub(crate) fn of_built_in() -> Self {
        Self {
            trust: Trust::BuiltIn,
            grants: Grants::of_built_in(),
            own_limits: OwnLimits::none(),
            entry: None,
        }
    }

    /// A component that is only described, and never gets a task on which it could act.
    pub(crate) fn to_inspect(own_limits: OwnLimits<'a>) -> Self {
        Self {
            trust: Trust::Unlocked,
            grants: Grants::default(),
            own_limits,
            entry: None,
        }
    }
}

/// The rules of admission in one job.
pub(crate) struct Gate<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) keys: &'a SigningKeys,
    /// The configured spawner, for the commands to propose.
    pub(crate) spawner: &'a str,
}

impl<'a> Gate<'a> {
    /// Admits a file's component with this digest.
    ///
    /// # Errors
    /// Why the component may not be used, and what to type.
    pub(crate) fn admit(
        &self,
        candidate: &FileCandidate,
        bytes: &[u8],
        digest: &str,
    ) -> Result<Admission<'a>, PluginError> {
        let plugin = candidate.label();
        let manifest = Manifest::read(&plugin, bytes)?;
        let bound = self.sources.locks.bound_to(digest);
        let admission = match bound {
            Some((lock, entry)) => {
                check_reach(self.sources, &plugin, lock, entry)?;
                Admission {
                    trust: Trust::Locked,
                    grants: entry.grants.clone(),
                    own_limits: entry.own_limits(),
                    entry: Some(entry),
                }
            }
            None => self.admit_unlocked(candidate, &manifest)?,
        };
        let entry = admission.entry;
        let signature = entry.and_then(|entry| entry.signature.as_deref());
        self.keys.check(&plugin, bytes, signature)?;
        let missing = manifest.missing(&admission.grants);
        if missing.is_empty() {
            return Ok(admission);
        }
        let words: Vec<&str> = missing.iter().map(|power| power.words).collect();
        let command = match entry {
            Some(entry) => format!("persea plugin update {}", entry.id()),
            None => format!("persea plugin add {plugin}"),
        };
        Err(PluginError::Ungranted {
            asks: words.join(", and to "),
            command: format!("{command}{}", self.options(&missing)),
            plugin,
        })
    }

    /// Admits a component that no lock binds, if the user has named its directory for this run.
    fn admit_unlocked(
        &self,
        candidate: &FileCandidate,
        manifest: &Manifest,
    ) -> Result<Admission<'a>, PluginError> {
        let plugin = candidate.label();
        if let Some(name) = candidate.entry.clone() {
            return Err(PluginError::Changed { plugin, name });
        }
        if candidate.is_named {
            return Ok(Admission {
                trust: Trust::Unlocked,
                grants: self.sources.grants.clone(),
                own_limits: OwnLimits::none(),
                entry: None,
            });
        }
        let mut proposed = manifest.missing(&Grants::default());
        if manifest.shapes_tasks() && !manifest.starts_processes() {
            // Without this grant the plugin's tests run in isolating spawners only.
            proposed.insert(0, &process::POWER);
        }
        Err(PluginError::NotLocked {
            command: format!("persea plugin add {plugin}{}", self.options(&proposed)),
            world: manifest.words(),
            plugin,
        })
    }

    /// Returns options that grant these powers: ` --grant process=sandbox --grant fetch=HOST`.
    fn options(&self, powers: &[&Power]) -> String {
        let grants = powers.iter().filter_map(|power| power.grant);
        grants
            .map(|grant| format!(" --grant {}", grant.proposal(self.spawner)))
            .collect()
    }
}

/// Checks that a lock may grant what an entry grants.
pub(crate) fn check_reach(
    sources: &Sources,
    plugin: &str,
    lock: &Lock,
    entry: &LockEntry,
) -> Result<(), PluginError> {
    match sources.locks.overreach(lock, entry) {
        None => Ok(()),
        Some(directory) => Err(PluginError::Overreach {
            plugin: plugin.to_owned(),
            lock: lock.path().to_path_buf(),
            directory: directory.to_owned(),
        }),
    }
}

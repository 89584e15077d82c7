//! Owns the limits of an environment as the rest of the host sees them. Does not know how a limit
//! is kept.

use std::path::PathBuf;
use std::sync::Arc;

use persea_helper::protocol::{Request, Start};
use persea_model::Limits;
use rustix::process::Signal;

use super::Environment;
use super::command::Command;
use crate::error::SpawnError;
use crate::limits::{EnvironmentLimits, HelperPlace, LimitsReport};

impl Environment {
    /// Tells where the helper and the work directory are on this machine. Has no effect on an
    /// environment of which there is a clone.
    pub(crate) fn placed(mut self, place: HelperPlace, work_here: PathBuf) -> Environment {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.limits = EnvironmentLimits::new(place);
            inner.work_here = Some(work_here);
        }
        self
    }

    /// Limits what the processes that start from now on may use, until
    /// [`Environment::lift_limits`]. None of them may be queued. `directory` is the test's own one
    /// on this machine, whose size counts.
    ///
    /// # Errors
    /// A limit cannot be kept.
    pub fn limit(&self, limits: &Limits, directory: PathBuf) -> Result<(), SpawnError> {
        let directories = self.inner.work_here.iter().cloned().chain([directory]);
        let weak = Arc::downgrade(&self.inner.channel);
        let kill = move || {
            if let Some(channel) = weak.upgrade() {
                // Fails if the environment is closed.
                let _ = channel.request(|id| Request::SignalAll {
                    id,
                    only_for: None,
                    signal: Signal::KILL.as_raw(),
                });
            }
        };
        let limiter = &self.inner.limits;
        limiter.begin(limits, directories.collect(), kill)
    }

    /// Measures what the test has written, before its work directory is emptied.
    pub async fn measure_disk(&self) {
        self.inner.limits.measure_disk().await;
    }

    /// Ends the limits, after the end of all processes. None if there were no limits.
    pub fn lift_limits(&self) -> Option<LimitsReport> {
        let has_hit_file_size = self.inner.channel.take_file_size_signal();
        self.inner.limits.end(has_hit_file_size)
    }

    pub(super) fn start_of(&self, command: Command, quiet: bool) -> Start {
        Start {
            limits: self.inner.limits.of_each_process().map(Box::new),
            ..self.translate(command).into_start(quiet)
        }
    }
}

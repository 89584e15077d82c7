//! Owns what the powers for tasks act on (`process`, `messages`, `artifacts`, `cases`, …): the task
//! or requirement of the current call. Does not know how a task is executed or ended.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crate::contract::convert::error;
use crate::contract::data::Error;
use crate::engine::limits::{Limit, Limits};
use crate::error::reached::ReachedLimit;
use crate::instance::log::LogLevel;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use persea_model::Case;
use persea_spawner::{Environment, QueuedProcess, SpawnError};

/// The answer of a [`TaskHost`] that may have to ask another host.
pub type TaskFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A task, as far as its plugin may act on it. Implemented by the job.
pub trait TaskHost: Send + Sync {
    /// Returns the task's environment, which the first call makes.
    fn environment(&self) -> TaskFuture<'_, Result<Environment, SpawnError>>;

    /// Whether the environment isolates: the host gives it no file of this machine.
    fn is_isolated(&self) -> bool;

    /// The directory in which the task's processes start, on this machine; none for the project's.
    fn cwd(&self) -> Option<&str>;

    /// The queued process of a task that is one process; none for other tasks, and before the
    /// environment is open.
    fn queued_process(&self) -> Option<&QueuedProcess>;

    /// Returns the path at which the task's processes find a file of the task's directory, which is
    /// made if it does not exist. The host must not open it: a process may have put a link there,
    /// and it may be on another host.
    /// `name` is a checked artifact name, here and below.
    fn file(&self, name: &str) -> io::Result<PathBuf>;

    /// Opens a file of the task's directory for appending. It is an ordinary file, and no link.
    fn append(&self, name: &str) -> io::Result<File>;

    /// Reads up to `length` bytes of a file of the task's directory from `offset`; fewer only at
    /// its end. It is an ordinary file, and no link.
    fn read<'a>(
        &'a self,
        name: &'a str,
        offset: u64,
        length: u32,
    ) -> TaskFuture<'a, io::Result<Vec<u8>>>;

    /// Returns the size of a file that [`Self::read`] reads, in bytes.
    fn size<'a>(&'a self, name: &'a str) -> TaskFuture<'a, io::Result<u64>>;

    /// Returns the name and the size of each ordinary file of the task's directory, sorted by name:
    /// the files with an artifact name that [`Self::read`] reads. Links are not followed. A
    /// directory that does not exist has no files.
    fn artifacts(&self) -> TaskFuture<'_, io::Result<Vec<(String, u64)>>>;

    /// Reports that a case is running. The path has 1 to 64 names, of at most 4 KiB together. The
    /// case ends with [`Self::case_finished`], or else with the task. A path may be started again.
    fn case_started(&self, path: Vec<String>);

    /// Reports that a case has ended, whether it was started or not. A path may end again. Without
    /// `elapsed`, the time counts from the start of the case.
    fn case_finished(&self, case: Case);

    /// Returns when the time of the current task or requirement is up; none without a limit, and
    /// before it has started.
    fn deadline(&self) -> Option<Instant>;

    /// Waits until the current task or requirement is interrupted: its time is up, or the user
    /// ends it. Returns at once if it is already.
    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Reports a line about the task's progress.
    fn progress(&self, message: String);

    /// Adds text to the whiteboard.
    fn whiteboard(&self, text: &str);

    /// Writes a line to the task's `debug.log`.
    fn log(&self, level: LogLevel, message: &str);
}

/// What a plugin may start for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starting {
    /// Any process that it is granted.
    Allowed,
    /// Nothing: the host has run the task's program.
    ProgramHasRun,
}

/// The cost of a message in bytes apart from its text, so that empty messages are limited too.
const MESSAGE_COST: u64 = 64;

/// The task of one instance, and what is left of its limits.
pub(crate) struct TaskPower {
    pub(crate) host: Arc<dyn TaskHost>,
    pub(crate) bytes_left: u64,
    messages_left: u64,
    pub(crate) case_bytes_left: u64,
    cases_left: u64,
    pub(crate) starting: Starting,
}

/// Takes one thing of this size in bytes from what is left of a number and of bytes.
///
/// # Errors
/// The one of the limits that is reached, of which the first is on the number.
fn take(
    (number, bytes): (&mut u64, &mut u64),
    size: u64,
    limits: (Limit, Limit),
) -> Result<(), Limit> {
    let cost = size.saturating_add(MESSAGE_COST);
    let number_after = number.checked_sub(1).ok_or(limits.0)?;
    let bytes_after = bytes.checked_sub(cost).ok_or(limits.1)?;
    (*number, *bytes) = (number_after, bytes_after);
    Ok(())
}

impl TaskPower {
    pub(crate) fn new(host: Arc<dyn TaskHost>, limits: &Limits, starting: Starting) -> Self {
        Self {
            host,
            bytes_left: limits.status_bytes,
            messages_left: limits.status_messages,
            case_bytes_left: limits.case_bytes,
            cases_left: limits.cases,
            starting,
        }
    }

    /// Takes a message of this size in bytes from the task's limits.
    ///
    /// # Errors
    /// `limit`: the task has reached one.
    pub(crate) fn pay(&mut self, limits: &Limits, size: u64) -> Result<(), Error> {
        let left = (&mut self.messages_left, &mut self.bytes_left);
        take(left, size, (Limit::StatusMessages, Limit::StatusBytes))
            .map_err(|reached| has_reached(&limits.reached(reached)))
    }

    /// Takes the start or the end of a case of this size in bytes from the task's limits.
    ///
    /// # Errors
    /// `limit`: the task has reached one.
    pub(crate) fn pay_for_case(&mut self, limits: &Limits, size: u64) -> Result<(), Error> {
        let left = (&mut self.cases_left, &mut self.case_bytes_left);
        take(left, size, (Limit::Cases, Limit::CaseBytes))
            .map_err(|reached| has_reached(&limits.reached(reached)))
    }
}

/// Returns the contract's error about a reached limit.
pub(crate) fn has_reached(reached: &ReachedLimit) -> Error {
    error("limit", format!("it has reached {reached}"))
}

impl PowerState for TaskPower {
    fn refill(&mut self, limits: &Limits) {
        self.bytes_left = limits.status_bytes;
        self.messages_left = limits.status_messages;
        self.case_bytes_left = limits.case_bytes;
        self.cases_left = limits.cases;
    }
}

impl InstanceState {
    /// Returns the instance's task, for a power that acts on it.
    ///
    /// # Errors
    /// `not-permitted`: the role does not offer the power, or the call has no task.
    pub(crate) fn task(&mut self, power: &Power) -> Result<&mut TaskPower, Error> {
        self.permitted(power)
    }

    /// Takes a message of this size in bytes from the limits of the instance's task.
    ///
    /// # Errors
    /// `limit`: the task has reached one. `not-permitted`: as for [`Self::task`].
    pub(crate) fn pay(&mut self, power: &Power, size: usize) -> Result<&mut TaskPower, Error> {
        let limits = Arc::clone(&self.context.limits);
        let task = self.task(power)?;
        task.pay(&limits, size as u64)?;
        Ok(task)
    }
}

//! Owns the limits of the test that runs in an environment: by which means each is kept, and which
//! the test has reached. Does not know what becomes of a test that reaches one.

mod disk;
mod rlimits;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use persea_helper::protocol::ProcessLimits;
use persea_helper::tree;
use persea_model::{Limit, Limits, written_size};
use rustix::process::Pid;

use crate::cgroup::{BaseCgroup, Counters, TestCgroup};
use crate::{PeakOf, SpawnError, Usage};
use disk::DiskWatch;

/// The least limit of memory that a process can start with: 1 MiB.
const LEAST_MEMORY: u64 = 1 << 20;

/// How a limit is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitMeans {
    /// As it is meant; by what, for people.
    Exact(String),
    /// By something that limits another thing, and what that is, for people.
    Approximate(String),
    /// The limit cannot be kept, and why, for people.
    None(String),
}

/// A limit that a test has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReachedLimit {
    /// Which one.
    pub limit: Limit,
    /// Its value, as [`Limits`] has it.
    pub value: u64,
}

impl std::fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.value;
        match self.limit {
            Limit::Memory => write!(f, "out of memory (limit {})", written_size(value)),
            Limit::Processes => write!(f, "too many processes (limit {value})"),
            Limit::Cpus => write!(f, "too much processor time"),
            Limit::Disk => write!(f, "too much written (limit {})", written_size(value)),
        }
    }
}

/// What is known at the end of a test with limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitsReport {
    /// The limits that the test has reached.
    pub reached: Vec<ReachedLimit>,
    counters: Option<Counters>,
}

impl LimitsReport {
    /// Returns the usage, with the cgroup's counters for the whole process tree where there are
    /// any.
    pub fn complete(&self, usage: Option<Usage>) -> Option<Usage> {
        let mut usage = usage?;
        let Some(counters) = self.counters else {
            return Some(usage);
        };
        if let Some(peak) = counters.peak_memory {
            usage.peak_memory = peak;
            usage.peak_of = PeakOf::Tree;
        }
        if let Some(cpu) = counters.cpu {
            // Includes processes that nobody reaped. Version 1 tells user mode and kernel apart
            // only in clock ticks, so the part of the kernel stays that of the reaped ones.
            usage.user = usage.user.max(cpu.saturating_sub(usage.system));
        }
        Some(usage)
    }
}

/// The cgroup of a host, made when the first test needs it.
#[derive(Debug, Default)]
pub(crate) struct HostCgroups(OnceLock<Result<Arc<BaseCgroup>, String>>);

impl HostCgroups {
    fn get(&self) -> Result<&Arc<BaseCgroup>, &str> {
        let made = self.0.get_or_init(|| {
            let made = BaseCgroup::make().map(Arc::new);
            made.map_err(|error| error.to_string())
        });
        made.as_ref().map_err(String::as_str)
    }

    /// How a limit is kept for processes on this machine.
    pub(crate) fn means(&self, limit: Limit) -> LimitMeans {
        match self.get() {
            Ok(base) if base.can_limit(limit) => LimitMeans::Exact(base.version().to_owned()),
            Ok(base) => without_cgroup(limit, &format!("{} has no controller", base.version())),
            Err(why) => without_cgroup(limit, why),
        }
    }

    /// Removes the cgroup, after the end of all helpers in it.
    pub(crate) fn remove(&self) {
        if let Some(Ok(base)) = self.0.get() {
            base.remove();
        }
    }
}

/// How a limit is kept without a cgroup, which is missing for this reason.
pub(crate) fn without_cgroup(limit: Limit, why: &str) -> LimitMeans {
    match limit {
        Limit::Memory => LimitMeans::Approximate(format!(
            "without a cgroup ({why}) it is the address space of each process by itself \
             (RLIMIT_AS), which is more than its memory, and a test that reaches it gets no reason"
        )),
        Limit::Processes if rlimits::is_exempt() => LimitMeans::None(format!(
            "there is no cgroup ({why}), and the kernel limits the processes of root by nothing \
             else"
        )),
        Limit::Processes => LimitMeans::Approximate(format!(
            "without a cgroup ({why}) it is the number of all processes of this user, counted from \
             those that run when the test starts (RLIMIT_NPROC)"
        )),
        Limit::Cpus => LimitMeans::None(format!("there is no cgroup: {why}")),
        Limit::Disk => LimitMeans::Exact("the size of files".to_owned()),
    }
}

/// Where a helper is, as far as its processes can be put into a cgroup.
#[derive(Debug)]
pub(crate) enum HelperPlace {
    /// On this machine, below this child process of the host.
    OfHost(Pid, Arc<HostCgroups>),
    /// In a container whose engine has made a cgroup for this process.
    OfEngine(Pid),
    /// Where no cgroup can be reached.
    Elsewhere,
}

/// The limits of the processes of an environment.
#[derive(Debug)]
pub(crate) struct EnvironmentLimits {
    place: HelperPlace,
    /// The helper's process number and the cgroup that it was moved into.
    adopted: OnceLock<Result<(Pid, Arc<BaseCgroup>), String>>,
    current: Mutex<Option<CurrentLimits>>,
}

/// The limits of the test that runs.
#[derive(Debug)]
struct CurrentLimits {
    limits: Limits,
    cgroup: Option<TestCgroup>,
    of_each_process: ProcessLimits,
    disk: Option<DiskWatch>,
}

impl EnvironmentLimits {
    pub(crate) fn new(place: HelperPlace) -> EnvironmentLimits {
        EnvironmentLimits {
            place,
            adopted: OnceLock::new(),
            current: Mutex::default(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<CurrentLimits>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Limits the processes that start from now on. `directories` are those of the test on this
    /// machine, whose size counts; `kill` ends all processes.
    ///
    /// # Errors
    /// A limit cannot be kept.
    pub(crate) fn begin(
        &self,
        limits: &Limits,
        directories: Vec<PathBuf>,
        kill: impl Fn() + Send + 'static,
    ) -> Result<(), SpawnError> {
        let cannot = |limit: Limit, why: &str| {
            SpawnError::Invalid(format!("the limit of {limit} can't be kept: {why}"))
        };
        if limits.memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            let why = format!(
                "no process starts with less than {}",
                written_size(LEAST_MEMORY)
            );
            return Err(cannot(Limit::Memory, &why));
        }
        let mut by_cgroup = Limits::default();
        let mut of_each_process = ProcessLimits::default();
        for limit in limits.set() {
            let value = limits.get(limit);
            match (self.means(limit), limit) {
                (LimitMeans::None(why), _) => return Err(cannot(limit, &why)),
                (_, Limit::Disk) => of_each_process.file_size = value.map(disk::largest_file),
                (LimitMeans::Exact(_), _) => *by_cgroup.get_mut(limit) = value,
                (LimitMeans::Approximate(_), Limit::Memory) => {
                    of_each_process.address_space = value;
                }
                (LimitMeans::Approximate(_), Limit::Processes) => {
                    of_each_process.processes = value.map(rlimits::processes_of_user);
                }
                (LimitMeans::Approximate(why), Limit::Cpus) => return Err(cannot(limit, &why)),
            }
        }
        let cgroup = match by_cgroup.set().next() {
            None => None,
            Some(first) => {
                let made = self.adopted().map_err(|why| cannot(first, why));
                let (helper, base) = made?;
                let made = base.limit(&by_cgroup, *helper);
                Some(made.map_err(|error| cannot(first, &error.to_string()))?)
            }
        };
        of_each_process.dies_first = by_cgroup.memory.is_some();
        let disk = limits.disk;
        *self.current() = Some(CurrentLimits {
            limits: *limits,
            cgroup,
            of_each_process,
            disk: disk.map(|limit| DiskWatch::start(directories, limit, kill)),
        });
        Ok(())
    }

    fn means(&self, limit: Limit) -> LimitMeans {
        match &self.place {
            HelperPlace::OfHost(_, cgroups) => cgroups.means(limit),
            HelperPlace::OfEngine(_) if limit == Limit::Disk => without_cgroup(limit, ""),
            HelperPlace::OfEngine(_) => match self.adopted() {
                Ok((_, base)) if base.can_limit(limit) => {
                    LimitMeans::Exact(base.version().to_owned())
                }
                Ok((_, base)) => LimitMeans::None(format!(
                    "the container's {} has no controller for it",
                    base.version()
                )),
                Err(why) => LimitMeans::None(format!(
                    "the container's cgroup can't be changed by this user: {why}"
                )),
            },
            HelperPlace::Elsewhere => without_cgroup(limit, "it would be on another machine"),
        }
    }

    fn adopted(&self) -> Result<&(Pid, Arc<BaseCgroup>), &str> {
        let adopt = || -> io::Result<(Pid, Arc<BaseCgroup>)> {
            let (helper, base) = match &self.place {
                HelperPlace::OfHost(root, cgroups) => {
                    let base = cgroups.get().map_err(io::Error::other)?;
                    (helper_below(*root)?, Arc::clone(base))
                }
                HelperPlace::OfEngine(pid) => (*pid, Arc::new(BaseCgroup::of_container(*pid)?)),
                HelperPlace::Elsewhere => return Err(io::Error::other("there is none")),
            };
            base.adopt(helper)?;
            Ok((helper, base))
        };
        let adopted = self
            .adopted
            .get_or_init(|| adopt().map_err(|error| error.to_string()));
        adopted.as_ref().map_err(String::as_str)
    }

    /// The limits that each process is started with.
    pub(crate) fn of_each_process(&self) -> Option<ProcessLimits> {
        self.current().as_ref().map(|it| it.of_each_process)
    }

    /// Lets the helper have all processors, to end the processes.
    pub(crate) fn lift_cpus(&self) {
        if let Some(CurrentLimits {
            cgroup: Some(cgroup),
            limits: Limits { cpus: Some(_), .. },
            ..
        }) = &*self.current()
        {
            cgroup.lift_cpus();
        }
    }

    /// Measures the test's directories, before they are emptied.
    pub(crate) async fn measure_disk(&self) {
        let watch = self.current().as_ref().and_then(|it| it.disk.clone());
        if let Some(watch) = watch {
            watch.measure().await;
        }
    }

    /// Ends the limits, when all processes have ended. None if there were no limits.
    pub(crate) fn end(&self, has_hit_file_size: bool) -> Option<LimitsReport> {
        let ended = self.current().take()?;
        let counters = ended.cgroup.as_ref().map(TestCgroup::counters);
        let seen = counters.unwrap_or_default();
        let has_written = ended.disk.as_ref().is_some_and(DiskWatch::is_reached);
        let is_reached = |limit: &Limit| match limit {
            Limit::Memory => seen.memory_kills > 0,
            Limit::Processes => seen.refused_processes > 0,
            Limit::Cpus => false,
            Limit::Disk => has_written || has_hit_file_size,
        };
        let reached = ended.limits.set().filter(is_reached);
        let reached = reached.filter_map(|limit| {
            let value = ended.limits.get(limit)?;
            Some(ReachedLimit { limit, value })
        });
        Some(LimitsReport {
            reached: reached.collect(),
            counters,
        })
    }
}

impl Drop for EnvironmentLimits {
    fn drop(&mut self) {
        // The engine removes the rest with the container.
        if let (HelperPlace::OfEngine(_), Some(Ok((_, base)))) = (&self.place, self.adopted.get()) {
            base.remove();
        }
    }
}

/// Finds the helper among the processes that a child of the host has started: the last one of its
/// name. The guard of a sandbox, which is above it, has the same name.
fn helper_below(root: Pid) -> io::Result<Pid> {
    let below = tree::descendants(root).into_iter().map(|it| it.pid);
    let is_helper = |pid: &Pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() == "persea-helper")
    };
    let mut all = std::iter::once(root).chain(below).rev();
    all.find(is_helper)
        .ok_or_else(|| io::Error::other("the helper's process can't be found"))
}

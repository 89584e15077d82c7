//! Owns cgroups: groups of processes whose use the kernel counts and limits. Makes one for each
//! test with limits, and moves the helper into it, so that all its processes are in it from their
//! start. Does not know what a test is, or what becomes of one that reaches a limit.
//!
//! Source of all names of files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of Linux.
//!
//! A test gets a cgroup of its own, not one of its slot: the kernel cannot reset all counters of a
//! cgroup, and file cache that a test has left would count for the next one. To move the helper
//! costs 10 µs for each hierarchy.

mod hierarchy;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use persea_model::{Limit, Limits};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::Pid;

use hierarchy::{Hierarchy, Version};

/// The prefix of the names of cgroups that hosts make.
const PREFIX: &str = "persea-";

/// The cgroup in which helpers are that run no test with limits. In version 2, a cgroup that limits
/// those below it has no processes itself.
const IDLE: &str = "idle";

/// How often the removal of a cgroup is tried: its last processes may be ending.
const REMOVAL_TRIES: u32 = 100;

/// The time between two tries: 5 ms.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(5);

/// The period in which the kernel counts the use of processors, in microseconds: its default. In a
/// shorter one, processes get notably more than their part, which the kernel checks with its clock
/// ticks of up to 10 ms.
const PERIOD: u64 = 100_000;

/// The least part of a period that the kernel takes, in microseconds.
const LEAST_PART: u64 = 1000;

/// A cgroup of a host or of a container, in which there is one for each test with limits. It is a
/// directory in each hierarchy that can limit something.
#[derive(Debug)]
pub(crate) struct BaseCgroup {
    hierarchies: Vec<Hierarchy>,
    made: AtomicUsize,
    /// Keeps the directories locked, so that no other host takes them for abandoned; none for the
    /// cgroup of a container.
    locks: Vec<File>,
}

impl BaseCgroup {
    /// Makes a cgroup below that of this process.
    ///
    /// # Errors
    /// No hierarchy is mounted, or none can be changed by this user.
    pub(crate) fn make() -> io::Result<BaseCgroup> {
        let (mut hierarchies, mut locks) = (Vec::new(), Vec::new());
        let mut failure = io::Error::other("no cgroup hierarchy with controllers is mounted");
        for parent in hierarchy::for_children()? {
            remove_abandoned_in(&parent.directory);
            match make_locked(&parent) {
                Ok((hierarchy, lock)) => {
                    locks.push(lock);
                    hierarchies.push(hierarchy);
                }
                Err(error) => failure = named(&parent.directory, &error),
            }
        }
        match hierarchies.is_empty() {
            true => Err(failure),
            false => BaseCgroup::new(hierarchies, locks),
        }
    }

    /// Takes the cgroup that a container engine has made for the process `pid`, the only one in it.
    ///
    /// # Errors
    /// The cgroup is the same as that of this process, or cannot be changed by this user.
    pub(crate) fn of_container(pid: Pid) -> io::Result<BaseCgroup> {
        let own = hierarchy::of("self")?;
        let mut hierarchies = hierarchy::of(&pid.as_raw_nonzero().to_string())?;
        let is_own = |it: &Hierarchy| own.iter().any(|own| own.directory == it.directory);
        hierarchies.retain(|it| it.has_any() && !is_own(it));
        if hierarchies.is_empty() {
            return Err(io::Error::other(
                "the engine has made no cgroup for the container",
            ));
        }
        let base = BaseCgroup::new(hierarchies, Vec::new())?;
        Ok(base)
    }

    fn new(hierarchies: Vec<Hierarchy>, locks: Vec<File>) -> io::Result<BaseCgroup> {
        for hierarchy in &hierarchies {
            let idle = hierarchy.directory.join(IDLE);
            fs::create_dir(&idle).map_err(|error| named(&idle, &error))?;
        }
        Ok(BaseCgroup {
            hierarchies,
            made: AtomicUsize::new(0),
            locks,
        })
    }

    /// Moves a helper below the base, and turns the controllers on there. Call this once for each
    /// helper, before [`BaseCgroup::limit`].
    ///
    /// # Errors
    /// The process cannot be moved.
    pub(crate) fn adopt(&self, helper: Pid) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            enter(&hierarchy.directory.join(IDLE), helper)?;
            hierarchy.enable_controllers();
        }
        Ok(())
    }

    /// Whether a limit can be kept.
    pub(crate) fn can_limit(&self, limit: Limit) -> bool {
        self.hierarchies.iter().any(|it| it.can_limit(limit))
    }

    /// Describes the hierarchies, for people: `cgroup v1`.
    pub(crate) fn version(&self) -> &'static str {
        let is_first = |it: &Hierarchy| it.version == Version::V1;
        match self.hierarchies.iter().any(is_first) {
            true => "cgroup v1",
            false => "cgroup v2",
        }
    }

    /// Makes a cgroup with these limits, as far as there are controllers for them, and moves the
    /// helper into it.
    ///
    /// # Errors
    /// The kernel refuses a limit or the move. Nothing is left.
    pub(crate) fn limit(&self, limits: &Limits, helper: Pid) -> io::Result<TestCgroup> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut made = TestCgroup {
            places: Vec::new(),
            helper,
            is_ended: false,
        };
        for hierarchy in &self.hierarchies {
            let directory = hierarchy.directory.join(format!("test-{number}"));
            fs::create_dir(&directory).map_err(|error| named(&directory, &error))?;
            made.places.push(Place {
                hierarchy: hierarchy.clone(),
                idle: hierarchy.directory.join(IDLE),
                directory,
            });
        }
        for place in &made.places {
            place.set(limits)?;
            enter(&place.directory, helper)?;
        }
        Ok(made)
    }

    /// Removes the cgroup, when the helpers in it have ended.
    pub(crate) fn remove(&self) {
        for hierarchy in &self.hierarchies {
            let is_own = !self.locks.is_empty();
            let removed = match is_own {
                true => remove_tree(&hierarchy.directory, REMOVAL_TRIES),
                false => remove_below(&hierarchy.directory, 1),
            };
            if let Err(error) = removed
                && is_own
            {
                let directory = hierarchy.directory.display();
                tracing::warn!("cannot remove the cgroup {directory}: {error}");
            }
        }
    }
}

/// The cgroup of one test. Dropping it moves the helper back and removes it.
#[derive(Debug)]
pub(crate) struct TestCgroup {
    places: Vec<Place>,
    helper: Pid,
    is_ended: bool,
}

/// What the kernel has counted in a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The peak of the memory of all processes, in bytes.
    pub(crate) peak_memory: Option<u64>,
    /// The processor time, in user mode and in the kernel together.
    pub(crate) cpu: Option<Duration>,
    /// How many processes were killed because the memory was used up.
    pub(crate) memory_kills: u64,
    /// How many processes could not be made because there were too many.
    pub(crate) refused_processes: u64,
}

impl TestCgroup {
    /// Reads the counters. They are complete when the processes have ended.
    pub(crate) fn counters(&self) -> Counters {
        let mut all = Counters::default();
        for place in &self.places {
            place.count(&mut all);
        }
        all
    }

    /// Lets the helper, which ends the test's processes, have all processors.
    pub(crate) fn lift_cpus(&self) {
        let unlimited = Limits::default();
        for place in self.places.iter().filter(|it| it.hierarchy.cpu) {
            if let Err(error) = place.set_cpus(unlimited.cpus) {
                tracing::debug!("cannot lift a limit of processors: {error}");
            }
        }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        for place in &self.places {
            // Fails if the helper has died.
            let _ = enter(&place.idle, self.helper);
            if let Err(error) = remove_tree(&place.directory, 3) {
                // The base is removed later with all that is in it.
                let directory = place.directory.display();
                tracing::debug!("cannot remove the cgroup {directory} yet: {error}");
            }
        }
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        self.end();
    }
}

/// The directory of a test's cgroup in one hierarchy.
#[derive(Debug)]
struct Place {
    hierarchy: Hierarchy,
    directory: PathBuf,
    /// Where the helper goes afterwards.
    idle: PathBuf,
}

impl Place {
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, text).map_err(|error| named(&path, &error))
    }

    /// Writes to a file that not every kernel has.
    fn write_if_there(&self, file: &str, text: &str) -> io::Result<()> {
        match self.directory.join(file).exists() {
            true => self.write(file, text),
            false => Ok(()),
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// Reads the value of a line `name value`.
    fn entry(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file)?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value)
    }

    fn set(&self, limits: &Limits) -> io::Result<()> {
        if let (true, Some(bytes)) = (self.hierarchy.memory, limits.memory) {
            let bytes = bytes.to_string();
            match self.hierarchy.version {
                Version::V1 => {
                    self.write("memory.limit_in_bytes", &bytes)?;
                    // Memory and swap together. Otherwise the processes would swap.
                    self.write_if_there("memory.memsw.limit_in_bytes", &bytes)?;
                }
                Version::V2 => {
                    self.write("memory.max", &bytes)?;
                    self.write_if_there("memory.swap.max", "0")?;
                }
            }
        }
        if let (true, Some(number)) = (self.hierarchy.pids, limits.processes) {
            // The helper is one of them.
            self.write("pids.max", &number.saturating_add(1).to_string())?;
        }
        if self.hierarchy.cpu && limits.cpus.is_some() {
            self.set_cpus(limits.cpus)?;
        }
        Ok(())
    }

    /// Limits the processors, in thousandths of one.
    fn set_cpus(&self, thousandths: Option<u64>) -> io::Result<()> {
        let part = thousandths.map(|it| it.saturating_mul(PERIOD) / 1000);
        let part = part.map(|part| part.max(LEAST_PART));
        match self.hierarchy.version {
            Version::V1 => {
                self.write("cpu.cfs_period_us", &PERIOD.to_string())?;
                let part = part.map_or("-1".to_owned(), |part| part.to_string());
                self.write("cpu.cfs_quota_us", &part)
            }
            Version::V2 => {
                let part = part.map_or("max".to_owned(), |part| part.to_string());
                self.write("cpu.max", &format!("{part} {PERIOD}"))
            }
        }
    }

    fn count(&self, all: &mut Counters) {
        match self.hierarchy.version {
            Version::V1 => {
                if self.hierarchy.memory {
                    all.peak_memory = self.number("memory.max_usage_in_bytes");
                    let kills = self.entry("memory.oom_control", "oom_kill");
                    all.memory_kills = kills.unwrap_or_default();
                }
                if self.hierarchy.cpuacct {
                    all.cpu = self.number("cpuacct.usage").map(Duration::from_nanos);
                }
            }
            Version::V2 => {
                if self.hierarchy.memory {
                    all.peak_memory = self.number("memory.peak");
                    let kills = self.entry("memory.events", "oom_kill");
                    all.memory_kills = kills.unwrap_or_default();
                }
                let cpu = self.entry("cpu.stat", "usage_usec");
                all.cpu = all.cpu.or(cpu.map(Duration::from_micros));
            }
        }
        if self.hierarchy.pids {
            let refused = self.entry("pids.events", "max");
            all.refused_processes = refused.unwrap_or_default();
        }
    }
}

/// Moves a process into a cgroup.
fn enter(directory: &Path, process: Pid) -> io::Result<()> {
    let file = directory.join("cgroup.procs");
    let number = process.as_raw_nonzero().to_string();
    fs::write(&file, number).map_err(|error| named(&file, &error))
}

/// Makes a cgroup with a lock in it that the kernel releases when this process ends.
fn make_locked(parent: &Hierarchy) -> io::Result<(Hierarchy, File)> {
    let made = tempfile::Builder::new()
        .prefix(PREFIX)
        .make_in(&parent.directory, |path| fs::create_dir(path))?;
    let directory = made.into_temp_path().keep().map_err(|kept| kept.error)?;
    let lock = lock(&directory)?;
    // Another host may have taken it for abandoned before the lock.
    if !directory.exists() {
        return Err(io::Error::other("another process has removed it"));
    }
    let hierarchy = Hierarchy {
        directory,
        ..parent.clone()
    };
    Ok((hierarchy, lock))
}

/// Locks a directory.
///
/// # Errors
/// `WouldBlock` if its host runs.
fn lock(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(directory, flags, Mode::empty())?;
    flock(&opened, FlockOperation::NonBlockingLockExclusive)?;
    Ok(opened.into())
}

/// Removes the cgroups that killed hosts of this user have left, and returns their number.
pub(crate) fn remove_abandoned() -> usize {
    let parents = hierarchy::for_children().unwrap_or_default();
    let removed = parents.iter().map(|it| remove_abandoned_in(&it.directory));
    removed.max().unwrap_or_default()
}

fn remove_abandoned_in(parent: &Path) -> usize {
    let Ok(entries) = fs::read_dir(parent) else {
        return 0;
    };
    let removed = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        let is_ours = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        // Processes of a killed host end by themselves. Until then, the removal fails.
        is_ours && lock(&entry.path()).is_ok_and(|_lock| remove_tree(&entry.path(), 1).is_ok())
    });
    removed.count()
}

/// Removes a cgroup with those below it. The kernel removes the files in it.
fn remove_tree(directory: &Path, tries: u32) -> io::Result<()> {
    remove_below(directory, tries)?;
    for left in (0..tries).rev() {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) if left == 0 => return Err(error),
            Err(_) => std::thread::sleep(REMOVAL_INTERVAL),
            Ok(()) => break,
        }
    }
    Ok(())
}

fn remove_below(directory: &Path, tries: u32) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path(), tries)?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;

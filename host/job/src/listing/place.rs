//! Owns where listers run: a spawner, the slots of its environments, and a directory for their
//! files. Does not know what is listed.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::execute::clock::Clock;
use crate::execute::context::ExecutionContext;
use crate::execute::slot::{Slot, SlotIndex};
use crate::execute::supervise;
use crate::results::directory::{RUNNING, Section};
use persea_config::Config;
use persea_spawner::Spawners;

/// The environments of a listing.
pub struct ListingPlace {
    pub(super) execution: Arc<ExecutionContext>,
    /// The section with a directory for each call.
    pub(super) section: Arc<Section>,
    /// One for each lister that can run at once.
    pub(super) slots: Vec<Arc<Slot>>,
    /// The number of calls so far.
    calls: AtomicUsize,
    /// What lives as long as the environments do, such as their directory of temporary files.
    _guard: Box<dyn Any + Send + Sync>,
}

impl ListingPlace {
    /// A place for this number of listers at once. Their files are in `directory`, an existing
    /// directory of the caller. `guard` is dropped with the place.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn new(
        config: &Config,
        mut spawners: Spawners,
        slots: usize,
        directory: &Path,
        guard: Box<dyn Any + Send + Sync>,
    ) -> io::Result<Self> {
        let section = Section::of_tests(directory);
        match spawners.any_has_snapshots() {
            true => section.restrict_to_owner()?,
            false => section.handle().map(drop)?,
        }
        spawners.set_private_directories(section.path(), &directory.join(RUNNING));
        let execution = ExecutionContext {
            spawners,
            clock: Arc::new(Clock::new()),
            dependencies: Section::of_requirements(directory),
            project_dir: std::env::current_dir()?,
            grace: supervise::grace(config),
        };
        let slots = (0..slots).map(|index| Arc::new(Slot::new(SlotIndex(index))));
        Ok(Self {
            execution: Arc::new(execution),
            section,
            slots: slots.collect(),
            calls: AtomicUsize::new(0),
            _guard: guard,
        })
    }

    /// Returns the number of the next call, from 1.
    pub(super) fn next_number(&self) -> usize {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Closes all environments.
    pub(super) async fn close(&self) {
        for environment in self.slots.iter().filter_map(|slot| slot.take()) {
            environment.close().await;
        }
        self.execution.spawners.close().await;
    }
}

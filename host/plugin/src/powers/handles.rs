//! Owns the count of an instance's handles by sort: children and pollables each have their own
//! limit, so that none takes the room of the others. Does not know what is done with them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::contract::convert::error;
use crate::contract::data::Error;
use crate::contract::limits::POLLABLES;
use crate::engine::limits::Limit;
use crate::instance::idle::BusyGuard;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::task::has_reached;
use persea_spawner::Child;

/// A process that a plugin has started, until the plugin drops its handle.
pub(crate) struct RunningChild {
    pub(crate) process: Child,
    /// The instance is not idle until it has received the end of the process, or polls after it.
    busy: Mutex<Option<BusyGuard>>,
}

impl RunningChild {
    pub(crate) fn new(process: Child, busy: BusyGuard) -> Arc<Self> {
        Arc::new(Self {
            process,
            busy: Mutex::new(Some(busy)),
        })
    }

    /// The instance does not wait for the process any more.
    pub(crate) fn no_longer_busy(&self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy = None;
    }

    /// Whether the instance may be waiting for the process.
    pub(crate) fn is_busy(&self) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.is_some()
    }
}

/// The handles of one instance by sort, apart from those that only one power knows.
#[derive(Default)]
pub(crate) struct Handles {
    children: Vec<Weak<RunningChild>>,
    pollables: usize,
}

impl PowerState for Handles {}

impl Handles {
    /// Returns the children that the instance may be waiting for.
    pub(crate) fn busy_children(&self) -> Vec<Arc<RunningChild>> {
        let children = self.children.iter().filter_map(Weak::upgrade);
        children.filter(|child| child.is_busy()).collect()
    }

    /// Counts a pollable less.
    pub(crate) fn drop_pollable(&mut self) {
        self.pollables = self.pollables.saturating_sub(1);
    }

    /// Counts one more pollable.
    ///
    /// # Errors
    /// `limit`: there are too many.
    pub(crate) fn add_pollable(&mut self) -> Result<(), Error> {
        POLLABLES.check(self.pollables + 1)?;
        self.pollables += 1;
        Ok(())
    }
}

impl InstanceState {
    /// Returns the count of the instance's handles.
    pub(crate) fn handles(&mut self) -> Result<&mut Handles, Error> {
        if self.power::<Handles>().is_none() {
            self.give(Handles::default());
        }
        self.power_mut()
            .ok_or_else(|| error("limit", "the instance counts no handles"))
    }

    /// Checks that the plugin may have one more child.
    ///
    /// # Errors
    /// `limit`: it has too many.
    pub(crate) fn check_children(&mut self) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        let handles = self.handles()?;
        handles.children.retain(|child| child.strong_count() > 0);
        if handles.children.len() < context.limits.handles {
            return Ok(());
        }
        let mut refused = has_reached(&context.limits.reached(Limit::Handles));
        refused.message.push_str("; drop those that have ended");
        Err(refused)
    }

    /// Counts a new child.
    pub(crate) fn add_child(&mut self, child: &Arc<RunningChild>) -> Result<(), Error> {
        self.handles()?.children.push(Arc::downgrade(child));
        Ok(())
    }
}

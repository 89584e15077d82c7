//! Owns what follows from the loss of an environment on another host: another attempt of its task,
//! the recovery of the host, and the end of its slots if it stays away. Does not know how a host is
//! reached.

use std::borrow::Cow;
use std::sync::Arc;

use super::{DispatchState, Dispatcher};
use crate::execute::messages::{ExecutorMessage, FinishedTask};
use crate::execute::slot::SlotIndex;
use crate::plan::entry::PlanEntry;
use crate::plan::slot_pools::PoolIndex;
use persea_journal::{Event, Warning, WarningCause};
use persea_model::{Outcome, SpawnerKind, Status, Task};

impl Dispatcher<'_> {
    /// Whether tasks wait, and no slot for them is open, because the hosts of all are away.
    pub(super) fn waits_for_hosts(&self, state: &DispatchState) -> bool {
        let pools = (0..self.pools.all().len()).map(PoolIndex);
        let suspended: Vec<PoolIndex> = pools.filter(|it| state.slots.are_suspended(*it)).collect();
        if suspended.is_empty() {
            return false;
        }
        let waiting = state.queue.waiting();
        let mut entries = waiting.iter().map(|node| self.plan.entry(*node));
        entries.any(|entry| match entry {
            Some(entry) => suspended.contains(&self.pools.of_spawner(entry.spawner)),
            // What a requirement is for may wait.
            None => true,
        })
    }

    /// Fails the tasks whose hosts are all given up, and returns whether there were any.
    pub(super) fn end_away(&mut self, state: &mut DispatchState) -> bool {
        let Some(away) = &state.away else {
            return false;
        };
        let why = format!("no host is left to run it: {away}");
        let plan = Arc::clone(&self.plan);
        let mut has_ended = false;
        for node in state.queue.waiting() {
            let Some(PlanEntry { task, spawner, .. }) = plan.entry(node) else {
                continue;
            };
            let is_away = state.slots.are_closed(self.pools.of_spawner(*spawner));
            if is_away && state.queue.is_node_waiting(node) {
                let outcome = Outcome::new(Status::Error, why.as_str()).with_infrastructure();
                self.finish(state, task, &outcome, None);
                has_ended = true;
            }
        }
        has_ended
    }

    /// Whether a task gets another attempt because its environment was lost.
    pub(super) fn is_lost(
        &self,
        state: &DispatchState,
        task: &Task,
        finished: &FinishedTask,
    ) -> bool {
        let before = state.losses.get(&task.index).copied();
        finished.is_lost && state.stopped.is_none() && before.unwrap_or_default() < state.max_losses
    }

    /// The spawner of other hosts to which a slot belongs, and the slot's host; none for this
    /// machine.
    fn host(&self, slot: SlotIndex) -> Option<(SpawnerKind, Arc<str>)> {
        let kind = self.pools.remote(slot.0)?;
        let host = self.context.execution.spawners.host(kind, slot.0)?;
        Some((kind, host))
    }

    /// Assigns no more tasks to the host of a slot, until it answers again. Does nothing if the
    /// slot is on this machine.
    pub(super) fn suspend_host(&mut self, state: &mut DispatchState, slot: SlotIndex) {
        let Some(kind) = self.pools.remote(slot.0) else {
            return;
        };
        let host = self.host(slot);
        if host.is_none() || !state.slots.suspend(|other| self.host(other) == host) {
            return;
        }
        let messages = state.messages.clone();
        let execution = Arc::clone(&self.context.execution);
        self.context.catalog.spawn(async move {
            let recovered = execution.spawners.recover(kind, slot.0).await;
            let failed = recovered.err().map(|error| error.to_string());
            let _ = messages.send(ExecutorMessage::HostRecovered { slot, failed });
        });
    }

    /// Opens the slots of a host again, or closes them for good.
    pub(super) fn host_recovered(
        &mut self,
        state: &mut DispatchState,
        slot: SlotIndex,
        failed: Option<String>,
    ) {
        let host = self.host(slot);
        let is_of_host = |other: SlotIndex| self.host(other) == host;
        let Some(why) = failed else {
            return state.slots.open(is_of_host);
        };
        let closed = state.slots.close(is_of_host);
        if state.stopped.is_none() {
            let slots = match closed {
                1 => "its slot is closed".to_owned(),
                _ => format!("its {closed} slots are closed"),
            };
            let message = format!("{why}; the host is given up, and {slots}");
            state.warnings += 1;
            let warning = Warning {
                cause: WarningCause::Host,
                reference: None,
                plugin: None,
                message,
            };
            self.write_event(state, None, &Event::Warning(Cow::Borrowed(&warning)));
            self.screen.notice(&warning.message);
            self.screen.log(warning.message);
        }
        state.away = Some(why);
    }
}

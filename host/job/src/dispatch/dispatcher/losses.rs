//! Owns what follows from the loss of an environment on another host: another attempt of its task,
//! the recovery of the host, and the end of its slots if it stays away. Does not know how a host is
//! reached.

use std::borrow::Cow;
use std::sync::Arc;

use super::{DispatchState, Dispatcher};
use crate::execute::messages::{ExecutorMessage, FinishedTask};
use crate::execute::slot::SlotIndex;
use persea_journal::{Event, Warning, WarningCause};
use persea_model::Task;

impl DispatchState {
    /// Whether tasks wait, and no slot is open, because the hosts of all are away.
    pub(super) fn waits_for_hosts(&self) -> bool {
        self.slots.are_suspended() && !self.queue.waiting().is_empty()
    }
}

impl Dispatcher<'_> {
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

    /// Assigns no more tasks to the host of a slot, until it answers again. Does nothing if the
    /// slot is on this machine.
    pub(super) fn suspend_host(&mut self, state: &mut DispatchState, slot: SlotIndex) {
        let execution = Arc::clone(&self.context.execution);
        let spawner = &execution.spawner;
        let host = spawner.host(slot.0);
        if host.is_none() || !state.slots.suspend(|other| spawner.host(other.0) == host) {
            return;
        }
        let messages = state.messages.clone();
        let execution = Arc::clone(&execution);
        self.context.catalog.spawn(async move {
            let recovered = execution.spawner.recover(slot.0).await;
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
        let execution = Arc::clone(&self.context.execution);
        let spawner = &execution.spawner;
        let host = spawner.host(slot.0);
        let is_of_host = |other: SlotIndex| spawner.host(other.0) == host;
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

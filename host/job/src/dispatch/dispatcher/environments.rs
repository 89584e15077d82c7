//! Owns the events of environments: the one place that writes them. Does not know how an
//! environment is made.

use std::borrow::Cow;

use super::{DispatchState, Dispatcher};
use crate::execute::messages::EnvironmentNews;
use crate::execute::slot::SlotIndex;
use persea_journal::{EnvironmentChanged, EnvironmentPhase, Event, RemoteId};
use persea_model::SpawnerKind;
use persea_spawner::EnvironmentId;

/// What identifies an environment, as the journal has it.
fn remote_id(id: EnvironmentId) -> RemoteId {
    let EnvironmentId {
        host,
        container,
        process,
        helper,
        lease,
    } = id;
    RemoteId {
        host,
        container,
        process: process.map(|(number, _)| number),
        process_start: process.map(|(_, start)| start),
        helper,
        lease: lease.map(|lease| u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX)),
    }
}

/// An event for people: `environment 2 (sandbox, slot 1): ready, process 77`.
fn line(changed: &EnvironmentChanged<'_>) -> String {
    let EnvironmentChanged {
        environment,
        state,
        reason,
        spawner,
        slot,
        remote_id,
    } = changed;
    let mut line = format!(
        "environment {environment} ({spawner}, slot {slot}): {}",
        state.name()
    );
    let known = [
        remote_id.host.as_ref().map(|host| format!("host {host}")),
        remote_id.container.as_ref().map(|id| {
            let id = id.get(..12).unwrap_or(id);
            format!("container {id}")
        }),
        remote_id.process.map(|number| format!("process {number}")),
        reason.as_ref().map(|reason| reason.clone().into_owned()),
    ];
    for part in known.into_iter().flatten() {
        line.push_str(", ");
        line.push_str(&part);
    }
    line
}

impl Dispatcher<'_> {
    /// Records the new state of an environment. One that is ready may be used afterwards.
    pub(super) fn environment_changed(&mut self, state: &mut DispatchState, news: EnvironmentNews) {
        let EnvironmentNews {
            number,
            spawner,
            slot,
            state: phase,
            reason,
            id,
            proceed,
        } = news;
        match phase.is_last() {
            true if state.environments.remove(&number).is_none() => return,
            true => {}
            false => {
                state.environments.insert(number, (spawner, slot));
            }
        }
        let changed = EnvironmentChanged {
            environment: number,
            state: phase,
            reason: reason.map(Cow::Owned),
            spawner: spawner.name().into(),
            slot: slot.0,
            remote_id: Cow::Owned(remote_id(id)),
        };
        let line = line(&changed);
        tracing::info!("{line}");
        self.screen.log(line);
        self.write_event(state, None, &Event::EnvironmentChanged(Cow::Owned(changed)));
        if let Some(proceed) = proceed {
            let written = self.journal.commit();
            self.stop_unless_written(state, written);
            let _ = proceed.send(());
        }
    }

    /// Records that the environments that are left at the end of the job have been closed.
    pub(super) fn environments_closed(&mut self, state: &mut DispatchState) {
        let left: Vec<(usize, (SpawnerKind, SlotIndex))> = state
            .environments
            .iter()
            .map(|(number, environment)| (*number, *environment))
            .collect();
        for (number, (spawner, slot)) in left {
            let news = EnvironmentNews {
                number,
                spawner,
                slot,
                state: EnvironmentPhase::Closed,
                reason: None,
                id: EnvironmentId::default(),
                proceed: None,
            };
            self.environment_changed(state, news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_names_what_identifies_an_environment() {
        let changed = EnvironmentChanged {
            environment: 2,
            state: EnvironmentPhase::Ready,
            reason: None,
            spawner: "container".into(),
            slot: 1,
            remote_id: Cow::Owned(RemoteId {
                host: Some("lab1".to_owned()),
                container: Some("0123456789abcdef".to_owned()),
                process: Some(77),
                ..RemoteId::default()
            }),
        };
        let expected = "environment 2 (container, slot 1): ready, host lab1, container \
                        0123456789ab, process 77";
        assert_eq!(line(&changed), expected);
    }
}

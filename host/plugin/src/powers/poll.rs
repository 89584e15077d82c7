//! The power `poll`: waiting for several pipes and children at once. Does not know how a pipe's
//! readiness is found: `persea-spawner` does.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::Resource;

use crate::contract::convert::error;
use crate::contract::data::Error;
use crate::contract::limits::POLLED;
use crate::contract::world::World;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::powers::handles::{Handles, RunningChild};
use crate::powers::process::StartedProcess;
use persea_spawner::Stream;

pub(crate) static POWER: Power = Power {
    name: "poll",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "wait for several of its processes at once",
    grant: None,
    more_grants: &[],
};

/// The shortest wait for something to become ready: 1 ms. The environment has to be asked, and the
/// host's other work goes on meanwhile, even if the plugin polls with a time of 0 or only looks.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a pollable waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// An output that is a pipe has bytes, or has ended.
    Readable(Stream),
    /// The standard input takes bytes, or fails at once.
    Writable,
    /// The process has ended.
    Ended,
}

/// Something to wait for, until the plugin drops its handle.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct Pollable {
    child: Weak<RunningChild>,
    awaited: Awaited,
}

impl Pollable {
    fn new(child: &Arc<RunningChild>, awaited: Awaited) -> Result<Self, Error> {
        if let Awaited::Readable(stream) = awaited
            && !child.process.is_piped(stream)
        {
            let message = format!("{stream:?} of the process is not a pipe");
            return Err(error("invalid", message));
        }
        Ok(Self {
            child: Arc::downgrade(child),
            awaited,
        })
    }

    /// Waits until it is ready. A child that was dropped is ready at once.
    fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let (child, awaited) = (self.child.upgrade(), self.awaited);
        async move {
            let Some(child) = child else {
                return;
            };
            match awaited {
                Awaited::Readable(stream) => child.process.readable(stream).await,
                Awaited::Writable => child.process.writable().await,
                Awaited::Ended => child.process.ended().await,
            }
        }
    }
}

/// One wait, boxed so that it can be polled beside others.
type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until at least one of the futures has ended, and returns the positions of all that have.
async fn any_of(mut waiting: Vec<Waiting>) -> Vec<u32> {
    poll_fn(|context| {
        let mut ready = Vec::new();
        for (position, wait) in (0..).zip(&mut waiting) {
            if wait.as_mut().poll(context).is_ready() {
                ready.push(position);
            }
        }
        match ready.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(ready),
        }
    })
    .await
}

/// Lets the instance be idle as soon as its last child has ended, although it has not received the
/// end: a plugin that polls and never looks would otherwise never be idle. Never returns.
async fn release_ended(children: Vec<Arc<RunningChild>>) {
    let mut waiting: Vec<Waiting> = children
        .into_iter()
        .map(|child| -> Waiting {
            Box::pin(async move {
                child.process.ended().await;
                child.no_longer_busy();
            })
        })
        .collect();
    poll_fn(move |context| {
        waiting.retain_mut(|wait| wait.as_mut().poll(context).is_pending());
        Poll::Pending
    })
    .await
}

impl InstanceState {
    fn pollable(
        &mut self,
        child: &Resource<StartedProcess>,
        awaited: Awaited,
    ) -> wasmtime::Result<Result<Pollable, Error>> {
        if let Err(refused) = self.permit(&POWER) {
            return Ok(Err(refused));
        }
        let child = Arc::clone(&self.resources.get(child)?.0);
        Ok(Pollable::new(&child, awaited).and_then(|pollable| {
            self.handles()?.add_pollable()?;
            Ok(pollable)
        }))
    }

    async fn poll_all(
        &mut self,
        waiting: Vec<Waiting>,
        timeout: Option<u64>,
    ) -> Result<Vec<u32>, Error> {
        let host = Arc::clone(&self.task(&POWER)?.host);
        let children = self.handles()?.busy_children();
        if waiting.is_empty() && timeout.is_none() {
            let message = "to poll nothing without a time would never end";
            return Err(error("invalid", message));
        }
        let time_is_up = async {
            match timeout {
                Some(time) => tokio::time::sleep(Duration::from_nanos(time).max(SHORTEST)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = host.interrupted() => Err(error("interrupted", "the task is interrupted")),
            ready = any_of(waiting) => Ok(ready),
            () = release_ended(children) => Ok(Vec::new()),
            () = time_is_up => Ok(Vec::new()),
        }
    }

    /// Returns the handle of a pollable for what to await of a child.
    pub(crate) fn watch_child(
        &mut self,
        child: &Resource<StartedProcess>,
        awaited: Awaited,
    ) -> wasmtime::Result<Result<Resource<Pollable>, Error>> {
        Ok(match self.pollable(child, awaited)? {
            Ok(pollable) => Ok(self.resources.push(pollable)?),
            Err(refused) => Err(refused),
        })
    }

    /// Waits until one of the pollables is ready or the time (nanoseconds) is up, and returns the
    /// positions of all that are ready.
    pub(crate) async fn poll_among(
        &mut self,
        among: Vec<Resource<Pollable>>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u32>, Error>> {
        if let Err(refused) = self.permit(&POWER).and_then(|()| POLLED.check(among.len())) {
            return Ok(Err(refused));
        }
        let mut waiting: Vec<Waiting> = Vec::with_capacity(among.len());
        for pollable in &among {
            waiting.push(Box::pin(self.resources.get(pollable)?.ready()));
        }
        Ok(self.poll_all(waiting, timeout).await)
    }

    /// Whether a pollable is ready, after the shortest wait.
    pub(crate) async fn is_ready(
        &mut self,
        pollable: &Resource<Pollable>,
    ) -> wasmtime::Result<bool> {
        let ready = self.resources.get(pollable)?.ready();
        Ok(tokio::time::timeout(SHORTEST, ready).await.is_ok())
    }

    /// Drops the handle of a pollable.
    pub(crate) fn drop_pollable(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.resources.delete(pollable)?;
        if let Some(handles) = self.power_mut::<Handles>() {
            handles.drop_pollable();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::powers::testing::{FakeTask, instance_of};

    fn dropped_child() -> Pollable {
        Pollable {
            child: Weak::new(),
            awaited: Awaited::Ended,
        }
    }

    #[tokio::test]
    async fn pollable_of_a_dropped_child_is_ready() {
        let mut store = instance_of(World::Runner, &Arc::new(FakeTask::default()));
        let state = store.data_mut();
        let one = state.resources.push(dropped_child()).unwrap();
        let other = state.resources.push(dropped_child()).unwrap();
        let borrowed = Resource::new_borrow(one.rep());
        assert!(state.is_ready(&borrowed).await.unwrap());
        let ready = state.poll_among(vec![one, other], None).await;
        assert_eq!(ready.unwrap().unwrap(), [0, 1]);
    }

    #[tokio::test]
    async fn empty_list_sleeps_or_is_invalid() {
        let mut store = instance_of(World::Runner, &Arc::new(FakeTask::default()));
        let state = store.data_mut();
        let slept = state.poll_among(Vec::new(), Some(1000)).await;
        assert!(slept.unwrap().unwrap().is_empty());
        let refused = state.poll_among(Vec::new(), None).await;
        assert_eq!(refused.unwrap().unwrap_err().code, "invalid");
    }

    #[tokio::test]
    async fn interrupted_task_ends_a_poll_that_would_sleep() {
        let task = Arc::new(FakeTask::default());
        let mut store = instance_of(World::Runner, &task);
        task.is_interrupted.store(true, Ordering::Relaxed);
        let refused = store
            .data_mut()
            .poll_among(Vec::new(), Some(u64::MAX))
            .await;
        assert_eq!(refused.unwrap().unwrap_err().code, "interrupted");
    }

    #[tokio::test]
    async fn more_pollables_than_the_contract_allows_are_invalid() {
        let mut store = instance_of(World::Runner, &Arc::new(FakeTask::default()));
        let state = store.data_mut();
        let handle = state.resources.push(dropped_child()).unwrap();
        let among = |count: u32| {
            let handles = (0..count).map(|_| Resource::new_borrow(handle.rep()));
            handles.collect::<Vec<Resource<Pollable>>>()
        };
        let ready = state.poll_among(among(1024), None).await.unwrap().unwrap();
        assert_eq!(ready.len(), 1024);
        let refused = state
            .poll_among(among(1025), None)
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(refused.code, "invalid");
    }

    #[test]
    fn pollables_are_counted_by_themselves() {
        let mut handles = Handles::default();
        for _ in 0..1024 {
            handles.add_pollable().unwrap();
        }
        assert_eq!(handles.add_pollable().unwrap_err().code, "limit");
        handles.drop_pollable();
        handles.add_pollable().unwrap();
    }
}

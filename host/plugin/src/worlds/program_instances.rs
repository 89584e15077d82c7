//! Owns the instances of a program runner, each of which serves many calls, one after the other.
//! Does not know what they are called for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::log::Log;
use crate::instance::state::InstanceState;
use crate::powers::monotonic_clock::CallClock;
use crate::powers::task::{TaskHost, TaskPower};
use crate::tracks::calls::{Called, Component, ProgramRunnerCalls};
use crate::worlds::runtime::{Runtime, task_log};

/// The most calls of one instance. Memory that a guest never frees does not add up beyond them, and
/// a new instance costs little beside so many calls.
const MOST_CALLS: u32 = 128;

/// The most idle instances. Most calls have returned before the next one begins.
const MOST_IDLE: usize = 4;

/// The instances of a program runner that nobody calls now.
#[derive(Default)]
pub(crate) struct ProgramInstances {
    idle: Mutex<Vec<ProgramInstance>>,
}

/// An instance of a program runner, for one call.
pub(crate) struct ProgramInstance {
    pub(crate) store: Store<InstanceState>,
    pub(crate) runner: Box<dyn ProgramRunnerCalls>,
    calls_left: u32,
}

impl ProgramInstances {
    fn idle(&self) -> MutexGuard<'_, Vec<ProgramInstance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an instance for one call about a task: an idle one with new time, log and messages,
    /// or a new one.
    pub(crate) async fn take(
        &self,
        component: &Component<dyn ProgramRunnerCalls>,
        runtime: &Runtime,
        context: &Arc<PluginContext>,
        host: &Arc<dyn TaskHost>,
    ) -> Result<ProgramInstance, PluginError> {
        context.check_alive()?;
        let idle = self.idle().pop();
        let log = task_log(context, host);
        if let Some(mut instance) = idle {
            instance.store.set_epoch_deadline(1);
            let state = instance.store.data_mut();
            state.log = log;
            state.refill();
            state.give(CallClock::start(context.limits.wall));
            return Ok(instance);
        }
        let mut store = runtime.store_with_log(context, log);
        // Boxed so that the common future stays small.
        let made = Box::pin(call_in_time(context, component.instantiate(&mut store)));
        let runner = made
            .await?
            .map_err(|error| failure(context, &mut store, &error))?;
        let clock = CallClock::start(context.limits.wall);
        store.data_mut().give(clock);
        Ok(ProgramInstance {
            store,
            runner,
            calls_left: MOST_CALLS,
        })
    }

    /// Returns the answer of an instance, and keeps the instance for the next call if it may have
    /// one.
    pub(crate) fn put_back<T>(
        &self,
        context: &PluginContext,
        mut instance: ProgramInstance,
        called: Called<T>,
    ) -> Result<T, PluginError> {
        let is_alive = called.is_ok();
        let answer = answer(context, &mut instance.store, called);
        instance.calls_left -= 1;
        if is_alive && instance.calls_left > 0 {
            let state = instance.store.data_mut();
            state.take_away::<TaskPower>();
            state.log = Log::discarding(&context.limits);
            let mut idle = self.idle();
            if idle.len() < MOST_IDLE {
                idle.push(instance);
            }
        }
        answer
    }
}

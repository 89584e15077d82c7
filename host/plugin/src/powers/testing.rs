//! Owns what the tests of powers need: an instance of a role without any component, and a task that
//! records what is done to it.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use wasmtime::{Engine, Store};

use crate::contract::world::World;
use crate::engine::limits::{Limits, OwnLimits};
use crate::instance::context::PluginContext;
use crate::instance::grants::Grants;
use crate::instance::log::{Log, LogLevel};
use crate::instance::memory::JobMemory;
use crate::instance::state::InstanceState;
use crate::powers::task::{Starting, TaskFuture, TaskHost, TaskPower};
use persea_config::{Config, UserDirs};
use persea_model::Case;
use persea_spawner::{Environment, QueuedProcess, SpawnError};

/// A fake task without an environment. It records the calls.
#[derive(Default)]
pub(crate) struct FakeTask {
    pub(crate) started: Mutex<Vec<Vec<String>>>,
    pub(crate) finished: Mutex<Vec<Case>>,
    pub(crate) files: Mutex<Vec<(String, u64)>>,
    pub(crate) logged: Mutex<Vec<String>>,
    pub(crate) is_interrupted: AtomicBool,
}

impl TaskHost for FakeTask {
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>> {
        Box::pin(async { Err(SpawnError::Closed("the environment")) })
    }

    fn is_isolated(&self) -> bool {
        false
    }

    fn cwd(&self) -> Option<&str> {
        None
    }

    fn queued_process(&self) -> Option<&QueuedProcess> {
        None
    }

    fn file(&self, _name: &str) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn append(&self, _name: &str) -> io::Result<File> {
        tempfile::tempfile()
    }

    fn read<'a>(
        &'a self,
        _name: &'a str,
        _offset: u64,
        _length: u32,
    ) -> TaskFuture<'a, io::Result<Vec<u8>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }

    fn size<'a>(&'a self, _name: &'a str) -> TaskFuture<'a, io::Result<u64>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }

    fn artifacts(&self) -> TaskFuture<'_, io::Result<Vec<(String, u64)>>> {
        Box::pin(async { Ok(self.files.lock().unwrap().clone()) })
    }

    fn case_started(&self, path: Vec<String>) {
        self.started.lock().unwrap().push(path);
    }

    fn case_finished(&self, case: Case) {
        self.finished.lock().unwrap().push(case);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if !self.is_interrupted.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        })
    }

    fn progress(&self, _message: String) {}

    fn whiteboard(&self, _text: &str) {}

    fn log(&self, _level: LogLevel, message: &str) {
        self.logged.lock().unwrap().push(message.to_owned());
    }
}

/// Makes an instance of a role, with the limits that `configure` sets.
pub(crate) fn instance_with(
    world: World,
    configure: impl FnOnce(&mut Config),
) -> Store<InstanceState> {
    let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    configure(&mut config);
    let limits = Limits::of(&config, world, Some("x"), &OwnLimits::none());
    let memory = Arc::new(JobMemory::new(&config));
    let label = format!("{} `x`", world.name());
    let context = PluginContext::new(label, Some(world), Grants::default(), limits, memory);
    let context = Arc::new(context);
    let mut settings = wasmtime::Config::new();
    settings.epoch_interruption(true);
    let engine = Engine::new(&settings).unwrap();
    let log = Log::discarding(&context.limits);
    InstanceState::store(&engine, &context, log)
}

/// Makes an instance of a role that acts on a task.
pub(crate) fn instance_of(world: World, task: &Arc<FakeTask>) -> Store<InstanceState> {
    let mut store = instance_with(world, |_| {});
    give_task(&mut store, task);
    store
}

/// Gives an instance a task to act on.
pub(crate) fn give_task(store: &mut Store<InstanceState>, task: &Arc<FakeTask>) {
    let state = store.data_mut();
    let host: Arc<dyn TaskHost> = Arc::clone(task) as Arc<dyn TaskHost>;
    let power = TaskPower::new(host, &state.context.limits, Starting::Allowed);
    state.give(power);
}

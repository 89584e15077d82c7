//! What the host keeps for one instance of a plugin while it lives: its limits, its log, its powers.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::instance::idle::Idle;
use crate::instance::terms::Terms;
use crate::instance::usage::{Usage, apply};
use crate::powers::batch::BatchPower;
use crate::powers::cache::CachePower;
use crate::powers::fetch::FetchPower;
use crate::powers::log::Log;
use crate::powers::output::OutputPower;
use crate::powers::task::TaskPower;
use crate::powers::wasi;
use crate::powers::workspace::Workspace;

/// What a panic hook told before the trap.
#[derive(Clone, Debug)]
pub(crate) struct LastWords {
    pub(crate) message: String,
    pub(crate) location: String,
}

/// The data of a store.
pub(crate) struct State {
    /// The plugin that it's an instance of.
    pub(crate) terms: Arc<Terms>,
    pub(crate) usage: Usage,
    pub(crate) idle: Arc<Idle>,
    pub(crate) table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) last_words: Option<LastWords>,
    pub(crate) workspace: Option<Workspace>,
    pub(crate) task: Option<TaskPower>,
    pub(crate) batch: Option<BatchPower>,
    pub(crate) output: Option<OutputPower>,
    pub(crate) fetch: Option<FetchPower>,
    pub(crate) cache: Option<CachePower>,
    wasi: Option<(WasiCtx, Arc<Mutex<Vec<u8>>>)>,
}

impl State {
    /// A store for one instance, with its limits on and no powers yet but the log.
    pub(crate) fn store(engine: &wasmtime::Engine, terms: &Arc<Terms>, log: Log) -> Store<Self> {
        let limits = &terms.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let state = Self {
            terms: Arc::clone(terms),
            usage: Usage::new(limits),
            idle: Arc::default(),
            table,
            log,
            last_words: None,
            workspace: None,
            task: None,
            batch: None,
            output: None,
            fetch: None,
            cache: None,
            wasi: None,
        };
        let mut store = Store::new(engine, state);
        apply(&mut store, limits);
        store
    }

    /// Passes what the plugin wrote to its standard output and error on to its log.
    pub(crate) fn drain_output(&mut self) {
        let Some((_, written)) = &self.wasi else {
            return;
        };
        let bytes = std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner));
        for line in String::from_utf8_lossy(&bytes).lines() {
            self.log.write(crate::Level::Info, line);
        }
    }
}

impl AsMut<Usage> for State {
    fn as_mut(&mut self) -> &mut Usage {
        &mut self.usage
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, _) = self
            .wasi
            .get_or_insert_with(|| wasi::context(&self.terms.grants));
        WasiCtxView {
            ctx,
            table: &mut self.table,
        }
    }
}

//! What the host keeps for one instance of a plugin while it lives: its limits, its log, its powers.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::idle::Idle;
use super::powers::batch::BatchPower;
use super::powers::cache::CachePower;
use super::powers::fetch::FetchPower;
use super::powers::log::Log;
use super::powers::output::OutputPower;
use super::powers::task::TaskPower;
use super::powers::workspace::Workspace;
use super::terms::Terms;
use super::usage::{Usage, apply};
use super::wasi;

/// What a panic hook told before the trap.
#[derive(Clone, Debug)]
pub(super) struct LastWords {
    pub(super) message: String,
    pub(super) location: String,
}

/// The data of a store.
pub(super) struct State {
    /// The plugin that it's an instance of.
    pub(super) terms: Arc<Terms>,
    pub(super) usage: Usage,
    pub(super) idle: Arc<Idle>,
    pub(super) table: ResourceTable,
    pub(super) log: Log,
    pub(super) last_words: Option<LastWords>,
    pub(super) workspace: Option<Workspace>,
    pub(super) task: Option<TaskPower>,
    pub(super) batch: Option<BatchPower>,
    pub(super) output: Option<OutputPower>,
    pub(super) fetch: Option<FetchPower>,
    pub(super) cache: Option<CachePower>,
    wasi: Option<(WasiCtx, Arc<Mutex<Vec<u8>>>)>,
}

impl State {
    /// A store for one instance, with its limits on and no powers yet but the log.
    pub(super) fn store(engine: &wasmtime::Engine, terms: &Arc<Terms>, log: Log) -> Store<Self> {
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
    pub(super) fn drain_output(&mut self) {
        let Some((_, written)) = &self.wasi else {
            return;
        };
        let bytes = std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner));
        for line in String::from_utf8_lossy(&bytes).lines() {
            self.log.write(super::Level::Info, line);
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

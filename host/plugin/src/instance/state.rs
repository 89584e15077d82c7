//! Owns what the host keeps for one instance of a plugin while it lives: its limits, its log, and
//! the state of its powers. Does not know which powers there are.

use std::any::Any;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::engine::limits::Limits;
use crate::instance::context::PluginContext;
use crate::instance::idle::IdleClock;
use crate::instance::log::{Log, LogLevel};
use crate::instance::usage::{ResourceUsage, put_under_limits};
use crate::instance::wasi::Wasi;

/// A panic that the plugin has reported before it trapped.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
}

/// What a power keeps for one instance. The state of an instance holds it by its type.
pub(crate) trait PowerState: Any + Send {
    /// Gives the next task of the instance its own share of the limits.
    fn refill(&mut self, _limits: &Limits) {}
}

/// The data of a store: one instance of a plugin.
pub(crate) struct InstanceState {
    pub(crate) context: Arc<PluginContext>,
    pub(crate) usage: ResourceUsage,
    pub(crate) idle: Arc<IdleClock>,
    pub(crate) resources: ResourceTable,
    pub(crate) log: Log,
    pub(crate) panic: Option<Panic>,
    /// Few at most, so that a search through them is fast.
    powers: Vec<Box<dyn PowerState>>,
    wasi: Option<Wasi>,
}

impl InstanceState {
    /// Makes a store for one instance, within its limits and without the state of any power.
    pub(crate) fn store(engine: &Engine, context: &Arc<PluginContext>, log: Log) -> Store<Self> {
        let limits = &context.limits;
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits.all_handles());
        let state = Self {
            context: Arc::clone(context),
            usage: ResourceUsage::new(limits),
            idle: Arc::default(),
            resources,
            log,
            panic: None,
            powers: Vec::new(),
            wasi: None,
        };
        let mut store = Store::new(engine, state);
        put_under_limits(&mut store, limits);
        store
    }

    /// Returns the state of a power, if this instance has the power.
    pub(crate) fn power<P: PowerState>(&self) -> Option<&P> {
        let mut all = self.powers.iter();
        all.find_map(|power| {
            let any: &dyn Any = &**power;
            any.downcast_ref()
        })
    }

    /// Returns the state of a power to change it, if this instance has the power.
    pub(crate) fn power_mut<P: PowerState>(&mut self) -> Option<&mut P> {
        let mut all = self.powers.iter_mut();
        all.find_map(|power| {
            let any: &mut dyn Any = &mut **power;
            any.downcast_mut()
        })
    }

    /// Gives the instance the state of a power, in place of an earlier one.
    pub(crate) fn give<P: PowerState>(&mut self, power: P) {
        self.take_away::<P>();
        self.powers.push(Box::new(power));
    }

    /// Takes the state of a power away from the instance.
    pub(crate) fn take_away<P: PowerState>(&mut self) {
        self.powers.retain(|power| {
            let any: &dyn Any = &**power;
            !any.is::<P>()
        });
    }

    /// Takes the state of a power away from the instance, and returns it.
    pub(crate) fn remove<P: PowerState>(&mut self) -> Option<P> {
        let mut all = self.powers.iter();
        let index = all.position(|power| {
            let any: &dyn Any = &**power;
            any.is::<P>()
        })?;
        let power: Box<dyn Any> = self.powers.swap_remove(index);
        power.downcast().ok().map(|power| *power)
    }

    /// Gives the next task of the instance its own share of time, messages and log.
    pub(crate) fn refill(&mut self) {
        let limits = Arc::clone(&self.context.limits);
        self.log.refill();
        self.usage.refill(limits.ticks());
        for power in &mut self.powers {
            power.refill(&limits);
        }
    }

    /// Takes the last lines that the plugin has written to its standard error since its last
    /// answer.
    pub(crate) fn take_errors(&mut self) -> String {
        let errors = self
            .wasi
            .as_ref()
            .map(Wasi::take_errors)
            .unwrap_or_default();
        String::from_utf8_lossy(&errors).into_owned()
    }

    /// Writes what the plugin has printed to its log.
    pub(crate) fn log_output(&mut self) {
        let Some(wasi) = &self.wasi else {
            return;
        };
        for line in String::from_utf8_lossy(&wasi.take_output()).lines() {
            self.log.write(LogLevel::Info, line);
        }
    }
}

impl AsMut<ResourceUsage> for InstanceState {
    fn as_mut(&mut self) -> &mut ResourceUsage {
        &mut self.usage
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = &mut self.wasi;
        let wasi = wasi.get_or_insert_with(|| Wasi::new(&self.context.grants));
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut self.resources,
        }
    }
}

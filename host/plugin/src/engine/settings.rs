//! Owns the settings of the WebAssembly engine, each number with its reason. Compiled code depends
//! on them, so the compiler process and the host make their engines here. Does not know about
//! plugins.

use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// How often a guest that keeps the processor yields: every 10 ms.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The most linear memories of one component.
const MEMORIES: u32 = 8;

/// The most linear memories of all instances. Each takes 4 GiB of the 128 TiB of addresses that a
/// process has.
const MOST_MEMORIES: u32 = 18_000;

/// The most tables of one component. A Python guest has some 20.
const TABLES: u32 = 64;

/// The smallest stack of a guest, in bytes. A guest does not start with less.
const SMALLEST_STACK: usize = 64 << 10;

/// How much address space this process may use (`ulimit -v`). Compiled code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressSpace {
    /// All that the machine has. Each memory reserves 4 GiB, so that most accesses need no check.
    Plenty,
    /// A limit applies. Memories reserve no more than they use, and each access is checked.
    Limited,
}

impl AddressSpace {
    pub(crate) fn of_this_process() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::As);
        limit.current.map_or(Self::Plenty, |_| Self::Limited)
    }

    /// The word for this in the arguments of the compiler process.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Plenty => "plenty",
            Self::Limited => "limited",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Plenty, Self::Limited];
        all.into_iter().find(|it| it.word() == word)
    }
}

/// What the pool of instances reserves for each guest: the largest of the limits of all plugins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GuestCapacity {
    /// Bytes of stack.
    pub(crate) stack: u64,
    /// Elements of one table.
    pub(crate) table_elements: usize,
    /// Core instances in one component.
    pub(crate) core_instances: usize,
}

/// Makes an engine that compiles as all others do and has no room for instances.
///
/// With `parallel`, it compiles on all processors.
pub(crate) fn engine_for_compiling(
    parallel: bool,
    addresses: AddressSpace,
) -> wasmtime::Result<Engine> {
    let mut settings = on_demand(GuestCapacity::default(), addresses);
    settings.parallel_compilation(parallel);
    Engine::new(&settings)
}

/// Settings of an engine that allocates each instance when it is made.
pub(crate) fn on_demand(capacity: GuestCapacity, addresses: AddressSpace) -> Config {
    let mut config = common(capacity, addresses);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// Settings of an engine with a pool for this number of component instances at once.
pub(crate) fn pooled(instances: u32, capacity: GuestCapacity, addresses: AddressSpace) -> Config {
    let mut config = common(capacity, addresses);
    let core_instances = u32::try_from(capacity.core_instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances);
    // As many as all components together may have, so that none takes the share of another. These
    // are reserved addresses, and not memory.
    pool.total_core_instances(instances.saturating_mul(core_instances));
    pool.total_memories(instances.saturating_mul(MEMORIES).min(MOST_MEMORIES));
    pool.total_tables(instances.saturating_mul(TABLES));
    pool.total_stacks(instances);
    pool.max_core_instances_per_component(core_instances);
    pool.max_memories_per_component(MEMORIES);
    pool.max_memories_per_module(MEMORIES);
    pool.max_tables_per_component(TABLES);
    pool.max_tables_per_module(TABLES);
    pool.table_elements(capacity.table_elements);
    pool.max_component_instance_size(4 << 20);
    pool.max_core_instance_size(4 << 20);
    // Memory that stays with a pool's slot between two guests has to be cleared. That is only fast
    // where the kernel reports which pages were touched.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(512 << 10);
        pool.table_keep_resident(64 << 10);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn common(capacity: GuestCapacity, addresses: AddressSpace) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    // Deep recursion in a guest traps at the end of this stack. The fiber has room for the host's
    // frames in addition.
    let stack = usize::try_from(capacity.stack)
        .unwrap_or(0)
        .max(SMALLEST_STACK);
    config.max_wasm_stack(stack);
    config.async_stack_size(stack + (512 << 10));
    config.memory_init_cow(true);
    if addresses == AddressSpace::Limited {
        config.memory_reservation(0);
        config.memory_reservation_for_growth(1 << 20);
        config.memory_guard_size(64 << 10);
    }
    // By default an environment variable decides. The compiler process does not have it, so its
    // code would not fit this engine.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

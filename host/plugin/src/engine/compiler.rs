//! The WebAssembly engine: its settings, each number explained, and the thread that ticks.
//!
//! Owns everything that compiled code depends on. Knows nothing of worlds, powers or plugins' names.

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::contract::description::Description;
use crate::engine::compile::{self, CompileError};
use crate::engine::compiled::Compiled;
use crate::engine::limits::Limits;

/// How often a guest that keeps the processor gives way: 10 ms.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The most memories of one component.
const MEMORIES: u32 = 8;

/// The most memories of all: 4 GiB of addresses each, of the 128 TiB that a process has.
const MOST_MEMORIES: u32 = 18_000;

/// The most tables of one component: a Python guest has some 20.
const TABLES: u32 = 64;

/// How much address space there is (`ulimit -v`). Compiled code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// As much as the machine has: 4 GiB are set aside for each memory, so that most accesses need no check.
    Plenty,
    /// So little that memories get no more than they use, and each access is checked.
    Limited,
}

impl Addresses {
    fn of_this_process() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::As);
        limit.current.map_or(Self::Plenty, |_| Self::Limited)
    }

    /// How the compiler is told.
    pub(crate) fn word(self) -> &'static str {
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

/// The room that any one guest may need: the largest of their limits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Bytes of stack.
    pub(crate) stack: u64,
    /// Elements of one table.
    pub(crate) elements: usize,
    /// Core instances in one component.
    pub(crate) instances: usize,
}

/// Compiles components and keeps what it compiled.
pub(crate) struct Compiler {
    pub(crate) engine: Engine,
    addresses: Addresses,
    cache: Option<Compiled>,
    compatibility: String,
    _ticker: std::sync::Arc<()>,
}

/// The SHA-256 of a component, as 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Compiler {
    /// An engine for `instances` guests at once, each with so much room, with compiled code kept below `cache`.
    pub(crate) fn new(instances: u32, room: Room, cache: Option<&Path>) -> wasmtime::Result<Self> {
        let addresses = Addresses::of_this_process();
        // The pool reserves 4 GiB of addresses for each memory; where there are none, memories are made one by one.
        let pooled = match addresses {
            Addresses::Plenty => Engine::new(&settings(Some(instances), room, addresses)),
            Addresses::Limited => Engine::new(&settings(None, room, addresses)),
        };
        let engine = match pooled {
            Ok(engine) => engine,
            Err(error) => {
                tracing::debug!("no pool of instances: {error:#}");
                Engine::new(&settings(None, room, addresses))?
            }
        };
        let ticker = std::sync::Arc::new(());
        tick(engine.weak(), std::sync::Arc::downgrade(&ticker))?;
        let compatibility = compatibility(&engine);
        let cache = cache.and_then(Compiled::open);
        Ok(Self {
            engine,
            addresses,
            cache,
            compatibility,
            _ticker: ticker,
        })
    }

    /// The compiled form of a component whose digest is `digest`: from the cache, or compiled now and put there. One that's not the
    /// host's own is compiled in a process of its own, under these limits.
    pub(crate) fn component(
        &self,
        bytes: &[u8],
        digest: &str,
        foreign: Option<&Limits>,
    ) -> Result<Component, CompileError> {
        let key = self.key(digest);
        if let Some(component) = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&self.engine, &key))
        {
            return Ok(component);
        }
        let Some(limits) = foreign else {
            let component = self.compile(bytes).map_err(CompileError::Wrong)?;
            if let Some(cache) = &self.cache {
                cache.store(&key, &component.serialize().map_err(CompileError::Wrong)?);
            }
            return Ok(component);
        };
        let code = compile::apart(bytes, limits, self.addresses)?;
        if let Some(cache) = &self.cache {
            cache.store(&key, &code);
        }
        // SAFETY: it is the output of this very program, run by `compile::apart`, and in nobody else's hands.
        #[allow(unsafe_code)]
        unsafe { Component::deserialize(&self.engine, &code) }.map_err(CompileError::Wrong)
    }

    fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        if compile::has_threads() {
            return Component::new(&self.engine, bytes);
        }
        let code = only_compiling(false, self.addresses)?.precompile_component(bytes)?;
        // SAFETY: it is the output of this very compiler, and in nobody else's hands.
        #[allow(unsafe_code)]
        unsafe {
            Component::deserialize(&self.engine, code)
        }
    }

    /// What a component says of itself, if that is in the cache.
    pub(crate) fn description(&self, digest: &str) -> Option<Description> {
        let text = self.cache.as_ref()?.description(&self.key(digest))?;
        serde_json::from_str(&text).ok()
    }

    /// Puts what a component says of itself into the cache.
    pub(crate) fn keep_description(&self, digest: &str, description: &Description) {
        if let (Some(cache), Ok(text)) = (&self.cache, serde_json::to_string(description)) {
            cache.store_description(&self.key(digest), &text);
        }
    }

    fn key(&self, digest: &str) -> String {
        format!("{digest}-{}", self.compatibility)
    }

    /// Whether compiled code for this component is in the cache.
    pub(crate) fn is_cached(&self, digest: &str) -> bool {
        let key = self.key(digest);
        self.cache.as_ref().is_some_and(|cache| cache.has(&key))
    }
}

/// An engine that compiles as all others do, and makes room for no instances; on all processors, or on one.
pub(crate) fn only_compiling(parallel: bool, addresses: Addresses) -> wasmtime::Result<Engine> {
    let mut settings = settings(None, Room::default(), addresses);
    settings.parallel_compilation(parallel);
    Engine::new(&settings)
}

fn settings(pooled: Option<u32>, room: Room, addresses: Addresses) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    // Deep recursion in a guest ends there, as a trap; the fiber has room for the host's frames beside.
    let stack = usize::try_from(room.stack).unwrap_or(0).max(64 * 1024);
    config.max_wasm_stack(stack);
    config.async_stack_size(stack + 512 * 1024);
    config.memory_init_cow(true);
    if addresses == Addresses::Limited {
        config.memory_reservation(0);
        config.memory_reservation_for_growth(1 << 20);
        config.memory_guard_size(64 << 10);
    }
    // By default a variable of the environment decides, which the compiler process does not have: its code would not fit this engine.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    if let Some(instances) = pooled {
        let parts = u32::try_from(room.instances).unwrap_or(u32::MAX);
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(instances);
        // As many as all of them together may have, so that none takes what is another's. They are addresses, and no memory yet.
        pool.total_core_instances(instances.saturating_mul(parts));
        pool.total_memories(instances.saturating_mul(MEMORIES).min(MOST_MEMORIES));
        pool.total_tables(instances.saturating_mul(TABLES));
        pool.total_stacks(instances);
        pool.max_core_instances_per_component(parts);
        pool.max_memories_per_component(MEMORIES);
        pool.max_memories_per_module(MEMORIES);
        pool.max_tables_per_component(TABLES);
        pool.max_tables_per_module(TABLES);
        pool.table_elements(room.elements);
        pool.max_component_instance_size(4 << 20);
        pool.max_core_instance_size(4 << 20);
        // Memory that stays with a slot between two guests is cleared by hand, which is only quick where the kernel
        // tells which pages were touched.
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pool.pagemap_scan(Enabled::Yes);
            pool.linear_memory_keep_resident(512 * 1024);
            pool.table_keep_resident(64 * 1024);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    } else {
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    }
    config
}

/// Ticks until the engine is gone.
fn tick(engine: wasmtime::EngineWeak, alive: Weak<()>) -> wasmtime::Result<()> {
    std::thread::Builder::new()
        .name("persea-tick".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            while alive.strong_count() > 0 {
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        })?;
    Ok(())
}

/// What compiled code depends on beside the component: the version and the settings of the compiler.
fn compatibility(engine: &Engine) -> String {
    use std::hash::{Hash as _, Hasher as _};
    // Stable between runs of one build of the host, which is all that is asked of it.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!(
        "{:016x}-{}",
        hasher.finish(),
        env!("PERSEA_WASMTIME_VERSION")
    )
}

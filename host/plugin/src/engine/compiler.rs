//! Owns the engine, the thread that makes guests yield, and where compiled code comes from: the
//! cache, this process, or a compiler process. Does not know about worlds, powers or trust.

use std::path::Path;
use std::sync::{Arc, Weak};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::contract::description::Description;
use crate::engine::code_cache::CodeCache;
use crate::engine::compile::{self, CompileError};
use crate::engine::full_names::with_full_names;
use crate::engine::limits::Limits;
use crate::engine::settings::{
    AddressSpace, GuestCapacity, TICK, engine_for_compiling, on_demand, pooled,
};

/// Compiles components for one engine, and caches compiled code.
pub(crate) struct Compiler {
    pub(crate) engine: Engine,
    addresses: AddressSpace,
    cache: Option<CodeCache>,
    compatibility: String,
    /// The ticking thread ends when this is dropped.
    _ticking: Arc<()>,
}

/// Where a component is compiled.
#[derive(Clone, Copy)]
pub(crate) enum CompileIn<'a> {
    /// This process, for a component that is part of the host.
    ThisProcess,
    /// In a process of its own, within these limits, for a third-party component.
    OwnProcess(&'a Limits),
}

impl Compiler {
    /// An engine for this number of guests at once, with compiled code cached in a directory.
    pub(crate) fn new(
        instances: u32,
        capacity: GuestCapacity,
        cache: Option<&Path>,
    ) -> wasmtime::Result<Self> {
        let addresses = AddressSpace::of_this_process();
        let allocate_on_demand = || Engine::new(&on_demand(capacity, addresses));
        let engine = match addresses {
            AddressSpace::Plenty => {
                let engine = Engine::new(&pooled(instances, capacity, addresses));
                engine.or_else(|error| {
                    tracing::debug!("no pool of instances: {error:#}");
                    allocate_on_demand()
                })?
            }
            // A pool reserves 4 GiB of addresses for each memory.
            AddressSpace::Limited => allocate_on_demand()?,
        };
        let ticking = Arc::new(());
        start_ticking(engine.weak(), Arc::downgrade(&ticking))?;
        let compatibility = compatibility(&engine);
        let cache = cache.and_then(CodeCache::open);
        Ok(Self {
            engine,
            addresses,
            cache,
            compatibility,
            _ticking: ticking,
        })
    }

    /// Returns the compiled form of a component, from the cache or compiled now and cached.
    /// `digest` is the digest of `bytes`.
    pub(crate) fn component(
        &self,
        bytes: &[u8],
        digest: &str,
        compile_in: CompileIn<'_>,
    ) -> Result<Component, CompileError> {
        let key = self.key(digest);
        let cached = self.cache.as_ref();
        if let Some(component) = cached.and_then(|cache| cache.load(&self.engine, &key)) {
            return Ok(component);
        }
        let bytes = &*with_full_names(bytes);
        match compile_in {
            CompileIn::ThisProcess => {
                let component = self.compile(bytes).map_err(CompileError::Invalid)?;
                if let Some(cache) = &self.cache {
                    let code = component.serialize().map_err(CompileError::Invalid)?;
                    cache.store(&key, &code);
                }
                Ok(component)
            }
            CompileIn::OwnProcess(limits) => {
                let code = compile::in_own_process(bytes, limits, self.addresses)?;
                if let Some(cache) = &self.cache {
                    cache.store(&key, &code);
                }
                // SAFETY: the code is the output of this very program, run as compiler process, and
                // nobody else has had it.
                #[allow(unsafe_code)]
                unsafe { Component::deserialize(&self.engine, &code) }
                    .map_err(CompileError::Invalid)
            }
        }
    }

    fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        if compile::has_threads() {
            return Component::new(&self.engine, bytes);
        }
        let code = engine_for_compiling(false, self.addresses)?.precompile_component(bytes)?;
        // SAFETY: the code is the output of this very compiler, and nobody else has had it.
        #[allow(unsafe_code)]
        unsafe {
            Component::deserialize(&self.engine, code)
        }
    }

    /// Returns the cached description of a component.
    pub(crate) fn description(&self, digest: &str) -> Option<Description> {
        let text = self.cache.as_ref()?.description(&self.key(digest))?;
        serde_json::from_str(&text).ok()
    }

    /// Caches the description of a component.
    pub(crate) fn store_description(&self, digest: &str, description: &Description) {
        if let (Some(cache), Ok(text)) = (&self.cache, serde_json::to_string(description)) {
            cache.store_description(&self.key(digest), &text);
        }
    }

    /// Whether the cache has compiled code of this component.
    pub(crate) fn is_cached(&self, digest: &str) -> bool {
        let key = self.key(digest);
        self.cache.as_ref().is_some_and(|cache| cache.has(&key))
    }

    fn key(&self, digest: &str) -> String {
        format!("{digest}-{}", self.compatibility)
    }
}

/// Starts the thread that makes guests yield, until the engine is gone.
fn start_ticking(engine: wasmtime::EngineWeak, alive: Weak<()>) -> wasmtime::Result<()> {
    std::thread::Builder::new()
        .name("persea-tick".into())
        .stack_size(64 << 10)
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

/// What compiled code depends on apart from the component: the compiler's version and settings.
fn compatibility(engine: &Engine) -> String {
    use std::hash::{Hash as _, Hasher as _};
    // The hash has to be stable between runs of one build of the host only.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!(
        "{:016x}-{}",
        hasher.finish(),
        env!("PERSEA_WASMTIME_VERSION")
    )
}

//! The WebAssembly engine: its settings, each number explained, the thread that ticks, and the cache of compiled code.
//!
//! Owns everything that compiled code depends on. Knows nothing of worlds, powers or plugins' names.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often a guest that keeps the processor gives way: 10 ms.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Compiles components and keeps what it compiled.
pub(super) struct Compiler {
    pub(super) engine: Engine,
    cache: Option<PathBuf>,
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
    /// An engine for `instances` guests at once, with compiled code kept below `cache`.
    pub(super) fn new(instances: u32, cache: Option<&Path>) -> wasmtime::Result<Self> {
        // The pool reserves 4 GiB of addresses for each memory; where the address space is limited (`ulimit -v`) that
        // fails, and memories are made one by one.
        let engine = match Engine::new(&settings(Some(instances))) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::debug!("no pool of instances: {error:#}");
                Engine::new(&settings(None))?
            }
        };
        let ticker = std::sync::Arc::new(());
        tick(engine.weak(), std::sync::Arc::downgrade(&ticker))?;
        let compatibility = compatibility(&engine);
        let cache = cache.and_then(private_directory);
        Ok(Self {
            engine,
            cache,
            compatibility,
            _ticker: ticker,
        })
    }

    /// The compiled form of a component whose digest is `digest`: from the cache, or compiled now and put there.
    pub(super) fn component(&self, bytes: &[u8], digest: &str) -> wasmtime::Result<Component> {
        let entry = self
            .cache
            .as_ref()
            .map(|dir| dir.join(format!("{digest}-{}.cwasm", self.compatibility)));
        if let Some(entry) = &entry
            && let Some(component) = self.load(entry)
        {
            return Ok(component);
        }
        let component = Component::new(&self.engine, bytes)?;
        if let Some(entry) = &entry
            && let Err(error) = store(entry, &component)
        {
            tracing::debug!("compiled code is not kept: {}: {error}", entry.display());
        }
        Ok(component)
    }

    /// Whether compiled code for this component is in the cache.
    pub(super) fn is_cached(&self, digest: &str) -> bool {
        self.cache.as_ref().is_some_and(|dir| {
            dir.join(format!("{digest}-{}.cwasm", self.compatibility))
                .exists()
        })
    }

    fn load(&self, entry: &Path) -> Option<Component> {
        let meta = entry.symlink_metadata().ok()?;
        if !meta.is_file() || meta.uid() != geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return None;
        }
        // SAFETY: the file is in a directory that only this user can enter, belongs to this user, nobody else may write
        // to it, and it was put there whole by a rename, as this engine's own output. Wasmtime checks that it was made by the same version with the same settings.
        #[allow(unsafe_code)]
        match unsafe { Component::deserialize_file(&self.engine, entry) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(
                    "compiled code cannot be used: {}: {error:#}",
                    entry.display()
                );
                None
            }
        }
    }
}

fn settings(pooled: Option<u32>) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    // Deep recursion in a guest ends here, as a trap. 512 KiB is wasmtime's own default; the fiber has room for the host's frames beside.
    config.max_wasm_stack(512 * 1024);
    config.async_stack_size(1024 * 1024);
    config.memory_init_cow(true);
    if let Some(instances) = pooled {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(instances);
        pool.total_core_instances(instances.saturating_mul(8));
        pool.total_memories(instances.saturating_mul(2));
        pool.total_tables(instances.saturating_mul(8));
        pool.total_stacks(instances);
        // One component may have many parts: a Python guest has over 20 core instances.
        pool.max_core_instances_per_component(200);
        pool.max_memories_per_component(8);
        pool.max_tables_per_component(64);
        pool.table_elements(100_000);
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

/// Makes a directory that is this user's alone; none where that cannot be.
fn private_directory(path: &Path) -> Option<PathBuf> {
    if let Err(error) = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
    {
        tracing::debug!("no cache of compiled code: {}: {error}", path.display());
        return None;
    }
    let meta = path.symlink_metadata().ok()?;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        tracing::warn!(
            "compiled code is not kept: {} must belong to you, and nobody else may write to it",
            path.display()
        );
        return None;
    }
    Some(path.to_path_buf())
}

/// Puts compiled code into the cache as a whole: hosts that run at once see all of it or nothing.
fn store(entry: &Path, component: &Component) -> wasmtime::Result<()> {
    let dir = entry.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(&component.serialize()?)?;
    // An entry is never written over: another host may have it mapped.
    file.persist_noclobber(entry)?;
    Ok(())
}

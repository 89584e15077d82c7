//! Everything that is WebAssembly: finding plugins, reading what they ask for, compiling, limiting, calling them.
//!
//! Nothing outside this folder names wasmtime. A plugin is called through one adapter for its world; what it may do is in
//! `powers/`; a process that it asks for is the spawner's. This folder knows nothing of jobs, plans or the command line.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod contract;
mod engine;
mod error;
mod find;
mod instance;
mod powers;
mod trust;
mod worlds;

pub use engine::compile;
pub use engine::compiler::digest;
pub use engine::limits::{Largest, Limits, Own as OwnLimits, Reached, check as check_limit};
pub use error::PluginError;
pub use find::catalog::Catalog;
pub use find::oci as registry;
pub use find::sources::{BuiltIn, Sources, Trust, stored};
pub use instance::terms::JobMemory;
pub use powers::batch::{BatchHost, Given, Next};
pub use powers::log::Level;
pub use powers::output::ReportTarget;
pub use powers::task::TaskHost;
pub use trust::grants::{Grants, Power, in_words};
pub use trust::lock::{Entry as LockEntry, FILE as LOCK_FILE, Lock, LockError};
pub use trust::manifest::{CONTRACT, Manifest, World};
pub use worlds::plugin::{Origin, Plugin};
pub use worlds::requirement_resolver::{Presence, RequirementResolver};
pub use worlds::resolver::{Resolution, Resolver};
pub use worlds::result_format::{Data as FormatData, FormatEvent, ResultFormat};
pub use worlds::scheduler::{Choice, Node as SchedulerNode, Scheduler};
pub use worlds::varianter::Varianter;

/// Makes a component of a core module that was built against the contract (target wasm32-unknown-unknown).
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| format!("{error:#}"))
}

//! Everything that is WebAssembly: finding plugins, reading what they ask for, compiling, limiting, calling them.
//!
//! Nothing outside this folder names wasmtime. A plugin is called through one adapter for its world; what it may do is in
//! `powers/`; a process that it asks for is the spawner's. This folder knows nothing of jobs, plans or the command line.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod bindings;
mod call;
mod catalog;
pub mod compile;
mod compiled;
mod convert;
mod description;
mod engine;
mod error;
mod grants;
mod idle;
mod json_text;
mod limits;
mod linked;
mod load;
mod loaded;
mod lock;
mod manifest;
mod powers;
mod program;
pub mod registry;
mod requirement;
mod resolver;
mod result_format;
mod runner;
mod scheduler;
mod signature;
mod sources;
mod state;
mod terms;
mod trap;
mod usage;
mod varianter;
mod wasi;
mod workers;

pub use catalog::Catalog;
pub use engine::digest;
pub use error::PluginError;
pub use grants::{Grants, Power, in_words};
pub use limits::{Largest, Limits, Own as OwnLimits, Reached, check as check_limit};
pub use loaded::{Origin, Plugin};
pub use lock::{Entry as LockEntry, FILE as LOCK_FILE, Lock, LockError};
pub use manifest::{CONTRACT, Manifest, World};
pub use powers::batch::{BatchHost, Given, Next};
pub use powers::log::Level;
pub use powers::output::ReportTarget;
pub use powers::task::TaskHost;
pub use requirement::{Presence, RequirementResolver};
pub use resolver::{Resolution, Resolver};
pub use result_format::{Data as FormatData, FormatEvent, ResultFormat};
pub use scheduler::{Choice, Node as SchedulerNode, Scheduler};
pub use sources::{BuiltIn, Sources, Trust, stored};
pub use terms::JobMemory;
pub use varianter::Varianter;

/// Makes a component of a core module that was built against the contract (target wasm32-unknown-unknown).
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| format!("{error:#}"))
}

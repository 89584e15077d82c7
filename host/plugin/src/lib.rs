//! Plugins: everything that is WebAssembly. Owns how they are found, trusted, compiled, limited and
//! called. Does not know about jobs, plans or the command line. No other crate names wasmtime.
//!
//! The modules are rooms. From the lowest to the highest: `error`, `contract`, `engine`,
//! `instance`, `powers`, `tracks`, `trust`, `worlds`, `find`. A file uses its own room and those
//! below it.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod contract;
mod engine;
mod error;
mod find;
mod instance;
mod powers;
mod tracks;
mod trust;
mod worlds;

pub use contract::setting::Setting;
pub use contract::world::{CONTRACT, Role, World};
pub use engine::compile;
pub use engine::componentize::componentize;
pub use engine::digest::digest;
pub use engine::limits::{ComponentSizeLimit, Limits, OwnLimits, check_limit};
pub use error::{PluginError, ReachedLimit};
pub use find::catalog::Catalog;
pub use find::loader::Loader;
pub use find::oci;
pub use find::settings::{SecretSettings, WrongSetting};
pub use find::sources::{BuiltIn, Sources, stored};
pub use instance::grants::{Grant, Grants};
pub use instance::log::LogLevel;
pub use instance::memory::JobMemory;
pub use powers::batch::{BatchHost, BatchTask, NextBatchTask};
pub use powers::descriptor::Power;
pub use powers::report_output::ReportTarget;
pub use powers::task::{TaskFuture, TaskHost};
pub use trust::entry::LockEntry;
pub use trust::lock::{FileOperation, LOCK_FILE, Lock, LockError};
pub use trust::locks::Locks;
pub use trust::manifest::Manifest;
pub use trust::provenance::{PluginOrigin, Trust};
pub use worlds::lister::Listing;
pub use worlds::plugin::Plugin;
pub use worlds::requirement_resolver::{Fulfilled, Presence, RequirementResolver};
pub use worlds::resolver::{Resolution, Resolver};
pub use worlds::result_format::{EVENT_PAGE, FormatData, FormatEvent, ResultFormat};
pub use worlds::scheduler::{
    SCHEDULER_PAGE, Scheduler, SchedulerChoice, SchedulerNode, SchedulerStart, SchedulerTaskEnd,
};
pub use worlds::varianter::Varianter;

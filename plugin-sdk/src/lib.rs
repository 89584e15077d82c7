//! Write plugins for Persea in Rust: resolvers, varianters, runners, requirement resolvers, result
//! formats and schedulers. Each is a WebAssembly component that the host runs in a sandbox.
//!
//! A plugin is a type that implements one trait, [`Runner`], [`ProgramRunner`], [`BatchRunner`],
//! [`Resolver`], [`Varianter`], [`RequirementResolver`], [`ResultFormat`] or [`Scheduler`], and one
//! line that exports it. This is a complete runner:
//!
//! ```
//! use persea_plugin_sdk::prelude::*;
//! use persea_plugin_sdk::process::{self, Command, Output};
//!
//! struct Compiles;
//!
//! impl Runner for Compiles {
//!     fn describe() -> Description {
//!         Description::new("compiles", "passes when a C file compiles")
//!             .kinds(["compiles"])
//!             .settings(["runner.compiles.flags"])
//!     }
//!
//!     fn run(task: Task) -> Result<Outcome, Error> {
//!         let Some(file) = &task.runnable.uri else {
//!             return Ok(Outcome::error("kind compiles needs the path of a C file as its uri"));
//!         };
//!         let flags = task.settings.text("runner.compiles.flags").unwrap_or("-Wall");
//!         let exit = process::run(
//!             &Command::new("cc")
//!                 .args(flags.split_whitespace())
//!                 .args(["-fsyntax-only", file])
//!                 .stderr(Output::file("stderr")),
//!         )?;
//!         Ok(match exit.code {
//!             Some(0) => Outcome::pass(),
//!             _ => Outcome::fail(format!("{file} does not compile")),
//!         })
//!     }
//! }
//!
//! export!(runner: Compiles);
//! # use persea_plugin_sdk::testing::{Answer, Host, Processes};
//! # let _host = Host::new().processes(Processes::new(|_| Answer::code(1))).install();
//! # let task = Task::new("1-a.c", Runnable::new("compiles").uri("a.c"));
//! # assert_eq!(Compiles::run(task), Ok(Outcome::fail("a.c does not compile")));
//! ```
//!
//! # Build and test
//!
//! The crate of a plugin is a `cdylib`. Built for `wasm32-unknown-unknown` it is a core module,
//! which `persea plugin pack` turns into a component. Built natively it is an ordinary library in
//! which the fakes of [`testing`] stand in for the host, so that `cargo test` tests the plugin
//! without one.
//!
//! # Powers
//!
//! A component can do only what it imports, and it imports only the powers that its code uses.
//! These modules are the powers, each available to some kinds of plugin:
//!
//! * [`log`]: all plugins
//! * [`workspace`]: resolvers and varianters
//! * [`process`] and [`status`]: runners and requirement resolvers
//! * [`fetch`] and [`cache`]: requirement resolvers
//! * [`output`]: result formats
//!
//! A call of a power that the plugin's kind does not have, or that the host does not offer in this
//! call, fails with the code `unsupported`, or keeps the component from being loaded.
//!
//! # Errors
//!
//! An expected failure is an [`Error`] with a code that programs can compare. A panic is a bug: the
//! host reports it with its message and source location, and the task, reference or report fails.
//!
//! The contract between plugins and the host is the WIT package `persea:plugin`, which has the same
//! items with the same meaning.

#![deny(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod arena;
mod attributes;
mod backend;
mod batch_runner;
#[allow(unsafe_op_in_unsafe_fn, reason = "generated")]
mod bindings;
pub mod cache;
mod error;
mod export;
mod facade;
pub mod fetch;
pub mod log;
mod model;
pub mod output;
pub mod process;
mod program_runner;
mod requirement_resolver;
mod resolver;
mod result_format;
mod runner;
mod scheduler;
pub mod status;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod varianter;
pub mod workspace;

pub use attributes::{Attributes, Value};
pub use batch_runner::{Batch, BatchRunner};
pub use error::Error;
pub use model::{Description, Requirement, Runnable, Status};
pub use program_runner::ProgramRunner;
pub use requirement_resolver::{Presence, Request, RequirementResolver};
pub use resolver::{Resolution, Resolver};
pub use result_format::{Event, ResultFormat};
pub use runner::{Outcome, Runner, Task};
pub use scheduler::{Choice, Node, Scheduler};
pub use varianter::{Variant, Varianter, VaryRequest};

/// The items that most plugins use, for a glob import.
pub mod prelude {
    pub use crate::export;
    pub use crate::{Attributes, Description, Error, Requirement, Runnable, Status, Value};
    pub use crate::{Batch, BatchRunner};
    pub use crate::{Choice, Node};
    pub use crate::{Event, Outcome, Presence, Request, Resolution, Task};
    pub use crate::{ProgramRunner, Runner};
    pub use crate::{RequirementResolver, Resolver, ResultFormat, Scheduler, Varianter};
    pub use crate::{Variant, VaryRequest};
}

/// Items that the expansion of [`export!`] names. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::batch_runner::{BatchAdapter, Batches};
    pub use crate::bindings::{
        batch_runner, plugin, program_runner, requirement_resolver, resolver, result_format,
        runner, scheduler, varianter,
    };
    pub use crate::export::{Adapter, Exported};
}

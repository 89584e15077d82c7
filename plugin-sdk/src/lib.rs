//! Write plugins for Persea in Rust: resolvers, varianters, runners, listers, requirement
//! resolvers, result formats and schedulers. Each is a WebAssembly component that the host runs in
//! a sandbox.
//!
//! A plugin is a type that implements [`Plugin`], which describes it, and the trait of each of its
//! roles: [`Runner`], [`ProgramRunner`], [`BatchRunner`], [`Lister`], [`Resolver`], [`Varianter`],
//! [`RequirementResolver`], [`ResultFormat`] or [`Scheduler`]. One line exports it. This is a
//! complete runner:
//!
//! ```
//! use persea_plugin_sdk::prelude::*;
//! use persea_plugin_sdk::process::{self, Command, Output};
//!
//! const FLAGS: Setting<Text> = Setting::text("runner.compiles.flags")
//!     .default("-Wall")
//!     .summary("Options of the compiler");
//!
//! struct Compiles;
//!
//! impl Plugin for Compiles {
//!     fn describe() -> Description {
//!         Description::new("compiles", "passes when a C file compiles")
//!             .role(Role::runner(["compiles"]))
//!             .setting(&FLAGS)
//!     }
//! }
//!
//! impl Runner for Compiles {
//!     fn run(task: Task) -> Result<Outcome, Error> {
//!         let Some(file) = &task.runnable.uri else {
//!             return Ok(Outcome::error("kind compiles needs the path of a C file as its uri"));
//!         };
//!         let exit = process::run(
//!             &Command::new("cc")
//!                 .args(FLAGS.get(&task.settings).split_whitespace())
//!                 .args(["-fsyntax-only", file])
//!                 .stderr(Output::file("stderr")),
//!         )?;
//!         Ok(match exit.success() {
//!             true => Outcome::pass(),
//!             false => Outcome::fail(format!("{file} does not compile")),
//!         })
//!     }
//! }
//!
//! export!(Compiles: runner);
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
//! These modules are the powers, each available to some roles:
//!
//! * [`log`]: all roles
//! * [`workspace`]: resolvers and varianters
//! * [`pages`]: resolvers, varianters and listers
//! * [`process`], [`messages`], [`poll`] and [`monotonic_clock`]: runners, listers and requirement
//!   resolvers
//! * [`artifacts`]: runners, listers, requirement resolvers and result formats
//! * [`cases`]: runners and program runners
//! * [`fetch`] and [`cache`]: requirement resolvers
//! * [`report_output`]: result formats
//!
//! A component of several roles has all of their powers, and each call those of its own role. A
//! call of another role's power fails with the code `not-permitted`.
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
pub mod artifacts;
mod attributes;
mod backend;
mod batch_runner;
#[allow(unsafe_op_in_unsafe_fn, reason = "generated")]
mod bindings;
pub mod cache;
mod case_buffer;
pub mod cases;
mod description;
mod error;
mod excerpt;
mod export;
mod facade;
pub mod fetch;
mod json;
mod lister;
pub mod log;
pub mod messages;
mod model;
pub mod monotonic_clock;
pub mod pages;
pub mod poll;
pub mod process;
mod program_runner;
pub mod report_output;
mod requirement_resolver;
mod resolver;
mod result_format;
mod runner;
mod scheduler;
mod setting;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod varianter;
pub mod workspace;

pub use attributes::{Attributes, Value};
pub use batch_runner::{Batch, BatchRunner};
pub use case_buffer::{CaseBuffer, TaskCases};
pub use description::{Description, Plugin, Role, SettingDescription};
pub use error::Error;
pub use lister::{Lister, Listing};
pub use model::{Requirement, Runnable, Status};
pub use program_runner::ProgramRunner;
pub use requirement_resolver::{
    CheckedRequirement, FulfilledRequirement, Presence, ReleaseRequest, RequirementRequest,
    RequirementResolver,
};
pub use resolver::{Finding, Resolution, ResolveRequest, Resolver};
pub use result_format::{Event, JobEnd, ReportJob, ResultFormat};
pub use runner::{Outcome, Runner, Task};
pub use scheduler::{Choice, Node, ScheduledJob, Scheduler, TaskEnd, TaskStart, Turn};
pub use setting::{
    Boolean, Integer, IntegerList, List, NoDefault, Number, OptionalSetting, Setting, Shape, Table,
    Text, Time, WithDefault,
};
pub use varianter::{Varianter, Variation, VaryRequest};

/// The items that most plugins use, for a glob import.
pub mod prelude {
    pub use crate::export;
    pub use crate::{Attributes, Error, Requirement, Runnable, Status, Value};
    pub use crate::{Batch, BatchRunner};
    pub use crate::{Boolean, Integer, IntegerList, List, Number, Table, Text, Time};
    pub use crate::{CheckedRequirement, FulfilledRequirement, Presence};
    pub use crate::{Choice, Node, ScheduledJob, Scheduler, TaskEnd, TaskStart, Turn};
    pub use crate::{Description, Plugin, Role};
    pub use crate::{Event, JobEnd, ReportJob, ResultFormat};
    pub use crate::{Finding, Resolution, ResolveRequest, Resolver};
    pub use crate::{Lister, Listing, Outcome, ProgramRunner, Runner, Task};
    pub use crate::{OptionalSetting, Setting};
    pub use crate::{ReleaseRequest, RequirementRequest, RequirementResolver};
    pub use crate::{Varianter, Variation, VaryRequest};
}

/// Items that the expansion of [`export!`] names. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::{
        batch_runner, lister, plugin, program_runner, requirement_resolver, resolver,
        result_format, runner, scheduler, varianter,
    };
    pub use crate::export::{Adapter, Exported, PluginAdapter};
}
